//===- RoutingSpreadTest.cpp - on how many ranks a token's experts lie ----===//
//
// Part of dsv2, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "dsv2/Import/RoutingSpread.h"
#include "ConfigFixtures.h"

#include <algorithm>
#include <numeric>
#include <random>
#include <set>

using namespace dsv2;
using namespace dsv2::test;
using namespace llvm;

/// The ranks of a token's experts, for experts in the order of their scores.
static std::set<int64_t> route(const ExpertPlacement &p,
                               ArrayRef<int64_t> order) {
  int64_t groupSize = p.experts / p.groups;
  std::set<int64_t> groups;
  for (int64_t expert : order)
    if (int64_t(groups.size()) < p.groupsPerToken)
      groups.insert(expert / groupSize);
  std::set<int64_t> ranks;
  int64_t taken = 0;
  for (int64_t expert : order)
    if (taken < p.expertsPerToken && groups.count(expert / groupSize)) {
      ranks.insert(expert / p.expertsPerRank());
      ++taken;
    }
  return ranks;
}

static std::vector<int64_t> firstOrder(int64_t experts) {
  std::vector<int64_t> order(experts);
  std::iota(order.begin(), order.end(), 0);
  return order;
}

static RoutingSpread spreadOf(const ExpertPlacement &placement) {
  Expected<RoutingSpread> spread = computeSpread(placement);
  if (spread)
    return *spread;
  ADD_FAILURE() << toString(spread.takeError());
  RoutingSpread none;
  none.hits.assign(placement.ranks, 0.0);
  return none;
}

/// All orders of up to 7 experts, on all numbers of ranks.
TEST(RoutingSpreadTest, EqualsTheMeanOverAllOrders) {
  int64_t numCases = 0;
  for (int64_t experts : {4, 6, 7})
    for (int64_t groups : {1, 2, 3, 4, 6, 7})
      for (int64_t chosen : {1, 2, 3})
        for (int64_t topK = 1; topK <= 4; ++topK) {
          if (experts % groups || chosen > groups ||
              topK > chosen * (experts / groups))
            continue;
          for (int64_t ranks = 1; ranks <= experts; ++ranks) {
            ExpertPlacement p{experts, topK, ranks, groups, chosen};
            RoutingSpread spread = spreadOf(p);
            std::vector<int64_t> counts(ranks, 0);
            int64_t total = 0, most = 0, mostOthers = 0;
            std::vector<int64_t> order = firstOrder(experts);
            do {
              std::set<int64_t> found = route(p, order);
              for (int64_t rank : found)
                ++counts[rank];
              int64_t size = found.size();
              most = std::max(most, size);
              for (int64_t from = 0; from < ranks; ++from)
                mostOthers =
                    std::max<int64_t>(mostOthers, size - found.count(from));
              ++total;
            } while (std::next_permutation(order.begin(), order.end()));
            std::string text =
                formatv("{0} of {1} experts, {2} of {3} groups, {4} ranks",
                        topK, experts, chosen, groups, ranks)
                    .str();
            ASSERT_EQ(spread.hits.size(), size_t(ranks)) << text;
            for (int64_t rank = 0; rank < ranks; ++rank)
              EXPECT_NEAR(spread.hits[rank], double(counts[rank]) / total,
                          1e-12)
                  << text << ", rank " << rank;
            EXPECT_EQ(spread.mostRanks, most) << text;
            EXPECT_EQ(spread.mostOthers, mostOthers) << text;
            ++numCases;
          }
        }
  EXPECT_GT(numCases, 100);
}

