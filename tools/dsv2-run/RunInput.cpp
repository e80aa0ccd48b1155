//===- RunInput.cpp - what dsv2-run is to continue ----------------------===//
//
// Part of dsv2, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "PerplexityMode.h"
#include "Run.h"

#include "dsv2rt/Perplexity.h"
#include "dsv2rt/text/ChatTemplate.h"

#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <iostream>
#include <iterator>

#include <poll.h>
#include <unistd.h>

using namespace dsv2rt;

/// Refuses flags that make no sense beside each other.
static Status checkPerplexity(const RunFlags &flags) {
  if (flags.perplexity.empty())
    return flags.compareLogits.empty()
               ? Status()
               : usageError("--compare-logits needs --perplexity");
  if (!flags.prompts.empty() || !flags.promptFiles.empty() || flags.chat)
    return usageError("--perplexity takes its text from a file, and no "
                      "--prompt, --prompt-file or --chat");
  return Status();
}

Status dsv2rt::checkFlags(const RunFlags &flags, const Artifact &artifact) {
  Status status = flags.sampling.validate();
  if (status.ok())
    status = checkPerplexity(flags);
  if (!status.ok())
    return status;
  if (flags.perplexity.empty() && flags.prompts.empty() &&
      flags.promptFiles.empty())
    return usageError("no prompt: give --prompt or --prompt-file");
  const Manifest::Mesh &mesh = artifact.manifest().mesh;
  if (flags.compareReference && mesh.size() > 1)
    return usageError("--compare-reference: artifact '" + artifact.path() +
                      "' was compiled for " + mesh.ranksText() +
                      "; the comparison runs on one");
  return Status();
}

/// Reads standard input to its end, however long somebody takes to write it,
/// while the other ranks wait for this one.
static Status readStandardInput(Team &team, std::string &text) {
  char piece[1 << 16];
  while (!handleInterrupts() && team.status().ok()) {
    team.alive();
    pollfd input = {STDIN_FILENO, POLLIN, 0};
    if (poll(&input, 1, /*timeout in ms=*/100) == 0)
      continue;
    ssize_t count = read(STDIN_FILENO, piece, sizeof(piece));
    if (count == 0)
      return Status();
    if (count > 0)
      text.append(piece, size_t(count));
    else if (errno != EINTR)
      return Status::error(StatusCode::IoError,
                           std::string("cannot read standard input: ") +
                               std::strerror(errno));
  }
  return team.status().ok() ? Status::error(StatusCode::Internal, "interrupted")
                            : team.status();
}

/// Makes the same on all ranks what the command line leaves open.
Status Run::share() {
  if (team.size() == 1)
    return Status();
  std::string seed = std::to_string(flags.sampling.seed);
  Status status = team.broadcast(seed);
  if (!status.ok())
    return status;
  flags.sampling.seed = std::strtoull(seed.c_str(), nullptr, 10);
  bool reads = flags.perplexity == "-";
  for (const std::string &path : flags.promptFiles)
    reads |= path == "-";
  if (!reads)
    return Status();
  // Only rank 0 has one.
  if (team.isFirst()) {
    status = readStandardInput(team, standardInput);
    if (!status.ok()) {
      team.fail(runTool, status);
      return status;
    }
  }
  return team.broadcast(standardInput);
}

/// The contents of a file, or of standard input for "-"; `what` is for
/// messages.
Expected<std::string> Run::readInput(const std::string &path,
                                     const std::string &what) const {
  if (path == "-" && team.size() > 1)
    return standardInput;
  if (path == "-")
    return std::string(std::istreambuf_iterator<char>(std::cin), {});
  std::error_code code;
  if (std::filesystem::is_directory(path, code))
    return usageError(what + " '" + path + "' is a folder");
  std::ifstream file(path, std::ios::binary);
  if (!file)
    return usageError("cannot read " + what + " '" + path + "'");
  return std::string(std::istreambuf_iterator<char>(file), {});
}

Status Run::readPrompts() {
  if (!flags.perplexity.empty()) {
    Expected<std::string> text = readInput(flags.perplexity, "text file");
    if (text.ok())
      prompts.push_back(std::move(text.value()));
    return text.status();
  }
  prompts = flags.prompts;
  for (const std::string &path : flags.promptFiles) {
    Expected<std::string> text = readInput(path, "prompt file");
    if (!text.ok())
      return text.status();
    prompts.push_back(std::move(text.value()));
  }
  return Status();
}

