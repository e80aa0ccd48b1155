//===- RunFlags.h - the command line of dsv2-run ----------------*- C++ -*-===//
//
// Part of dsv2, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef DSV2_TOOLS_DSV2_RUN_RUNFLAGS_H
#define DSV2_TOOLS_DSV2_RUN_RUNFLAGS_H

#include "Ranks.h"
#include "ToolSupport.h"

#include "dsv2rt/sampling.h"

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

namespace dsv2rt {

/// The command line.
struct RunFlags {
  ModelFlags model;
  std::string tokenizer;
  std::vector<std::string> prompts;
  std::vector<std::string> promptFiles;
  bool chat = false;
  bool tokenIds = false;
  int64_t maxTokens = 128;
  SamplingParams sampling;
  std::optional<uint64_t> seed;
  RankFlags ranks;
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

/// Declares the flags on `app`. With `builtIn` the program holds its artifact
/// and the command line names none.
void declareRunFlags(CLI::App &app, RunFlags &flags, bool builtIn);

} // namespace dsv2rt

#endif // DSV2_TOOLS_DSV2_RUN_RUNFLAGS_H
