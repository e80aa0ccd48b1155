//===- RouteCase.cpp - cases of the choice of experts ---------------------===//
//
// Part of dsv2, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "SimtCaseParts.h"
#include "SimtProductCase.h"

#include <algorithm>
#include <cmath>
#include <numeric>
#include <random>
#include <tuple>

using namespace mlir;
using namespace mlir::dsv2;
using namespace mlir::dsv2::cases;
using namespace mlir::dsv2::gpu;

namespace {

/// Scores of all experts for some tokens, and who is chosen.
struct RouteProblem {
  RouteProblem(const RouteConfig &config, int64_t tokens, CaseSeed seed);

  int64_t pairs() const { return int64_t(ids.size()); }
  /// Adds the scores, and what the choice gives.
  void addScores(KernelCase &item, LaunchBuilder &launch) const;
  void addChoice(KernelCase &item, LaunchBuilder &launch) const;

  const RouteConfig &config;
  std::vector<float> scores;
  std::vector<int32_t> ids;
  std::vector<float> weights;
};

/// The order of (token, slot) pairs by expert, then token, then slot.
struct DispatchProblem {
  DispatchProblem(const DispatchConfig &config,
                  const std::vector<int32_t> &ids);

  /// Adds offsets, tokens and rows.
  void addResults(KernelCase &item, LaunchBuilder &launch) const;

  std::vector<int32_t> offsets, tokens, rows;
};

} // namespace

/// The index of the largest of `values`, the lowest of equal ones.
static int64_t findLargest(const std::vector<double> &values) {
  return std::max_element(values.begin(), values.end()) - values.begin();
}

RouteProblem::RouteProblem(const RouteConfig &config, int64_t tokens,
                           CaseSeed seed)
    : config(config) {
  constexpr double none = -1;
  std::mt19937 random{uint32_t(seed.seed)};
  int64_t groupSize = config.experts / config.groups;
  std::vector<int32_t> order(config.experts);
  for (int64_t t = 0; t < tokens; ++t) {
    // Steps that no rounding turns around; of every other token, two experts
    // have each score.
    std::iota(order.begin(), order.end(), 0);
    std::shuffle(order.begin(), order.end(), random);
    std::vector<double> left;
    double sum = 0;
    for (int32_t place : order) {
      scores.push_back(0.125f * float(t % 2 ? place / 2 : place));
      left.push_back(std::exp(double(scores.back())));
      sum += left.back();
    }
    std::vector<double> groups(config.groups, none);
    for (int64_t e = 0; e < config.experts; ++e) {
      left[e] /= sum;
      groups[e / groupSize] = std::max(groups[e / groupSize], left[e]);
    }
    std::vector<bool> isKept(config.groups, false);
    for (int64_t i = 0; i < config.topGroups; ++i) {
      int64_t group = findLargest(groups);
      isKept[group] = true;
      groups[group] = none;
    }
    for (int64_t e = 0; e < config.experts; ++e)
      if (!isKept[e / groupSize])
        left[e] = none;
    std::vector<double> chosen;
    double total = 1e-20;
    for (int64_t slot = 0; slot < config.topK; ++slot) {
      int64_t expert = findLargest(left);
      ids.push_back(int32_t(expert));
      chosen.push_back(left[expert]);
      total += left[expert];
      left[expert] = none;
    }
    for (double weight : chosen)
      weights.push_back(
          float((config.normalize ? weight / total : weight) * config.scale));
  }
}

void RouteProblem::addScores(KernelCase &item, LaunchBuilder &launch) const {
  launch.pointer(addValues(item, "scores", scores)).i32(config.experts);
}

void RouteProblem::addChoice(KernelCase &item, LaunchBuilder &launch) const {
  int64_t toIds = addOutput(item, "ids", 4 * pairs());
  int64_t toWeights = addResult(item, "weights", pairs(), CaseElement::F32);
  launch.pointer(toIds).pointer(toWeights);
  checkIntegers(item, toIds, ids);
  // The argument of the approximate exponential is rounded, to 2^-24 of at most
  // 0.125 * 160 * log2(e).
  CaseCheck &check = addCheck(item, toWeights, /*f32=*/true, 0, 1e-5);
  check.spans.emplace_back(0, pairs());
  check.expected = weights;
}

