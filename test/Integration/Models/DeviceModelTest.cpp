//===- DeviceModelTest.cpp - whole models on the emulator -----------------===//
//
// Part of dsv2, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// What `--target=cuda` compiles, run kernel by kernel on the emulator, against
// the float32 oracle's goldens and against the CPU target.
//
//===----------------------------------------------------------------------===//

#include "CompiledModel.h"
#include "dsv2rt/Generate.h"
#include "gtest/gtest.h"

#include <cstdlib>
#include <cstring>
#include <dlfcn.h>
#include <tuple>

using namespace dsv2rt;
using namespace dsv2test;

namespace {

/// What bf16 weights and activations may cost, as for the CPU target.
constexpr double kTolerance = 2e-2;
/// What bf16 activations may differ from the CPU's, which are in blocks of
/// bytes.
constexpr double kBlockTolerance = 4e-2;
/// The emulator runs some tens of tokens a second.
constexpr size_t kMaxPrompt = 64;
constexpr size_t kGreedy = 12;

/// Sets options of the emulator, in the library that sessions open.
void setEmulatorOptions(const char *options) {
  void *library = dlopen(DSV2_EMULATOR_LIBRARY, RTLD_NOW | RTLD_LOCAL);
  ASSERT_NE(library, nullptr) << dlerror();
  auto set = reinterpret_cast<int (*)(const char *)>(
      dlsym(library, "dsv2_emulator_set_options"));
  ASSERT_NE(set, nullptr);
  EXPECT_EQ(set(options), 0);
}

class DeviceModel
    : public testing::TestWithParam<std::tuple<const char *, const char *>> {
protected:
  void SetUp() override {
    auto [name, chip] = GetParam();
    fixture = loadFixture(name);
    setenv("DSV2_EMULATOR_LIBRARY", DSV2_EMULATOR_LIBRARY, /*overwrite=*/1);
    model = CompiledModel::get(
        fixture,
        std::string("--target=cuda --gpu-code=bitcode --gpu-chip=") + chip);
  }

  /// Prompts at once and in chunks.
  void expectLogitsOfTheOracle() {
    auto session = model->createEmulatedSession();
    for (const GoldenPrompt &prompt : fixture.prompts) {
      if (prompt.ids.size() > kMaxPrompt)
        continue;
      for (int64_t chunk : {0, 7})
        EXPECT_LE(relativeError(evaluate(*session, prompt.ids, chunk), prompt),
                  kTolerance)
            << "prompt of " << prompt.ids.size() << " tokens, chunk " << chunk;
    }
  }

  Fixture fixture;
  std::shared_ptr<const CompiledModel> model;
};

TEST_P(DeviceModel, LogitsOfTheOracle) { expectLogitsOfTheOracle(); }

TEST_P(DeviceModel, GreedyTokensOfTheCPU) {
  auto session = model->createEmulatedSession();
  auto host = CompiledModel::get(
      fixture, "--weight-format=bf16 --attention-form=absorbed");
  auto hostSession = host->createSession();
  for (const GoldenPrompt &prompt : fixture.prompts)
    if (prompt.ids.size() <= 7)
      EXPECT_EQ(decodeGreedily(*session, prompt.ids, 0, kGreedy),
                decodeGreedily(*hostSession, prompt.ids, 0, kGreedy))
          << "prompt of " << prompt.ids.size() << " tokens";
}

// What the device chooses, from what it has computed, is what the host would.
class SampledDeviceModel : public DeviceModel {};

TEST_P(SampledDeviceModel, TokensOfTheSampler) {
  std::vector<GenerateRequest> requests(1);
  GenerateRequest &request = requests[0];
  request.prompt = fixture.prompts.front().ids;
  request.prompt.resize(std::min<size_t>(request.prompt.size(), 5));
  request.maxTokens = 8;
  auto generated = [&](bool hostSampling) {
    auto session = model->createEmulatedSession(hostSampling);
    EXPECT_NE(session->decodesAlone(), hostSampling);
    std::vector<GenerateResult> results;
    Status status = generate(*session, requests, {}, results);
    EXPECT_TRUE(status.ok()) << status.message();
    return results.at(0).tokens;
  };
  for (double temperature : {0.0, 1.5}) {
    request.sampling.temperature = temperature;
    request.sampling.topK = 50;
    request.sampling.topP = 0.95;
    request.sampling.repetitionPenalty = 1.1;
    request.sampling.seed = 17;
    EXPECT_EQ(generated(false), generated(true))
        << "temperature " << temperature;
  }
}

/// Models whose queries are long enough for expanded attention.
class ExpandedDeviceModel : public DeviceModel {
protected:
  void SetUp() override {
    DeviceModel::SetUp();
    model = CompiledModel::get(
        fixture, std::string("--target=cuda --gpu-code=bitcode --gpu-chip=") +
                     std::get<1>(GetParam()) + " --prefill-min-tokens=2");
  }
};

// Prompts of two tokens or more in expanded form, their later chunks too.
TEST_P(ExpandedDeviceModel, Prompts) {
  EXPECT_EQ(model->artifact->entryFor(2).form, "expanded");
  EXPECT_TRUE(model->artifact->manifest().prefillKeyRows);
  expectLogitsOfTheOracle();
}

/// What does not depend on the chip.
class RaggedDeviceModel : public ExpandedDeviceModel {};

// Sequences of which one is at its first chunk and others are behind a few
// positions, a page or more: their rows of keys are of different numbers and
// begin anywhere. They get what each gets alone and at once.
TEST_P(RaggedDeviceModel, SequencesOfDifferentLengths) {
  auto session = model->createEmulatedSession();
  struct {
    int64_t before, tokens;
  } sizes[] = {{3, 5}, {66, 9}, {0, 4}, {64, 2}};
  std::vector<std::vector<int32_t>> ids;
  for (auto [before, tokens] : sizes) {
    auto &own = ids.emplace_back();
    for (int64_t i = 0; i < before + tokens; ++i)
      own.push_back(int32_t((i * 37 + 11 * int64_t(ids.size())) % 256));
  }
  std::vector<StepInput> inputs;
  for (size_t s = 0; s < ids.size(); ++s) {
    auto added = session->addSequence();
    ASSERT_TRUE(added.ok());
    StepInput input{added.value(), ids[s].data(), sizes[s].before,
                    LogitRows::None};
    StepOutput output;
    if (input.count)
      ASSERT_TRUE(session->step(&input, 1, &output).ok());
    inputs.push_back({input.sequence, ids[s].data() + sizes[s].before,
                      sizes[s].tokens, LogitRows::All});
  }
  std::vector<StepOutput> outputs(inputs.size());
  Status status = session->step(inputs.data(), inputs.size(), outputs.data());
  ASSERT_TRUE(status.ok()) << status.message();
  EXPECT_EQ(session->lastStep().entry, "prefill");
  // Rows are numbered as those of the whole; steps to come take the memory.
  std::vector<GoldenPrompt> expected(ids.size());
  int64_t columns = model->artifact->manifest().model.vocabSize;
  for (size_t s = 0; s < ids.size(); ++s) {
    auto [before, tokens] = sizes[s];
    Matrix &logits = expected[s].logits;
    logits.rows = tokens;
    logits.columns = columns;
    logits.data.assign(outputs[s].logits, outputs[s].logits + tokens * columns);
    for (int64_t i = before; i < before + tokens; ++i)
      expected[s].rows.push_back(i);
  }
  for (size_t s = 0; s < ids.size(); ++s) {
    double error = relativeError(evaluate(*session, ids[s], 0), expected[s]);
    RecordProperty("error_" + std::to_string(s), std::to_string(error));
    // Mostly the same bits; kernels for few rows sum in another order. 4.4e-4
    // was measured, and 0.4 or more with keys of another sequence.
    EXPECT_LE(error, 1e-2) << "sequence " << s << " behind " << sizes[s].before;
  }
}

//===----------------------------------------------------------------------===//
// Weights in blocks
//===----------------------------------------------------------------------===//

/// A fixture, a chip and a format of weights.
using BlockCase = std::tuple<const char *, const char *, const char *>;

class BlockDeviceModel : public testing::TestWithParam<BlockCase> {
protected:
  void SetUp() override {
    auto [name, chip, format] = GetParam();
    fixture = loadFixture(name);
    setenv("DSV2_EMULATOR_LIBRARY", DSV2_EMULATOR_LIBRARY, /*overwrite=*/1);
    std::string weights = std::string(" --weight-format=") + format;
    model = CompiledModel::get(
        fixture, std::string("--target=cuda --gpu-code=bitcode --gpu-chip=") +
                     chip + weights);
    host = CompiledModel::get(fixture, "--attention-form=absorbed" + weights);
  }

