//===- Generate.cpp - the generation loop ---------------------------------===//
//
// Part of dsv2, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "dsv2rt/Generate.h"
#include "Support.h"

#include <algorithm>
#include <limits>
#include <optional>

using namespace dsv2rt;

const char *dsv2rt::finishReasonName(FinishReason reason) {
  switch (reason) {
  case FinishReason::Stop:
    return "stop";
  case FinishReason::Length:
    return "length";
  case FinishReason::Error:
    return "error";
  }
  return "?";
}

namespace {

/// A request that has been started.
struct Running {
  size_t request = 0;
  SequenceId sequence = 0;
  int64_t owner = 0;
  /// Prompt tokens given to the model so far.
  int64_t promptDone = 0;
  /// Prompt and output so far, for the repetition penalty.
  std::vector<int32_t> history;
  Sampler sampler;
};

/// One call of generate().
class Loop {
public:
  Loop(Session &session, const std::vector<GenerateRequest> &requests,
       const GenerateOptions &options, std::vector<GenerateResult> &results)
      : session(session), requests(requests), options(options),
        results(results), manifest(session.artifact().manifest()),
        reservedPages(session.owners(), 0) {}

  Status check();
  Status run();
  GenerateStats stats;

private:
  int64_t positionsOf(const GenerateRequest &request) const;
  Status start();
  void compose();
  Status stepAll();
  void take(Running &running, const StepInput &input, const StepOutput &output);
  void chooseToken(Running &running, const StepOutput &output);
  bool canDecode() const;
  Status decodeAll();
  /// How a request ends.
  struct Ending {
    FinishReason reason = FinishReason::Length;
    Status status;
  };
  std::optional<Ending> addToken(Running &running,
                                 const Expected<int32_t> &token);
  void removeFinished();
  void finish(Running &running, FinishReason reason, Status status = Status());

  Session &session;
  const std::vector<GenerateRequest> &requests;
  const GenerateOptions &options;
  std::vector<GenerateResult> &results;
  const Manifest &manifest;

  std::vector<Running> running;
  size_t nextRequest = 0;
  /// Pages that the running requests may come to need, by owner.
  std::vector<int64_t> reservedPages;
  std::vector<StepInput> inputs;
  std::vector<size_t> owners;
  std::vector<StepOutput> outputs;
};

} // namespace

/// The positions a request takes at most.
int64_t Loop::positionsOf(const GenerateRequest &request) const {
  int64_t room = session.plan().maxContext - int64_t(request.prompt.size());
  // The last token chosen is never given to the model.
  int64_t fed = std::max<int64_t>(request.maxTokens - 1, 0);
  return int64_t(request.prompt.size()) + std::min(fed, room);
}

Status Loop::check() {
  for (size_t i = 0; i < requests.size(); ++i) {
    const GenerateRequest &request = requests[i];
    std::string what = strCat("prompt ", i + 1);
    if (request.prompt.empty())
      return makeError(StatusCode::InvalidArgument, what,
                       ": empty prompt: expected at least one token");
    int64_t limit = session.plan().maxContext;
    int64_t needed =
        int64_t(request.prompt.size()) + (request.maxTokens > 0 ? 1 : 0);
    if (needed > limit)
      return makeError(
          StatusCode::ContextLengthExceeded, what,
          ": context_length_exceeded: n_prompt_tokens ", request.prompt.size(),
          ", n_ctx ", limit, "; expected at most ",
          limit - (request.maxTokens > 0 ? 1 : 0), " prompt tokens");
    for (int32_t id : request.prompt)
      if (id < 0 || id >= manifest.model.vocabSize)
        return makeError(StatusCode::InvalidArgument, what,
                         ": expected token ids from 0 to ",
                         manifest.model.vocabSize - 1, ", found ", id);
    if (request.maxTokens < 0)
      return makeError(StatusCode::InvalidArgument,
                       "max tokens: expected at least 0, found ",
                       request.maxTokens);
    Status status = request.sampling.validate();
    if (!status.ok())
      return status;
  }
  if (options.chunk < 1)
    return makeError(StatusCode::InvalidArgument,
                     "chunk: expected at least 1 token, found ", options.chunk);
  return Status();
}

