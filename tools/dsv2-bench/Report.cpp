//===- Report.cpp - what was measured, as text ----------------------------===//
//
// Part of dsv2, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "Report.h"

#include <nlohmann/json.hpp>

#include <algorithm>
#include <cmath>
#include <cstdio>

using namespace dsv2bench;
using nlohmann::json;

double Row::median() const {
  std::vector<double> sorted = rates;
  std::sort(sorted.begin(), sorted.end());
  size_t middle = sorted.size() / 2;
  return sorted.size() % 2 ? sorted[middle]
                           : (sorted[middle - 1] + sorted[middle]) / 2;
}

double Row::low() const {
  return *std::min_element(rates.begin(), rates.end());
}
double Row::high() const {
  return *std::max_element(rates.begin(), rates.end());
}

/// `value` in percent of a limit that may be unknown.
static double percent(double value, double limit) {
  return limit > 0 ? value / limit * 100 : 0;
}

double Report::percentOfBandwidth(const Row &row) const {
  auto it = limits.find(row.threads);
  return it == limits.end()
             ? 0
             : percent(row.bandwidth(), it->second.readBandwidth);
}

double Report::percentOfPeak(const Row &row) const {
  auto it = limits.find(row.threads);
  return it == limits.end() ? 0 : percent(row.operations(), it->second.peak);
}

//===----------------------------------------------------------------------===//
// Text
//===----------------------------------------------------------------------===//

static void printLimits(const Report &report) {
  for (const auto &[threads, limits] : report.limits) {
    if (!report.device.empty()) {
      std::printf("limits of %s: copying in its memory %.2f GB/s, read and "
                  "written; weights were on it after %.3f s\n",
                  report.device.c_str(), limits.readBandwidth / 1e9,
                  report.uploadSeconds);
      return;
    }
    if (report.ranks > 1)
      std::printf("%d ranks with %d threads each, ", report.ranks, threads);
    std::printf("limits with %d threads: read bandwidth %.2f GB/s, arithmetic "
                "%.3g TOP/s (%s); a parallel region costs %.2f us\n",
                threads * report.ranks, limits.readBandwidth / 1e9,
                limits.peak / 1e12, report.instruction.c_str(),
                limits.region * 1e6);
  }
}

void dsv2bench::printMarkdown(const Report &report) {
  const dsv2rt::Manifest &manifest = *report.manifest;
  std::printf("model %s, weights %s, cache %s, target %s\n\n",
              manifest.model.name.c_str(),
              manifest.numerics.weightFormat.c_str(),
              manifest.numerics.kvFormat.c_str(),
              report.device.empty()
                  ? report.variant.c_str()
                  : (report.device + " " + report.deviceModel).c_str());
  std::printf("| test | depth | batch | threads | tokens/s | min to max | "
              "GB/s | %% of read bandwidth | TOP/s | %% of arithmetic peak |\n"
              "|---|---:|---:|---:|---:|---:|---:|---:|---:|---:|\n");
  for (const Row &row : report.rows) {
    std::printf("| %s%lld | %lld | %lld | %d | %.2f | %.2f to %.2f | ",
                row.test.c_str(), (long long)row.tokens, (long long)row.depth,
                (long long)row.batch, row.threads, row.median(), row.low(),
                row.high());
    const char *bound = row.batch > 1 ? "<= " : "";
    if (row.bytesPerStep)
      std::printf("%s%.2f | %s%.1f | ", bound, row.bandwidth() / 1e9, bound,
                  report.percentOfBandwidth(row));
    else
      std::printf("| | ");
    double peak = report.percentOfPeak(row);
    if (row.operationsPerToken > 0 && peak > 0)
      std::printf("%.3g | %.3g |\n", row.operations() / 1e12, peak);
    else if (row.operationsPerToken > 0)
      std::printf("%.3g | |\n", row.operations() / 1e12);
    else
      std::printf("| |\n");
  }
  std::printf("\n");
  printLimits(report);
  const dsv2rt::MemoryPlan &plan = report.plan;
  std::printf("active weight bytes of one token: %lld\n"
              "planned memory: %lld bytes (weights %lld, cache %lld, "
              "workspace %lld, logits %lld)\n"
              "peak resident memory: %llu bytes\n"
              "load time: %.3f s (%s)\n",
              (long long)manifest.activeWeightBytes(1), (long long)plan.total(),
              (long long)plan.weights, (long long)plan.cache,
              (long long)plan.workspace, (long long)plan.logits,
              (unsigned long long)report.peakMemory, report.loadSeconds,
              report.weightsReused ? "weights mapped" : "weights prepared");
}

//===----------------------------------------------------------------------===//
// JSON
//===----------------------------------------------------------------------===//

/// Mean and standard deviation of a sample, the latter 0 for a single value.
static std::pair<double, double> meanOf(const std::vector<double> &values) {
  double sum = 0, squares = 0;
  for (double value : values)
    sum += value;
  double mean = sum / double(values.size());
  for (double value : values)
    squares += (value - mean) * (value - mean);
  return {mean, values.size() > 1
                    ? std::sqrt(squares / double(values.size() - 1))
                    : 0};
}

