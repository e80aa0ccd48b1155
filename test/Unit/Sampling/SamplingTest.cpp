//===- SamplingTest.cpp - choosing the next token -------------------------===//
//
// Part of dsv2, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "dsv2rt/sampling.h"
#include "gtest/gtest.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <map>
#include <numeric>
#include <random>
#include <set>
#include <string>
#include <thread>

using namespace dsv2rt;

using Logits = std::vector<float>;
using Ids = std::vector<int32_t>;

static constexpr float inf = std::numeric_limits<float>::infinity();
static constexpr float nan32 = std::numeric_limits<float>::quiet_NaN();

static SamplingParams withTemperature(double temperature) {
  SamplingParams params;
  params.temperature = temperature;
  return params;
}

static int32_t pick(const Logits &logits, const SamplingParams &params,
                    uint64_t position = 0, const Ids &history = {}) {
  Expected<int32_t> id = sample(logits, history, params, position);
  EXPECT_TRUE(id.ok()) << id.status().message();
  return id.ok() ? id.value() : -1;
}

/// How often each token is drawn at positions 0 to `draws` - 1.
static std::map<int32_t, int> histogram(const Logits &logits,
                                        const SamplingParams &params,
                                        int draws = 20000) {
  Sampler sampler = Sampler::create(params).value();
  std::map<int32_t, int> counts;
  for (int i = 0; i < draws; ++i)
    ++counts[sampler
                 .sample(logits.data(), logits.size(), nullptr, 0,
                         static_cast<uint64_t>(i))
                 .value()];
  return counts;
}

static std::set<int32_t> support(const Logits &logits,
                                 const SamplingParams &params) {
  std::set<int32_t> ids;
  for (auto [id, count] : histogram(logits, params))
    ids.insert(id);
  return ids;
}

/// Logits whose softmax at temperature 1 is `shares`.
static Logits logitsOf(const std::vector<double> &shares) {
  Logits logits;
  for (double share : shares)
    logits.push_back(static_cast<float>(std::log(share)));
  return logits;
}

/// What compiled code says of a row.
static Logits largestOfEach(const Logits &logits, size_t each) {
  Logits largest;
  for (size_t begin = 0; begin < logits.size(); begin += each) {
    auto first = logits.begin() + static_cast<ptrdiff_t>(begin);
    auto last = logits.begin() +
                static_cast<ptrdiff_t>(std::min(begin + each, logits.size()));
    largest.push_back(
        std::all_of(first, last, [](float x) { return std::isfinite(x); })
            ? *std::max_element(first, last)
            : nan32);
  }
  return largest;
}

//===----------------------------------------------------------------------===//
// Parameters
//===----------------------------------------------------------------------===//

TEST(Sampling, F067_TemperatureOutOfRangeNamesTheRange) {
  auto message = [](double temperature) {
    Status status = withTemperature(temperature).validate();
    EXPECT_EQ(status.code(), StatusCode::InvalidArgument);
    return status.message();
  };
  const std::string prefix =
      "temperature must be a finite number of at least 0, got ";
  EXPECT_EQ(message(-1), prefix + "-1");
  EXPECT_EQ(message(-1e-30), prefix + "-1e-30");
  EXPECT_EQ(message(HUGE_VAL), prefix + "inf");
  EXPECT_EQ(message(std::nan("")).rfind(prefix, 0), 0u);
  for (double good : {0.0, 1e-300, 1e-30, 1e-4, 1.0, 1e30})
    EXPECT_TRUE(withTemperature(good).validate().ok()) << good;
}

TEST(Sampling, F068_TopPOutOfRangeNamesTheRange) {
  SamplingParams params;
  for (double bad : {-0.0001, 1.0001, HUGE_VAL, std::nan("")}) {
    params.topP = bad;
    Status status = params.validate();
    EXPECT_EQ(status.code(), StatusCode::InvalidArgument);
    EXPECT_EQ(status.message().rfind("top-p must be between 0 and 1, got ", 0),
              0u)
        << status.message();
  }
}

