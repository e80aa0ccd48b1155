//===- RunFlags.cpp - the command line of dsv2-run ----------------------===//
//
// Part of dsv2, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "RunFlags.h"

#include <CLI/CLI.hpp>

#include <cerrno>
#include <cstdlib>

using namespace dsv2rt;

static const char footer[] = R"(
Several prompts run as one batch; each output then follows a line
'==> prompt N <=='. With --token-ids a prompt is a list of decimal token ids,
taken as they are (no beginning-of-sequence token is added), and the output is
token ids on one line.

The packed weights are kept in ARTIFACT.weights unless --packed says otherwise,
and made again when artifact or weights change. Each of several ranks has a file
of its own, ARTIFACT.rankRofN.weights or FILE.rankRofN.

An artifact for several ranks runs on as many processes, which this program
starts unless mpirun has. Threads and memory are those of one rank.

Environment: OMP_NUM_THREADS (threads when --threads is not given),
DSV2_CPU_FEATURES_MASK (CPU features to treat as absent), DSV2_CUDA_LIBRARY and
DSV2_EMULATOR_LIBRARY (other libraries than libcuda.so.1 and the emulator),
DSV2_NCCL_LIBRARY (another one than libnccl.so.2),
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

void dsv2rt::declareRunFlags(CLI::App &app, RunFlags &flags, bool builtIn) {
  app.footer(footer);
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
                 "affinity and control groups grant, shared by the ranks)")
      ->check(CLI::Range(1, 4096));
  declarePinFlag(app, flags.model);
  declareRankFlags(app, flags.ranks);
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
