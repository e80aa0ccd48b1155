//===- Banks.h - conflicts of the banks of shared memory --------*- C++ -*-===//
//
// Part of dsv2, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef DSV2_LIB_EMULATOR_BANKS_H
#define DSV2_LIB_EMULATOR_BANKS_H

#include <cstdint>
#include <map>
#include <utility>
#include <vector>

namespace dsv2::emulator {

/// How often a warp's access to shared memory passes over the 32 banks of 4
/// bytes: once for every different word of the fullest bank; accesses of 8 and
/// 16 bytes a lane are made by half and quarter warps (CUDA Programming Guide,
/// "Shared Memory"). Takes addresses by lane; returns passes and the least
/// there could be.
std::pair<uint32_t, uint32_t>
countPasses(const std::map<uint32_t, uint64_t> &addresses, uint32_t bytes);

/// Puts the accesses that the lanes of a warp make one by one together again:
/// the n-th one of each lane at one instruction are one access of the warp.
class BankCounter {
public:
  void access(uint32_t warp, uint32_t lane, uint32_t site, uint64_t address,
              uint32_t bytes);
  /// Accesses of warps, and passes beyond the least.
  std::pair<uint64_t, uint64_t> total() const;

private:
  struct Access {
    uint32_t bytes = 0;
    /// By lane, as halves and quarters of a warp go by lanes.
    std::map<uint32_t, uint64_t> addresses;
  };
  struct Site {
    uint32_t counts[32] = {};
    std::vector<Access> accesses;
  };
  std::map<std::pair<uint32_t, uint32_t>, Site> sites;
};

} // namespace dsv2::emulator

#endif // DSV2_LIB_EMULATOR_BANKS_H
