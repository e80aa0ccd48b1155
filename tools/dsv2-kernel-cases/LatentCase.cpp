//===- LatentCase.cpp - cases of rope, latent cache and attention ---------===//
//
// Part of dsv2, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "SimtCaseParts.h"

#include <algorithm>
#include <cmath>
#include <numeric>
#include <random>

using namespace mlir;
using namespace mlir::dsv2;
using namespace mlir::dsv2::cases;
using namespace mlir::dsv2::gpu;
using ::dsv2rt::caseNumber;

//===----------------------------------------------------------------------===//
// Rope
//===----------------------------------------------------------------------===//

/// cos and sin of a pair's angle, as they are in a table.
static std::pair<double, double> getFactors(const RopeTableConfig &config,
                                            int32_t position, int64_t pair) {
  // The angle is rounded to f32, as the references do it.
  float angle = float(position) * config.inverseFrequencies[pair];
  return {std::cos(double(angle)) * config.multiplier,
          std::sin(double(angle)) * config.multiplier};
}

void cases::addSimtCase(KernelCases &cases, const RopeTableConfig &config,
                        const TokenPlaces &places, CaseSeed) {
  KernelCase &item = startCase(cases, places);
  int64_t pairs = config.inverseFrequencies.size(), width = 2 * pairs;
  int64_t positions = addValues(item, "positions", places.positions);
  int64_t table =
      addResult(item, "table", places.tokens() * width, CaseElement::F32);
  LaunchBuilder(cases, item, 0, places.tokens())
      .pointer(positions)
      .pointer(table)
      .i32(width);

  Expectation expected;
  for (int32_t position : places.positions)
    for (int64_t i = 0; i < width; ++i) {
      auto [cos, sin] = getFactors(config, position, i % pairs);
      expected.add({i < pairs ? cos : sin, config.multiplier});
    }
  // The function and its product with the multiplier.
  expected.check(item, table, CaseElement::F32, 2);
}

/// What a rotation makes of element `column` of a row.
static Sum rotate(const RandomRows &rows, int64_t row, int64_t column,
                  std::pair<double, double> factors) {
  auto [cos, sin] = factors;
  bool isOdd = column % 2;
  double partner = rows.at(row, isOdd ? column - 1 : column + 1);
  Sum sum;
  sum.add(rows.at(row, column) * cos);
  sum.add(isOdd ? partner * sin : -partner * sin);
  return sum;
}
/// Roundings of a rotation: two products and their sum.
static constexpr double kRotationRoundings = 3;

void cases::addSimtCase(KernelCases &cases, const ApplyRopeConfig &config,
                        int64_t tokens, CaseSeed seed) {
  KernelCase &item = startCase(cases, tokens);
  int64_t width = config.width, pairs = width / 2;
  int64_t rows = tokens * config.heads;
  RandomRows table =
      addRows(item, "table", tokens, width, CaseElement::F32, seed.of(0));
  RandomRows x =
      addRows(item, "input", rows, width, elementOf(config.input), seed.of(1));
  int64_t out = x.buffer, outStride = x.stride;
  if (!config.inPlace) {
    out = addResult(item, "output", rows * width, elementOf(config.output));
    outStride = width;
  }
  LaunchBuilder(cases, item, 0, tokens)
      .pointer(x.buffer)
      .i32(config.heads * x.stride)
      .i32(x.stride)
      .pointer(table.buffer)
      .i32(table.stride)
      .pointer(out)
      .i32(config.heads * outStride)
      .i32(outStride);

  Expectation expected;
  for (int64_t row = 0; row < rows; ++row) {
    int64_t t = row / config.heads;
    for (int64_t i = 0; i < width; ++i)
      expected.add(
          rotate(x, row, i, {table.at(t, i / 2), table.at(t, pairs + i / 2)}));
    // In place, what lies between rows stays.
    for (int64_t i = width; i < outStride; ++i)
      expected.addExact(x.at(row, i));
  }
  expected.check(item, out, elementOf(config.output), kRotationRoundings);
}

//===----------------------------------------------------------------------===//
// Latent cache
//===----------------------------------------------------------------------===//

namespace {
/// A layer's cache whose sequences have pages in any order.
class PagedCache {
public:
  PagedCache(const LatentCacheConfig &config, const TokenPlaces &places,
             CaseSeed seed)
      : config(config), places(places) {
    int32_t sequences =
        *std::max_element(places.sequences.begin(), places.sequences.end()) + 1;
    int32_t last =
        *std::max_element(places.positions.begin(), places.positions.end());
    tableWidth = last / config.page + 1;
    pages = sequences * tableWidth + 1;
    std::vector<int32_t> order(pages);
    std::iota(order.begin(), order.end(), 0);
    std::mt19937 random{uint32_t(seed.seed)};
    std::shuffle(order.begin(), order.end(), random);
    table.assign(order.begin(), order.end() - 1);
  }

  int64_t elements() const { return pages * config.page * config.row(); }
  /// Element where the row of a position starts.
  int64_t rowOf(int32_t sequence, int64_t position) const {
    int64_t page = table[sequence * tableWidth + position / config.page];
    return (page * config.page + position % config.page) * config.row();
  }
  int64_t rowOfToken(int64_t token) const {
    return rowOf(places.sequences[token], places.positions[token]);
  }

