//===- LossDetector.h - whether a rank still gets on ------------*- C++ -*-===//
//
// Part of dsv2, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef DSV2RT_LIB_COMM_LOSSDETECTOR_H
#define DSV2RT_LIB_COMM_LOSSDETECTOR_H

#include "Region.h"

#include <chrono>
#include <vector>

namespace dsv2rt::comm {

/// Watches a rank that this one waits for. When that one waits itself, it is
/// not to blame: then the rank at the end of the chain is watched.
class LossDetector {
public:
  LossDetector(const Region &region, int self, int awaited, double timeout);

  /// To be called again and again while waiting in `operation`. "" while there
  /// is hope; the reason to end the job when no rank of the chain has got on
  /// for the timeout.
  std::string check(const Operation &operation);

  /// How long to sleep between two calls.
  int64_t sleepNanoseconds() const;

private:
  std::string message(const Operation &operation, bool circle) const;

  const Region &region;
  int self;
  int awaited;
  double timeout;
  std::chrono::steady_clock::time_point last;
  /// The rank awaited, the one that it waits for, and so on.
  std::vector<int> chain;
  uint64_t progress = 0;
  double waited = 0;
};

} // namespace dsv2rt::comm

#endif // DSV2RT_LIB_COMM_LOSSDETECTOR_H
