//===- MeshCostTest.cpp - memory, exchanges and time of several ranks -----===//
//
// Part of dsv2, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "dsv2/Import/MeshCost.h"
#include "ConfigFixtures.h"
#include "dsv2/Import/Explain.h"

#include "llvm/ADT/StringSet.h"
#include "llvm/Support/MathExtras.h"

#include <limits>

using namespace dsv2;
using namespace dsv2::test;
using namespace llvm;
using mlir::dsv2::MeshShape;

static ModelConfig load(StringRef name) {
  Outcome outcome = Fixture(name).read();
  EXPECT_TRUE(outcome.config) << outcome.error;
  return outcome.config.value_or(ModelConfig());
}

static WeightPlan weightsOf(const ModelConfig &config, StringRef format) {
  WeightPolicy policy = cantFail(WeightPolicy::create(format));
  return cantFail(planWeights(config, policy));
}

static MeshShape meshOf(int64_t tp, int64_t ep) {
  MeshShape mesh;
  mesh.tp = tp;
  mesh.ep = ep;
  return mesh;
}

static MeshPlan planOf(const ModelConfig &config, const MeshRequest &request,
                       StringRef format = "bf16") {
  Expected<MeshPlan> plan =
      planMesh(config, weightsOf(config, format), request);
  if (plan)
    return std::move(*plan);
  ADD_FAILURE() << toString(plan.takeError());
  return MeshPlan();
}

static MachineDescription machineOf(double memory, double flops) {
  MachineDescription machine;
  machine.memoryBytes = int64_t(1) << 40;
  machine.memoryBytesPerSecond = memory;
  machine.flopsPerSecond = flops;
  machine.tp = {1e9, 1e-3};
  machine.ep = {2e9, 1e-4};
  return machine;
}

TEST(MeshCostTest, OneRankIsThePlainPlan) {
  for (StringRef name : {"T0", "T1", "models/deepseek_v2_lite"})
    for (StringRef format : {"bf16", "q4"}) {
      ModelConfig config = load(name);
      WeightPlan whole = weightsOf(config, format);
      MeshRequest request;
      request.context = 1000;
      request.batch = 3;
      MeshPlan plan = planOf(config, request, format);
      ASSERT_EQ(plan.weights.weights.size(), whole.weights.size());
      for (auto [part, all] : llvm::zip(plan.weights.weights, whole.weights)) {
        EXPECT_EQ(part.name, all.name);
        EXPECT_EQ(part.parameters, all.parameters);
        EXPECT_EQ(part.bytes, all.bytes);
        EXPECT_EQ(part.activeBytes, all.activeBytes);
      }
      MemoryRequest plain;
      plain.context = 1000;
      plain.batch = 3;
      plain.weightBytes = whole.bytes();
      MemoryPlan memory = cantFail(planMemory(config, plain));
      EXPECT_EQ(plan.memory.weightBytes, memory.weightBytes);
      EXPECT_EQ(plan.memory.cacheBytesPerToken, memory.cacheBytesPerToken);
      EXPECT_EQ(plan.memory.cacheBytes, memory.cacheBytes);
      EXPECT_EQ(plan.memory.workspaceBytes, memory.workspaceBytes);
      EXPECT_EQ(plan.memory.totalBytes, memory.totalBytes);
      EXPECT_TRUE(plan.exchanges.empty());
      EXPECT_EQ(plan.decode.mostBytesSent, 0);
      EXPECT_EQ(plan.prefill.bytesSent, 0.0);
    }
}

/// What one token costs is what the other figures say of it.
TEST(MeshCostTest, OneDecodedTokenCostsWhatThePlainModelSays) {
  for (StringRef name : {"T0", "models/deepseek_v2"}) {
    ModelConfig config = load(name);
    MeshRequest request;
    request.context = 4096;
    MeshPlan plan = planOf(config, request);
    EXPECT_DOUBLE_EQ(plan.decode.flops,
                     double(cantFail(decodeFlops(config, 4096)).absorbed()));
    EXPECT_NEAR(plan.decode.bytesRead,
                double(weightsOf(config, "bf16").activeBytes()) +
                    4096.0 * double(plan.memory.cacheBytesPerToken),
                1e-9 * plan.decode.bytesRead);
  }
}

