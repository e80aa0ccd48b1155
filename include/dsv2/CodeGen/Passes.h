//===- Passes.h - from dsv2 ops to code -------------------------*- C++ -*-===//
//
// Part of dsv2, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef DSV2_CODEGEN_PASSES_H
#define DSV2_CODEGEN_PASSES_H

#include "dsv2/Dialect/DSV2/IR/DSV2.h"
#include "mlir/Dialect/Func/IR/FuncOps.h"
#include "mlir/IR/BuiltinOps.h"
#include "mlir/Pass/Pass.h"

namespace mlir::dsv2 {

/// The name of the nested module that holds the reference lowering, and of its
/// entry in the manifest.
inline constexpr llvm::StringLiteral kReferenceModule = "reference";

#define GEN_PASS_DECL
#include "dsv2/CodeGen/Passes.h.inc"

#define GEN_PASS_REGISTRATION
#include "dsv2/CodeGen/Passes.h.inc"

} // namespace mlir::dsv2

#endif // DSV2_CODEGEN_PASSES_H
