//===- GoldenTest.cpp - logits and greedy tokens against goldens ----------===//
//
// Part of dsv2, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// Every fixture (named after its field case where it is one), compiled in each
// attention form and weight format, must give the logits and greedy tokens that
// the float32 oracle gave (test/Oracle/make_goldens.py).
//
//===----------------------------------------------------------------------===//

#include "CompiledModel.h"
#include "gtest/gtest.h"

#include <algorithm>
#include <cmath>
#include <limits>

using namespace dsv2test;

namespace {

/// Largest |logit error| over the range of the expected logits. In f32 only
/// the order of sums differs from the oracle. In bf16 the checkpoints' weights
/// are exact and activations stay f32, so the latent cache is all that rounds.
constexpr double kTolerance = 1e-4;
constexpr double kToleranceBF16 = 2e-2;
/// Weights and activations, or a latent cache, of 8 bits. Random weights cancel
/// more than trained ones, and in T1, with its factor of 16, another choice of
/// experts is another result: there only the ops are compared, each with its
/// reference.
constexpr double kToleranceQ8 = 1e-1;
constexpr double kNoTolerance = std::numeric_limits<double>::infinity();

struct Case {
  std::string fixture;
  std::string flags;
  double tolerance;
};

void PrintTo(const Case &c, std::ostream *os) {
  *os << c.fixture << " " << c.flags;
}

/// The base fixtures are compiled in every way. For the variations `auto` is
/// enough: it holds both forms, long chunks using one and short ones the other.
std::vector<Case> makeCases() {
  std::vector<Case> cases;
  for (const std::string &name : fixtureNames()) {
    cases.push_back({name, "--weight-format=f32", kTolerance});
    if (name != "T0" && name != "T1" && name != "tiny")
      continue;
    for (const char *form : {"absorbed", "expanded"})
      cases.push_back(
          {name, std::string("--weight-format=f32 --attention-form=") + form,
           kTolerance});
    cases.push_back({name, "--weight-format=bf16", kToleranceBF16});
    cases.push_back({name, "--weight-format=q8",
                     name == "T1" ? kNoTolerance : kToleranceQ8});
    cases.push_back({name, "--weight-format=q4", kNoTolerance});
    cases.push_back({name, "--weight-rules=mixed.rules", kNoTolerance});
    cases.push_back({name, "--weight-format=f32 --kv-format=q8",
                     name == "T1" ? kNoTolerance : kToleranceQ8});
    cases.push_back({name, "--weight-format=f32 --kv-format=q6", kNoTolerance});
    cases.push_back({name, "--weight-format=q4 --kv-format=q6", kNoTolerance});
  }
  return cases;
}

class ModelGolden : public testing::TestWithParam<Case> {};

TEST_P(ModelGolden, LogitsAtEveryChunkSize) {
  Fixture fixture = loadFixture(GetParam().fixture);
  auto model = CompiledModel::getWithReference(fixture, GetParam().flags);
  auto session = model->createSession();
  for (const GoldenPrompt &prompt : fixture.prompts)
    for (int64_t chunk : {0, 1, 7, 64}) {
      Matrix logits = evaluate(*session, prompt.ids, chunk);
      ASSERT_EQ(logits.rows, int64_t(prompt.ids.size()));
      ASSERT_EQ(logits.columns, prompt.logits.columns);
      EXPECT_LE(relativeError(logits, prompt), GetParam().tolerance)
          << "prompt of " << prompt.ids.size() << " tokens, chunk " << chunk;
    }
}

struct QuantizedCase {
  const char *name, *flags;
  /// Largest divergence and least agreement on the most likely token.
  double divergence, sameTop;
};

class QuantizedModel : public testing::TestWithParam<QuantizedCase> {};

// What quantised weights and activations, or a quantised latent cache, may cost
// (docs/NumericPolicy.md), on the trained model: random weights have no
// structure that would show anything.
TEST_P(QuantizedModel, SaysAboutTheSame) {
  Fixture fixture = loadFixture("tiny");
  auto model = CompiledModel::getWithReference(fixture, GetParam().flags);
  auto exact = CompiledModel::getWithReference(fixture, "--weight-format=f32");
  auto session = model->createSession(), exactSession = exact->createSession();
  Agreement found;
  for (const GoldenPrompt &prompt : fixture.prompts)
    found.add(evaluate(*exactSession, prompt.ids, 0),
              evaluate(*session, prompt.ids, 0));
  RecordProperty("divergence", std::to_string(found.divergence()));
  RecordProperty("same_top_1", std::to_string(found.sameTop()));
  EXPECT_GT(found.tokens, 100);
  EXPECT_LT(found.divergence(), GetParam().divergence);
  EXPECT_GT(found.divergence(), 0) << "the format has no effect";
  EXPECT_GT(found.sameTop(), GetParam().sameTop);
}

INSTANTIATE_TEST_SUITE_P(
    Formats, QuantizedModel,
    testing::Values(
        QuantizedCase{"q8", "--weight-format=q8", 1e-3, 0.97},
        QuantizedCase{"q4", "--weight-format=q4", 7e-3, 0.92},
        QuantizedCase{"CacheBF16", "--weight-format=f32 --kv-format=bf16", 1e-4,
                      0.99},
        QuantizedCase{"CacheQ8", "--weight-format=f32 --kv-format=q8", 1.2e-3,
                      0.97},
        QuantizedCase{"CacheQ6", "--weight-format=f32 --kv-format=q6", 4e-3,
                      0.96}),
    [](const auto &info) { return info.param.name; });

TEST_P(ModelGolden, GreedyTokens) {
  // bf16 rounds the cache, so a near-tie may fall the other way; its logits are
  // compared above.
  if (GetParam().tolerance > kTolerance)
    return;
  Fixture fixture = loadFixture(GetParam().fixture);
  auto model = CompiledModel::getWithReference(fixture, GetParam().flags);
  auto session = model->createSession();
  for (const GoldenPrompt &prompt : fixture.prompts) {
    if (prompt.greedy.empty())
      continue;
    for (int64_t chunk : {0, 7})
      EXPECT_EQ(
          decodeGreedily(*session, prompt.ids, chunk, prompt.greedy.size()),
          prompt.greedy)
          << "prompt of " << prompt.ids.size() << " tokens, chunk " << chunk;
  }
}

TEST_P(ModelGolden, EveryOpEqualsItsReference) {
  Fixture fixture = loadFixture(GetParam().fixture);
  auto model = CompiledModel::getWithReference(fixture, GetParam().flags);
  auto session = model->createComparedSession();
  int64_t steps = 0;
  for (const GoldenPrompt &prompt : fixture.prompts)
    for (int64_t chunk : {0, 7}) {
      // A step that differs has a status that says where, and throws here.
      evaluate(*session, prompt.ids, chunk);
      int64_t count = prompt.ids.size();
      steps += chunk ? (count + chunk - 1) / chunk : 1;
    }
  dsv2rt::ReferenceReport report = session->referenceReport();
  EXPECT_EQ(report.steps, steps);
  // At least the embedding, a norm and the logits, and ten ops of each layer.
  EXPECT_GE(report.sites, 3 + 10 * session->artifact().manifest().cache.layers);
}

INSTANTIATE_TEST_SUITE_P(Fixtures, ModelGolden, testing::ValuesIn(makeCases()),
                         [](const testing::TestParamInfo<Case> &info) {
                           std::string name =
                               info.param.fixture + info.param.flags;
                           std::string clean;
                           for (char c : name)
                             if (std::isalnum((unsigned char)c))
                               clean += c;
                             else if (!clean.empty() && clean.back() != '_')
                               clean += '_';
                           return clean;
                         });

} // namespace