Status Run::openTokenizer() {
  std::string folder = flags.tokenizer;
  if (folder.empty() && flags.model.weights.rfind("random:", 0) != 0) {
    folder = flags.model.weights;
    std::error_code code;
    if (std::filesystem::is_regular_file(folder, code))
      folder = std::filesystem::path(folder).parent_path().string();
  }
  if (folder.empty()) {
    if (flags.tokenIds)
      return Status();
    return usageError("weights '" + flags.model.weights +
                      "' have no tokenizer: name one with --tokenizer DIR, or "
                      "give token ids with --token-ids");
  }
  // Ids are printed as ids, so they need no tokenizer.
  if (flags.tokenIds && !flags.json)
    return Status();
  Expected<Tokenizer> opened = Tokenizer::fromDirectory(folder);
  if (opened.ok()) {
    tokenizer = std::move(opened.value());
    return Status();
  }
  return flags.tokenIds && flags.tokenizer.empty() ? Status() : opened.status();
}

/// Reads decimal ids separated by white space or commas.
static Expected<std::vector<int32_t>> parseIds(const std::string &text) {
  std::vector<int32_t> ids;
  std::string word;
  for (size_t i = 0; i <= text.size(); ++i) {
    char c = i < text.size() ? text[i] : ' ';
    if (c != ' ' && c != ',' && c != '\n' && c != '\t' && c != '\r') {
      word += c;
      continue;
    }
    if (word.empty())
      continue;
    if (word.size() > 10 ||
        word.find_first_not_of("0123456789") != std::string::npos ||
        std::stoll(word) > 2147483647)
      return usageError("--token-ids: expected decimal token ids separated by "
                        "spaces or commas, found '" +
                        word.substr(0, 40) + "'");
    ids.push_back(int32_t(std::stoll(word)));
    word.clear();
  }
  return ids;
}

Expected<std::vector<int32_t>> Run::encode(const std::string &prompt) const {
  if (flags.tokenIds)
    return parseIds(prompt);
  if (flags.chat)
    return encodeChat(*tokenizer, detectChatFormat(*tokenizer),
                      {{ChatRole::User, prompt}});
  return tokenizer->encode(prompt);
}

Status Run::buildRequests() {
  const Manifest::Model &model = artifact->manifest().model;
  for (size_t i = 0; i < prompts.size(); ++i) {
    Expected<std::vector<int32_t>> ids = encode(prompts[i]);
    if (!ids.ok())
      return Status::error(ids.status().code() == StatusCode::NonFinite
                               ? StatusCode::InvalidArgument
                               : ids.status().code(),
                           "prompt " + std::to_string(i + 1) + ": " +
                               ids.status().message());
    GenerateRequest request;
    request.prompt = std::move(ids.value());
    request.maxTokens = flags.maxTokens;
    request.sampling = flags.sampling;
    request.stopIds = model.eosTokenIds;
    if (tokenizer) {
      request.vocabularySize = tokenizer->vocabularySize();
      if (model.eosTokenIds.empty() && tokenizer->eosId())
        request.stopIds.push_back(*tokenizer->eosId());
    }
    requests.push_back(std::move(request));
  }
  return Status();
}

/// Refuses prompts that cannot run, before any weight is touched.
Status Run::checkContext() const {
  int64_t limit = artifact->manifest().limits.maxContext;
  if (flags.context > limit)
    return usageError("--context: expected at most " + std::to_string(limit) +
                      ", the artifact's limit, found " +
                      std::to_string(flags.context));
  if (flags.context)
    limit = flags.context;
  if (!flags.perplexity.empty())
    return checkWindow();
  for (size_t i = 0; i < requests.size(); ++i) {
    std::string what = "prompt " + std::to_string(i + 1) + ": ";
    int64_t size = int64_t(requests[i].prompt.size());
    if (size == 0)
      return usageError(what + "empty prompt: expected at least one token");
    if (size + (flags.maxTokens > 0) > limit)
      return Status::error(StatusCode::ContextLengthExceeded,
                           what + "context_length_exceeded: n_prompt_tokens " +
                               std::to_string(size) + ", n_ctx " +
                               std::to_string(limit));
  }
  return Status();
}

/// The same for a text that is scored in windows.
Status Run::checkWindow() const {
  int64_t window = perplexityWindow(artifact->manifest(), flags.context);
  if (window < minPerplexityWindow)
    return usageError(
        "--context: expected at least " + std::to_string(minPerplexityWindow) +
        " tokens for --perplexity, found " + std::to_string(window));
  int64_t size = int64_t(requests.front().prompt.size());
  if (size < window)
    return usageError(
        "--perplexity: expected a text of at least " + std::to_string(window) +
        " tokens, one window (--context), found " + std::to_string(size));
  return Status();
}

