//===- Report.h - prints what became of cases -------------------*- C++ -*-===//
//
// Part of dsv2, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef DSV2_TOOLS_DSV2_GPU_CHECK_REPORT_H
#define DSV2_TOOLS_DSV2_GPU_CHECK_REPORT_H

#include "Worker.h"

#include <cstdio>

namespace dsv2check {

/// Prints a line for every case as it is done, and counts.
class Report final : public Observer {
public:
  /// `json`, if not null, gets every line as an object too. With `quiet` only
  /// what did not pass is printed.
  Report(const Plan &plan, FILE *json, bool quiet)
      : plan(plan), json(json), quiet(quiet) {}

  void device(const dsv2rt::Device::Info &info) override;
  void ceilings(const Ceilings &found) override;
  void done(const Plan::Item &item, const Outcome &outcome) override;

  /// Prints the last line. True when something passed and nothing failed.
  bool finish();

private:
  void printTimes(const dsv2rt::KernelCase &item, const Outcome &outcome);

  const Plan &plan;
  FILE *json;
  bool quiet;
  Ceilings limits;
  /// Where the limit of products is from: measured, or the maker's number.
  bool isNominal = false;
  dsv2rt::Device::Info info;
  int64_t passed = 0, failed = 0, unsupported = 0, notRun = 0, elements = 0;
  double worst = 0;
  std::string worstName;
};

} // namespace dsv2check

#endif // DSV2_TOOLS_DSV2_GPU_CHECK_REPORT_H
