//===- CpAsync.cpp - cp.async: small copies of a thread -------------------===//
//
// Part of dsv2, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "../IntrinsicTable.h"

#include "../Accesses.h"
#include "../MBarriers.h"
#include "../Visibility.h"

#include <cstring>

using namespace dsv2::emulator;

// PTX ISA, "Data Movement and Conversion Instructions: cp.async". The copies of
// a thread are one agent, whose epochs are its groups. They go through the
// generic proxy.

namespace {
struct Copy : AsyncOp {
  char *to;
  const char *from;
  uint32_t bytes, sourceBytes;

  void complete() override {
    std::memcpy(to, from, sourceBytes);
    std::memset(to + sourceBytes, 0, bytes - sourceBytes);
    machine().counters.global_bytes_read += sourceBytes;
  }
  std::string describe() const override { return "cp.async"; }
};

/// Arrives once all copies of the thread before it are there.
struct CopyArrival : AsyncOp {
  MBarrier *barrier;
  std::vector<std::shared_ptr<AsyncOp>> before;
  uint32_t agent;
  Epoch epoch;

  void complete() override {
    for (std::shared_ptr<AsyncOp> &op : before)
      machine().completeAsync(*op);
    arriveForCopies(*barrier, agent, epoch, *this);
  }
  std::string describe() const override { return "cp.async.mbarrier.arrive"; }
};
} // namespace

static uint32_t copyAgent(const Thread &thread) {
  return thread.block->cluster->agents.copies(thread.block->rank, thread.index);
}

template <uint32_t Bytes, bool Fills>
static void copy(const uint64_t *a, uint64_t *) {
  Scheduler &scheduler = machine();
  Thread &thread = scheduler.current();
  uint32_t sourceBytes = Fills ? std::min<uint64_t>(a[2], Bytes) : Bytes;
  if (scheduler.options().checks) {
    if (a[0] % Bytes || a[1] % Bytes)
      scheduler.fail(Kind::Bounds,
                     message("cp.async of {0} bytes from {1:x} to {2:x}, "
                             "of which one is not aligned to that",
                             Bytes, a[1], a[0]));
    Block &block = checkSharedRange(a[0], Bytes, false, "cp.async");
    if (sourceBytes)
      checkGlobalRange(a[1], sourceBytes, false, "cp.async");
    if (block.cluster->ordered) {
      Touch touch = touchOf(thread, /*writes=*/true);
      touch.agent = copyAgent(thread);
      touch.epoch = thread.copyEpoch;
      touchShared(thread, block, a[0] - block.sharedAddress(), Bytes, touch,
                  "cp.async");
    }
  }
  Copy &op = scheduler.addAsync<Copy>();
  op.issuer = &thread;
  op.site = thread.site;
  op.to = reinterpret_cast<char *>(a[0]);
  op.from = reinterpret_cast<const char *>(a[1]);
  op.bytes = Bytes;
  op.sourceBytes = sourceBytes;
  thread.openCopies.ops.push_back(scheduler.ownerOf(op));
}

static void commitCopies(const uint64_t *, uint64_t *) {
  Thread &thread = machine().current();
  thread.openCopies.effects = {{copyAgent(thread), thread.copyEpoch++}};
  thread.copyGroups.push_back(std::move(thread.openCopies));
  thread.openCopies = {};
}

/// Completes all but the last `left` groups of the current thread.
static void waitForGroups(uint64_t left) {
  Thread &thread = machine().current();
  while (thread.copyGroups.size() > left) {
    for (std::shared_ptr<AsyncOp> &op : thread.copyGroups.front().ops)
      machine().completeAsync(*op);
    for (auto [agent, epoch] : thread.copyGroups.front().effects)
      thread.clock.see(agent, epoch);
    thread.copyGroups.erase(thread.copyGroups.begin());
  }
}

static void waitGroup(const uint64_t *a, uint64_t *) { waitForGroups(a[0]); }
static void waitAll(const uint64_t *a, uint64_t *r) {
  commitCopies(a, r);
  waitForGroups(0);
}

template <bool Increments> static void arrive(const uint64_t *a, uint64_t *) {
  Scheduler &scheduler = machine();
  Thread &thread = scheduler.current();
  MBarrier &barrier = findMBarrier(a[0], false, "cp.async.mbarrier.arrive");
  // Without .noinc the arrival is one more than the barrier counts on.
  if (Increments)
    ++barrier.pending;
  CopyArrival &op = scheduler.addAsync<CopyArrival>();
  op.issuer = &thread;
  op.site = thread.site;
  op.barrier = &barrier;
  op.agent = copyAgent(thread);
  op.epoch = thread.copyEpoch++;
  for (const CopyGroup &group : thread.copyGroups)
    op.before.insert(op.before.end(), group.ops.begin(), group.ops.end());
  op.before.insert(op.before.end(), thread.openCopies.ops.begin(),
                   thread.openCopies.ops.end());
}

#define DSV2_COPY(name, bytes)                                                 \
  {"llvm.nvvm.cp.async." name, located<copy<bytes, false>>}, {                 \
    "llvm.nvvm.cp.async." name ".s", located<copy<bytes, true>>                \
  }

llvm::ArrayRef<IntrinsicEntry> dsv2::emulator::copyIntrinsics() {
  static const IntrinsicEntry table[] = {
      DSV2_COPY("ca.shared.global.4", 4),
      DSV2_COPY("ca.shared.global.8", 8),
      DSV2_COPY("ca.shared.global.16", 16),
      DSV2_COPY("cg.shared.global.16", 16),
      {"llvm.nvvm.cp.async.commit.group", located<commitCopies>},
      {"llvm.nvvm.cp.async.wait.group", located<waitGroup>},
      {"llvm.nvvm.cp.async.wait.all", located<waitAll>},
      {"llvm.nvvm.cp.async.mbarrier.arrive", located<arrive<true>>},
      {"llvm.nvvm.cp.async.mbarrier.arrive.shared", located<arrive<true>>},
      {"llvm.nvvm.cp.async.mbarrier.arrive.noinc", located<arrive<false>>},
      {"llvm.nvvm.cp.async.mbarrier.arrive.noinc.shared",
       located<arrive<false>>},
  };
  return table;
}