DispatchProblem::DispatchProblem(const DispatchConfig &config,
                                 const std::vector<int32_t> &ids)
    : rows(ids.size(), -1) {
  std::vector<int32_t> pairs(ids.size());
  std::iota(pairs.begin(), pairs.end(), 0);
  std::sort(pairs.begin(), pairs.end(), [&](int32_t a, int32_t b) {
    return std::tie(ids[a], a) < std::tie(ids[b], b);
  });
  for (int32_t pair : pairs) {
    if (ids[pair] < 0)
      continue;
    // Experts without rows start where the next one does.
    offsets.resize(ids[pair] + 1, int32_t(tokens.size()));
    rows[pair] = int32_t(tokens.size());
    tokens.push_back(int32_t(pair / config.topK));
  }
  offsets.resize(config.experts + 1, int32_t(tokens.size()));
}

void DispatchProblem::addResults(KernelCase &item,
                                 LaunchBuilder &launch) const {
  auto add = [&](const char *name, const std::vector<int32_t> &values,
                 size_t count) {
    int64_t buffer = addOutput(item, name, int64_t(4 * count));
    launch.pointer(buffer);
    checkIntegers(item, buffer, values);
  };
  add("offsets", offsets, offsets.size());
  // One for each pair, whether it has an expert or not.
  add("tokens", tokens, rows.size());
  add("rows", rows, rows.size());
}

void cases::addSimtCase(KernelCases &cases, const RouteConfig &config,
                        int64_t tokens, CaseSeed seed) {
  KernelCase &item = startCase(cases, tokens);
  RouteProblem problem(config, tokens, seed);
  LaunchBuilder launch(cases, item, 0, tokens);
  problem.addScores(item, launch);
  problem.addChoice(item, launch);
}

void cases::addSimtCase(KernelCases &cases, const DispatchConfig &config,
                        int64_t tokens, CaseSeed seed) {
  KernelCase &item = startCase(cases, tokens);
  std::mt19937 random{uint32_t(seed.seed)};
  std::vector<int32_t> experts(config.experts), ids;
  std::iota(experts.begin(), experts.end(), 0);
  for (int64_t t = 0; t < tokens; ++t) {
    std::shuffle(experts.begin(), experts.end(), random);
    for (int64_t slot = 0; slot < config.topK; ++slot)
      ids.push_back(config.partial && random() % 3 == 0 ? -1 : experts[slot]);
  }
  LaunchBuilder launch(cases, item, 0, 1);
  launch.pointer(addValues(item, "ids", ids)).i32(tokens);
  DispatchProblem(config, ids).addResults(item, launch);
}

static void addRouteDispatch(KernelCase &item, LaunchBuilder &launch,
                             const RouteConfig &route, int64_t tokens,
                             CaseSeed seed) {
  RouteProblem problem(route, tokens, seed);
  problem.addScores(item, launch);
  problem.addChoice(item, launch);
  launch.i32(tokens);
  DispatchProblem({route.experts, route.topK}, problem.ids)
      .addResults(item, launch);
}

void cases::addSimtCase(KernelCases &cases, const RouteDispatchFacts &facts,
                        int64_t tokens, CaseSeed seed) {
  KernelCase &item = startCase(cases, tokens);
  LaunchBuilder launch(cases, item, 0, 1);
  addRouteDispatch(item, launch, facts.route, tokens, seed);
}

void cases::addRouteProductsCase(KernelCases &cases, const RouteConfig &route,
                                 ArrayRef<SimtProductProblem> products,
                                 int64_t tokens, CaseSeed seed, Extent extent) {
  KernelCase &item = startCase(cases, tokens);
  LaunchBuilder launch(cases, item, 0, 1 + countBlocks(products));
  addRouteDispatch(item, launch, route, tokens, seed);
  for (const SimtProductProblem &product : products)
    product.addTo(item, launch, extent);
}
