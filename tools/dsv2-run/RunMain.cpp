//===- RunMain.cpp - dsv2-run as a function -------------------------------===//
//
// Part of dsv2, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "RunMain.h"
#include "PerplexityMode.h"
#include "ToolSupport.h"

#include "dsv2rt/Generate.h"
#include "dsv2rt/Npy.h"
#include "dsv2rt/Perplexity.h"
#include "dsv2rt/Session.h"
#include "dsv2rt/Threads.h"
#include "dsv2rt/Trace.h"
#include "dsv2rt/text/ChatTemplate.h"
#include "dsv2rt/text/IncrementalDecoder.h"
#include "dsv2rt/text/Tokenizer.h"

#include <CLI/CLI.hpp>
#include <nlohmann/json.hpp>

#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iostream>
#include <iterator>
#include <optional>
#include <random>

using namespace dsv2rt;

static const char tool[] = "dsv2-run";

namespace {

/// The command line.
struct Flags {
  ModelFlags model;
  std::string tokenizer;
  std::vector<std::string> prompts;
  std::vector<std::string> promptFiles;
  bool chat = false;
  bool tokenIds = false;
  int64_t maxTokens = 128;
  SamplingParams sampling;
  std::optional<uint64_t> seed;
  int64_t ranks = 1;
  int64_t context = 0;
  int64_t chunk = 0;
  std::string logits;
  bool info = false;
  /// A file to score instead of prompts to continue.
  std::string perplexity;
  std::string compareLogits;
  bool json = false;
  bool checkFinite = false;
  bool compareReference = false;
  std::string trace;
};

/// One run of the program.
class Run {
public:
  explicit Run(Flags flags) : flags(std::move(flags)) {}
  int run();

  /// Gives back what is on the device.
  void finishDevice();

private:
  Status readPrompts();
  Status checkPerplexity() const;
  Status openTokenizer();
  Expected<std::vector<int32_t>> encode(const std::string &prompt) const;
  Status buildRequests();
  Status checkContext() const;
  Status checkWindow() const;
  SessionOptions sessionOptions();
  Status openWeights();
  Status openSession();
  Status openLogits();
  GenerateOptions generateOptions();
  bool emitToken(size_t request, int32_t token);
  Status generateAll();
  Expected<std::string> textOf(const std::vector<int32_t> &tokens) const;
  Status printText();
  Status printJson();
  void printSummary() const;
  Status scoreText();
  int finishOutput(int code) const;
  Status finishFiles();

