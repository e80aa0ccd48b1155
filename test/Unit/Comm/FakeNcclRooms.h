//===- FakeNcclRooms.h - where ranks of the fake meet -----------*- C++ -*-===//
//
// Part of dsv2, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// Shared memory from the moment that the library is loaded: a room for every
// communicator, and in it a slot for every pair of ranks through which the
// pieces of messages go.
//
//===----------------------------------------------------------------------===//

#ifndef DSV2_TEST_UNIT_COMM_FAKENCCLROOMS_H
#define DSV2_TEST_UNIT_COMM_FAKENCCLROOMS_H

#include "FakeNccl.h"

#include <atomic>
#include <cstddef>

namespace fakenccl {

inline constexpr int maxRooms = 64, maxRanks = 8;
inline constexpr int64_t pieceBytes = 16 << 10;

/// What both sides of a message have to agree on.
enum class Kind : int { Message, AllReduce, AllGather };

/// A piece of a message on its way.
struct Slot {
  std::atomic<uint32_t> full{0};
  Kind kind;
  int type;
  int64_t total;
  int64_t bytes;
  char data[pieceBytes];
};

struct Room {
  std::atomic<int> joined{0};
  std::atomic<int> present[maxRanks];
  /// [from][to]
  Slot slots[maxRanks][maxRanks];
};

struct Shared {
  std::atomic<int> rooms{0}, aborted{0}, destroyed{0};
  std::atomic<int64_t> sends{0};
  /// The last place is for all ranks.
  std::atomic<int64_t> faults[FakeNcclFaults][maxRanks + 1];
  Room room[maxRooms];
};

/// The one instance.
Shared &shared();

/// The value for one rank, or for all; 0 if there is none.
int64_t fault(FakeNcclFault fault, int rank);

/// Makes everything zeros again.
void forgetRooms();

} // namespace fakenccl

#endif // DSV2_TEST_UNIT_COMM_FAKENCCLROOMS_H
