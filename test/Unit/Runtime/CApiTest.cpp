//===- CApiTest.cpp - the runtime as a C library --------------------------===//
//
// Part of dsv2, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "TestUtils.h"

#include "dsv2rt/dsv2rt.h"

#include <cstring>
#include <limits>
#include <thread>

using namespace dsv2test;

namespace {

/// The chain of objects that a program makes.
class CApiTest : public testing::Test {
protected:
  void SetUp() override {
    ASSERT_EQ(dsv2rt_artifact_load(fakeArtifactPath().c_str(), &artifact),
              DSV2RT_OK);
    dsv2rt_weights_options options = {};
    options.in_memory = 1;
    ASSERT_EQ(dsv2rt_weights_open(artifact, "random:1", &options, &weights),
              DSV2RT_OK);
    ASSERT_EQ(dsv2rt_session_create(artifact, weights, nullptr, &session),
              DSV2RT_OK);
  }
  void TearDown() override {
    // In the wrong order on purpose: each object keeps what it needs.
    dsv2rt_artifact_release(artifact);
    dsv2rt_weights_release(weights);
    dsv2rt_session_release(session);
  }

  dsv2rt_artifact *artifact = nullptr;
  dsv2rt_weights *weights = nullptr;
  dsv2rt_session *session = nullptr;
};

} // namespace

TEST_F(CApiTest, Generates) {
  dsv2rt_model_info info;
  ASSERT_EQ(dsv2rt_artifact_info(artifact, &info), DSV2RT_OK);
  EXPECT_STREQ(info.name, "fake");
  EXPECT_EQ(info.vocab_size, 64);
  EXPECT_EQ(info.max_context, 64);
  ASSERT_EQ(info.num_eos_token_ids, 1u);
  EXPECT_EQ(info.eos_token_ids[0], 63);

  int64_t sequence = 0;
  ASSERT_EQ(dsv2rt_sequence_add(session, &sequence), DSV2RT_OK);
  std::vector<int32_t> tokens = {1, 2, 3};
  dsv2rt_step_input input = {sequence, tokens.data(), 3, DSV2RT_LOGITS_ALL};
  dsv2rt_step_output output;
  dsv2rt_sampling sampling = dsv2rt_sampling_default();
  for (int i = 0; i < 4; ++i) {
    ASSERT_EQ(dsv2rt_session_step(session, &input, 1, &output), DSV2RT_OK);
    ASSERT_EQ(output.status, DSV2RT_OK);
    EXPECT_STREQ(output.message, "");
    EXPECT_EQ(output.rows, i ? 1 : 3);
    int32_t token = -1;
    ASSERT_EQ(dsv2rt_sample(output.logits + (output.rows - 1) * 64, 64,
                            tokens.data(), tokens.size(), &sampling,
                            tokens.size(), &token),
              DSV2RT_OK);
    tokens.push_back(token);
    input = {sequence, &tokens.back(), 1, DSV2RT_LOGITS_LAST};
  }
  EXPECT_EQ(dsv2rt_sequence_length(session, sequence), 6);
  int64_t other = 0;
  ASSERT_EQ(dsv2rt_sequence_fork(session, sequence, 4, &other), DSV2RT_OK);
  EXPECT_EQ(dsv2rt_sequence_length(session, other), 4);
  ASSERT_EQ(dsv2rt_sequence_truncate(session, other, 1), DSV2RT_OK);
  ASSERT_EQ(dsv2rt_sequence_remove(session, sequence), DSV2RT_OK);
  EXPECT_EQ(dsv2rt_sequence_length(session, sequence), -1);
}

TEST(CApi, NamesEveryStatus) {
  EXPECT_STREQ(dsv2rt_status_name(DSV2RT_OK), "ok");
  EXPECT_STREQ(dsv2rt_status_name(DSV2RT_RANK_FAILED), "rank failed");
  // The last one; what comes behind it has no name.
  EXPECT_STREQ(dsv2rt_status_name(dsv2rt_status(DSV2RT_RANK_FAILED + 1)),
               dsv2rt_status_name(dsv2rt_status(-1)));
}

