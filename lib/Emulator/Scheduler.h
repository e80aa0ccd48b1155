//===- Scheduler.h - runs the threads of a launch ---------------*- C++ -*-===//
//
// Part of dsv2, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef DSV2_LIB_EMULATOR_SCHEDULER_H
#define DSV2_LIB_EMULATOR_SCHEDULER_H

#include "Machine.h"
#include "Memory.h"
#include "Options.h"
#include "Report.h"
#include "dsv2/Emulator/Emulator.h"

#include <string>
#include <unordered_set>
#include <vector>

namespace dsv2::emulator {

/// The running launch: which thread is on, which may go on, what was found. A
/// launch runs on the thread of the system that asked for it, so that a seed
/// gives one order; every choice is taken from one generator.
class Scheduler {
public:
  explicit Scheduler(Memory &memory) : memory(memory) {}
  ~Scheduler();

  /// Runs `launch` to its end with the order of `seed`. Returns false when a
  /// check failed; `report()` then says which.
  bool run(const Launch &launch, const Options &options, uint64_t seed);

  const std::string &report() const { return reportText; }

  //===--------------------------------------------------------------------===//
  // For instructions, on the fiber of the current thread
  //===--------------------------------------------------------------------===//

  Thread &current() { return *running; }
  const Launch &launch() const { return *active; }
  const Options &options() const { return activeOptions; }

  /// Gives up the processor until `wake`. Nothing with a destructor may be
  /// alive in the callers.
  void wait(const Waitable &what, bool polls = false);

  /// The same for a thread that is marked as waiting, unless it has been woken
  /// since.
  void waitUnlessWoken(const Waitable &what);

  /// Lets `thread` go on.
  void wake(Thread &thread);

  /// Gives up the processor; the thread only looks at something again and
  /// again. Too much of that by everybody is a livelock.
  void poll();

  /// Lets `op` complete at some time. It is owned here and by whoever waits for
  /// it, so that a failure leaves nothing behind; its fields may be filled in
  /// until the next switch.
  void addAsync(std::shared_ptr<AsyncOp> op);
  template <typename Op> Op &addAsync() {
    addAsync(std::make_shared<Op>());
    return static_cast<Op &>(*pending.back());
  }
  /// The owner of `op`.
  const std::shared_ptr<AsyncOp> &ownerOf(const AsyncOp &op) const {
    return pending[op.place];
  }
  /// Completes `op` now, unless that has happened.
  void completeAsync(AsyncOp &op);

  /// Completes the copy that has waited longest.
  void completeOldest();

  /// Ends the current thread.
  [[noreturn]] void exitThread();

  /// Ends the launch with a report about the current thread, or about the
  /// launch where none runs.
  [[noreturn]] void fail(Kind kind, std::string message);

  /// The same about `thread`, at instruction `site` of it.
  [[noreturn]] void failFor(const Thread &thread, Kind kind,
                            std::string message);
  [[noreturn]] void failAt(const Thread &thread, uint32_t site, Kind kind,
                           std::string message);

  /// Notes writes of global memory, and fails when a launch that may overlap
  /// the one before touches what that one wrote before griddepcontrol.wait.
  void followDependencies(uint64_t address, uint64_t bytes, bool writes,
                          const char *what);
  /// All runs of a launch are done: the next one comes after it.
  void launchIsOver(bool programmatic);
  /// Something else came in between, which waits for everything.
  void forgetWrites() { writtenBefore.clear(); }

  /// Something happened that others may have polled for.
  void progress() { idlePolls = 0; }

  /// A number below `bound` from the launch's generator.
  uint64_t random(uint64_t bound);

  /// "thread (3,0,0) of block (0,1,0)".
  static std::string describe(const Thread &thread);
  /// Where `thread` is: kernel, debug location, instruction.
  std::string location(const Thread &thread) const;
  std::string location(uint32_t site) const;

  Memory &memory;
  dsv2_emulator_counters counters = {};

private:
  static void threadBody();
  static void loopBody();
  [[noreturn]] void loop();
  [[noreturn]] void finish(bool ok);
  void startCluster(uint64_t number);
  void retire(Thread &thread);
  void step(Thread &thread);
  bool wakePollers();
  void describeFailure(const Thread *thread, uint32_t site, Kind kind,
                       std::string message);
  void describeStuck();
  void settle(Cluster &cluster);
  [[noreturn]] void reportStuck();

  const Launch *active = nullptr;
  Options activeOptions;
  Fiber caller, loopFiber;
  Thread *running = nullptr;
  std::vector<Thread *> ready;
  std::vector<std::unique_ptr<Cluster>> live;
  std::vector<std::shared_ptr<AsyncOp>> pending;
  std::vector<char *> sharedSlots;
  std::vector<uint32_t> notStarted;
  uint32_t maxLive = 1;
  uint64_t idlePolls = 0, pollRounds = 0;
  uint64_t seed = 0, state = 0, asyncNumber = 0;
  bool succeeded = false;
  /// With pdl=1: what this launch and those before it that may not be over
  /// wrote, in lines of 16 bytes.
  std::unordered_set<uint64_t> written, writtenBefore;
  std::string reportText;
  StackPool stacks;
};

/// The one scheduler of the process.
Scheduler &machine();

} // namespace dsv2::emulator

#endif // DSV2_LIB_EMULATOR_SCHEDULER_H
