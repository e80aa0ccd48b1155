//===- GenerateTest.cpp - the generation loop -----------------------------===//
//
// Part of dsv2, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "TestUtils.h"

#include "dsv2rt/Generate.h"

#include <algorithm>
#include <cstring>
#include <limits>
#include <numeric>

using namespace dsv2rt;
using namespace dsv2test;

namespace {

GenerateRequest requestOf(std::vector<int32_t> prompt, int64_t maxTokens) {
  GenerateRequest request;
  request.prompt = std::move(prompt);
  request.maxTokens = maxTokens;
  return request;
}

std::vector<GenerateResult>
generateAll(const std::vector<GenerateRequest> &requests,
            GenerateOptions options = {}, const SessionOptions &session = {},
            const std::string &source = "random:1") {
  auto s = fakeSession(session, source);
  std::vector<GenerateResult> results;
  Status status = generate(*s, requests, options, results);
  EXPECT_TRUE(status.ok()) << status.message();
  EXPECT_EQ(s->availablePages(), s->pages()) << "every sequence is removed";
  return results;
}

std::vector<int32_t> counting(int64_t count) {
  std::vector<int32_t> tokens(count);
  for (int64_t i = 0; i < count; ++i)
    tokens[i] = int32_t(i % 60);
  return tokens;
}

} // namespace

TEST(GenerateTest, GreedyIsArgmax) {
  std::vector<int32_t> tokens = {1, 2, 3};
  auto session = fakeSession();
  std::vector<int32_t> expected;
  for (int i = 0; i < 6; ++i) {
    std::vector<float> logits = logitsOf(*session, tokens, 3);
    auto last = logits.end() - 64;
    expected.push_back(int32_t(std::max_element(last, logits.end()) - last));
    tokens.push_back(expected.back());
  }
  for (int64_t chunk : {1, 2, 512}) {
    GenerateOptions options;
    options.chunk = chunk;
    auto results = generateAll({requestOf({1, 2, 3}, 6)}, options);
    EXPECT_EQ(results[0].tokens, expected);
    EXPECT_EQ(results[0].reason, FinishReason::Length);
    EXPECT_EQ(results[0].promptTokens, 3);
    EXPECT_EQ(results[0].evaluatedTokens, 8);
  }
}

TEST(GenerateTest, StopsAtStopIds) {
  auto free = generateAll({requestOf({1, 2, 3}, 6)})[0].tokens;
  GenerateRequest request = requestOf({1, 2, 3}, 6);
  request.stopIds = {free[2]};
  size_t first = std::find(free.begin(), free.end(), free[2]) - free.begin();
  auto result = generateAll({request})[0];
  EXPECT_EQ(result.reason, FinishReason::Stop);
  EXPECT_EQ(result.tokens,
            std::vector<int32_t>(free.begin(), free.begin() + first));
}

TEST(GenerateTest, F070_SeedsReproduceAloneAndInABatch) {
  std::vector<GenerateRequest> requests;
  for (uint64_t seed = 0; seed < 9; ++seed) {
    GenerateRequest request = requestOf(counting(1 + seed * 3), 10);
    request.sampling.temperature = 1.5;
    request.sampling.seed = seed;
    requests.push_back(request);
  }
  auto batch = generateAll(requests);
  std::vector<GenerateRequest> reversed(requests.rbegin(), requests.rend());
  GenerateOptions small;
  small.chunk = 3;
  auto other = generateAll(reversed, small);
  for (size_t i = 0; i < requests.size(); ++i) {
    EXPECT_EQ(batch[i].tokens, other[requests.size() - 1 - i].tokens);
    EXPECT_EQ(batch[i].tokens, generateAll({requests[i]})[0].tokens);
  }
}

TEST(GenerateTest, VocabularyPaddingIsNeverChosen) {
  GenerateRequest request = requestOf({1}, 40);
  request.sampling.temperature = 100;
  request.vocabularySize = 10;
  auto result = generateAll({request})[0];
  EXPECT_EQ(result.tokens.size(), 40u);
  for (int32_t token : result.tokens)
    EXPECT_LT(token, 10);
}

TEST(GenerateTest, F066_EmptyPrompt) {
  auto session = fakeSession();
  std::vector<GenerateResult> results;
  expectFailure(
      generate(*session, {requestOf({1}, 1), requestOf({}, 1)}, {}, results),
      StatusCode::InvalidArgument, {"prompt 2", "empty prompt"});
}

TEST(GenerateTest, F072_StopsWithLengthAtTheLimit) {
  std::vector<GenerateRequest> requests(3, requestOf(counting(60), 100));
  auto results = generateAll(requests);
  for (const GenerateResult &result : results) {
    EXPECT_EQ(result.reason, FinishReason::Length);
    EXPECT_TRUE(result.status.ok());
    EXPECT_EQ(result.tokens.size(), 4u);
  }
}