TEST(Sampling, OtherParametersOutOfRange) {
  SamplingParams params;
  params.topK = -1;
  EXPECT_EQ(params.validate().message(),
            "top-k must be an integer of at least 0, got -1");
  params = SamplingParams();
  params.minP = 1.5;
  EXPECT_EQ(params.validate().message(),
            "min-p must be between 0 and 1, got 1.5");
  for (double bad : {0.0, -1.0, HUGE_VAL, std::nan("")}) {
    params = SamplingParams();
    params.repetitionPenalty = bad;
    EXPECT_EQ(
        params.validate().message().rfind(
            "repetition penalty must be a finite number above 0, got ", 0),
        0u);
    EXPECT_EQ(Sampler::create(params).status().code(),
              StatusCode::InvalidArgument);
  }
}

//===----------------------------------------------------------------------===//
// Greedy
//===----------------------------------------------------------------------===//

TEST(Sampling, F067_TemperatureZeroTakesTheLowestOfEquals) {
  EXPECT_EQ(pick({1, 3, 2, 3}, withTemperature(0)), 1);
  EXPECT_EQ(pick({-0.0f, 0.0f}, withTemperature(0)), 0);
  EXPECT_EQ(pick({-inf, -5, -inf}, withTemperature(0)), 1);
  EXPECT_EQ(pick({7}, withTemperature(0)), 0);
  SamplingParams params;
  params.topK = 3;
  params.topP = 0.5;
  EXPECT_EQ(pick({1, 3, 2, 3}, params), 1);
}

// Every length around those of vectors and blocks, with the largest, its equals
// and what must not be there in every kind of place.
TEST(Sampling, GreedyTakesTheFirstLargestWhereverItIs) {
  const SamplingParams greedy = withTemperature(0);
  const float bad[] = {inf, nan32};
  std::mt19937 generator(7);
  for (size_t count : {1, 2, 15, 16, 17, 33, 4095, 4096, 4097, 9000}) {
    Logits logits(count);
    for (int round = 0; round < 40; ++round) {
      // Few different values: many are equal, and some are -inf.
      for (float &x : logits)
        x = generator() % 8 ? float(int(generator() % 5)) - 3.0f : -inf;
      auto largest = std::max_element(logits.begin(), logits.end());
      Expected<int32_t> chosen = sample(logits, {}, greedy, 0);
      if (*largest == -inf) {
        EXPECT_FALSE(chosen.ok());
      } else {
        ASSERT_TRUE(chosen.ok()) << chosen.status().message();
        EXPECT_EQ(chosen.value(), largest - logits.begin()) << count;
      }
      Logits spoilt = logits;
      size_t place = generator() % count;
      spoilt[place] = bad[round % 2];
      Expected<int32_t> none = sample(spoilt, {}, greedy, 0);
      ASSERT_FALSE(none.ok());
      EXPECT_NE(none.status().message().find("token " + std::to_string(place)),
                std::string::npos)
          << none.status().message();
    }
  }
  // Zeros of either sign are equal.
  EXPECT_EQ(sample({-1.0f, -0.0f, 0.0f}, {}, greedy, 0).value(), 1);
}

TEST(Sampling, F067_TinyTemperaturesAreGreedy) {
  const Logits logits = {100, 3.0e38f, -3.0e38f, 2.9e38f};
  for (double temperature : {1e-4, 1e-30, 1e-300, 5e-324})
    for (uint64_t position = 0; position < 50; ++position)
      EXPECT_EQ(pick(logits, withTemperature(temperature), position), 1);
}

TEST(Sampling, F067_TinyTemperatureSharesAmongEquals) {
  EXPECT_EQ(support({5, 1, 5}, withTemperature(1e-30)),
            (std::set<int32_t>{0, 2}));
}

