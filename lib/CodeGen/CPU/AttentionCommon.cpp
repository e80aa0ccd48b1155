//===- AttentionCommon.cpp - Shared by both attention forms ---------------===//
//
// Part of dsv2, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "AttentionCommon.h"

#include "mlir/Dialect/Vector/IR/VectorOps.h"

#include <limits>

using namespace mlir;
using namespace mlir::dsv2;
using namespace mlir::dsv2::cpu;

int64_t dsv2::cpu::chooseBlock(int64_t page, int64_t limit) {
  int64_t block = 1;
  while (block < limit && page % (2 * block) == 0)
    block *= 2;
  return block;
}

void dsv2::cpu::emitSoftmaxUpdate(KernelBuilder &b, int64_t block, float scale,
                                  Value valid, const SoftmaxRow &row) {
  int64_t lanes = b.lanes();
  Value negativeInfinity = b.splat(-std::numeric_limits<float>::infinity());
  Value bound = b.broadcast(b.fromIndex(valid, b.getI32Type()));
  auto at = [&](int64_t j) {
    SmallVector<Value> indices(row.scoreRow);
    indices.push_back(b.index(j));
    return indices;
  };

  SmallVector<Value> scores;
  Value largest;
  for (int64_t j = 0; j < block; j += lanes) {
    SmallVector<int32_t> numbers;
    for (int64_t lane = 0; lane < lanes; ++lane)
      numbers.push_back(j + lane);
    Value number = arith::ConstantOp::create(
        b, DenseElementsAttr::get(b.vecType(b.getI32Type()),
                                  ArrayRef<int32_t>(numbers)));
    Value score = b.fmul(b.load(row.scores, at(j)), b.splat(scale));
    // What lies beyond comes from rows that may hold anything.
    score = b.select(b.lt(number, bound), score, negativeInfinity);
    scores.push_back(score);
    largest = largest ? emitMax(b, largest, score) : score;
  }

  // The first block starts from a maximum of -inf: its factor is exactly 0. At
  // least one score counts, so the new maximum is never -inf.
  Value oldMaximum = b.loadScalar(row.maxima, row.maximumAt);
  Value newMaximum = emitMax(b, emitReduceMax(b, largest), oldMaximum);
  b.storeScalar(newMaximum, row.maxima, row.maximumAt);
  Value maximum = b.broadcast(newMaximum);
  Value factor = emitExp(b, b.fsub(b.broadcast(oldMaximum), maximum));
  b.storeScalar(vector::ExtractOp::create(b, factor, ArrayRef<int64_t>{0}),
                row.factors, row.factorAt);

  Value sum = b.fmul(b.load(row.sums, row.sumAt), factor);
  for (auto [i, score] : llvm::enumerate(scores)) {
    Value p = emitExp(b, b.fsub(score, maximum));
    b.store(p, row.scores, at(i * lanes));
    sum = b.fadd(sum, p);
  }
  b.store(sum, row.sums, row.sumAt);
}
