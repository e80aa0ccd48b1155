//===- FieldCasesTest.cpp - what broke for others, on whole models --------===//
//
// Part of dsv2, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "CompiledModel.h"
#include "EditedWeights.h"
#include "gtest/gtest.h"

#include <algorithm>
#include <cmath>
#include <cstring>

using namespace dsv2test;
using namespace dsv2rt;

namespace {

/// Token ids that repeat nothing obvious.
std::vector<int32_t> makeIds(int64_t count, int64_t vocabulary,
                             uint32_t seed = 1) {
  std::vector<int32_t> ids(count);
  for (int32_t &id : ids) {
    seed = seed * 1664525 + 1013904223;
    id = int32_t((seed >> 8) % vocabulary);
  }
  return ids;
}

std::shared_ptr<const PackedWeights>
pack(const std::shared_ptr<const Artifact> &artifact, WeightSource &source) {
  PackOptions options;
  options.inMemory = true;
  auto packed = PackedWeights::open(artifact, source, options);
  EXPECT_TRUE(packed.ok()) << packed.status().message();
  return packed.value();
}

/// `model` with other weights.
CompiledModel withWeights(const CompiledModel &model, WeightSource &source) {
  CompiledModel result;
  result.artifact = model.artifact;
  result.weights = pack(model.artifact, source);
  if (auto reference = Artifact::referenceOf(model.artifact))
    result.referenceWeights = pack(reference, source);
  return result;
}

bool endsWith(const std::string &text, const std::string &end) {
  return text.size() >= end.size() &&
         text.compare(text.size() - end.size(), end.size(), end) == 0;
}

bool contains(const std::string &text, const std::string &part) {
  return text.find(part) != std::string::npos;
}

bool sameBits(const Matrix &a, const Matrix &b) {
  return a.data.size() == b.data.size() &&
         std::memcmp(a.data.data(), b.data.data(),
                     a.data.size() * sizeof(float)) == 0;
}

/// Largest difference as a part of the range of `expected`.
double relativeError(const Matrix &actual, const Matrix &expected) {
  auto [low, high] =
      std::minmax_element(expected.data.begin(), expected.data.end());
  double worst = 0;
  for (size_t i = 0; i < expected.data.size(); ++i) {
    double error = std::abs(double(actual.data[i]) - expected.data[i]);
    if (!(error <= worst))
      worst = error;
  }
  return worst / (double(*high) - *low);
}

/// One step that gives `ids` to a new sequence.
StepOutput step(Session &session, const std::vector<int32_t> &ids) {
  StepInput input;
  input.sequence = session.addSequence().value();
  input.tokens = ids.data();
  input.count = ids.size();
  StepOutput output;
  Status status = session.step(&input, 1, &output);
  if (!status.ok())
    output.status = status;
  return output;
}

} // namespace

// Experts whose sum, times the factor 16, is far beyond f16: everything after
// the checkpoint is f32, whatever the checkpoint's type is.
TEST(FieldCases, F035_LargeExpertsOfAHalfPrecisionCheckpoint) {
  auto model =
      CompiledModel::getWithReference(loadFixture("T1"), "--weight-format=f32");
  float largest = 0;
  EditedWeights source(
      11,
      [&](const std::string &name, std::vector<float> &values) {
        if (!contains(name, ".experts.") || !endsWith(name, "down_proj.weight"))
          return;
        for (float &value : values) {
          value *= 1e5f;
          largest = std::max(largest, std::abs(value));
        }
      },
      DType::F16);
  CompiledModel edited = withWeights(*model, source);
  ASSERT_LT(largest, 65504) << "the checkpoint itself has to be valid";
  ASSERT_GT(largest * 16, 1e5f);
  auto session = edited.createComparedSession();
  Matrix logits = evaluate(*session, makeIds(40, 256), 0);
  EXPECT_TRUE(std::all_of(logits.data.begin(), logits.data.end(),
                          [](float x) { return std::isfinite(x); }));
}

// Two experts whose scores differ by one part in 10^4: which is chosen has to
// be what f32 arithmetic says, for bf16 models too.
TEST(FieldCases, F036_NearTiesOnTenThousandTokens) {
  for (const char *flags : {"--weight-format=f32", "--weight-format=bf16"}) {
    auto model = CompiledModel::getWithReference(loadFixture("T0"), flags);
    EditedWeights source(
        12, [](const std::string &name, std::vector<float> &values) {
          if (!endsWith(name, "mlp.gate.weight"))
            return;
          size_t hidden = values.size() / 8;
          for (size_t i = 0; i < hidden; ++i)
            values[5 * hidden + i] = values[2 * hidden + i] * 1.0001f;
        });
    auto session = withWeights(*model, source).createComparedSession();
    int64_t vocabulary = model->artifact->manifest().model.vocabSize;
    for (uint32_t i = 0; i < 200; ++i)
      evaluate(*session, makeIds(50, vocabulary, i), 0);
    ReferenceReport report = session->referenceReport();
    EXPECT_EQ(report.steps, 200);
    // Where both scores are next to 0, so is their difference, and the order of
    // the sum decides. With scores rounded to bf16 there would be thousands.
    EXPECT_LE(report.ties, 3) << flags;
  }
}

