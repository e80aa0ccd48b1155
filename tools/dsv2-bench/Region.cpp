//===- Region.cpp - what starting a team costs ----------------------------===//
//
// Part of dsv2, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "Region.h"

#include <algorithm>
#include <chrono>
#include <vector>

double dsv2bench::measureRegion(int threads) {
  constexpr int batches = 300, regions = 50;
  // A team with more threads than processors can take milliseconds a region.
  constexpr double mostSeconds = 1;
  using Clock = std::chrono::steady_clock;
  auto since = [](Clock::time_point begin) {
    return std::chrono::duration<double>(Clock::now() - begin).count();
  };
  std::vector<double> seconds;
  Clock::time_point start = Clock::now();
  for (int batch = 0; batch < batches && since(start) < mostSeconds; ++batch) {
    Clock::time_point begin = Clock::now();
    for (int region = 0; region < regions; ++region) {
      // Something that the optimiser has to leave where it is.
#pragma omp parallel num_threads(threads)
      asm volatile("" ::: "memory");
    }
    seconds.push_back(since(begin) / regions);
  }
  size_t middle = seconds.size() / 2;
  std::nth_element(seconds.begin(), seconds.begin() + middle, seconds.end());
  return seconds[middle];
}
