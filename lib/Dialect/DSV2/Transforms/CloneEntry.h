//===- CloneEntry.h - another instance of a step function -------*- C++ -*-===//
//
// Part of dsv2, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef DSV2_LIB_DIALECT_DSV2_TRANSFORMS_CLONEENTRY_H
#define DSV2_LIB_DIALECT_DSV2_TRANSFORMS_CLONEENTRY_H

#include "dsv2/Dialect/DSV2/IR/DSV2.h"
#include "mlir/Dialect/Func/IR/FuncOps.h"

namespace mlir::dsv2 {

/// Clones the step function `entry` as the entry point `entryName`, `@step_`
/// and that name, before `entry`, and the functions it calls with `suffix`
/// added to their names. `edit` is called on each clone.
func::FuncOp cloneEntry(func::FuncOp entry, SymbolTable &symbols,
                        StringRef entryName, StringRef suffix,
                        llvm::function_ref<void(func::FuncOp)> edit);

} // namespace mlir::dsv2

#endif // DSV2_LIB_DIALECT_DSV2_TRANSFORMS_CLONEENTRY_H
