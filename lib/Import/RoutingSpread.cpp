//===- RoutingSpread.cpp - on how many ranks a token's experts lie --------===//
//
// Part of dsv2, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "dsv2/Import/RoutingSpread.h"

#include "llvm/ADT/STLExtras.h"
#include "llvm/ADT/Twine.h"
#include "llvm/Support/MathExtras.h"

#include <algorithm>
#include <array>
#include <map>
#include <numeric>
#include <utility>

using namespace dsv2;
using namespace llvm;

/// Steps of the inner loops: some tenths of a second.
static constexpr int64_t kMostSteps = int64_t(1) << 25;

ExpertPlacement ExpertPlacement::of(const ModelConfig &config, int64_t ranks) {
  ExpertPlacement placement = withoutLimit(config, ranks);
  if (config.topkMethod == TopKMethod::GroupLimitedGreedy) {
    placement.groups = config.nGroup;
    placement.groupsPerToken = config.topkGroup;
  }
  return placement;
}

ExpertPlacement ExpertPlacement::withoutLimit(const ModelConfig &config,
                                              int64_t ranks) {
  ExpertPlacement placement;
  placement.experts = config.nRoutedExperts;
  placement.expertsPerToken = config.numExpertsPerTok;
  placement.ranks = ranks;
  return placement;
}

int64_t ExpertPlacement::expertsPerRank() const {
  return divideCeil(experts, ranks);
}

int64_t ExpertPlacement::ranksInUse() const {
  return divideCeil(experts, expertsPerRank());
}

double RoutingSpread::meanRanks() const {
  return std::accumulate(hits.begin(), hits.end(), 0.0);
}

double RoutingSpread::meanOthers() const {
  return meanRanks() - *std::min_element(hits.begin(), hits.end());
}

double RoutingSpread::mostHits() const {
  return *std::max_element(hits.begin(), hits.end());
}

namespace {
/// What a rank has of the groups: their order does not matter.
struct RankPattern {
  /// Experts of the (at most two) groups that it has a part of, or 0.
  std::array<int64_t, 2> parts = {0, 0};
  /// Groups that it has none of.
  int64_t freeGroups = 0;

  bool operator<(const RankPattern &other) const {
    return std::tie(parts, freeGroups) <
           std::tie(other.parts, other.freeGroups);
  }
};

class SpreadComputer {
public:
  explicit SpreadComputer(const ExpertPlacement &placement)
      : p(placement), groupSize(placement.experts / placement.groups) {}

  Expected<RoutingSpread> compute();

private:
  /// Counts towards the limit; false if it is passed.
  bool spend(int64_t steps) {
    spent += steps;
    return spent <= kMostSteps;
  }
  Error tooLarge() const;

  RankPattern getPattern(int64_t rank) const;
  double probabilityOfAvoiding(const RankPattern &pattern) const;
  std::optional<int64_t> findMostRanks();

  const ExpertPlacement &p;
  int64_t groupSize;
  int64_t spent = 0;
};
} // namespace

Error SpreadComputer::tooLarge() const {
  return createStringError(
      Twine("expected routing whose spread over ranks takes at most ") +
      Twine(kMostSteps) + " steps to compute, got " + Twine(p.expertsPerToken) +
      " of " + Twine(p.experts) + " experts from " + Twine(p.groupsPerToken) +
      " of " + Twine(p.groups) + " groups, over " + Twine(p.ranks) + " ranks");
}

RankPattern SpreadComputer::getPattern(int64_t rank) const {
  RankPattern pattern;
  int64_t first = std::min(rank * p.expertsPerRank(), p.experts);
  int64_t last = std::min(first + p.expertsPerRank(), p.experts) - 1;
  if (last < first) {
    pattern.freeGroups = p.groups;
    return pattern;
  }
  int64_t firstGroup = first / groupSize, lastGroup = last / groupSize;
  pattern.freeGroups = p.groups - (lastGroup - firstGroup + 1);
  auto addPart = [&](int64_t group) {
    int64_t begin = std::max(first, group * groupSize);
    int64_t end = std::min(last + 1, (group + 1) * groupSize);
    if (end - begin < groupSize)
      (pattern.parts[0] ? pattern.parts[1] : pattern.parts[0]) = end - begin;
  };
  addPart(firstGroup);
  if (lastGroup != firstGroup)
    addPart(lastGroup);
  std::sort(pattern.parts.begin(), pattern.parts.end());
  return pattern;
}

