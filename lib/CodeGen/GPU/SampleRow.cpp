//===- SampleRow.cpp - a row of logits to choose from ---------------------===//
//
// Part of dsv2, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "SampleRow.h"

using namespace mlir;
using namespace mlir::dsv2;
using namespace mlir::dsv2::gpu;

SampleRow::SampleRow(SimtBuilder &b, Value row, Value logits, Value stride,
                     Value sampling, Value seen, Value seenStride)
    : b(b), i32(b.getI32Type()), i64(b.getI64Type()), f32(b.getF32Type()),
      row(row), logits(logits), stride(stride), sampling(sampling), seen(seen),
      seenStride(seenStride) {
  vocabulary = setting(i32, offsetof(dsv2rt_sampling_row, vocabulary));
  penalty = setting(f32, offsetof(dsv2rt_sampling_row, penalty));
  inversePenalty = b.fdiv(b.f32(1.0), penalty);
  hasPenalty = compare(b, arith::CmpFPredicate::ONE, penalty, b.f32(1.0));
}

std::pair<Value, Value> SampleRow::part(Value index) {
  Value share = b.mul(b.ceilDiv(vocabulary, DSV2RT_SAMPLE_PARTS * kUnroll),
                      b.i32(kUnroll));
  Value begin = b.min(b.mul(index, share), vocabulary);
  return {begin, b.min(b.add(begin, share), vocabulary)};
}

Value SampleRow::loadLogit(Value token) {
  return b.load(f32, b.at(logits, f32, row, stride, token));
}

Value SampleRow::loadSeen(Value token) {
  return b.load(i32, b.at(seen, i32, row, seenStride, b.div(token, kWarpSize)));
}

Value SampleRow::penalise(Value word, Value token, Value logit) {
  Value bit = arith::ShRUIOp::create(b, word, b.rem(token, kWarpSize));
  Value occurred = arith::TruncIOp::create(b, b.getI1Type(), bit);
  Value isFinite =
      compare(b, arith::CmpFPredicate::OGT, logit, b.f32(-kInfinity));
  Value isPositive = compare(b, arith::CmpFPredicate::OGT, logit, b.f32(0.0));
  Value changed = b.fmul(logit, b.select(isPositive, inversePenalty, penalty));
  // An absurd penalty must not make an infinity out of a finite logit.
  constexpr float largest = std::numeric_limits<float>::max();
  changed = b.fmax(changed, b.f32(-largest));
  changed =
      b.select(compare(b, arith::CmpFPredicate::OLT, changed, b.f32(largest)),
               changed, b.f32(largest));
  return b.select(b.logicalAnd(occurred, isFinite), changed, logit);
}

Best SampleRow::better(const Best &one, const Best &other) {
  Value isLarger =
      compare(b, arith::CmpFPredicate::OGT, other.logit, one.logit);
  Value isEqual = compare(b, arith::CmpFPredicate::OEQ, other.logit, one.logit);
  Value wins = arith::OrIOp::create(
      b, isLarger, b.logicalAnd(isEqual, b.less(other.token, one.token)));
  return {b.select(wins, other.logit, one.logit),
          b.select(wins, other.token, one.token),
          arith::OrIOp::create(b, one.bad, other.bad)};
}

Best SampleRow::bestOfWarp(Best best) {
  for (int32_t mask = kWarpSize / 2; mask > 0; mask /= 2)
    best = better(best, {b.shuffleXor(best.logit, mask),
                         b.shuffleXor(best.token, mask),
                         b.shuffleXor(best.bad, mask)});
  return best;
}
