//===- Bench.h - measurements of a compiled model ---------------*- C++ -*-===//
//
// Part of dsv2, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
// Every combination of depth, batch and threads gives two rows: pp, a prompt
// of -p tokens in each of the sequences, and tg, -n tokens generated one step
// after the other. Sequences already hold as many tokens as the depth says;
// those are computed once and shared with every repetition.
//
//===----------------------------------------------------------------------===//

#ifndef DSV2_TOOLS_DSV2_BENCH_BENCH_H
#define DSV2_TOOLS_DSV2_BENCH_BENCH_H

#include "Report.h"
#include "ToolSupport.h"

#include "dsv2rt/Session.h"

#include <chrono>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

namespace dsv2bench {

/// How the program calls itself in messages.
constexpr const char *benchTool = "dsv2-bench";

inline double secondsSince(std::chrono::steady_clock::time_point begin) {
  std::chrono::duration<double> spent =
      std::chrono::steady_clock::now() - begin;
  return spent.count();
}

/// The command line.
struct BenchFlags {
  dsv2rt::ModelFlags model;
  dsv2rt::RankFlags ranks;
  std::vector<int64_t> promptTokens{512};
  std::vector<int64_t> generateTokens{128};
  std::vector<int64_t> depths{0};
  std::vector<int64_t> batches{1};
  std::vector<int> threads;
  int repetitions = 5;
  int64_t chunk = 0;
  std::string output = "md";
  /// What it took to load the artifact.
  double loadSeconds = 0;
};

/// Takes the measurements.
class Bench {
public:
  /// Measures `artifact` on this rank of `team`.
  Bench(BenchFlags flags, std::shared_ptr<const dsv2rt::Artifact> artifact,
        dsv2rt::Team &team)
      : flags(std::move(flags)), team(team), artifact(std::move(artifact)) {}

  /// Returns the exit code of this rank.
  int run();

private:
  dsv2rt::Status place();
  dsv2rt::Status load();
  dsv2rt::Status checkLimits() const;
  dsv2rt::Status measure(int64_t depth, int64_t batch, int threads);
  dsv2rt::Expected<double> promptOnce(int64_t depth, int64_t batch,
                                      int64_t tokens);
  dsv2rt::Expected<double> generateOnce(int64_t depth, int64_t batch,
                                        int64_t tokens);
  dsv2rt::Expected<double>
  generateByHost(const std::vector<dsv2rt::SequenceId> &sequences,
                 int64_t tokens);
  dsv2rt::Expected<double>
  generateByDevice(const std::vector<dsv2rt::SequenceId> &sequences,
                   int64_t tokens);
  dsv2rt::Expected<std::vector<dsv2rt::SequenceId>> forkAll(int64_t depth,
                                                            int64_t batch);
  dsv2rt::Status removeAll(const std::vector<dsv2rt::SequenceId> &sequences);
  dsv2rt::Status feed(const std::vector<dsv2rt::SequenceId> &sequences,
                      int64_t tokens);
  template <class F> dsv2rt::Status repeat(Row row, F once);
  double operationsOfPrompt(int64_t depth, int64_t batch, int64_t tokens) const;
  double operationsOfStep(int64_t depth, int64_t tokens) const;
  void measureLimits();
  dsv2rt::Status measureDevice();
  dsv2rt::Status addMemory();
  dsv2rt::Status measureAll();

  BenchFlags flags;
  dsv2rt::Team &team;
  dsv2rt::Team::Neighbours neighbours;
  std::shared_ptr<const dsv2rt::Artifact> artifact;
  std::shared_ptr<const dsv2rt::PackedWeights> weights;
  std::shared_ptr<dsv2rt::Device> device;
  std::unique_ptr<dsv2rt::Session> session;
  /// A sequence for every index of the ep axis, which holds as many tokens as
  /// the depth says.
  std::vector<dsv2rt::SequenceId> bases;
  Report report;
  std::vector<int32_t> tokens;
};

} // namespace dsv2bench

#endif // DSV2_TOOLS_DSV2_BENCH_BENCH_H
