//===- Generate.h - the generation loop -------------------------*- C++ -*-===//
//
// Part of dsv2, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef DSV2RT_GENERATE_H
#define DSV2RT_GENERATE_H

#include "dsv2rt/Session.h"
#include "dsv2rt/Status.h"
#include "dsv2rt/sampling.h"

#include <atomic>
#include <cstdint>
#include <functional>
#include <string>
#include <vector>

namespace dsv2rt {

/// Why a generation ended.
enum class FinishReason {
  /// An end-of-sequence token was chosen.
  Stop,
  /// maxTokens or the context limit was reached.
  Length,
  /// The request failed, see its status.
  Error,
};

/// "stop", "length" or "error".
const char *finishReasonName(FinishReason reason);

/// One prompt to continue.
struct GenerateRequest {
  /// Token ids, at least one.
  std::vector<int32_t> prompt;
  /// Tokens to generate at most; 0 evaluates the prompt only.
  int64_t maxTokens = 128;
  SamplingParams sampling;
  /// Ids that end the generation; they are not part of the result.
  std::vector<int64_t> stopIds;
  /// Ids from here on are never chosen; 0: the whole vocabulary.
  int64_t vocabularySize = 0;
};

/// What became of a request.
struct GenerateResult {
  std::vector<int32_t> tokens;
  FinishReason reason = FinishReason::Length;
  /// Why, when reason is Error.
  Status status;
  /// Tokens given to the model, and those of them that were the prompt's.
  int64_t evaluatedTokens = 0;
  int64_t promptTokens = 0;
};

/// How to run a batch of requests.
struct GenerateOptions {
  /// Prompt tokens of one step, over all sequences.
  int64_t chunk = 512;
  /// Called with every token as it is chosen; returning false ends that
  /// request with reason Stop.
  std::function<bool(size_t request, int32_t token)> onToken;
  /// Called with the logits of every evaluated position, in order of position
  /// for each request: f32 [rows, vocabulary]. Logits of all prompt tokens are
  /// computed only when this is set.
  std::function<Status(size_t request, const float *logits, int64_t rows)>
      onLogits;
  /// Generation stops with an error for all running requests once this is
  /// true.
  const std::atomic<bool> *cancel = nullptr;
};

/// Time and tokens of a batch.
struct GenerateStats {
  int64_t promptTokens = 0;
  double promptSeconds = 0;
  int64_t generatedTokens = 0;
  double generateSeconds = 0;
  int64_t steps = 0;
};

/// Runs `requests` as one ragged batch, as many at a time as the artifact
/// takes. `results` gets one entry a request. A returned error means that no
/// request was started: an empty prompt or a parameter out of range
/// (InvalidArgument), or a prompt that leaves no room for one more token
/// (ContextLengthExceeded with n_prompt_tokens and n_ctx). Whatever happens to
/// one request later is in its result.
Status generate(Session &session, const std::vector<GenerateRequest> &requests,
                const GenerateOptions &options,
                std::vector<GenerateResult> &results,
                GenerateStats *stats = nullptr);

} // namespace dsv2rt

#endif // DSV2RT_GENERATE_H
