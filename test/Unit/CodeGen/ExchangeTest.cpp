//===- ExchangeTest.cpp - tokens for other ranks against plain loops ------===//
//
// Part of dsv2, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "KernelTestUtils.h"

#include "dsv2/CodeGen/CPU/ElementwiseKernels.h"
#include "dsv2/CodeGen/CPU/MoEKernels.h"
#include "gtest/gtest.h"

#include <cmath>
#include <cstring>

using namespace mlir;
using namespace mlir::dsv2;
using namespace mlir::dsv2::cpu;
using namespace mlir::dsv2::cpu::test;

namespace {

class Exchange : public testing::TestWithParam<std::string> {};

/// Experts chosen at random, so that some ranks get nothing of some tokens;
/// without `spread` all of them are on rank 0.
Array<int32_t> chooseExperts(int64_t tokens, const ExchangeConfig &config,
                             bool spread) {
  Array<int32_t> ids({tokens, config.topK}, 1);
  std::mt19937 gen(7);
  for (int64_t t = 0; t < tokens; ++t)
    for (int64_t s = 0; s < config.topK; ++s)
      ids(t, s) =
          gen() % (spread ? config.experts * config.ranks : config.experts);
  return ids;
}

int32_t bitsOf(float value) {
  int32_t bits;
  std::memcpy(&bits, &value, sizeof(bits));
  return bits;
}

TEST_P(Exchange, RowsGoOnceToEachRankOfAnExpertAndBack) {
  for (auto [tokens, spread] : {std::pair(0, true), std::pair(1, true),
                                std::pair(37, true), std::pair(9, false)})
    for (int64_t width : {1, 16, 70}) {
      ExchangeConfig config;
      config.width = width;
      config.topK = 3;
      config.experts = 2;
      config.ranks = 4;
      KernelModule m(GetParam());
      auto add = [&](func::FuncOp (*create)(ModuleOp, const ExchangeConfig &,
                                            const CPUTargetInfo &)) {
        return create(m.module(), config, m.target()).getName().str();
      };
      std::string plan = add(getOrCreateExchangePlanKernel);
      std::string pack = add(getOrCreateExchangePackKernel);
      std::string unpack = add(getOrCreateExchangeUnpackKernel);
      std::string combine = add(getOrCreateExchangeCombineKernel);
      ASSERT_TRUE(m.compile());

      Array<int32_t> ids = chooseExperts(tokens, config, spread);
      Array<float> x({tokens, width}, 2), weights({tokens, config.topK});
      x.random(1);
      weights.random(2);
      for (int64_t parts : {1, 3}) {
        Array<int32_t> counts({config.ranks}), places({tokens, config.ranks});
        m.run(plan, parts, ids, counts, places);
        EXPECT_TRUE(counts.guardIntact() && places.guardIntact());
        // Rows are ordered by rank, then token.
        int32_t row = 0;
        for (int64_t r = 0; r < config.ranks; ++r) {
          int32_t before = row;
          for (int64_t t = 0; t < tokens; ++t) {
            bool sent = false;
            for (int64_t s = 0; s < config.topK; ++s)
              sent |= ids(t, s) / config.experts == r;
            EXPECT_EQ(places(t, r), sent ? row++ : -1);
          }
          EXPECT_EQ(counts(r), row - before);
        }

        Array<float> rows({row, width + 2 * config.topK});
        m.run(pack, parts, x, ids, weights, places, counts, rows);
        EXPECT_TRUE(rows.guardIntact());
        for (int64_t t = 0; t < tokens; ++t)
          for (int64_t r = 0; r < config.ranks; ++r) {
            int32_t place = places(t, r);
            if (place < 0)
              continue;
            for (int64_t i = 0; i < width; ++i)
              EXPECT_EQ(rows(place, i), x(t, i));
            for (int64_t s = 0; s < config.topK; ++s) {
              int32_t expert = ids(t, s);
              EXPECT_EQ(bitsOf(rows(place, width + s)),
                        expert / config.experts == r ? expert % config.experts
                                                     : -1);
              EXPECT_EQ(rows(place, width + config.topK + s), weights(t, s));
            }
          }

        Array<int32_t> gotIds({row, config.topK}, 1);
        Array<float> gotWeights({row, config.topK});
        m.run(unpack, parts, rows, gotIds, gotWeights);
        EXPECT_TRUE(gotIds.guardIntact() && gotWeights.guardIntact());
        for (int64_t i = 0; i < row; ++i)
          for (int64_t s = 0; s < config.topK; ++s) {
            EXPECT_EQ(gotIds(i, s), bitsOf(rows(i, width + s)));
            EXPECT_EQ(gotWeights(i, s), rows(i, width + config.topK + s));
          }

        Array<float> back({row, width}, 3), y({tokens, width}, 1);
        back.random(5);
        m.run(combine, parts, back, places, y);
        EXPECT_TRUE(y.guardIntact());
        for (int64_t t = 0; t < tokens; ++t)
          for (int64_t i = 0; i < width; ++i) {
            float sum = 0;
            for (int64_t r = 0; r < config.ranks; ++r)
              if (places(t, r) >= 0)
                sum += back(places(t, r), i);
            EXPECT_EQ(y(t, i), sum);
          }
      }
    }
}

// F089: what is beyond the capacity has no place, and the counts say so.
TEST_P(Exchange, RowsOfFixedNumber) {
  constexpr int64_t kWidth = 37, kCapacity = 3;
  ExchangeConfig config;
  config.width = kWidth;
  config.topK = 3;
  config.experts = 2;
  config.ranks = 4;
  config.capacity = kCapacity;
  KernelModule m(GetParam());
  std::string plan =
      getOrCreateExchangePlanKernel(m.module(), config, m.target())
          .getName()
          .str();
  std::string pack =
      getOrCreateExchangePackKernel(m.module(), config, m.target())
          .getName()
          .str();
  ASSERT_TRUE(m.compile());
  for (int64_t tokens : {0, 1, 3, 4, 9})
    for (bool spread : {true, false}) {
      Array<int32_t> ids = chooseExperts(tokens, config, spread);
      Array<float> x({tokens, kWidth}), weights({tokens, config.topK});
      x.random(1);
      weights.random(2);
      Array<int32_t> counts({config.ranks}), places({tokens, config.ranks});
      Array<float> rows({config.ranks * kCapacity, kWidth + 2 * config.topK});
      m.run(plan, 2, ids, counts, places);
      m.run(pack, 2, x, ids, weights, places, counts, rows);
      EXPECT_TRUE(counts.guardIntact() && places.guardIntact() &&
                  rows.guardIntact());
      for (int64_t r = 0; r < config.ranks; ++r) {
        int32_t wanted = 0;
        for (int64_t t = 0; t < tokens; ++t) {
          bool sent = false;
          for (int64_t s = 0; s < config.topK; ++s)
            sent |= ids(t, s) / config.experts == r;
          if (!sent) {
            EXPECT_EQ(places(t, r), -1);
            continue;
          }
          int32_t number = wanted++;
          EXPECT_EQ(places(t, r),
                    number < kCapacity ? r * kCapacity + number : -1);
          if (number < kCapacity)
            for (int64_t i = 0; i < kWidth; ++i)
              EXPECT_EQ(rows(r * kCapacity + number, i), x(t, i));
        }
        EXPECT_EQ(counts(r), wanted);
        // Nobody computes on rows that are not used.
        for (int64_t i = wanted; i < kCapacity; ++i)
          for (int64_t s = 0; s < config.topK; ++s) {
            EXPECT_EQ(bitsOf(rows(r * kCapacity + i, kWidth + s)), -1);
            EXPECT_EQ(rows(r * kCapacity + i, kWidth + config.topK + s), 0);
          }
      }
    }
}

TEST_P(Exchange, DispatchAndCombineSkipExpertsOfOtherRanks) {
  constexpr int64_t kExperts = 3, kTopK = 4, kWidth = 37;
  for (int64_t tokens : {0, 1, 23}) {
    KernelModule m(GetParam());
    std::string dispatch = getOrCreateDispatchKernel(
                               m.module(), {kExperts, kTopK, true}, m.target())
                               .getName()
                               .str();
    CombineConfig config;
    config.width = kWidth;
    config.topK = kTopK;
    config.partial = true;
    std::string combine =
        getOrCreateCombineKernel(m.module(), config, m.target())
            .getName()
            .str();
    ASSERT_TRUE(m.compile());
    Array<int32_t> ids({tokens, kTopK});
    std::mt19937 gen(3);
    // Token 0 has no expert here.
    for (int64_t t = 0; t < tokens; ++t)
      for (int64_t s = 0; s < kTopK; ++s)
        ids(t, s) = t == 0 ? -1 : int32_t(gen() % (kExperts + 1)) - 1;
    Array<int32_t> offsets({kExperts + 1}), rowToken({tokens * kTopK});
    Array<int32_t> rowOfSlot({tokens, kTopK}, 1);
    m.run(dispatch, 2, ids, offsets, rowToken, rowOfSlot);
    EXPECT_TRUE(offsets.guardIntact() && rowToken.guardIntact() &&
                rowOfSlot.guardIntact());
    int32_t row = 0;
    for (int64_t e = 0; e < kExperts; ++e) {
      EXPECT_EQ(offsets(e), row);
      for (int64_t t = 0; t < tokens; ++t)
        for (int64_t s = 0; s < kTopK; ++s)
          if (ids(t, s) == e) {
            EXPECT_EQ(rowToken(row), t);
            EXPECT_EQ(rowOfSlot(t, s), row++);
          }
    }
    EXPECT_EQ(offsets(kExperts), row);
    for (int64_t t = 0; t < tokens; ++t)
      for (int64_t s = 0; s < kTopK; ++s)
        if (ids(t, s) < 0)
          EXPECT_EQ(rowOfSlot(t, s), -1);

    Array<float> out({row, kWidth}), weights({tokens, kTopK});
    out.random(1);
    weights.random(2);
    Array<float> y({tokens, kWidth});
    m.run(combine, 2, out, rowOfSlot, weights, y);
    EXPECT_TRUE(y.guardIntact());
    for (int64_t t = 0; t < tokens; ++t)
      for (int64_t i = 0; i < kWidth; ++i) {
        double sum = 0, size = 0;
        for (int64_t s = 0; s < kTopK; ++s)
          if (ids(t, s) >= 0) {
            double term = double(weights(t, s)) * out(rowOfSlot(t, s), i);
            sum += term;
            size += std::abs(term);
          }
        // Three roundings of numbers no larger than the sum of magnitudes.
        EXPECT_NEAR(y(t, i), sum, 4 * size * 0x1p-24);
      }
  }
}

TEST_P(Exchange, EmbeddingOfAPartOfTheVocabulary) {
  constexpr int64_t kRows = 10, kWidth = 37;
  KernelModule m(GetParam());
  EmbedConfig config;
  config.width = kWidth;
  config.tableType = Float32Type::get(m.module().getContext());
  config.partial = true;
  std::string name =
      getOrCreateEmbedKernel(m.module(), config, m.target()).getName().str();
  ASSERT_TRUE(m.compile());
  Array<float> table({kRows, kWidth}, 1);
  table.random(1);
  // Ids just before, at both ends of, and just behind the part [20, 30).
  Array<int32_t> tokens({6});
  int32_t ids[] = {0, 19, 20, 29, 30, 1 << 30};
  for (int64_t t = 0; t < 6; ++t)
    tokens(t) = ids[t];
  Array<float> out({6, kWidth}, 1);
  // An index is passed as it is, so the function is called by hand.
  using Kernel = void (*)(void *, void *, int64_t, void *, int64_t, int64_t);
  auto kernel = reinterpret_cast<Kernel>(m.lookup(name));
  ASSERT_NE(kernel, nullptr);
  Descriptor tokenList = tokens.descriptor(), rows = table.descriptor();
  Descriptor result = out.descriptor();
  for (int64_t part : {1, 0})
    kernel(tokenList.get(), rows.get(), 20, result.get(), part, 2);
  EXPECT_TRUE(out.guardIntact());
  for (int64_t t = 0; t < 6; ++t)
    for (int64_t i = 0; i < kWidth; ++i)
      EXPECT_EQ(out(t, i),
                ids[t] >= 20 && ids[t] < 30 ? table(ids[t] - 20, i) : 0.0f);
}

INSTANTIATE_TEST_SUITE_P(CPUs, Exchange, ::testing::ValuesIn(testedCPUs()),
                         cpuName);

} // namespace
