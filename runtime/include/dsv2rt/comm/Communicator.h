//===- Communicator.h - a group of ranks and its collectives ----*- C++ -*-===//
//
// Part of dsv2, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// What compiled code and sessions need of other ranks, whatever carries it:
// threads or processes of one host, MPI, or NCCL. Every rank of a group calls
// the same operations in the same order. A failure of any rank ends the whole
// job: every call that waits returns the same kind of error within the timeout,
// and so does every later call, on every communicator of the job.
//
//===----------------------------------------------------------------------===//

#ifndef DSV2RT_COMM_COMMUNICATOR_H
#define DSV2RT_COMM_COMMUNICATOR_H

#include "dsv2rt/Status.h"

#include <cstdint>
#include <memory>
#include <string>

namespace dsv2rt {

/// What a collective does.
enum class CollectiveKind {
  AllReduce,
  AllGather,
  AllToAll,
  AllToAllV,
  Barrier,
  Split
};

/// "all_reduce", "all_gather", "all_to_all", "all_to_all_v", "barrier" or
/// "split".
const char *collectiveName(CollectiveKind kind);

/// Where in the model a collective stands, for messages and for the check that
/// all ranks are at the same one.
struct CollectiveSite {
  /// A name that all ranks use: "mlp.dispatch". Must outlive the call.
  const char *name = "";
  /// -1: in no layer.
  int64_t layer = -1;
};

/// What a rank has sent to others of its group so far; what stays on the rank
/// is not counted. Operations that failed are not counted either.
struct CommCounters {
  int64_t calls = 0;
  /// By the meaning of the operations, not by what an engine makes of them: a
  /// gather sends a rank's data to every other one.
  int64_t bytesSent = 0;
};

/// What an all-reduce of `bytes` bytes counts as: the least that a rank can
/// send, 2 * (size - 1) / size of its data, as a scatter of sums and a gather
/// do.
inline int64_t allReduceBytesSent(int64_t bytes, int size) {
  return 2 * (bytes / size) * (size - 1) +
         2 * (bytes % size) * (size - 1) / size;
}

/// How ranks find and wait for each other.
struct CommOptions {
  /// Seconds after which a rank that shows no progress while others wait for it
  /// counts as lost.
  double timeout = 15;
  /// Seconds that all ranks have to come together at the start.
  double startTimeout = 60;
  /// Whether engines that do not compare operations anyway exchange (operation,
  /// size class, sequence number) before every one.
  bool checkOrder = false;
};

/// One group of ranks, from the point of view of one of them. To be used by one
/// thread at a time, except for abort().
class Communicator {
public:
  virtual ~Communicator();

  /// This rank's number in the group, and how many there are.
  virtual int rank() const = 0;
  virtual int size() const = 0;
  /// This rank's number in the whole job, for messages.
  virtual int worldRank() const = 0;

  /// Replaces `data`, f32[count], by the sum over all ranks. The sum is
  /// taken in f32 in the order of the ranks, so that every rank gets the same
  /// bits. `count` is the same on every rank; 0 is allowed.
  virtual Status allReduce(float *data, int64_t count,
                           const CollectiveSite &site) = 0;

  /// Puts the `bytes` bytes at `send` of rank r at `receive` + r * `bytes`.
  /// `bytes` is the same on every rank; 0 is allowed.
  virtual Status allGather(const void *send, int64_t bytes, void *receive,
                           const CollectiveSite &site) = 0;

  /// The same with a number of bytes for each rank: rank r's `bytes[r]` bytes
  /// follow those of rank r - 1. `bytes` is the same on every rank.
  virtual Status allGatherV(const void *send, const int64_t *bytes,
                            void *receive, const CollectiveSite &site) = 0;

  /// Sends the `sendBytes[r]` bytes behind those for rank r - 1 to rank r,
  /// and receives `receiveBytes[r]` from it, likewise in order. What rank a
  /// sends to b is as long as b expects; 0 is allowed, for all of them too.
  virtual Status allToAllV(const void *send, const int64_t *sendBytes,
                           void *receive, const int64_t *receiveBytes,
                           const CollectiveSite &site) = 0;

  /// Starts the same exchange, and finishes it. Between the two neither buffer
  /// may be touched nor another operation of this communicator be called; the
  /// numbers of bytes are read by the first call alone. An engine that cannot
  /// overlap does everything in the first call.
  virtual Status startAllToAllV(const void *send, const int64_t *sendBytes,
                                void *receive, const int64_t *receiveBytes,
                                const CollectiveSite &site);
  virtual Status finishAllToAllV();

  /// Returns when all ranks have called it.
  virtual Status barrier(const CollectiveSite &site) = 0;

  /// A group of the ranks that gave the same `color`, ordered by `key` and then
  /// by rank. Every rank of this group calls it.
  virtual Expected<std::unique_ptr<Communicator>> split(int color, int key) = 0;

  /// Ends the job: every waiting and later call of every rank fails with a
  /// sentence that names this rank and holds `reason`. The first call of the
  /// job counts. May be called by any thread.
  virtual void abort(const Status &reason) = 0;

  /// Ok, or why the job was ended. Cheap; long local work asks now and then.
  virtual Status status() const = 0;

  /// Tells the others that this rank works, where its work may last longer than
  /// the timeout between two collectives. Cheap.
  virtual void alive() = 0;

  /// What the job was started with.
  virtual const CommOptions &commOptions() const = 0;

  const CommCounters &counters() const { return sent; }

protected:
  CommCounters sent;
};

} // namespace dsv2rt

#endif // DSV2RT_COMM_COMMUNICATOR_H
