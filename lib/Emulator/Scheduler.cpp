//===- Scheduler.cpp - runs the threads of a launch -----------------------===//
//
// Part of dsv2, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "Scheduler.h"

#include "Barriers.h"
#include "Module.h"

#include "llvm/ADT/MapVector.h"
#include "llvm/Support/ErrorHandling.h"
#include "llvm/Support/FormatVariadic.h"
#include "llvm/Support/MathExtras.h"

#include <cstring>
#include <sys/mman.h>

using namespace dsv2::emulator;

/// Size and alignment of the place of a block's shared memory.
static constexpr size_t sharedSlotBytes = 256 << 10;

Scheduler::~Scheduler() = default;

uint64_t Scheduler::random(uint64_t bound) {
  // SplitMix64; the modulo's bias does not matter here.
  uint64_t z = (state += 0x9e3779b97f4a7c15);
  z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9;
  z = (z ^ (z >> 27)) * 0x94d049bb133111eb;
  return (z ^ (z >> 31)) % bound;
}

/// Memory for one block: aligned to its size and within 32 bits.
static char *mapSharedSlot() {
  void *mapping =
      mmap(nullptr, 2 * sharedSlotBytes, PROT_READ | PROT_WRITE,
           MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_32BIT, -1, 0);
  if (mapping == MAP_FAILED)
    return nullptr;
  auto address = reinterpret_cast<uintptr_t>(mapping);
  return reinterpret_cast<char *>(llvm::alignTo(address, sharedSlotBytes));
}

bool Scheduler::run(const Launch &launch, const Options &options,
                    uint64_t seed) {
  active = &launch;
  activeOptions = options;
  this->seed = state = seed;
  reportText.clear();
  ready.clear();
  pending.clear();
  idlePolls = pollRounds = 0;
  running = nullptr;

  uint64_t clusters = 1;
  for (int i = 0; i < 3; ++i)
    clusters *= launch.grid[i] / launch.cluster[i];
  notStarted.resize(clusters);
  for (uint64_t i = 0; i < clusters; ++i)
    notStarted[i] = i;
  maxLive = std::max<uint64_t>(1, options.sms / launch.clusterBlocks());
  if (launch.cooperative)
    maxLive = clusters;

  ++counters.launches;
  stacks.lend(loopFiber);
  prepareFiber(loopFiber, loopBody);
  switchFiber(caller, loopFiber);

  // Here when finish() came back; what is left of a failed launch goes.
  stacks.takeBack(loopFiber);
  for (std::unique_ptr<Cluster> &cluster : live)
    for (std::unique_ptr<Block> &block : cluster->blocks) {
      sharedSlots.push_back(block->shared);
      for (Thread &thread : block->threads)
        if (thread.fiber.stack)
          stacks.takeBack(thread.fiber);
    }
  pending.clear();
  live.clear();
  active = nullptr;
  running = nullptr;
  return succeeded;
}

void Scheduler::loopBody() { machine().loop(); }

void Scheduler::finish(bool ok) {
  succeeded = ok;
  leaveFiber(running ? running->fiber : loopFiber, caller);
}

