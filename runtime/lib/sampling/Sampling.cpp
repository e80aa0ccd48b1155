//===- Sampling.cpp - choosing the next token -----------------------------===//
//
// Part of dsv2, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "dsv2rt/sampling.h"

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <exception>
#include <limits>
#include <new>
#include <optional>
#include <string>

using namespace dsv2rt;

//===----------------------------------------------------------------------===//
// Parameters
//===----------------------------------------------------------------------===//

static Status outOfRange(const char *name, const char *range, double value) {
  char text[64];
  std::snprintf(text, sizeof(text), "%.9g", value);
  return Status::error(StatusCode::InvalidArgument, std::string(name) +
                                                        " must be " + range +
                                                        ", got " + text);
}

Status SamplingParams::validate() const {
  // Written so that a NaN fails every test.
  if (!(temperature >= 0 && std::isfinite(temperature)))
    return outOfRange("temperature", "a finite number of at least 0",
                      temperature);
  if (topK < 0)
    return outOfRange("top-k", "an integer of at least 0",
                      static_cast<double>(topK));
  if (!(topP >= 0 && topP <= 1))
    return outOfRange("top-p", "between 0 and 1", topP);
  if (!(minP >= 0 && minP <= 1))
    return outOfRange("min-p", "between 0 and 1", minP);
  if (!(repetitionPenalty > 0 && std::isfinite(repetitionPenalty)))
    return outOfRange("repetition penalty", "a finite number above 0",
                      repetitionPenalty);
  return Status();
}

dsv2rt_sampling_row SamplingParams::toRow(int32_t vocabulary) const {
  using Float = std::numeric_limits<float>;
  auto toFloat = [](double value) {
    return float(std::clamp<double>(value, Float::min(), Float::max()));
  };
  constexpr double log2e = 1.44269504088896340736;
  dsv2rt_sampling_row row = {};
  row.vocabulary = vocabulary;
  row.scale = temperature ? toFloat(log2e / temperature) : 0;
  row.penalty = toFloat(repetitionPenalty);
  row.min_p = float(minP);
  row.top_k =
      int32_t(std::min<int64_t>(topK, std::numeric_limits<int32_t>::max()));
  row.top_p = topP < 1 ? uint64_t(std::ldexp(topP, 64))
                       : std::numeric_limits<uint64_t>::max();
  row.seed = seed;
  return row;
}

//===----------------------------------------------------------------------===//
// Random numbers
//===----------------------------------------------------------------------===//

std::array<uint32_t, 4>
dsv2rt::philox4x32(const std::array<uint32_t, 4> &counter,
                   const std::array<uint32_t, 2> &key) {
  constexpr uint64_t multiplier0 = 0xD2511F53;
  constexpr uint64_t multiplier1 = 0xCD9E8D57;
  constexpr uint32_t bump0 = 0x9E3779B9;
  constexpr uint32_t bump1 = 0xBB67AE85;
  std::array<uint32_t, 4> x = counter;
  uint32_t key0 = key[0];
  uint32_t key1 = key[1];
  for (int round = 0; round < 10; ++round) {
    uint64_t product0 = multiplier0 * x[0];
    uint64_t product1 = multiplier1 * x[2];
    x = {static_cast<uint32_t>(product1 >> 32) ^ x[1] ^ key0,
         static_cast<uint32_t>(product1),
         static_cast<uint32_t>(product0 >> 32) ^ x[3] ^ key1,
         static_cast<uint32_t>(product0)};
    key0 += bump0;
    key1 += bump1;
  }
  return x;
}

double dsv2rt::uniformAt(uint64_t seed, uint64_t position) {
  std::array<uint32_t, 4> bits = philox4x32(
      {static_cast<uint32_t>(position), static_cast<uint32_t>(position >> 32),
       0, 0},
      {static_cast<uint32_t>(seed), static_cast<uint32_t>(seed >> 32)});
  uint64_t word = static_cast<uint64_t>(bits[1]) << 32 | bits[0];
  return static_cast<double>(word >> 11) * 0x1p-53;
}

//===----------------------------------------------------------------------===//
// Sampler
//===----------------------------------------------------------------------===//

Expected<Sampler> Sampler::create(const SamplingParams &params) {
  if (Status status = params.validate(); !status.ok())
    return status;
  return Sampler(params);
}

Status Sampler::readLogits(const float *logits, size_t count) {
  if (!logits || count == 0 || count > INT32_MAX)
    return Status::error(StatusCode::InvalidArgument,
                         "expected between 1 and 2147483647 logits, got " +
                             std::to_string(logits ? count : 0));
  bool any = false;
  for (size_t i = 0; i < count; ++i) {
    float x = logits[i];
    if (std::isfinite(x)) {
      any = true;
      continue;
    }
    if (x < 0)
      continue;
    return Status::error(StatusCode::NonFinite,
                         std::string("the logit of token ") +
                             std::to_string(i) + " is " +
                             (std::isnan(x) ? "NaN" : "+inf"));
  }
  if (!any)
    return Status::error(StatusCode::NonFinite, "all logits are -inf");
  values.assign(logits, logits + count);
  return Status();
}

