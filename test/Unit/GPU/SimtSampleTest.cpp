//===- SimtSampleTest.cpp - Choice of tokens, run on the emulator --------===//
//
// Part of dsv2, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// The kernels choose what the runtime's Sampler chooses, which computes in
// double precision: for these logits and seeds no two numbers that are compared
// are so close that f32 tells them apart otherwise.
//
//===----------------------------------------------------------------------===//

#include "KernelRun.h"

#include "dsv2/CodeGen/GPU/SimtKernels.h"
#include "dsv2rt/abi.h"
#include "dsv2rt/sampling.h"

#include <cmath>
#include <limits>

using namespace mlir;
using namespace mlir::dsv2;
using namespace mlir::dsv2::gpu;
using namespace mlir::dsv2::test;
using ::dsv2rt::SamplingParams;

namespace {

constexpr float kInfinity = std::numeric_limits<float>::infinity();

/// One row of logits and how a token of it is to be chosen.
struct Row {
  std::vector<float> logits;
  SamplingParams params;
  std::vector<int32_t> history;
  int32_t vocabulary;
  int32_t position;
};

class SimtSample : public KernelRun {
protected:
  void SetUp() override {
    KernelRun::SetUp();
    // Compiled once for all tests.
    static const std::optional<DeviceCode> scanCode =
        compileKernel("sm_90a", getOrCreateSampleScanKernel);
    static const std::optional<DeviceCode> weighCode =
        compileKernel("sm_90a", getOrCreateSampleWeighKernel);
    static const std::optional<DeviceCode> chooseCode =
        compileKernel("sm_90a", getOrCreateSampleChooseKernel);
    ASSERT_TRUE(scanCode && weighCode && chooseCode);
    scan = loadKernel(*scanCode);
    weigh = loadKernel(*weighCode);
    choose = loadKernel(*chooseCode);
  }

  /// Runs the kernels on rows of one width; expects the choice of each to be
  /// the Sampler's, -1 where that has an error, and the next step's input.
  void expectSampled(const std::vector<Row> &rows) {
    size_t width = rows.front().logits.size(), words = (width + 31) / 32;
    std::vector<float> logits;
    std::vector<dsv2rt_sampling_row> sampling;
    std::vector<uint32_t> seen(rows.size() * words, 0);
    // Tokens of a step come in another order than its rows.
    std::vector<int32_t> order, positions(rows.size());
    for (auto [i, row] : llvm::enumerate(rows)) {
      llvm::append_range(logits, row.logits);
      sampling.push_back(row.params.toRow(row.vocabulary));
      for (int32_t token : row.history)
        seen[i * words + token / 32] |= 1u << token % 32;
      order.push_back(rows.size() - 1 - i);
      positions[order.back()] = row.position - 1;
    }
    std::vector<int32_t> none(rows.size(), -7);
    CUdeviceptr atLogits = upload(logits), atRows = upload(order),
                atSampling = upload(sampling), atSeen = upload(seen),
                atParts = upload(
                    std::vector<int32_t>(rows.size() * DSV2RT_SAMPLE_PARTS *
                                             DSV2RT_SAMPLE_PART_WORDS,
                                         -7)),
                atTokens = upload(none), atPositions = upload(positions),
                atChosen = upload(std::vector<int32_t>(
                    rows.size() * DSV2RT_SAMPLE_STEPS, -7));
    for (const Loaded &kernel : {scan, weigh})
      run(kernel, DSV2RT_SAMPLE_PARTS, rows.size(), atLogits, int32_t(width),
          atSampling, atSeen, int32_t(words), atParts);
    run(choose, rows.size(), 1, atLogits, int32_t(width), atSampling, atRows,
        atSeen, int32_t(words), atParts, atTokens, atPositions, atChosen);
    auto chosen =
        download<int32_t>(atChosen, rows.size() * DSV2RT_SAMPLE_STEPS);
    auto tokens = download<int32_t>(atTokens, rows.size());
    auto nextPositions = download<int32_t>(atPositions, rows.size());
    auto nextSeen = download<uint32_t>(atSeen, seen.size());
    for (auto [i, row] : llvm::enumerate(rows)) {
      std::vector<float> allowed(row.logits.begin(),
                                 row.logits.begin() + row.vocabulary);
      ::dsv2rt::Expected<int32_t> expected = ::dsv2rt::sample(
          allowed, row.history, row.params, uint64_t(row.position));
      SCOPED_TRACE("row " + std::to_string(i) + ", top-k " +
                   std::to_string(row.params.topK) + ", top-p " +
                   std::to_string(row.params.topP) + ", min-p " +
                   std::to_string(row.params.minP) + ", temperature " +
                   std::to_string(row.params.temperature));
      int32_t token = expected.ok() ? expected.value() : -1;
      for (int32_t step = 0; step < DSV2RT_SAMPLE_STEPS; ++step)
        EXPECT_EQ(chosen[step * rows.size() + i],
                  step == row.position % DSV2RT_SAMPLE_STEPS ? token : -7);
      int32_t next = std::max(token, 0);
      EXPECT_EQ(tokens[order[i]], next);
      EXPECT_EQ(nextPositions[order[i]], row.position);
      uint32_t word = seen[i * words + next / 32];
      if (row.params.repetitionPenalty != 1)
        word |= 1u << next % 32;
      EXPECT_EQ(nextSeen[i * words + next / 32], word);
    }
  }

  static Row makeRow(size_t width, uint32_t seed) {
    Row row;
    row.logits = randomBF16(width, seed, 3);
    row.vocabulary = int32_t(width);
    row.params.seed = seed * 0x123456789ull;
    row.position = int32_t(seed * 7 + 1);
    return row;
  }