/// Everything is held once, but for what every rank holds.
TEST(MeshCostTest, RanksTogetherHoldTheModelAndItsReplicas) {
  for (StringRef name : {"T0", "T1", "models/deepseek_v2"})
    for (int64_t tp : {1, 2, 4})
      for (int64_t ep : {1, 2, 3, 5, 8}) {
        ModelConfig config = load(name);
        ParameterCounts counts = countParameters(config);
        WeightPlan whole = weightsOf(config, "bf16");
        int64_t parameters = 0;
        for (int64_t index = 0; index < ep; ++index)
          parameters +=
              tp * planRankWeights(config, whole, meshOf(tp, ep), index)
                       .parameters();
        int64_t latents = config.latentDim() + config.qLoraRank.value_or(0);
        int64_t onAll = counts.of(TensorRole::Norm) +
                        counts.of(TensorRole::Router) +
                        config.numHiddenLayers * latents * config.hiddenSize;
        int64_t experts = counts.of(TensorRole::RoutedExpert);
        int64_t split = counts.total - onAll - experts;
        EXPECT_EQ(parameters, experts + ep * split + tp * ep * onAll)
            << name.str() << " tp " << tp << " ep " << ep;
      }
}

/// tp 2, ep 3: 64 heads, 80 / 2 columns of blocks and so on, by hand.
TEST(MeshCostTest, ShardsOfV2) {
  ModelConfig config = load("models/deepseek_v2");
  WeightPlan plan = planRankWeights(config, weightsOf(config, "q8"),
                                    meshOf(2, 3), /*epIndex=*/0);
  // 54 experts of 160: rows of gate and up, columns of down. A block is 34
  // bytes for 32 weights.
  struct {
    StringRef name;
    int64_t parameters, bytes;
  } cases[] = {
      // The default of q8 for tables.
      {"model.embed_tokens.weight", 51200 * 5120, 51200 * 5120 * 2},
      {"lm_head.weight", 51200 * 5120, 51200 * 160 * 34},
      {"model.layers.{layer}.self_attn.q_a_proj.weight",
       int64_t(60) * 1536 * 5120, int64_t(60) * 1536 * 160 * 34},
      {"model.layers.{layer}.self_attn.q_b_proj.weight",
       int64_t(60) * 64 * 192 * 1536, int64_t(60) * 64 * 192 * 48 * 34},
      {"model.layers.{layer}.self_attn.o_proj.weight",
       int64_t(60) * 5120 * 64 * 128, int64_t(60) * 5120 * 256 * 34},
      {"model.layers.{layer}.mlp.experts.{expert}.down_proj.weight",
       int64_t(59) * 54 * 5120 * 768, int64_t(59) * 54 * 5120 * 24 * 34},
      {"model.layers.{layer}.mlp.shared_experts.gate_proj.weight",
       int64_t(59) * 1536 * 5120, int64_t(59) * 1536 * 160 * 34},
      // Routers and norms are f32 and whole.
      {"model.layers.{layer}.mlp.gate.weight", int64_t(59) * 160 * 5120,
       int64_t(59) * 160 * 5120 * 4},
      {"model.norm.weight", 5120, 5120 * 4},
  };
  for (const auto &entry : cases) {
    auto found = llvm::find_if(plan.weights, [&](const PlannedWeight &weight) {
      return weight.name == entry.name;
    });
    ASSERT_TRUE(found != plan.weights.end()) << entry.name.str();
    EXPECT_EQ(found->parameters, entry.parameters) << entry.name.str();
    EXPECT_EQ(found->bytes, entry.bytes) << entry.name.str();
  }
  EXPECT_EQ(expertsOfRank(config, 3, 1), 54);
  EXPECT_EQ(expertsOfRank(config, 3, 2), 52);
  // 160 over 60: three each, and the last six ranks have none.
  EXPECT_EQ(expertsOfRank(config, 60, 53), 1);
  EXPECT_EQ(expertsOfRank(config, 60, 54), 0);
}

/// Rows that a split leaves shorter than a block are padded to one.
TEST(MeshCostTest, SplitRowsArePaddedToBlocks) {
  ModelConfig config = load("T0");
  WeightPlan plan = planRankWeights(config, weightsOf(config, "q8"),
                                    meshOf(4, 1), /*epIndex=*/0);
  // Columns of an expert's down: 32 / 4 = 8 weights in one block.
  for (const PlannedWeight &weight : plan.weights)
    if (StringRef(weight.name).contains("{expert}.down_proj")) {
      EXPECT_EQ(weight.bytes, 2 * 8 * 64 * 34);
      return;
    }
  FAIL() << "no experts";
}

