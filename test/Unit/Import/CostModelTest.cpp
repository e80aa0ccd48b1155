//===- CostModelTest.cpp - Sizes and costs that follow from the shapes ----===//
//
// Part of dsv2, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "dsv2/Import/CostModel.h"
#include "ConfigFixtures.h"

#include <limits>

using namespace dsv2;
using namespace dsv2::test;
using namespace llvm;

static ModelConfig load(StringRef name) {
  Outcome outcome = Fixture(name).read();
  EXPECT_TRUE(outcome.config) << outcome.error;
  return outcome.config.value_or(ModelConfig());
}

static ModelConfig v2() { return load("models/deepseek_v2"); }
static ModelConfig lite() { return load("models/deepseek_v2_lite"); }

TEST(CostModelTest, PublishedParameterCounts) {
  ParameterCounts counts = countParameters(v2());
  EXPECT_EQ(counts.total, 235741434880);
  EXPECT_EQ(counts.activeBlocks, 20327224320);
  EXPECT_EQ(counts.activeWithHead, 20851512320);
  EXPECT_EQ(counts.activeWithHeadAndEmbedding, 21375800320);
  EXPECT_EQ(counts.of(TensorRole::Embedding), 524288000);
  EXPECT_EQ(counts.of(TensorRole::Head), 524288000);
  EXPECT_EQ(counts.of(TensorRole::Attention), 8953528320);
  EXPECT_EQ(counts.of(TensorRole::Norm), 742400);
  EXPECT_EQ(counts.of(TensorRole::DenseFFN), 188743680);
  EXPECT_EQ(counts.of(TensorRole::Router), 48332800);
  EXPECT_EQ(counts.of(TensorRole::SharedExpert), 2783969280);
  EXPECT_EQ(counts.of(TensorRole::RoutedExpert), 222717542400);

  counts = countParameters(lite());
  EXPECT_EQ(counts.total, 15706484224);
  EXPECT_EQ(counts.activeBlocks, 2241719808);
  EXPECT_EQ(counts.activeWithHead, 2451435008);
  EXPECT_EQ(counts.activeWithHeadAndEmbedding, 2661150208);
  EXPECT_EQ(counts.of(TensorRole::Norm), 126464);
  EXPECT_EQ(counts.of(TensorRole::RoutedExpert), 14394851328);
}

TEST(CostModelTest, AttentionCostPerLayer) {
  AttentionCost cost = attentionCost(v2());
  EXPECT_EQ(cost.queryPath, 91226112);
  EXPECT_EQ(cost.kvDown, 5898240);
  EXPECT_EQ(cost.kvUp, 33554432);
  EXPECT_EQ(cost.output, 167772160);
  EXPECT_EQ(cost.expandedPair, 81920);
  EXPECT_EQ(cost.absorbedPair, 278528);
  cost = attentionCost(lite());
  EXPECT_EQ(cost.queryPath, 12582912);
  EXPECT_EQ(cost.kvDown, 2359296);
  EXPECT_EQ(cost.kvUp, 4194304);
  EXPECT_EQ(cost.output, 8388608);
  EXPECT_EQ(cost.expandedPair, 10240);
  EXPECT_EQ(cost.absorbedPair, 34816);
}

TEST(CostModelTest, DecodeFlops) {
  ModelConfig config = v2();
  Expected<DecodeFlops> flops = decodeFlops(config, 4096);
  ASSERT_TRUE(bool(flops)) << toString(flops.takeError());
  // Two per active weight, norms aside.
  EXPECT_EQ(flops->linear, 2 * (20851512320 - 742400));
  EXPECT_EQ(flops->attentionAbsorbed, 60 * 4096 * int64_t(278528));
  EXPECT_EQ(flops->attentionExpandedCache, 60 * 4096 * int64_t(81920));
  // Per layer and with the token's own latent: 137.8 GFLOP at this length.
  int64_t perLayer = flops->attentionExpanded / 60 + 33554432;
  EXPECT_EQ(perLayer, 4096 * int64_t(33554432 + 81920));
  EXPECT_EQ(flops->absorbed(), flops->linear + flops->attentionAbsorbed);

  // A first token has nothing to expand but itself.
  flops = decodeFlops(config, 1);
  ASSERT_TRUE(bool(flops));
  EXPECT_EQ(flops->attentionExpanded, flops->attentionExpandedCache);

  for (int64_t context : {int64_t(0), int64_t(-1)})
    EXPECT_EQ(toString(decodeFlops(config, context).takeError()),
              "expected a context of at least 1 token, got " +
                  std::to_string(context));
  flops = decodeFlops(config, std::numeric_limits<int64_t>::max());
  ASSERT_FALSE(bool(flops));
  EXPECT_NE(toString(flops.takeError()).find("2^63"), std::string::npos);
}

