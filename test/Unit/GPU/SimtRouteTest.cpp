//===- SimtRouteTest.cpp - Choice of experts, run on the emulator ---------===//
//
// Part of dsv2, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "KernelRun.h"

#include "dsv2/CodeGen/GPU/KernelCosts.h"
#include "dsv2/CodeGen/GPU/SimtKernels.h"

#include <algorithm>
#include <cmath>
#include <numeric>

using namespace mlir;
using namespace mlir::dsv2;
using namespace mlir::dsv2::gpu;
using namespace mlir::dsv2::test;

namespace {

struct Choice {
  std::vector<int32_t> ids;
  std::vector<float> weights;
};

struct Dispatch {
  std::vector<int32_t> offsets, tokens, rows;
};

/// Indices of the `count` largest, of equals the first.
std::vector<int32_t> largest(const std::vector<double> &values, int64_t count) {
  std::vector<int32_t> order(values.size());
  std::iota(order.begin(), order.end(), 0);
  std::sort(order.begin(), order.end(), [&](int32_t a, int32_t b) {
    return std::pair(-values[a], a) < std::pair(-values[b], b);
  });
  order.resize(count);
  return order;
}

Choice expectedRoute(const RouteConfig &config,
                     const std::vector<float> &scores) {
  Choice result;
  int64_t experts = config.experts, groupSize = experts / config.groups;
  for (size_t first = 0; first < scores.size(); first += experts) {
    std::vector<double> shares;
    double sum = 0;
    for (int64_t e = 0; e < experts; ++e)
      sum += shares.emplace_back(std::exp(double(scores[first + e])));
    for (double &share : shares)
      share /= sum;
    std::vector<double> groups, allowed(experts, -1);
    for (int64_t g = 0; g < config.groups; ++g)
      groups.push_back(*std::max_element(shares.begin() + g * groupSize,
                                         shares.begin() + (g + 1) * groupSize));
    for (int32_t g : largest(groups, config.topGroups))
      std::copy_n(shares.begin() + g * groupSize, groupSize,
                  allowed.begin() + g * groupSize);
    std::vector<int32_t> ids = largest(allowed, config.topK);
    double chosen = 0;
    for (int32_t id : ids)
      chosen += shares[id];
    for (int32_t id : ids) {
      result.ids.push_back(id);
      result.weights.push_back(
          (config.normalize ? shares[id] / chosen : shares[id]) * config.scale);
    }
  }
  return result;
}

Dispatch expectedDispatch(const std::vector<int32_t> &ids, int64_t experts,
                          int64_t topK) {
  Dispatch result;
  result.rows.resize(ids.size());
  for (int64_t e = 0; e < experts; ++e) {
    result.offsets.push_back(result.tokens.size());
    for (size_t pair = 0; pair < ids.size(); ++pair)
      if (ids[pair] == e) {
        result.rows[pair] = result.tokens.size();
        result.tokens.push_back(pair / topK);
      }
  }
  result.offsets.push_back(result.tokens.size());
  return result;
}

class SimtRoute : public KernelRun {
protected:
  Loaded make(const std::function<void(ModuleOp)> &build) {
    std::optional<DeviceCode> code = compileKernel("sm_90a", build);
    if (!code)
      return {};
    expectGatePasses(*code);
    return loadKernel(*code);
  }

  static std::vector<float> makeScores(const RouteConfig &config,
                                       int64_t tokens) {
    // Of few different values, so that there are ties.
    std::vector<float> scores = randomBF16(tokens * config.experts, tokens, 2);
    for (float &score : scores)
      score = std::round(score * 4) / 4;
    return scores;
  }

  static void expectChoice(const Choice &actual, const Choice &expected) {
    EXPECT_EQ(actual.ids, expected.ids);
    // Approximate exponentials, and sums of f32.
    expectClose(actual.weights, expected.weights, 1e-7f, 1e-5f, "weights");
  }
  static void expectDispatch(const Dispatch &actual, const Dispatch &expected) {
    EXPECT_EQ(actual.offsets, expected.offsets);
    EXPECT_EQ(actual.tokens, expected.tokens);
    EXPECT_EQ(actual.rows, expected.rows);
  }

