//===- SimtColumns.h - rows that a block goes over ---------------*- C++
//-*-===//
//
// Part of dsv2, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// Kernels that have a block for each row share how its columns are dealt to
// threads.
//
//===----------------------------------------------------------------------===//

#ifndef DSV2_LIB_CODEGEN_GPU_SIMTCOLUMNS_H
#define DSV2_LIB_CODEGEN_GPU_SIMTCOLUMNS_H

#include "dsv2/CodeGen/GPU/SimtBuilder.h"

namespace mlir::dsv2::gpu {

/// Elements that a thread moves at a time where rows allow it: 16 bytes of bf16
/// or twice that of f32.
inline constexpr int64_t kVector = 8;

/// Threads of a block that works on one row of `width` elements: each has one
/// vector if a block can have as many.
int64_t getRowThreads(int64_t width);

/// Emits `body` for elements a thread moves at a time: kVector if the width and
/// what `pointers` and `strides` are allow it, else 1.
void emitByVector(SimtBuilder &b, int64_t width, ValueRange pointers,
                  ArrayRef<std::pair<Value, Type>> strides,
                  llvm::function_ref<void(int64_t)> body);

/// Calls `body` with the first of each `vector` columns of a row, which are
/// dealt to the threads.
void forColumns(SimtBuilder &b, int64_t width, int64_t vector,
                llvm::function_ref<void(Value)> body);

} // namespace mlir::dsv2::gpu

#endif // DSV2_LIB_CODEGEN_GPU_SIMTCOLUMNS_H
