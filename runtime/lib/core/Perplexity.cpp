//===- Perplexity.cpp - how well a model predicts a text ------------------===//
//
// Part of dsv2, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "dsv2rt/Perplexity.h"
#include "Support.h"

#include <algorithm>
#include <cmath>

using namespace dsv2rt;

namespace {

/// Mean and variance of numbers that come one by one.
class Moments {
public:
  // Welford's recurrence: sums of squares would cancel.
  void add(double x) {
    ++count;
    double delta = x - mean;
    mean += delta / double(count);
    squares += delta * (x - mean);
  }
  MeanEstimate estimate() const {
    MeanEstimate result{mean, 0};
    if (count > 1)
      result.error = std::sqrt(squares / double(count - 1) / double(count));
    return result;
  }

private:
  int64_t count = 0;
  double mean = 0, squares = 0;
};

/// One row of logits as a distribution.
struct Distribution {
  const float *logits;
  int64_t top = 0;
  /// log of the sum of exp(logits).
  double logSum = 0;

  Distribution(const float *logits, int64_t size) : logits(logits) {
    top = std::max_element(logits, logits + size) - logits;
    double sum = 0;
    for (int64_t i = 0; i < size; ++i)
      sum += std::exp(double(logits[i]) - logits[top]);
    logSum = logits[top] + std::log(sum);
  }
  double logProbability(int64_t token) const { return logits[token] - logSum; }
};

/// One call of computePerplexity().
class Scorer {
public:
  Scorer(Session &session, const std::vector<int32_t> &tokens,
         const PerplexityOptions &options)
      : session(session), tokens(tokens), options(options),
        model(session.artifact().manifest().model) {}

  Status check() const;
  Status scoreWindow(int64_t first);
  PerplexityResult result();

private:
  Status step(SequenceId sequence, int64_t begin, int64_t end, bool scored);
  Status scoreRows(const float *logits, int64_t rows, int64_t position);

  Session &session;
  const std::vector<int32_t> &tokens;
  const PerplexityOptions &options;
  const Manifest::Model &model;

  std::vector<int32_t> window;
  std::vector<float> base;
  std::vector<double> divergences;
  Moments loss, baseLoss, lossDifference, divergence, sameTop;
  int64_t windows = 0, scored = 0;
};

} // namespace

static MeanEstimate exponential(const MeanEstimate &loss) {
  double value = std::exp(loss.mean);
  return {value, value * loss.error};
}

MeanEstimate PerplexityResult::perplexity() const { return exponential(loss); }
MeanEstimate PerplexityResult::basePerplexity() const {
  return exponential(baseLoss);
}
MeanEstimate PerplexityResult::perplexityRatio() const {
  return exponential(lossDifference);
}

Status Scorer::check() const {
  int64_t limit = session.plan().maxContext;
  if (options.window < minPerplexityWindow || options.window > limit)
    return makeError(StatusCode::InvalidArgument, "window: expected from ",
                     minPerplexityWindow, " to ", limit, " tokens, found ",
                     options.window);
  if (options.chunk < 1)
    return makeError(StatusCode::InvalidArgument,
                     "chunk: expected at least 1 token, found ", options.chunk);
  if (int64_t(tokens.size()) < options.window)
    return makeError(StatusCode::InvalidArgument,
                     "text: expected at least one window of ", options.window,
                     " tokens, found ", tokens.size());
  return Status();
}

/// Evaluates [begin, end) of the window.
Status Scorer::step(SequenceId sequence, int64_t begin, int64_t end,
                    bool scored) {
  while (begin < end) {
    if (options.cancel && *options.cancel)
      return makeError(StatusCode::Internal,
                       "the scoring of the text was interrupted");
    StepInput input;
    input.sequence = sequence;
    input.tokens = window.data() + begin;
    input.count = std::min(options.chunk, end - begin);
    input.logits = scored ? LogitRows::All : LogitRows::None;
    StepOutput output;
    Status status = session.step(&input, 1, &output);
    if (status.ok())
      status = output.status;
    if (status.ok() && scored)
      status = scoreRows(output.logits, output.rows, begin);
    if (!status.ok())
      return status;
    begin += input.count;
  }
  return Status();
}