TEST(GenerateTest, F073_PromptsTooLong) {
  auto session = fakeSession();
  std::vector<GenerateResult> results;
  for (int64_t size : {64, 65, 768})
    expectFailure(
        generate(*session, {requestOf(counting(size), 5)}, {}, results),
        StatusCode::ContextLengthExceeded,
        {"context_length_exceeded", "n_prompt_tokens " + std::to_string(size),
         "n_ctx 64"});
  EXPECT_EQ(session->lastStep().tokens, 0) << "nothing was computed";
  auto last = generateAll({requestOf(counting(63), 5)});
  EXPECT_EQ(last[0].tokens.size(), 1u);
  EXPECT_EQ(last[0].reason, FinishReason::Length);
  // A prompt that is only evaluated may fill the context.
  EXPECT_EQ(generateAll({requestOf(counting(64), 0)})[0].evaluatedTokens, 64);
}

TEST(GenerateTest, BadParametersAreNamed) {
  auto session = fakeSession();
  std::vector<GenerateResult> results;
  GenerateRequest request = requestOf({1}, 1);
  request.sampling.topP = 1.0001;
  expectFailure(generate(*session, {request}, {}, results),
                StatusCode::InvalidArgument, {"1.0001"});
  expectFailure(generate(*session, {requestOf({64}, 1)}, {}, results),
                StatusCode::InvalidArgument, {"0 to 63", "64"});
  expectFailure(generate(*session, {requestOf({1}, -1)}, {}, results),
                StatusCode::InvalidArgument, {"-1"});
  GenerateOptions options;
  options.chunk = 0;
  expectFailure(generate(*session, {requestOf({1}, 1)}, options, results),
                StatusCode::InvalidArgument, {"chunk"});
}

TEST(GenerateTest, MoreRequestsThanFit) {
  // Eleven requests, four at a time, and a cache for fewer still.
  SessionOptions options;
  options.cachePositions = 48;
  std::vector<GenerateRequest> requests;
  for (int64_t i = 0; i < 11; ++i)
    requests.push_back(requestOf(counting(1 + i * 3), 8));
  auto results = generateAll(requests, {}, options);
  for (size_t i = 0; i < requests.size(); ++i) {
    ASSERT_TRUE(results[i].status.ok()) << results[i].status.message();
    EXPECT_EQ(results[i].tokens, generateAll({requests[i]})[0].tokens);
  }
}

TEST(GenerateTest, F045_OthersFinishNormally) {
  TempDir folder;
  TensorMap tensors = fakeTensors();
  float nan = std::numeric_limits<float>::quiet_NaN();
  std::memcpy(tensors["model.embed_tokens.weight"].bytes.data() + 62 * 32, &nan,
              4);
  writeCheckpoint(folder.path(), tensors);
  auto results = generateAll({requestOf({1, 62}, 5), requestOf({1, 2}, 5)}, {},
                             {}, folder.path());
  EXPECT_EQ(results[0].reason, FinishReason::Error);
  expectFailure(results[0].status, StatusCode::NonFinite, {"layer 0"});
  EXPECT_TRUE(results[0].tokens.empty());
  EXPECT_TRUE(results[1].status.ok());
  EXPECT_EQ(
      results[1].tokens,
      generateAll({requestOf({1, 2}, 5)}, {}, {}, folder.path())[0].tokens);
}

TEST(GenerateTest, CallbacksSeeEverything) {
  std::vector<int32_t> seen;
  std::vector<float> rows;
  GenerateOptions options;
  options.chunk = 4;
  options.onToken = [&](size_t request, int32_t token) {
    EXPECT_EQ(request, 0u);
    seen.push_back(token);
    return seen.size() < 3;
  };
  options.onLogits = [&](size_t, const float *logits, int64_t count) {
    rows.insert(rows.end(), logits, logits + count * 64);
    return Status();
  };
  auto result = generateAll({requestOf(counting(10), 8)}, options)[0];
  EXPECT_EQ(result.tokens, seen);
  EXPECT_EQ(result.tokens.size(), 3u);
  EXPECT_EQ(result.reason, FinishReason::Stop);
  auto session = fakeSession();
  auto all = counting(10);
  all.insert(all.end(), seen.begin(), seen.end() - 1);
  EXPECT_EQ(rows, logitsOf(*session, all, 12));
}

TEST(GenerateTest, CancelEndsAll) {
  std::atomic<bool> cancel{false};
  GenerateOptions options;
  options.cancel = &cancel;
  options.onToken = [&](size_t, int32_t) { return cancel = true; };
  std::vector<GenerateRequest> requests(6, requestOf({1, 2}, 20));
  auto results = generateAll(requests, options);
  for (const GenerateResult &result : results) {
    EXPECT_EQ(result.reason, FinishReason::Error);
    expectFailure(result.status, StatusCode::Internal, {"interrupted"});
  }
  EXPECT_EQ(results[0].tokens.size(), 1u);
}