// One token or many at a time, alone or between others: all of these take other
// ways through the grouped products.
TEST(FieldCases, F039_EveryWayThroughTheExperts) {
  Fixture fixture = loadFixture("T0");
  auto model = CompiledModel::get(fixture, "--weight-format=f32");
  auto session = model->createSession(/*maxSequences=*/4);
  int64_t vocabulary = model->artifact->manifest().model.vocabSize;
  std::vector<int32_t> ids = makeIds(5, vocabulary);
  Matrix whole = evaluate(*session, ids, 0);
  for (int64_t chunk : {1, 2, 3})
    EXPECT_LE(relativeError(evaluate(*session, ids, chunk), whole), 1e-5)
        << "chunk " << chunk;

  std::vector<int32_t> others = makeIds(33, vocabulary, 9);
  StepInput inputs[3];
  StepOutput outputs[3];
  for (int i = 0; i < 3; ++i) {
    inputs[i].sequence = session->addSequence().value();
    inputs[i].tokens = i == 1 ? ids.data() : others.data();
    inputs[i].count = i == 1 ? ids.size() : others.size();
    inputs[i].logits = LogitRows::All;
  }
  ASSERT_TRUE(session->step(inputs, 3, outputs).ok());
  Matrix between{
      outputs[1].rows,
      whole.columns,
      {outputs[1].logits, outputs[1].logits + outputs[1].rows * whole.columns}};
  EXPECT_LE(relativeError(between, whole), 1e-5);
}

// A NaN in one expert: prompts that use it fail and say so, others in the same
// step get what they get alone.
TEST(FieldCases, F045_NaNInOneExpert) {
  auto model =
      CompiledModel::getWithReference(loadFixture("T0"), "--weight-format=f32");
  EditedWeights source(
      13, [](const std::string &name, std::vector<float> &values) {
        if (name == "model.layers.1.mlp.experts.3.up_proj.weight")
          values[17] = NAN;
      });
  CompiledModel edited = withWeights(*model, source);
  auto session = edited.createSession(/*maxSequences=*/2);
  std::vector<int32_t> bad, good;
  std::vector<float> alone;
  for (int32_t id = 0; id < 256 && (bad.empty() || good.empty()); ++id) {
    StepOutput output = step(*session, {id});
    if (output.status.ok()) {
      good = {id};
      alone.assign(output.logits, output.logits + 256);
      continue;
    }
    bad = {id};
    EXPECT_EQ(output.status.code(), StatusCode::NonFinite);
    EXPECT_TRUE(contains(output.status.message(), "layer 1"))
        << output.status.message();
  }
  ASSERT_FALSE(bad.empty());
  ASSERT_FALSE(good.empty());

  StepInput inputs[2];
  StepOutput outputs[2];
  for (int i = 0; i < 2; ++i) {
    inputs[i].sequence = session->addSequence().value();
    inputs[i].tokens = i == 0 ? bad.data() : good.data();
    inputs[i].count = 1;
  }
  ASSERT_TRUE(session->step(inputs, 2, outputs).ok());
  EXPECT_EQ(outputs[0].status.code(), StatusCode::NonFinite);
  ASSERT_TRUE(outputs[1].status.ok()) << outputs[1].status.message();
  EXPECT_EQ(std::memcmp(outputs[1].logits, alone.data(), 256 * sizeof(float)),
            0);
}

// Logits alone that are not finite, whatever is looked at besides: of every
// token, or of those where the sum overflows, to inf for some and -inf for the
// others. The largest logit hides the latter.
TEST(FieldCases, F045_LogitsThatAreNotFinite) {
  auto model = CompiledModel::get(loadFixture("T0"), "--weight-format=bf16");
  std::vector<std::vector<int32_t>> failed;
  for (float bad : {NAN, 3e38f, -3e38f}) {
    EditedWeights source(
        15, [&](const std::string &name, std::vector<float> &values) {
          if (name == "lm_head.weight")
            std::fill_n(values.begin() + 77 * 64, 64, bad);
        });
    CompiledModel edited = withWeights(*model, source);
    for (int level : {0, 1}) {
      SessionOptions options;
      options.maxContext = 64;
      options.maxSequences = 1;
      options.checkLevel = level;
      auto session = Session::create(edited.artifact, edited.weights, options);
      ASSERT_TRUE(session.ok()) << session.status().message();
      failed.emplace_back();
      for (int32_t id = 0; id < 32; ++id) {
        StepOutput output = step(*session.value(), {id});
        if (output.status.ok())
          continue;
        failed.back().push_back(id);
        EXPECT_EQ(output.status.code(), StatusCode::NonFinite);
        EXPECT_TRUE(contains(output.status.message(),
                             level ? "'lm_head'" : "the logits"))
            << output.status.message();
        EXPECT_EQ(output.largest.values, nullptr);
      }
    }
  }
  EXPECT_EQ(failed[0].size(), 32u);
  EXPECT_GT(failed[2].size(), 8u);
  EXPECT_EQ(failed[0], failed[1]);
  for (int i : {3, 4, 5})
    EXPECT_EQ(failed[i], failed[2]);
}

