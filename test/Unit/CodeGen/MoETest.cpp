//===- MoETest.cpp - Routing, dispatch and combine against plain loops ----===//
//
// Part of dsv2, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "KernelTestUtils.h"

#include "dsv2/CodeGen/CPU/ElementwiseKernels.h"
#include "dsv2/CodeGen/CPU/MoEKernels.h"
#include "llvm/ADT/StringExtras.h"
#include "gtest/gtest.h"

#include <algorithm>
#include <cmath>
#include <numeric>
#include <sys/mman.h>

using namespace mlir;
using namespace mlir::dsv2;
using namespace mlir::dsv2::cpu;
using namespace mlir::dsv2::cpu::test;

namespace {

struct Routing {
  std::vector<int> ids;
  std::vector<double> weights;
  /// Distance between the least chosen and the best rejected score, over all
  /// choices made: when it is tiny, rounding may decide otherwise.
  double margin = INFINITY;
};

/// The first `count` indices of `scores`, best first, then by lower index.
std::vector<int> best(const std::vector<double> &scores, int64_t count,
                      double &margin) {
  std::vector<int> order(scores.size());
  std::iota(order.begin(), order.end(), 0);
  std::sort(order.begin(), order.end(), [&](int a, int b) {
    return scores[a] != scores[b] ? scores[a] > scores[b] : a < b;
  });
  for (int64_t i = 0; i < count && i + 1 < (int64_t)order.size(); ++i) {
    double gap = scores[order[i]] - scores[order[i + 1]];
    if (gap > 0)
      margin = std::min(margin, gap);
  }
  order.resize(count);
  return order;
}

/// What RouteTopKConfig says, in double.
Routing route(const float *logits, const RouteTopKConfig &config) {
  Routing result;
  std::vector<double> s(config.experts);
  double largest = *std::max_element(logits, logits + config.experts);
  double sum = 0;
  for (int64_t e = 0; e < config.experts; ++e)
    sum += s[e] = std::exp(logits[e] - largest);
  for (double &x : s)
    x /= sum;
  std::vector<double> allowed(config.experts, -INFINITY);
  int64_t size = config.experts / config.groups;
  std::vector<double> groups;
  for (int64_t g = 0; g < config.groups; ++g)
    groups.push_back(*std::max_element(&s[g * size], &s[g * size] + size));
  for (int g : best(groups, config.topKGroups, result.margin))
    std::copy_n(&s[g * size], size, &allowed[g * size]);
  result.ids = best(allowed, config.topK, result.margin);
  double total = 0;
  for (int id : result.ids)
    total += s[id];
  for (int id : result.ids)
    result.weights.push_back(
        (config.normalize ? s[id] / (total + 1e-20) : s[id]) *
        config.routedScale);
  return result;
}

std::string addRoute(KernelModule &m, const RouteTopKConfig &config) {
  return getOrCreateRouteTopKKernel(m.module(), config, m.target())
      .getName()
      .str();
}

RouteTopKConfig plainRouting(int64_t experts, int64_t topK) {
  RouteTopKConfig config;
  config.experts = experts;
  config.topK = topK;
  return config;
}

RouteTopKConfig groupRouting(int64_t experts, int64_t topK, int64_t groups,
                             int64_t topKGroups) {
  RouteTopKConfig config = plainRouting(experts, topK);
  config.groups = groups;
  config.topKGroups = topKGroups;
  return config;
}

class MoE : public ::testing::TestWithParam<std::string> {};

TEST_P(MoE, RouteMatchesPlainLoops) {
  std::vector<RouteTopKConfig> configs = {
      plainRouting(1, 1),         plainRouting(3, 2),
      plainRouting(8, 8),         plainRouting(17, 4),
      plainRouting(64, 6),        groupRouting(8, 2, 4, 2),
      groupRouting(160, 6, 8, 3), groupRouting(30, 5, 3, 1),
      groupRouting(12, 3, 4, 4)};
  configs[2].normalize = true;
  configs[4].normalize = true;
  configs[4].routedScale = 2.5;
  configs[6].routedScale = 16.0;
  KernelModule m(GetParam());
  std::vector<std::string> names;
  for (const RouteTopKConfig &config : configs)
    names.push_back(addRoute(m, config));
  ASSERT_TRUE(m.compile());
  EXPECT_EQ(m.llvmIR().find("llvm.exp"), std::string::npos);

  constexpr int64_t kTokens = 200;
  for (size_t c = 0; c < configs.size(); ++c) {
    const RouteTopKConfig &config = configs[c];
    SCOPED_TRACE(names[c]);
    Array<float> logits({kTokens, config.experts}, 3);
    logits.random(5, 4.0f);
    Array<int32_t> ids({kTokens, config.topK}, 1);
    Array<float> weights({kTokens, config.topK}, 2);
    m.run(names[c], 1, logits, ids, weights);
    EXPECT_TRUE(ids.guardIntact() && weights.guardIntact());
    for (int64_t t = 0; t < kTokens; ++t) {
      Routing expected = route(&logits(t, 0), config);
      if (expected.margin < 1e-7)
        continue;
      for (int64_t s = 0; s < config.topK; ++s) {
        ASSERT_EQ(ids(t, s), expected.ids[s]) << "token " << t;
        ASSERT_NEAR(weights(t, s), expected.weights[s],
                    2e-6 * expected.weights[s]);
      }
    }
    for (int64_t parts : {2, 3, 7}) {
      Array<int32_t> otherIds({kTokens, config.topK}, 1);
      Array<float> otherWeights({kTokens, config.topK}, 2);
      m.run(names[c], parts, logits, otherIds, otherWeights);
      for (int64_t t = 0; t < kTokens; ++t)
        for (int64_t s = 0; s < config.topK; ++s) {
          ASSERT_EQ(otherIds(t, s), ids(t, s));
          ASSERT_EQ(otherWeights(t, s), weights(t, s));
        }
    }
  }
}

TEST_P(MoE, F022_GroupsOfOneExpert) {
  RouteTopKConfig config = groupRouting(8, 2, 8, 2);
  KernelModule m(GetParam());
  std::string name = addRoute(m, config);
  ASSERT_TRUE(m.compile());
  Array<float> logits({1, 8});
  logits.random(9);
  logits(0, 6) = 5.0f;
  logits(0, 1) = 4.0f;
  Array<int32_t> ids({1, 2});
  Array<float> weights({1, 2});
  m.run(name, 1, logits, ids, weights);
  EXPECT_EQ(ids(0, 0), 6);
  EXPECT_EQ(ids(0, 1), 1);
}

TEST_P(MoE, F036_NearTiesAreDecidedInFloat32) {
  // Experts 2 and 5 differ by 1e-4 in the logit; the better one comes first.
  RouteTopKConfig config = plainRouting(8, 1);
  KernelModule m(GetParam());
  std::string name = addRoute(m, config);
  ASSERT_TRUE(m.compile());
  constexpr int64_t kTokens = 10000;
  Array<float> logits({kTokens, 8});
  logits.random(17);
  for (int64_t t = 0; t < kTokens; ++t) {
    logits(t, 5) = 1.5f + static_cast<float>(t) * 1e-4f;
    logits(t, 2) = logits(t, 5) + (t % 2 ? 1e-4f : -1e-4f);
  }
  Array<int32_t> ids({kTokens, 1});
  Array<float> weights({kTokens, 1});
  m.run(name, 2, logits, ids, weights);
  for (int64_t t = 0; t < kTokens; ++t)
    ASSERT_EQ(ids(t, 0), t % 2 ? 2 : 5) << "token " << t;
}

TEST_P(MoE, F037_SoftmaxIsOverAllExperts) {
  // The group mask would double the weights if it came first.
  RouteTopKConfig config = groupRouting(4, 2, 2, 1);
  KernelModule m(GetParam());
  std::string name = addRoute(m, config);
  ASSERT_TRUE(m.compile());
  Array<float> logits({1, 4});
  logits.fill(0.0f);
  Array<int32_t> ids({1, 2});
  Array<float> weights({1, 2});
  m.run(name, 1, logits, ids, weights);
  EXPECT_EQ(ids(0, 0), 0);
  EXPECT_EQ(ids(0, 1), 1);
  EXPECT_EQ(weights(0, 0), 0.25f);
  EXPECT_EQ(weights(0, 1), 0.25f);
}

TEST_P(MoE, F038_ZeroScoresOfAKeptGroupBeatMaskedGroups) {
  // Group 1 wins by its expert 5; the others of the group score exactly 0,
  // while groups 0 and 2 have scores above 0.
  RouteTopKConfig config = groupRouting(12, 3, 3, 1);
  KernelModule m(GetParam());
  std::string name = addRoute(m, config);
  ASSERT_TRUE(m.compile());
  Array<float> logits({1, 12});
  logits.fill(-5.0f);
  for (int e : {4, 6, 7})
    logits(0, e) = -200.0f;
  logits(0, 5) = 0.0f;
  Array<int32_t> ids({1, 3});
  Array<float> weights({1, 3});
  m.run(name, 1, logits, ids, weights);
  EXPECT_EQ(ids(0, 0), 5);
  EXPECT_EQ(ids(0, 1), 4);
  EXPECT_EQ(ids(0, 2), 6);
  EXPECT_EQ(weights(0, 1), 0.0f);
}

TEST_P(MoE, F038_TiesGoToTheLowerIndex) {
  for (RouteTopKConfig config :
       {plainRouting(40, 7), groupRouting(40, 7, 5, 2), plainRouting(5, 5)}) {
    KernelModule m(GetParam());
    std::string name = addRoute(m, config);
    ASSERT_TRUE(m.compile());
    Array<float> logits({3, config.experts});
    // All equal; equal pairs; the best ones at the end.
    for (int64_t e = 0; e < config.experts; ++e) {
      logits(0, e) = 1.0f;
      logits(1, e) = static_cast<float>(e / 2 % 3);
      logits(2, e) = e + 4 >= config.experts ? 2.0f : -300.0f;
    }
    Array<int32_t> ids({3, config.topK});
    Array<float> weights({3, config.topK});
    m.run(name, 1, logits, ids, weights);
    for (int64_t t = 0; t < 3; ++t) {
      // Equal logits give equal scores, in f32 as in double.
      Routing expected = route(&logits(t, 0), config);
      for (int64_t s = 0; s < config.topK; ++s)
        EXPECT_EQ(ids(t, s), expected.ids[s]) << "token " << t << " slot " << s;
    }
  }
}

TEST_P(MoE, NaNLogitsGiveValidIdsAndNaNWeights) {
  for (RouteTopKConfig config :
       {plainRouting(20, 4), groupRouting(20, 4, 4, 2)}) {
    KernelModule m(GetParam());
    std::string name = addRoute(m, config);
    ASSERT_TRUE(m.compile());
    Array<float> logits({2, 20});
    logits.random(2);
    logits(0, 7) = NAN;
    for (int64_t e = 0; e < 20; ++e)
      logits(1, e) = NAN;
    Array<int32_t> ids({2, 4});
    Array<float> weights({2, 4});
    m.run(name, 1, logits, ids, weights);
    for (int64_t t = 0; t < 2; ++t)
      for (int64_t s = 0; s < 4; ++s) {
        EXPECT_GE(ids(t, s), 0);
        EXPECT_LT(ids(t, s), 20);
        EXPECT_TRUE(std::isnan(weights(t, s)));
      }
  }
}

TEST_P(MoE, DispatchOrdersByExpertTokenAndSlot) {
  for (auto [experts, topK, tokens] :
       {std::tuple(8, 2, 50), std::tuple(1, 1, 3), std::tuple(64, 6, 7),
        std::tuple(5, 3, 0)}) {
    KernelModule m(GetParam());
    DispatchConfig config{experts, topK};
    std::string name = getOrCreateDispatchKernel(m.module(), config, m.target())
                           .getName()
                           .str();
    ASSERT_TRUE(m.compile());
    Array<int32_t> ids({tokens, topK}, 1);
    std::mt19937 gen(4);
    // Expert 0 stays empty where there are others; duplicates are allowed.
    for (int64_t t = 0; t < tokens; ++t)
      for (int64_t s = 0; s < topK; ++s)
        ids(t, s) = experts == 1 ? 0 : 1 + gen() % (experts - 1);
    for (int64_t parts : {1, 3}) {
      Array<int32_t> offsets({experts + 1}), rowToken({tokens * topK});
      Array<int32_t> rowOfSlot({tokens, topK}, 2);
      m.run(name, parts, ids, offsets, rowToken, rowOfSlot);
      EXPECT_TRUE(offsets.guardIntact() && rowToken.guardIntact() &&
                  rowOfSlot.guardIntact());
      int32_t row = 0;
      for (int64_t e = 0; e < experts; ++e) {
        EXPECT_EQ(offsets(e), row);
        for (int64_t t = 0; t < tokens; ++t)
          for (int64_t s = 0; s < topK; ++s)
            if (ids(t, s) == e) {
              EXPECT_EQ(rowToken(row), t);
              EXPECT_EQ(rowOfSlot(t, s), row);
              ++row;
            }
      }
      EXPECT_EQ(offsets(experts), tokens * topK);
    }
  }
}

TEST_P(MoE, CombineAddsInTheDocumentedOrder) {
  for (int64_t width : {1, 16, 37, 600})
    for (int mask = 0; mask < 4; ++mask) {
      KernelModule m(GetParam());
      CombineConfig config;
      config.width = width;
      config.topK = 3;
      config.hasShared = mask & 1;
      config.hasResidual = mask & 2;
      std::string name =
          getOrCreateCombineKernel(m.module(), config, m.target())
              .getName()
              .str();
      ASSERT_TRUE(m.compile());
      constexpr int64_t kTokens = 5;
      Array<float> out({kTokens * 3, width}, 1), weights({kTokens, 3}, 1);
      Array<float> shared({kTokens, width}, 2), residual({kTokens, width}, 3);
      Array<int32_t> rowOfSlot({kTokens, 3}, 1);
      out.random(1);
      weights.random(2);
      shared.random(3);
      residual.random(4);
      for (int64_t t = 0; t < kTokens; ++t)
        for (int64_t s = 0; s < 3; ++s)
          rowOfSlot(t, s) = static_cast<int32_t>((t * 3 + s) * 7 % 15);
      for (int64_t parts : {1, 2, 7}) {
        Array<float> y({kTokens, width});
        std::vector<Descriptor> args{out.descriptor(), rowOfSlot.descriptor(),
                                     weights.descriptor()};
        if (config.hasShared)
          args.push_back(shared.descriptor());
        if (config.hasResidual)
          args.push_back(residual.descriptor());
        args.push_back(y.descriptor());
        std::vector<void *> pointers;
        for (const Descriptor &d : args)
          pointers.push_back(d.get());
        for (int64_t part = 0; part < parts; ++part)
          m.call(name, pointers, part, parts);
        EXPECT_TRUE(y.guardIntact());
        for (int64_t t = 0; t < kTokens; ++t)
          for (int64_t d = 0; d < width; ++d) {
            auto term = [&](int64_t s) {
              return std::pair(weights(t, s), out(rowOfSlot(t, s), d));
            };
            auto [w, v] = term(0);
            float sum = w * v;
            for (int64_t s = 1; s < 3; ++s) {
              std::tie(w, v) = term(s);
              volatile float product = w * v;
              sum = m.target().hasFMA ? std::fma(w, v, sum) : product + sum;
            }
            if (config.hasShared)
              sum += shared(t, d);
            if (config.hasResidual)
              sum += residual(t, d);
            ASSERT_EQ(y(t, d), sum) << "token " << t << " element " << d;
          }
      }
    }
}

TEST_P(MoE, F047_RowOffsetsBeyond31Bits) {
  // 70,000 tokens, 6 experts each, hidden size 5120: the last row starts beyond
  // element 2^31. The memory is reserved, and only that row is touched.
  constexpr int64_t kWidth = 5120, kRows = 70000 * 6;
  size_t bytes = kWidth * kRows * sizeof(float);
  void *memory = mmap(nullptr, bytes, PROT_READ | PROT_WRITE,
                      MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (memory == MAP_FAILED)
    GTEST_SKIP() << "cannot reserve " << bytes << " bytes of address space";
  auto *rows = static_cast<float *>(memory);
  static_assert(kWidth * (kRows - 1) > int64_t(1) << 31);
  std::fill_n(rows + kWidth * (kRows - 1), kWidth, 3.0f);

  KernelModule m(GetParam());
  CombineConfig combineConfig;
  combineConfig.width = kWidth;
  combineConfig.topK = 1;
  std::string combine =
      getOrCreateCombineKernel(m.module(), combineConfig, m.target())
          .getName()
          .str();
  std::string gather =
      getOrCreateGatherRowsKernel(m.module(), {kWidth}, m.target())
          .getName()
          .str();
  ASSERT_TRUE(m.compile());
  Descriptor out(rows, 0, {kRows, kWidth}, {kWidth, 1});
  Array<int32_t> rowOfSlot({1, 1}), list({1});
  rowOfSlot.fill(kRows - 1);
  list.fill(kRows - 1);
  Array<float> weights({1, 1}), y({1, kWidth});
  weights.fill(2.0f);
  m.run(combine, 2, out, rowOfSlot, weights, y);
  EXPECT_EQ(y(0, 0), 6.0f);
  EXPECT_EQ(y(0, kWidth - 1), 6.0f);
  m.run(gather, 2, out, list, y);
  EXPECT_EQ(y(0, 0), 3.0f);
  EXPECT_EQ(y(0, kWidth - 1), 3.0f);
  munmap(memory, bytes);
}

INSTANTIATE_TEST_SUITE_P(CPUs, MoE, ::testing::ValuesIn(testedCPUs()), cpuName);

} // namespace