/// `position` of the window is that of the first row.
Status Scorer::scoreRows(const float *logits, int64_t rows, int64_t position) {
  if (options.onLogits) {
    Status status = options.onLogits(logits, rows);
    if (!status.ok())
      return status;
  }
  if (options.readBase) {
    base.resize(size_t(rows * model.vocabSize));
    Status status = options.readBase(base.data(), rows);
    if (!status.ok())
      return status;
  }
  for (int64_t row = 0; row < rows; ++row, ++scored) {
    int32_t next = window[size_t(position + row + 1)];
    Distribution found(logits + row * model.vocabSize, model.vocabSize);
    double lost = -found.logProbability(next);
    loss.add(lost);
    if (!options.readBase)
      continue;
    Distribution expected(base.data() + row * model.vocabSize, model.vocabSize);
    double sum = 0;
    for (int64_t i = 0; i < model.vocabSize; ++i) {
      double p = expected.logProbability(i);
      sum += std::exp(p) * (p - found.logProbability(i));
    }
    if (!std::isfinite(sum))
      return makeError(StatusCode::NonFinite,
                       "logits to compare with: a value of row ", scored,
                       " is not finite");
    double baseLost = -expected.logProbability(next);
    baseLoss.add(baseLost);
    lossDifference.add(lost - baseLost);
    divergence.add(sum);
    divergences.push_back(sum);
    sameTop.add(expected.top == found.top);
  }
  return Status();
}

Status Scorer::scoreWindow(int64_t first) {
  auto begin = tokens.begin() + first;
  window.assign(begin, begin + options.window);
  if (model.bosTokenId >= 0)
    window[0] = int32_t(model.bosTokenId);
  Expected<SequenceId> sequence = session.addSequence();
  if (!sequence.ok())
    return sequence.status();
  // The last token is predicted and predicts nothing.
  int64_t end = options.window - 1,
          half = end - scoredPositions(options.window);
  Status status = step(sequence.value(), 0, half, /*scored=*/false);
  if (status.ok())
    status = step(sequence.value(), half, end, /*scored=*/true);
  Status removed = session.removeSequence(sequence.value());
  ++windows;
  return status.ok() ? removed : status;
}

PerplexityResult Scorer::result() {
  PerplexityResult result;
  result.windows = windows;
  result.tokens = scored;
  result.loss = loss.estimate();
  result.hasBase = bool(options.readBase);
  if (!result.hasBase || divergences.empty())
    return result;
  result.baseLoss = baseLoss.estimate();
  result.lossDifference = lossDifference.estimate();
  result.divergence = divergence.estimate();
  result.sameTop = sameTop.estimate();
  result.largestDivergence =
      *std::max_element(divergences.begin(), divergences.end());
  auto rank = divergences.begin() + int64_t(divergences.size() - 1) * 99 / 100;
  std::nth_element(divergences.begin(), rank, divergences.end());
  result.divergence99 = *rank;
  return result;
}

Expected<PerplexityResult>
dsv2rt::computePerplexity(Session &session, const std::vector<int32_t> &tokens,
                          const PerplexityOptions &options) {
  return guarded([&]() -> Expected<PerplexityResult> {
    Scorer scorer(session, tokens, options);
    Status status = scorer.check();
    if (!status.ok())
      return status;
    int64_t windows = int64_t(tokens.size()) / options.window;
    for (int64_t i = 0; i < windows; ++i) {
      status = scorer.scoreWindow(i * options.window);
      if (!status.ok())
        return status;
      if (options.onWindow)
        options.onWindow(scorer.result());
    }
    return scorer.result();
  });
}
