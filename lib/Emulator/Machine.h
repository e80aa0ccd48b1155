//===- Machine.h - blocks, warps and threads of a launch --------*- C++ -*-===//
//
// Part of dsv2, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef DSV2_LIB_EMULATOR_MACHINE_H
#define DSV2_LIB_EMULATOR_MACHINE_H

#include "Banks.h"
#include "Clocks.h"
#include "Fiber.h"
#include "Shadow.h"

#include <cstdint>
#include <memory>
#include <string>
#include <unordered_map>
#include <vector>

namespace dsv2::emulator {

struct Block;
struct Cluster;
struct Kernel;
struct Thread;
struct CollectiveOp;

constexpr uint32_t warpSize = 32;
constexpr uint32_t warpgroupSize = 128;

/// Something that threads wait for.
struct Waitable {
  virtual ~Waitable() = default;
  /// For a report: what this is and what it lacks.
  virtual std::string describe() const = 0;
};

/// A copy that goes on beside the threads. It happens when `complete` runs,
/// which is at a random time between its issue and the end of a wait for it.
struct AsyncOp {
  virtual ~AsyncOp() = default;
  /// Runs on the fiber of whoever forces it, or of the scheduler.
  virtual void complete() = 0;
  /// For a report: what is under way.
  virtual std::string describe() const = 0;

  Thread *issuer = nullptr;
  uint32_t site = 0;
  bool done = false;
  /// Where the scheduler keeps it, and how many came before it.
  size_t place = 0;
  uint64_t number = 0;
};

/// Copies of a thread that a commit closed, or that wait for one.
struct CopyGroup {
  std::vector<std::shared_ptr<AsyncOp>> ops;
  /// What has to be seen after a wait: agents and their epochs.
  std::vector<std::pair<uint32_t, Epoch>> effects;
  /// Of bulk copies: somebody has waited for the reads.
  bool readWaited = false;
};

/// A CUDA thread.
struct Thread {
  enum class State { New, Ready, Waiting, Done };

  Fiber fiber;
  State state = State::New;
  Block *block = nullptr;
  /// Number within the block, x fastest, and its coordinates.
  uint32_t index = 0;
  uint32_t id[3] = {};
  /// The instruction that the thread executes, as a number of the module.
  uint32_t site = 0;
  const Waitable *waitsFor = nullptr;
  /// The wait ends by itself after a while: mbarrier.try_wait.
  bool polls = false;
  /// Between barrier.cluster.arrive and .wait: the phase arrived at.
  bool clusterArrived = false;
  uint64_t clusterPhase = 0;

  /// Number among the agents of the cluster, and what the thread has seen; its
  /// own epoch is what it has seen of itself.
  uint32_t agent = 0;
  Clock clock;

  /// cp.async: copies since the last commit, committed groups that nobody has
  /// waited for, oldest first, and the epoch of the thread's copies.
  CopyGroup openCopies;
  std::vector<CopyGroup> copyGroups;
  Epoch copyEpoch = 1;
  /// The same of bulk copies from shared memory. Waiting for reads leaves a
  /// group in place with its ops read.
  CopyGroup openBulk;
  std::vector<CopyGroup> bulkGroups;

  /// wgmma: groups committed, those waited for, and whether a wgmma.fence
  /// stands before the next instruction.
  uint32_t tensorCommitted = 0, tensorWaited = 0;
  bool tensorOpen = false, tensorFenced = false;

  uint32_t lane() const { return index % warpSize; }
  uint32_t warp() const { return index / warpSize; }
};

/// Threads that are to execute one warp-wide instruction together. Gathering
/// goes by instruction and mask, never by place in the program, since LLVM may
/// have duplicated a call.
struct Rendezvous : Waitable {
  /// Null once it is over; the object is kept for the next one.
  const CollectiveOp *op = nullptr;
  Block *block = nullptr;
  /// First thread of the block that may take part, and how many there are.
  uint32_t first = 0, count = 0;
  uint32_t mask = 0;
  /// Threads that are here, in lane order; null where one is missing.
  std::vector<Thread *> arrived;
  std::vector<const uint64_t *> arguments;
  std::vector<uint64_t *> results;
  uint32_t numArrived = 0;