TEST(Sampling, F045_NonFiniteLogitsAreErrors) {
  for (double temperature : {0.0, 1.0}) {
    auto status = [&](const Logits &logits) {
      return sample(logits, {}, withTemperature(temperature), 0).status();
    };
    EXPECT_EQ(status({1, nan32, 2}).code(), StatusCode::NonFinite);
    EXPECT_EQ(status({1, nan32, nan32}).message(),
              "the logit of token 1 is NaN");
    EXPECT_EQ(status({1, 2, inf}).message(), "the logit of token 2 is +inf");
    EXPECT_EQ(status({-inf, -inf}).code(), StatusCode::NonFinite);
    EXPECT_EQ(status({-inf, -inf}).message(), "all logits are -inf");
    EXPECT_EQ(status(Logits(5, nan32)).code(), StatusCode::NonFinite);
    EXPECT_EQ(status({}).code(), StatusCode::InvalidArgument);
  }
}

TEST(Sampling, MinusInfinityIsNeverDrawn) {
  EXPECT_EQ(support({-inf, 0, -inf, 0}, withTemperature(100)),
            (std::set<int32_t>{1, 3}));
}

//===----------------------------------------------------------------------===//
// Filters
//===----------------------------------------------------------------------===//

TEST(Sampling, DrawsInProportion) {
  const std::vector<double> shares = {0.1, 0.2, 0.3, 0.4};
  auto counts = histogram(logitsOf(shares), withTemperature(1), 100000);
  for (int32_t id = 0; id < 4; ++id)
    // Eight standard deviations.
    EXPECT_NEAR(counts[id] / 100000.0, shares[id], 0.013) << id;
  // Temperature 0.5 squares the shares.
  counts = histogram(logitsOf(shares), withTemperature(0.5), 100000);
  for (int32_t id = 0; id < 4; ++id)
    EXPECT_NEAR(counts[id] / 100000.0, shares[id] * shares[id] / 0.3, 0.013);
}

TEST(Sampling, TopK) {
  SamplingParams params = withTemperature(1e6);
  params.topK = 2;
  EXPECT_EQ(support({1, 4, 2, 3}, params), (std::set<int32_t>{1, 3}));
  // Among equals the lower id is the larger one.
  EXPECT_EQ(support({1, 1, 1, 1}, params), (std::set<int32_t>{0, 1}));
  params.topK = 9;
  EXPECT_EQ(support({1, 4, 2, 3}, params), (std::set<int32_t>{0, 1, 2, 3}));
  params.topK = 0;
  EXPECT_EQ(support({1, 4, 2, 3}, params), (std::set<int32_t>{0, 1, 2, 3}));
}

// The k likeliest, the first of equal ones, wherever they are.
TEST(Sampling, TopKLeavesOutAllOthers) {
  std::mt19937 generator(3);
  for (size_t count : {5, 70, 300, 5000})
    for (int values : {3, 40, 100000})
      for (size_t k : {1, 2, 7, 64, 65, 200, 4999}) {
        if (k > count)
          continue;
        Logits logits(count);
        for (float &x : logits)
          x = generator() % 20 ? float(generator() % unsigned(values)) / values
                               : -inf;
        std::vector<size_t> order(count);
        std::iota(order.begin(), order.end(), size_t(0));
        std::sort(order.begin(), order.end(), [&](size_t a, size_t b) {
          return logits[a] != logits[b] ? logits[a] > logits[b] : a < b;
        });
        if (logits[order[0]] == -inf)
          continue;
        Logits others = logits;
        for (size_t i = k; i < count; ++i)
          others[order[i]] = -inf;
        SamplingParams all = withTemperature(1.5), best = all;
        best.topK = int32_t(k);
        for (uint64_t position = 0; position < 20; ++position)
          EXPECT_EQ(pick(logits, best, position), pick(others, all, position))
              << count << " " << values << " " << k;
      }
}

TEST(Sampling, TopKOfOneIsGreedyAtAnyTemperature) {
  // At this temperature all weights round to one.
  SamplingParams params = withTemperature(1e30);
  params.topK = 1;
  EXPECT_EQ(support({1, 4, 2, 3}, params), (std::set<int32_t>{1}));
}

