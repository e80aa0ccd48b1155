//===- ExchangeCase.cpp - cases of rows on their way between ranks --------===//
//
// Part of dsv2, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "SimtCaseParts.h"

#include "llvm/Support/MathExtras.h"

#include <cstring>
#include <random>

using namespace mlir;
using namespace mlir::dsv2;
using namespace mlir::dsv2::cases;
using namespace mlir::dsv2::gpu;
using ::dsv2rt::caseNumber;

namespace {
/// Experts of tokens, and the rows that they have at the ranks of these.
struct ExchangeProblem {
  ExchangeProblem(const ExchangeConfig &config, int64_t tokens, CaseSeed seed);

  /// The number of a slot's expert at `rank`, or -1.
  int32_t numberAt(int64_t pair, int64_t rank) const {
    return ids[pair] / config.experts == rank
               ? int32_t(ids[pair] % config.experts)
               : -1;
  }

  const ExchangeConfig &config;
  int64_t tokens;
  std::vector<int32_t> ids, counts, places;
  /// Rows that there are, and the rank and token of each; -1 for none.
  int64_t rows = 0;
  std::vector<std::pair<int64_t, int64_t>> owners;
};
} // namespace

ExchangeProblem::ExchangeProblem(const ExchangeConfig &config, int64_t tokens,
                                 CaseSeed seed)
    : config(config), tokens(tokens) {
  std::mt19937 random{uint32_t(seed.seed)};
  for (int64_t pair = 0; pair < tokens * config.topK; ++pair)
    ids.push_back(int32_t(random() % (config.experts * config.ranks)));
  places.assign(tokens * config.ranks, -1);
  for (int64_t rank = 0; rank < config.ranks; ++rank) {
    int32_t wanted = 0;
    for (int64_t t = 0; t < tokens; ++t) {
      bool isSent = false;
      for (int64_t slot = 0; slot < config.topK; ++slot)
        isSent |= numberAt(t * config.topK + slot, rank) >= 0;
      if (!isSent)
        continue;
      ++wanted;
      // Beyond the capacity there is no place.
      if (config.capacity && wanted > config.capacity)
        continue;
      places[t * config.ranks + rank] = int32_t(owners.size());
      owners.emplace_back(rank, t);
    }
    counts.push_back(wanted);
    if (config.capacity)
      owners.resize((rank + 1) * config.capacity, {rank, -1});
  }
  rows = int64_t(owners.size());
}

void cases::addSimtCase(KernelCases &cases, const ExchangePlanFacts &facts,
                        int64_t tokens, CaseSeed seed) {
  KernelCase &item = startCase(cases, tokens);
  ExchangeProblem problem(facts.config, tokens, seed);
  int64_t ids = addValues(item, "ids", problem.ids);
  int64_t counts = addOutput(item, "counts", 4 * facts.config.ranks);
  int64_t places = addOutput(item, "places", 4 * problem.places.size());
  LaunchBuilder(cases, item, 0, 1)
      .pointer(ids)
      .i32(tokens)
      .pointer(counts)
      .pointer(places);
  checkIntegers(item, counts, problem.counts);
  checkIntegers(item, places, problem.places);
}

void cases::addSimtCase(KernelCases &cases, const ExchangePackFacts &facts,
                        int64_t tokens, CaseSeed seed) {
  const ExchangeConfig &config = facts.config;
  KernelCase &item = startCase(cases, tokens);
  ExchangeProblem problem(config, tokens, seed);
  CaseElement element = elementOf(config.element);
  int64_t columns = config.columns();
  int64_t words = ::dsv2rt::elementBytes(element) * columns / 4;
  int64_t slots = ::dsv2rt::elementBytes(element) * config.slotColumn() / 4;
  RandomRows x =
      addRows(item, "input", tokens, config.width, element, seed.of(0));
  int64_t ids = addValues(item, "ids", problem.ids);
  int64_t weights = addNormal(item, "weights", tokens * config.topK, seed.of(1),
                              1, CaseElement::F32);
  int64_t places = addValues(item, "places", problem.places);
  int64_t counts = addValues(item, "counts", problem.counts);
  int64_t rows =
      addOutput(item, "rows", 4 * words * std::max<int64_t>(problem.rows, 1));
  LaunchBuilder(cases, item, 0, tokens + (config.capacity ? problem.rows : 0))
      .pointer(x.buffer)
      .i32(x.stride)
      .pointer(ids)
      .i32(tokens)
      .pointer(weights)
      .pointer(places)
      .pointer(counts)
      .pointer(rows)
      .i32(columns);

  // Three kinds of things in one buffer.
  auto add = [&](CaseElement kind) {
    CaseCheck check;
    check.what = "rows";
    check.buffer = rows;
    check.element = kind;
    check.finite = false;
    return check;
  };
  CaseCheck inputs = add(element), numbers = add(CaseElement::I32),
            parts = add(CaseElement::F32);
  for (int64_t row = 0; row < problem.rows; ++row) {
    auto [rank, token] = problem.owners[row];
    if (token >= 0) {
      inputs.spans.emplace_back(row * columns, config.width);
      for (int64_t i = 0; i < config.width; ++i)
        inputs.expected.push_back(x.at(token, i));
    }
    // Numbers, weights, and zeros behind them.
    int64_t first = row * words + slots;
    numbers.spans.emplace_back(first, config.topK);
    parts.spans.emplace_back(first + config.topK, words - slots - config.topK);
    for (int64_t i = 0; i < words - slots; ++i) {
      int64_t pair = token * config.topK + i % config.topK;
      if (i < config.topK)
        numbers.expected.push_back(
            token < 0 ? -1 : float(problem.numberAt(pair, rank)));
      else
        parts.expected.push_back(token < 0 || i >= 2 * config.topK
                                     ? 0
                                     : caseNumber(seed.of(1), 1, pair));
    }
  }
  item.checks = {inputs, numbers, parts};
}