void Scheduler::startCluster(uint64_t number) {
  const Launch &launch = *active;
  auto cluster = std::make_unique<Cluster>();
  uint64_t rest = number;
  for (int i = 0; i < 3; ++i) {
    uint32_t extent = launch.grid[i] / launch.cluster[i];
    cluster->id[i] = rest % extent;
    rest /= extent;
  }
  cluster->barrier.cluster = cluster.get();
  uint32_t sharedBytes = launch.kernel->staticShared + launch.dynamicShared;
  cluster->ordered = activeOptions.checks && sharedBytes > 0;
  if (cluster->ordered) {
    cluster->agents =
        AgentNumbers(launch.clusterBlocks(), launch.blockThreads(),
                     launch.kernel->hasCopies, launch.kernel->hasBulk);
    cluster->barrier.arriving.reset(cluster->agents.count);
    cluster->barrier.released.reset(cluster->agents.count);
  }
  uint32_t threads = launch.blockThreads();
  for (uint32_t rank = 0; rank < launch.clusterBlocks(); ++rank) {
    auto block = std::make_unique<Block>();
    block->cluster = cluster.get();
    block->rank = rank;
    uint32_t position[3] = {rank % launch.cluster[0],
                            rank / launch.cluster[0] % launch.cluster[1],
                            rank / launch.cluster[0] / launch.cluster[1]};
    for (int i = 0; i < 3; ++i)
      block->id[i] = cluster->id[i] * launch.cluster[i] + position[i];
    if (sharedSlots.empty())
      if (char *slot = mapSharedSlot())
        sharedSlots.push_back(slot);
    if (sharedSlots.empty())
      fail(Kind::Unsupported,
           "no memory below 4 GiB for the shared memory of a block");
    block->shared = sharedSlots.back();
    sharedSlots.pop_back();
    block->sharedBytes = sharedBytes;
    if (activeOptions.checks)
      block->shadow.reset(sharedBytes);
    // NaN in every floating-point format.
    std::memset(block->shared, 0xFF, block->sharedBytes);
    block->threads.resize(threads);
    block->liveThreads = threads;
    uint32_t warps = llvm::divideCeil(threads, warpSize);
    block->gathering.resize(warps);
    block->warpgroups.resize(llvm::divideCeil(threads, warpgroupSize));
    block->groupClocks.resize(block->warpgroups.size());
    block->liveLanes.assign(warps, 0);
    for (uint32_t i = 0; i < 16; ++i) {
      block->barriers[i].number = i;
      block->barriers[i].block = block.get();
      if (cluster->ordered)
        block->barriers[i].clock.reset(cluster->agents.count);
    }
    for (uint32_t i = 0; i < threads; ++i) {
      Thread &thread = block->threads[i];
      thread.block = block.get();
      thread.index = i;
      thread.id[0] = i % launch.block[0];
      thread.id[1] = i / launch.block[0] % launch.block[1];
      thread.id[2] = i / launch.block[0] / launch.block[1];
      if (cluster->ordered) {
        thread.agent = cluster->agents.thread(rank, i);
        thread.clock.reset(cluster->agents.count);
        thread.clock.see(thread.agent, 1);
      }
      block->liveLanes[i / warpSize] |= 1u << (i % warpSize);
      ready.push_back(&thread);
    }
    cluster->blocks.push_back(std::move(block));
  }
  cluster->liveThreads = threads * launch.clusterBlocks();
  counters.threads += cluster->liveThreads;
  live.push_back(std::move(cluster));
}

void Scheduler::threadBody() {
  Scheduler &self = machine();
  self.active->kernel->entry(self.active->parameters);
  self.exitThread();
}

void Scheduler::exitThread() {
  // What the thread leaves undone.
  if (running->tensorOpen || running->tensorWaited < running->tensorCommitted)
    fail(Kind::Protocol, "the thread ends with wgmma groups that it has not "
                         "waited for");
  bool unread = !running->openBulk.ops.empty();
  for (const CopyGroup &group : running->bulkGroups)
    unread |= !group.readWaited && !group.ops.empty();
  if (unread)
    fail(Kind::Lifetime, "the thread ends while a bulk copy may still read "
                         "shared memory: cp.async.bulk.wait_group is missing");
  running->state = Thread::State::Done;
  leaveFiber(running->fiber, loopFiber);
}

void Scheduler::step(Thread &thread) {
  if (thread.state == Thread::State::New) {
    stacks.lend(thread.fiber);
    prepareFiber(thread.fiber, threadBody);
  }
  thread.state = Thread::State::Ready;
  running = &thread;
  switchFiber(loopFiber, thread.fiber);
  running = nullptr;
  ++counters.fiber_switches;
  if (thread.state == Thread::State::Done)
    retire(thread);
}

void Scheduler::retire(Thread &thread) {
  stacks.takeBack(thread.fiber);
  progress();
  Block &block = *thread.block;
  Cluster &cluster = *block.cluster;
  block.liveLanes[thread.warp()] &= ~(1u << thread.lane());
  --block.liveThreads;
  --cluster.liveThreads;
  threadEnded(thread);
  if (cluster.liveThreads != 0)
    return;
  settle(cluster);
  for (std::unique_ptr<Block> &done : cluster.blocks) {
    sharedSlots.push_back(done->shared);
    auto [accesses, conflicts] = done->banks.total();
    counters.shared_accesses += accesses;
    counters.bank_conflicts += conflicts;
  }
  for (std::unique_ptr<Cluster> &candidate : live)
    if (candidate.get() == &cluster) {
      std::swap(candidate, live.back());
      live.pop_back();
      break;
    }
}

