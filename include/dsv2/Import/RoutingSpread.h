//===- RoutingSpread.h - on how many ranks a token's experts lie -*- C++
//-*-===//
//
// Part of dsv2, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// A token is sent once to every rank that has any of its experts. How many
// these are depends on the router: with device-limited routing (section 2.2.2
// of the report) all experts of a token are in a few groups, and groups lie
// next to each other.
//
//===----------------------------------------------------------------------===//

#ifndef DSV2_IMPORT_ROUTINGSPREAD_H
#define DSV2_IMPORT_ROUTINGSPREAD_H

#include "dsv2/Import/ModelConfig.h"
#include "llvm/Support/Error.h"

#include <cstdint>
#include <vector>

namespace dsv2 {

/// A router and the ranks its experts lie on: rank r has experts r * P to
/// (r + 1) * P - 1 with P = experts / ranks, rounded up, as far as there are
/// any.
struct ExpertPlacement {
  int64_t experts = 0;
  int64_t expertsPerToken = 0;
  int64_t ranks = 1;
  /// Groups of adjacent experts, and how many of them a token's experts may
  /// come from. Without a limit both are 1.
  int64_t groups = 1;
  int64_t groupsPerToken = 1;

  /// Of a model with routed experts on `ranks` ranks, by its own router, or as
  /// if it chose freely among all experts.
  static ExpertPlacement of(const ModelConfig &config, int64_t ranks);
  static ExpertPlacement withoutLimit(const ModelConfig &config, int64_t ranks);

  int64_t expertsPerRank() const;
  /// Ranks that have any experts.
  int64_t ranksInUse() const;
};

/// Where the experts of one token lie.
struct RoutingSpread {
  /// The most ranks that have any of a token's experts, whatever the scores.
  int64_t mostRanks = 0;
  /// The most of them that are not the rank the token comes from, whichever
  /// that is.
  int64_t mostOthers = 0;
  /// For each rank, the probability that it has any of a token's experts.
  std::vector<double> hits;

  /// Mean number of ranks that have any of a token's experts.
  double meanRanks() const;
  /// The same without the rank the token comes from, for the rank with which
  /// that is largest.
  double meanOthers() const;
  /// The probability for the rank that is hit most.
  double mostHits() const;
};

/// Computes the spread where every order of a token's scores is equally likely,
/// which is what balanced routing comes to. The groups are those with the best
/// experts, the experts the best in these groups; the result is exact but for
/// rounding.
///
/// A rank's probability is one less that of being avoided, which the experts
/// tell when they are taken by falling score: as long as fewer groups have
/// been met than a token may use, the next one is any of the experts not yet
/// taken; from then on, any of these in the groups met.
///
/// Errors: more steps than a second would do, for configurations far from any
/// that is published.
llvm::Expected<RoutingSpread> computeSpread(const ExpertPlacement &placement);

} // namespace dsv2

#endif // DSV2_IMPORT_ROUTINGSPREAD_H
