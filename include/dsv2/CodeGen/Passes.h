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

/// On the module: the `--target-cpu` its kernels were generated for.
inline constexpr llvm::StringLiteral kTargetCPUAttr = "dsv2.target_cpu";
/// On a function argument whose first dimension is a size of the step: which
/// one, "tokens", "sequences" or "rows".
inline constexpr llvm::StringLiteral kSizeAttr = "dsv2.size";

#define GEN_PASS_DECL
#include "dsv2/CodeGen/Passes.h.inc"

#define GEN_PASS_REGISTRATION
#include "dsv2/CodeGen/Passes.h.inc"

} // namespace mlir::dsv2

#endif // DSV2_CODEGEN_PASSES_H
