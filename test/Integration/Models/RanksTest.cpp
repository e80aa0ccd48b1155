//===- RanksTest.cpp - whole models on several ranks ----------------------===//
//
// Part of dsv2, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// Ranks are threads of this process; every one runs the same program.
//
//===----------------------------------------------------------------------===//

#include "CompiledModel.h"
#include "EditedWeights.h"
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

struct Case {
  std::string fixture;
  int64_t tp, ep;

  int ranks() const { return int(tp * ep); }
  std::string mesh() const {
    return "--mesh=tp=" + std::to_string(tp) + ",ep=" + std::to_string(ep);
  }
};

void PrintTo(const Case &c, std::ostream *os) {
  *os << c.fixture << " tp " << c.tp << " ep " << c.ep;
}

std::string caseName(const testing::TestParamInfo<Case> &info) {
  const Case &c = info.param;
  return c.fixture + "_tp" + std::to_string(c.tp) + "_ep" +
         std::to_string(c.ep);
}

/// Every mesh of 1, 2, 3, 4 and 8 ranks that can split the fixtures.
std::vector<Case> allMeshes() {
  std::vector<Case> cases;
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

/// What a program computes; the same on every rank.
struct Outcome {
  std::vector<Matrix> logits;
  std::vector<std::vector<int32_t>> greedy;
};

/// `count` sequences of different lengths in one step, then two tokens each.
/// The logits of all of them.
Matrix runBatch(Session &session, int64_t count) {
  int64_t vocabulary = session.artifact().manifest().model.vocabSize;
  Matrix result;
  result.columns = vocabulary;
  std::vector<std::vector<int32_t>> prompts;
  std::vector<StepInput> inputs;
  for (int64_t i = 0; i < count; ++i) {
    std::vector<int32_t> ids;
    for (int64_t t = 0; t < 1 + 3 * (i % 7); ++t)
      ids.push_back(int32_t((17 + 31 * i + 7 * t * t) % vocabulary));
    prompts.push_back(std::move(ids));
  }
  for (int64_t i = 0; i < count; ++i) {
    Expected<SequenceId> sequence = session.addSequence();
    if (!sequence.ok())
      throw std::runtime_error(sequence.status().message());
    StepInput input;
    input.sequence = sequence.value();
    input.tokens = prompts[i].data();
    input.count = int64_t(prompts[i].size());
    inputs.push_back(input);
  }
  std::vector<int32_t> next(count, 5);
  for (int round = 0; round < 3; ++round) {
    std::vector<StepOutput> outputs(inputs.size());
    Status status = session.step(inputs.data(), inputs.size(), outputs.data());
    if (!status.ok())
      throw std::runtime_error(status.message());
    for (int64_t i = 0; i < count; ++i) {
      if (!outputs[i].status.ok())
        throw std::runtime_error(outputs[i].status.message());
      result.data.insert(result.data.end(), outputs[i].logits,
                         outputs[i].logits + vocabulary);
      ++result.rows;
      inputs[i].tokens = &next[i];
      inputs[i].count = 1;
    }
  }
  for (const StepInput &input : inputs)
    if (!session.removeSequence(input.sequence).ok())
      throw std::runtime_error("removeSequence");
  return result;
}

/// The program: goldens in chunks and at once, greedy tokens, batches.
Outcome runProgram(Session &session, const Fixture &fixture,
                   const std::vector<int64_t> &batches) {
  Outcome outcome;
  for (const GoldenPrompt &prompt : fixture.prompts) {
    if (prompt.ids.size() > 100)
      continue;
    for (int64_t chunk : {0, 7})
      outcome.logits.push_back(evaluate(session, prompt.ids, chunk));
    if (!prompt.greedy.empty())
      outcome.greedy.push_back(
          decodeGreedily(session, prompt.ids, 0, prompt.greedy.size()));
  }
  for (int64_t batch : batches)
    outcome.logits.push_back(runBatch(session, batch));
  return outcome;
}

constexpr int64_t kMaxBatch = 12;

/// Runs the program on all ranks; what rank 0 got. The others must have got the
/// same bits.
Outcome runOnMesh(const Case &c, const std::string &flags, WeightSource &source,
                  const Fixture &fixture, const std::vector<int64_t> &batches) {
  std::shared_ptr<const CompiledModel> model =
      CompiledModel::get(fixture, flags + " " + c.mesh());
  std::vector<Outcome> outcomes(c.ranks());
  std::vector<std::shared_ptr<const PackedWeights>> weights;
  for (int rank = 0; rank < c.ranks(); ++rank) {
    PackOptions options;
    options.inMemory = true;
    options.rank = rank;
    auto packed = PackedWeights::open(model->artifact, source, options);
    if (!packed.ok())
      throw std::runtime_error(packed.status().message());
    weights.push_back(packed.value());
  }
  Status status = runThreadRanks(
      c.ranks(), CommOptions(), [&](Communicator &world) -> Status {
        SessionOptions options;
        options.maxContext = 512;
        options.maxSequences = kMaxBatch;
        options.threads = 1;
        if (c.ranks() > 1)
          options.world =
              std::shared_ptr<Communicator>(&world, [](Communicator *) {});
        auto session =
            Session::create(model->artifact, weights[world.rank()], options);
        if (!session.ok())
          return session.status();
        outcomes[world.rank()] = runProgram(*session.value(), fixture, batches);
        return Status();
      });
  if (!status.ok())
    throw std::runtime_error(status.message());
  for (const Outcome &other : outcomes) {
    EXPECT_EQ(other.greedy, outcomes[0].greedy);
    EXPECT_EQ(other.logits.size(), outcomes[0].logits.size());
    for (size_t i = 0; i < outcomes[0].logits.size(); ++i)
      EXPECT_EQ(other.logits[i].data, outcomes[0].logits[i].data);
  }
  return outcomes[0];
}

/// Logits on several ranks differ from those on one by the rounding of sums
/// that are taken in another order: at most 1e-5 of their range.
void expectSame(const Outcome &found, const Outcome &expected) {
  EXPECT_EQ(found.greedy, expected.greedy);
  ASSERT_EQ(found.logits.size(), expected.logits.size());
  for (size_t i = 0; i < found.logits.size(); ++i) {
    const std::vector<float> &a = found.logits[i].data;
    const std::vector<float> &b = expected.logits[i].data;
    ASSERT_EQ(a.size(), b.size());
    auto [low, high] = std::minmax_element(b.begin(), b.end());
    double worst = 0;
    for (size_t j = 0; j < a.size(); ++j) {
      double error = std::abs(double(a[j]) - b[j]);
      if (!(error <= worst))
        worst = error;
    }
    EXPECT_LE(worst, 1e-5 * (*high - *low)) << "logits " << i;
  }
}

class Ranks : public testing::TestWithParam<Case> {};
/// Those whose weights are random, so that a test can change them.
class EditedRanks : public testing::TestWithParam<Case> {};

// F085: with one sequence all ranks of ep but one have no tokens.
TEST_P(Ranks, ComputeWhatOneRankComputes) {
  Fixture fixture = loadFixture(GetParam().fixture);
  auto source = openWeightSource(fixture.weights);
  ASSERT_TRUE(source.ok()) << source.status().message();
  const std::string flags = "--weight-format=f32";
  std::vector<int64_t> batches = {1, 2, 5, kMaxBatch};
  Outcome one = runOnMesh({GetParam().fixture, 1, 1}, flags, *source.value(),
                          fixture, batches);
  std::vector<std::vector<int32_t>> golden;
  for (const GoldenPrompt &prompt : fixture.prompts)
    if (!prompt.greedy.empty() && prompt.ids.size() <= 100)
      golden.push_back(prompt.greedy);
  EXPECT_EQ(one.greedy, golden);
  expectSame(runOnMesh(GetParam(), flags, *source.value(), fixture, batches),
             one);
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
  std::vector<int64_t> batches = {1, kMaxBatch};
  expectSame(
      runOnMesh(GetParam(), flags, source, fixture, batches),
      runOnMesh({GetParam().fixture, 1, 1}, flags, source, fixture, batches));
}

// F089: batches below, at, one over and far over what exchanges of fixed size
// have room for, with a router that spreads tokens and one that sends all of
// them to one rank. What does not fit is computed all the same.
TEST_P(EditedRanks, F089_FixedExchanges) {
  if (GetParam().ep == 1)
    return;
  Fixture fixture = loadFixture(GetParam().fixture);
  fixture.prompts.clear();
  const int64_t ep = GetParam().ep;
  std::vector<int64_t> batches = {1, ep, 2 * ep, 2 * ep + 1, 6 * ep};
  for (int64_t &batch : batches)
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
                  batches),
        runOnMesh({GetParam().fixture, 1, 1}, exact, source, fixture, batches));
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
  Case mesh{"T0", 1, 2};
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

std::vector<Case> meshesOfRandomWeights() {
  std::vector<Case> cases = allMeshes();
  cases.erase(std::remove_if(cases.begin(), cases.end(),
                             [](const Case &c) { return c.fixture == "tiny"; }),
              cases.end());
  return cases;
}

INSTANTIATE_TEST_SUITE_P(Meshes, Ranks, testing::ValuesIn(allMeshes()),
                         caseName);
INSTANTIATE_TEST_SUITE_P(Meshes, EditedRanks,
                         testing::ValuesIn(meshesOfRandomWeights()), caseName);

} // namespace
