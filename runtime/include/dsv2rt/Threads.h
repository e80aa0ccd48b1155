//===- Threads.h - how many threads, and where ------------------*- C++ -*-===//
//
// Part of dsv2, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// Compiled code runs on the team of LLVM's OpenMP runtime, which keeps its
// threads between parallel regions. How long they spin for the next one before
// they sleep is that runtime's KMP_BLOCKTIME, 200 ms by default.
//
//===----------------------------------------------------------------------===//

#ifndef DSV2RT_THREADS_H
#define DSV2RT_THREADS_H

#include "dsv2rt/Status.h"

#include <algorithm>
#include <cstdint>
#include <string>
#include <vector>

namespace dsv2rt {

/// What this process may compute on.
struct ProcessorSet {
  /// Numbers of the processors that the affinity mask allows: first one of
  /// every core, then the second ones and so on. Thread i is pinned to the
  /// i-th.
  std::vector<int> order;
  /// How many cores they belong to, at least 1.
  int cores = 1;
  /// Processors whose time the control groups grant, rounded up; 0: all.
  int quota = 0;

  /// More threads than this can only take turns.
  int limit() const { return atMostQuota(int(order.size())); }
  /// One thread a core: a core's second thread adds no memory bandwidth and
  /// hardly any arithmetic.
  int defaultThreads() const { return atMostQuota(cores); }

private:
  int atMostQuota(int count) const {
    return std::max(quota > 0 ? std::min(quota, count) : count, 1);
  }
};

/// The processors of this process as they were when it was first called; later
/// pinning does not change the answer.
const ProcessorSet &availableProcessors();

/// A number that processes of one host have in common, and another that those
/// have that may use the same processors of it.
uint64_t hostNumber();
uint64_t processorNumber();

/// Arranges the processors `allowed` by the topology that the system shows in
/// files below `root` ("" for the real ones), and reads the quota there. What
/// cannot be read counts as absent.
ProcessorSet arrangeProcessors(const std::vector<int> &allowed,
                               const std::string &root);

/// Sets the number of threads that compiled code runs on. Applies to the
/// calling thread's parallel regions; at least 1.
void setThreadCount(int threads);

/// Ends the team of the calling thread and gives back what the OpenMP runtime
/// keeps for this process outside of it (a file in /dev/shm). For processes
/// that end without running destructors.
void releaseThreads();

/// The number of threads that compiled code runs on when nothing was set:
/// OMP_NUM_THREADS, or availableProcessors().defaultThreads().
int defaultThreadCount();

/// Keeps each of the `threads` threads of the calling thread's team on a
/// processor of its own, from the one at `first` on. Threads created later by
/// the calling thread inherit its place, so this comes last, or unpinThreads()
/// before. Errors: InvalidArgument for more threads than processors; Internal
/// when the system refuses.
Status pinThreads(int threads, int first = 0);

/// Lets the team's threads run on every allowed processor again.
void unpinThreads(int threads);

} // namespace dsv2rt

#endif // DSV2RT_THREADS_H
