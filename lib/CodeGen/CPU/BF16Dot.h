//===- BF16Dot.h - Products of pairs of bfloat16 ----------------*- C++ -*-===//
//
// Part of dsv2, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// AVX512-BF16 multiplies pairs: lane i of the f32 sum takes elements 2 i and
// 2 i + 1 of both operands. "Pairs" below is a vector of 2 * lanes() bfloat16.
//
//===----------------------------------------------------------------------===//

#ifndef DSV2_LIB_CODEGEN_CPU_BF16DOT_H
#define DSV2_LIB_CODEGEN_CPU_BF16DOT_H

#include "MatmulTile.h"

namespace mlir::dsv2::cpu {

/// Whether the instructions exist at the width of the kernels' vectors.
bool hasBF16Dot(const CPUTargetInfo &target);

/// vector<2 * lanes x bf16>.
VectorType getPairsType(KernelBuilder &b);

/// sum[i] + x[2 i] * y[2 i] + x[2 i + 1] * y[2 i + 1] in f32, each product and
/// each sum rounded to nearest (VDPBF16PS; denormals count as zeros).
Value emitBF16Dot(KernelBuilder &b, Value sum, Value x, Value y);

/// f32 vectors `low` and `high` as one vector of pairs, to nearest even.
Value emitNarrow(KernelBuilder &b, Value low, Value high);

/// to[offset + i] = row[i] rounded to nearest even, for i < width; f32 to bf16.
void emitRoundRow(KernelBuilder &b, const Slice &row, int64_t width,
                  const Slice &to, int64_t offset);

/// Pairs (low[i], high[i]) from two f32 vectors.
Value emitZip(KernelBuilder &b, Value low, Value high);

/// `count` adjacent bf16 elements, static, with zeros above them.
Value emitLoadPairs(KernelBuilder &b, Value memref, ValueRange indices,
                    int64_t count);

/// Pairs (even[c], odd[c]) of two vectors of pairs of elements, for the half of
/// the columns c that `which` (0 or 1) says: of each 8 adjacent ones the lower
/// or the upper 4 (VPUNPCKLWD, VPUNPCKHWD).
Value emitUnpack(KernelBuilder &b, Value even, Value odd, int64_t which);

/// The lower or upper lanes() columns in their order, from f32 sums over what
/// emitUnpack gave with 0 and with 1.
Value emitPack(KernelBuilder &b, Value low, Value high, int64_t which);

/// The pair at `indices` of a bf16 memref in all lanes.
Value broadcastPair(KernelBuilder &b, Value memref, ValueRange indices);

} // namespace mlir::dsv2::cpu

#endif // DSV2_LIB_CODEGEN_CPU_BF16DOT_H
