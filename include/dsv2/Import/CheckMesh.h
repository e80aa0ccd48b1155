//===- CheckMesh.h - whether a model can be split over ranks ----*- C++ -*-===//
//
// Part of dsv2, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef DSV2_IMPORT_CHECKMESH_H
#define DSV2_IMPORT_CHECKMESH_H

#include "dsv2/Import/ModelConfig.h"
#include "dsv2/Support/MeshShape.h"
#include "llvm/Support/Error.h"

namespace dsv2 {

/// Checks that `mesh` can split the model: tp has to divide the heads, the
/// vocabulary and the widths of all feed-forward networks, and ep may be at
/// most the number of routed experts (which it need not divide). Errors name
/// what does not fit and the sizes that would.
llvm::Error checkMesh(const ModelConfig &config,
                      const mlir::dsv2::MeshShape &mesh);

} // namespace dsv2

#endif // DSV2_IMPORT_CHECKMESH_H
