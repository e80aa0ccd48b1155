//===- Worker.h - runs cases in processes of their own ----------*- C++ -*-===//
//
// Part of dsv2, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// A failed kernel takes the context of its process with it, and a kernel that
// hangs never returns. So cases run in a child, which says what it does over a
// pipe; when it fails or takes too long, the next child goes on behind the
// case.
//
//===----------------------------------------------------------------------===//

#ifndef DSV2_TOOLS_DSV2_GPU_CHECK_WORKER_H
#define DSV2_TOOLS_DSV2_GPU_CHECK_WORKER_H

#include "Ceilings.h"
#include "dsv2rt/CaseRunner.h"

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

namespace dsv2check {

/// What is to be done with which cases.
struct Plan {
  std::string device = "cuda";
  bool check = true, bench = false;
  /// Ceilings are measured first.
  bool ceilings = false;
  std::string cublas;
  /// Seconds that a case may take, and all of them together.
  double caseLimit = 60, budget = 1e9;
  /// Without processes: for debuggers and sanitizers.
  bool inProcess = false;

  struct File {
    std::string path;
    std::shared_ptr<const dsv2rt::KernelCases> cases;
  };
  std::vector<File> files;
  /// A case by file and number in it.
  struct Item {
    size_t file = 0, number = 0;
  };
  std::vector<Item> items;

  const dsv2rt::KernelCase &at(const Item &item) const {
    return files[item.file].cases->cases[item.number];
  }
};

/// What became of a case.
struct Outcome {
  enum class Kind {
    /// It is right, or was only timed.
    Passed,
    /// It is wrong, could not be run, killed its process, or took too long.
    Failed,
    /// The device has no code for it.
    Unsupported,
    /// There was no time left for it.
    NotRun,
  };
  Kind kind = Kind::NotRun;
  /// Why it is not Passed; else what differs most.
  std::string text;
  double worst = 0;
  int64_t elements = 0;
  std::optional<dsv2rt::CaseTimes> times;
};

/// Receives what happens, in the order of the plan.
struct Observer {
  virtual ~Observer() = default;
  /// The device is open.
  virtual void device(const dsv2rt::Device::Info &info) = 0;
  virtual void ceilings(const Ceilings &found) = 0;
  virtual void done(const Plan::Item &item, const Outcome &outcome) = 0;
};

/// Runs the plan. Fails when the device cannot be opened.
dsv2rt::Status runPlan(const Plan &plan, Observer &observer);

} // namespace dsv2check

#endif // DSV2_TOOLS_DSV2_GPU_CHECK_WORKER_H
