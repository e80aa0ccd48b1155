//===- Accesses.cpp - checks of loads, stores and atomics -----------------===//
//
// Part of dsv2, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "Accesses.h"

#include "Module.h"
#include "Scheduler.h"
#include "Visibility.h"

using namespace dsv2::emulator;

uint64_t dsv2::emulator::sharedBase() {
  return reinterpret_cast<uintptr_t>(machine().current().block->shared);
}

void dsv2::emulator::giveTurn(uint32_t site) {
  Scheduler &scheduler = machine();
  scheduler.current().site = site;
  scheduler.poll();
}

Block &dsv2::emulator::checkSharedRange(uint64_t address, uint64_t bytes,
                                        bool cluster, const char *what) {
  Block *own = machine().current().block;
  Block *block = sharedOwner(machine().current(), address);
  if (!block || (!cluster && block != own))
    machine().fail(
        Kind::Bounds,
        message("{0} of {1} bytes at {2:x}, which is not in the shared "
                "memory of the block",
                what, bytes, address));
  if (block->liveThreads == 0)
    machine().fail(
        Kind::Lifetime,
        message("{0} of {1} bytes of the shared memory of block {2} of the "
                "cluster, whose threads have ended",
                what, bytes, block->rank));
  uint64_t offset = address - block->sharedAddress();
  if (offset + bytes > block->sharedBytes)
    machine().fail(Kind::Bounds,
                   message("{0} of {1} bytes at shared+{2}, where the "
                           "kernel has {3} bytes of shared memory",
                           what, bytes, offset, block->sharedBytes));
  return *block;
}

void dsv2::emulator::checkGlobalRange(uint64_t address, uint64_t bytes,
                                      bool writes, const char *what) {
  const Memory::Region *region = machine().memory.find(address, bytes);
  if (!region)
    machine().fail(Kind::Bounds,
                   message("{0} of {1} bytes at {2:x}, {3}", what, bytes,
                           address, machine().memory.describe(address)));
  if (machine().options().pdl)
    machine().followDependencies(address, bytes, writes, what);
  if (writes && !region->writable)
    machine().fail(Kind::Bounds,
                   message("{0} of {1} bytes to constant memory, {2}", what,
                           bytes, machine().memory.describe(address)));
}

void dsv2::emulator::checkAccess(uint64_t address, uint64_t bytes,
                                 uint32_t flags, uint32_t site) {
  Scheduler &scheduler = machine();
  scheduler.current().site = site;
  bool writes = flags & AccessWrites;
  const char *what = flags & AccessAtomic ? "atomic"
                     : writes             ? "store"
                                          : "load";
  uint64_t alignment = 1ull << (flags >> AccessAlignShift);
  if (address % alignment != 0)
    scheduler.fail(Kind::Bounds,
                   message("{0} of {1} bytes at {2:x}, which is not "
                           "aligned to {3}",
                           what, bytes, address, alignment));
  uint32_t space = flags & 3;
  if (space == AccessGeneric) {
    // The stack of the thread is its local memory.
    const Fiber &fiber = scheduler.current().fiber;
    if (address - reinterpret_cast<uintptr_t>(fiber.stack) <
        StackPool::stackBytes)
      return;
    space = sharedOwner(scheduler.current(), address) ? AccessClusterShared
                                                      : AccessGlobal;
  }
  if (space == AccessGlobal) {
    checkGlobalRange(address, bytes, writes, what);
    (writes ? scheduler.counters.global_bytes_written
            : scheduler.counters.global_bytes_read) += bytes;
    return;
  }
  Block &block =
      checkSharedRange(address, bytes, space == AccessClusterShared, what);
  Thread &thread = scheduler.current();
  // Larger ones are loops that LLVM has yet to write.
  if (scheduler.options().banks && bytes <= 16)
    thread.block->banks.access(thread.warp(), thread.lane(), site, address,
                               bytes);
  if (!block.cluster->ordered)
    return;
  uint32_t offset = address - block.sharedAddress();
  if (flags & AccessAtomic) {
    // Taken as ordering whatever their ordering says: what a kernel gets wrong
    // there the emulator does not see.
    Clock &clock = block.atomics[offset];
    if (clock.seen.empty())
      clock.reset(block.cluster->agents.count);
    acquire(thread, clock);
    release(thread, clock);
  }
  if (!writes)
    requireWritten(thread, block, offset, bytes, what);
  Touch touch = touchOf(thread, writes);
  touch.atomic = flags & AccessAtomic;
  touchShared(thread, block, offset, bytes, touch, what);
}