  Fixture fixture;
  /// The same weights on both sides: the CPU's products round the rows that
  /// meet them to blocks of bytes, the GPU's to bf16.
  std::shared_ptr<const CompiledModel> model, host;
};

TEST_P(BlockDeviceModel, LogitsOfTheCPU) {
  auto session = model->createEmulatedSession();
  auto hostSession = host->createSession();
  for (GoldenPrompt prompt : fixture.prompts) {
    if (prompt.ids.size() > kMaxPrompt)
      continue;
    prompt.logits = evaluate(*hostSession, prompt.ids, 0);
    prompt.rows.clear();
    for (size_t row = 0; row < prompt.ids.size(); ++row)
      prompt.rows.push_back(row);
    // Kernels for many rows and for few, and steps of one token.
    for (int64_t chunk : {0, 7, 1}) {
      if (chunk == 1 && prompt.ids.size() > 7)
        continue;
      double error =
          relativeError(evaluate(*session, prompt.ids, chunk), prompt);
      EXPECT_LE(error, kBlockTolerance)
          << "prompt of " << prompt.ids.size() << " tokens, chunk " << chunk;
    }
  }
}

// Of short prompts, so that less is lost than GoldenTest.cpp allows: 1.2e-5
// with q8 and 4.8e-4 with q4 were measured.
TEST_P(BlockDeviceModel, SaysAboutTheSame) {
  auto exact = CompiledModel::get(fixture, "--weight-format=f32");
  auto session = model->createEmulatedSession();
  auto exactSession = exact->createSession();
  Agreement found;
  for (const GoldenPrompt &prompt : fixture.prompts)
    if (prompt.ids.size() <= kMaxPrompt)
      found.add(evaluate(*exactSession, prompt.ids, 0),
                evaluate(*session, prompt.ids, 0));
  RecordProperty("divergence", std::to_string(found.divergence()));
  bool isQ8 = std::string(std::get<2>(GetParam())) == "q8";
  EXPECT_LT(found.divergence(), isQ8 ? 1e-4 : 1.5e-3);
  EXPECT_GT(found.sameTop(), isQ8 ? 0.97 : 0.92);
}

// CPUs have no weights in fp8: what is compared is the model in f32.
TEST_P(DeviceModel, FloatsOfEightBits) {
  if (fixture.name != "tiny")
    GTEST_SKIP() << "random weights have no structure that would show anything";
  auto floats = CompiledModel::get(
      fixture, std::string("--target=cuda --gpu-code=bitcode "
                           "--weight-format=fp8 --gpu-chip=") +
                   std::get<1>(GetParam()));
  auto exact = CompiledModel::get(fixture, "--weight-format=f32");
  auto session = floats->createEmulatedSession();
  auto exactSession = exact->createSession();
  Agreement found;
  // Kernels for many rows and for few.
  for (const GoldenPrompt &prompt : fixture.prompts)
    if (prompt.ids.size() <= kMaxPrompt)
      for (int64_t chunk : {0, 7})
        found.add(evaluate(*exactSession, prompt.ids, 0),
                  evaluate(*session, prompt.ids, chunk));
  RecordProperty("divergence", std::to_string(found.divergence()));
  // 2.3e-4 was measured.
  EXPECT_LT(found.divergence(), 6e-4);
  EXPECT_GT(found.sameTop(), 0.93);
}

// The same step gives the same bits on the same device, run after run and in
// whatever order its blocks, warps and copies go.
TEST_P(DeviceModel, F051_RunsAreRepeatable) {
  // All experts, more tokens than kernels for few rows take, then a few.
  std::vector<int32_t> ids;
  for (int32_t i = 0; i < 40; ++i)
    ids.push_back((i * 37 + 11) % 256);
  Matrix first;
  for (const char *options : {"seed=1", "seed=1", "seed=2", "seed=3"}) {
    setEmulatorOptions(options);
    Matrix found = evaluate(*model->createEmulatedSession(), ids, /*chunk=*/17);
    if (first.data.empty())
      first = found;
    ASSERT_EQ(found.data.size(), first.data.size());
    EXPECT_EQ(std::memcmp(found.data.data(), first.data.data(),
                          first.data.size() * sizeof(float)),
              0)
        << options;
  }
  setEmulatorOptions("seed=1");
}

std::string
nameCase(const testing::TestParamInfo<std::tuple<const char *, const char *>>
             &info) {
  return std::string(std::get<0>(info.param)) + "_" + std::get<1>(info.param);
}

INSTANTIATE_TEST_SUITE_P(Fixtures, DeviceModel,
                         testing::Combine(testing::Values("T0", "T1", "tiny"),
                                          testing::Values("sm_90a", "sm_80")),
                         nameCase);

INSTANTIATE_TEST_SUITE_P(Fixtures, SampledDeviceModel,
                         testing::Values(std::tuple("T0", "sm_80"),
                                         std::tuple("tiny", "sm_90a")),
                         nameCase);

INSTANTIATE_TEST_SUITE_P(Fixtures, ExpandedDeviceModel,
                         testing::Combine(testing::Values("tiny"),
                                          testing::Values("sm_90a", "sm_80")),
                         nameCase);

INSTANTIATE_TEST_SUITE_P(Fixtures, RaggedDeviceModel,
                         testing::Values(std::tuple("tiny", "sm_90a")),
                         nameCase);

// Only the trained model: with random weights a token's experts are nearly as
// good as others, which rounding rows chooses then, and logits are those of
// another model. DeviceReferenceTest compares those models op by op.
INSTANTIATE_TEST_SUITE_P(Fixtures, BlockDeviceModel,
                         testing::Combine(testing::Values("tiny"),
                                          testing::Values("sm_90a", "sm_80"),
                                          testing::Values("q8", "q4")),
                         [](const testing::TestParamInfo<BlockCase> &info) {
                           return std::string(std::get<0>(info.param)) + "_" +
                                  std::get<1>(info.param) + "_" +
                                  std::get<2>(info.param);
                         });

// What the base fixtures leave out: one head, an odd number of them, weights
// of experts that are normalised, queries without a latent.
INSTANTIATE_TEST_SUITE_P(
    Variations, DeviceModel,
    testing::Combine(testing::Values("F030_heads_1", "F030_heads_5",
                                     "norm_topk_prob_scaled",
                                     "q_lora_rank_null"),
                     testing::Values("sm_90a")),
    nameCase);

} // namespace
