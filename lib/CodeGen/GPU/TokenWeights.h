//===- TokenWeights.h - what tokens to draw from weigh ----------*- C++ -*-===//
//
// Part of dsv2, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// How far below the largest a logit is, is a whole number q, in units of 2^-24.
// Weights follow from q, and are whole numbers too, so that their sums do not
// depend on an order.
//
//===----------------------------------------------------------------------===//

#ifndef DSV2_LIB_CODEGEN_GPU_TOKENWEIGHTS_H
#define DSV2_LIB_CODEGEN_GPU_TOKENWEIGHTS_H

#include "SampleRow.h"

namespace mlir::dsv2::gpu {

/// The weights of a row's tokens, and the arithmetic of 64 bits that adds them
/// up.
class TokenWeights {
public:
  /// `top` is the largest logit of the row, a number.
  TokenWeights(SampleRow &row, Value top);

  /// Adjacent logits of a lane: those of one load.
  static constexpr int64_t kUnroll = SampleRow::kUnroll;
  /// The weight of the likeliest token is 2^kWeightBits.
  static constexpr int64_t kWeightBits = 40;

  Value i64(int64_t value) {
    return arith::ConstantIntOp::create(b, b.getI64Type(), value);
  }
  Value less64(Value x, Value y) {
    return compare(b, arith::CmpIPredicate::ult, x, y);
  }
  Value widen(Value value) {
    return arith::ExtUIOp::create(b, b.getI64Type(), value);
  }
  /// The upper half of a product.
  Value mulHigh(Value x, Value y) {
    return arith::MulUIExtendedOp::create(b, x, y).getHigh();
  }
  Value shuffle64(Value value, llvm::function_ref<Value(Value)> shuffle);
  Value sumOfWarp(Value value);
  /// Sums over this lane and those before it.
  Value scanWarp(Value value);

  Value distance(Value logit);
  Value weightFloat(Value q);
  Value weight(Value q);
  Value reachesMinP(Value q) {
    return compare(b, arith::CmpFPredicate::OGE, weightFloat(q), minP);
  }
  /// The weight of a token that may be drawn, 0 where min-p leaves it out.
  Value drawnWeight(Value q) {
    return b.select(reachesMinP(q), weight(q), i64(0));
  }
  /// Some tokens of a lane, adjacent ones: their q, and whether each exists.
  struct Lane {
    SmallVector<Value> tokens, qs, isThere;
  };
  /// Those from `first`, a multiple of kUnroll, that are below `end`.
  Lane loadLane(Value first, Value end);

  SampleRow &r;
  SimtBuilder &b;
  Value top, scale, minP;
  /// Settings, and whether they leave anything out.
  Value topK, topP, cutsByCount, cutsByWeight;
  /// Whether either does.
  Value isLimited;

private:
  Value isAligned;
};

} // namespace mlir::dsv2::gpu

#endif // DSV2_LIB_CODEGEN_GPU_TOKENWEIGHTS_H
