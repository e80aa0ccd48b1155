//===- ExplainMesh.h - the plan for several ranks, to be read ---*- C++ -*-===//
//
// Part of dsv2, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef DSV2_LIB_IMPORT_EXPLAINMESH_H
#define DSV2_LIB_IMPORT_EXPLAINMESH_H

#include "TextWriter.h"
#include "dsv2/Import/MeshCost.h"
#include "llvm/Support/JSON.h"

namespace dsv2 {

/// Returns the value of the key `mesh` of docs/Explain.md.
llvm::json::Value explainMesh(const ModelConfig &config, const MeshPlan &plan);

/// Prints the same as text.
void printMesh(TextWriter &writer, const ModelConfig &config,
               const MeshPlan &plan);

} // namespace dsv2

#endif // DSV2_LIB_IMPORT_EXPLAINMESH_H
