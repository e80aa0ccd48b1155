//===- MBarriers.cpp - mbarrier objects -----------------------------------===//
//
// Part of dsv2, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "MBarriers.h"

#include "Accesses.h"
#include "Barriers.h"
#include "Scheduler.h"
#include "Visibility.h"

#include <algorithm>
#include <cstring>

using namespace dsv2::emulator;

/// Limits of an mbarrier object (PTX ISA, "Size and alignment", "tx-count").
static constexpr uint32_t maxArrivals = (1 << 20) - 1;
static constexpr int64_t maxBytes = (1 << 20) - 1;

std::string MBarrier::describe() const {
  std::string text = message("the mbarrier at shared+{0}", offset);
  if (block->cluster->blocks.size() > 1)
    text += message(" of block {0} of the cluster", block->rank);
  return text + message(" (phase {0}, {1} of {2} arrivals and {3} bytes "
                        "missing)",
                        phase, pending, count, bytes);
}

//===----------------------------------------------------------------------===//
// Life
//===----------------------------------------------------------------------===//

MBarrier &dsv2::emulator::findMBarrier(uint64_t address, bool cluster,
                                       const char *what) {
  Scheduler &scheduler = machine();
  Thread &thread = scheduler.current();
  Block &block = checkSharedRange(address, 8, cluster, what);
  uint32_t offset = address - block.sharedAddress();
  auto it = block.mbarriers.find(offset);
  if (it == block.mbarriers.end())
    scheduler.fail(Kind::Lifetime,
                   message("{0} at shared+{1}, where no mbarrier has been "
                           "initialised",
                           what, offset));
  MBarrier &barrier = *it->second;
  if (block.cluster->ordered && barrier.initAgent != thread.agent &&
      thread.clock.seen[barrier.initAgent] < barrier.initEpoch)
    scheduler.fail(Kind::Lifetime,
                   message("{0} at shared+{1}, which is not ordered after the "
                           "mbarrier's initialisation",
                           what, offset));
  return barrier;
}

void dsv2::emulator::initMBarrier(uint64_t address, uint32_t count) {
  Scheduler &scheduler = machine();
  Thread &thread = scheduler.current();
  Block &block = checkSharedRange(address, 8, false, "mbarrier.init");
  uint32_t offset = address - block.sharedAddress();
  if (offset % 8 != 0)
    scheduler.fail(Kind::Bounds,
                   message("mbarrier.init at shared+{0}, which is not "
                           "aligned to 8",
                           offset));
  if (count == 0 || count > maxArrivals)
    scheduler.fail(Kind::Protocol,
                   message("mbarrier.init with count {0}, not from 1 to "
                           "{1}",
                           count, maxArrivals));
  if (block.mbarriers.count(offset))
    scheduler.fail(Kind::Lifetime,
                   message("mbarrier.init of {0}, which is live",
                           block.mbarriers[offset]->describe()));
  if (block.cluster->ordered) {
    touchShared(thread, block, offset, 8, touchOf(thread, true),
                "mbarrier.init");
    block.shadow.setBarrier(offset, true);
  }
  // Whoever looks at its bytes shall not find a number.
  std::memset(block.shared + offset, 0xFF, 8);
  auto barrier = std::make_unique<MBarrier>();
  barrier->block = &block;
  barrier->offset = offset;
  barrier->count = barrier->pending = count;
  if (block.cluster->ordered) {
    barrier->arriving.reset(block.cluster->agents.count);
    barrier->released.reset(block.cluster->agents.count);
    barrier->initAgent = thread.agent;
    barrier->initEpoch = thread.clock.seen[thread.agent];
  }
  block.mbarriers[offset] = std::move(barrier);
}

void dsv2::emulator::invalidateMBarrier(uint64_t address) {
  MBarrier &barrier = findMBarrier(address, false, "mbarrier.inval");
  if (!barrier.waiting.empty())
    machine().fail(Kind::Lifetime,
                   message("mbarrier.inval while threads wait for {0}",
                           barrier.describe()));
  Block &block = *barrier.block;
  if (block.cluster->ordered) {
    block.shadow.setBarrier(barrier.offset, false);
    touchShared(machine().current(), block, barrier.offset, 8,
                touchOf(machine().current(), true), "mbarrier.inval");
  }
  block.mbarriers.erase(barrier.offset);
}

void dsv2::emulator::fenceMBarrierInit() {
  Thread &thread = machine().current();
  for (auto &[offset, barrier] : thread.block->mbarriers)
    if (barrier->initAgent == thread.agent)
      barrier->initFenced = true;
}

void dsv2::emulator::requireVisibleToAsync(const Thread &thread,
                                           const MBarrier &barrier) {
  if (!barrier.block->cluster->ordered || barrier.initFenced ||
      thread.clock.fenced[barrier.initAgent] >= barrier.initEpoch)
    return;
  machine().failFor(
      thread, Kind::Lifetime,
      message("a copy is to complete {0}, whose initialisation the async proxy "
              "cannot see: fence.mbarrier_init or fence.proxy.async is missing",
              barrier.describe()));
}