TEST(CostModelTest, WeightBytes) {
  const WeightFormatInfo &f32 = *findWeightFormat("f32");
  const WeightFormatInfo &bf16 = *findWeightFormat("bf16");
  EXPECT_EQ(weightBytes(v2(), bf16), 471482869760);
  EXPECT_EQ(weightBytes(v2(), f32), 2 * 471482869760);
  EXPECT_EQ(weightBytes(lite(), bf16), 31412968448);
  EXPECT_EQ(activeWeightBytes(v2(), bf16), 2 * 20851512320);
  EXPECT_EQ(activeWeightBytes(lite(), f32), 4 * 2451435008);
  EXPECT_EQ(findWeightFormat("no such format"), nullptr);
}

TEST(CostModelTest, BlockFormatsPadTheLastBlock) {
  // Not in the table; the struct must carry block formats all the same.
  WeightFormatInfo block{"test", /*blockElements=*/32, /*blockBytes=*/34,
                         /*smallBytes=*/2};
  TensorSpec matrix{"m", {576, 2048}, TensorRole::Attention, 0, -1};
  EXPECT_EQ(block.tensorBytes(matrix), 576 * 64 * 34);
  TensorSpec ragged{"r", {129, 33}, TensorRole::Attention, 0, -1};
  EXPECT_EQ(block.tensorBytes(ragged), 129 * 2 * 34);
  TensorSpec norm{"n", {2048}, TensorRole::Norm, 0, -1};
  EXPECT_EQ(block.tensorBytes(norm), 2048 * 2);
  TensorSpec router{"g", {64, 2048}, TensorRole::Router, 1, -1};
  EXPECT_EQ(block.tensorBytes(router), 64 * 2048 * 2);
}

TEST(CostModelTest, CacheBytesPerToken) {
  struct {
    StringRef format;
    int64_t v2, lite;
  } cases[] = {{"f32", 138240, 62208},
               {"bf16", 69120, 31104},
               {"q8", 36720, 16524},
               {"q6", 25200, 11340}};
  for (const auto &entry : cases) {
    const KVFormatInfo *format = findKVFormat(entry.format);
    ASSERT_NE(format, nullptr);
    EXPECT_EQ(kvBytesPerToken(v2(), *format), entry.v2);
    EXPECT_EQ(kvBytesPerToken(lite(), *format), entry.lite);
  }
  EXPECT_EQ(findKVFormat("q4"), nullptr);
  // Two units of 32 latents of 5 bits, one of rope keys of 8 bits, and scales
  // of 16 latents, a byte each, and of 32 rope keys, two bytes.
  ModelConfig config = load("T0");
  config.kvLoraRank = 33;
  ASSERT_EQ(config.qkRopeHeadDim, 8);
  EXPECT_EQ(findKVFormat("q6")->entryBytes(config), 40 + 32 + 4 + 2);
}

TEST(CostModelTest, F084_planIsTheSumOfItsRegions) {
  ModelConfig config = lite();
  MemoryRequest request;
  request.context = 4096;
  request.batch = 3;
  Expected<MemoryPlan> plan = planMemory(config, request);
  ASSERT_TRUE(bool(plan)) << toString(plan.takeError());
  EXPECT_EQ(plan->weightBytes, 31412968448);
  EXPECT_EQ(plan->cacheBytesPerToken, 31104);
  EXPECT_EQ(plan->cacheBytes, int64_t(31104) * 4096 * 3);
  EXPECT_GT(plan->workspaceBytes, 0);
  EXPECT_EQ(plan->totalBytes,
            plan->weightBytes + plan->cacheBytes + plan->workspaceBytes);

  // A known workspace replaces the estimate.
  request.workspaceBytes = 12345;
  plan = planMemory(config, request);
  ASSERT_TRUE(bool(plan));
  EXPECT_EQ(plan->workspaceBytes, 12345);
}

TEST(CostModelTest, WorkspaceGrowsWithStepAndBatch) {
  ModelConfig config = lite();
  int64_t base = *estimateWorkspaceBytes(config, 512, 1);
  EXPECT_GT(*estimateWorkspaceBytes(config, 1024, 1), base);
  // Each further sequence needs a row of logits at least.
  EXPECT_GE(*estimateWorkspaceBytes(config, 512, 2), base + 4 * 102400);
  EXPECT_FALSE(
      estimateWorkspaceBytes(config, std::numeric_limits<int64_t>::max(), 1));
}

