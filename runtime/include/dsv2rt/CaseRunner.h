//===- CaseRunner.h - runs cases on a device --------------------*- C++ -*-===//
//
// Part of dsv2, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef DSV2RT_CASERUNNER_H
#define DSV2RT_CASERUNNER_H

#include "dsv2rt/Device.h"
#include "dsv2rt/KernelCases.h"

#include <memory>
#include <string>
#include <vector>

namespace dsv2rt {

/// How far what was computed is from what was expected.
struct CaseDeviation {
  /// Elements that were compared, and those that differ by more than is
  /// allowed or are not finite where they have to be.
  int64_t elements = 0, wrong = 0;
  /// A hash of the elements that were compared: whether two runs gave the same,
  /// bit by bit.
  uint64_t digest = 0;
  /// The largest difference in units of what is allowed for its element;
  /// infinite for one that is not finite.
  double worst = 0;
  /// What differs most: "output, element 17: 0.5 instead of 0.25".
  std::string worstText;
};

/// Times of a case.
struct CaseTimes {
  /// Of one run of all launches, in seconds.
  double median = 0, fastest = 0;
  int64_t runs = 0;
  /// Copies of the buffers that took turns.
  int64_t sets = 0;
};

/// How long and on how much a case is timed.
struct CaseTiming {
  /// Time that the timed runs may take together, about, in seconds.
  double seconds = 0.2;
  int64_t minRuns = 5, maxRuns = 100;
};

/// Kernels loaded on a device.
class CaseRunner {
public:
  /// `name` is what messages call `cases`. Errors: Unsupported when no image
  /// suits the device; those of the driver.
  static Expected<std::unique_ptr<CaseRunner>>
  create(std::shared_ptr<Device> device,
         std::shared_ptr<const KernelCases> cases, const std::string &name);
  ~CaseRunner();

  /// Runs one of the cases, kernel by kernel, and compares. Errors are those of
  /// the driver, naming the kernel; after a DeviceError a device other than the
  /// emulator is of no use to this process any more.
  Expected<CaseDeviation> check(const KernelCase &item);

  /// Times the launches of a case. Sets of buffers take turns, as many as are
  /// needed for a run to find none of its own in the L2 cache. A run is timed
  /// by events around it, with the work queued far ahead of the device.
  Expected<CaseTimes> time(const KernelCase &item, const CaseTiming &timing);

private:
  struct Impl;
  explicit CaseRunner(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl;
};

} // namespace dsv2rt

#endif // DSV2RT_CASERUNNER_H
