//===- SampleCase.cpp - cases of the choice of tokens ---------------------===//
//
// Part of dsv2, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "SimtCaseParts.h"

#include "dsv2rt/abi.h"
#include "dsv2rt/sampling.h"
#include "llvm/Support/MathExtras.h"

#include <algorithm>

using namespace mlir;
using namespace mlir::dsv2;
using namespace mlir::dsv2::cases;
using namespace mlir::dsv2::gpu;
using ::dsv2rt::SamplingParams;

/// How row `row` of a case is chosen.
static SamplingParams getParams(int64_t row, CaseSeed seed) {
  SamplingParams params;
  params.seed = seed.of(uint64_t(row));
  if (row % 4 == 1 || row % 4 == 2)
    params.temperature = 0.8;
  if (row % 4 == 2) {
    params.topK = 40;
    params.topP = 0.9;
    params.minP = 0.01;
  }
  if (row % 4 == 3)
    params.repetitionPenalty = 1.3;
  return params;
}

void cases::addSampleCase(KernelCases &cases, int64_t rows, int64_t vocabulary,
                          CaseSeed seed) {
  KernelCase &item =
      startCase(cases, std::to_string(rows) +
                           "rows,vocabulary=" + std::to_string(vocabulary));
  RandomRows logits =
      addRows(item, "logits", rows, vocabulary, CaseElement::F32, seed.of(0));
  int64_t words = llvm::divideCeil(vocabulary, 32);
  std::vector<dsv2rt_sampling_row> sampling;
  std::vector<uint32_t> seen(rows * words, 0);
  std::vector<int32_t> order, positions(rows);
  std::vector<int32_t> chosen(rows * DSV2RT_SAMPLE_STEPS, 0);
  std::vector<int32_t> tokens(rows), positionsAfter(rows);
  for (int64_t row = 0; row < rows; ++row) {
    SamplingParams params = getParams(row, seed);
    sampling.push_back(params.toRow(int32_t(vocabulary)));
    std::vector<float> values;
    for (int64_t i = 0; i < vocabulary; ++i)
      values.push_back(logits.at(row, i));
    // Every third token has been there, the likeliest among them.
    std::vector<int32_t> history;
    int64_t likeliest =
        std::max_element(values.begin(), values.end()) - values.begin();
    for (int64_t i = likeliest % 3; i < vocabulary; i += 3) {
      history.push_back(int32_t(i));
      seen[row * words + i / 32] |= 1u << i % 32;
    }
    // Tokens of a step come in another order than its rows.
    int32_t place = int32_t(rows - 1 - row);
    order.push_back(place);
    positions[place] = int32_t(17 * row + 5);
    positionsAfter[place] = positions[place] + 1;
    auto token = ::dsv2rt::sample(values, history, params,
                                  uint64_t(positionsAfter[place]));
    // Logits are finite and parameters valid.
    int32_t choice = token.ok() ? token.value() : -1;
    int32_t step = positionsAfter[place] % DSV2RT_SAMPLE_STEPS;
    chosen[step * rows + row] = choice;
    tokens[place] = std::max(choice, 0);
  }

  int64_t atSampling = addValues(item, "sampling", sampling);
  int64_t atSeen = addValues(item, "seen", seen);
  int64_t atParts = addOutput(
      item, "parts", rows * DSV2RT_SAMPLE_PARTS * DSV2RT_SAMPLE_PART_WORDS * 4);
  int64_t atRows = addValues(item, "rows", order);
  int64_t atTokens = addOutput(item, "tokens", 4 * rows);
  int64_t atPositions = addValues(item, "positions", positions);
  // Only what the step is to fill is written.
  int64_t atChosen = addValues(
      item, "chosen", std::vector<int32_t>(rows * DSV2RT_SAMPLE_STEPS, 0));
  for (StringRef kernel : {kSampleScanName, kSampleWeighName})
    LaunchBuilder(cases, item, findKernel(cases, kernel), DSV2RT_SAMPLE_PARTS,
                  rows)
        .pointer(logits.buffer)
        .i32(logits.stride)
        .pointer(atSampling)
        .pointer(atSeen)
        .i32(words)
        .pointer(atParts);
  LaunchBuilder(cases, item, findKernel(cases, kSampleChooseName), rows)
      .pointer(logits.buffer)
      .i32(logits.stride)
      .pointer(atSampling)
      .pointer(atRows)
      .pointer(atSeen)
      .i32(words)
      .pointer(atParts)
      .pointer(atTokens)
      .pointer(atPositions)
      .pointer(atChosen);
  checkIntegers(item, atChosen, chosen);
  checkIntegers(item, atTokens, tokens);
  checkIntegers(item, atPositions, positionsAfter);
}