/// Starts as many waiting requests as there is room for.
Status Loop::start() {
  int64_t page = manifest.cache.page;
  while (nextRequest < requests.size() &&
         int64_t(running.size()) < manifest.limits.maxBatch) {
    const GenerateRequest &request = requests[nextRequest];
    int64_t pages = (positionsOf(request) + page - 1) / page;
    // Sequences of one owner share its pages; the first has to try.
    int64_t owner = session.nextOwner();
    int64_t &reserved = reservedPages[owner];
    if (reserved && reserved + pages > session.pages() / session.owners())
      break;
    Expected<Sampler> sampler = Sampler::create(request.sampling);
    if (!sampler.ok())
      return sampler.status();
    Expected<SequenceId> sequence = session.addSequence();
    if (!sequence.ok())
      return sequence.status();
    reserved += pages;
    results[nextRequest].promptTokens = int64_t(request.prompt.size());
    running.push_back({nextRequest, sequence.value(), owner, 0, request.prompt,
                       std::move(sampler.value())});
    ++nextRequest;
  }
  return Status();
}

/// Chooses what the next step does: one token for every sequence that
/// generates, and prompt chunks for the others.
void Loop::compose() {
  inputs.clear(), owners.clear();
  int64_t chunkLeft = options.chunk;
  for (size_t i = 0; i < running.size(); ++i) {
    const Running &r = running[i];
    const GenerateRequest &request = requests[r.request];
    StepInput input;
    input.sequence = r.sequence;
    int64_t promptLeft = int64_t(request.prompt.size()) - r.promptDone;
    if (promptLeft > 0) {
      input.count = std::min(promptLeft, chunkLeft);
      chunkLeft -= input.count;
      input.tokens = request.prompt.data() + r.promptDone;
      input.logits = options.onLogits           ? LogitRows::All
                     : input.count < promptLeft ? LogitRows::None
                                                : LogitRows::Last;
    } else {
      input.count = 1;
      input.tokens = &r.history.back();
    }
    if (input.count == 0)
      continue;
    inputs.push_back(input);
    owners.push_back(i);
  }
  outputs.resize(inputs.size());
}

void Loop::finish(Running &r, FinishReason reason, Status status) {
  GenerateResult &result = results[r.request];
  result.reason = reason;
  result.status = std::move(status);
  (void)session.removeSequence(r.sequence).ok();
  int64_t page = manifest.cache.page;
  reservedPages[r.owner] -=
      (positionsOf(requests[r.request]) + page - 1) / page;
  r.sequence = 0;
}

/// Takes up a chosen token; says if it was the last.
std::optional<Loop::Ending> Loop::addToken(Running &r,
                                           const Expected<int32_t> &token) {
  const GenerateRequest &request = requests[r.request];
  GenerateResult &result = results[r.request];
  if (!token.ok())
    return Ending{FinishReason::Error, token.status()};
  for (int64_t stop : request.stopIds)
    if (stop == token.value())
      return Ending{FinishReason::Stop, Status()};
  result.tokens.push_back(token.value());
  r.history.push_back(token.value());
  if (options.onToken && !options.onToken(r.request, token.value()))
    return Ending{FinishReason::Stop, Status()};
  if (int64_t(result.tokens.size()) == request.maxTokens ||
      session.length(r.sequence) >= session.plan().maxContext ||
      int64_t(r.history.size()) >= session.plan().maxContext)
    return Ending{FinishReason::Length, Status()};
  return std::nullopt;
}

void Loop::chooseToken(Running &r, const StepOutput &output) {
  const GenerateRequest &request = requests[r.request];
  if (request.maxTokens == 0)
    return finish(r, FinishReason::Length);
  int64_t all = manifest.model.vocabSize, count = all;
  if (request.vocabularySize)
    count = std::min(count, request.vocabularySize);
  // Of the last row.
  const float *logits = output.logits + (output.rows - 1) * all;
  LargestOf largest = output.largest.row(output.rows - 1, all);
  Expected<int32_t> token =
      r.sampler.sample(logits, size_t(count), r.history.data(),
                       r.history.size(), r.history.size(), largest);
  if (std::optional<Ending> ending = addToken(r, token))
    finish(r, ending->reason, std::move(ending->status));
}

/// Takes up what a step did for one sequence.
void Loop::take(Running &r, const StepInput &input, const StepOutput &output) {
  GenerateResult &result = results[r.request];
  int64_t promptSize = int64_t(requests[r.request].prompt.size());
  if (!output.status.ok())
    return finish(r, FinishReason::Error, output.status);
  result.evaluatedTokens += input.count;
  if (r.promptDone < promptSize)
    r.promptDone += input.count;
  if (options.onLogits) {
    Status status = options.onLogits(r.request, output.logits, output.rows);
    if (!status.ok())
      return finish(r, FinishReason::Error, status);
  }
  if (r.promptDone == promptSize)
    chooseToken(r, output);
}