/// Nobody is left to wait for the copies of `cluster`: those that write global
/// memory still happen, as on the device.
void Scheduler::settle(Cluster &cluster) {
  for (size_t i = 0; i < pending.size();)
    if (pending[i]->issuer->block->cluster == &cluster)
      completeAsync(*pending[i]);
    else
      ++i;
}

void Scheduler::addAsync(std::shared_ptr<AsyncOp> op) {
  op->place = pending.size();
  op->number = asyncNumber++;
  pending.push_back(std::move(op));
}

void Scheduler::completeAsync(AsyncOp &op) {
  if (op.done)
    return;
  op.done = true;
  // It may be alive only through this list, and may add another one.
  std::shared_ptr<AsyncOp> keep = pending[op.place];
  pending.back()->place = op.place;
  std::swap(pending[op.place], pending.back());
  pending.pop_back();
  progress();
  pollRounds = 0;
  op.complete();
}

void Scheduler::completeOldest() {
  AsyncOp *oldest = pending.front().get();
  for (std::shared_ptr<AsyncOp> &op : pending)
    if (op->number < oldest->number)
      oldest = op.get();
  completeAsync(*oldest);
}

void Scheduler::loop() {
  // Polls without any event before everybody is said to be stuck: enough for
  // each thread to be drawn many times.
  constexpr uint64_t pollsPerThread = 500, roundsOfPolls = 32;
  while (true) {
    while (live.size() < maxLive && !notStarted.empty()) {
      std::swap(notStarted[random(notStarted.size())], notStarted.back());
      uint32_t number = notStarted.back();
      notStarted.pop_back();
      startCluster(number);
    }
    if (live.empty())
      finish(true);
    // Copies end when nothing else can happen, or at any time before.
    if (!pending.empty() && (ready.empty() || random(8) == 0)) {
      completeAsync(*pending[random(pending.size())]);
      continue;
    }
    if (ready.empty()) {
      // Let those whose wait ends by itself look again.
      bool woken = false;
      if (pollRounds++ < roundsOfPolls)
        woken = wakePollers();
      if (!woken)
        reportStuck();
      continue;
    }
    if (idlePolls > 20000 + pollsPerThread * ready.size())
      reportStuck();
    size_t pick = random(ready.size());
    Thread *thread = ready[pick];
    ready[pick] = ready.back();
    ready.pop_back();
    step(*thread);
  }
}

bool Scheduler::wakePollers() {
  bool woken = false;
  for (std::unique_ptr<Cluster> &cluster : live)
    for (std::unique_ptr<Block> &block : cluster->blocks)
      for (Thread &thread : block->threads)
        if (thread.state == Thread::State::Waiting && thread.polls) {
          stopPolling(thread);
          wake(thread);
          woken = true;
        }
  return woken;
}

void Scheduler::wait(const Waitable &what, bool polls) {
  Thread &self = *running;
  self.waitsFor = &what;
  self.polls = polls;
  self.state = Thread::State::Waiting;
  switchFiber(self.fiber, loopFiber);
  self.waitsFor = nullptr;
}

void Scheduler::waitUnlessWoken(const Waitable &what) {
  Thread &self = *running;
  if (self.state == Thread::State::Waiting) {
    wait(what);
    return;
  }
  // It is among the ready ones and takes its turn with them.
  switchFiber(self.fiber, loopFiber);
}

void Scheduler::wake(Thread &thread) {
  thread.state = Thread::State::Ready;
  ready.push_back(&thread);
}

void Scheduler::poll() {
  ++idlePolls;
  ready.push_back(running);
  switchFiber(running->fiber, loopFiber);
}

std::string Scheduler::describe(const Thread &thread) {
  const uint32_t *block = thread.block->id;
  return llvm::formatv("thread ({0},{1},{2}) of block ({3},{4},{5})",
                       thread.id[0], thread.id[1], thread.id[2], block[0],
                       block[1], block[2])
      .str();
}