Status Sampler::applyPenalty(const int32_t *history, size_t historySize) {
  if (settings.repetitionPenalty == 1 || historySize == 0)
    return Status();
  seen.assign(history, history + historySize);
  std::sort(seen.begin(), seen.end());
  seen.erase(std::unique(seen.begin(), seen.end()), seen.end());
  for (int32_t id : seen) {
    if (id < 0 || static_cast<size_t>(id) >= values.size())
      return Status::error(StatusCode::InvalidArgument,
                           "token id " + std::to_string(id) +
                               " of the history is out of range, expected 0 "
                               "to " +
                               std::to_string(values.size() - 1));
    double &x = values[static_cast<size_t>(id)];
    if (!std::isfinite(x))
      continue;
    x = x > 0 ? x / settings.repetitionPenalty : x * settings.repetitionPenalty;
    // An absurd penalty must not make an infinity out of a finite logit.
    constexpr double limit = std::numeric_limits<double>::max();
    x = std::clamp(x, -limit, limit);
  }
  return Status();
}

int32_t Sampler::largest() const {
  // max_element returns the first of equal elements.
  return static_cast<int32_t>(std::max_element(values.begin(), values.end()) -
                              values.begin());
}

/// Orders candidates from the likeliest down; a total order. It goes by logit,
/// since different logits can have equal weights at a high temperature.
static constexpr auto likelier = [](const auto &a, const auto &b) {
  return a.logit != b.logit ? a.logit > b.logit : a.id < b.id;
};

void Sampler::takeTopK(size_t k) {
  // Whatever is not above the k-th of those before it is out, and soon that is
  // almost everything: of equal logits the first ones stay.
  auto keepBest = [&] {
    auto kth = candidates.begin() + static_cast<ptrdiff_t>(k - 1);
    std::nth_element(candidates.begin(), kth, candidates.end(), likelier);
    candidates.resize(k);
    return candidates[k - 1].logit;
  };
  const size_t most = k + std::max<size_t>(k, 64);
  double least = -std::numeric_limits<double>::infinity();
  for (size_t i = 0; i < values.size(); ++i) {
    // The first k come in whatever they are.
    if (!(values[i] > least) && candidates.size() >= k)
      continue;
    candidates.push_back({values[i], 0, static_cast<int32_t>(i)});
    if (candidates.size() == most)
      least = keepBest();
  }
  if (candidates.size() > k)
    keepBest();
}

void Sampler::takeCandidates(double top) {
  candidates.clear();
  uint64_t k = static_cast<uint64_t>(settings.topK);
  if (k > 0 && k < values.size())
    takeTopK(static_cast<size_t>(k));
  else
    for (size_t i = 0; i < values.size(); ++i)
      candidates.push_back({values[i], 0, static_cast<int32_t>(i)});
  for (Candidate &candidate : candidates)
    // Subtracting first keeps the quotient from overflowing to inf - inf,
    // however small the temperature is.
    candidate.weight = std::exp((candidate.logit - top) / settings.temperature);
}

void Sampler::keepTopP() {
  if (settings.topP >= 1)
    return;
  double total = 0;
  for (const Candidate &candidate : candidates)
    total += candidate.weight;
  double wanted = settings.topP * total;
  // Sort the likeliest few first and go on only if they do not suffice: the
  // whole vocabulary never has to be in order.
  size_t sorted = 0;
  double sum = 0;
  for (size_t chunk = 64; sorted < candidates.size(); chunk *= 4) {
    size_t end = std::min(candidates.size(), sorted + chunk);
    std::partial_sort(candidates.begin() + static_cast<ptrdiff_t>(sorted),
                      candidates.begin() + static_cast<ptrdiff_t>(end),
                      candidates.end(), likelier);
    for (; sorted < end; ++sorted) {
      sum += candidates[sorted].weight;
      if (sum >= wanted) {
        candidates.resize(sorted + 1);
        return;
      }
    }
  }
}

void Sampler::keepMinP() {
  if (settings.minP <= 0)
    return;
  double top = 0;
  for (const Candidate &candidate : candidates)
    top = std::max(top, candidate.weight);
  double least = settings.minP * top;
  candidates.erase(std::remove_if(candidates.begin(), candidates.end(),
                                  [&](const Candidate &candidate) {
                                    return candidate.weight < least;
                                  }),
                   candidates.end());
}

