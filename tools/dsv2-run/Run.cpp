//===- Run.cpp - one run of dsv2-run ------------------------------------===//
//
// Part of dsv2, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "Run.h"
#include "PerplexityMode.h"

#include "dsv2rt/Perplexity.h"
#include "dsv2rt/Threads.h"

#include <cstdio>

using namespace dsv2rt;

GenerateOptions Run::generateOptions() {
  GenerateOptions options;
  options.chunk = flags.chunk;
  options.cancel = &handleInterrupts();
  if (requests.size() == 1 && !flags.json && team.isFirst())
    options.onToken = [this](size_t request, int32_t token) {
      return emitToken(request, token);
    };
  // Every rank asks for the same rows.
  if (!flags.logits.empty())
    options.onLogits = [this](size_t request, const float *data,
                              int64_t rows) -> Status {
      if (logits.empty())
        return Status();
      Status status = logits[request]->write(logitRows[request], data, rows);
      logitRows[request] += rows;
      // The other ranks would go on with this prompt.
      if (!status.ok() && team.size() > 1)
        team.fail(runTool, status);
      return status;
    };
  return options;
}

Status Run::generateAll() {
  if (tokenizer)
    stream.emplace(*tokenizer);
  Status status =
      generate(*session, requests, generateOptions(), results, &stats);
  if (!status.ok() || team.size() == 1)
    return status;
  // An interruption may be this rank's alone.
  if (handleInterrupts())
    team.fail(runTool, Status::error(StatusCode::Internal,
                                     "generation was interrupted"));
  return team.status();
}

/// Prints how well the model predicts the text.
Status Run::scoreText() {
  PerplexityFlags mode;
  mode.window = perplexityWindow(artifact->manifest(), flags.context);
  mode.chunk = flags.chunk;
  mode.logits = flags.logits;
  mode.compareLogits = flags.compareLogits;
  mode.json = flags.json;
  mode.silent = !team.isFirst();
  return runPerplexity(*session, requests.front().prompt, mode);
}

void Run::finishDevice() {
  session.reset();
  if (device)
    device->forgetWeights();
  noteDeviceTroubles(runTool, device.get());
}

/// Everything that needs no weights.
Status Run::prepare() {
  Status status = readPrompts();
  if (!status.ok())
    return status;
  // Before the weights, which may take long to prepare.
  Expected<std::shared_ptr<Device>> opened =
      openDevice(flags.model, *artifact, team.rank());
  if (!opened.ok())
    return opened.status();
  device = std::move(opened.value());
  if (!flags.chunk)
    flags.chunk = suggestedChunk(device.get());
  status = openTokenizer();
  if (status.ok())
    status = buildRequests();
  if (status.ok())
    status = checkContext();
  return status;
}

int Run::run() {
  Expected<Team::Neighbours> found = team.neighbours();
  Status status = found.status();
  if (found.ok())
    neighbours = found.value();
  if (!flags.model.threads)
    flags.model.threads = defaultThreadsOf(neighbours);
  if (team.isFirst())
    warnOfOversubscription(runTool, flags.model.threads * neighbours.count);
  // Ranks that have the same input fail alike, and the first one says why.
  if (status.ok())
    status = share();
  if (status.ok())
    status = team.agree(prepare());
  if (status.ok())
    status = team.agree(openWeights());
  if (status.ok())
    status = openSession();
  if (status.ok() && flags.model.pin)
    status = pinThreads(flags.model.threads,
                        flags.model.threads * neighbours.before);
  if (!status.ok())
    return team.fail(runTool, status);

  if (!flags.perplexity.empty()) {
    status = scoreText();
    if (status.ok())
      status = finishFiles();
  } else {
    if (flags.sampling.temperature > 0 && !flags.seed && team.isFirst())
      printNote(runTool, "seed: " + std::to_string(flags.sampling.seed));
    status = team.agree(openLogits());
    if (status.ok())
      status = team.agree(generateAll());
    if (status.ok() && team.isFirst())
      status = writeResults();
  }
  if (!status.ok())
    return team.fail(runTool, status);
  int code = ExitSuccess;
  if (team.isFirst()) {
    if (!flags.json)
      printSummary();
    code = reportPrompts();
    code = finishOutput(code);
  }
  if (team.size() == 1)
    return code;
  // What rank 0 could not write, or what became of the prompts.
  status = team.agree(code == ExitSuccess
                          ? Status()
                          : Status::error(StatusCode::Internal,
                                          "not all prompts came to an end"));
  return status.ok() ? code : team.fail(runTool, status);
}

/// Prints why prompts have failed; the exit code for that.
int Run::reportPrompts() const {
  int code = ExitSuccess;
  for (size_t i = 0; i < results.size(); ++i) {
    if (results[i].status.ok())
      continue;
    printError(runTool, "prompt " + std::to_string(i + 1) + ": " +
                            results[i].status.message());
    code = ExitFailure;
  }
  return code;
}
