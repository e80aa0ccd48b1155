//===- TokenWeights.cpp - what tokens to draw from weigh ------------------===//
//
// Part of dsv2, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "TokenWeights.h"

using namespace mlir;
using namespace mlir::dsv2;
using namespace mlir::dsv2::gpu;

TokenWeights::TokenWeights(SampleRow &row, Value top)
    : r(row), b(row.b), top(top) {
  scale = r.setting(r.f32, offsetof(dsv2rt_sampling_row, scale));
  minP = r.setting(r.f32, offsetof(dsv2rt_sampling_row, min_p));
  topK = r.setting(r.i32, offsetof(dsv2rt_sampling_row, top_k));
  topP = r.setting(r.i64, offsetof(dsv2rt_sampling_row, top_p));
  cutsByCount =
      b.logicalAnd(b.less(b.i32(0), topK), b.less(topK, r.vocabulary));
  cutsByWeight = compare(b, arith::CmpIPredicate::ne, topP, i64(-1));
  isLimited = arith::OrIOp::create(b, cutsByCount, cutsByWeight);
  isAligned = b.areMultiplesOf16({r.logits}, {{r.stride, r.f32}});
}

Value TokenWeights::shuffle64(Value value,
                              llvm::function_ref<Value(Value)> shuffle) {
  Value low = arith::TruncIOp::create(b, r.i32, value);
  Value high = arith::TruncIOp::create(
      b, r.i32, arith::ShRUIOp::create(b, value, i64(32)));
  Value moved = arith::ShLIOp::create(b, widen(shuffle(high)), i64(32));
  return arith::OrIOp::create(b, moved, widen(shuffle(low)));
}

Value TokenWeights::sumOfWarp(Value value) {
  for (int32_t mask = kWarpSize / 2; mask > 0; mask /= 2)
    value = b.add(value, shuffle64(value, [&](Value word) {
                    return b.shuffleXor(word, mask);
                  }));
  return value;
}

Value TokenWeights::scanWarp(Value value) {
  bool isWide = value.getType() == r.i64;
  Value lane = b.lane();
  for (int32_t delta = 1; delta < kWarpSize; delta *= 2) {
    auto shuffle = [&](Value word) { return b.shuffleUp(word, delta); };
    Value other = isWide ? shuffle64(value, shuffle) : shuffle(value);
    value = b.select(b.less(lane, b.i32(delta)), value, b.add(value, other));
  }
  return value;
}

Value TokenWeights::distance(Value logit) {
  Value units = b.fmul(b.fsub(top, logit), b.f32(0x1p24));
  // The largest f32 below 2^32.
  Value limit = b.f32(4294967040.0);
  Value isInside = compare(b, arith::CmpFPredicate::OLT, units, limit);
  return arith::FPToUIOp::create(b, r.i32, b.select(isInside, units, limit));
}

Value TokenWeights::weightFloat(Value q) {
  Value number = arith::UIToFPOp::create(b, r.f32, q);
  return b.exp2(b.fmul(b.fmul(number, b.f32(-0x1p-24)), scale));
}

Value TokenWeights::weight(Value q) {
  Value scaled = b.fmul(weightFloat(q), b.f32(double(1ull << kWeightBits)));
  return arith::FPToUIOp::create(b, r.i64, scaled);
}

TokenWeights::Lane TokenWeights::loadLane(Value first, Value end) {
  Lane result;
  for (int64_t i = 0; i < kUnroll; ++i) {
    Value token = b.add(first, i);
    result.isThere.push_back(b.less(token, end));
    result.tokens.push_back(b.min(token, b.sub(end, b.i32(1))));
  }
  SmallVector<Value> values = b.ifYield(
      b.logicalAnd(isAligned, result.isThere.back()),
      [&] {
        return b.unpack(r.f32, b.loadWords(kUnroll, b.at(r.logits, r.f32, r.row,
                                                         r.stride, first)));
      },
      [&] {
        SmallVector<Value> loaded;
        for (Value token : result.tokens)
          loaded.push_back(r.loadLogit(token));
        return loaded;
      });
  values = b.ifYield(
      r.hasPenalty,
      [&] {
        // The bits of adjacent tokens are in one word.
        static_assert(kWarpSize % kUnroll == 0);
        Value word = r.loadSeen(result.tokens.front());
        SmallVector<Value> penalised;
        for (auto [token, value] : llvm::zip_equal(result.tokens, values))
          penalised.push_back(r.penalise(word, token, value));
        return penalised;
      },
      ValueRange(values));
  for (Value value : values)
    result.qs.push_back(distance(value));
  return result;
}
