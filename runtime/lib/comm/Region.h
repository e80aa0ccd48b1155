//===- Region.h - the memory that the ranks of one host share ---*- C++ -*-===//
//
// Part of dsv2, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// Anonymous memory, shared with the processes that are forked after it was
// made; it vanishes with the last of them. It holds
//
// - the state of the job: whether it was ended, and why;
// - for every rank what it does and how far it is, for those that wait for it;
// - for every rank and group a seat: its epoch, its last two operations, and
//   two outboxes.
//
// A seat is written by its rank alone. Seats of a group take part in rounds: a
// rank fills the outbox and the operation of parity `round & 1`, then stores
// the round in `epoch`. Who has seen epoch >= round of all seats may read all
// outboxes of that parity. The next round uses the other outbox, and whoever
// starts the one after it has seen that all others had begun the next one, and
// so had read this one: one wait a round is enough, and no flag is ever reset.
//
//===----------------------------------------------------------------------===//

#ifndef DSV2RT_LIB_COMM_REGION_H
#define DSV2RT_LIB_COMM_REGION_H

#include "Operation.h"

#include <array>
#include <atomic>
#include <cstddef>
#include <cstring>
#include <memory>
#include <string>
#include <type_traits>

namespace dsv2rt::comm {

inline constexpr int maxRanks = 256;
/// Bytes that a rank shows the others at a time.
inline constexpr size_t defaultOutboxBytes = 1 << 20;

/// A value that may be read while it is written. A reader then gets a mixture
/// of old and new bytes, which is good enough for a message.
template <class T> class Record {
  static_assert(std::is_trivially_copyable_v<T> && sizeof(T) % 8 == 0);

public:
  void store(const T &value) {
    std::array<uint64_t, sizeof(T) / 8> plain;
    std::memcpy(plain.data(), &value, sizeof(T));
    for (size_t i = 0; i < plain.size(); ++i)
      words[i].store(plain[i], std::memory_order_relaxed);
  }

  T load() const {
    std::array<uint64_t, sizeof(T) / 8> plain;
    for (size_t i = 0; i < plain.size(); ++i)
      plain[i] = words[i].load(std::memory_order_relaxed);
    T value;
    std::memcpy(&value, plain.data(), sizeof(T));
    return value;
  }

private:
  std::array<std::atomic<uint64_t>, sizeof(T) / 8> words{};
};

/// Whether and why the job was ended.
struct JobState {
  static constexpr uint32_t running = 0, ending = 1, ended = 2;
  std::atomic<uint32_t> state{running};
  /// The rank that failed or found the failure, -1: the launcher. Written, like
  /// the reason, while `state` is `ending`.
  int32_t rank = -1;
  /// A sentence.
  char reason[4096 - 64] = {};
};

/// What a rank does, for those that wait for it.
struct alignas(64) RankState {
  /// Changes whenever the rank gets on.
  std::atomic<uint64_t> progress{0};
  /// 1 + the rank it waits for; 0: it waits for none.
  std::atomic<uint32_t> waitingFor{0};
  /// 1 from the start of an operation to its end.
  std::atomic<uint32_t> inside{0};
  Record<Operation> operation;
};

/// What a rank shows the others of one group. A seat is used for one group
/// after another, as soon as all members of the earlier one have left it.
struct alignas(64) Seat {
  /// The last round that the rank has begun.
  std::atomic<uint64_t> epoch{0};
  /// 1 when the rank will begin no further round.
  std::atomic<uint32_t> left{0};
  /// How many groups the seat has been used for, and how many of them are over
  /// for this rank.
  std::atomic<uint32_t> uses{0}, over{0};
  Record<Operation> operations[2];
  /// How many sleep until `epoch` changes. In a line of its own, as others
  /// write it.
  alignas(64) std::atomic<uint32_t> sleepers{0};
};

/// The shared memory of one job.
class Region {
public:
  /// Errors: InvalidArgument for a number of ranks outside 1 to maxRanks,
  /// OutOfMemory.
  static Expected<std::shared_ptr<Region>> create(int ranks,
                                                  size_t outboxBytes);
  ~Region();
  Region(const Region &) = delete;
  Region &operator=(const Region &) = delete;

  int ranks() const { return numRanks; }
  /// A multiple of 64.
  size_t outboxBytes() const { return outboxSize; }

  RankState &rank(int rank) const;
  Seat &seat(int rank, int group) const;
  std::byte *outbox(int rank, int group, uint64_t round) const;
  /// A number of bytes for every member of the group.
  int64_t *counts(int rank, int group, uint64_t round) const;

  /// Ends the job unless it was ended before, on behalf of `rank`.
  void end(int rank, const std::string &reason);

  bool ended() const {
    return job().state.load(std::memory_order_acquire) != JobState::running;
  }

  /// Ok, or RankFailed with the reason.
  Status reason() const;

  /// On whose behalf the job was ended, -1 if it was not or on none's.
  int endedBy() const;

  /// "it was last seen in ..." or "its last operation was ...".
  std::string lastSeen(int rank) const;

private:
  Region() = default;
  JobState &job() const;
  size_t seatStride() const;

  std::byte *base = nullptr;
  size_t size = 0;
  size_t seatsOffset = 0;
  size_t countsSize = 0;
  size_t outboxSize = 0;
  int numRanks = 0;
};

} // namespace dsv2rt::comm

#endif // DSV2RT_LIB_COMM_REGION_H
