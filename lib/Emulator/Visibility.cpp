//===- Visibility.cpp - order between threads, and what lacks it ----------===//
//
// Part of dsv2, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "Visibility.h"

#include "Scheduler.h"

using namespace dsv2::emulator;

void dsv2::emulator::release(Thread &thread, Clock &object) {
  if (thread.clock.seen.empty())
    return;
  object.join(thread.clock);
  // What comes later is not part of it.
  ++thread.clock.seen[thread.agent];
}

void dsv2::emulator::acquire(Thread &thread, const Clock &object) {
  if (!thread.clock.seen.empty())
    thread.clock.join(object);
}

void dsv2::emulator::fenceAsync(Thread &thread) {
  if (thread.clock.seen.empty())
    return;
  thread.clock.fence();
  ++thread.clock.seen[thread.agent];
}

void dsv2::emulator::synchroniseLanes(Rendezvous &meeting) {
  if (!meeting.block->cluster->ordered)
    return;
  Clock all;
  all.reset(meeting.block->cluster->agents.count);
  for (Thread *thread : meeting.arrived)
    if (thread)
      release(*thread, all);
  for (Thread *thread : meeting.arrived)
    if (thread)
      thread->clock.adopt(all, thread->agent);
}

Block *dsv2::emulator::sharedOwner(const Thread &thread, uint64_t address) {
  for (std::unique_ptr<Block> &block : thread.block->cluster->blocks)
    if (address - block->sharedAddress() < (256 << 10))
      return block.get();
  return nullptr;
}

Touch dsv2::emulator::touchOf(const Thread &thread, bool writes) {
  Touch touch;
  touch.clock = &thread.clock;
  touch.self = touch.agent = thread.agent;
  touch.epoch = thread.clock.seen[thread.agent];
  touch.writes = writes;
  touch.site = thread.site;
  return touch;
}

/// "thread 5", "the tensor cores of warpgroup 1" and the like.
static std::string describeAgent(const Cluster &cluster, uint32_t agent) {
  const AgentNumbers &agents = cluster.agents;
  auto ofBlock = [&](const char *what, uint32_t number, uint32_t perBlock) {
    std::string text = message("{0} {1}", what, number % perBlock);
    if (cluster.blocks.size() > 1)
      text += message(" of block {0} of the cluster", number / perBlock);
    return text;
  };
  if (agent >= agents.firstBulk)
    return "a bulk copy";
  if (agent >= agents.firstCopy)
    return ofBlock("cp.async of thread", agent - agents.firstCopy,
                   agents.threadsPerBlock);
  if (agent >= agents.firstGroup)
    return ofBlock("the tensor cores of warpgroup", agent - agents.firstGroup,
                   agents.groupsPerBlock);
  return ofBlock("thread", agent, agents.threadsPerBlock);
}

void dsv2::emulator::touchShared(Thread &thread, Block &block, uint32_t offset,
                                 uint32_t bytes, const Touch &touch,
                                 const char *what) {
  Scheduler &scheduler = machine();
  if (touch.writes && block.shadow.hasBarrier(offset, bytes))
    scheduler.failAt(thread, touch.site, Kind::Lifetime,
                     message("{0} of {1} bytes at shared+{2} over a live "
                             "mbarrier",
                             what, bytes, offset));
  Conflict conflict = block.shadow.touch(offset, bytes, touch);
  if (conflict.why == Conflict::Why::None)
    return;
  const char *other = conflict.writes ? "write" : "read";
  if (conflict.why == Conflict::Why::Race)
    scheduler.failAt(
        thread, touch.site, Kind::Race,
        message("{0} of {1} bytes at shared+{2} is not ordered after the "
                "{3} of shared+{4} by {5}\n    at {6}",
                what, bytes, offset, other, conflict.offset,
                describeAgent(*block.cluster, conflict.agent),
                scheduler.location(conflict.site)));
  scheduler.failAt(
      thread, touch.site, Kind::Proxy,
      message("{0} of {1} bytes at shared+{2} goes through the async "
              "proxy, and no fence.proxy.async stands behind the {3} of "
              "shared+{4} by {5}\n    at {6}",
              what, bytes, offset, other, conflict.offset,
              describeAgent(*block.cluster, conflict.agent),
              scheduler.location(conflict.site)));
}

void dsv2::emulator::requireWritten(Thread &thread, Block &block,
                                    uint32_t offset, uint32_t bytes,
                                    const char *what) {
  int64_t missing = block.shadow.findUnwritten(offset, bytes);
  if (missing >= 0)
    machine().failFor(thread, Kind::Poison,
                      message("{0} of {1} bytes at shared+{2}, of which "
                              "shared+{3} was never written",
                              what, bytes, offset, missing));
}
