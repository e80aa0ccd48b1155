//===- Accesses.h - checks of loads, stores and atomics ---------*- C++ -*-===//
//
// Part of dsv2, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef DSV2_LIB_EMULATOR_ACCESSES_H
#define DSV2_LIB_EMULATOR_ACCESSES_H

#include <cstdint>

namespace dsv2::emulator {

struct Block;

/// Bits of the flags of checkAccess; the lowest two are the state space.
enum AccessFlags : uint32_t {
  AccessGeneric = 0,
  AccessGlobal = 1,
  AccessShared = 2,
  AccessClusterShared = 3,
  AccessWrites = 4,
  AccessAtomic = 8,
  /// From here up: the alignment that the access promises, as a power of two.
  AccessAlignShift = 8,
};

/// Called by compiled code before it touches `bytes` bytes at `address`.
void checkAccess(uint64_t address, uint64_t bytes, uint32_t flags,
                 uint32_t site);

/// Called by compiled code before an access that may be waiting for another
/// thread.
void giveTurn(uint32_t site);

/// Address of the shared memory of the current block.
uint64_t sharedBase();

/// Fails unless global memory [address, address + bytes) may be accessed.
void checkGlobalRange(uint64_t address, uint64_t bytes, bool writes,
                      const char *what);

/// Fails unless the shared memory of the current block, or with `cluster` that
/// of any block of the cluster, holds [address, address + bytes). Returns the
/// block.
Block &checkSharedRange(uint64_t address, uint64_t bytes, bool cluster,
                        const char *what);

} // namespace dsv2::emulator

#endif // DSV2_LIB_EMULATOR_ACCESSES_H
