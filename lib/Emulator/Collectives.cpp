//===- Collectives.cpp - instructions that a warp executes together -------===//
//
// Part of dsv2, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "Collectives.h"

#include "Scheduler.h"

#include "llvm/ADT/bit.h"

using namespace dsv2::emulator;

std::string Rendezvous::describe() const {
  std::string missing;
  for (uint32_t i = 0; i < count; ++i)
    if (!arrived[i] && (count > warpSize || (mask >> i & 1)))
      missing += (missing.empty() ? "" : ", ") + std::to_string(first + i);
  if (missing.size() > 60)
    missing = missing.substr(0, 60) + "...";
  return message("{0} with mask {1:x}, which lacks threads {2}", op->name, mask,
                 missing);
}

/// Puts the current thread into `meeting`; the last one computes and wakes.
static void join(Rendezvous &meeting, const uint64_t *arguments,
                 uint64_t *results, uint32_t needed) {
  Scheduler &scheduler = machine();
  Thread &self = scheduler.current();
  uint32_t place = self.index - meeting.first;
  for (uint32_t i = 0; meeting.op->uniform && i < meeting.count; ++i) {
    Thread *other = meeting.arrived[i];
    if (!other)
      continue;
    const uint64_t *theirs = meeting.arguments[other->index - meeting.first];
    for (uint64_t bits = meeting.op->uniform; bits; bits &= bits - 1) {
      int operand = llvm::countr_zero(bits);
      if (theirs[operand] != arguments[operand])
        scheduler.fail(
            Kind::Protocol,
            message("{0}: operand {1} is {2:x} here and {3:x} in {4}",
                    meeting.op->name, operand, arguments[operand],
                    theirs[operand], Scheduler::describe(*other)));
    }
    break;
  }
  meeting.arrived[place] = &self;
  meeting.arguments[place] = arguments;
  meeting.results[place] = results;
  if (++meeting.numArrived < needed) {
    scheduler.wait(meeting);
    return;
  }
  meeting.op->compute(meeting);
  for (Thread *other : meeting.arrived)
    if (other && other != &self)
      scheduler.wake(*other);
  meeting.op = nullptr;
}

/// Opens a meeting in `place`, which is empty or holds one that is over.
static Rendezvous &open(std::unique_ptr<Rendezvous> &place,
                        const CollectiveOp &op, uint32_t mask, uint32_t first,
                        uint32_t count) {
  if (!place) {
    place = std::make_unique<Rendezvous>();
    place->arguments.resize(count);
    place->results.resize(count);
  }
  place->op = &op;
  place->block = machine().current().block;
  place->first = first;
  place->count = count;
  place->mask = mask;
  place->numArrived = 0;
  place->arrived.assign(count, nullptr);
  return *place;
}

void dsv2::emulator::gatherWarp(const CollectiveOp &op, uint32_t mask,
                                const uint64_t *arguments, uint64_t *results) {
  Scheduler &scheduler = machine();
  Thread &self = scheduler.current();
  uint32_t own = 1u << self.lane();
  if (!(mask & own))
    scheduler.fail(Kind::Protocol,
                   message("{0}: lane {1} is not in its own mask {2:x}",
                           op.name, self.lane(), mask));
  Block &block = *self.block;
  uint32_t dead = mask & ~block.liveLanes[self.warp()];
  if (dead)
    scheduler.fail(
        Kind::Protocol,
        message("{0}: mask {1:x} names lane {2}, which has ended or does "
                "not exist",
                op.name, mask, llvm::countr_zero(dead)));
  auto &gathering = block.gathering[self.warp()];
  std::unique_ptr<Rendezvous> *mine = nullptr, *unused = nullptr;
  for (std::unique_ptr<Rendezvous> &meeting : gathering) {
    if (!meeting->op) {
      unused = &meeting;
      continue;
    }
    if (meeting->op == &op && meeting->mask == mask) {
      mine = &meeting;
      continue;
    }
    // Both wait for each other if each is in the other's mask.
    for (uint32_t lane = 0; lane < warpSize; ++lane)
      if (meeting->arrived[lane] && (mask >> lane & 1) && (meeting->mask & own))
        scheduler.fail(
            Kind::Protocol,
            message("{0} with mask {1:x} meets {2} with mask {3:x} in {4}",
                    op.name, mask, meeting->op->name, meeting->mask,
                    Scheduler::describe(*meeting->arrived[lane])));
  }
  if (!mine) {
    if (!unused) {
      gathering.emplace_back();
      unused = &gathering.back();
    }
    open(*unused, op, mask, self.warp() * warpSize, warpSize);
    mine = unused;
  }
  join(**mine, arguments, results, llvm::popcount(mask));
}

void dsv2::emulator::gatherWarpgroup(const CollectiveOp &op,
                                     const uint64_t *arguments,
                                     uint64_t *results) {
  Scheduler &scheduler = machine();
  Thread &self = scheduler.current();
  Block &block = *self.block;
  uint32_t group = self.index / warpgroupSize;
  if ((group + 1) * warpgroupSize > block.threads.size())
    scheduler.fail(
        Kind::Protocol,
        message("{0} in a warpgroup of fewer than 128 threads", op.name));
  std::unique_ptr<Rendezvous> &meeting = block.warpgroups[group];
  if (!meeting || !meeting->op)
    open(meeting, op, ~0u, group * warpgroupSize, warpgroupSize);
  else if (meeting->op != &op)
    for (Thread *other : meeting->arrived)
      if (other)
        scheduler.fail(Kind::Protocol,
                       message("{0} meets {1} in {2} of the warpgroup", op.name,
                               meeting->op->name, Scheduler::describe(*other)));
  join(*meeting, arguments, results, warpgroupSize);
}

void dsv2::emulator::checkGathering(Block &block, const Thread &ended) {
  auto check = [&](const std::unique_ptr<Rendezvous> &meeting) {
    if (!meeting || !meeting->op)
      return;
    uint32_t place = ended.index - meeting->first;
    if (meeting->count == warpSize && !(meeting->mask >> place & 1))
      return;
    for (Thread *other : meeting->arrived)
      if (other)
        machine().failFor(*other, Kind::Protocol,
                          message("{0} waits for {1}, which has ended",
                                  meeting->op->name,
                                  Scheduler::describe(ended)));
  };
  for (const std::unique_ptr<Rendezvous> &meeting :
       block.gathering[ended.warp()])
    check(meeting);
  check(block.warpgroups[ended.index / warpgroupSize]);
}