  /// Adds positions, sequences and the table, then the cache, in `buffer`.
  void addPlaces(KernelCase &item, LaunchBuilder &launch) const {
    launch.pointer(addValues(item, "positions", places.positions));
    launch.pointer(addValues(item, "seqIds", places.sequences));
    launch.pointer(addValues(item, "blockTables", table)).i32(tableWidth);
  }
  void addCache(LaunchBuilder &launch, int64_t buffer) const {
    launch.pointer(buffer).i32(config.page * config.row());
  }

  const LatentCacheConfig &config;
  const TokenPlaces &places;
  int64_t tableWidth, pages;
  std::vector<int32_t> table;
};
} // namespace

/// Adds a cache of zeros, whose other rows stay as they are.
static int64_t addWrittenCache(KernelCase &item, const PagedCache &cache) {
  int64_t buffer = addResult(item, "cache", cache.elements(),
                             elementOf(cache.config.element));
  item.buffers[buffer].background = 0;
  return buffer;
}

void cases::addSimtCase(KernelCases &cases, const LatentAppendConfig &config,
                        const TokenPlaces &places, CaseSeed seed) {
  KernelCase &item = startCase(cases, places);
  const LatentCacheConfig &cache = config.cache;
  PagedCache paged(cache, places, seed);
  int64_t tokens = places.tokens();
  RandomRows latent = addRows(item, "latent", tokens, cache.latent,
                              elementOf(config.latent), seed.of(0));
  RandomRows key = addRows(item, "key", tokens, cache.rope,
                           elementOf(config.rope), seed.of(1));
  int64_t written = addWrittenCache(item, paged);
  LaunchBuilder launch(cases, item, 0, tokens);
  launch.pointer(latent.buffer).i32(latent.stride);
  launch.pointer(key.buffer).i32(key.stride);
  paged.addPlaces(item, launch);
  paged.addCache(launch, written);

  Expectation expected(paged.elements());
  for (int64_t t = 0; t < tokens; ++t)
    for (int64_t i = 0; i < cache.row(); ++i)
      expected.set(
          paged.rowOfToken(t) + i,
          {i < cache.latent ? latent.at(t, i) : key.at(t, i - cache.latent),
           /*terms=*/0});
  expected.check(item, written, elementOf(cache.element), 0);
}

void cases::addSimtCase(KernelCases &cases, const ContextRowsConfig &config,
                        const TokenPlaces &places, CaseSeed seed) {
  KernelCase &item = startCase(cases, places);
  const LatentCacheConfig &cache = config.cache;
  PagedCache paged(cache, places, seed);
  // Where the tokens and the rows of each sequence begin, and end.
  std::vector<int32_t> tokens = {0}, rows = {0};
  for (int64_t t = 0; t < places.tokens(); ++t)
    if (t + 1 == places.tokens() ||
        places.sequences[t + 1] != places.sequences[t]) {
      tokens.push_back(int32_t(t) + 1);
      rows.push_back(rows.back() + places.positions[t] + 1);
    }
  CaseElement element = elementOf(cache.element);
  int64_t sequences = int64_t(tokens.size()) - 1, all = rows.back();
  int64_t positions = addValues(item, "positions", places.positions);
  int64_t seqStarts = addValues(item, "seqStarts", tokens);
  int64_t table = addValues(item, "blockTables", paged.table);
  int64_t buffer =
      addNormal(item, "cache", paged.elements(), seed.of(0), 1, element);
  int64_t latents = addResult(item, "latents", all * cache.latent, element);
  int64_t keys = addResult(item, "keys", all * cache.rope, element);
  int64_t starts = addOutput(item, "starts", 4 * (sequences + 1));
  LaunchBuilder launch(cases, item, 0, (all + kContextRows - 1) / kContextRows);
  launch.pointer(positions).pointer(seqStarts);
  launch.pointer(table).i32(paged.tableWidth);
  paged.addCache(launch, buffer);
  launch.pointer(latents).pointer(keys).pointer(starts).i32(sequences);

  Expectation latent, key;
  for (int32_t s = 0; s < sequences; ++s)
    for (int64_t p = 0; p < rows[s + 1] - rows[s]; ++p)
      for (int64_t i = 0; i < cache.row(); ++i)
        (i < cache.latent ? latent : key)
            .addExact(caseNumber(seed.of(0), 1, paged.rowOf(s, p) + i));
  latent.check(item, latents, element, 0);
  key.check(item, keys, element, 0);
  checkIntegers(item, starts, rows);
}

