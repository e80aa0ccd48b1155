//===- AttentionCommon.h - Shared by both attention forms ------*- C++ -*-===//
//
// Part of dsv2, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef DSV2_LIB_CODEGEN_CPU_ATTENTIONCOMMON_H
#define DSV2_LIB_CODEGEN_CPU_ATTENTIONCOMMON_H

#include "dsv2/CodeGen/CPU/AttentionKernels.h"
#include "dsv2/CodeGen/CPU/VectorMath.h"

namespace mlir::dsv2::cpu {

/// Returns the largest power of two that divides `page` and is at most `limit`.
int64_t chooseBlock(int64_t page, int64_t limit);

/// Where one query keeps its scores of the current block and its state: memrefs
/// and the indices of its entries.
struct SoftmaxRow {
  /// In: scores of the block; out: their exponentials. Row index.
  Value scores;
  SmallVector<Value> scoreRow;
  /// Running maximum, a scalar.
  Value maxima;
  SmallVector<Value> maximumAt;
  /// Running sum, one per lane: summed across lanes only at the very end.
  Value sums;
  SmallVector<Value> sumAt;
  /// Out: what earlier sums have to be multiplied with.
  Value factors;
  SmallVector<Value> factorAt;
};

/// One step of the online softmax over `block` scores, of which the first
/// `valid` (at least one) count: scores become exp(scale * score - maximum), 0
/// beyond `valid`.
void emitSoftmaxUpdate(KernelBuilder &b, int64_t block, float scale,
                       Value valid, const SoftmaxRow &row);

} // namespace mlir::dsv2::cpu

#endif // DSV2_LIB_CODEGEN_CPU_ATTENTIONCOMMON_H