TEST_F(CApiTest, EveryFailureHasACodeAndASentence) {
  auto expect = [](dsv2rt_status status, dsv2rt_status expected,
                   const char *part) {
    EXPECT_EQ(status, expected) << dsv2rt_status_name(status);
    expectHolds(dsv2rt_last_error(), part);
  };
  dsv2rt_artifact *noArtifact = nullptr;
  expect(dsv2rt_artifact_load("/nonexistent", &noArtifact), DSV2RT_NOT_FOUND,
         "/nonexistent");
  EXPECT_EQ(noArtifact, nullptr);
  expect(dsv2rt_artifact_load(nullptr, &noArtifact), DSV2RT_NOT_FOUND,
         "linked into");
  expect(dsv2rt_artifact_load("x", nullptr), DSV2RT_INVALID_ARGUMENT,
         "'artifact' is a null pointer");
  dsv2rt_weights *noWeights = nullptr;
  expect(dsv2rt_weights_open(artifact, "random:", nullptr, &noWeights),
         DSV2RT_INVALID_ARGUMENT, "random:SEED");
  expect(dsv2rt_weights_open(nullptr, "random:1", nullptr, &noWeights),
         DSV2RT_INVALID_ARGUMENT, "'artifact'");
  dsv2rt_session_options options = {};
  options.max_context = 65;
  dsv2rt_session *noSession = nullptr;
  expect(dsv2rt_session_create(artifact, weights, &options, &noSession),
         DSV2RT_INVALID_ARGUMENT, "found 65");
  int64_t sequence = 0;
  expect(dsv2rt_sequence_fork(session, 9, 0, &sequence),
         DSV2RT_INVALID_ARGUMENT, "sequence 9");
  expect(dsv2rt_sequence_remove(session, 9), DSV2RT_INVALID_ARGUMENT,
         "sequence 9");
  expect(dsv2rt_sequence_add(nullptr, &sequence), DSV2RT_INVALID_ARGUMENT,
         "'session'");
  ASSERT_EQ(dsv2rt_sequence_add(session, &sequence), DSV2RT_OK);
  std::vector<int32_t> tokens(65, 1);
  dsv2rt_step_input input = {sequence, tokens.data(), 65, DSV2RT_LOGITS_LAST};
  dsv2rt_step_output output;
  expect(dsv2rt_session_step(session, &input, 1, &output),
         DSV2RT_CONTEXT_LENGTH_EXCEEDED, "n_ctx is 64");
  float logits[2] = {0, std::numeric_limits<float>::quiet_NaN()};
  dsv2rt_sampling sampling = dsv2rt_sampling_default();
  int32_t token = 0;
  expect(dsv2rt_sample(logits, 2, nullptr, 0, &sampling, 0, &token),
         DSV2RT_NON_FINITE, "1");
  sampling.temperature = -1;
  expect(dsv2rt_sample(logits, 1, nullptr, 0, &sampling, 0, &token),
         DSV2RT_INVALID_ARGUMENT, "-1");
  std::thread([] { EXPECT_STREQ(dsv2rt_last_error(), ""); }).join();
  dsv2rt_artifact_release(nullptr);
  dsv2rt_weights_release(nullptr);
  dsv2rt_session_release(nullptr);
}

TEST_F(CApiTest, F045_OutputsCarryTheirOwnStatus) {
  TempDir folder;
  TensorMap tensors = fakeTensors();
  float nan = std::numeric_limits<float>::quiet_NaN();
  std::memcpy(tensors["model.embed_tokens.weight"].bytes.data(), &nan, 4);
  writeCheckpoint(folder.path(), tensors);
  dsv2rt_weights_options options = {};
  options.in_memory = 1;
  dsv2rt_weights *bad = nullptr;
  dsv2rt_session *other = nullptr;
  ASSERT_EQ(
      dsv2rt_weights_open(artifact, folder.path().c_str(), &options, &bad),
      DSV2RT_OK);
  ASSERT_EQ(dsv2rt_session_create(artifact, bad, nullptr, &other), DSV2RT_OK);
  int64_t ids[2];
  int32_t tokens[2] = {0, 1};
  dsv2rt_step_input inputs[2];
  dsv2rt_step_output outputs[2];
  for (int i : {0, 1}) {
    ASSERT_EQ(dsv2rt_sequence_add(other, &ids[i]), DSV2RT_OK);
    inputs[i] = {ids[i], &tokens[i], 1, DSV2RT_LOGITS_LAST};
  }
  ASSERT_EQ(dsv2rt_session_step(other, inputs, 2, outputs), DSV2RT_OK);
  EXPECT_EQ(outputs[0].status, DSV2RT_NON_FINITE);
  expectHolds(outputs[0].message, "layer 0");
  EXPECT_EQ(outputs[1].status, DSV2RT_OK);
  EXPECT_EQ(outputs[1].rows, 1);
  dsv2rt_session_release(other);
  dsv2rt_weights_release(bad);
}
