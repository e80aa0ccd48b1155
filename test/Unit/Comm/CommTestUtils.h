//===- CommTestUtils.h - what tests of ranks share --------------*- C++ -*-===//
//
// Part of dsv2, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef DSV2_TEST_UNIT_COMM_COMMTESTUTILS_H
#define DSV2_TEST_UNIT_COMM_COMMTESTUTILS_H

#include "dsv2rt/comm/Communicator.h"

#include <chrono>
#include <functional>
#include <vector>

#include <gtest/gtest.h>

namespace dsv2test {

/// Every operation, with its name in messages.
enum class Call {
  AllReduce,
  AllGather,
  AllGatherV,
  AllToAllV,
  TwoCallExchange,
  Barrier,
  Split
};
inline constexpr Call allCalls[] = {
    Call::AllReduce,       Call::AllGather, Call::AllGatherV, Call::AllToAllV,
    Call::TwoCallExchange, Call::Barrier,   Call::Split};
const char *callName(Call call);

/// Calls an operation with `bytes` (a multiple of 4) of zeros for each rank.
dsv2rt::Status perform(dsv2rt::Communicator &communicator, Call call,
                       const dsv2rt::CollectiveSite &site = {"test.site", 5},
                       int64_t bytes = 256);

/// Runs `body` on threads whose outboxes have `outboxBytes` bytes and returns
/// each rank's status, or for an exception one that holds its text.
std::vector<dsv2rt::Status>
runOnThreads(int ranks, const dsv2rt::CommOptions &options,
             const std::function<dsv2rt::Status(dsv2rt::Communicator &)> &body,
             size_t outboxBytes = 4096);

/// Expects RankFailed with `text` in the message on every rank.
void expectAllFailed(const std::vector<dsv2rt::Status> &statuses,
                     const std::string &text);

/// Options with a timeout of so many seconds.
inline dsv2rt::CommOptions withTimeout(double seconds) {
  dsv2rt::CommOptions options;
  options.timeout = seconds;
  return options;
}

/// Seconds since it was made.
class Stopwatch {
public:
  double seconds() const {
    return std::chrono::duration<double>(std::chrono::steady_clock::now() -
                                         start)
        .count();
  }

private:
  std::chrono::steady_clock::time_point start =
      std::chrono::steady_clock::now();
};

} // namespace dsv2test

#endif // DSV2_TEST_UNIT_COMM_COMMTESTUTILS_H
