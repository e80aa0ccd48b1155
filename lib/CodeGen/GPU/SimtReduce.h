//===- SimtReduce.h - sums over a block -------------------------*- C++ -*-===//
//
// Part of dsv2, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef DSV2_LIB_CODEGEN_GPU_SIMTREDUCE_H
#define DSV2_LIB_CODEGEN_GPU_SIMTREDUCE_H

#include "dsv2/CodeGen/GPU/SimtBuilder.h"

namespace mlir::dsv2::gpu {

/// The sum of an f32 `value` over a block of `warps`, whose partial sums meet
/// in `shared` if they are several: a barrier of the block is then among it.
Value sumBlock(SimtBuilder &b, Value value, Value shared, int64_t warps);

} // namespace mlir::dsv2::gpu

#endif // DSV2_LIB_CODEGEN_GPU_SIMTREDUCE_H
