//===- RunOutput.cpp - what dsv2-run writes -----------------------------===//
//
// Part of dsv2, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "Run.h"

#include <nlohmann/json.hpp>

#include <cstdio>
#include <filesystem>

using namespace dsv2rt;

static const char outputError[] = "cannot write to standard output";

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
  // The other ranks would go on with this prompt.
  if (outputFailed && team.size() > 1)
    team.fail(runTool, Status::error(StatusCode::IoError, outputError));
  return !outputFailed;
}

Expected<std::string> Run::textOf(const std::vector<int32_t> &tokens) const {
  if (tokenizer && !flags.tokenIds)
    return tokenizer->decode(tokens);
  std::string text;
  for (int32_t token : tokens)
    text += (text.empty() ? "" : " ") + std::to_string(token);
  return text;
}

/// The rest of the only prompt's output; of several each output under a line
/// that says whose it is.
Status Run::printText() {
  if (requests.size() == 1) {
    std::string rest = stream && !flags.tokenIds ? stream->finish() : "";
    std::printf("%s\n", rest.c_str());
    return Status();
  }
  for (size_t i = 0; i < results.size(); ++i) {
    Expected<std::string> text = textOf(results[i].tokens);
    if (!text.ok())
      return text.status();
    std::printf("==> prompt %zu <==\n%s\n", i + 1, text.value().c_str());
  }
  return Status();
}

/// What this rank has sent, by site and in all.
nlohmann::json Run::commJson() const {
  using nlohmann::json;
  json sites = json::array();
  int64_t calls = 0, bytes = 0;
  for (const CommSiteCounters &site : session->commCounters()) {
    sites.push_back({{"name", site.name},
                     {"kind", site.kind},
                     {"calls", site.calls},
                     {"bytes_sent", site.bytesSent}});
    calls += site.calls;
    bytes += site.bytesSent;
  }
  return {{"rank", team.rank()},
          {"sites", std::move(sites)},
          {"calls", calls},
          {"bytes_sent", bytes}};
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
  if (team.size() > 1) {
    root["ranks"] = team.size();
    root["mesh"] = {{"tp", artifact->manifest().mesh.tp},
                    {"ep", artifact->manifest().mesh.ep}};
    root["comm"] = commJson();
    if (device)
      root["device_comm"] = deviceCommName(session->deviceComm());
  }
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
                   runTool, what, static_cast<long long>(tokens), seconds,
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
        runTool, static_cast<long long>(report.steps),
        static_cast<long long>(report.values),
        static_cast<long long>(report.sites), double(report.largestError),
        report.largestErrorAt.empty() ? "" : " at ",
        report.largestErrorAt.c_str(), static_cast<long long>(report.ties));
}

Status Run::finishFiles() {
  if (!team.isFirst())
    return Status();
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

/// Prints the results and finishes the files.
Status Run::writeResults() {
  Status status = flags.json ? printJson() : printText();
  return status.ok() ? finishFiles() : status;
}

/// `code`, unless what was printed went nowhere.
int Run::finishOutput(int code) const {
  if (!outputFailed && std::fflush(stdout) == 0 && !std::ferror(stdout))
    return code;
  printError(runTool, outputError);
  return ExitFailure;
}
