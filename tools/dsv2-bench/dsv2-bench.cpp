//===- dsv2-bench.cpp - measures a compiled model -----------------------===//
//
// Part of dsv2, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "Bench.h"

#include <CLI/CLI.hpp>

#include <cstdio>

using namespace dsv2rt;
using namespace dsv2bench;

static const char footer[] = R"(
Lists are separated by commas. pp rows process a prompt, tg rows generate; the
rate is the median of the repetitions. GB/s counts the packed weights that one
step has to read, of routed experts only those chosen, and the latent cache;
with several sequences, which may share experts, it is an upper bound. TOP/s
counts the model's matrix products and attention, two operations for a product
that is summed; its limit is what the instruction of the kernels reaches on
registers. Both limits are measured at the end of the run. Of several ranks rates, bytes,
operations, limits and memory are those of all together. Rows of json and
jsonl have the names of llama-bench's fields where it has the same ones.

Exit codes: 0 success; 1 a failure while running; 2 a wrong command line.)";

static void declare(CLI::App &app, BenchFlags &flags) {
  constexpr int64_t most = int64_t(1) << 32;
  declareModelFlags(app, flags.model, Artifact::inProcess());
  app.add_option("-p", flags.promptTokens, "Prompt tokens; 0: no such test")
      ->delimiter(',')
      ->capture_default_str()
      ->check(CLI::Range(int64_t(0), most));
  app.add_option("-n", flags.generateTokens,
                 "Tokens to generate; 0: no such test")
      ->delimiter(',')
      ->capture_default_str()
      ->check(CLI::Range(int64_t(0), most));
  app.add_option("-d", flags.depths, "Tokens already in the cache")
      ->delimiter(',')
      ->capture_default_str()
      ->check(CLI::Range(int64_t(0), most));
  app.add_option("-b", flags.batches, "Sequences")
      ->delimiter(',')
      ->capture_default_str()
      ->check(CLI::Range(int64_t(1), most));
  app.add_option("-t", flags.threads,
                 "Threads of a rank (default: one for every core that affinity "
                 "and control groups grant, shared by the ranks)")
      ->delimiter(',')
      ->check(CLI::Range(1, 4096));
  declarePinFlag(app, flags.model);
  declareRankFlags(app, flags.ranks);
  app.add_option("-r", flags.repetitions, "Repetitions of each test")
      ->capture_default_str()
      ->check(CLI::Range(1, 10000));
  app.add_option("--chunk", flags.chunk,
                 "Prompt tokens of one step (default: 512, on a device 4096)")
      ->check(CLI::Range(int64_t(1), int64_t(1) << 24));
  app.add_option("-o", flags.output,
                 "Form of the result: md, json, or jsonl, one object for every "
                 "row")
      ->capture_default_str()
      ->check(CLI::IsMember({"md", "json", "jsonl"}));
  app.footer(footer);
}

int main(int argc, char **argv) {
  try {
    BenchFlags flags;
    CLI::App app("Measures a compiled DeepSeek-V2 family model.", benchTool);
    app.set_version_flag("--version",
                         std::string(benchTool) + " " + DSV2_VERSION);
    declare(app, flags);
    try {
      app.parse(argc, argv);
    } catch (const CLI::ParseError &error) {
      if (error.get_exit_code() == 0)
        return app.exit(error);
      printError(benchTool, error.what());
      return ExitUsage;
    }
    handleInterrupts();
    auto begin = std::chrono::steady_clock::now();
    // Before ranks are started, which are as many as it is for.
    Expected<std::shared_ptr<const Artifact>> artifact =
        loadArtifact(flags.model);
    if (!artifact.ok())
      return reportFailure(benchTool, artifact.status());
    flags.loadSeconds = secondsSince(begin);
    return runOnTeam(
        benchTool, flags.ranks, *artifact.value(),
        [&](Team &team) { return Bench(flags, artifact.value(), team).run(); });
  } catch (const std::bad_alloc &) {
    printError(benchTool, "memory allocation failed");
  } catch (const std::exception &error) {
    printError(benchTool, std::string("unexpected exception: ") + error.what());
  }
  return ExitFailure;
}
