//===- SharedCommunicator.h - ranks that share memory -----------*- C++ -*-===//
//
// Part of dsv2, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef DSV2RT_LIB_COMM_SHAREDCOMMUNICATOR_H
#define DSV2RT_LIB_COMM_SHAREDCOMMUNICATOR_H

#include "GroupMath.h"
#include "Region.h"

#include <vector>

namespace dsv2rt::comm {

/// What all communicators of one rank have in common.
struct SharedRank {
  std::shared_ptr<Region> region;
  CommOptions options;
  int rank = 0;
  /// Whether the job has more ranks than processors, so that waiting has to
  /// leave them to others.
  bool crowded = false;
  /// For each number the last group of that number that this rank was or is in.
  struct Use {
    /// The members' ranks, and how many times each had used its seat then.
    std::vector<int> members;
    std::vector<uint32_t> uses;
  };
  std::array<Use, maxGroups> groups;

  /// The numbers of groups whose seats nobody looks at any more, as bits.
  int64_t freeGroups() const;
  /// Takes the seat of a new group.
  void openSeat(int group);
  /// Once all members have taken their seats.
  void enterGroup(int group, const std::vector<int> &members);
};

/// Ok, or InvalidArgument for times that are no positive numbers.
Status checkOptions(const CommOptions &options);

/// A communicator for every rank of a new job, to be used in any threads, or in
/// processes that are forked later. `outboxBytes` is how much a rank shows the
/// others at a time. Errors: those of checkOptions() and Region::create().
Expected<std::vector<std::unique_ptr<Communicator>>>
makeSharedGroup(int ranks, const CommOptions &options,
                size_t outboxBytes = defaultOutboxBytes);

/// The job that a communicator of makeSharedGroup() belongs to.
std::shared_ptr<Region> regionOf(const Communicator &communicator);

/// A group of ranks in one Region.
class SharedCommunicator : public Communicator {
public:
  /// `members` are numbers of ranks in the job, in the order of the group;
  /// `group` is the number of their seats, `index` this rank's place.
  SharedCommunicator(std::shared_ptr<SharedRank> self, std::vector<int> members,
                     int index, int group);
  /// Ranks that wait for this one in this group from now on fail.
  ~SharedCommunicator() override;

  int rank() const override { return index; }
  int size() const override { return int(members.size()); }
  int worldRank() const override { return self->rank; }

  Status allReduce(float *data, int64_t count,
                   const CollectiveSite &site) override;
  Status allGather(const void *send, int64_t bytes, void *receive,
                   const CollectiveSite &site) override;
  Status allGatherV(const void *send, const int64_t *bytes, void *receive,
                    const CollectiveSite &site) override;
  Status allToAllV(const void *send, const int64_t *sendBytes, void *receive,
                   const int64_t *receiveBytes,
                   const CollectiveSite &site) override;
  Status startAllToAllV(const void *send, const int64_t *sendBytes,
                        void *receive, const int64_t *receiveBytes,
                        const CollectiveSite &site) override;
  Status finishAllToAllV() override;
  Status barrier(const CollectiveSite &site) override;
  Expected<std::unique_ptr<Communicator>> split(int color, int key) override;
  void abort(const Status &reason) override;
  Status status() const override { return region.reason(); }
  void alive() override;
  const CommOptions &commOptions() const override { return self->options; }

  const std::shared_ptr<SharedRank> &sharedRank() const { return self; }

private:
  // Rounds (SharedCommunicator.cpp).
  Status begin(CollectiveKind kind, const CollectiveSite &site, int64_t bytes);
  Status end(Status status, int64_t bytesSent);
  Status fail(const std::string &reason);
  void publish();
  Status awaitAll();
  Status compareOperations();

  // Waiting (Waiting.cpp).
  bool reached(int member) const;
  Status await(int member);
  Status awaitSlowly(int member);

  // Sums and gathers (SharedCollectives.cpp).
  Status reduceDirectly(float *data, int64_t count);
  Status reduceByShares(float *data, int64_t count);
  Status gather(const void *send, const int64_t *bytes, void *receive);
  Status compareGatherBytes(const int64_t *bytes);

  // The exchange of different sizes (SharedAllToAll.cpp).
  Status readCounts();
  void copyKept();
  void fillOutbox(int64_t window);
  void readOutbox(int member, int64_t window);

  /// This rank's outbox of the round that publish() begins next.
  std::byte *nextOutbox() const {
    return region.outbox(self->rank, group, epoch + 1);
  }
  /// A member's outbox of the round that was published last.
  const std::byte *outbox(int member) const {
    return region.outbox(members[member], group, epoch);
  }
  const int64_t *counts(int member) const {
    return region.counts(members[member], group, epoch);
  }

  std::shared_ptr<SharedRank> self;
  Region &region;
  const std::vector<int> members;
  const int index;
  const int group;
  uint64_t epoch = 0;
  Operation operation;
  int64_t sequence = 0;
  /// Whether the others' operations have yet to be compared with this one's.
  bool unchecked = false;
  /// The exchange between startAllToAllV() and finishAllToAllV().
  struct Exchange {
    bool pending = false;
    const std::byte *send = nullptr;
    std::byte *receive = nullptr;
    std::vector<int64_t> sendBytes, receiveBytes;
    /// Where in what a member sends this rank's part starts.
    std::vector<int64_t> offsets;
    /// How many outboxes the member that sends most fills.
    int64_t windows = 0;
  } exchange;
  // Scratch, kept so that operations allocate nothing.
  std::vector<int64_t> gatherBytes;
  std::vector<const float *> terms;
};

} // namespace dsv2rt::comm

#endif // DSV2RT_LIB_COMM_SHAREDCOMMUNICATOR_H
