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

#define GEN_PASS_DECL
#include "dsv2/Dialect/DSV2/Transforms/Passes.h.inc"

#define GEN_PASS_REGISTRATION
#include "dsv2/Dialect/DSV2/Transforms/Passes.h.inc"

} // namespace mlir::dsv2

#endif // DSV2_DIALECT_DSV2_TRANSFORMS_PASSES_H