  std::string describe() const override;
};

/// One of the 16 barriers of a block (PTX ISA, "barrier{.cta}").
struct NamedBarrier : Waitable {
  uint32_t number = 0;
  Block *block = nullptr;
  /// Threads that complete it; 0 before the first arrival.
  uint32_t expected = 0;
  /// Every thread of the block, whatever has ended.
  bool all = false;
  uint32_t arrived = 0;
  std::vector<Thread *> waiting;
  std::vector<uint64_t *> results;
  /// Of barrier.red: operation and predicates so far.
  uint32_t reduction = 0, trueCount = 0, predicates = 0;
  /// What the threads that have arrived saw.
  Clock clock;

  std::string describe() const override;
};

/// barrier.cluster: arrivals of one phase and those who wait for its end.
struct ClusterBarrier : Waitable {
  Cluster *cluster = nullptr;
  uint64_t phase = 0;
  uint32_t arrived = 0;
  std::vector<Thread *> waiting;
  /// Of the arrivals of this phase, and of all phases before.
  Clock arriving, released;

  std::string describe() const override;
};

/// An mbarrier object (PTX ISA, "mbarrier").
struct MBarrier : Waitable {
  Block *block = nullptr;
  /// Where it is, from the start of the block's shared memory.
  uint32_t offset = 0;
  /// Arrivals of a phase, those missing, and bytes missing.
  uint32_t count = 0, pending = 0;
  int64_t bytes = 0;
  /// Phases that have ended.
  uint64_t phase = 0;
  std::vector<Thread *> waiting;
  Clock arriving, released;
  /// Who made it when, and whether a fence has made that visible to copies.
  uint32_t initAgent = 0;
  Epoch initEpoch = 0;
  bool initFenced = false;

  std::string describe() const override;
};

/// What all threads of a warpgroup have seen, kept while none of them sees
/// more.
struct GroupClock {
  Clock clock;
  uint64_t versions = ~0ull;
};

/// A thread block.
struct Block {
  Cluster *cluster = nullptr;
  uint32_t id[3] = {};
  uint32_t rank = 0;
  /// Shared memory: 256 KiB aligned, below 4 GiB, so that 32-bit addresses and
  /// the 18 bits of a matrix descriptor are plain pointers.
  char *shared = nullptr;
  uint32_t sharedBytes = 0;
  std::vector<Thread> threads;
  uint32_t liveThreads = 0;
  NamedBarrier barriers[16];
  /// Of each warp: instructions that wait for further lanes.
  std::vector<std::vector<std::unique_ptr<Rendezvous>>> gathering;
  /// The same of each warpgroup; at most one.
  std::vector<std::unique_ptr<Rendezvous>> warpgroups;
  /// Lanes of each warp that have not ended.
  std::vector<uint32_t> liveLanes;
  /// By offset in shared memory.
  std::unordered_map<uint32_t, std::unique_ptr<MBarrier>> mbarriers;
  /// Of atomics on shared memory, by offset; they order what they touch.
  std::unordered_map<uint32_t, Clock> atomics;
  Shadow shadow;
  std::vector<GroupClock> groupClocks;
  /// Counts when banks=1.
  BankCounter banks;
  /// Some thread has waited for the launches before.
  bool dependenciesAwaited = false;

  uint64_t sharedAddress() const { return reinterpret_cast<uintptr_t>(shared); }
};

/// A thread block cluster; one block without the attribute.
struct Cluster {
  uint32_t id[3] = {};
  std::vector<std::unique_ptr<Block>> blocks;
  uint32_t liveThreads = 0;
  ClusterBarrier barrier;
  /// Whether accesses are checked for order, and who is who then.
  bool ordered = false;
  AgentNumbers agents;
  /// Of each slot for bulk copies: epochs used, and whether one is under way.
  Epoch bulkEpochs[AgentNumbers::bulkSlots] = {};
  bool bulkBusy[AgentNumbers::bulkSlots] = {};
  uint32_t nextBulk = 0;
};

/// One launch of a kernel.
struct Launch {
  const Kernel *kernel = nullptr;
  uint32_t grid[3] = {1, 1, 1};
  uint32_t block[3] = {1, 1, 1};
  uint32_t cluster[3] = {1, 1, 1};
  uint32_t dynamicShared = 0;
  bool cooperative = false;
  bool programmatic = false;
  /// Pointers to the values of the parameters.
  void **parameters = nullptr;

  uint32_t blockThreads() const { return block[0] * block[1] * block[2]; }
  uint32_t clusterBlocks() const {
    return cluster[0] * cluster[1] * cluster[2];
  }
};

} // namespace dsv2::emulator

#endif // DSV2_LIB_EMULATOR_MACHINE_H
