//===- Shadow.h - who touched which bytes of shared memory ------*- C++ -*-===//
//
// Part of dsv2, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef DSV2_LIB_EMULATOR_SHADOW_H
#define DSV2_LIB_EMULATOR_SHADOW_H

#include "Clocks.h"

#include <cstdint>
#include <string>
#include <vector>

namespace dsv2::emulator {

/// One access to check and note.
struct Touch {
  /// What the one who issues it has seen.
  const Clock *clock = nullptr;
  /// The agent whose own accesses need no ordering: the issuing thread.
  uint32_t self = 0;
  /// The agent and epoch that others have to see: of the thread itself, or of
  /// what works for it.
  uint32_t agent = 0;
  Epoch epoch = 0;
  bool writes = false;
  bool atomic = false;
  /// By the async proxy.
  bool async = false;
  uint32_t site = 0;
};

/// What a touch conflicts with.
struct Conflict {
  enum class Why { None, Race, Proxy, Poison } why = Why::None;
  uint32_t agent = 0;
  uint32_t site = 0;
  bool writes = false;
  bool async = false;
  /// First byte of it, from the start of the shared memory.
  uint32_t offset = 0;
};

/// The last accesses of every 16 bytes of a block's shared memory, byte by byte
/// through masks. Two accesses of which one writes have to be ordered by what
/// the later one's agent has seen.
class Shadow {
public:
  void reset(uint32_t bytes);

  /// Checks and notes `touch` of [offset, offset + bytes).
  Conflict touch(uint32_t offset, uint32_t bytes, const Touch &touch);

  /// The first of [offset, offset + bytes) that nobody has written, or -1.
  int64_t findUnwritten(uint32_t offset, uint32_t bytes) const;

  /// Marks 8 bytes as a live mbarrier, or not.
  void setBarrier(uint32_t offset, bool live);
  /// Whether a live mbarrier lies within [offset, offset + bytes).
  bool hasBarrier(uint32_t offset, uint32_t bytes) const;

private:
  /// Accesses of one kind, epoch and instruction by up to 32 agents, the lanes
  /// of a warp usually.
  struct Record {
    uint32_t next = 0;
    uint16_t mask = 0;
    bool writes = false, atomic = false, async = false;
    uint32_t firstAgent = 0;
    uint32_t agents = 0;
    Epoch epoch = 0;
    uint32_t site = 0;
  };

  static bool allSeen(const Record &record, const Epoch *seen);
  Conflict touchGranule(uint32_t granule, uint16_t mask, const Touch &touch);
  uint32_t allocate();

  /// By granule: first record, bytes written, halves that are mbarriers.
  std::vector<uint32_t> heads;
  std::vector<uint16_t> written;
  std::vector<uint8_t> barriers;
  std::vector<Record> records;
  uint32_t firstFree = 0;
};

} // namespace dsv2::emulator

#endif // DSV2_LIB_EMULATOR_SHADOW_H
