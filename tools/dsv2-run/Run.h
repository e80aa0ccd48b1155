//===- Run.h - one run of dsv2-run ------------------------------*- C++ -*-===//
//
// Part of dsv2, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef DSV2_TOOLS_DSV2_RUN_RUN_H
#define DSV2_TOOLS_DSV2_RUN_RUN_H

#include "RunFlags.h"

#include "dsv2rt/Generate.h"
#include "dsv2rt/Npy.h"
#include "dsv2rt/Session.h"
#include "dsv2rt/Trace.h"
#include "dsv2rt/text/IncrementalDecoder.h"
#include "dsv2rt/text/Tokenizer.h"

#include <nlohmann/json_fwd.hpp>

#include <memory>
#include <optional>
#include <string>
#include <vector>

namespace dsv2rt {

/// How the program calls itself in messages.
constexpr const char *runTool = "dsv2-run";

/// A wrong command line.
inline Status usageError(const std::string &message) {
  return Status::error(StatusCode::InvalidArgument, message);
}

/// What can be told of the flags before any rank is started. Errors:
/// InvalidArgument.
Status checkFlags(const RunFlags &flags, const Artifact &artifact);

/// One run of the program.
class Run {
public:
  /// A run of `artifact` on this rank of `team`.
  Run(RunFlags flags, std::shared_ptr<const Artifact> artifact, Team &team)
      : flags(std::move(flags)), artifact(std::move(artifact)), team(team) {}

  /// Returns the exit code of this rank.
  int run();

  /// Gives back what is on the device.
  void finishDevice();

private:
  Status share();
  Status prepare();
  Status readPrompts();
  Expected<std::string> readInput(const std::string &path,
                                  const std::string &what) const;
  Status openTokenizer();
  Expected<std::vector<int32_t>> encode(const std::string &prompt) const;
  Status buildRequests();
  Status checkContext() const;
  Status checkWindow() const;
  SessionOptions sessionOptions();
  int64_t sharedCachePositions(int64_t limit) const;
  Status openWeights();
  Status openSession();
  Status openLogits();
  GenerateOptions generateOptions();
  bool emitToken(size_t request, int32_t token);
  Status generateAll();
  Expected<std::string> textOf(const std::vector<int32_t> &tokens) const;
  Status printText();
  nlohmann::json commJson() const;
  Status printJson();
  void printSummary() const;
  Status scoreText();
  Status writeResults();
  int reportPrompts() const;
  int finishOutput(int code) const;
  Status finishFiles();

  RunFlags flags;
  std::shared_ptr<const Artifact> artifact;
  Team &team;
  Team::Neighbours neighbours;
  /// What rank 0 has read from standard input.
  std::string standardInput;
  std::shared_ptr<const PackedWeights> weights;
  std::shared_ptr<const PackedWeights> referenceWeights;
  std::shared_ptr<Device> device;
  std::unique_ptr<Session> session;
  std::optional<Tokenizer> tokenizer;
  std::optional<IncrementalDecoder> stream;
  std::vector<std::string> prompts;
  std::vector<GenerateRequest> requests;
  std::vector<GenerateResult> results;
  GenerateStats stats;
  Trace trace;
  std::vector<std::unique_ptr<NpyWriter>> logits;
  std::vector<int64_t> logitRows;
  bool outputFailed = false;
};

} // namespace dsv2rt

#endif // DSV2_TOOLS_DSV2_RUN_RUN_H