/// Positions of a cache that has room for exactly what the prompts can come to
/// need. The ranks of the ep axis take the prompts in turn, and all have as
/// much as the one that needs most.
int64_t Run::sharedCachePositions(int64_t limit) const {
  const Manifest &manifest = artifact->manifest();
  int64_t owners = manifest.mesh.ep, page = manifest.cache.page;
  std::vector<int64_t> needed(owners, 0);
  for (size_t i = 0; i < requests.size(); ++i) {
    int64_t positions = std::min<int64_t>(
        limit, int64_t(requests[i].prompt.size()) + requests[i].maxTokens);
    needed[int64_t(i) % owners] += (positions + page - 1) / page * page;
  }
  return owners * *std::max_element(needed.begin(), needed.end());
}

SessionOptions Run::sessionOptions() {
  const Manifest &manifest = artifact->manifest();
  SessionOptions options;
  options.maxContext = flags.context;
  options.stepTokens = flags.chunk;
  options.threads = flags.model.threads;
  options.checkLevel = flags.checkFinite ? 2 : -1;
  options.device = device;
  options.graphs = !flags.model.noGraphs;
  options.hostSampling = flags.model.hostSampling;
  options.referenceWeights = referenceWeights;
  options.maxSequences =
      std::min<int64_t>(requests.size(), manifest.limits.maxBatch);
  int64_t limit = flags.context ? flags.context : manifest.limits.maxContext;
  options.cachePositions = sharedCachePositions(limit);
  if (!flags.context)
    for (const GenerateRequest &request : requests)
      options.maxContext =
          std::max(options.maxContext,
                   std::min<int64_t>(
                       limit, int64_t(request.prompt.size()) +
                                  std::max<int64_t>(request.maxTokens, 1)));
  if (!flags.perplexity.empty()) {
    options.maxContext = perplexityWindow(manifest, flags.context);
    options.cachePositions = options.maxContext * manifest.mesh.ep;
  }
  options.world = team.world();
  options.deviceComm = flags.ranks.deviceComm;
  options.ncclLibrary = flags.ranks.ncclLibrary;
  if (!flags.trace.empty() && team.isFirst())
    options.trace = &trace;
  return options;
}

Status Run::openWeights() {
  std::shared_ptr<const Artifact> reference;
  if (flags.compareReference) {
    reference = Artifact::referenceOf(artifact);
    if (!reference)
      return usageError("--compare-reference: artifact '" + artifact->path() +
                        "' carries no reference lowering; compile it without "
                        "--no-reference");
  }
  Expected<std::shared_ptr<const PackedWeights>> packed =
      loadWeights(runTool, flags.model, artifact, team);
  if (!packed.ok())
    return packed.status();
  weights = std::move(packed.value());
  if (!reference)
    return Status();
  packed = loadWeights(runTool, flags.model, reference, team, ".reference");
  if (packed.ok())
    referenceWeights = std::move(packed.value());
  return packed.status();
}

Status Run::openSession() {
  SessionOptions options = sessionOptions();
  ProgressLine progress("copying weights to the device");
  options.uploadProgress = [&](int64_t done, int64_t total) {
    progress.update(done, total);
  };
  Expected<std::unique_ptr<Session>> created =
      Session::create(artifact, weights, options);
  if (!created.ok())
    return created.status();
  session = std::move(created.value());
  noteDeviceComm(runTool, team, *session, device.get());
  return Status();
}

/// One prompt's logits go to FILE.npy, those of several to FILE.1.npy,
/// FILE.2.npy and so on.
Status Run::openLogits() {
  if (flags.logits.empty() || !team.isFirst())
    return Status();
  for (size_t i = 0; i < requests.size(); ++i) {
    std::filesystem::path path = flags.logits;
    if (requests.size() > 1) {
      std::string extension = path.extension().string();
      path.replace_extension(std::to_string(i + 1) + extension);
    }
    Expected<std::unique_ptr<NpyWriter>> writer =
        NpyWriter::create(path.string(), artifact->manifest().model.vocabSize);
    if (!writer.ok())
      return writer.status();
    logits.push_back(std::move(writer.value()));
    logitRows.push_back(0);
  }
  return Status();
}