/// The probability that a token takes no expert of the rank.
double SpreadComputer::probabilityOfAvoiding(const RankPattern &pattern) const {
  const int64_t chosen = p.groupsPerToken, topK = p.expertsPerToken;
  auto getTaboo = [&](unsigned met) {
    return (met & 1 ? pattern.parts[0] : 0) + (met & 2 ? pattern.parts[1] : 0);
  };
  // Bit i of `met`: the group of part i has been met. `rest[met][i]` is the
  // probability of avoiding the rank with the experts from number i on, once
  // as many groups have been met as a token may use.
  std::array<std::vector<double>, 4> rest;
  for (unsigned met = 0; met < 4; ++met) {
    rest[met].assign(topK + 1, 1.0);
    for (int64_t i = topK - 1; i >= 0; --i) {
      int64_t left = chosen * groupSize - i;
      int64_t good = std::max<int64_t>(left - getTaboo(met), 0);
      rest[met][i] = rest[met][i + 1] * double(good) / double(left);
    }
  }

  // The probability of having taken `i` experts, of groups met in part (`met`)
  // or without any expert of the rank (`free`, the index), and none of the
  // rank's. More groups than experts are never met.
  using States = std::array<std::vector<double>, 4>;
  States now, next;
  for (auto *states : {&now, &next})
    for (std::vector<double> &probabilities : *states)
      probabilities.assign(std::min(chosen, topK) + 1, 0.0);
  now[0][0] = 1.0;
  double avoided = 0.0;
  for (int64_t i = 0; i < topK; ++i) {
    for (std::vector<double> &probabilities : next)
      llvm::fill(probabilities, 0.0);
    double unseen = double(p.experts - i);
    for (unsigned met = 0; met < 4; ++met) {
      int64_t numParts = (met & 1) + (met >> 1);
      for (int64_t free = 0; free + numParts <= std::min(i, chosen); ++free) {
        double probability = now[met][free];
        if (probability == 0.0)
          continue;
        int64_t groupsMet = free + numParts;
        if (groupsMet == chosen) {
          avoided += probability * rest[met][i];
          continue;
        }
        int64_t again = groupsMet * groupSize - getTaboo(met) - i;
        if (again > 0)
          next[met][free] += probability * double(again) / unseen;
        if (free < pattern.freeGroups)
          next[met][free + 1] += probability *
                                 double(pattern.freeGroups - free) *
                                 double(groupSize) / unseen;
        for (unsigned part : {0u, 1u})
          if (pattern.parts[part] && !(met & (1 << part)))
            next[met | (1 << part)][free] +=
                probability * double(groupSize - pattern.parts[part]) / unseen;
      }
    }
    std::swap(now, next);
  }
  for (const std::vector<double> &probabilities : now)
    avoided += std::accumulate(probabilities.begin(), probabilities.end(), 0.0);
  return avoided;
}

/// Groups are intervals of ranks, in order, that share an end at most: choose
/// those that cover most. Nothing if that takes too long.
std::optional<int64_t> SpreadComputer::findMostRanks() {
  int64_t limit = std::min(p.expertsPerToken, p.ranksInUse());
  int64_t perRank = p.expertsPerRank();
  auto firstRank = [&](int64_t group) { return group * groupSize / perRank; };
  auto lastRank = [&](int64_t group) {
    return ((group + 1) * groupSize - 1) / perRank;
  };
  // most[g]: by one group less than in this round, of which g is the last.
  std::vector<int64_t> most(p.groups, 0), best(p.groups, 0);
  int64_t found = 0;
  // What ends where a group begins: the group before it, and if that lies
  // within one rank, all that do and the one before these.
  int64_t touching = 0, touched = -1;
  for (int64_t round = 0; round < p.groupsPerToken; ++round) {
    if (!spend(p.groups))
      return std::nullopt;
    int64_t before = 0, next = 0, improved = found;
    touched = -1;
    for (int64_t group = 0; group < p.groups; ++group) {
      int64_t first = firstRank(group), span = lastRank(group) - first + 1;
      for (; next < group && lastRank(next) < first; ++next)
        before = std::max(before, most[next]);
      if (std::exchange(touched, first) != first)
        touching = 0;
      if (group > 0 && lastRank(group - 1) == first)
        touching = std::max(touching, most[group - 1]);
      best[group] = span + std::max(before, touching - 1);
      improved = std::max(improved, best[group]);
    }
    std::swap(most, best);
    if (improved == found && round > 0)
      break;
    found = improved;
    if (found >= limit)
      return limit;
  }
  return std::min(found, limit);
}

Expected<RoutingSpread> SpreadComputer::compute() {
  RoutingSpread spread;
  std::optional<int64_t> most = findMostRanks();
  if (!most)
    return tooLarge();
  spread.mostRanks = *most;
  // A rank that is not among them can be where the token comes from.
  spread.mostOthers = *most < p.ranks ? *most : *most - 1;

  int64_t stepsEach = 4 * p.expertsPerToken *
                      (std::min(p.expertsPerToken, p.groupsPerToken) + 2);
  std::map<RankPattern, double> known;
  for (int64_t rank = 0; rank < p.ranks; ++rank) {
    auto [it, isNew] = known.try_emplace(getPattern(rank), 0.0);
    if (isNew) {
      if (!spend(stepsEach))
        return tooLarge();
      it->second = 1.0 - probabilityOfAvoiding(it->first);
    }
    spread.hits.push_back(it->second);
  }
  return spread;
}

Expected<RoutingSpread> dsv2::computeSpread(const ExpertPlacement &placement) {
  return SpreadComputer(placement).compute();
}
