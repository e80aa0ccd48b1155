//===- Perplexity.h - how well a model predicts a text ----------*- C++ -*-===//
//
// Part of dsv2, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// A text is cut into windows that do not overlap. Each is evaluated by itself,
// its first token replaced by the beginning-of-sequence token if the model has
// one, and the tokens of its second half are scored, so that every score has at
// least half a window of context. This is what llama-perplexity does; figures
// for the same window compare.
//
//===----------------------------------------------------------------------===//

#ifndef DSV2RT_PERPLEXITY_H
#define DSV2RT_PERPLEXITY_H

#include "dsv2rt/Session.h"
#include "dsv2rt/Status.h"

#include <atomic>
#include <cstdint>
#include <functional>
#include <vector>

namespace dsv2rt {

/// A mean over tokens and its standard error, as if they were independent.
struct MeanEstimate {
  double mean = 0;
  double error = 0;
};

/// What the scored tokens say.
struct PerplexityResult {
  int64_t windows = 0;
  int64_t tokens = 0;
  /// Nats per token: -log of the probability of the token that came.
  MeanEstimate loss;

  /// Whether there were other logits to compare with, which the rest is about.
  bool hasBase = false;
  MeanEstimate baseLoss;
  /// loss - baseLoss, token by token: its error is much smaller than theirs.
  MeanEstimate lossDifference;
  /// KL divergence from the base in nats per token: the mean, what 99 % of the
  /// tokens do not exceed, and the largest.
  MeanEstimate divergence;
  double divergence99 = 0;
  double largestDivergence = 0;
  /// Share of tokens for which both find the same token most likely.
  MeanEstimate sameTop;

  /// exp of the losses, and the standard error of that.
  MeanEstimate perplexity() const;
  MeanEstimate basePerplexity() const;
  /// perplexity() / basePerplexity().
  MeanEstimate perplexityRatio() const;
};

/// How to compute it.
struct PerplexityOptions {
  /// Tokens of a window, at least `minPerplexityWindow`.
  int64_t window = 512;
  /// Tokens of one step.
  int64_t chunk = 512;
  /// Called with the logits of all scored positions, in order: f32 [rows,
  /// vocabulary].
  std::function<Status(const float *logits, int64_t rows)> onLogits;
  /// Called for the logits to compare those with, in the same order.
  std::function<Status(float *logits, int64_t rows)> readBase;
  /// Called after each window with what is known so far.
  std::function<void(const PerplexityResult &)> onWindow;
  /// An error is returned once this is true.
  const std::atomic<bool> *cancel = nullptr;
};

inline constexpr int64_t minPerplexityWindow = 4;

/// Positions that are scored in a window: i predicts token i + 1.
inline int64_t scoredPositions(int64_t window) {
  return window - 1 - window / 2;
}

/// Scores `tokens`; what is left behind the last whole window is not. The
/// session has room for a window and for one more sequence. Errors:
/// InvalidArgument for a window out of range, and for fewer tokens than one
/// window; NonFinite for base logits that are not finite; those of the session
/// and of the callbacks.
Expected<PerplexityResult> computePerplexity(Session &session,
                                             const std::vector<int32_t> &tokens,
                                             const PerplexityOptions &options);

} // namespace dsv2rt

#endif // DSV2RT_PERPLEXITY_H
