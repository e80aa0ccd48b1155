//===- RowsCase.cpp - cases of kernels of rows ----------------------------===//
//
// Part of dsv2, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "SimtCaseParts.h"

#include <numeric>
#include <random>

using namespace mlir;
using namespace mlir::dsv2;
using namespace mlir::dsv2::cases;
using namespace mlir::dsv2::gpu;

void cases::addSimtCase(KernelCases &cases, const GatherRowsConfig &config,
                        int64_t tokens, CaseSeed seed) {
  using Rows = GatherRowsConfig::Rows;
  KernelCase &item = startCase(cases, tokens);
  constexpr int64_t tableRows = 37;
  // Of a part, rows before and behind it are asked for too.
  int32_t first = config.rows == Rows::Part ? 20 : 0;
  int64_t asked = config.rows == Rows::Part ? 3 * tableRows : tableRows;
  int64_t limit = config.rows == Rows::Limited ? (tokens + 1) / 2 : tokens;
  std::mt19937 random{uint32_t(seed.seed)};
  std::vector<int32_t> rows;
  for (int64_t t = 0; t < tokens; ++t)
    // Behind the limit there is anything.
    rows.push_back(t < limit ? int32_t(random() % asked) : INT32_MIN);

  int64_t numbers = addValues(item, "rows", rows);
  RandomRows table = addRows(item, "table", tableRows, config.width,
                             elementOf(config.from), seed.of(0));
  int64_t out =
      addResult(item, "output", tokens * config.width, elementOf(config.to));
  LaunchBuilder launch(cases, item, 0, tokens);
  launch.pointer(numbers).pointer(table.buffer).i32(table.stride);
  launch.pointer(out).i32(config.width);
  if (config.rows == Rows::Limited)
    launch.pointer(addValues(item, "limit", std::vector{int32_t(limit)}));
  if (config.rows == Rows::Part)
    launch.i32(first).i32(tableRows);

  Expectation expected;
  for (int64_t t = 0; t < limit; ++t)
    for (int64_t i = 0; i < config.width; ++i) {
      int64_t row = rows[t] - first;
      bool isThere = row >= 0 && row < tableRows;
      expected.addExact(isThere ? table.at(row, i) : 0);
    }
  expected.check(item, out, elementOf(config.to), 0).finite = limit == tokens;
}

void cases::addSimtCase(KernelCases &cases, const RMSNormConfig &config,
                        int64_t tokens, CaseSeed seed) {
  KernelCase &item = startCase(cases, tokens);
  RandomRows x = addRows(item, "input", tokens, config.width,
                         elementOf(config.input), seed.of(0));
  RandomRows weight = addRows(item, "weight", 1, config.width,
                              elementOf(config.weight), seed.of(1));
  int64_t out = addResult(item, "output", tokens * config.width,
                          elementOf(config.output));
  LaunchBuilder(cases, item, 0, tokens)
      .pointer(x.buffer)
      .i32(x.stride)
      .pointer(weight.buffer)
      .pointer(out)
      .i32(config.width);

  Expectation expected;
  for (int64_t t = 0; t < tokens; ++t)
    for (const Sum &value : normalize(x, t, config.width, config.eps, weight))
      expected.add(value);
  expected.check(item, out, elementOf(config.output),
                 normRoundings(config.width));
}

void cases::addSimtCase(KernelCases &cases, const AddConfig &config,
                        int64_t tokens, CaseSeed seed) {
  KernelCase &item = startCase(cases, tokens);
  constexpr CaseElement f32 = CaseElement::F32;
  RandomRows x = addRows(item, "left", tokens, config.width, f32, seed.of(0));
  RandomRows y = addRows(item, "right", tokens, config.width, f32, seed.of(1));
  int64_t out = addResult(item, "output", tokens * config.width, f32);
  LaunchBuilder(cases, item, 0, tokens)
      .pointer(x.buffer)
      .i32(x.stride)
      .pointer(y.buffer)
      .i32(y.stride)
      .pointer(out)
      .i32(config.width);

  Expectation expected;
  for (int64_t t = 0; t < tokens; ++t)
    for (int64_t i = 0; i < config.width; ++i)
      expected.addExact(double(x.at(t, i)) + y.at(t, i));
  expected.check(item, out, f32, 0);
}

void cases::addSimtCase(KernelCases &cases, const CombineConfig &config,
                        int64_t tokens, CaseSeed seed) {
  KernelCase &item = startCase(cases, tokens);
  constexpr CaseElement f32 = CaseElement::F32;
  int64_t pairs = tokens * config.topK, width = config.width;
  std::mt19937 random{uint32_t(seed.seed)};
  std::vector<int32_t> rows(pairs);
  std::iota(rows.begin(), rows.end(), 0);
  std::shuffle(rows.begin(), rows.end(), random);
  if (config.partial)
    for (int32_t &row : rows)
      row = random() % 3 ? row : -1;

  RandomRows y = addRows(item, "expert outputs", pairs, width, f32, seed.of(0));
  int64_t numbers = addValues(item, "rows", rows);
  int64_t weights = addNormal(item, "weights", pairs, seed.of(1), 1, f32);
  LaunchBuilder launch(cases, item, 0, tokens);
  launch.pointer(y.buffer).i32(y.stride).pointer(numbers).pointer(weights);
  std::vector<RandomRows> others;
  auto addOther = [&](const char *name) {
    others.push_back(
        addRows(item, name, tokens, width, f32, seed.of(2 + others.size())));
    launch.pointer(others.back().buffer).i32(others.back().stride);
  };
  if (config.hasShared)
    addOther("shared");
  if (config.hasResidual)
    addOther("residual");
  int64_t out = addResult(item, "output", tokens * width, f32);
  launch.pointer(out).i32(width);

  Expectation expected;
  for (int64_t t = 0; t < tokens; ++t)
    for (int64_t i = 0; i < width; ++i) {
      Sum sum;
      for (int64_t pair = t * config.topK; pair < (t + 1) * config.topK; ++pair)
        if (rows[pair] >= 0)
          sum.add(double(::dsv2rt::caseNumber(seed.of(1), 1, pair)) *
                  y.at(rows[pair], i));
      for (const RandomRows &other : others)
        sum.add(other.at(t, i));
      expected.add(sum);
    }
  expected.check(item, out, f32, config.topK + double(others.size()));
}
