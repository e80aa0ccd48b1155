//===- SharedCommunicator.cpp - ranks that share memory -------------------===//
//
// Part of dsv2, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// The rounds that every collective consists of (Region.h), and what ends them
// early. SharedCollectives.cpp and SharedAllToAll.cpp say what travels in them,
// Waiting.cpp how a rank waits.
//
//===----------------------------------------------------------------------===//

#include "SharedCommunicator.h"

#include "Futex.h"
#include "Support.h"

#include <cmath>
#include <numeric>

#include <sched.h>

using namespace dsv2rt;
using namespace dsv2rt::comm;

Status comm::checkOptions(const CommOptions &options) {
  for (double seconds : {options.timeout, options.startTimeout})
    if (!(seconds > 0) || !std::isfinite(seconds))
      return makeError(StatusCode::InvalidArgument,
                       "expected a positive number of seconds as the timeout "
                       "of ranks, found ",
                       seconds);
  return Status();
}

static int usableProcessors() {
  cpu_set_t set;
  CPU_ZERO(&set);
  // Fails on machines with more processors than the set has bits.
  return sched_getaffinity(0, sizeof(set), &set) == 0
             ? CPU_COUNT(&set)
             : int(std::thread::hardware_concurrency());
}

Expected<std::vector<std::unique_ptr<Communicator>>>
comm::makeSharedGroup(int ranks, const CommOptions &options,
                      size_t outboxBytes) {
  if (Status status = checkOptions(options); !status.ok())
    return status;
  Expected<std::shared_ptr<Region>> region = Region::create(ranks, outboxBytes);
  if (!region.ok())
    return region.status();
  std::vector<int> members(ranks);
  std::iota(members.begin(), members.end(), 0);
  std::vector<std::unique_ptr<Communicator>> communicators;
  for (int r = 0; r < ranks; ++r) {
    auto self = std::make_shared<SharedRank>();
    self->region = region.value();
    self->options = options;
    self->rank = r;
    self->crowded = ranks > usableProcessors();
    communicators.push_back(std::make_unique<SharedCommunicator>(
        std::move(self), members, /*index=*/r, /*group=*/0));
  }
  return communicators;
}

std::shared_ptr<Region> comm::regionOf(const Communicator &communicator) {
  return static_cast<const SharedCommunicator &>(communicator)
      .sharedRank()
      ->region;
}

int64_t SharedRank::freeGroups() const {
  int64_t free = 0;
  // The whole is for ever.
  for (int g = 1; g < maxGroups; ++g) {
    const Use &use = groups[g];
    bool over = true;
    for (size_t m = 0; m < use.members.size(); ++m)
      over =
          over && region->seat(use.members[m], g)
                          .over.load(std::memory_order_acquire) >= use.uses[m];
    free |= int64_t(over) << g;
  }
  return free;
}

void SharedRank::openSeat(int group) {
  Seat &seat = region->seat(rank, group);
  seat.epoch.store(0, std::memory_order_relaxed);
  seat.left.store(0, std::memory_order_relaxed);
  seat.uses.fetch_add(1, std::memory_order_release);
}

void SharedRank::enterGroup(int group, const std::vector<int> &members) {
  Use &use = groups[group];
  use.members = members;
  use.uses.clear();
  for (int member : members)
    use.uses.push_back(
        region->seat(member, group).uses.load(std::memory_order_acquire));
}

SharedCommunicator::SharedCommunicator(std::shared_ptr<SharedRank> rank,
                                       std::vector<int> members, int index,
                                       int group)
    : self(std::move(rank)), region(*self->region), members(std::move(members)),
      index(index), group(group) {
  exchange.offsets.resize(this->members.size());
  gatherBytes.resize(this->members.size());
  terms.resize(this->members.size());
}

SharedCommunicator::~SharedCommunicator() {
  Seat &seat = region.seat(self->rank, group);
  seat.left.store(1, std::memory_order_release);
  wakeSleepers(seat.epoch);
  seat.over.fetch_add(1, std::memory_order_release);
}

void SharedCommunicator::alive() {
  region.rank(self->rank).progress.fetch_add(1, std::memory_order_relaxed);
}

void SharedCommunicator::abort(const Status &reason) {
  region.end(self->rank,
             strCat("rank ", self->rank, " ended the job: ", reason.message()));
}

/// Ends the job because of what this rank was asked to do or has found.
Status SharedCommunicator::fail(const std::string &reason) {
  region.end(self->rank, reason);
  return region.reason();
}

Status SharedCommunicator::begin(CollectiveKind kind,
                                 const CollectiveSite &site, int64_t bytes) {
  if (region.ended())
    return region.reason();
  operation = Operation(kind, site, bytes, ++sequence);
  unchecked = true;
  RankState &state = region.rank(self->rank);
  state.operation.store(operation);
  state.inside.store(1, std::memory_order_relaxed);
  region.seat(self->rank, group).operations[(epoch + 1) & 1].store(operation);
  if (exchange.pending)
    return fail(strCat("rank ", self->rank, " called ", operation.text(),
                       " before it finished the all_to_all_v that it had "
                       "started"));
  if (std::string error = sizeError(self->rank, operation); !error.empty())
    return fail(error);
  return Status();
}

Status SharedCommunicator::end(Status status, int64_t bytesSent) {
  region.rank(self->rank).inside.store(0, std::memory_order_relaxed);
  if (status.ok()) {
    ++sent.calls;
    sent.bytesSent += bytesSent;
  }
  return status;
}

void SharedCommunicator::publish() {
  ++epoch;
  Seat &seat = region.seat(self->rank, group);
  // Together with the sleeper, which counts itself before it looks at the
  // epoch: one of the two sees the other.
  seat.epoch.store(epoch, std::memory_order_seq_cst);
  alive();
  if (seat.sleepers.load(std::memory_order_seq_cst))
    wakeSleepers(seat.epoch);
}

Status SharedCommunicator::awaitAll() {
  for (int i = 1; i < size(); ++i)
    if (Status status = await((index + i) % size()); !status.ok())
      return status;
  return unchecked ? compareOperations() : Status();
}

Status SharedCommunicator::compareOperations() {
  unchecked = false;
  for (int member = 0; member < size(); ++member) {
    if (member == index)
      continue;
    Operation other =
        region.seat(members[member], group).operations[epoch & 1].load();
    if (!operation.matches(other))
      return fail(disagreement(self->rank, operation, members[member], other));
  }
  return Status();
}
