//===- Report.h - what was measured, as text ---------------------*- C++
//-*-===//
//
// Part of dsv2, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef DSV2_TOOLS_DSV2_BENCH_REPORT_H
#define DSV2_TOOLS_DSV2_BENCH_REPORT_H

#include "dsv2rt/Manifest.h"
#include "dsv2rt/Session.h"

#include <cstdint>
#include <map>
#include <string>
#include <vector>

namespace dsv2bench {

/// One row of the result.
struct Row {
  /// "pp" or "tg".
  std::string test;
  int64_t tokens = 0, depth = 0, batch = 0;
  int threads = 0;
  /// Tokens a second of all sequences together, one for each repetition.
  std::vector<double> rates;
  /// Bytes that one step reads of weights and cache, 0 for prompts.
  int64_t bytesPerStep = 0;
  /// Operations that the model needs for one token, on average over the test;
  /// 0: unknown.
  double operationsPerToken = 0;

  double median() const;
  double low() const;
  double high() const;
  /// Bytes and operations a second at the median rate.
  double bandwidth() const {
    return double(bytesPerStep) * median() / double(batch);
  }
  double operations() const { return operationsPerToken * median(); }
};

/// What the machine could do at most with a number of threads; 0: not measured.
struct Limits {
  /// Bytes a second: reading, on a device copying, which reads and writes.
  double readBandwidth = 0;
  /// Operations a second of the instruction that the kernels use.
  double peak = 0;
  /// Seconds of an empty parallel region.
  double region = 0;
};

/// Everything that a run of the program found out.
struct Report {
  const dsv2rt::Manifest *manifest = nullptr;
  std::string artifact, variant, weights;
  /// Where the model ran, as "cuda:0", and what its maker calls it; empty: on
  /// the CPU.
  std::string device, deviceModel;
  /// What carries the exchanges of ranks on devices; empty for a rank alone.
  std::string deviceComm;
  /// Seconds until the weights were on the device.
  double uploadSeconds = 0;
  int ranks = 1;
  int repetitions = 0;
  int64_t chunk = 0;
  /// The instruction whose peak was measured.
  std::string instruction;
  std::vector<Row> rows;
  /// By number of threads.
  std::map<int, Limits> limits;
  dsv2rt::MemoryPlan plan;
  uint64_t peakMemory = 0;
  double loadSeconds = 0;
  bool weightsReused = false;

  /// The parts of the two limits that a row reached, in percent; 0: unknown.
  double percentOfBandwidth(const Row &row) const;
  double percentOfPeak(const Row &row) const;
};

/// A table for people, one JSON object, or one JSON object for every row and
/// line, on standard output. Where llama-bench has a field of the same meaning,
/// rows have it under the same name.
void printMarkdown(const Report &report);
void printJson(const Report &report);
void printJsonLines(const Report &report);

} // namespace dsv2bench

#endif // DSV2_TOOLS_DSV2_BENCH_REPORT_H