TEST(MeshCostTest, AllReduceCountsAsScatterAndGather) {
  EXPECT_EQ(allReduceBytesSent(1000, 1), 0);
  EXPECT_EQ(allReduceBytesSent(1000, 2), 1000);
  EXPECT_EQ(allReduceBytesSent(1000, 4), 1500);
  EXPECT_EQ(allReduceBytesSent(4, 3), 5);
  EXPECT_EQ(allReduceBytesSent(0, 8), 0);
}

/// Sites, order and bytes of T0 on tp 2, ep 2, four sequences of 64 positions.
TEST(MeshCostTest, ExchangesOfAStep) {
  ModelConfig config = load("T0");
  MeshRequest request;
  request.mesh = meshOf(2, 2);
  request.batch = 4;
  request.context = 64;
  MeshPlan plan = planOf(config, request);
  // A token: 64 f32. Half of all pairs of 8 experts, and a token's own 2:
  // a rank with 4 of 8 is avoided with (4 * 3) / (8 * 7) = 3 / 14.
  double hit = 11.0 / 14;
  struct {
    StringRef site, kind, axis;
    int64_t times;
    double perUnit;
    int64_t most;
    double decode, prefill;
  } expected[] = {
      // 2 * 1/2 of 256 bytes; two of the four tokens, 64 of a chunk.
      {"model.embed_tokens", "all_reduce", "tp", 1, 256, 256, 2 * 256.0,
       64 * 256.0},
      {"self_attn.o_proj", "all_reduce", "tp", 3, 256, 256, 3 * 2 * 256.0,
       3 * 64 * 256.0},
      {"mlp.dispatch", "all_to_all", "ep", 2, 4, 4, 2 * 4.0, 2 * 4.0},
      // Rows of 64 + 2 * 2 elements to the other rank.
      {"mlp.dispatch", "all_to_all_v", "ep", 2, hit * 272, 272,
       2 * 2 * hit * 272, 2 * 64 * hit * 272},
      {"mlp.combine", "all_to_all_v", "ep", 2, hit * 256, 256,
       2 * 2 * hit * 256, 2 * 64 * hit * 256},
      {"mlp", "all_reduce", "tp", 3, 256, 256, 3 * 2 * 256.0, 3 * 64 * 256.0},
      // 128 logits to one rank; two rows, or one of a prompt.
      {"lm_head", "all_gather", "tp", 1, 512, 512, 2 * 512.0, 512.0},
      {"session.logits", "all_gather", "ep", 1, 1024, 1024, 2 * 1024.0, 1024.0},
  };
  ASSERT_EQ(plan.exchanges.size(), std::size(expected));
  double decode = 0, prefill = 0;
  for (size_t i = 0; i < std::size(expected); ++i) {
    const Exchange &found = plan.exchanges[i];
    EXPECT_EQ(found.site, expected[i].site);
    EXPECT_EQ(found.kind, expected[i].kind) << found.site;
    EXPECT_EQ(found.axis, expected[i].axis) << found.site;
    EXPECT_EQ(found.times, expected[i].times) << found.site;
    EXPECT_NEAR(found.bytesPerUnit, expected[i].perUnit, 1e-9) << found.site;
    EXPECT_EQ(found.mostBytesPerUnit, expected[i].most) << found.site;
    EXPECT_NEAR(plan.decode.exchanges[i].bytes, expected[i].decode, 1e-8)
        << found.site;
    EXPECT_NEAR(plan.prefill.exchanges[i].bytes, expected[i].prefill, 1e-8)
        << found.site;
    decode += expected[i].decode;
    prefill += expected[i].prefill;
  }
  EXPECT_NEAR(plan.decode.bytesSent, decode, 1e-8);
  EXPECT_NEAR(plan.prefill.bytesSent, prefill, 1e-8);
}

