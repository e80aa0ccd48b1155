//===- PerplexityMode.cpp - dsv2-run --perplexity -------------------------===//
//
// Part of dsv2, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "PerplexityMode.h"
#include "ToolSupport.h"

#include "dsv2rt/Npy.h"
#include "dsv2rt/Perplexity.h"

#include <nlohmann/json.hpp>

#include <algorithm>
#include <cstdio>
#include <unistd.h>

using namespace dsv2rt;

int64_t dsv2rt::perplexityWindow(const Manifest &manifest, int64_t context) {
  constexpr int64_t usual = 512;
  return context ? context : std::min(usual, manifest.limits.maxContext);
}

static void printText(const PerplexityResult &result, int64_t window) {
  MeanEstimate perplexity = result.perplexity();
  std::printf(
      "perplexity %.4f +/- %.4f: %lld tokens, the second halves of "
      "%lld windows of %lld\n",
      perplexity.mean, perplexity.error, static_cast<long long>(result.tokens),
      static_cast<long long>(result.windows), static_cast<long long>(window));
  if (!result.hasBase)
    return;
  MeanEstimate base = result.basePerplexity();
  MeanEstimate ratio = result.perplexityRatio();
  std::printf("compared with perplexity %.4f +/- %.4f: ratio %.4f +/- %.4f\n",
              base.mean, base.error, ratio.mean, ratio.error);
  std::printf("KL divergence %.4g +/- %.2g nats per token, 99 %% up to %.3g, "
              "at most %.3g\n",
              result.divergence.mean, result.divergence.error,
              result.divergence99, result.largestDivergence);
  std::printf("same most likely token %.2f %% +/- %.2f %%\n",
              100 * result.sameTop.mean, 100 * result.sameTop.error);
}

static nlohmann::json toJson(const MeanEstimate &estimate) {
  return {{"mean", estimate.mean}, {"error", estimate.error}};
}

static void printJson(const PerplexityResult &result, int64_t window) {
  nlohmann::json root = {{"perplexity", toJson(result.perplexity())},
                         {"loss", toJson(result.loss)},
                         {"tokens", result.tokens},
                         {"windows", result.windows},
                         {"window", window}};
  if (result.hasBase)
    root["base"] = {{"perplexity", toJson(result.basePerplexity())},
                    {"loss", toJson(result.baseLoss)},
                    {"perplexity_ratio", toJson(result.perplexityRatio())},
                    {"divergence", toJson(result.divergence)},
                    {"divergence_99", result.divergence99},
                    {"divergence_max", result.largestDivergence},
                    {"same_top", toJson(result.sameTop)}};
  std::printf("%s\n", root.dump(2).c_str());
}

Status dsv2rt::runPerplexity(Session &session,
                             const std::vector<int32_t> &tokens,
                             const PerplexityFlags &flags) {
  const Manifest &manifest = session.artifact().manifest();
  int64_t windows = int64_t(tokens.size()) / flags.window;
  PerplexityOptions options;
  options.window = flags.window;
  options.chunk = flags.chunk;
  options.cancel = &handleInterrupts();

  std::unique_ptr<NpyReader> base;
  if (!flags.compareLogits.empty()) {
    Expected<std::unique_ptr<NpyReader>> opened =
        NpyReader::open(flags.compareLogits);
    if (!opened.ok())
      return opened.status();
    base = std::move(opened.value());
    int64_t rows = windows * scoredPositions(flags.window);
    if (base->rows() != rows || base->columns() != manifest.model.vocabSize)
      return Status::error(
          StatusCode::InvalidArgument,
          "--compare-logits: expected the logits of the same text and "
          "windows, [" +
              std::to_string(rows) + ", " +
              std::to_string(manifest.model.vocabSize) + "], found [" +
              std::to_string(base->rows()) + ", " +
              std::to_string(base->columns()) + "]");
    options.readBase = [&](float *data, int64_t count) {
      return base->read(data, count);
    };
  }
  std::unique_ptr<NpyWriter> writer;
  int64_t written = 0;
  if (!flags.logits.empty() && !flags.silent) {
    Expected<std::unique_ptr<NpyWriter>> created =
        NpyWriter::create(flags.logits, manifest.model.vocabSize);
    if (!created.ok())
      return created.status();
    writer = std::move(created.value());
    options.onLogits = [&](const float *data, int64_t rows) {
      Status status = writer->write(written, data, rows);
      written += rows;
      return status;
    };
  }
  bool isTerminal = !flags.silent && isatty(STDERR_FILENO);
  if (isTerminal)
    options.onWindow = [&](const PerplexityResult &result) {
      std::fprintf(stderr, "\rwindow %lld of %lld, perplexity %.4f",
                   static_cast<long long>(result.windows),
                   static_cast<long long>(windows), result.perplexity().mean);
    };

  Expected<PerplexityResult> result =
      computePerplexity(session, tokens, options);
  if (isTerminal)
    std::fprintf(stderr, "\n");
  if (!result.ok())
    return result.status();
  if (writer) {
    Status status = writer->finish();
    if (!status.ok())
      return status;
  }
  if (flags.silent)
    return Status();
  if (flags.json)
    printJson(result.value(), flags.window);
  else
    printText(result.value(), flags.window);
  return Status();
}
