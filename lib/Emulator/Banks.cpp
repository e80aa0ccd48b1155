//===- Banks.cpp - conflicts of the banks of shared memory ----------------===//
//
// Part of dsv2, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "Banks.h"

#include <algorithm>
#include <set>

using namespace dsv2::emulator;

std::pair<uint32_t, uint32_t>
dsv2::emulator::countPasses(const std::map<uint32_t, uint64_t> &addresses,
                            uint32_t bytes) {
  uint32_t words = std::max(bytes / 4, 1u);
  uint32_t lanes = 32 / words;
  uint32_t passes = 0, least = 0;
  for (uint32_t first = 0; first < 32; first += lanes) {
    std::set<uint64_t> banks[32];
    auto begin = addresses.lower_bound(first);
    auto end = addresses.lower_bound(first + lanes);
    if (begin == end)
      continue;
    for (auto it = begin; it != end; ++it)
      for (uint32_t word = 0; word < words; ++word) {
        uint64_t number = it->second / 4 + word;
        banks[number % 32].insert(number);
      }
    size_t most = 0;
    for (const std::set<uint64_t> &bank : banks)
      most = std::max(most, bank.size());
    passes += most;
    ++least;
  }
  return {passes, least};
}

void BankCounter::access(uint32_t warp, uint32_t lane, uint32_t site,
                         uint64_t address, uint32_t bytes) {
  Site &entry = sites[{warp, site}];
  uint32_t number = entry.counts[lane]++;
  if (entry.accesses.size() <= number)
    entry.accesses.resize(number + 1);
  entry.accesses[number].bytes = bytes;
  entry.accesses[number].addresses[lane] = address;
}

std::pair<uint64_t, uint64_t> BankCounter::total() const {
  uint64_t count = 0, conflicts = 0;
  for (const auto &[key, site] : sites)
    for (const Access &access : site.accesses) {
      auto [passes, least] = countPasses(access.addresses, access.bytes);
      ++count;
      conflicts += passes - least;
    }
  return {count, conflicts};
}
