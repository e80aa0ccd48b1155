//===- Passes.h - dsv2 to dsv2 passes ---------------------------*- C++ -*-===//
//
// Part of dsv2, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef DSV2_DIALECT_DSV2_TRANSFORMS_PASSES_H
#define DSV2_DIALECT_DSV2_TRANSFORMS_PASSES_H

#include "dsv2/Dialect/DSV2/IR/DSV2.h"
#include "mlir/Dialect/Func/IR/FuncOps.h"
#include "mlir/IR/BuiltinOps.h"
#include "mlir/Pass/Pass.h"

namespace mlir::dsv2 {

/// On the module: tokens of one sequence from which on the prefill entry is
/// used. Absent if there is only one entry.
inline constexpr llvm::StringLiteral kPrefillMinTokensAttr =
    "dsv2.prefill_min_tokens";
/// On a prepare function: checkpoint names of its arguments.
inline constexpr llvm::StringLiteral kSourcesAttr = "dsv2.sources";
/// On a prepare function: the layers it runs for (empty: once).
inline constexpr llvm::StringLiteral kLayersAttr = "dsv2.layers";

#define GEN_PASS_DECL
#include "dsv2/Dialect/DSV2/Transforms/Passes.h.inc"

#define GEN_PASS_REGISTRATION
#include "dsv2/Dialect/DSV2/Transforms/Passes.h.inc"

} // namespace mlir::dsv2

#endif // DSV2_DIALECT_DSV2_TRANSFORMS_PASSES_H
