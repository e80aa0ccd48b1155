//===- RuntimeEntries.h - declarations of abi.def ---------------*- C++ -*-===//
//
// Part of dsv2, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef DSV2_LIB_CODEGEN_PASSES_RUNTIMEENTRIES_H
#define DSV2_LIB_CODEGEN_PASSES_RUNTIMEENTRIES_H

#include "mlir/Dialect/Func/IR/FuncOps.h"
#include "mlir/IR/BuiltinOps.h"

namespace mlir::dsv2 {

/// Declares a function outside of the module, or returns its declaration.
func::FuncOp declareFunction(ModuleOp module, llvm::StringRef name,
                             TypeRange inputs, TypeRange results);

/// The declaration of an entry point of the runtime, which abi.def lists.
func::FuncOp declareRuntimeEntry(ModuleOp module, llvm::StringRef name);

} // namespace mlir::dsv2

#endif // DSV2_LIB_CODEGEN_PASSES_RUNTIMEENTRIES_H
