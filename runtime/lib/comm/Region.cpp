//===- Region.cpp - the memory that the ranks of one host share -----------===//
//
// Part of dsv2, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "Region.h"

#include "GroupMath.h"
#include "Support.h"

#include <new>
#include <thread>

#include <sys/mman.h>

using namespace dsv2rt;
using namespace dsv2rt::comm;

static_assert(std::atomic<uint64_t>::is_always_lock_free &&
                  std::atomic<uint32_t>::is_always_lock_free,
              "processes can share only atomics without locks");
static_assert(sizeof(JobState) <= 4096);

Expected<std::shared_ptr<Region>> Region::create(int ranks,
                                                 size_t outboxBytes) {
  if (ranks < 1 || ranks > maxRanks)
    return makeError(StatusCode::InvalidArgument, "expected 1 to ", maxRanks,
                     " ranks, found ", ranks);
  std::shared_ptr<Region> region(new Region());
  region->numRanks = ranks;
  region->outboxSize = (outboxBytes + 63) / 64 * 64;
  region->countsSize = (sizeof(int64_t) * ranks + 63) / 64 * 64;
  region->seatsOffset = (4096 + ranks * sizeof(RankState) + 4095) / 4096 * 4096;
  region->size = region->seatsOffset + region->seatStride() * maxGroups * ranks;
  // Pages that nobody touches, as those of groups that do not exist, take no
  // memory.
  void *memory =
      mmap(nullptr, region->size, PROT_READ | PROT_WRITE,
           MAP_SHARED | MAP_ANONYMOUS | MAP_NORESERVE, /*fd=*/-1, /*offset=*/0);
  if (memory == MAP_FAILED)
    return makeError(StatusCode::OutOfMemory, "cannot map ", region->size,
                     " bytes that ", ranks, " ranks share");
  region->base = static_cast<std::byte *>(memory);
  new (region->base) JobState();
  for (int r = 0; r < ranks; ++r) {
    new (&region->rank(r)) RankState();
    new (&region->seat(r, /*group=*/0)) Seat();
  }
  return region;
}

Region::~Region() {
  if (base)
    munmap(base, size);
}

size_t Region::seatStride() const {
  size_t bytes = sizeof(Seat) + 2 * countsSize + 2 * outboxSize;
  return (bytes + 4095) / 4096 * 4096;
}

JobState &Region::job() const { return *reinterpret_cast<JobState *>(base); }

RankState &Region::rank(int rank) const {
  return reinterpret_cast<RankState *>(base + 4096)[rank];
}

// Seats start as zeros, which is what a new Seat is.
Seat &Region::seat(int rank, int group) const {
  size_t index = size_t(group) * numRanks + rank;
  return *reinterpret_cast<Seat *>(base + seatsOffset + index * seatStride());
}

int64_t *Region::counts(int rank, int group, uint64_t round) const {
  std::byte *seatEnd =
      reinterpret_cast<std::byte *>(&seat(rank, group)) + sizeof(Seat);
  return reinterpret_cast<int64_t *>(seatEnd + (round & 1) * countsSize);
}

std::byte *Region::outbox(int rank, int group, uint64_t round) const {
  std::byte *seatEnd =
      reinterpret_cast<std::byte *>(&seat(rank, group)) + sizeof(Seat);
  return seatEnd + 2 * countsSize + (round & 1) * outboxSize;
}

void Region::end(int rank, const std::string &reason) {
  uint32_t expected = JobState::running;
  if (!job().state.compare_exchange_strong(expected, JobState::ending))
    return;
  job().rank = rank;
  size_t length = std::min(reason.size(), sizeof(JobState::reason) - 1);
  std::memcpy(job().reason, reason.data(), length);
  job().reason[length] = 0;
  job().state.store(JobState::ended, std::memory_order_release);
}

Status Region::reason() const {
  if (!ended())
    return Status();
  // The rank that writes the reason may die while it does.
  for (int i = 0; i < 100; ++i) {
    if (job().state.load(std::memory_order_acquire) == JobState::ended)
      return Status::error(StatusCode::RankFailed, job().reason);
    std::this_thread::sleep_for(std::chrono::milliseconds(1));
  }
  return Status::error(StatusCode::RankFailed,
                       "the job was ended by a rank that died before it could "
                       "say why");
}

int Region::endedBy() const {
  bool known = job().state.load(std::memory_order_acquire) == JobState::ended;
  return known ? job().rank : -1;
}

std::string Region::lastSeen(int rank) const {
  const RankState &state = this->rank(rank);
  Operation operation = state.operation.load();
  if (operation.sequence == 0)
    return "it has called no operation yet";
  return (state.inside.load(std::memory_order_relaxed)
              ? "it was last seen in "
              : "its last operation was ") +
         operation.text();
}
