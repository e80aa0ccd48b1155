//===- RanksTest.cpp - whole models on several ranks ----------------------===//
//
// Part of dsv2, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "EditedWeights.h"
#include "RankProgram.h"
#include "dsv2rt/comm/Communicator.h"
#include "dsv2rt/comm/ThreadGroup.h"
#include "gtest/gtest.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <fstream>
#include <numeric>

using namespace dsv2test;
using namespace dsv2rt;

namespace {

std::string caseName(const testing::TestParamInfo<MeshCase> &info) {
  return info.param.name();
}

/// Every mesh of 1, 2, 3, 4 and 8 ranks that can split the fixtures.
std::vector<MeshCase> allMeshes() {
  std::vector<MeshCase> cases;
  for (std::string fixture : {"T0", "T1", "tiny"}) {
    std::ifstream file(loadFixture(fixture).model + "/config.json");
    nlohmann::json config = nlohmann::json::parse(file);
    int64_t common = 0;
    for (const char *key : {"num_attention_heads", "vocab_size",
                            "intermediate_size", "moe_intermediate_size"})
      common = std::gcd(common, config[key].get<int64_t>());
    for (int64_t ranks : {1, 2, 3, 4, 8})
      for (int64_t tp = 1; tp <= ranks; ++tp)
        if (ranks % tp == 0 && common % tp == 0 &&
            ranks / tp <= config["n_routed_experts"])
          cases.push_back({fixture, tp, ranks / tp});
  }
  return cases;
}

/// Logits on several ranks differ from those on one by the rounding of sums
/// that are taken in another order.
constexpr double kTolerance = 1e-5;

class Ranks : public testing::TestWithParam<MeshCase> {};
/// Those whose weights are random, so that a test can change them.
class EditedRanks : public testing::TestWithParam<MeshCase> {};
/// Those of them with experts on several ranks.
class ExpertRanks : public testing::TestWithParam<MeshCase> {};

// F085: with one sequence all ranks of ep but one have no tokens.
TEST_P(Ranks, ComputeWhatOneRankComputes) {
  Fixture fixture = loadFixture(GetParam().fixture);
  auto source = openWeightSource(fixture.weights);
  ASSERT_TRUE(source.ok()) << source.status().message();
  const std::string flags = "--weight-format=f32";
  RankProgram program;
  program.batches = {1, 2, 5, kMaxBatch};
  Outcome one = runOnMesh({GetParam().fixture, 1, 1}, flags, *source.value(),
                          fixture, program);
  std::vector<std::vector<int32_t>> golden;
  for (const GoldenPrompt &prompt : fixture.prompts)
    if (!prompt.greedy.empty() && prompt.ids.size() <= 100)
      golden.push_back(prompt.greedy);
  EXPECT_EQ(one.greedy, golden);
  expectSame(runOnMesh(GetParam(), flags, *source.value(), fixture, program),
             one, kTolerance);
}

// A router of zeros gives every expert the same score, and ties go to the
// lowest number: all tokens go to the experts of rank 0.
TEST_P(EditedRanks, F085_AllTokensOnOneRank) {
  Fixture fixture = loadFixture(GetParam().fixture);
  fixture.prompts.clear();
  EditedWeights source(7, [](const std::string &name, std::vector<float> &v) {
    if (name.find("mlp.gate.weight") != std::string::npos)
      std::fill(v.begin(), v.end(), 0.0f);
  });
  const std::string flags = "--weight-format=f32";
  RankProgram program;
  program.batches = {1, kMaxBatch};
  expectSame(
      runOnMesh(GetParam(), flags, source, fixture, program),
      runOnMesh({GetParam().fixture, 1, 1}, flags, source, fixture, program),
      kTolerance);
}

// F089: batches below, at, one over and far over what exchanges of fixed size
// have room for, with a router that spreads tokens and one that sends all of
// them to one rank. What does not fit is computed all the same.
TEST_P(ExpertRanks, F089_FixedExchanges) {
  Fixture fixture = loadFixture(GetParam().fixture);
  fixture.prompts.clear();
  const int64_t ep = GetParam().ep;
  RankProgram program;
  program.batches = {1, ep, 2 * ep, 2 * ep + 1, 6 * ep};
  for (int64_t &batch : program.batches)
    batch = std::min(batch, kMaxBatch);
  const std::string exact = "--weight-format=f32";
  for (bool spread : {true, false}) {
    EditedWeights source(
        7, [&](const std::string &name, std::vector<float> &v) {
          if (!spread && name.find("mlp.gate.weight") != std::string::npos)
            std::fill(v.begin(), v.end(), 0.0f);
        });
    expectSame(
        runOnMesh(GetParam(), exact + " --dispatch-capacity=2", source, fixture,
                  program),
        runOnMesh({GetParam().fixture, 1, 1}, exact, source, fixture, program),
        kTolerance);
  }
}

/// How many steps were taken by the entry of fixed exchanges, were repeated
/// exactly after it, and were exact from the start.
struct StepKinds {
  int64_t fixed = 0, repeated = 0, exact = 0;
};

// Which entry a step takes follows from the tokens of the fullest rank.
TEST(FixedExchanges, AreRepeatedOnlyWhenTooSmall) {
  Fixture fixture = loadFixture("T0");
  MeshCase mesh{"T0", 1, 2};
  auto model = CompiledModel::get(
      fixture, "--weight-format=f32 --dispatch-capacity=2 " + mesh.mesh());
  // All tokens want rank 0.
  EditedWeights source(7, [](const std::string &name, std::vector<float> &v) {
    if (name.find("mlp.gate.weight") != std::string::npos)
      std::fill(v.begin(), v.end(), 0.0f);
  });
  const std::pair<int64_t, StepKinds> batches[] = {
      {4, {1, 0, 0}}, {5, {0, 1, 0}}, {8, {0, 1, 0}}, {10, {0, 0, 1}}};
  for (const auto &entry : batches) {
    const int64_t batch = entry.first;
    const StepKinds &expected = entry.second;
    std::vector<std::shared_ptr<const PackedWeights>> weights;
    for (int rank = 0; rank < 2; ++rank) {
      PackOptions options;
      options.inMemory = true;
      options.rank = rank;
      auto packed = PackedWeights::open(model->artifact, source, options);
      ASSERT_TRUE(packed.ok()) << packed.status().message();
      weights.push_back(packed.value());
    }
    StepKinds found[2];
    Status status =
        runThreadRanks(2, CommOptions(), [&](Communicator &world) -> Status {
          SessionOptions options;
          options.maxContext = 64;
          options.maxSequences = kMaxBatch;
          options.threads = 1;
          options.world =
              std::shared_ptr<Communicator>(&world, [](Communicator *) {});
          auto session =
              Session::create(model->artifact, weights[world.rank()], options);
          if (!session.ok())
            return session.status();
          const int32_t token = 5;
          std::vector<StepInput> inputs(batch);
          std::vector<StepOutput> outputs(batch);
          for (StepInput &input : inputs) {
            auto sequence = session.value()->addSequence();
            if (!sequence.ok())
              return sequence.status();
            input.sequence = sequence.value();
            input.tokens = &token;
            input.count = 1;
          }
          Status status = session.value()->step(inputs.data(), inputs.size(),
                                                outputs.data());
          const auto &last = session.value()->lastStep();
          StepKinds &kinds = found[world.rank()];
          if (last.repeated)
            ++kinds.repeated;
          else
            ++(last.entry == "decode_fixed" ? kinds.fixed : kinds.exact);
          return status;
        });
    ASSERT_TRUE(status.ok()) << status.message();
    for (const StepKinds &kinds : found) {
      EXPECT_EQ(kinds.fixed, expected.fixed) << batch;
      EXPECT_EQ(kinds.repeated, expected.repeated) << batch;
      EXPECT_EQ(kinds.exact, expected.exact) << batch;
    }
  }
}

std::vector<MeshCase> meshesOfRandomWeights() {
  std::vector<MeshCase> cases = allMeshes();
  cases.erase(
      std::remove_if(cases.begin(), cases.end(),
                     [](const MeshCase &c) { return c.fixture == "tiny"; }),
      cases.end());
  return cases;
}

std::vector<MeshCase> meshesOfExperts() {
  std::vector<MeshCase> cases = meshesOfRandomWeights();
  cases.erase(std::remove_if(cases.begin(), cases.end(),
                             [](const MeshCase &c) { return c.ep == 1; }),
              cases.end());
  return cases;
}

INSTANTIATE_TEST_SUITE_P(Meshes, Ranks, testing::ValuesIn(allMeshes()),
                         caseName);
INSTANTIATE_TEST_SUITE_P(Meshes, EditedRanks,
                         testing::ValuesIn(meshesOfRandomWeights()), caseName);
INSTANTIATE_TEST_SUITE_P(Meshes, ExpertRanks,
                         testing::ValuesIn(meshesOfExperts()), caseName);

} // namespace
