//===- DeviceParts.h - Parts of device code ---------------------*- C++ -*-===//
//
// Part of dsv2, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// What kernels for one thread and the lowering of the tile dialect both emit,
// in the LLVM dialect.
//
//===----------------------------------------------------------------------===//

#ifndef DSV2_CODEGEN_GPU_DEVICEPARTS_H
#define DSV2_CODEGEN_GPU_DEVICEPARTS_H

#include "dsv2/Target/NVPTX/InlineAsm.h"
#include "mlir/Dialect/GPU/IR/GPUDialect.h"
#include "mlir/Dialect/LLVMIR/LLVMDialect.h"
#include "mlir/IR/ImplicitLocOpBuilder.h"

namespace mlir::dsv2::gpu {

/// Emits a statement of inline assembly; one value for each of `results`.
SmallVector<Value> emitAsm(ImplicitLocOpBuilder &b,
                           const nvptx::AsmStatement &statement,
                           ArrayRef<Value> operands, TypeRange results);

/// `value`, an i32 or i64, as a number that LLVM knows nothing of: what is
/// computed from it stays where it is written, and constants that are added to
/// it stay in instructions instead of taking registers.
Value hide(ImplicitLocOpBuilder &b, Value value);

/// The array that dynamic shared memory is addressed by (kSharedMemorySymbol),
/// made if the module has none.
LLVM::GlobalOp getOrCreateDynamicShared(mlir::gpu::GPUModuleOp module);

} // namespace mlir::dsv2::gpu

#endif // DSV2_CODEGEN_GPU_DEVICEPARTS_H