/// The published routers, against 40,000 tokens with random scores: the mean
/// of as many has a standard deviation of at most 0.006.
TEST(RoutingSpreadTest, AgreesWithRandomRouting) {
  std::mt19937_64 random(42);
  for (StringRef name : {"models/deepseek_v2", "models/deepseek_v2_lite"}) {
    ModelConfig config = *Fixture(name).read().config;
    std::vector<ExpertPlacement> placements;
    // Whole groups on a rank, parts of one, and neither.
    for (int64_t ranks : {2, 4, 7, 8, 16, 40, 60}) {
      placements.push_back(ExpertPlacement::of(config, ranks));
      placements.push_back(ExpertPlacement::withoutLimit(config, ranks));
    }
    std::vector<double> sums(placements.size(), 0.0);
    std::vector<int64_t> order = firstOrder(config.nRoutedExperts);
    constexpr int64_t tokens = 40000;
    for (int64_t token = 0; token < tokens; ++token) {
      std::shuffle(order.begin(), order.end(), random);
      for (size_t i = 0; i < placements.size(); ++i)
        sums[i] += double(route(placements[i], order).size());
    }
    for (size_t i = 0; i < placements.size(); ++i)
      EXPECT_NEAR(spreadOf(placements[i]).meanRanks(), sums[i] / tokens, 0.03)
          << name.str() << ", " << placements[i].ranks << " ranks, "
          << placements[i].groups << " groups";
  }
}

TEST(RoutingSpreadTest, GroupsOnRanksOfTheirOwnLimitTheRanks) {
  ModelConfig config = *Fixture("models/deepseek_v2").read().config;
  RoutingSpread limited = spreadOf(ExpertPlacement::of(config, 8));
  EXPECT_EQ(limited.mostRanks, 3);
  EXPECT_EQ(limited.mostOthers, 3);
  EXPECT_LT(limited.meanRanks(), 3.0);
  RoutingSpread free = spreadOf(ExpertPlacement::withoutLimit(config, 8));
  EXPECT_EQ(free.mostRanks, 6);
  // 8 ranks, each avoided by all 6 with C(140, 6) / C(160, 6).
  double avoided = 1.0;
  for (int i = 0; i < 6; ++i)
    avoided *= (140.0 - i) / (160.0 - i);
  EXPECT_NEAR(free.meanRanks(), 8 * (1 - avoided), 1e-12);
  EXPECT_NEAR(free.meanOthers(), 7 * (1 - avoided), 1e-12);
  // Half a group on a rank: three groups are on six ranks.
  EXPECT_EQ(spreadOf(ExpertPlacement::of(config, 16)).mostRanks, 6);
  // Two groups on a rank.
  EXPECT_EQ(spreadOf(ExpertPlacement::of(config, 4)).mostRanks, 3);
}

TEST(RoutingSpreadTest, UnevenRanks) {
  // 3, 3 and 2 experts, then 2, 2, 2, 2 and none.
  RoutingSpread spread = spreadOf({8, 2, 3, 1, 1});
  EXPECT_NEAR(spread.hits[0], 18.0 / 28, 1e-12);
  EXPECT_NEAR(spread.hits[2], 13.0 / 28, 1e-12);
  EXPECT_NEAR(spread.meanOthers(), 36.0 / 28, 1e-12);
  spread = spreadOf({8, 2, 5, 1, 1});
  EXPECT_EQ(spread.hits[4], 0.0);
  EXPECT_NEAR(spread.meanOthers(), spread.meanRanks(), 1e-12);
  // All four of the ranks in use, and the token comes from the fifth.
  spread = spreadOf({8, 4, 5, 1, 1});
  EXPECT_EQ(spread.mostRanks, 4);
  EXPECT_EQ(spread.mostOthers, 4);
}

TEST(RoutingSpreadTest, OneRankIsAlwaysHit) {
  RoutingSpread spread = spreadOf({160, 6, 1, 8, 3});
  EXPECT_EQ(spread.hits, std::vector<double>{1.0});
  EXPECT_EQ(spread.mostRanks, 1);
  EXPECT_EQ(spread.mostOthers, 0);
  EXPECT_EQ(spread.meanOthers(), 0.0);
}

TEST(RoutingSpreadTest, HugeRoutersEndInTime) {
  // Every expert a group: too much.
  Expected<RoutingSpread> spread =
      computeSpread({65536, 30000, 1000, 65536, 30000});
  ASSERT_FALSE(bool(spread));
  EXPECT_EQ(StringRef(toString(spread.takeError()))
                .find("expected routing whose spread over ranks takes at most"),
            0u);
  // As many experts without groups, of a rank each: still fine.
  EXPECT_NEAR(spreadOf({65536, 6, 65536, 1, 1}).meanRanks(), 6.0, 1e-6);
}