// Values at the end of the range of bf16: the op whose result overflows is
// named, not the logits it ends in.
TEST(FieldCases, F046_TheFirstOverflowIsNamed) {
  auto model = CompiledModel::get(loadFixture("T0"), "--weight-format=bf16");
  EditedWeights source(14,
                       [](const std::string &name, std::vector<float> &values) {
                         if (name == "model.layers.1.self_attn.o_proj.weight")
                           std::fill_n(values.begin(), 8, 3e38f);
                       });
  CompiledModel edited = withWeights(*model, source);
  SessionOptions options;
  options.maxContext = 64;
  options.maxSequences = 1;
  options.checkLevel = 2;
  auto session = Session::create(edited.artifact, edited.weights, options);
  ASSERT_TRUE(session.ok()) << session.status().message();
  // Some of so many values overflow, whatever the attention mixes.
  StepOutput output = step(*session.value(), makeIds(48, 256));
  EXPECT_EQ(output.status.code(), StatusCode::NonFinite);
  EXPECT_TRUE(
      contains(output.status.message(), "'self_attn.residual' of layer 1"))
      << output.status.message();
}

// The bf16 cache stays close to the f32 one at every length up to the longest.
TEST(FieldCases, F050_CacheFormatsAtEveryLength) {
  Fixture fixture = loadFixture("T0");
  auto exact = CompiledModel::get(fixture, "--weight-format=f32");
  auto rounded =
      CompiledModel::get(fixture, "--weight-format=f32 --kv-format=bf16");
  std::vector<int32_t> ids =
      makeIds(2000, exact->artifact->manifest().model.vocabSize);
  auto evaluateLong = [&](const CompiledModel &model) {
    SessionOptions options;
    options.maxContext = 2048;
    options.maxSequences = 1;
    auto session = Session::create(model.artifact, model.weights, options);
    EXPECT_TRUE(session.ok()) << session.status().message();
    return evaluate(*session.value(), ids, 512);
  };
  Matrix expected = evaluateLong(*exact), found = evaluateLong(*rounded);
  for (int64_t length : {64, 512, 2000}) {
    Matrix a{1, expected.columns, {}}, b{1, expected.columns, {}};
    a.data.assign(expected.row(length - 1),
                  expected.row(length - 1) + expected.columns);
    b.data.assign(found.row(length - 1),
                  found.row(length - 1) + expected.columns);
    // The bound of bf16 in docs/NumericPolicy.md.
    EXPECT_LE(relativeError(b, a), 2e-2) << length << " tokens";
    EXPECT_GT(relativeError(b, a), 0) << "the format has no effect";
  }
}

// The same step gives the same bits, run after run and with every number of
// threads.
TEST(FieldCases, F051_RunsAreRepeatable) {
  auto model = CompiledModel::get(loadFixture("T1"), "--weight-format=bf16");
  std::vector<int32_t> ids = makeIds(100, 256);
  Matrix first = evaluate(*model->createSession(1, 1), ids, 16);
  for (int threads : {1, 2, 3, 4})
    for (int run = 0; run < 2; ++run)
      EXPECT_TRUE(
          sameBits(evaluate(*model->createSession(1, threads), ids, 16), first))
          << threads << " threads";
}

// The crossover between the attention forms is in the artifact, can be moved,
// and is not seen in the results.
TEST(FieldCases, F053_TheCrossoverIsVisible) {
  Fixture fixture = loadFixture("T0");
  auto model = CompiledModel::get(
      fixture, "--weight-format=f32 --prefill-min-tokens=20");
  const Artifact &artifact = *model->artifact;
  EXPECT_EQ(artifact.manifest().prefillMinTokens, 20);
  EXPECT_EQ(artifact.entryFor(19).form, "absorbed");
  EXPECT_EQ(artifact.entryFor(20).form, "expanded");
  std::vector<int32_t> ids = makeIds(60, 256);
  auto session = model->createSession();
  Matrix absorbed = evaluate(*session, ids, 19);
  EXPECT_EQ(session->lastStep().entry, "decode");
  Matrix expanded = evaluate(*session, ids, 20);
  EXPECT_EQ(session->lastStep().entry, "prefill");
  EXPECT_LE(relativeError(absorbed, expanded), 1e-5);
}
