//===- RankProgram.cpp - a program that all ranks of a mesh run -----------===//
//
// Part of dsv2, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "RankProgram.h"
#include "dsv2rt/comm/Communicator.h"
#include "dsv2rt/comm/ThreadGroup.h"
#include "gtest/gtest.h"

#include <algorithm>
#include <cmath>

using namespace dsv2test;
using namespace dsv2rt;

void dsv2test::PrintTo(const MeshCase &c, std::ostream *os) {
  *os << c.fixture << " tp " << c.tp << " ep " << c.ep;
}

/// `count` sequences of different lengths in one step, then two tokens each.
/// The logits of all of them.
static Matrix runBatch(Session &session, int64_t count) {
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
static Outcome runProgram(Session &session, const Fixture &fixture,
                          const RankProgram &program) {
  Outcome outcome;
  for (const GoldenPrompt &prompt : fixture.prompts) {
    if (prompt.ids.size() > program.maxPrompt)
      continue;
    for (int64_t chunk : {0, 7})
      outcome.logits.push_back(evaluate(session, prompt.ids, chunk));
    if (!prompt.greedy.empty())
      outcome.greedy.push_back(
          decodeGreedily(session, prompt.ids, 0,
                         std::min(prompt.greedy.size(), program.maxGreedy)));
  }
  for (int64_t batch : program.batches)
    outcome.logits.push_back(runBatch(session, batch));
  return outcome;
}

Outcome dsv2test::runOnMesh(const MeshCase &c, const std::string &flags,
                            WeightSource &source, const Fixture &fixture,
                            const RankProgram &program,
                            std::shared_ptr<Device> device) {
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
  // The emulator takes its time.
  CommOptions patient;
  patient.timeout = 120;
  Status status = runThreadRanks(
      c.ranks(), device ? patient : CommOptions(),
      [&](Communicator &world) -> Status {
        SessionOptions options;
        options.maxContext = 512;
        options.maxSequences = kMaxBatch;
        options.threads = 1;
        options.device = device;
        if (c.ranks() > 1)
          options.world =
              std::shared_ptr<Communicator>(&world, [](Communicator *) {});
        auto session =
            Session::create(model->artifact, weights[world.rank()], options);
        if (!session.ok())
          return session.status();
        outcomes[world.rank()] = runProgram(*session.value(), fixture, program);
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

void dsv2test::expectSame(const Outcome &found, const Outcome &expected,
                          double tolerance) {
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
    EXPECT_LE(worst, tolerance * (*high - *low)) << "logits " << i;
  }
}
