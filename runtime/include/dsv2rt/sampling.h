//===- sampling.h - choosing the next token ---------------------*- C++ -*-===//
//
// Part of dsv2, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// One token is drawn from one row of logits in this order:
//
//   1. every logit is looked at: a NaN or +inf is an error, -inf means "never";
//   2. repetition penalty: for every id that occurs in the history, once,
//      a positive logit is divided by the penalty, another one multiplied;
//   3. temperature: 0 takes the largest logit, the lowest id among equals, and
//      the steps below do not run; otherwise weight = exp((x - max) / T);
//   4. top-k: the k largest weights stay;
//   5. top-p: of these, the fewest largest ones stay whose share of what step 4
//      left is at least p, and never less than one;
//   6. min-p: of these, those stay whose weight is at least minP times the
//      largest;
//   7. one is drawn in proportion to the weights.
//
// Wherever equal logits have to be told apart, the lower id counts as larger.
// All arithmetic is in double precision, in an order that depends on the logits
// and parameters only.
//
//===----------------------------------------------------------------------===//

#ifndef DSV2RT_SAMPLING_H
#define DSV2RT_SAMPLING_H

#include "dsv2rt/Status.h"
#include "dsv2rt/abi.h"

#include <array>
#include <cstddef>
#include <cstdint>
#include <vector>

namespace dsv2rt {

/// How to choose tokens. The defaults choose greedily.
struct SamplingParams {
  /// At least 0 and finite. 0 is greedy; 1 samples the model's distribution.
  double temperature = 0;
  /// At least 0; 0 keeps all.
  int64_t topK = 0;
  /// From 0 to 1. 1 keeps all, 0 keeps the largest only.
  double topP = 1;
  /// From 0 to 1. 0 keeps all, 1 keeps those equal to the largest only.
  double minP = 0;
  /// Above 0 and finite. 1 changes nothing, larger values make ids that have
  /// occurred less likely.
  double repetitionPenalty = 1;
  /// Every value is a seed like any other, 0 included. A request without a
  /// seed gets a random one from its caller, who should report it.
  uint64_t seed = 0;

  /// Checks the ranges above. Errors: InvalidArgument, with the name, the
  /// range and the value.
  Status validate() const;

  /// What kernels are told of valid parameters, for the tokens below
  /// `vocabulary`.
  dsv2rt_sampling_row toRow(int32_t vocabulary) const;
};

/// The Philox4x32-10 generator (Salmon et al., "Parallel random numbers: as
/// easy as 1, 2, 3", 2011): a keyed permutation of 128-bit counters. It has no
/// state, so a draw cannot depend on other requests or on the thread.
std::array<uint32_t, 4> philox4x32(const std::array<uint32_t, 4> &counter,
                                   const std::array<uint32_t, 2> &key);

/// Where the large logits of a row are, found when they were computed.
struct LargestOf {
  /// Value i is the largest of the logits [i * each, (i + 1) * each), or NaN if
  /// one of them is not finite. Null: it is not known.
  const float *values = nullptr;
  int64_t each = 0;

  /// Those of the row `index` rows of `count` logits further.
  LargestOf row(int64_t index, int64_t count) const {
    return values
               ? LargestOf{values + index * ((count + each - 1) / each), each}
               : LargestOf();
  }
};

/// Returns the number in [0, 1) that the request with `seed` draws for the
/// token at `position`; a multiple of 2^-53.
double uniformAt(uint64_t seed, uint64_t position);

/// Chooses tokens for one request. Holds its parameters and scratch memory,
/// nothing that carries over from one token to the next.
class Sampler {
public:
  /// Errors: those of SamplingParams::validate().
  static Expected<Sampler> create(const SamplingParams &params);

  /// Chooses a token.
  ///
  /// \param logits    one row, `count` values. Pass the rows that have a token
  ///                  only, see Tokenizer::vocabularySize().
  /// \param history   `historySize` ids for the repetition penalty, usually
  ///                  prompt and output so far; may be null with size 0.
  /// \param position  the index of the new token in its sequence. It selects
  ///                  the random number, so the same seed, position and logits
  ///                  give the same token alone or in a batch.
  /// \param largest   of the row, if known: choosing greedily then reads few of
  ///                  its logits. It makes no other difference.
  ///
  /// Errors: NonFinite, naming the first id, for a NaN or +inf, and if all
  /// logits are -inf; InvalidArgument for an empty row or a history id out of
  /// range.
  Expected<int32_t> sample(const float *logits, size_t count,
                           const int32_t *history, size_t historySize,
                           uint64_t position, const LargestOf &largest = {});

  const SamplingParams &params() const { return settings; }

private:
  /// A token that may still be chosen. `weight` is relative to the largest.
  struct Candidate {
    double logit;
    double weight;
    int32_t id;
  };

  explicit Sampler(const SamplingParams &params) : settings(params) {}
  Status readLogits(const float *logits, size_t count);
  Status applyPenalty(const int32_t *history, size_t historySize);
  int32_t largest() const;
  void takeTopK(size_t k);
  void takeCandidates(double top);
  void keepTopP();
  void keepMinP();
  int32_t draw(double uniform) const;

  SamplingParams settings;
  std::vector<double> values;
  std::vector<int32_t> seen;
  std::vector<Candidate> candidates;
};

/// Chooses a token without keeping scratch memory. Errors: those of
/// Sampler::create() and Sampler::sample().
Expected<int32_t> sample(const std::vector<float> &logits,
                         const std::vector<int32_t> &history,
                         const SamplingParams &params, uint64_t position);

} // namespace dsv2rt

#endif // DSV2RT_SAMPLING_H