  Flags flags;
  std::shared_ptr<const Artifact> artifact;
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

} // namespace

static Status usageError(const std::string &message) {
  return Status::error(StatusCode::InvalidArgument, message);
}

/// The contents of a file, or of standard input for "-"; `what` is for
/// messages.
static Expected<std::string> readText(const std::string &path,
                                      const std::string &what) {
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

/// Refuses flags that make no sense beside each other.
Status Run::checkPerplexity() const {
  if (flags.perplexity.empty())
    return flags.compareLogits.empty()
               ? Status()
               : usageError("--compare-logits needs --perplexity");
  if (!flags.prompts.empty() || !flags.promptFiles.empty() || flags.chat)
    return usageError("--perplexity takes its text from a file, and no "
                      "--prompt, --prompt-file or --chat");
  return Status();
}

Status Run::readPrompts() {
  Status status = checkPerplexity();
  if (!status.ok())
    return status;
  if (!flags.perplexity.empty()) {
    Expected<std::string> text = readText(flags.perplexity, "text file");
    if (text.ok())
      prompts.push_back(std::move(text.value()));
    return text.status();
  }
  prompts = flags.prompts;
  for (const std::string &path : flags.promptFiles) {
    Expected<std::string> text = readText(path, "prompt file");
    if (!text.ok())
      return text.status();
    prompts.push_back(std::move(text.value()));
  }
  if (prompts.empty())
    return usageError("no prompt: give --prompt or --prompt-file");
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

SessionOptions Run::sessionOptions() {
  const Manifest &manifest = artifact->manifest();
  SessionOptions options;
  options.maxContext = flags.context;
  options.stepTokens = flags.chunk;
  options.threads = flags.model.threads;
  options.checkLevel = flags.checkFinite ? 2 : -1;
  options.device = device;
  options.graphs = !flags.model.noGraphs;
  options.referenceWeights = referenceWeights;
  options.maxSequences =
      std::min<int64_t>(requests.size(), manifest.limits.maxBatch);
  int64_t limit = flags.context ? flags.context : manifest.limits.maxContext;
  // Pages for exactly what these prompts can come to need.
  for (const GenerateRequest &request : requests) {
    int64_t positions = std::min<int64_t>(
        limit, int64_t(request.prompt.size()) + request.maxTokens);
    int64_t page = manifest.cache.page;
    options.cachePositions += (positions + page - 1) / page * page;
  }
  if (!flags.context)
    for (const GenerateRequest &request : requests)
      options.maxContext =
          std::max(options.maxContext,
                   std::min<int64_t>(
                       limit, int64_t(request.prompt.size()) +
                                  std::max<int64_t>(request.maxTokens, 1)));
  if (!flags.perplexity.empty()) {
    options.maxContext = perplexityWindow(manifest, flags.context);
    options.cachePositions = options.maxContext;
  }
  if (!flags.trace.empty())
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
      loadWeights(tool, flags.model, artifact);
  if (!packed.ok())
    return packed.status();
  weights = std::move(packed.value());
  if (!reference)
    return Status();
  packed = loadWeights(tool, flags.model, reference, ".reference");
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
  if (created.ok())
    session = std::move(created.value());
  return created.status();
}

/// One prompt's logits go to FILE.npy, those of several to FILE.1.npy,
/// FILE.2.npy and so on.
Status Run::openLogits() {
  if (flags.logits.empty())
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

GenerateOptions Run::generateOptions() {
  GenerateOptions options;
  options.chunk = flags.chunk;
  options.cancel = &handleInterrupts();
  if (requests.size() == 1 && !flags.json)
    options.onToken = [this](size_t request, int32_t token) {
      return emitToken(request, token);
    };
  if (!logits.empty())
    options.onLogits = [this](size_t request, const float *data, int64_t rows) {
      Status status = logits[request]->write(logitRows[request], data, rows);
      logitRows[request] += rows;
      return status;
    };
  return options;
}

/// Writes one token of the only prompt as soon as it is chosen.
bool Run::emitToken(size_t request, int32_t token) {
  if (flags.tokenIds) {
    std::printf("%s%d", results[request].tokens.size() > 1 ? " " : "", token);
  } else {
    Expected<std::string> text = stream->push(token);
    if (text.ok())
      std::fwrite(text.value().data(), 1, text.value().size(), stdout);
  }
  outputFailed = std::fflush(stdout) != 0;
  return !outputFailed;
}

Status Run::generateAll() {
  if (tokenizer)
    stream.emplace(*tokenizer);
  Status status =
      generate(*session, requests, generateOptions(), results, &stats);
  if (!status.ok())
    return status;
  if (requests.size() == 1 && !flags.json) {
    std::string rest = stream && !flags.tokenIds ? stream->finish() : "";
    std::printf("%s\n", rest.c_str());
  }
  return Status();
}

Expected<std::string> Run::textOf(const std::vector<int32_t> &tokens) const {
  if (tokenizer && !flags.tokenIds)
    return tokenizer->decode(tokens);
  std::string text;
  for (int32_t token : tokens)
    text += (text.empty() ? "" : " ") + std::to_string(token);
  return text;
}

/// Several prompts: each output under a line that says whose it is.
Status Run::printText() {
  if (requests.size() == 1)
    return Status();
  for (size_t i = 0; i < results.size(); ++i) {
    Expected<std::string> text = textOf(results[i].tokens);
    if (!text.ok())
      return text.status();
    std::printf("==> prompt %zu <==\n%s\n", i + 1, text.value().c_str());
  }
  return Status();
}

Status Run::printJson() {
  using nlohmann::json;
  json list = json::array();
  for (const GenerateResult &result : results) {
    json item = {{"prompt_tokens", result.promptTokens},
                 {"completion_tokens", result.tokens.size()},
                 {"tokens", result.tokens},
                 {"finish_reason", finishReasonName(result.reason)}};
    if (tokenizer) {
      Expected<std::string> text = tokenizer->decode(result.tokens);
      item["text"] = text.ok() ? json(text.value()) : json();
    }
    if (!result.status.ok())
      item["error"] = result.status.message();
    list.push_back(std::move(item));
  }
  const MemoryPlan &plan = session->plan();
  auto rate = [](int64_t tokens, double seconds) {
    return seconds > 0 ? double(tokens) / seconds : 0.0;
  };
  json root = {{"model", artifact->manifest().model.name},
               {"weights", flags.model.weights},
               {"device", device ? device->info().name : "cpu"},
               {"seed", flags.sampling.seed},
               {"results", std::move(list)},
               {"timing",
                {{"prompt_tokens", stats.promptTokens},
                 {"prompt_seconds", stats.promptSeconds},
                 {"prompt_tokens_per_second",
                  rate(stats.promptTokens, stats.promptSeconds)},
                 {"generated_tokens", stats.generatedTokens},
                 {"generate_seconds", stats.generateSeconds},
                 {"generated_tokens_per_second",
                  rate(stats.generatedTokens, stats.generateSeconds)}}},
               {"memory",
                {{"weights", plan.weights},
                 {"cache", plan.cache},
                 {"workspace", plan.workspace},
                 {"logits", plan.logits},
                 {"total", plan.total()},
                 {"n_ctx", plan.maxContext},
                 {"peak_resident", peakResidentMemory()}}}};
  if (flags.compareReference) {
    ReferenceReport report = session->referenceReport();
    root["reference"] = {{"steps", report.steps},
                         {"values", report.values},
                         {"sites", report.sites},
                         {"ties", report.ties},
                         {"largest_error", report.largestError},
                         {"largest_error_at", report.largestErrorAt}};
  }
  std::string text = root.dump(2, ' ', false, json::error_handler_t::replace);
  std::printf("%s\n", text.c_str());
  return Status();
}

void Run::printSummary() const {
  auto line = [](const char *what, int64_t tokens, double seconds) {
    if (tokens)
      std::fprintf(stderr, "%s: %s %lld tokens in %.3f s, %.2f tokens/s\n",
                   tool, what, static_cast<long long>(tokens), seconds,
                   seconds > 0 ? double(tokens) / seconds : 0.0);
  };
  line("prompt", stats.promptTokens, stats.promptSeconds);
  line("generation", stats.generatedTokens, stats.generateSeconds);
  ReferenceReport report = session->referenceReport();
  if (report.steps)
    std::fprintf(
        stderr,
        "%s: compare-reference: %lld steps, %lld values at %lld sites "
        "compared, largest error %.2g of the row's largest value%s%s; "
        "%lld ties between experts\n",
        tool, static_cast<long long>(report.steps),
        static_cast<long long>(report.values),
        static_cast<long long>(report.sites), double(report.largestError),
        report.largestErrorAt.empty() ? "" : " at ",
        report.largestErrorAt.c_str(), static_cast<long long>(report.ties));
}

Status Run::finishFiles() {
  for (size_t i = 0; i < logits.size(); ++i) {
    if (!results[i].status.ok())
      continue;
    Status status = logits[i]->finish();
    if (!status.ok())
      return status;
  }
  if (!flags.trace.empty())
    return trace.write(flags.trace);
  return Status();
}

/// `code`, unless what was printed went nowhere.
int Run::finishOutput(int code) const {
  if (!outputFailed && std::fflush(stdout) == 0 && !std::ferror(stdout))
    return code;
  printError(tool, "cannot write to standard output");
  return ExitFailure;
}

/// Prints how well the model predicts the text.
Status Run::scoreText() {
  PerplexityFlags mode;
  mode.window = perplexityWindow(artifact->manifest(), flags.context);
  mode.chunk = flags.chunk;
  mode.logits = flags.logits;
  mode.compareLogits = flags.compareLogits;
  mode.json = flags.json;
  return runPerplexity(*session, requests.front().prompt, mode);
}

void Run::finishDevice() {
  session.reset();
  if (device)
    device->forgetWeights();
  noteReleaseFailure(tool, device.get());
}

int Run::run() {
  if (flags.ranks != 1)
    return reportFailure(
        tool, usageError("--ranks: this artifact was compiled for 1 rank, "
                         "found " +
                         std::to_string(flags.ranks)));
  Status status = flags.sampling.validate();
  if (status.ok())
    status = readPrompts();
  if (!status.ok())
    return reportFailure(tool, status);
  Expected<std::shared_ptr<const Artifact>> loaded = loadArtifact(flags.model);
  if (!loaded.ok())
    return reportFailure(tool, loaded.status());
  artifact = std::move(loaded.value());
  // Before the weights, which may take long to prepare.
  Expected<std::shared_ptr<Device>> opened = openDevice(flags.model, *artifact);
  if (!opened.ok())
    return reportFailure(tool, opened.status());
  device = std::move(opened.value());
  if (!flags.chunk)
    flags.chunk = suggestedChunk(device.get());
  status = openTokenizer();
  if (status.ok())
    status = buildRequests();
  if (status.ok())
    status = checkContext();
  if (!status.ok())
    return reportFailure(tool, status);

  status = openWeights();
  if (!status.ok())
    return reportFailure(tool, status);
  status = openSession();
  if (!status.ok())
    return reportFailure(tool, status);
  if (flags.model.pin) {
    status = pinThreads(flags.model.threads);
    if (!status.ok())
      return reportFailure(tool, status);
  }
  if (!flags.perplexity.empty()) {
    status = scoreText();
    if (status.ok())
      status = finishFiles();
    if (!status.ok())
      return reportFailure(tool, status);
    if (!flags.json)
      printSummary();
    return finishOutput(ExitSuccess);
  }
  if (flags.sampling.temperature > 0 && !flags.seed)
    printNote(tool, "seed: " + std::to_string(flags.sampling.seed));

  status = openLogits();
  if (status.ok())
    status = generateAll();
  if (status.ok())
    status = flags.json ? printJson() : printText();
  if (status.ok())
    status = finishFiles();
  if (!status.ok())
    return reportFailure(tool, status);
  if (!flags.json)
    printSummary();
  int code = ExitSuccess;
  for (size_t i = 0; i < results.size(); ++i) {
    if (results[i].status.ok())
      continue;
    printError(tool, "prompt " + std::to_string(i + 1) + ": " +
                         results[i].status.message());
    code = ExitFailure;
  }
  return finishOutput(code);
}

static const char footer[] = R"(
Several prompts run as one batch; each output then follows a line
'==> prompt N <=='. With --token-ids a prompt is a list of decimal token ids,
taken as they are (no beginning-of-sequence token is added), and the output is
token ids on one line.

The packed weights are kept in ARTIFACT.weights unless --packed says otherwise,
and made again when artifact or weights change.

Environment: OMP_NUM_THREADS (threads when --threads is not given),
DSV2_CPU_FEATURES_MASK (CPU features to treat as absent), DSV2_CUDA_LIBRARY and
DSV2_EMULATOR_LIBRARY (other libraries than libcuda.so.1 and the emulator),
DSV2_MAX_HEADER_BYTES (longest safetensors header accepted).

Exit codes: 0 success; 1 a failure while running; 2 a wrong command line or
input, nothing was computed.)";

/// Why `text` is no seed, or nothing. The option parser itself would wrap
/// negative numbers and cut large ones.
static std::string checkSeed(std::string &text) {
  errno = 0;
  (void)std::strtoull(text.c_str(), nullptr, 10);
  if (!text.empty() && !errno &&
      text.find_first_not_of("0123456789") == std::string::npos)
    return {};
  return "expected a number from 0 to 2^64 - 1, found '" + text + "'";
}

/// Declares the flags on `app`.
static void declare(CLI::App &app, Flags &flags, bool builtIn) {
  declareModelFlags(app, flags.model, builtIn);
  app.add_option("--tokenizer", flags.tokenizer,
                 "Folder with tokenizer.json (default: the checkpoint)");
  app.add_option("--prompt", flags.prompts, "Text to continue; repeatable")
      ->allow_extra_args(false)
      ->take_all();
  app.add_option("--prompt-file", flags.promptFiles,
                 "File with a text to continue, - for standard input; "
                 "repeatable")
      ->allow_extra_args(false);
  app.add_flag("--chat", flags.chat,
               "Take the prompt as a user's message in the model's chat "
               "format");
  app.add_flag("--token-ids", flags.tokenIds,
               "Prompts and output are token ids");
  app.add_option("--max-tokens", flags.maxTokens,
                 "Tokens to generate at most; 0 evaluates the prompt only")
      ->capture_default_str()
      ->check(CLI::Range(int64_t(0), int64_t(1) << 40));
  app.add_option("--temperature", flags.sampling.temperature,
                 "0 takes the likeliest token")
      ->capture_default_str();
  app.add_option("--top-k", flags.sampling.topK,
                 "Choose among the K likeliest tokens; 0: all")
      ->capture_default_str();
  app.add_option("--top-p", flags.sampling.topP,
                 "Choose among the likeliest tokens of total probability P")
      ->capture_default_str();
  app.add_option("--min-p", flags.sampling.minP,
                 "Choose among tokens at least P times as likely as the "
                 "likeliest")
      ->capture_default_str();
  app.add_option("--repetition-penalty", flags.sampling.repetitionPenalty,
                 "Above 1 makes tokens that occurred less likely")
      ->capture_default_str();
  app.add_option("--seed", flags.seed,
                 "Seed of every prompt's draws (default: random, printed)")
      ->check(CLI::Validator(checkSeed, "UINT64"));
  app.add_option("--threads", flags.model.threads,
                 "Threads to compute on (default: one for every core that "
                 "affinity and control groups grant)")
      ->check(CLI::Range(1, 4096));
  declarePinFlag(app, flags.model);
  app.add_option("--ranks", flags.ranks, "Ranks to run on: 1")
      ->capture_default_str();
  app.add_option("--context", flags.context,
                 "Positions of one sequence (default: what prompt and "
                 "--max-tokens need, up to the artifact's limit)")
      ->check(CLI::Range(int64_t(1), int64_t(1) << 40));
  app.add_option("--chunk", flags.chunk,
                 "Prompt tokens of one step (default: 512, on a device 4096)")
      ->check(CLI::Range(int64_t(1), int64_t(1) << 24));
  app.add_option("--logits", flags.logits,
                 "Write the logits of every evaluated position to FILE.npy, "
                 "f32 [tokens, vocabulary]; with several prompts to FILE.1.npy "
                 "and so on");
  app.add_flag("--info", flags.info,
               "Print what the artifact holds, which processors it is for and "
               "which of its variants runs here, and run nothing");
  app.add_option("--perplexity", flags.perplexity,
                 "Continue nothing, and print how well the model predicts the "
                 "text in FILE (- for standard input): the perplexity over the "
                 "second halves of windows of --context tokens (default: 512), "
                 "each begun with the beginning-of-sequence token. --logits "
                 "then writes those of the scored positions");
  app.add_option("--compare-logits", flags.compareLogits,
                 "With --perplexity: the KL divergence from the logits in "
                 "FILE.npy, which another artifact's --logits wrote for the "
                 "same text and windows, and how often both find the same "
                 "token most likely");
  app.add_flag("--json", flags.json, "Print one JSON object");
  app.add_flag("--check-finite", flags.checkFinite,
               "Check the output of every kernel and name the first value "
               "that is not finite");
  app.add_flag("--compare-reference", flags.compareReference,
               "Run the reference lowering beside the compiled code, compare "
               "the result of every op, and name the first op and layer out of "
               "tolerance");
  app.add_option("--trace", flags.trace,
                 "Write a timeline of steps and kernels to FILE (trace event "
                 "format)");
}

int dsv2rt::runMain(int argc, char **argv) {
  try {
    Flags flags;
    CLI::App app("Runs a compiled DeepSeek-V2 family model.", tool);
    app.footer(footer);
    app.set_version_flag("--version", std::string(tool) + " " + DSV2_VERSION);
    declare(app, flags, Artifact::inProcess());
    // What an artifact holds can be told without weights; the parser has no
    // way to say that one flag makes another needless.
    app.get_option("--weights")->required(false);
    app.callback([&] {
      if (!flags.info && flags.model.weights.empty())
        throw CLI::RequiredError("--weights");
    });
    try {
      app.parse(argc, argv);
    } catch (const CLI::ParseError &error) {
      if (error.get_exit_code() == 0)
        return app.exit(error);
      printError(tool, error.what());
      return ExitUsage;
    }
    if (flags.info) {
      Status status = printInfo(flags.model, flags.json);
      return status.ok() ? int(ExitSuccess) : reportFailure(tool, status);
    }
    if (!flags.model.threads)
      flags.model.threads = defaultThreadCount();
    warnOfOversubscription(tool, flags.model.threads);
    flags.sampling.seed = flags.seed ? *flags.seed
                                     : uint64_t(std::random_device()()) << 32 |
                                           std::random_device()();
    Run run(std::move(flags));
    int code = run.run();
    run.finishDevice();
    return code;
  } catch (const std::bad_alloc &) {
    printError(tool, "memory allocation failed");
  } catch (const std::exception &error) {
    printError(tool, std::string("unexpected exception: ") + error.what());
  }
  return ExitFailure;
}
