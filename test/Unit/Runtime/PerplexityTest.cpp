//===- PerplexityTest.cpp - how well a model predicts a text --------------===//
//
// Part of dsv2, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "dsv2rt/Perplexity.h"
#include "TestUtils.h"

#include <cmath>
#include <limits>

using namespace dsv2rt;
using namespace dsv2test;

namespace {

constexpr int64_t vocabulary = 64;
constexpr int32_t bos = 1;

std::vector<int32_t> textTokens(int64_t count) {
  std::vector<int32_t> tokens(count);
  for (int64_t i = 0; i < count; ++i)
    tokens[i] = int32_t((7 * i + i * i) % 60);
  return tokens;
}

/// log of the probability of `token`, straight from the definition.
double logProbability(const float *logits, int64_t token) {
  double sum = 0;
  for (int64_t i = 0; i < vocabulary; ++i)
    sum += std::exp(double(logits[i]));
  return logits[token] - std::log(sum);
}

/// Gives the rows of `logits`, `vocabulary` of each.
std::function<Status(float *, int64_t)> readFrom(std::vector<float> logits) {
  return [logits = std::move(logits), next = size_t(0)](float *data,
                                                        int64_t rows) mutable {
    std::copy_n(logits.begin() + next, rows * vocabulary, data);
    next += rows * vocabulary;
    return Status();
  };
}

} // namespace

TEST(PerplexityTest, ScoresTheSecondHalfOfEachWindow) {
  auto session = fakeSession();
  for (int64_t window : {4, 7, 8, 16}) {
    // The last tokens fill no window.
    std::vector<int32_t> tokens = textTokens(3 * window + window - 1);
    std::vector<double> losses;
    std::vector<float> scored;
    for (int64_t first = 0; first < 3 * window; first += window) {
      std::vector<int32_t> piece(tokens.begin() + first,
                                 tokens.begin() + first + window);
      piece[0] = bos;
      std::vector<float> logits = logitsOf(*session, piece, window);
      for (int64_t i = window / 2; i + 1 < window; ++i) {
        const float *row = logits.data() + i * vocabulary;
        losses.push_back(-logProbability(row, piece[i + 1]));
        scored.insert(scored.end(), row, row + vocabulary);
      }
    }
    double sum = 0, squares = 0, count = double(losses.size());
    for (double loss : losses)
      sum += loss;
    for (double loss : losses)
      squares += (loss - sum / count) * (loss - sum / count);

    for (int64_t chunk : {int64_t(1), int64_t(3), window}) {
      PerplexityOptions options;
      options.window = window;
      options.chunk = chunk;
      std::vector<float> seen;
      options.onLogits = [&](const float *logits, int64_t rows) {
        seen.insert(seen.end(), logits, logits + rows * vocabulary);
        return Status();
      };
      std::vector<int64_t> progress;
      options.onWindow = [&](const PerplexityResult &result) {
        progress.push_back(result.tokens);
      };
      PerplexityResult result =
          take(computePerplexity(*session, tokens, options));
      EXPECT_EQ(result.windows, 3);
      EXPECT_EQ(result.tokens, int64_t(losses.size()));
      EXPECT_EQ(result.tokens, 3 * scoredPositions(window));
      EXPECT_EQ(progress.size(), 3u);
      EXPECT_EQ(progress.front(), scoredPositions(window));
      EXPECT_EQ(seen, scored);
      EXPECT_NEAR(result.loss.mean, sum / count, 1e-12);
      EXPECT_NEAR(result.loss.error, std::sqrt(squares / (count - 1) / count),
                  1e-12);
      EXPECT_NEAR(result.perplexity().mean, std::exp(sum / count), 1e-9);
      EXPECT_NEAR(result.perplexity().error,
                  std::exp(sum / count) * result.loss.error, 1e-9);
      EXPECT_FALSE(result.hasBase);
    }
  }
  // Sequences were given back.
  EXPECT_EQ(session->availablePages(), session->pages());
}