/// Without shared experts the sum is that of the routed ones alone.
TEST(MeshCostTest, SitesWithoutSharedExperts) {
  ModelConfig config =
      *Fixture("T0").set("n_shared_experts", "0").read().config;
  MeshRequest request;
  request.mesh = meshOf(2, 1);
  StringMap<int64_t> times;
  for (const Exchange &exchange : planOf(config, request).exchanges)
    times[exchange.site] = exchange.times;
  EXPECT_EQ(times.lookup("mlp"), 1);
  EXPECT_EQ(times.lookup("mlp.combine"), 2);
  EXPECT_EQ(times.size(), 5u);
}

/// A chunk is one rank's: what three others return to it takes longer than what
/// any of them sends.
TEST(MeshCostTest, ChunksWaitForWhatTheyReceive) {
  ModelConfig config = load("T0");
  MeshRequest request;
  request.mesh = meshOf(1, 4);
  request.context = 64;
  request.machine = machineOf(1e9, 1e9);
  MeshPlan plan = planOf(config, request);
  // A rank with 2 of 8 experts is avoided with (6 * 5) / (8 * 7) = 15 / 28.
  double hit = 13.0 / 28;
  const ExchangeCost &back = plan.prefill.exchanges[2];
  EXPECT_NEAR(back.bytes, 2 * 64 * hit * 256, 1e-9);
  EXPECT_EQ(back.mostBytes, 2 * 64 * 256);
  EXPECT_NEAR(back.seconds, 2 * 1e-4 + 2 * 64 * 3 * hit * 256 / 2e9, 1e-12);
  const ExchangeCost &there = plan.prefill.exchanges[1];
  EXPECT_NEAR(there.bytes, 2 * 64 * 3 * hit * 272, 1e-9);
  EXPECT_NEAR(there.seconds, 2 * 1e-4 + there.bytes / 2e9, 1e-12);
}

/// The busiest rank of a batch that does not divide, and ranks without work.
TEST(MeshCostTest, BatchesThatDoNotDivide) {
  ModelConfig config = load("T0");
  MeshRequest request;
  request.mesh = meshOf(1, 4);
  request.context = 64;
  request.batch = 6;
  MeshPlan plan = planOf(config, request);
  EXPECT_EQ(plan.decode.step.tokens, 2);
  EXPECT_EQ(plan.decode.step.allTokens, 6);
  EXPECT_EQ(plan.memory.cacheBytes, 2 * 64 * plan.memory.cacheBytesPerToken);
  // A rank with one token returns up to five rows of 256 bytes, in two layers.
  EXPECT_EQ(plan.decode.exchanges[2].mostBytes, 2 * 5 * 256);

  request.batch = 1;
  plan = planOf(config, request);
  EXPECT_EQ(plan.decode.step.tokens, 1);
  // The token's two experts are on two other ranks.
  EXPECT_EQ(plan.decode.exchanges[1].mostBytes, 2 * 2 * 272);
  EXPECT_EQ(plan.decode.exchanges[2].mostBytes, 2 * 256);
}

TEST(MeshCostTest, DeviceLimitedRoutingSavesRows) {
  MeshRequest request;
  request.mesh = meshOf(1, 8);
  MeshPlan plan = planOf(load("models/deepseek_v2"), request);
  ASSERT_TRUE(plan.spread);
  EXPECT_TRUE(plan.spread->hasLimit);
  EXPECT_EQ(plan.spread->limited.mostRanks, 3);
  EXPECT_EQ(plan.spread->unlimited.mostRanks, 6);
  EXPECT_LT(plan.spread->limited.meanRanks(),
            0.7 * plan.spread->unlimited.meanRanks());
  // The plan counts what the model does.
  EXPECT_EQ(plan.exchanges[1].mostBytesPerUnit, 3 * (5120 + 12) * 4);

  plan = planOf(load("models/deepseek_v2_lite"), request);
  EXPECT_FALSE(plan.spread->hasLimit);
  EXPECT_EQ(plan.exchanges[1].mostBytesPerUnit, 6 * (2048 + 12) * 4);
}

