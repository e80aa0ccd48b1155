//===- Halves.h - bfloat16 rows as two f32 vectors --------------*- C++ -*-===//
//
// Part of dsv2, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// 2 * lanes() adjacent bf16 elements are lanes() words, whose lower and upper
// halves are the elements with even and with odd numbers. Each half is an f32
// vector after one instruction, where widening in order takes a shuffle and a
// shift for each vector, and shuffles share a port with multiply-adds.
//
//===----------------------------------------------------------------------===//

#ifndef DSV2_LIB_CODEGEN_CPU_HALVES_H
#define DSV2_LIB_CODEGEN_CPU_HALVES_H

#include "MatmulTile.h"

namespace mlir::dsv2::cpu {

/// `count` adjacent bf16 elements (at most 2 * lanes(), static) as f32, those
/// with even and those with odd numbers, with zeros above.
SmallVector<Value, 2> emitHalves(KernelBuilder &b, Value memref,
                                 ValueRange indices, int64_t count);

/// The elements with even (0) or odd (1) numbers of two f32 vectors.
Value emitEverySecond(KernelBuilder &b, Value low, Value high, int64_t which);

/// The reverse: the lower or upper half of what alternates between `even` and
/// `odd`.
Value emitInterleave(KernelBuilder &b, Value even, Value odd, int64_t which);

/// to[offset + i] = row[i], i < width, rounded to the element type of `to`
/// (f32 or bf16).
void emitCopyRow(KernelBuilder &b, const Slice &row, int64_t width,
                 const Slice &to, int64_t offset);

} // namespace mlir::dsv2::cpu

#endif // DSV2_LIB_CODEGEN_CPU_HALVES_H
