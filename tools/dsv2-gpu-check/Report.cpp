//===- Report.cpp - prints what became of cases ---------------------------===//
//
// Part of dsv2, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "Report.h"

#include <nlohmann/json.hpp>

#include <algorithm>

using namespace dsv2rt;
using namespace dsv2check;

static void printJson(FILE *file, const nlohmann::json &value) {
  if (file)
    std::fprintf(
        file, "%s\n",
        value.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace)
            .c_str());
}

void Report::device(const Device::Info &found) {
  info = found;
  std::printf("device %s: %s, compute capability %d.%d, %d multiprocessors, "
              "%.1f GiB, L2 %.0f MiB, driver for CUDA %d.%d\n",
              info.name.c_str(), info.model.c_str(), info.major, info.minor,
              info.multiprocessors, double(info.memoryBytes) / (1 << 30),
              double(info.cacheBytes) / (1 << 20), info.driverVersion / 1000,
              info.driverVersion % 1000 / 10);
  std::fflush(stdout);
  printJson(json, {{"device", info.name},
                   {"model", info.model},
                   {"driver", info.driverVersion},
                   {"multiprocessors", info.multiprocessors}});
}

void Report::ceilings(const Ceilings &found) {
  limits = found;
  if (!limits.productRate && !info.emulated) {
    // The makers' numbers for the large cards of an architecture, which none
    // reaches.
    isNominal = true;
    limits.productRate = info.major == 9   ? 989e12
                         : info.major == 8 ? 312e12
                                           : 0;
  }
  std::printf("ceilings: copy %.0f GB/s (read and written); products %.0f "
              "TFLOP/s (%s%s)\n",
              limits.copyRate / 1e9, limits.productRate / 1e12,
              isNominal ? "nominal; " : "", limits.productText.c_str());
  std::fflush(stdout);
  printJson(json, {{"copy_GBps", limits.copyRate / 1e9},
                   {"product_TFLOPps", limits.productRate / 1e12},
                   {"product_nominal", isNominal},
                   {"product_text", limits.productText}});
}

/// " 12.3 us  2345 GB/s  123.4 TFLOP/s  78% of memory".
void Report::printTimes(const KernelCase &item, const Outcome &outcome) {
  const CaseTimes &times = *outcome.times;
  double memory = limits.copyRate ? item.bytes / limits.copyRate : 0;
  double products =
      limits.productRate ? item.operations / limits.productRate : 0;
  const char *bound = memory > products ? "copy" : "products";
  double share =
      times.median > 0 ? std::max(memory, products) / times.median : 0;
  std::printf("%10.1f us %8.0f GB/s %8.1f TFLOP/s  %5.1f%% of %-8s  %s",
              times.median * 1e6, item.bytes / times.median / 1e9,
              item.operations / times.median / 1e12, share * 100, bound,
              item.name.c_str());
  if (plan.check)
    std::printf("  (deviation %.2f)", outcome.worst);
  std::printf("\n");
}

void Report::done(const Plan::Item &item, const Outcome &outcome) {
  const KernelCase &what = plan.at(item);
  static const char *const words[] = {"ok", "FAILED", "unsupported", "not run"};
  const char *word = words[int(outcome.kind)];
  switch (outcome.kind) {
  case Outcome::Kind::Passed:
    ++passed;
    elements += outcome.elements;
    if (outcome.worst > worst || worstName.empty()) {
      worst = outcome.worst;
      worstName = what.name;
    }
    if (outcome.times)
      printTimes(what, outcome);
    else if (!quiet)
      std::printf("ok      %6.3f of what is allowed, %8lld elements  %s\n",
                  outcome.worst, (long long)outcome.elements,
                  what.name.c_str());
    break;
  case Outcome::Kind::Failed:
    ++failed;
    std::printf("FAILED  %s: %s\n", what.name.c_str(), outcome.text.c_str());
    break;
  case Outcome::Kind::Unsupported:
    if (!unsupported++)
      std::printf("unsupported  %s: %s\n", what.name.c_str(),
                  outcome.text.c_str());
    break;
  case Outcome::Kind::NotRun:
    if (!notRun++)
      std::printf("not run  %s: %s\n", what.name.c_str(), outcome.text.c_str());
    break;
  }
  std::fflush(stdout);
  if (!json)
    return;
  nlohmann::json line = {{"case", what.name},
                         {"file", plan.files[item.file].path},
                         {"result", word},
                         {"text", outcome.text},
                         {"deviation", std::min(outcome.worst, 1e300)},
                         {"elements", outcome.elements}};
  if (outcome.times) {
    line["median_us"] = outcome.times->median * 1e6;
    line["fastest_us"] = outcome.times->fastest * 1e6;
    line["runs"] = outcome.times->runs;
    line["sets"] = outcome.times->sets;
    line["GBps"] = what.bytes / outcome.times->median / 1e9;
    line["TFLOPps"] = what.operations / outcome.times->median / 1e12;
  }
  printJson(json, line);
  std::fflush(json);
}

bool Report::finish() {
  std::printf("%lld passed, %lld failed", (long long)passed, (long long)failed);
  if (unsupported)
    std::printf(", %lld without code for this device", (long long)unsupported);
  if (notRun)
    std::printf(", %lld not run", (long long)notRun);
  if (plan.check && passed)
    std::printf("; %lld elements compared, the worst at %.3f of what is "
                "allowed (%s)",
                (long long)elements, worst, worstName.c_str());
  std::printf("\n");
  std::fflush(stdout);
  return passed && !failed && !notRun;
}