void cases::addSimtCase(KernelCases &cases, const LatentInputConfig &config,
                        const TokenPlaces &places, CaseSeed seed) {
  KernelCase &item = startCase(cases, places);
  const LatentCacheConfig &cache = config.cache;
  PagedCache paged(cache, places, seed);
  int64_t tokens = places.tokens(), queries = tokens * config.heads;
  RandomRows query = addRows(item, "queries", queries, cache.rope,
                             elementOf(config.query), seed.of(0));
  RandomRows latent = addRows(item, "latent", tokens, cache.latent,
                              elementOf(config.latent), seed.of(1));
  RandomRows key = addRows(item, "key", tokens, cache.rope,
                           elementOf(config.key), seed.of(2));
  RandomRows weight = addRows(item, "weight", 1, cache.latent,
                              elementOf(config.weight), seed.of(3));
  int64_t written = addWrittenCache(item, paged);
  int64_t out = addResult(item, "rotated", queries * cache.rope,
                          elementOf(config.output));
  LaunchBuilder launch(cases, item, 0, tokens);
  launch.pointer(query.buffer)
      .i32(config.heads * query.stride)
      .i32(query.stride);
  launch.pointer(latent.buffer).i32(latent.stride);
  launch.pointer(key.buffer).i32(key.stride);
  launch.pointer(weight.buffer);
  paged.addPlaces(item, launch);
  paged.addCache(launch, written);
  launch.pointer(out).i32(config.heads * cache.rope).i32(cache.rope);

  Expectation rows(paged.elements()), rotated;
  for (int64_t t = 0; t < tokens; ++t) {
    int64_t row = paged.rowOfToken(t);
    std::vector<Sum> values =
        normalize(latent, t, cache.latent, config.eps, weight);
    for (int64_t i = 0; i < cache.latent; ++i)
      rows.set(row + i, values[i]);
    auto factorsOf = [&](int64_t column) {
      return getFactors(config.rope, places.positions[t], column / 2);
    };
    for (int64_t i = 0; i < cache.rope; ++i)
      rows.set(row + cache.latent + i, rotate(key, t, i, factorsOf(i)));
    for (int64_t head = 0; head < config.heads; ++head)
      for (int64_t i = 0; i < cache.rope; ++i)
        rotated.add(rotate(query, t * config.heads + head, i, factorsOf(i)));
  }
  rows.check(item, written, elementOf(cache.element),
             normRoundings(cache.latent));
  // By factors that are rounded themselves.
  rotated.check(item, out, elementOf(config.output), kRotationRoundings + 2);
}

void cases::addSimtCase(KernelCases &cases, const AttentionConfig &config,
                        const TokenPlaces &places, CaseSeed seed,
                        double mostOperations) {
  KernelCase &item = startCase(cases, places);
  const LatentCacheConfig &cache = config.cache;
  PagedCache paged(cache, places, seed);
  int64_t tokens = places.tokens(), queries = tokens * config.heads;
  RandomRows latent = addRows(item, "latent queries", queries, cache.latent,
                              elementOf(config.input), seed.of(0));
  RandomRows rope = addRows(item, "rotated queries", queries, cache.rope,
                            elementOf(config.input), seed.of(1));
  int64_t buffer = addNormal(item, "cache", paged.elements(), seed.of(2), 1,
                             elementOf(cache.element));
  int64_t out = addResult(item, "output", queries * cache.latent,
                          elementOf(config.output));
  LaunchBuilder launch(cases, item, 0, tokens, config.heads);
  for (const RandomRows &rows : {latent, rope})
    launch.pointer(rows.buffer)
        .i32(config.heads * rows.stride)
        .i32(rows.stride);
  paged.addCache(launch, buffer);
  paged.addPlaces(item, launch);
  launch.pointer(out).i32(config.heads * cache.latent).i32(cache.latent);

  // Scores are sums of up to some hundred products that are rounded to f32, and
  // their exponentials are approximate: weights are off by some 1e-5 of
  // themselves, and so are sums of values that are at most 3.5.
  bool isF32 = config.output.isF32();
  CaseCheck &check = addCheck(item, out, isF32, 1e-4, isF32 ? 1e-5 : 1.0 / 256);
  double operations = 0;
  for (int64_t query = 0; query < queries; ++query) {
    int64_t token = query / config.heads;
    int64_t count = places.positions[token] + 1;
    operations += 2.0 * count * (cache.row() + cache.latent);
    // The last one always, as it attends to the most.
    if (operations > mostOperations && query + 1 < queries)
      continue;
    std::vector<double> weights;
    for (int64_t p = 0; p < count; ++p) {
      int64_t row = paged.rowOf(places.sequences[token], p);
      double score = 0;
      for (int64_t i = 0; i < cache.row(); ++i)
        score += double(i < cache.latent ? latent.at(query, i)
                                         : rope.at(query, i - cache.latent)) *
                 caseNumber(seed.of(2), 1, row + i);
      weights.push_back(score * config.scale);
    }
    double largest = *std::max_element(weights.begin(), weights.end());
    double sum = 0;
    for (double &weight : weights) {
      weight = std::exp(weight - largest);
      sum += weight;
    }
    check.spans.emplace_back(query * cache.latent, cache.latent);
    for (int64_t i = 0; i < cache.latent; ++i) {
      double value = 0;
      for (int64_t p = 0; p < count; ++p)
        value += weights[p] *
                 caseNumber(seed.of(2), 1,
                            paged.rowOf(places.sequences[token], p) + i);
      check.expected.push_back(float(value / sum));
    }
  }
}