Status Loop::stepAll() {
  compose();
  bool prompt = false;
  for (size_t i = 0; i < inputs.size(); ++i) {
    const Running &r = running[owners[i]];
    prompt |= r.promptDone < int64_t(requests[r.request].prompt.size());
  }
  Status status = session.step(inputs.data(), inputs.size(), outputs.data());
  if (!status.ok())
    return status;
  // A step that works on any prompt counts as prompt processing.
  const Session::StepStats &last = session.lastStep();
  ++stats.steps;
  (prompt ? stats.promptTokens : stats.generatedTokens) += last.tokens;
  (prompt ? stats.promptSeconds : stats.generateSeconds) += last.seconds;
  for (size_t i = 0; i < inputs.size(); ++i)
    take(running[owners[i]], inputs[i], outputs[i]);
  removeFinished();
  return Status();
}

void Loop::removeFinished() {
  running.erase(std::remove_if(running.begin(), running.end(),
                               [](const Running &r) { return !r.sequence; }),
                running.end());
}

/// Whether all that is left for now is one token after the other, chosen on the
/// device.
bool Loop::canDecode() const {
  return session.decodesAlone() && !options.onLogits && !running.empty() &&
         std::all_of(running.begin(), running.end(), [&](const Running &r) {
           return r.promptDone == int64_t(requests[r.request].prompt.size());
         });
}

/// Goes on until the first request is done, which may let others begin.
Status Loop::decodeAll() {
  std::vector<DecodeInput> decodes;
  int64_t steps = std::numeric_limits<int64_t>::max();
  for (const Running &r : running) {
    const GenerateRequest &request = requests[r.request];
    decodes.push_back(
        {r.sequence, r.history.back(), request.sampling,
         std::min(request.vocabularySize, manifest.model.vocabSize),
         r.history.data(), r.history.size()});
    steps = std::min(steps, request.maxTokens -
                                int64_t(results[r.request].tokens.size()));
  }
  std::vector<std::optional<Ending>> endings(running.size());
  Status status = session.decode(
      decodes.data(), decodes.size(), steps, [&](const DecodeOutput *outputs) {
        const Session::StepStats &last = session.lastStep();
        ++stats.steps;
        stats.generatedTokens += last.tokens;
        stats.generateSeconds += last.seconds;
        bool goesOn = !options.cancel || !*options.cancel;
        for (size_t i = 0; i < running.size(); ++i) {
          ++results[running[i].request].evaluatedTokens;
          const DecodeOutput &output = outputs[i];
          endings[i] = addToken(
              running[i], output.status.ok() ? Expected<int32_t>(output.token)
                                             : output.status);
          goesOn &= !endings[i];
        }
        return goesOn;
      });
  for (size_t i = 0; i < running.size(); ++i)
    if (endings[i])
      finish(running[i], endings[i]->reason, std::move(endings[i]->status));
  removeFinished();
  return status;
}

Status Loop::run() {
  Status status;
  while (nextRequest < requests.size() || !running.empty()) {
    if (options.cancel && *options.cancel)
      status = makeError(StatusCode::Internal, "generation was interrupted");
    if (status.ok())
      status = start();
    if (status.ok())
      status = canDecode() ? decodeAll() : stepAll();
    if (status.ok())
      continue;
    // Nobody gets any further.
    for (Running &r : running)
      finish(r, FinishReason::Error, status);
    for (; nextRequest < requests.size(); ++nextRequest) {
      results[nextRequest].reason = FinishReason::Error;
      results[nextRequest].status = status;
    }
    running.clear();
  }
  return Status();
}

Status dsv2rt::generate(Session &session,
                        const std::vector<GenerateRequest> &requests,
                        const GenerateOptions &options,
                        std::vector<GenerateResult> &results,
                        GenerateStats *stats) {
  return guarded([&]() -> Status {
    results.assign(requests.size(), GenerateResult());
    Loop loop(session, requests, options, results);
    Status status = loop.check();
    if (status.ok())
      status = loop.run();
    if (stats)
      *stats = loop.stats;
    return status;
  });
}
