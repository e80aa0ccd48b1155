//===- InvarianceTest.cpp - results do not depend on the rest of a step ---===//
//
// Part of dsv2, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "CompiledModel.h"
#include "dsv2rt/Generate.h"
#include "gtest/gtest.h"

#include <algorithm>
#include <cstring>

using namespace dsv2test;
using namespace dsv2rt;

namespace {

/// Sequence i of a batch: 1 + 3 i tokens, so lengths are odd and even.
std::vector<int32_t> makePrompt(int64_t i, int64_t vocabulary) {
  std::vector<int32_t> ids;
  for (int64_t t = 0; t < 1 + 3 * i; ++t)
    ids.push_back((17 + 31 * i + 7 * t * t) % vocabulary);
  return ids;
}

struct Case {
  const char *fixture, *flags;
};

void PrintTo(const Case &c, std::ostream *os) {
  *os << c.fixture << " " << c.flags;
}

class Invariance : public testing::TestWithParam<Case> {
protected:
  void SetUp() override {
    model =
        CompiledModel::get(loadFixture(GetParam().fixture),
                           std::string(GetParam().flags) + " --deterministic");
    vocabulary = model->artifact->manifest().model.vocabSize;
  }

  std::shared_ptr<const CompiledModel> model;
  int64_t vocabulary = 0;
};

/// The logits of the last token of every prompt, all prompts in one step, and
/// then those of one more token each.
std::vector<std::vector<float>>
runBatch(Session &session, const std::vector<std::vector<int32_t>> &prompts) {
  int64_t vocabulary = session.artifact().manifest().model.vocabSize;
  std::vector<StepInput> inputs;
  std::vector<std::vector<float>> results(prompts.size());
  for (const auto &prompt : prompts) {
    StepInput input;
    auto sequence = session.addSequence();
    EXPECT_TRUE(sequence.ok()) << sequence.status().message();
    input.sequence = sequence.value();
    input.tokens = prompt.data();
    input.count = prompt.size();
    inputs.push_back(input);
  }
  const int32_t next = 5;
  for (int round = 0; round < 2; ++round) {
    std::vector<StepOutput> outputs(inputs.size());
    Status status = session.step(inputs.data(), inputs.size(), outputs.data());
    EXPECT_TRUE(status.ok()) << status.message();
    for (size_t i = 0; i < outputs.size(); ++i) {
      EXPECT_TRUE(outputs[i].status.ok()) << outputs[i].status.message();
      results[i].insert(results[i].end(), outputs[i].logits,
                        outputs[i].logits + vocabulary);
      inputs[i].tokens = &next;
      inputs[i].count = 1;
    }
  }
  for (const StepInput &input : inputs)
    EXPECT_TRUE(session.removeSequence(input.sequence).ok());
  return results;
}

bool sameBits(const std::vector<float> &a, const std::vector<float> &b) {
  return a.size() == b.size() &&
         std::memcmp(a.data(), b.data(), a.size() * sizeof(float)) == 0;
}

TEST_P(Invariance, BatchOfOneToSeventeen) {
  auto session = model->createSession(/*maxSequences=*/17);
  std::vector<std::vector<int32_t>> prompts;
  std::vector<std::vector<float>> alone;
  for (int64_t i = 0; i < 17; ++i) {
    prompts.push_back(makePrompt(i, vocabulary));
    alone.push_back(runBatch(*session, {prompts.back()}).front());
    auto together = runBatch(*session, prompts);
    for (size_t s = 0; s < prompts.size(); ++s)
      EXPECT_TRUE(sameBits(together[s], alone[s]))
          << "sequence " << s << " of " << prompts.size();
  }
}

TEST_P(Invariance, F048_ChunkSizes) {
  auto session = model->createSession();
  std::vector<int32_t> prompt = makePrompt(33, vocabulary);
  Matrix whole = evaluate(*session, prompt, 0);
  for (int64_t chunk : {1, 7, 16, 64}) {
    Matrix parts = evaluate(*session, prompt, chunk);
    EXPECT_TRUE(sameBits(parts.data, whole.data)) << "chunk " << chunk;
  }
}

TEST_P(Invariance, ThreadsAndRepetition) {
  std::vector<int32_t> prompt = makePrompt(33, vocabulary);
  Matrix expected =
      evaluate(*model->createSession(1, /*threads=*/1), prompt, 0);
  for (int threads : {1, 2, 3, 5}) {
    auto session = model->createSession(1, threads);
    for (int repetition = 0; repetition < 2; ++repetition)
      EXPECT_TRUE(sameBits(evaluate(*session, prompt, 0).data, expected.data))
          << threads << " threads";
  }
}

// Sequences that share pages, until one writes to the last of them, which it
// then has a copy of.
TEST_P(Invariance, ForkedSequencesStayApart) {
  auto session = model->createSession(/*maxSequences=*/3);
  const std::vector<int32_t> prompt = makePrompt(33, vocabulary);
  auto logitsAfter = [&](SequenceId sequence, std::vector<int32_t> ids) {
    StepInput input;
    input.sequence = sequence;
    input.tokens = ids.data();
    input.count = ids.size();
    StepOutput output;
    EXPECT_TRUE(session->step(&input, 1, &output).ok());
    EXPECT_TRUE(output.status.ok()) << output.status.message();
    return std::vector<float>(output.logits, output.logits + vocabulary);
  };
  SequenceId parent = session->addSequence().value();
  logitsAfter(parent, prompt);
  SequenceId child = session->fork(parent, prompt.size()).value();
  logitsAfter(child, {3, 1, 4});
  EXPECT_EQ(session->lastStep().copiedPages, 1);
  std::vector<float> parentLogits = logitsAfter(parent, {2, 7});
  std::vector<float> childLogits = logitsAfter(child, {1, 5});

  auto alone = [&](std::vector<int32_t> more) {
    std::vector<int32_t> ids = prompt;
    ids.insert(ids.end(), more.begin(), more.end());
    SequenceId sequence = session->addSequence().value();
    std::vector<float> logits = logitsAfter(sequence, ids);
    EXPECT_TRUE(session->removeSequence(sequence).ok());
    return logits;
  };
  EXPECT_TRUE(sameBits(parentLogits, alone({2, 7})));
  EXPECT_TRUE(sameBits(childLogits, alone({3, 1, 4, 1, 5})));
}

// Whether a step gives the logits of its last token or of all, what is said of
// the largest ones has to be of the row that the next token is chosen from.
TEST_P(Invariance, GreedyTokensAreThoseOfTheLogits) {
  auto session = model->createSession(/*maxSequences=*/2);
  std::vector<GenerateRequest> requests(2);
  for (int64_t i = 0; i < 2; ++i) {
    requests[i].prompt = makePrompt(5 + 2 * i, vocabulary);
    requests[i].maxTokens = 6;
    // The end of a vocabulary that is within a group.
    requests[i].vocabularySize = vocabulary - 5;
  }
  for (bool all : {false, true}) {
    std::vector<std::vector<int32_t>> expected(2);
    GenerateOptions options;
    auto best = [&](const float *row) {
      return int32_t(std::max_element(row, row + vocabulary - 5) - row);
    };
    if (all)
      options.onLogits = [&](size_t request, const float *logits,
                             int64_t count) {
        expected[request].push_back(best(logits + (count - 1) * vocabulary));
        return Status();
      };
    std::vector<GenerateResult> results;
    Status status = generate(*session, requests, options, results);
    ASSERT_TRUE(status.ok()) << status.message();
    for (int64_t i = 0; i < 2; ++i) {
      if (!all) {
        std::vector<int32_t> ids = requests[i].prompt;
        for (int32_t token : results[i].tokens) {
          Matrix logits = evaluate(*session, ids, 0);
          expected[i].push_back(best(logits.row(logits.rows - 1)));
          ids.push_back(token);
        }
      }
      EXPECT_EQ(results[i].tokens.size(), 6u);
      EXPECT_EQ(results[i].tokens, expected[i]) << i << " " << all;
    }
  }
}

INSTANTIATE_TEST_SUITE_P(
    Models, Invariance,
    testing::Values(Case{"T0", "--weight-format=f32"},
                    Case{"T1", "--weight-format=f32"},
                    Case{"tiny", "--weight-format=f32"},
                    Case{"T0", "--weight-format=f32 --kv-format=q8"},
                    Case{"tiny", "--weight-format=q4 --kv-format=q8"},
                    Case{"tiny", "--weight-format=q4 --kv-format=q6"}));

} // namespace
