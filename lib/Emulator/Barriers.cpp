//===- Barriers.cpp - barriers of blocks and clusters ---------------------===//
//
// Part of dsv2, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "Barriers.h"

#include "Collectives.h"
#include "Scheduler.h"
#include "Visibility.h"

using namespace dsv2::emulator;

//===----------------------------------------------------------------------===//
// Barriers of a block
//===----------------------------------------------------------------------===//

std::string NamedBarrier::describe() const {
  return message("barrier {0}, where {1} of {2} threads have arrived", number,
                 arrived, all ? block->liveThreads : expected);
}

/// Lets everybody go once enough have arrived.
static void completeIfFull(NamedBarrier &barrier) {
  uint32_t needed = barrier.all ? barrier.block->liveThreads : barrier.expected;
  if (barrier.arrived == 0 || barrier.arrived < needed)
    return;
  uint64_t value = barrier.trueCount;
  if (barrier.reduction == uint32_t(BarrierReduction::And))
    value = barrier.trueCount == barrier.predicates;
  else if (barrier.reduction == uint32_t(BarrierReduction::Or))
    value = barrier.trueCount != 0;
  for (size_t i = 0; i < barrier.waiting.size(); ++i) {
    *barrier.results[i] = value;
    acquire(*barrier.waiting[i], barrier.clock);
    machine().wake(*barrier.waiting[i]);
  }
  if (barrier.block->cluster->ordered)
    barrier.clock.reset(barrier.block->cluster->agents.count);
  barrier.waiting.clear();
  barrier.results.clear();
  barrier.arrived = barrier.expected = 0;
  barrier.all = false;
  barrier.reduction = barrier.trueCount = barrier.predicates = 0;
  machine().progress();
}

uint64_t dsv2::emulator::arriveAtBarrier(uint32_t number, uint32_t count,
                                         bool waits, BarrierReduction reduction,
                                         bool predicate) {
  Scheduler &scheduler = machine();
  Thread &thread = scheduler.current();
  Block &block = *thread.block;
  if (number >= 16)
    scheduler.fail(Kind::Protocol,
                   message("barrier {0}: a block has 16", number));
  if (count % warpSize != 0)
    scheduler.fail(Kind::Protocol,
                   message("barrier {0} for {1} threads: not a multiple of 32",
                           number, count));
  NamedBarrier &barrier = block.barriers[number];
  bool all = count == 0;
  if (barrier.arrived == 0) {
    barrier.all = all;
    barrier.expected = count;
    barrier.reduction = uint32_t(reduction);
  }
  // A count of all threads of the block says the same as no count.
  uint32_t total = block.threads.size();
  uint32_t before = barrier.all ? total : barrier.expected;
  uint32_t now = all ? total : count;
  if (before != now)
    scheduler.fail(
        Kind::Protocol,
        message("barrier {0} for {1} threads, while others arrived at it "
                "for {2}",
                number, now, before));
  if (barrier.reduction != uint32_t(reduction) && waits)
    scheduler.fail(Kind::Protocol,
                   message("barrier {0} with another reduction than the "
                           "threads before",
                           number));
  release(thread, barrier.clock);
  ++barrier.arrived;
  ++barrier.predicates;
  barrier.trueCount += predicate;
  if (!waits) {
    completeIfFull(barrier);
    return 0;
  }
  uint64_t result = 0;
  barrier.waiting.push_back(&thread);
  barrier.results.push_back(&result);
  thread.state = Thread::State::Waiting;
  completeIfFull(barrier);
  // The last one to arrive has been woken already and takes its turn.
  scheduler.waitUnlessWoken(barrier);
  return result;
}

//===----------------------------------------------------------------------===//
// Barriers of a cluster
//===----------------------------------------------------------------------===//

std::string ClusterBarrier::describe() const {
  return message("the barrier of the cluster, where {0} of {1} threads "
                 "have arrived",
                 arrived, cluster->liveThreads);
}

static void completeIfFull(ClusterBarrier &barrier) {
  if (barrier.arrived == 0 || barrier.arrived < barrier.cluster->liveThreads)
    return;
  barrier.arrived = 0;
  ++barrier.phase;
  if (barrier.cluster->ordered) {
    barrier.released.join(barrier.arriving);
    barrier.arriving.reset(barrier.cluster->agents.count);
  }
  for (Thread *thread : barrier.waiting)
    machine().wake(*thread);
  barrier.waiting.clear();
  machine().progress();
}

void dsv2::emulator::arriveAtCluster(bool releases) {
  Scheduler &scheduler = machine();
  Thread &thread = scheduler.current();
  ClusterBarrier &barrier = thread.block->cluster->barrier;
  if (thread.clusterArrived)
    scheduler.fail(Kind::Protocol, "barrier.cluster.arrive twice without "
                                   "barrier.cluster.wait between");
  thread.clusterArrived = true;
  thread.clusterPhase = barrier.phase;
  if (releases)
    release(thread, barrier.arriving);
  ++barrier.arrived;
  completeIfFull(barrier);
}

void dsv2::emulator::waitForCluster() {
  Scheduler &scheduler = machine();
  Thread &thread = scheduler.current();
  ClusterBarrier &barrier = thread.block->cluster->barrier;
  if (!thread.clusterArrived)
    scheduler.fail(Kind::Protocol,
                   "barrier.cluster.wait without barrier.cluster.arrive");
  thread.clusterArrived = false;
  if (barrier.phase == thread.clusterPhase) {
    barrier.waiting.push_back(&thread);
    scheduler.wait(barrier);
  }
  acquire(thread, barrier.released);
}

//===----------------------------------------------------------------------===//
// Ends of threads and of patience
//===----------------------------------------------------------------------===//

void dsv2::emulator::threadEnded(Thread &thread) {
  Block &block = *thread.block;
  checkGathering(block, thread);
  for (NamedBarrier &barrier : block.barriers)
    if (barrier.all)
      completeIfFull(barrier);
  completeIfFull(block.cluster->barrier);
}
