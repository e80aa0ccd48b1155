//===- Warp.cpp - exchange of values within a warp ------------------------===//
//
// Part of dsv2, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "../IntrinsicTable.h"

#include "../Collectives.h"
#include "../Visibility.h"

#include "llvm/ADT/bit.h"

#include <cmath>

using namespace dsv2::emulator;

/// Calls `each` for every lane of the meeting.
template <typename Each> static void forLanes(Rendezvous &meeting, Each each) {
  for (uint32_t lane = 0; lane < warpSize; ++lane)
    if (meeting.mask >> lane & 1)
      each(lane, meeting.arguments[lane], meeting.results[lane]);
}

//===----------------------------------------------------------------------===//
// PTX ISA, "shfl.sync": arguments mask, value, lane or delta, c
//===----------------------------------------------------------------------===//

namespace {
enum class Shuffle { Idx, Up, Down, Bfly };
} // namespace

template <Shuffle Mode> static void computeShuffle(Rendezvous &meeting) {
  forLanes(meeting, [&](uint32_t lane, const uint64_t *a, uint64_t *r) {
    uint32_t value = a[2] & 31, clamp = a[3] & 31, segment = a[3] >> 8 & 31;
    uint32_t least = lane & segment, most = least | (clamp & ~segment);
    int32_t source = 0;
    bool valid = false;
    switch (Mode) {
    case Shuffle::Up:
      source = int32_t(lane) - int32_t(value);
      valid = source >= int32_t(most);
      break;
    case Shuffle::Down:
      source = lane + value;
      valid = source <= int32_t(most);
      break;
    case Shuffle::Bfly:
      source = lane ^ value;
      valid = source <= int32_t(most);
      break;
    case Shuffle::Idx:
      source = least | (value & ~segment);
      valid = source <= int32_t(most);
      break;
    }
    if (!valid)
      source = lane;
    if (!(meeting.mask >> source & 1))
      machine().failFor(
          *meeting.arrived[lane], Kind::Protocol,
          message("{0}: lane {1} reads lane {2}, which is not in mask "
                  "{3:x}",
                  meeting.op->name, lane, source, meeting.mask));
    r[0] = meeting.arguments[source][1];
    r[1] = valid;
  });
}

// The mask, argument 0, is the same in all lanes by the way they gather.
template <Shuffle Mode, bool Predicate>
static void shuffle(const uint64_t *a, uint64_t *r) {
  static const char *names[] = {"shfl.sync.idx", "shfl.sync.up",
                                "shfl.sync.down", "shfl.sync.bfly"};
  static const CollectiveOp op = {names[int(Mode)], [](Rendezvous &meeting) {
                                    computeShuffle<Mode>(meeting);
                                  }};
  uint64_t both[2];
  gatherWarp(op, a[0], a, both);
  r[0] = both[0];
  if (Predicate)
    r[1] = both[1];
}

//===----------------------------------------------------------------------===//
// PTX ISA, "vote.sync", "match.sync", "redux.sync", "elect.sync"
//===----------------------------------------------------------------------===//

static uint32_t ballotOf(Rendezvous &meeting) {
  uint32_t ballot = 0;
  forLanes(meeting, [&](uint32_t lane, const uint64_t *a, uint64_t *) {
    ballot |= uint32_t(a[1] & 1) << lane;
  });
  return ballot;
}

/// Gives all lanes the same result.
static void broadcast(Rendezvous &meeting, uint64_t value) {
  forLanes(meeting,
           [&](uint32_t, const uint64_t *, uint64_t *r) { *r = value; });
}

static void voteBallot(const uint64_t *a, uint64_t *r) {
  static const CollectiveOp op = {
      "vote.sync.ballot", [](Rendezvous &m) { broadcast(m, ballotOf(m)); }};
  gatherWarp(op, a[0], a, r);
}
static void voteAll(const uint64_t *a, uint64_t *r) {
  static const CollectiveOp op = {"vote.sync.all", [](Rendezvous &m) {
                                    broadcast(m, ballotOf(m) == m.mask);
                                  }};
  gatherWarp(op, a[0], a, r);
}
static void voteAny(const uint64_t *a, uint64_t *r) {
  static const CollectiveOp op = {
      "vote.sync.any", [](Rendezvous &m) { broadcast(m, ballotOf(m) != 0); }};
  gatherWarp(op, a[0], a, r);
}
static void voteUni(const uint64_t *a, uint64_t *r) {
  static const CollectiveOp op = {"vote.sync.uni", [](Rendezvous &m) {
                                    uint32_t ballot = ballotOf(m);
                                    broadcast(m,
                                              ballot == 0 || ballot == m.mask);
                                  }};
  gatherWarp(op, a[0], a, r);
}

static void matchAny(const uint64_t *a, uint64_t *r) {
  static const CollectiveOp op = {
      "match.any.sync", [](Rendezvous &m) {
        forLanes(m, [&](uint32_t, const uint64_t *own, uint64_t *result) {
          *result = 0;
          forLanes(m, [&](uint32_t lane, const uint64_t *other, uint64_t *) {
            *result |= uint64_t(other[1] == own[1]) << lane;
          });
        });
      }};
  gatherWarp(op, a[0], a, r);
}
static void matchAll(const uint64_t *a, uint64_t *r) {
  static const CollectiveOp op = {
      "match.all.sync", [](Rendezvous &m) {
        bool equal = true;
        uint64_t first = m.arguments[llvm::countr_zero(m.mask)][1];
        forLanes(m, [&](uint32_t, const uint64_t *own, uint64_t *) {
          equal &= own[1] == first;
        });
        forLanes(m, [&](uint32_t, const uint64_t *, uint64_t *result) {
          result[0] = equal ? m.mask : 0;
          result[1] = equal;
        });
      }};
  gatherWarp(op, a[0], a, r);
}

