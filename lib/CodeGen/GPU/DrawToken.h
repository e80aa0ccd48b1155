//===- DrawToken.h - drawing a token by its weight --------------*- C++ -*-===//
//
// Part of dsv2, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// Nothing is sorted. How far below the largest a logit is, is a whole number q,
// in units of 2^-24. Top-k and top-p keep the tokens whose q is below some
// number, and of those that have it the first few; digits of that number are
// found one after the other, from counts or sums of weights by digit. Weights
// follow from q, and are whole numbers too, so that their sums do not depend on
// an order.
//
//===----------------------------------------------------------------------===//

#ifndef DSV2_LIB_CODEGEN_GPU_DRAWTOKEN_H
#define DSV2_LIB_CODEGEN_GPU_DRAWTOKEN_H

#include "SampleRow.h"

namespace mlir::dsv2::gpu {

/// Emits the choice among the tokens of a row by their weights, by one block of
/// kWarps warps. Each warp has a stretch of the tokens and goes over it in
/// order, every lane some adjacent ones at a time. The first digit of the first
/// limit leaves a few tokens, as a rule, which each warp then has in a list.
class DrawToken {
public:
  static constexpr int64_t kWarps = 32;
  static constexpr int64_t kThreads = kWarps * kWarpSize;

  DrawToken(SampleRow &row, const Best &best);

  /// A token; the same in all threads. All of the block have to be here.
  Value emit(Value position);

private:
  /// Adjacent logits of a lane: those of one load.
  static constexpr int64_t kUnroll = 4;
  /// Digits of a q, their bits, and counters.
  static constexpr int64_t kDigits = 3, kDigitBits = 11, kLastDigitBits = 10;
  static constexpr int64_t kBins = 1 << kDigitBits;
  static constexpr int64_t kThreadBins = kBins / kThreads;
  /// A measure's words, which are added up one by one, as there is no addition
  /// of 64 bits in shared memory: of 13, 13 and 14 bits, so that the sums of
  /// DSV2RT_SAMPLE_VOCABULARY tokens fit.
  static constexpr int64_t kParts = 3, kPartBits = 13;
  /// Tokens of a warp's list.
  static constexpr int64_t kListed = 64;
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
  /// Some tokens of a lane, adjacent ones: their q, and whether each exists.
  struct Lane {
    SmallVector<Value> tokens, qs, isThere;
  };
  using VisitLane =
      llvm::function_ref<SmallVector<Value>(const Lane &, ValueRange)>;
  /// Goes over the warp's tokens, or those of its list; `body` also gets what
  /// was carried.
  SmallVector<Value> forTokens(ValueRange inits, VisitLane body);
  Lane loadLane(Value first);

  /// Tokens that are still in question: all whose q is below `limit`, and the
  /// first `ties` of those that have it.
  struct Kept {
    Value limit, ties;
  };
  /// Of `kept`, the likeliest whose measures add up to at least `wanted`, which
  /// they do.
  Kept select(Kept kept, Value wanted,
              llvm::function_ref<Value(Value)> measure);
  /// Adds up measures by a digit, of the tokens that `counts` says.
  void fillBins(llvm::function_ref<Value(Value)> counts,
                llvm::function_ref<Value(Value)> digit,
                llvm::function_ref<Value(Value)> measure);
  /// The thread's bins, which are adjacent.
  SmallVector<Value> loadBins();
  /// The sum of all bins.
  Value sumOfBins();
  /// The bin that brings the sum to `wanted`, i32, and the sum of those before.
  std::pair<Value, Value> findBin(Value wanted);
  /// Lists the tokens whose q is at most `limit`; returns whether there was
  /// room for all.
  Value makeLists(Value limit);
  Kept keepTopK(Kept kept);
  Kept keepTopP(Kept kept);
  /// What of a sum top-p wants.
  Value wantedShare(Value total);
  Value sumOfBlock(Value value);
  Value uniform(Value position);
  Value isBelow(Value q, Value limit);
  /// Which warp has the token that is drawn, how many ties are left from its
  /// tokens on, and how far into the weights of its tokens the target is.
  struct Owner {
    Value warp, ties, target;
  };
  /// Finds it, where `aim` makes a target from the sum of all weights.
  Owner findOwner(Kept kept, llvm::function_ref<Value(Value)> aim);
  /// Stores the token of this warp that `target` meets.
  void storeDrawn(Kept kept, Value target);
  /// Gives the warp its share of some tokens; returns how many that are.
  Value takeShare(Value from, Value to);
  Value drawFrom(Kept kept, Value position);

  SampleRow &r;
  SimtBuilder &b;
  Value top, scale, minP;
  Value lane, warp, begin, end;
  Value bins, warpSums, warpEquals, result, listsOverflow;
  /// Settings, and whether they leave anything out.
  Value topK, topP, cutsByCount, cutsByWeight;
  /// The warp's list, and how much of it is used. Tokens come from there while
  /// code is emitted with `fromList`.
  Value listedTokens, listedQs, listed, isAligned;
  bool fromList = false;
  /// The sum of the weights of all tokens, if there are lists for top-p alone.
  Value totalWeight;
};

} // namespace mlir::dsv2::gpu

#endif // DSV2_LIB_CODEGEN_GPU_DRAWTOKEN_H