TEST(PerplexityTest, ComparesWithOtherLogits) {
  auto session = fakeSession();
  std::vector<int32_t> tokens = textTokens(64);
  PerplexityOptions options;
  options.window = 8;
  std::vector<float> own;
  options.onLogits = [&](const float *logits, int64_t rows) {
    own.insert(own.end(), logits, logits + rows * vocabulary);
    return Status();
  };
  take(computePerplexity(*session, tokens, options));
  options.onLogits = nullptr;
  int64_t rows = own.size() / vocabulary;
  ASSERT_EQ(rows, 24);

  // A constant on a row changes no probability.
  std::vector<float> shifted = own;
  for (int64_t i = 0; i < vocabulary; ++i)
    shifted[i] += 2;
  options.readBase = readFrom(shifted);
  PerplexityResult result = take(computePerplexity(*session, tokens, options));
  EXPECT_TRUE(result.hasBase);
  EXPECT_NEAR(result.divergence.mean, 0, 1e-7);
  EXPECT_NEAR(result.baseLoss.mean, result.loss.mean, 1e-7);
  EXPECT_NEAR(result.perplexityRatio().mean, 1, 1e-7);
  EXPECT_NEAR(result.perplexityRatio().error, 0, 1e-7);
  EXPECT_EQ(result.sameTop.mean, 1);
  EXPECT_EQ(result.sameTop.error, 0);

  // From a uniform distribution, whose most likely token is the first.
  options.readBase = readFrom(std::vector<float>(own.size(), 3.0f));
  result = take(computePerplexity(*session, tokens, options));
  EXPECT_NEAR(result.basePerplexity().mean, vocabulary, 1e-9);
  EXPECT_NEAR(result.basePerplexity().error, 0, 1e-9);
  // The base loses the same everywhere, so the difference varies as the loss.
  EXPECT_NEAR(result.perplexityRatio().mean,
              result.perplexity().mean / vocabulary, 1e-9);
  EXPECT_NEAR(result.lossDifference.error, result.loss.error, 1e-12);
  double sum = 0, largest = 0;
  int64_t sameTop = 0;
  for (int64_t row = 0; row < rows; ++row) {
    const float *logits = own.data() + row * vocabulary;
    double divergence = -std::log(double(vocabulary));
    for (int64_t i = 0; i < vocabulary; ++i)
      divergence -= logProbability(logits, i) / vocabulary;
    sum += divergence;
    largest = std::max(largest, divergence);
    sameTop += std::max_element(logits, logits + vocabulary) == logits;
  }
  EXPECT_NEAR(result.divergence.mean, sum / rows, 1e-9);
  EXPECT_NEAR(result.largestDivergence, largest, 1e-9);
  EXPECT_LE(result.divergence99, result.largestDivergence);
  EXPECT_GE(result.divergence99, result.divergence.mean);
  EXPECT_NEAR(result.sameTop.mean, double(sameTop) / rows, 1e-12);
  EXPECT_LT(result.sameTop.mean, 1);
}

TEST(PerplexityTest, Errors) {
  auto session = fakeSession();
  std::vector<int32_t> tokens = textTokens(16);
  auto fails = [&](PerplexityOptions options, StatusCode code,
                   const std::vector<std::string> &parts) {
    auto result = computePerplexity(*session, tokens, options);
    ASSERT_FALSE(result.ok());
    expectFailure(result.status(), code, parts);
    EXPECT_EQ(session->availablePages(), session->pages());
  };
  PerplexityOptions options;
  for (int64_t window : {-1, 0, 3, 65}) {
    options.window = window;
    fails(options, StatusCode::InvalidArgument,
          {"window: expected from 4 to 64", std::to_string(window)});
  }
  options.window = 17;
  fails(options, StatusCode::InvalidArgument,
        {"one window of 17 tokens, found 16"});
  options.window = 8;
  options.chunk = 0;
  fails(options, StatusCode::InvalidArgument, {"chunk"});
  options.chunk = 8;
  std::atomic<bool> cancel{true};
  options.cancel = &cancel;
  fails(options, StatusCode::Internal, {"interrupted"});
  options.cancel = nullptr;
  options.onLogits = [](const float *, int64_t) {
    return Status::error(StatusCode::IoError, "disk full");
  };
  fails(options, StatusCode::IoError, {"disk full"});
  options.onLogits = nullptr;
  for (float bad : {std::numeric_limits<float>::quiet_NaN(),
                    std::numeric_limits<float>::infinity(),
                    -std::numeric_limits<float>::infinity()}) {
    std::vector<float> base(6 * vocabulary, 0.0f);
    base[4 * vocabulary + 5] = bad;
    options.readBase = readFrom(base);
    fails(options, StatusCode::NonFinite, {"row 4"});
  }
  options.readBase = nullptr;
  tokens[6] = 64;
  fails(options, StatusCode::InvalidArgument, {"64"});
}
