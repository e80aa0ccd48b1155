//===- PerplexityMode.h - dsv2-run --perplexity -----------------*- C++ -*-===//
//
// Part of dsv2, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef DSV2_TOOLS_DSV2_RUN_PERPLEXITYMODE_H
#define DSV2_TOOLS_DSV2_RUN_PERPLEXITYMODE_H

#include "dsv2rt/Session.h"
#include "dsv2rt/Status.h"

#include <cstdint>
#include <string>
#include <vector>

namespace dsv2rt {

/// What --perplexity is told.
struct PerplexityFlags {
  int64_t window = 512;
  int64_t chunk = 512;
  /// File for the logits of the scored positions; empty: none.
  std::string logits;
  /// File that another run wrote so; empty: none.
  std::string compareLogits;
  bool json = false;
  /// Writes nothing: another rank does.
  bool silent = false;
};

/// The window of `--context`, or the default of an artifact.
int64_t perplexityWindow(const Manifest &manifest, int64_t context);

/// Scores `tokens` and prints the result on standard output, and how far it got
/// on standard error if that is a terminal.
Status runPerplexity(Session &session, const std::vector<int32_t> &tokens,
                     const PerplexityFlags &flags);

} // namespace dsv2rt

#endif // DSV2_TOOLS_DSV2_RUN_PERPLEXITYMODE_H