TEST(Sampling, F068_TopPKeepsAtLeastOne) {
  SamplingParams params = withTemperature(1);
  const Logits peaked = {0, 11, 30, 11, -inf};
  for (double p : {0.0, 1e-300, 1e-9, 0.5}) {
    params.topP = p;
    EXPECT_EQ(support(peaked, params), (std::set<int32_t>{2})) << p;
  }
  params.topP = 0;
  EXPECT_EQ(support({3, 3, 3}, params), (std::set<int32_t>{0}));
}

TEST(Sampling, TopPKeepsTheFewest) {
  SamplingParams params = withTemperature(1);
  const Logits logits = logitsOf({0.1, 0.4, 0.3, 0.2});
  auto kept = [&](double p) {
    params.topP = p;
    return support(logits, params);
  };
  EXPECT_EQ(kept(0.39), (std::set<int32_t>{1}));
  EXPECT_EQ(kept(0.41), (std::set<int32_t>{1, 2}));
  EXPECT_EQ(kept(0.69), (std::set<int32_t>{1, 2}));
  EXPECT_EQ(kept(0.71), (std::set<int32_t>{1, 2, 3}));
  EXPECT_EQ(kept(0.91), (std::set<int32_t>{0, 1, 2, 3}));
  EXPECT_EQ(kept(1), (std::set<int32_t>{0, 1, 2, 3}));
  // A share of exactly p is enough.
  params.topP = 0.5;
  EXPECT_EQ(support({1, 1, 1, 1}, params), (std::set<int32_t>{0, 1}));
}

TEST(Sampling, TopPOverAFlatVocabulary) {
  // More than one round of sorting.
  Logits logits(5000, 1.0f);
  SamplingParams params = withTemperature(1);
  params.topP = 0.5;
  for (auto [id, count] : histogram(logits, params, 3000))
    EXPECT_LT(id, 2500);
}

TEST(Sampling, MinP) {
  SamplingParams params = withTemperature(1);
  const Logits logits = logitsOf({0.1, 0.5, 0.15, 0.25});
  auto kept = [&](double p) {
    params.minP = p;
    return support(logits, params);
  };
  EXPECT_EQ(kept(0), (std::set<int32_t>{0, 1, 2, 3}));
  EXPECT_EQ(kept(0.25), (std::set<int32_t>{1, 2, 3}));
  EXPECT_EQ(kept(0.4), (std::set<int32_t>{1, 3}));
  EXPECT_EQ(kept(1), (std::set<int32_t>{1}));
}

TEST(Sampling, FiltersRunInTheDocumentedOrder) {
  SamplingParams params = withTemperature(1);
  const Logits logits = logitsOf({0.4, 0.3, 0.2, 0.1});
  // Top-k first: of {0.4, 0.3} the first has a share of 0.57.
  params.topK = 2;
  params.topP = 0.55;
  EXPECT_EQ(support(logits, params), (std::set<int32_t>{0}));
  params.topP = 0.6;
  EXPECT_EQ(support(logits, params), (std::set<int32_t>{0, 1}));
  // Temperature before top-p: at 0.25 the first alone has a share of 0.72.
  params = withTemperature(0.25);
  params.topP = 0.7;
  EXPECT_EQ(support(logits, params), (std::set<int32_t>{0}));
}

TEST(Sampling, RepetitionPenalty) {
  SamplingParams params;
  params.repetitionPenalty = 2;
  EXPECT_EQ(pick({4, 3}, params), 0);
  EXPECT_EQ(pick({4, 3}, params, 0, {0}), 1);
  // Negative logits go down too, and an id counts once.
  EXPECT_EQ(pick({-1, -1.5f}, params, 0, {0}), 1);
  EXPECT_EQ(pick({-1, -3}, params, 0, {0, 0, 0, 0}), 0);
  // Below one it makes them likelier.
  params.repetitionPenalty = 0.5;
  EXPECT_EQ(pick({4, 3}, params, 0, {1}), 1);

  params.repetitionPenalty = 1.1;
  EXPECT_EQ(sample({1, 2}, {2}, params, 0).status().message(),
            "token id 2 of the history is out of range, expected 0 to 1");
  EXPECT_EQ(sample({1, 2}, {-1}, params, 0).status().code(),
            StatusCode::InvalidArgument);
}