/// The fields of a row that llama-bench has too.
static json commonFields(const Report &report, const Row &row) {
  const dsv2rt::Manifest &manifest = *report.manifest;
  std::vector<double> nanoseconds;
  for (double rate : row.rates)
    nanoseconds.push_back(double(row.tokens * row.batch) / rate * 1e9);
  auto [avgNs, stddevNs] = meanOf(nanoseconds);
  auto [avgTs, stddevTs] = meanOf(row.rates);
  bool prompt = row.test == "pp";
  return {{"model_filename", report.artifact},
          {"model_type",
           manifest.model.name + " " + manifest.numerics.weightFormat},
          {"model_size", report.plan.weights},
          {"model_n_params", manifest.model.parameters},
          {"type_k", manifest.numerics.kvFormat},
          {"backends", report.device.empty()         ? "CPU"
                       : report.device == "emulator" ? "emulator"
                                                     : "CUDA"},
          {"gpu_info", report.deviceModel},
          {"n_batch", report.chunk},
          {"n_threads", row.threads},
          {"n_ranks", report.ranks},
          {"n_prompt", prompt ? row.tokens : 0},
          {"n_gen", prompt ? 0 : row.tokens},
          {"n_depth", row.depth},
          {"avg_ns", int64_t(avgNs)},
          {"stddev_ns", int64_t(stddevNs)},
          {"avg_ts", avgTs},
          {"stddev_ts", stddevTs},
          {"samples_ns",
           std::vector<int64_t>(nanoseconds.begin(), nanoseconds.end())},
          {"samples_ts", row.rates}};
}

static json toJson(const Report &report, const Row &row) {
  json item = commonFields(report, row);
  item.update({{"test", row.test},
               {"tokens", row.tokens},
               {"depth", row.depth},
               {"batch", row.batch},
               {"threads", row.threads},
               {"tokens_per_second", row.median()},
               {"tokens_per_second_min", row.low()},
               {"tokens_per_second_max", row.high()}});
  if (row.bytesPerStep) {
    item["bytes_per_step"] = row.bytesPerStep;
    item["bytes_per_second"] = row.bandwidth();
    item["percent_of_read_bandwidth"] = report.percentOfBandwidth(row);
    // Sequences may choose the same experts.
    item["bytes_are_upper_bound"] = row.batch > 1;
  }
  if (row.operationsPerToken > 0) {
    item["operations_per_token"] = row.operationsPerToken;
    item["operations_per_second"] = row.operations();
    if (double peak = report.percentOfPeak(row))
      item["percent_of_arithmetic_peak"] = peak;
  }
  return item;
}

static void print(const json &value, int indent) {
  std::printf(
      "%s\n",
      value.dump(indent, ' ', false, json::error_handler_t::replace).c_str());
}

void dsv2bench::printJson(const Report &report) {
  const dsv2rt::Manifest &manifest = *report.manifest;
  json list = json::array();
  for (const Row &row : report.rows)
    list.push_back(toJson(report, row));
  json bandwidths = json::object(), peaks = json::object(),
       regions = json::object();
  for (const auto &[threads, limits] : report.limits) {
    bandwidths[std::to_string(threads)] = limits.readBandwidth;
    peaks[std::to_string(threads)] = limits.peak;
    regions[std::to_string(threads)] = limits.region;
  }
  const dsv2rt::MemoryPlan &plan = report.plan;
  print({{"model", manifest.model.name},
         {"weights", report.weights},
         {"weight_format", manifest.numerics.weightFormat},
         {"kv_format", manifest.numerics.kvFormat},
         {"cpu", manifest.target.cpu},
         {"variant", report.variant},
         {"device", report.device.empty() ? json("cpu") : json(report.device)},
         {"device_model", report.deviceModel},
         {"device_comm", report.deviceComm},
         {"upload_seconds", report.uploadSeconds},
         {"ranks", report.ranks},
         {"repetitions", report.repetitions},
         {"rows", std::move(list)},
         {"read_bandwidth", std::move(bandwidths)},
         {"arithmetic_peak", std::move(peaks)},
         {"arithmetic_instruction", report.instruction},
         {"parallel_region_seconds", std::move(regions)},
         {"active_weight_bytes", manifest.activeWeightBytes(1)},
         {"memory",
          {{"weights", plan.weights},
           {"cache", plan.cache},
           {"workspace", plan.workspace},
           {"logits", plan.logits},
           {"total", plan.total()},
           {"peak_resident", report.peakMemory}}},
         {"load_seconds", report.loadSeconds},
         {"weights_reused", report.weightsReused}},
        2);
}

void dsv2bench::printJsonLines(const Report &report) {
  for (const Row &row : report.rows) {
    json item = toJson(report, row);
    auto it = report.limits.find(row.threads);
    if (it != report.limits.end()) {
      item["read_bandwidth"] = it->second.readBandwidth;
      item["arithmetic_peak"] = it->second.peak;
    }
    item["arithmetic_instruction"] = report.instruction;
    item["load_seconds"] = report.loadSeconds;
    item["peak_resident"] = report.peakMemory;
    print(item, -1);
  }
}