/// redux.sync of integers: arguments value, mask.
template <typename Type, Type (*Combine)(Type, Type)>
static void computeRedux(Rendezvous &meeting) {
  Type result = 0;
  bool first = true;
  forLanes(meeting, [&](uint32_t, const uint64_t *a, uint64_t *) {
    result = first ? Type(a[0]) : Combine(result, Type(a[0]));
    first = false;
  });
  broadcast(meeting, uint32_t(result));
}
template <typename Type> static Type add(Type a, Type b) { return a + b; }
template <typename Type> static Type least(Type a, Type b) {
  return a < b ? a : b;
}
template <typename Type> static Type most(Type a, Type b) {
  return a > b ? a : b;
}
static uint32_t bitAnd(uint32_t a, uint32_t b) { return a & b; }
static uint32_t bitOr(uint32_t a, uint32_t b) { return a | b; }
static uint32_t bitXor(uint32_t a, uint32_t b) { return a ^ b; }

template <typename Type, Type (*Combine)(Type, Type)>
static void redux(const uint64_t *a, uint64_t *r) {
  static const CollectiveOp op = {"redux.sync", computeRedux<Type, Combine>};
  gatherWarp(op, a[1], a, r);
}

static void elect(const uint64_t *a, uint64_t *r) {
  static const CollectiveOp op = {
      "elect.sync", [](Rendezvous &m) {
        // "The same leader for the same mask" (PTX ISA), but no one says which:
        // derived from the seed, so that no kernel relies on lane 0.
        uint32_t rank = uint32_t(machine().options().seed * 7 + m.first) %
                        llvm::popcount(m.mask);
        uint32_t rest = m.mask;
        for (; rank > 0; --rank)
          rest &= rest - 1;
        uint32_t leader = llvm::countr_zero(rest);
        forLanes(m, [&](uint32_t lane, const uint64_t *, uint64_t *result) {
          result[0] = leader;
          result[1] = lane == leader;
        });
      }};
  gatherWarp(op, a[0], a, r);
}

static void warpSync(const uint64_t *a, uint64_t *r) {
  static const CollectiveOp op = {"bar.warp.sync", synchroniseLanes};
  gatherWarp(op, a[0], a, r);
}

/// Lanes that execute together: without a barrier a thread may always be alone.
static void activeMask(const uint64_t *, uint64_t *r) {
  *r = 1u << machine().current().lane();
}

#define DSV2_SHFL(mode, which)                                                 \
  {"llvm.nvvm.shfl.sync." mode ".i32", located<shuffle<which, false>>},        \
      {"llvm.nvvm.shfl.sync." mode ".f32", located<shuffle<which, false>>},    \
      {"llvm.nvvm.shfl.sync." mode ".i32p", located<shuffle<which, true>>}, {  \
    "llvm.nvvm.shfl.sync." mode ".f32p", located<shuffle<which, true>>         \
  }

llvm::ArrayRef<IntrinsicEntry> dsv2::emulator::warpIntrinsics() {
  static const IntrinsicEntry table[] = {
      DSV2_SHFL("idx", Shuffle::Idx),
      DSV2_SHFL("up", Shuffle::Up),
      DSV2_SHFL("down", Shuffle::Down),
      DSV2_SHFL("bfly", Shuffle::Bfly),
      {"llvm.nvvm.vote.ballot.sync", located<voteBallot>},
      {"llvm.nvvm.vote.all.sync", located<voteAll>},
      {"llvm.nvvm.vote.any.sync", located<voteAny>},
      {"llvm.nvvm.vote.uni.sync", located<voteUni>},
      {"llvm.nvvm.match.any.sync.i32", located<matchAny>},
      {"llvm.nvvm.match.any.sync.i64", located<matchAny>},
      {"llvm.nvvm.match.all.sync.i32p", located<matchAll>},
      {"llvm.nvvm.match.all.sync.i64p", located<matchAll>},
      {"llvm.nvvm.redux.sync.add", located<redux<uint32_t, add<uint32_t>>>},
      {"llvm.nvvm.redux.sync.min", located<redux<int32_t, least<int32_t>>>},
      {"llvm.nvvm.redux.sync.max", located<redux<int32_t, most<int32_t>>>},
      {"llvm.nvvm.redux.sync.umin", located<redux<uint32_t, least<uint32_t>>>},
      {"llvm.nvvm.redux.sync.umax", located<redux<uint32_t, most<uint32_t>>>},
      {"llvm.nvvm.redux.sync.and", located<redux<uint32_t, bitAnd>>},
      {"llvm.nvvm.redux.sync.or", located<redux<uint32_t, bitOr>>},
      {"llvm.nvvm.redux.sync.xor", located<redux<uint32_t, bitXor>>},
      {"llvm.nvvm.elect.sync", located<elect>},
      {"llvm.nvvm.bar.warp.sync", located<warpSync>},
      {"llvm.nvvm.activemask", located<activeMask>},
  };
  return table;
}