int32_t Sampler::draw(double uniform) const {
  double total = 0;
  for (const Candidate &candidate : candidates)
    total += candidate.weight;
  double target = uniform * total;
  double sum = 0;
  const Candidate *last = &candidates.front();
  for (const Candidate &candidate : candidates) {
    // A weight that underflowed to zero is never chosen.
    if (candidate.weight > 0)
      last = &candidate;
    sum += candidate.weight;
    if (sum > target)
      break;
  }
  return last->id;
}

/// The first of the largest logits; nothing if there is a NaN or +inf among
/// them, or -inf alone. One pass, at about the speed of the cache: a vocabulary
/// is long.
static std::optional<int32_t> firstLargest(const float *logits, size_t count) {
  constexpr size_t lanes = 16, block = 256 * lanes;
  constexpr float infinity = std::numeric_limits<float>::infinity();
  float largest = -infinity;
  size_t place = 0;
  for (size_t start = 0; start < count; start += block) {
    size_t end = std::min(count, start + block), i = start;
    float most[lanes];
    uint32_t isNaN[lanes] = {};
    std::fill(most, most + lanes, -infinity);
    for (; i + lanes <= end; i += lanes)
      for (size_t lane = 0; lane < lanes; ++lane) {
        float x = logits[i + lane];
        most[lane] = x > most[lane] ? x : most[lane];
        isNaN[lane] |= x != x;
      }
    for (; i < end; ++i) {
      most[0] = std::max(most[0], logits[i]);
      isNaN[0] |= std::isnan(logits[i]);
    }
    float here = *std::max_element(most, most + lanes);
    if (here == infinity ||
        std::any_of(isNaN, isNaN + lanes, [](uint32_t any) { return any; }))
      return std::nullopt;
    if (here > largest) {
      largest = here;
      place = start;
    }
  }
  if (largest == -infinity)
    return std::nullopt;
  return static_cast<int32_t>(
      std::find(logits + place, logits + count, largest) - logits);
}

/// The same, reading only the group of logits where the largest is, and the
/// last ones, where `count` ends within a group.
static std::optional<int32_t> firstLargest(const float *logits, size_t count,
                                           const LargestOf &largest) {
  size_t each = static_cast<size_t>(largest.each), groups = count / each;
  size_t rest = groups * each;
  std::optional<int32_t> last;
  if (rest < count) {
    last = firstLargest(logits + rest, count - rest);
    if (!last)
      return std::nullopt;
    *last += static_cast<int32_t>(rest);
  }
  if (groups == 0)
    return last;
  std::optional<int32_t> group = firstLargest(largest.values, groups);
  if (!group)
    return std::nullopt;
  float most = largest.values[*group];
  if (last && logits[*last] > most)
    return last;
  const float *begin = logits + static_cast<size_t>(*group) * each;
  const float *found = std::find(begin, begin + each, most);
  if (found == begin + each)
    return std::nullopt;
  return static_cast<int32_t>(found - logits);
}

Expected<int32_t> Sampler::sample(const float *logits, size_t count,
                                  const int32_t *history, size_t historySize,
                                  uint64_t position,
                                  const LargestOf &largestOf) {
  try {
    bool isPlain = settings.repetitionPenalty == 1 || historySize == 0;
    if (settings.temperature == 0 && isPlain && logits && count <= INT32_MAX) {
      bool known = largestOf.values && largestOf.each > 0;
      if (std::optional<int32_t> largest =
              known ? firstLargest(logits, count, largestOf)
                    : firstLargest(logits, count))
        return *largest;
    }
    // Reading them one by one tells what is wrong with which.
    if (Status status = readLogits(logits, count); !status.ok())
      return status;
    if (Status status = applyPenalty(history, historySize); !status.ok())
      return status;
    int32_t best = largest();
    if (settings.temperature == 0)
      return best;
    takeCandidates(values[static_cast<size_t>(best)]);
    keepTopP();
    keepMinP();
    // The order of equal sets must not depend on how they were selected.
    auto byId = [](const Candidate &a, const Candidate &b) {
      return a.id < b.id;
    };
    if (!std::is_sorted(candidates.begin(), candidates.end(), byId))
      std::sort(candidates.begin(), candidates.end(), byId);
    return draw(uniformAt(settings.seed, position));
  } catch (const std::bad_alloc &) {
    return Status::error(StatusCode::OutOfMemory, "out of memory");
  } catch (const std::exception &error) {
    return Status::error(StatusCode::Internal, error.what());
  }
}

Expected<int32_t> dsv2rt::sample(const std::vector<float> &logits,
                                 const std::vector<int32_t> &history,
                                 const SamplingParams &params,
                                 uint64_t position) {
  Expected<Sampler> sampler = Sampler::create(params);
  if (!sampler.ok())
    return sampler.status();
  return sampler.value().sample(logits.data(), logits.size(), history.data(),
                                history.size(), position);
}