TEST(CostModelTest, PlanErrors) {
  ModelConfig config = v2();
  auto errorOf = [&](int64_t context, int64_t batch) {
    MemoryRequest request;
    request.context = context;
    request.batch = batch;
    return toString(planMemory(config, request).takeError());
  };
  EXPECT_EQ(errorOf(0, 1), "expected a context of at least 1, got 0");
  EXPECT_EQ(errorOf(1, -2), "expected a batch of at least 1, got -2");
  constexpr int64_t large = std::numeric_limits<int64_t>::max();
  for (auto [context, batch] :
       {std::pair(large, int64_t(1)), std::pair(int64_t(1), large),
        std::pair(int64_t(1) << 40, large >> 40)})
    EXPECT_NE(errorOf(context, batch).find("2^63"), std::string::npos);
}

TEST(CostModelTest, F076_messageSaysWhatDoesNotFit) {
  ModelConfig config = lite();
  MemoryRequest request;
  request.context = 163840;
  Expected<MemoryPlan> plan = planMemory(config, request);
  ASSERT_TRUE(bool(plan));
  EXPECT_EQ(formatBytes(plan->cacheBytes), "4.75 GiB");

  // The weights are the problem.
  int64_t budget = int64_t(8) << 30;
  EXPECT_EQ(largestContext(config, *plan, budget), 0);
  std::string message = toString(checkMemoryBudget(config, *plan, budget));
  for (StringRef part :
       {"context 163840 with batch 1", "weights 29.26 GiB", "4.75 GiB",
        "31104 bytes per token", "available are 8589934592 bytes",
        "the weights alone exceed the available memory"})
    EXPECT_NE(message.find(part.str()), std::string::npos)
        << part.str() << " not in: " << message;
  EXPECT_NE(message.find(std::to_string(plan->totalBytes)), std::string::npos);

  // The cache is the problem: exactly 1000 tokens fit, and no more.
  budget = plan->weightBytes + plan->workspaceBytes + 1000 * 31104;
  EXPECT_EQ(largestContext(config, *plan, budget), 1000);
  EXPECT_EQ(largestContext(config, *plan, budget - 1), 999);
  message = toString(checkMemoryBudget(config, *plan, budget));
  EXPECT_NE(message.find("the largest context that fits is 1000 tokens"),
            std::string::npos)
      << message;
  request.context = 1000;
  Expected<MemoryPlan> fitting = planMemory(config, request);
  ASSERT_TRUE(bool(fitting));
  EXPECT_EQ(toString(checkMemoryBudget(config, *fitting, budget)), "");
  EXPECT_NE(toString(checkMemoryBudget(config, *fitting, budget - 1)), "");

  // The workspace is the problem.
  EXPECT_EQ(largestContext(config, *plan, plan->weightBytes + 1), 0);
  message = toString(checkMemoryBudget(config, *plan, plan->weightBytes + 1));
  EXPECT_NE(message.find("beside the weights and the workspace"),
            std::string::npos)
      << message;
}

TEST(CostModelTest, LargestContextIsBoundedByModelAndBatch) {
  ModelConfig config = lite();
  MemoryRequest request;
  request.context = 1;
  request.batch = 4;
  Expected<MemoryPlan> plan = planMemory(config, request);
  ASSERT_TRUE(bool(plan));
  constexpr int64_t huge = std::numeric_limits<int64_t>::max();
  EXPECT_EQ(largestContext(config, *plan, huge), 163840);
  EXPECT_EQ(largestContext(config, *plan, 0), 0);
  EXPECT_EQ(largestContext(config, *plan, std::numeric_limits<int64_t>::min()),
            0);
  int64_t budget = plan->weightBytes + plan->workspaceBytes + 31104 * 4 * 10;
  EXPECT_EQ(largestContext(config, *plan, budget), 10);
  EXPECT_EQ(largestContext(config, *plan, budget + 31104 * 3), 10);
}

TEST(CostModelTest, FormatBytes) {
  EXPECT_EQ(formatBytes(0), "0 B");
  EXPECT_EQ(formatBytes(1023), "1023 B");
  EXPECT_EQ(formatBytes(1024), "1.00 KiB");
  EXPECT_EQ(formatBytes(int64_t(1) << 20), "1.00 MiB");
  EXPECT_EQ(formatBytes(471482869760), "439.10 GiB");
  EXPECT_EQ(formatBytes(std::numeric_limits<int64_t>::max()), "8.00 EiB");
}
