//===- Waiting.cpp - how a rank waits for another -------------------------===//
//
// Part of dsv2, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// A rank that others wait for usually is microseconds away, so waiting starts
// with looking again. With more ranks than processors that would keep it from
// running: then the processor is handed on soon, and in the end the rank
// sleeps. Whoever waits long also watches whether the other one gets on.
//
//===----------------------------------------------------------------------===//

#include "Futex.h"
#include "LossDetector.h"
#include "SharedCommunicator.h"
#include "Support.h"

#include <cstdio>

#include <sched.h>

using namespace dsv2rt;
using namespace dsv2rt::comm;

using Clock = std::chrono::steady_clock;

/// How long a rank looks again. Longer than it takes to hand the processor on,
/// which costs little where no one wants it, gains nothing, and two ranks on
/// one processor, where the system sometimes puts them, would wait as long each
/// time.
static constexpr std::chrono::microseconds spinTime(2);
/// How long it then hands the processor on before it sleeps.
static constexpr std::chrono::microseconds yieldTime(2000),
    crowdedYieldTime(50);

static void pauseShortly() {
#if defined(__x86_64__)
  __builtin_ia32_pause();
#else
  std::atomic_signal_fence(std::memory_order_seq_cst);
#endif
}

bool SharedCommunicator::reached(int member) const {
  return region.seat(members[member], group)
             .epoch.load(std::memory_order_acquire) >= epoch;
}

Status SharedCommunicator::await(int member) {
  for (int i = 0; i < 16; ++i) {
    if (reached(member))
      return Status();
    pauseShortly();
  }
  const Clock::time_point limit = Clock::now() + spinTime;
  do {
    for (int i = 0; i < 16; ++i) {
      if (reached(member))
        return Status();
      pauseShortly();
    }
  } while (Clock::now() < limit);
  std::atomic<uint32_t> &waitingFor = region.rank(self->rank).waitingFor;
  waitingFor.store(members[member] + 1, std::memory_order_relaxed);
  Status status = awaitSlowly(member);
  waitingFor.store(0, std::memory_order_relaxed);
  return status;
}

Status SharedCommunicator::awaitSlowly(int member) {
  const int awaited = members[member];
  Seat &seat = region.seat(awaited, group);
  LossDetector detector(region, self->rank, awaited, self->options.timeout);
  Clock::time_point yieldLimit =
      Clock::now() + (self->crowded ? crowdedYieldTime : yieldTime);
  bool yielding = true;
  for (;;) {
    // Before the epoch: a rank that has left begins no further round.
    bool left = seat.left.load(std::memory_order_acquire);
    if (reached(member))
      return Status();
    if (region.ended())
      return region.reason();
    if (left)
      return fail(strCat("rank ", awaited,
                         group == 0 ? " ended" : " gave up its group",
                         " while rank ", self->rank, " waited for it in ",
                         operation.text(), "; ", region.lastSeen(awaited)));
    if (yielding) {
      sched_yield();
      yielding = Clock::now() < yieldLimit;
      continue;
    }
    if (std::string lost = detector.check(operation); !lost.empty())
      return fail(lost);
    seat.sleepers.fetch_add(1, std::memory_order_seq_cst);
    uint64_t seen = seat.epoch.load(std::memory_order_seq_cst);
    if (seen < epoch)
      sleepWhile(seat.epoch, seen, detector.sleepNanoseconds());
    seat.sleepers.fetch_sub(1, std::memory_order_relaxed);
  }
}

LossDetector::LossDetector(const Region &region, int self, int awaited,
                           double timeout)
    : region(region), self(self), awaited(awaited), timeout(timeout),
      last(Clock::now()) {}

int64_t LossDetector::sleepNanoseconds() const {
  return int64_t(std::min(0.01, timeout / 8) * 1e9);
}

std::string LossDetector::check(const Operation &operation) {
  Clock::time_point now = Clock::now();
  // A rank that was stopped itself, or did not get a processor, must not count
  // that against the others.
  double elapsed =
      std::min(std::chrono::duration<double>(now - last).count(), timeout / 4);
  last = now;
  std::vector<int> found;
  uint64_t sum = 0;
  bool circle = false;
  for (int rank = awaited;;) {
    found.push_back(rank);
    sum += region.rank(rank).progress.load(std::memory_order_relaxed);
    uint32_t next =
        region.rank(rank).waitingFor.load(std::memory_order_relaxed);
    if (next == 0)
      break;
    rank = int(next) - 1;
    circle = rank == self ||
             std::find(found.begin(), found.end(), rank) != found.end();
    if (circle)
      break;
  }
  if (found != chain || sum != progress) {
    chain = std::move(found);
    progress = sum;
    waited = 0;
    return "";
  }
  waited += elapsed;
  if (waited < timeout)
    return "";
  return message(operation, circle);
}

std::string LossDetector::message(const Operation &operation,
                                  bool circle) const {
  char seconds[32];
  std::snprintf(seconds, sizeof(seconds), "%.1f s", waited);
  if (circle) {
    std::string text =
        strCat("ranks wait for one another since ", seconds, ": rank ", self,
               " for rank ", awaited, " in ", operation.text());
    for (int rank : chain)
      text += strCat(
          ", rank ", rank, " for rank ",
          int(region.rank(rank).waitingFor.load(std::memory_order_relaxed)) - 1,
          " in ", region.rank(rank).operation.load().text());
    return text;
  }
  int lost = chain.back();
  std::string text = strCat("rank ", lost, " showed no progress for ", seconds,
                            " while rank ", self, " waited for ");
  // Others stand between the two.
  for (size_t i = 0; i + 1 < chain.size(); ++i)
    text += strCat("rank ", chain[i], i + 2 < chain.size() ? ", " : " and ",
                   "that for ");
  text += strCat("it in ", operation.text(), "; ", region.lastSeen(lost));
  return text;
}
