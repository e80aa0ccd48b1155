//===- MpiProcess.h - this process as a rank of MPI -------------*- C++ -*-===//
//
// Part of dsv2, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// MPI has neither timeouts nor a way to hear why another rank gave up. So no
// call of MPI that waits is made after the start; everything is a message
// between two ranks that is asked for again and again, until it is there or the
// time is over. Beside the data travel notices: that a rank works, that it
// waits for another one, and why the job was ended.
//
//===----------------------------------------------------------------------===//

#ifndef DSV2RT_LIB_COMM_MPI_MPIPROCESS_H
#define DSV2RT_LIB_COMM_MPI_MPIPROCESS_H

#include "GroupMath.h"
#include "Operation.h"

#include <atomic>
#include <chrono>
#include <list>
#include <mutex>
#include <vector>

// The C++ interface, which MPI has given up, would need a library more.
#define OMPI_SKIP_MPICXX 1
#define MPICH_SKIP_MPICXX 1
#include <mpi.h>

namespace dsv2rt::comm {

/// What one rank sends to another and gets from it.
struct MpiPart {
  /// In the whole job.
  int rank = 0;
  const void *send = nullptr;
  int64_t sendBytes = 0;
  void *receive = nullptr;
  int64_t receiveBytes = 0;
};

/// Messages of one operation that are under way.
struct MpiTransfer {
  struct Message {
    MPI_Request request;
    int rank;
    bool receives;
    int64_t bytes;
  };
  Operation operation;
  std::vector<Message> pending;
};

/// This process. All but end() and reason() are for one thread.
class MpiProcess {
public:
  explicit MpiProcess(const CommOptions &options) : options(options) {}

  /// Starts MPI. Errors: DeviceError with the text of MPI.
  Status start();

  int rank() const { return ownRank; }
  int size() const { return numRanks; }
  /// The numbers of groups that this rank is not in, as bits. One that it has
  /// left is free at once: messages between two ranks do not overtake each
  /// other.
  int64_t freeGroups = ((int64_t(1) << maxGroups) - 1) & ~int64_t(1);
  const CommOptions &commOptions() const { return options; }

  /// Ends the job unless it was ended before. Any thread may call it; the
  /// others hear of it when this one sends or waits next.
  void end(const std::string &reason, bool here = true);
  bool endedHere() const { return isEndedHere; }
  /// Ok, or RankFailed with the reason.
  Status reason() const;

  /// Begins to send and receive the parts, of which each names another rank.
  /// `tag` is that of no other transfer between these ranks at the time.
  Status start(MpiTransfer &transfer, const std::vector<MpiPart> &parts,
               int tag);
  /// Waits until all is sent and received.
  Status finish(MpiTransfer &transfer);

  /// Tells the others that this rank works, but not too often.
  void alive();

  /// Leaves MPI, which all ranks have to do together.
  Status leave();
  /// Ends all ranks, this one too.
  [[noreturn]] void abandon(int exitCode);

private:
  using Clock = std::chrono::steady_clock;
  /// What another rank has told.
  struct Peer {
    Clock::time_point heard{};
    /// The rank that it waits for; -1: none.
    int waitsFor = -1;
    Clock::time_point waitsSince{};
  };
  /// Memory that MPI reads until a notice is sent.
  struct Notice {
    std::string text;
    std::vector<MPI_Request> requests;
  };

  Status check(int code, const char *function, const Operation &operation);
  Status advance(MpiTransfer &transfer, bool &progressed);
  Status finished(const MpiTransfer &transfer,
                  const MpiTransfer::Message &message, int code,
                  const MPI_Status &status);
  Status wait(MpiTransfer &transfer);
  static void cancel(MpiTransfer &transfer);
  Status lateness(const MpiTransfer &transfer, double seconds);
  void readNotices();
  void sendNotice(int kind, const std::string &text);
  void spreadReason();

  CommOptions options;
  MPI_Comm data = MPI_COMM_NULL, notices = MPI_COMM_NULL;
  int ownRank = 0, numRanks = 1;
  std::vector<Peer> peers;
  std::list<Notice> sentNotices;
  Clock::time_point lastAlive{};

  mutable std::mutex mutex;
  std::string endReason;
  std::atomic<bool> isEnded{false}, isEndedHere{false};
  bool spread = false;
};

} // namespace dsv2rt::comm

#endif // DSV2RT_LIB_COMM_MPI_MPIPROCESS_H