TEST(Sampling, AbsurdPenaltiesStayFinite) {
  for (double penalty : {1e-308, 1e308}) {
    SamplingParams params = withTemperature(1);
    params.repetitionPenalty = penalty;
    int32_t id = pick({3e38f, -3e38f, -inf}, params, 0, {0, 1, 2});
    EXPECT_TRUE(id == 0 || id == 1) << penalty;
  }
  SamplingParams params = withTemperature(1);
  params.repetitionPenalty = 1e-308;
  EXPECT_EQ(pick({-1, 3e38f}, params, 0, {1}), 1);
  // Minus infinity stays what it is, at any temperature.
  params = withTemperature(1e308);
  params.repetitionPenalty = 2;
  for (uint64_t position = 0; position < 50; ++position)
    EXPECT_EQ(pick({-inf, 0}, params, position, {0}), 1);
}

//===----------------------------------------------------------------------===//
// Random numbers
//===----------------------------------------------------------------------===//

TEST(Sampling, PhiloxMatchesItsPublishedVectors) {
  using Block = std::array<uint32_t, 4>;
  EXPECT_EQ(philox4x32({0, 0, 0, 0}, {0, 0}),
            (Block{0x6627E8D5, 0xE169C58D, 0xBC57AC4C, 0x9B00DBD8}));
  EXPECT_EQ(philox4x32({0xFFFFFFFF, 0xFFFFFFFF, 0xFFFFFFFF, 0xFFFFFFFF},
                       {0xFFFFFFFF, 0xFFFFFFFF}),
            (Block{0x408F276D, 0x41C83B0E, 0xA20BC7C6, 0x6D5451FD}));
  EXPECT_EQ(philox4x32({0x243F6A88, 0x85A308D3, 0x13198A2E, 0x03707344},
                       {0xA4093822, 0x299F31D0}),
            (Block{0xD16CFE09, 0x94FDCCEB, 0x5001E420, 0x24126EA1}));
}

TEST(Sampling, UniformNumbersAreBelowOne) {
  double sum = 0;
  for (uint64_t position = 0; position < 10000; ++position) {
    double u = uniformAt(42, position);
    ASSERT_GE(u, 0);
    ASSERT_LT(u, 1);
    sum += u;
  }
  EXPECT_NEAR(sum / 10000, 0.5, 0.02);
}

TEST(Sampling, F070_SeedZeroIsASeed) {
  EXPECT_NE(uniformAt(0, 0), uniformAt(1, 0));
  EXPECT_NE(uniformAt(0, 0), uniformAt(0, 1));
  // All 64 bits of both count.
  EXPECT_NE(uniformAt(0, 0), uniformAt(uint64_t{1} << 32, 0));
  EXPECT_NE(uniformAt(0, 0), uniformAt(0, uint64_t{1} << 32));
}

/// The tokens a request draws from logits that depend on its own output only.
static Ids generate(uint64_t seed, Sampler &sampler) {
  Ids output;
  for (uint64_t position = 0; position < 100; ++position) {
    Logits logits(50);
    for (size_t i = 0; i < logits.size(); ++i)
      logits[i] = static_cast<float>(
          uniformAt(999 + output.size(),
                    i + (output.empty() ? 0 : output.back() * 100)) *
          4);
    output.push_back(sampler
                         .sample(logits.data(), logits.size(), output.data(),
                                 output.size(), position)
                         .value());
  }
  return output;
}