//===----------------------------------------------------------------------===//
// Arrivals and bytes
//===----------------------------------------------------------------------===//

static void completeIfFull(MBarrier &barrier) {
  if (barrier.pending != 0 || barrier.bytes != 0)
    return;
  ++barrier.phase;
  barrier.pending = barrier.count;
  if (barrier.block->cluster->ordered) {
    barrier.released.join(barrier.arriving);
    barrier.arriving.reset(barrier.block->cluster->agents.count);
  }
  for (Thread *thread : barrier.waiting)
    machine().wake(*thread);
  barrier.waiting.clear();
  machine().progress();
}

/// Who is to blame: the running thread, or the issuer of a copy.
[[noreturn]] static void blame(const AsyncOp *op, std::string text) {
  if (op)
    machine().failAt(*op->issuer, op->site, Kind::Protocol, std::move(text));
  machine().fail(Kind::Protocol, std::move(text));
}

static void changeBytes(MBarrier &barrier, int64_t change, const AsyncOp *op) {
  barrier.bytes += change;
  if (std::abs(barrier.bytes) > maxBytes)
    blame(op, message("the count of bytes of {0} leaves its range of 2^20-1",
                      barrier.describe()));
}

static void takeArrivals(MBarrier &barrier, uint32_t count, const AsyncOp *op) {
  if (count == 0 || count > barrier.pending)
    blame(op, message("{0} arrivals at {1}", count, barrier.describe()));
  barrier.pending -= count;
}

uint64_t dsv2::emulator::arriveAtMBarrier(MBarrier &barrier, uint32_t count,
                                          uint64_t bytes, bool releases,
                                          bool drops, bool completes) {
  uint64_t state = barrier.phase;
  changeBytes(barrier, bytes, nullptr);
  if (releases)
    release(machine().current(), barrier.arriving);
  if (drops) {
    if (barrier.count < count)
      blame(nullptr, message("mbarrier.arrive_drop below zero at {0}",
                             barrier.describe()));
    barrier.count -= count;
  }
  takeArrivals(barrier, count, nullptr);
  if (!completes && barrier.pending == 0)
    blame(nullptr, message("mbarrier.arrive.noComplete ends the phase of {0}",
                           barrier.describe()));
  machine().progress();
  completeIfFull(barrier);
  return state;
}

void dsv2::emulator::expectBytes(MBarrier &barrier, uint64_t bytes) {
  changeBytes(barrier, bytes, nullptr);
  completeIfFull(barrier);
}

void dsv2::emulator::completeBytes(MBarrier &barrier, uint64_t bytes,
                                   uint32_t agent, Epoch epoch,
                                   const AsyncOp &op) {
  changeBytes(barrier, -int64_t(bytes), &op);
  barrier.arriving.see(agent, epoch);
  completeIfFull(barrier);
}

void dsv2::emulator::arriveForCopies(MBarrier &barrier, uint32_t agent,
                                     Epoch epoch, const AsyncOp &op) {
  barrier.arriving.see(agent, epoch);
  takeArrivals(barrier, 1, &op);
  completeIfFull(barrier);
}

//===----------------------------------------------------------------------===//
// Waits
//===----------------------------------------------------------------------===//

static bool isOver(const MBarrier &barrier, bool byParity, uint64_t value) {
  return byParity ? (barrier.phase & 1) != (value & 1) : barrier.phase > value;
}

bool dsv2::emulator::waitForMBarrier(MBarrier &barrier, bool byParity,
                                     uint64_t value, bool tries,
                                     bool acquires) {
  Scheduler &scheduler = machine();
  Thread &thread = scheduler.current();
  if (!byParity && value > barrier.phase)
    scheduler.fail(Kind::Protocol,
                   message("the state {0:x} is none that an arrival at {1} "
                           "has returned",
                           value, barrier.describe()));
  if (!isOver(barrier, byParity, value)) {
    if (!tries) {
      scheduler.poll();
    } else {
      barrier.waiting.push_back(&thread);
      scheduler.wait(barrier, /*polls=*/true);
    }
  } else if (tries && scheduler.random(8) == 0) {
    // "Potentially blocking": it may give up at any time.
    scheduler.poll();
    return false;
  }
  if (!isOver(barrier, byParity, value))
    return false;
  if (acquires)
    acquire(thread, barrier.released);
  return true;
}

void dsv2::emulator::stopPolling(Thread &thread) {
  auto *barrier =
      static_cast<MBarrier *>(const_cast<Waitable *>(thread.waitsFor));
  auto &waiting = barrier->waiting;
  waiting.erase(std::find(waiting.begin(), waiting.end(), &thread));
}
