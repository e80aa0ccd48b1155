//===- Bandwidth.cpp - how fast this machine reads memory -----------------===//
//
// Part of dsv2, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "Bandwidth.h"

#include "dsv2rt/Buffer.h"

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstdint>
#include <thread>
#include <vector>

#include <sys/mman.h>

using namespace dsv2rt;

/// Reads `words` words and returns something that depends on all of them, with
/// enough independent chains to keep many loads in flight.
static uint64_t readAll(const uint64_t *data, int64_t words) {
  constexpr int chains = 32;
  uint64_t sums[chains] = {};
  for (int64_t i = 0; i < words; i += chains)
    for (int c = 0; c < chains; ++c)
      sums[c] += data[i + c];
  uint64_t total = 0;
  for (uint64_t sum : sums)
    total ^= sum;
  return total;
}

double dsv2bench::measureReadBandwidth(int threads) {
  constexpr int passes = 6;
  constexpr uint64_t wanted = uint64_t(1) << 30;
  uint64_t total = std::min(wanted, availableMemory() / 4);
  uint64_t share = total / threads / 4096 * 4096;
  Buffer buffer;
  if (share < (1 << 20) ||
      !buffer.reserve(share * threads, "a bandwidth test").ok())
    return 0;
  madvise(buffer.data(), buffer.size(), MADV_HUGEPAGE);
  auto *base = static_cast<uint64_t *>(buffer.data());
  int64_t words = int64_t(share / 8);
  std::atomic<uint64_t> sink{0};
  double best = 0;
  // The first pass writes, so that every page is there and lies near the
  // thread that reads it.
  for (int pass = 0; pass <= passes; ++pass) {
    std::atomic<int> ready{0};
    std::vector<std::chrono::steady_clock::time_point> begins(threads),
        ends(threads);
    auto work = [&](int thread) {
      uint64_t *mine = base + thread * words;
      ++ready;
      while (ready < threads)
        std::this_thread::yield();
      begins[thread] = std::chrono::steady_clock::now();
      if (pass == 0)
        std::fill(mine, mine + words, uint64_t(thread));
      else
        sink ^= readAll(mine, words);
      ends[thread] = std::chrono::steady_clock::now();
    };
    std::vector<std::thread> workers;
    for (int thread = 1; thread < threads; ++thread)
      workers.emplace_back(work, thread);
    work(0);
    for (std::thread &worker : workers)
      worker.join();
    std::chrono::duration<double> spent =
        *std::max_element(ends.begin(), ends.end()) -
        *std::min_element(begins.begin(), begins.end());
    if (pass)
      best = std::max(best, double(share) * threads / spent.count());
  }
  return best;
}