  Loaded scan, weigh, choose;
};

} // namespace

TEST_F(SimtSample, Gate) {
  for (const char *chip : {"sm_90a", "sm_80"})
    for (auto make : {getOrCreateSampleScanKernel, getOrCreateSampleWeighKernel,
                      getOrCreateSampleChooseKernel}) {
      std::optional<DeviceCode> code = compileKernel(chip, make);
      ASSERT_TRUE(code);
      expectGatePasses(*code);
    }
}

TEST_F(SimtSample, Greedy) {
  for (size_t width : {1, 2, 31, 64, 1000, 5000}) {
    std::vector<Row> rows;
    for (uint32_t seed = 1; seed <= 4; ++seed)
      rows.push_back(makeRow(width, seed));
    // The first of equals, here in different parts.
    float best =
        *std::max_element(rows[1].logits.begin(), rows[1].logits.end());
    rows[1].logits[width / 2] = rows[1].logits[width - 1] = best + 1;
    // Ids behind the vocabulary are not looked at.
    rows[2].vocabulary = int32_t(width - width / 3);
    rows[2].logits[width - 1] = width > 2 ? kInfinity : 0;
    rows[3].logits[0] = -kInfinity;
    rows[3].logits[width - 1] = 0;
    expectSampled(rows);
  }
}

TEST_F(SimtSample, NothingToChooseFrom) {
  size_t width = 700;
  std::vector<Row> rows;
  for (uint32_t seed = 1; seed <= 6; ++seed)
    rows.push_back(makeRow(width, seed));
  rows[0].logits.assign(width, -kInfinity);
  rows[1].logits[699] = kInfinity;
  rows[2].logits[3] = std::numeric_limits<float>::quiet_NaN();
  for (size_t i = 3; i < 6; ++i) {
    rows[i].logits = rows[i - 3].logits;
    rows[i].params.temperature = 1;
    rows[i].params.topK = 5;
  }
  expectSampled(rows);
}

TEST_F(SimtSample, Draws) {
  for (size_t width : {3, 2500}) {
    std::vector<Row> rows;
    uint32_t seed = 0;
    for (double temperature : {0.3, 8.0})
      for (int64_t topK : {0, 40})
        for (double topP : {1.0, 0.9, 0.0})
          for (double minP : {0.0, 0.05}) {
            Row row = makeRow(width, ++seed);
            row.params.temperature = temperature;
            row.params.topK = topK;
            row.params.topP = topP;
            row.params.minP = minP;
            row.vocabulary -= int32_t(width / 7);
            rows.push_back(row);
          }
    expectSampled(rows);
  }
}

TEST_F(SimtSample, PartsOfManyTokens) {
  // A thread has several of a part, and the last part is shorter.
  std::vector<Row> rows;
  for (uint32_t seed = 1; seed <= 3; ++seed) {
    Row row = makeRow(33333, seed);
    row.params.temperature = 4;
    row.params.minP = seed == 1 ? 0.2 : 0;
    row.params.topK = seed == 2 ? 1000 : 0;
    rows.push_back(row);
  }
  expectSampled(rows);
}

TEST_F(SimtSample, TiesGoToTheFirst) {
  // Many equal logits, so that every limit cuts through some.
  std::vector<Row> rows;
  uint32_t seed = 0;
  for (int64_t topK : {0, 3, 200, 299})
    for (double topP : {1.0, 0.6, 0.01}) {
      Row row = makeRow(300, ++seed);
      for (float &logit : row.logits)
        logit = std::round(logit);
      row.params.temperature = 2;
      row.params.topK = topK;
      row.params.topP = topP;
      rows.push_back(row);
    }
  expectSampled(rows);
  for (Row &row : rows)
    std::fill(row.logits.begin(), row.logits.end(), 1.5f);
  expectSampled(rows);
}

TEST_F(SimtSample, MoreThanListsHold) {
  // Thousands of tokens are left by the limits' first digits.
  std::vector<Row> rows;
  uint32_t seed = 0;
  for (int64_t topK : {0, 3900})
    for (double topP : {1.0, 0.8}) {
      Row row = makeRow(4000, ++seed);
      for (float &logit : row.logits)
        logit /= 100;
      row.params.temperature = 1;
      row.params.topK = topK;
      row.params.topP = topP;
      rows.push_back(row);
    }
  expectSampled(rows);
}

TEST_F(SimtSample, Penalty) {
  std::vector<Row> rows;
  uint32_t seed = 0;
  for (double penalty : {1.3, 0.5, 1e30})
    for (double temperature : {0.0, 0.7})
      for (int64_t topK : {0, 20}) {
        Row row = makeRow(500, ++seed);
        row.params.repetitionPenalty = penalty;
        row.params.temperature = temperature;
        row.params.topK = topK;
        row.logits[8] = -kInfinity;
        for (int32_t token = seed % 3; token < 500; token += 1 + seed % 5)
          row.history.push_back(token);
        rows.push_back(row);
      }
  expectSampled(rows);
}

TEST_F(SimtSample, ExtremeTemperatures) {
  std::vector<Row> rows;
  uint32_t seed = 0;
  for (double temperature : {1e-30, 1e-3, 1e30})
    for (int64_t topK : {0, 4}) {
      Row row = makeRow(400, ++seed);
      row.params.temperature = temperature;
      row.params.topK = topK;
      rows.push_back(row);
    }
  expectSampled(rows);
}