void cases::addSimtCase(KernelCases &cases, const ExchangeUnpackFacts &facts,
                        int64_t tokens, CaseSeed seed) {
  const ExchangeConfig &config = facts.config;
  KernelCase &item = startCase(cases, std::to_string(tokens) + "rows");
  int64_t bytes = ::dsv2rt::elementBytes(elementOf(config.element));
  int64_t words = bytes * config.columns() / 4;
  int64_t slots = bytes * config.slotColumn() / 4;
  std::mt19937 random{uint32_t(seed.seed)};
  // What belongs to inputs is not read.
  std::vector<int32_t> rows(tokens * words, -7), ids;
  Expectation weights;
  for (int64_t row = 0; row < tokens; ++row)
    for (int64_t slot = 0; slot < config.topK; ++slot) {
      ids.push_back(int32_t(random() % 20) - 1);
      float weight = caseNumber(seed.of(0), 1, int64_t(ids.size()));
      weights.addExact(weight);
      int32_t *at = &rows[row * words + slots + slot];
      *at = ids.back();
      std::memcpy(at + config.topK, &weight, sizeof(weight));
    }
  int64_t input = addValues(item, "rows", rows);
  int64_t toIds = addOutput(item, "ids", 4 * ids.size());
  int64_t toWeights = addOutput(item, "weights", 4 * ids.size());
  // A thread for each slot (getExchangeUnpackBlocks).
  int64_t threads = cases.code.kernels.front().block[0];
  LaunchBuilder(cases, item, 0,
                int64_t(llvm::divideCeil(tokens * config.topK, threads)))
      .pointer(input)
      .i32(config.columns())
      .i32(tokens)
      .pointer(toIds)
      .pointer(toWeights);
  checkIntegers(item, toIds, ids);
  weights.check(item, toWeights, CaseElement::F32, 0);
}

void cases::addSimtCase(KernelCases &cases, const ExchangeCombineFacts &facts,
                        int64_t tokens, CaseSeed seed) {
  int64_t width = facts.config.width, ranks = facts.config.ranks;
  KernelCase &item = startCase(cases, tokens);
  std::mt19937 random{uint32_t(seed.seed)};
  std::vector<int32_t> places;
  int32_t count = 0;
  for (int64_t i = 0; i < tokens * ranks; ++i)
    places.push_back(random() % 2 ? count++ : -1);
  RandomRows rows = addRows(item, "rows", std::max(count, 1), width,
                            CaseElement::F32, seed.of(0));
  int64_t toPlaces = addValues(item, "places", places);
  int64_t out = addResult(item, "output", tokens * width, CaseElement::F32);
  LaunchBuilder(cases, item, 0, tokens)
      .pointer(rows.buffer)
      .i32(rows.stride)
      .pointer(toPlaces)
      .pointer(out)
      .i32(width);
  Expectation expected;
  for (int64_t t = 0; t < tokens; ++t)
    for (int64_t i = 0; i < width; ++i) {
      Sum sum;
      for (int64_t rank = 0; rank < ranks; ++rank)
        if (int32_t row = places[t * ranks + rank]; row >= 0)
          sum.add(rows.at(row, i));
      expected.add(sum);
    }
  expected.check(item, out, CaseElement::F32, double(ranks));
}