TEST(Sampling, F070_RequestsDoNotDisturbEachOther) {
  SamplingParams params = withTemperature(1);
  params.topK = 20;
  params.topP = 0.9;
  params.repetitionPenalty = 1.1;
  std::vector<Ids> alone;
  for (uint64_t seed = 1; seed <= 8; ++seed) {
    params.seed = seed;
    Sampler sampler = Sampler::create(params).value();
    alone.push_back(generate(seed, sampler));
  }
  for (size_t i = 1; i < alone.size(); ++i)
    EXPECT_NE(alone[0], alone[i]);

  // At the same time, one thread each.
  std::vector<Ids> together(8);
  std::vector<std::thread> threads;
  for (uint64_t seed = 8; seed >= 1; --seed)
    threads.emplace_back([&together, params, seed]() mutable {
      params.seed = seed;
      Sampler sampler = Sampler::create(params).value();
      together[seed - 1] = generate(seed, sampler);
    });
  for (std::thread &thread : threads)
    thread.join();
  EXPECT_EQ(alone, together);
}

TEST(Sampling, F070_TokensDependOnPositionNotOnOrder) {
  SamplingParams params = withTemperature(1);
  params.seed = 5;
  const Logits logits = logitsOf({0.25, 0.25, 0.25, 0.25});
  Sampler sampler = Sampler::create(params).value();
  std::map<uint64_t, int32_t> forward;
  for (uint64_t position = 0; position < 64; ++position)
    forward[position] = pick(logits, params, position);
  for (uint64_t position = 64; position-- > 0;) {
    // Draws for other rows in between change nothing.
    (void)sampler.sample(logits.data(), 3, nullptr, 0, position + 1000);
    EXPECT_EQ(sampler.sample(logits.data(), logits.size(), nullptr, 0, position)
                  .value(),
              forward[position]);
  }
}

//===----------------------------------------------------------------------===//
// What is known of a row
//===----------------------------------------------------------------------===//

TEST(Sampling, TheLargestOfEachGroupChangesNothing) {
  std::mt19937 random(7);
  for (int turn = 0; turn < 4000; ++turn) {
    // Few different logits, so that many are equal.
    size_t count = 1 + random() % 100, each = 1 + random() % 20;
    Logits logits(count);
    for (float &x : logits)
      x = static_cast<float>(random() % 8) - 4;
    if (turn % 4 == 1)
      logits[random() % count] = -0.0f;
    if (turn % 4 == 2)
      logits[random() % count] = turn % 8 == 2 ? -inf : nan32;
    if (turn % 16 == 3)
      std::fill(logits.begin(), logits.end(), -inf);
    Logits largest = largestOfEach(logits, each);
    SamplingParams params = withTemperature(turn % 32 == 31 ? 0.7 : 0);
    Ids history = {0};
    params.repetitionPenalty = turn % 32 == 15 ? 1.5 : 1;
    Sampler sampler = Sampler::create(params).value();
    // What has no token is left out of the vocabulary, but not of the groups.
    for (size_t vocabulary : {count, 1 + random() % count}) {
      auto choose = [&](const LargestOf &known) {
        Expected<int32_t> id = sampler.sample(logits.data(), vocabulary,
                                              history.data(), 1, turn, known);
        return id.ok() ? std::to_string(id.value()) : id.status().message();
      };
      ASSERT_EQ(choose({largest.data(), static_cast<int64_t>(each)}),
                choose({}))
          << turn << " " << count << " " << each << " " << vocabulary;
    }
  }
}

// Logits that are not where the largest are stay unread.
TEST(Sampling, FewLogitsAreReadWhereTheLargestAreKnown) {
  Logits logits(64, 1.0f);
  logits[37] = 2;
  Logits largest = largestOfEach(logits, 16);
  std::fill(logits.begin(), logits.begin() + 32, 9.0f);
  std::fill(logits.begin() + 48, logits.end(), 9.0f);
  Sampler sampler = Sampler::create({}).value();
  EXPECT_EQ(
      sampler.sample(logits.data(), 64, nullptr, 0, 0, {largest.data(), 16})
          .value(),
      37);
}