std::string Scheduler::location(const Thread &thread) const {
  return active->kernel->module->describeSite(thread.site);
}

std::string Scheduler::location(uint32_t site) const {
  return active->kernel->module->describeSite(site);
}

void Scheduler::fail(Kind kind, std::string message) {
  describeFailure(running, running ? running->site : 0, kind,
                  std::move(message));
  finish(false);
}

void Scheduler::launchIsOver(bool programmatic) {
  // One that need not wait may have run beside those before it.
  if (!programmatic)
    writtenBefore.clear();
  writtenBefore.merge(written);
  written.clear();
}

void Scheduler::followDependencies(uint64_t address, uint64_t bytes,
                                   bool writes, const char *what) {
  bool early = active->programmatic && !running->block->dependenciesAwaited;
  for (uint64_t line = address / 16; line * 16 < address + bytes; ++line) {
    if (early && writtenBefore.count(line))
      fail(Kind::Race,
           message("{0} of {1} bytes at {2:x} before griddepcontrol.wait, "
                   "which the launch before has written, {3}",
                   what, bytes, address, memory.describe(address)));
    if (writes)
      written.insert(line);
  }
}

void Scheduler::failFor(const Thread &thread, Kind kind, std::string message) {
  failAt(thread, thread.site, kind, std::move(message));
}

void Scheduler::failAt(const Thread &thread, uint32_t site, Kind kind,
                       std::string message) {
  describeFailure(&thread, site, kind, std::move(message));
  finish(false);
}

void Scheduler::describeFailure(const Thread *thread, uint32_t site, Kind kind,
                                std::string message) {
  reportText = reportLine(kind, message) + "\n";
  if (thread)
    reportText += "  " + describe(*thread) + "\n  at " + location(site) + "\n";
  reportText +=
      llvm::formatv("  kernel '{0}', seed {1}\n", active->kernel->name, seed);
}

void Scheduler::reportStuck() {
  describeStuck();
  finish(false);
}

void Scheduler::describeStuck() {
  // Threads that wait for the same thing at the same place are one line.
  struct Group {
    std::string what;
    uint32_t first, last, count = 0;
    const Thread *example;
  };
  llvm::MapVector<std::pair<const void *, uint32_t>, Group> groups;
  bool anyPolls = false;
  auto add = [&](const Thread &thread, const void *key, std::string what) {
    Group &group = groups[{key, thread.site}];
    if (group.count++ == 0) {
      group.what = std::move(what);
      group.first = thread.index;
      group.example = &thread;
    }
    group.last = thread.index;
  };
  for (std::unique_ptr<Cluster> &cluster : live)
    for (std::unique_ptr<Block> &block : cluster->blocks)
      for (Thread &thread : block->threads) {
        if (thread.state == Thread::State::Done)
          continue;
        if (thread.state == Thread::State::Waiting) {
          anyPolls |= thread.polls;
          add(thread, thread.waitsFor,
              (thread.polls ? "poll " : "wait for ") +
                  thread.waitsFor->describe());
        } else {
          anyPolls = true;
          add(thread, block.get(), "poll memory");
        }
      }
  Kind kind = anyPolls ? Kind::Livelock : Kind::Deadlock;
  reportText = reportLine(kind, anyPolls ? "the threads left only poll or wait"
                                         : "the threads left all wait") +
               "\n";
  for (auto &[key, group] : groups) {
    const uint32_t *block = group.example->block->id;
    reportText += llvm::formatv(
        "  block ({0},{1},{2}): {3} of threads {4} to {5} {6}\n    at {7}\n",
        block[0], block[1], block[2], group.count, group.first, group.last,
        group.what, location(*group.example));
  }
  if (!notStarted.empty())
    reportText += llvm::formatv(
        "  {0} clusters of blocks have not started: {1} fit at a time\n",
        notStarted.size(), maxLive);
  reportText +=
      llvm::formatv("  kernel '{0}', seed {1}\n", active->kernel->name, seed);
}

Scheduler &dsv2::emulator::machine() {
  static Memory memory;
  static Scheduler scheduler(memory);
  return scheduler;
}
