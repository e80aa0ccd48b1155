//===- Clocks.h - who has seen what, as vector clocks -----------*- C++ -*-===//
//
// Part of dsv2, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// Every agent of a cluster counts its epochs; what an agent did before epoch e
// of another one happened before it if its vector clock holds a number of at
// least that epoch for the other. Agents are the threads, the tensor cores of
// each warpgroup, the copies of each thread's cp.async, and single bulk copies.
//
// Beside the clock of what is visible runs one of what is visible to the async
// proxy: generic accesses get into it by fence.proxy.async alone, anywhere on
// the way (PTX ISA, "Proxy-preserved base causality order").
//
//===----------------------------------------------------------------------===//

#ifndef DSV2_LIB_EMULATOR_CLOCKS_H
#define DSV2_LIB_EMULATOR_CLOCKS_H

#include <cstdint>
#include <vector>

namespace dsv2::emulator {

using Epoch = uint32_t;

/// An epoch for each agent of a cluster, as seen and as fenced for the async
/// proxy. Empty when checks are off, and then every operation does nothing.
struct Clock {
  std::vector<Epoch> seen, fenced;
  /// Grows whenever more is seen.
  uint64_t version = 0;

  void reset(uint32_t agents) {
    seen.assign(agents, 0);
    fenced.assign(agents, 0);
  }
  /// Sees whatever `other` sees as well.
  void join(const Clock &other);
  /// As `join` for a clock that sees all that this one does, except for how far
  /// `agent` itself is.
  void adopt(const Clock &other, uint32_t agent);
  /// Sees `agent` up to `epoch`.
  void see(uint32_t agent, Epoch epoch) {
    if (agent < seen.size() && seen[agent] < epoch) {
      seen[agent] = epoch;
      ++version;
    }
  }
  /// Everything seen is now visible to the async proxy.
  void fence();
  /// Sees only what `other` sees as well.
  void meet(const Clock &other);
};

/// Numbers of the agents of a cluster. Threads of a block are padded to whole
/// warps, so that 32 agents from a multiple of 32 are of one kind.
struct AgentNumbers {
  static constexpr uint32_t bulkSlots = 128;

  uint32_t threadsPerBlock = 0, groupsPerBlock = 0;
  uint32_t firstGroup = 0, firstCopy = 0, firstBulk = 0, count = 0;

  AgentNumbers() = default;
  /// `copies` and `bulk`: whether the kernel has cp.async and bulk copies.
  AgentNumbers(uint32_t blocks, uint32_t threads, bool copies, bool bulk);

  uint32_t thread(uint32_t block, uint32_t index) const {
    return block * threadsPerBlock + index;
  }
  /// The tensor cores of a warpgroup.
  uint32_t group(uint32_t block, uint32_t index) const {
    return firstGroup + block * groupsPerBlock + index;
  }
  /// cp.async of a thread.
  uint32_t copies(uint32_t block, uint32_t index) const {
    return firstCopy + block * threadsPerBlock + index;
  }
};

} // namespace dsv2::emulator

#endif // DSV2_LIB_EMULATOR_CLOCKS_H