  CUdeviceptr memory(size_t count) {
    return upload(std::vector<int32_t>(std::max<size_t>(count, 1), -7));
  }
};

const RouteConfig kRoutes[] = {
    {/*experts=*/64, /*topK=*/6, 1, 1, 1.0f, false},
    {160, 6, 8, 3, 16.0f, false},
    {8, 2, 2, 1, 2.5f, true},
    {40, 4, 1, 1, 1.0f, true},
};

} // namespace

TEST_F(SimtRoute, Route) {
  for (const RouteConfig &config : kRoutes) {
    Loaded kernel =
        make([&](ModuleOp module) { getOrCreateRouteKernel(module, config); });
    ASSERT_NE(kernel.function, nullptr);
    for (int64_t tokens : {1, 7}) {
      std::vector<float> scores = makeScores(config, tokens);
      size_t pairs = tokens * config.topK;
      CUdeviceptr ids = memory(pairs), weights = memory(pairs);
      run(kernel, tokens, 1, upload(scores), int32_t(config.experts), ids,
          weights);
      expectChoice(
          {download<int32_t>(ids, pairs), download<float>(weights, pairs)},
          expectedRoute(config, scores));
    }
  }
}

TEST_F(SimtRoute, Dispatch) {
  for (int64_t experts : {1, 8, 64, 160, 400})
    for (int64_t topK : {1, 6}) {
      Loaded kernel = make([&](ModuleOp module) {
        getOrCreateDispatchKernel(module, {experts, topK});
      });
      ASSERT_NE(kernel.function, nullptr);
      for (int64_t tokens : {1, 5, 33, 700}) {
        std::mt19937 random(tokens);
        // Most experts get none; or one gets all.
        for (int64_t used :
             {experts, std::max<int64_t>(experts / 3, 1), int64_t(1)}) {
          std::vector<int32_t> chosen;
          for (int64_t pair = 0; pair < tokens * topK; ++pair)
            chosen.push_back(experts - 1 - random() % used);
          CUdeviceptr offsets = memory(experts + 1),
                      toTokens = memory(chosen.size()),
                      rows = memory(chosen.size());
          for (int seed : {1, 2}) {
            setOptions("seed=" + std::to_string(seed));
            run(kernel, 1, 1, upload(chosen), int32_t(tokens), offsets,
                toTokens, rows);
            expectDispatch({download<int32_t>(offsets, experts + 1),
                            download<int32_t>(toTokens, chosen.size()),
                            download<int32_t>(rows, chosen.size())},
                           expectedDispatch(chosen, experts, topK));
          }
        }
      }
    }
}

// Blocks count pairs by warp and expert, in shared memory.
TEST_F(SimtRoute, BesideProducts) {
  ProductFacts facts;
  facts.outputs = 32;
  facts.inputs = 2048;
  ProductConfig product = facts.getConfig(&getContext());
  RouteConfig route = kRoutes[0];
  for (int64_t experts : {64, 160, 1280}) {
    route.experts = experts;
    EXPECT_TRUE(canRouteBesideProducts(route, product)) << experts;
  }
  route.experts = 1281;
  EXPECT_FALSE(canRouteBesideProducts(route, product));
}

TEST_F(SimtRoute, RouteAndDispatch) {
  for (const RouteConfig &config : kRoutes) {
    Loaded kernel = make([&](ModuleOp module) {
      getOrCreateRouteDispatchKernel(module, config);
    });
    ASSERT_NE(kernel.function, nullptr);
    for (int64_t tokens : {1, 8, 40}) {
      std::vector<float> scores = makeScores(config, tokens);
      size_t pairs = tokens * config.topK;
      CUdeviceptr ids = memory(pairs), weights = memory(pairs),
                  offsets = memory(config.experts + 1),
                  toTokens = memory(pairs), rows = memory(pairs);
      run(kernel, 1, 1, upload(scores), int32_t(config.experts), ids, weights,
          int32_t(tokens), offsets, toTokens, rows);
      Choice expected = expectedRoute(config, scores);
      expectChoice(
          {download<int32_t>(ids, pairs), download<float>(weights, pairs)},
          expected);
      expectDispatch(
          {download<int32_t>(offsets, config.experts + 1),
           download<int32_t>(toTokens, pairs), download<int32_t>(rows, pairs)},
          expectedDispatch(expected.ids, config.experts, config.topK));
    }
  }
}