TEST(MeshCostTest, TimeIsComputingAndExchanging) {
  ModelConfig config = load("T0");
  MeshRequest request;
  request.mesh = meshOf(2, 2);
  request.batch = 4;
  request.context = 64;
  // Nothing but arithmetic takes time, then nothing but memory.
  request.machine = machineOf(1e24, 1e6);
  MeshPlan plan = planOf(config, request);
  EXPECT_NEAR(plan.decode.computeSeconds, plan.decode.flops / 1e6, 1e-9);
  request.machine = machineOf(1e6, 1e24);
  plan = planOf(config, request);
  EXPECT_NEAR(plan.decode.computeSeconds, plan.decode.bytesRead / 1e6, 1e-9);

  double tp = 0, ep = 0;
  for (auto [exchange, cost] : llvm::zip(plan.exchanges, plan.decode.exchanges))
    (exchange.axis == "tp" ? tp : ep) += cost.bytes;
  // 8 exchanges on tp, 3 of each of two layers and the logits on ep.
  EXPECT_NEAR(plan.decode.exchangeSeconds,
              8 * 1e-3 + tp / 1e9 + 7 * 1e-4 + ep / 2e9, 1e-12);
  EXPECT_NEAR(plan.decode.tokensPerSecond, 4 / plan.decode.seconds(), 1e-9);
  EXPECT_EQ(plan.prefill.step.allTokens, 64);

  // A step takes at least what its slower half takes.
  request.machine = machineOf(1e6, 1e6);
  plan = planOf(config, request);
  EXPECT_GE(plan.decode.computeSeconds,
            std::max(plan.decode.bytesRead, plan.decode.flops) / 1e6 - 1e-9);
}

/// What shared experts take is not waited for while tokens travel, and the
/// other way round.
TEST(MeshCostTest, SharedExpertsAreComputedWhileTokensTravel) {
  ModelConfig config = load("T0");
  MeshRequest request;
  request.mesh = meshOf(1, 2);
  request.batch = 4;
  request.context = 64;
  // Memory takes no time. Two layers have a shared expert of 3 * 32 * 64.
  double flops = 2.0 * 2 * (3 * 32 * 64) * 2;
  request.machine = machineOf(1e24, 1e15);
  MeshPlan plan = planOf(config, request);
  const StepCost &fast = plan.decode;
  EXPECT_NEAR(fast.overlappedSeconds, flops / 1e15, 1e-20);
  EXPECT_EQ(fast.secondsWithoutOverlap(),
            fast.computeSeconds + fast.exchangeSeconds);
  EXPECT_EQ(fast.seconds(),
            fast.secondsWithoutOverlap() - fast.overlappedSeconds);
  EXPECT_NEAR(fast.tokensPerSecond, 4 / fast.seconds(), 1e-9);
  // Where computing takes longer, all of the dispatch is hidden, and no other
  // exchange.
  request.machine = machineOf(1e24, 1e6);
  plan = planOf(config, request);
  EXPECT_EQ(plan.exchanges[1].kind, "all_to_all_v");
  EXPECT_EQ(plan.decode.overlappedSeconds, plan.decode.exchanges[1].seconds);

  // Fixed exchanges are not overlapped, nor is anything without shared experts
  // or with one rank.
  request.dispatchCapacity = 2;
  plan = planOf(config, request);
  EXPECT_EQ(plan.decode.overlappedSeconds, 0);
  EXPECT_GT(plan.fixed->exactDecode.overlappedSeconds, 0);
  EXPECT_GT(plan.prefill.overlappedSeconds, 0);
  request.dispatchCapacity = 0;
  ModelConfig alone = *Fixture("T0").set("n_shared_experts", "0").read().config;
  EXPECT_EQ(planOf(alone, request).decode.overlappedSeconds, 0);
  request.mesh = meshOf(2, 1);
  EXPECT_EQ(planOf(config, request).decode.overlappedSeconds, 0);
}

/// Rows of code for GPUs: bf16, and a multiple of 16 bytes.
TEST(MeshCostTest, RowsOnGPUs) {
  ModelConfig config = load("T0");
  MeshRequest request;
  request.mesh = meshOf(1, 2);
  request.forDevice = true;
  // 2 * 64 + 8 * 2.
  MeshPlan plan = planOf(config, request);
  EXPECT_EQ(plan.exchanges[1].mostBytesPerUnit, 144);
  EXPECT_EQ(plan.exchanges[2].mostBytesPerUnit, 256);
  // 2 * 64 + 8 * 3 is filled up.
  ModelConfig three =
      *Fixture("T0").set("num_experts_per_tok", "3").read().config;
  EXPECT_EQ(planOf(three, request).exchanges[1].mostBytesPerUnit, 160);
  request.mesh = meshOf(1, 8);
  EXPECT_EQ(
      planOf(load("models/deepseek_v2"), request).exchanges[1].mostBytesPerUnit,
      3 * (2 * 5120 + 8 * 6));
}

