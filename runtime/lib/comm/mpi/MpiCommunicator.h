//===- MpiCommunicator.h - collectives by messages of MPI -------*- C++ -*-===//
//
// Part of dsv2, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef DSV2RT_LIB_COMM_MPI_MPICOMMUNICATOR_H
#define DSV2RT_LIB_COMM_MPI_MPICOMMUNICATOR_H

#include "MpiPlugin.h"
#include "MpiProcess.h"

namespace dsv2rt::comm {

/// A group of ranks of one MpiProcess.
class MpiCommunicator : public MpiWorld {
public:
  /// `members` are numbers of ranks in the job, `index` this one's place in
  /// them, `group` a number of the group that no other one of its ranks has.
  MpiCommunicator(std::shared_ptr<MpiProcess> process, std::vector<int> members,
                  int index, int group);
  ~MpiCommunicator() override;

  int rank() const override { return index; }
  int size() const override { return int(members.size()); }
  int worldRank() const override { return process->rank(); }

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
  Status status() const override { return process->reason(); }
  void alive() override { process->alive(); }
  const CommOptions &commOptions() const override {
    return process->commOptions();
  }

  bool endedHere() const override { return process->endedHere(); }
  Status leave() override;
  [[noreturn]] void abandon(int exitCode) override {
    process->abandon(exitCode);
  }

private:
  Status begin(CollectiveKind kind, const CollectiveSite &site, int64_t bytes);
  Status end(Status status, int64_t bytesSent);
  Status fail(const std::string &reason);
  Status compareOperations();
  int nextTag();
  Status transfer(const std::vector<MpiPart> &parts);
  Status gather(const void *send, const int64_t *bytes, void *receive);
  Status reduceDirectly(float *data, int64_t count);
  Status reduceByShares(float *data, int64_t count);

  std::shared_ptr<MpiProcess> process;
  const std::vector<int> members;
  const int index;
  const int group;
  Operation operation;
  int64_t sequence = 0;
  uint64_t transfers = 0;
  MpiTransfer messages;
  bool exchanging = false;
  // Scratch, kept so that operations of the same sizes allocate nothing.
  std::vector<float> gathered, sums;
  std::vector<const float *> terms;
};

} // namespace dsv2rt::comm

#endif // DSV2RT_LIB_COMM_MPI_MPICOMMUNICATOR_H
