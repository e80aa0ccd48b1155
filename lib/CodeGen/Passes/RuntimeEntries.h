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
#include "mlir/IR/ImplicitLocOpBuilder.h"

namespace mlir::dsv2 {

/// Declares a function outside of the module, or returns its declaration.
func::FuncOp declareFunction(ModuleOp module, llvm::StringRef name,
                             TypeRange inputs, TypeRange results);

/// The declaration of an entry point of the runtime, which abi.def lists.
func::FuncOp declareRuntimeEntry(ModuleOp module, llvm::StringRef name);

/// Where the element `offset` of the memory behind `memref` lies, an
/// `!llvm.ptr`. Without `offset`: its first element.
Value getAddress(ImplicitLocOpBuilder &b, Value memref, Value offset = {});

/// The context among the arguments of the step or layer function that holds
/// `op`, which ends with context and tap level; null if it is none.
Value getStepContext(Operation *op);

/// The model path that a location names, without the layer: "self_attn.q_proj"
/// for "model.layers.1-59.self_attn.q_proj". For others the op's name.
llvm::StringRef getSiteName(Operation *op);

} // namespace mlir::dsv2

#endif // DSV2_LIB_CODEGEN_PASSES_RUNTIMEENTRIES_H