/// T0 on four ranks with room for three rows.
TEST(MeshCostTest, FixedExchanges) {
  ModelConfig config = load("T0");
  MeshRequest request;
  request.mesh = meshOf(1, 4);
  request.context = 64;
  request.batch = 6 * 4;
  request.dispatchCapacity = 3;
  request.machine = machineOf(1e9, 1e9);
  MeshPlan plan = planOf(config, request);
  ASSERT_TRUE(plan.fixed);
  const FixedDispatch &fixed = *plan.fixed;
  EXPECT_EQ(fixed.bytesThere, 3 * 272);
  EXPECT_EQ(fixed.bytesBack, 3 * 256);
  EXPECT_EQ(fixed.mostTokens, 6);
  EXPECT_EQ(fixed.mostRows, 6);
  EXPECT_NEAR(fixed.meanRows, 6 * 13.0 / 28, 1e-12);
  EXPECT_EQ(fixed.savedExchanges, 2);
  EXPECT_NEAR(fixed.savedSeconds, 2e-4, 1e-15);

  // Counts, rows there and back; then parts there and back, and logits.
  ASSERT_EQ(plan.exchanges.size(), 6u);
  EXPECT_EQ(plan.decode.dispatch, DispatchKind::Fixed);
  for (int i : {0, 1, 2}) {
    EXPECT_EQ(plan.exchanges[i].steps, DispatchKind::Exact);
    EXPECT_EQ(plan.decode.exchanges[i].bytes, 0);
    EXPECT_EQ(plan.decode.exchanges[i].seconds, 0);
    EXPECT_GT(plan.prefill.exchanges[i].bytes, 0);
    EXPECT_GT(fixed.exactDecode.exchanges[i].bytes, 0);
  }
  const int64_t linkBytes[] = {3 * 272, 3 * 256};
  for (int i : {0, 1}) {
    const Exchange &exchange = plan.exchanges[3 + i];
    EXPECT_EQ(exchange.steps, DispatchKind::Fixed);
    EXPECT_EQ(exchange.kind, "all_to_all");
    EXPECT_EQ(exchange.unit, ExchangeUnit::Step);
    EXPECT_EQ(exchange.mostBytesPerUnit, 3 * linkBytes[i]);
    EXPECT_EQ(plan.decode.exchanges[3 + i].mostBytes, 2 * 3 * linkBytes[i]);
    EXPECT_NEAR(plan.decode.exchanges[3 + i].seconds,
                2 * 1e-4 + 2 * 3 * linkBytes[i] / 2e9, 1e-12);
    EXPECT_EQ(plan.prefill.exchanges[3 + i].mostBytes, 0);
  }
  EXPECT_FALSE(plan.exchanges[5].steps);
  EXPECT_EQ(plan.decode.mostBytesSent, 2 * 3 * (linkBytes[0] + linkBytes[1]) +
                                           plan.decode.exchanges[5].mostBytes);

  // A token more on a rank, and the step is exact from the start.
  request.batch = 6 * 4 + 1;
  plan = planOf(config, request);
  EXPECT_EQ(plan.decode.step.tokens, 7);
  EXPECT_EQ(plan.decode.dispatch, DispatchKind::Exact);
  EXPECT_EQ(plan.decode.mostBytesSent, plan.fixed->exactDecode.mostBytesSent);
  EXPECT_EQ(plan.decode.exchanges[3].mostBytes, 0);

  // Nothing to fix: one index, or no experts.
  request.mesh = meshOf(2, 1);
  EXPECT_FALSE(planOf(config, request).fixed);
}

/// Rows that nobody uses take memory too.
TEST(MeshCostTest, FixedExchangesTakeWorkspace) {
  ModelConfig config = load("T0");
  MeshRequest request;
  request.mesh = meshOf(1, 4);
  int64_t exact = planOf(config, request).memory.workspaceBytes;
  request.dispatchCapacity = 1;
  EXPECT_EQ(planOf(config, request).memory.workspaceBytes, exact);
  request.dispatchCapacity = 1 << 20;
  EXPECT_GT(planOf(config, request).memory.workspaceBytes, int64_t(4) << 30);
}

