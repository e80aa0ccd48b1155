//===- DrawToken.h - drawing a token by its weight --------------*- C++ -*-===//
//
// Part of dsv2, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// Nothing is sorted. Top-k and top-p keep the tokens whose distance q from the
// largest logit (TokenWeights.h) is below some number, and of those that have
// it the first few; digits of that number are found one after the other, from
// counts or sums of weights by digit.
//
//===----------------------------------------------------------------------===//

#ifndef DSV2_LIB_CODEGEN_GPU_DRAWTOKEN_H
#define DSV2_LIB_CODEGEN_GPU_DRAWTOKEN_H

#include "TokenWeights.h"

namespace mlir::dsv2::gpu {

/// Emits the choice among the tokens of a row by their weights, by one block of
/// kWarps warps. Each warp has a stretch of the tokens and goes over it in
/// order, every lane some adjacent ones at a time. The first digit of the first
/// limit leaves a few tokens, as a rule, which each warp then has in a list.
class DrawToken : private TokenWeights {
public:
  static constexpr int64_t kWarps = 32;
  static constexpr int64_t kThreads = kWarps * kWarpSize;

  DrawToken(SampleRow &row, const Best &best);

  /// A token; the same in all threads. All of the block have to be here.
  /// `partWeight` is that of all tokens of part l of the row, in lane l of each
  /// warp; it is not looked at if top-k or top-p cut.
  Value emit(Value position, Value partWeight);

private:
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

  using VisitLane =
      llvm::function_ref<SmallVector<Value>(const Lane &, ValueRange)>;
  /// Goes over the warp's tokens, or those of its list; `body` also gets what
  /// was carried.
  SmallVector<Value> forTokens(ValueRange inits, VisitLane body);

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
  /// Which of 32 shares of tokens has the one that is drawn, how many ties are
  /// left from its tokens on, and how far into the weights of its tokens the
  /// target is.
  struct Owner {
    Value share, ties, target;
  };
  /// Makes a target from the sum of all weights.
  using Aim = llvm::function_ref<Value(Value)>;
  /// Finds it from the weight of share l in lane l, with `ties` from there on.
  Owner findOwner(Value itsWeight, Value ties, Aim aim);
  /// Finds it among the warps' shares.
  Owner findWarp(Kept kept, Aim aim);
  /// Stores the token of this warp that `target` meets.
  void storeDrawn(Kept kept, Value target);
  /// Gives the warp its share of some tokens; returns how many that are.
  Value takeShare(Value from, Value to);
  /// Tokens one of which is drawn: the one whose weight brings the sum above
  /// `target`; and how many ties of theirs there are to take.
  struct Stretch {
    Value begin, end, target, ties;
  };
  /// The share of a warp that has the token.
  Stretch narrow(const Stretch &tokens, Value limit, Aim aim);
  /// Stores the token of a stretch that is one warp's share of one.
  void storeDrawnOf(const Stretch &tokens, Value limit);
  Value drawFrom(Kept kept, Value position);
  /// Where nothing is left out but by min-p.
  Value drawFromAll(Value position, Value partWeight);
  /// The token that is stored, in all threads.
  Value loadDrawn();

  Value lane, warp, begin, end;
  Value bins, warpSums, warpEquals, result, listsOverflow;
  /// The warp's list, and how much of it is used. Tokens come from there while
  /// code is emitted with `fromList`.
  Value listedTokens, listedQs, listed;
  bool fromList = false;
  /// The sum of the weights of all tokens, if there are lists for top-p alone.
  Value totalWeight;
};

} // namespace mlir::dsv2::gpu

#endif // DSV2_LIB_CODEGEN_GPU_DRAWTOKEN_H
