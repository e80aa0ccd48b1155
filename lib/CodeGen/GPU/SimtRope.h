//===- SimtRope.h - rotation of pairs ---------------------------*- C++ -*-===//
//
// Part of dsv2, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef DSV2_LIB_CODEGEN_GPU_SIMTROPE_H
#define DSV2_LIB_CODEGEN_GPU_SIMTROPE_H

#include "dsv2/CodeGen/GPU/SimtKernels.h"

namespace mlir::dsv2::gpu {

/// The part of a kernel's name that says what the angles are.
std::string getRopeName(const RopeTableConfig &config);

/// Emits cos and sin of the angles of a position (i32), which the threads of a
/// block share out: calls `store` with the value and its column, cos of all
/// pairs first, then sin.
void emitRopeFactors(SimtBuilder &b, const RopeTableConfig &config,
                     Value position, int64_t threads,
                     llvm::function_ref<void(Value, Value)> store);

/// Adjacent pairs in memory that are rotated at a time, where they are aligned.
inline constexpr int64_t kRopePairs = 4;
/// Rotates `count` adjacent pairs at `from` by the factors at `cos` and `sin`
/// (f32), into `to`. `count` is 1 or kRopePairs; the latter takes addresses
/// that are multiples of 16 bytes.
void rotatePairs(SimtBuilder &b, int64_t count, Type input, Value from,
                 Value cos, Value sin, Type output, Value to);

} // namespace mlir::dsv2::gpu

#endif // DSV2_LIB_CODEGEN_GPU_SIMTROPE_H