TEST(MeshCostTest, RoomForCache) {
  ModelConfig config = load("T0");
  MeshRequest request;
  request.mesh = meshOf(1, 2);
  request.machine = machineOf(1e9, 1e9);
  MeshPlan plan = planOf(config, request);
  int64_t fixed = plan.memory.weightBytes + plan.memory.workspaceBytes;
  int64_t each = plan.memory.cacheBytesPerToken;
  EXPECT_EQ(*plan.memory.cacheTokens, ((int64_t(1) << 40) - fixed) / each);
  request.machine->memoryBytes = fixed + 10 * each + each - 1;
  EXPECT_EQ(*planOf(config, request).memory.cacheTokens, 10);
  request.machine->memoryBytes = 1;
  EXPECT_EQ(*planOf(config, request).memory.cacheTokens, 0);
}

TEST(MeshCostTest, ImpossibleRequestsAreErrors) {
  ModelConfig config = load("T0");
  WeightPlan weights = weightsOf(config, "bf16");
  auto errorOf = [&](const MeshRequest &request) {
    Expected<MeshPlan> plan = planMesh(config, weights, request);
    return plan ? std::string() : toString(plan.takeError());
  };
  MeshRequest request;
  request.mesh = meshOf(3, 1);
  EXPECT_NE(errorOf(request).find("expected tp to divide num_attention_heads"),
            std::string::npos);
  request.mesh = meshOf(1, 9);
  EXPECT_NE(errorOf(request).find("at most the 8 routed experts, got 9"),
            std::string::npos);
  request.mesh = meshOf(2, 8);
  EXPECT_EQ(errorOf(request), "");
  request.context = 0;
  EXPECT_EQ(errorOf(request), "expected a context of at least 1, got 0");
  request.context = 1;
  request.dispatchCapacity = -1;
  EXPECT_EQ(errorOf(request), "expected a capacity of at least 0 rows, got -1");
  request.dispatchCapacity = std::numeric_limits<int64_t>::max();
  EXPECT_NE(errorOf(request).find("below 2^63"), std::string::npos);
  constexpr int64_t huge = std::numeric_limits<int64_t>::max();
  for (int64_t MeshRequest::*member :
       {&MeshRequest::context, &MeshRequest::batch, &MeshRequest::stepTokens}) {
    MeshRequest large;
    large.mesh = meshOf(2, 8);
    large.*member = huge;
    EXPECT_NE(errorOf(large).find("below 2^63"), std::string::npos);
  }
}

TEST(MeshCostTest, JsonIsThere) {
  ModelConfig config = load("T1");
  ExplainOptions options;
  EXPECT_EQ(explainJson(config, options).getAsObject()->get("mesh"), nullptr);
  options.mesh = meshOf(2, 3);
  json::Value value = explainJson(config, options);
  const json::Object *mesh = value.getAsObject()->getObject("mesh");
  ASSERT_TRUE(mesh);
  StringSet<> keys;
  for (const auto &entry : *mesh)
    keys.insert(StringRef(entry.first));
  for (StringRef key :
       {"tp", "ep", "ranks", "target", "machine", "rank", "dispatch",
        "fixed_dispatch", "exchanges", "decode", "prefill"})
    EXPECT_TRUE(keys.erase(key)) << key.str();
  EXPECT_TRUE(keys.empty());
  EXPECT_EQ(mesh->getInteger("ranks"), 6);
  EXPECT_TRUE(mesh->getNull("machine"));
  EXPECT_TRUE(mesh->getNull("fixed_dispatch"));
  const json::Object *rank = mesh->getObject("rank");
  EXPECT_EQ(rank->getInteger("experts"), 3);
  EXPECT_EQ(rank->getInteger("fewest_experts"), 2);
  EXPECT_EQ(rank->getInteger("parameters"), 82920);

  // A machine alone is that of one rank.
  options.mesh = std::nullopt;
  options.machine = machineOf(1e9, 1e9);
  value = explainJson(config, options);
  mesh = value.getAsObject()->getObject("mesh");
  ASSERT_TRUE(mesh);
  EXPECT_EQ(mesh->getInteger("ranks"), 1);
  EXPECT_TRUE(mesh->getObject("machine")->getBoolean("fits"));

  options.context = 0;
  value = explainJson(config, options);
  EXPECT_EQ(value.getAsObject()->getObject("mesh")->getString("error"),
            "expected a context of at least 1, got 0");
}
