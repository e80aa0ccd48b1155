//===- NcclGroup.h - one communicator of NCCL, with deadlines ---*- C++ -*-===//
//
// Part of dsv2, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// NCCL has no timeouts: with a rank gone it waits for ever. So communicators
// are made not to block, their state is asked for until they get on, an error
// shows, the job is ended by somebody else, or the time is over. Then they are
// aborted, which may hang in turn (NVIDIA/nccl#1013), and so has a deadline,
// too.
//
//===----------------------------------------------------------------------===//

#ifndef DSV2RT_LIB_COMM_NCCL_NCCLGROUP_H
#define DSV2RT_LIB_COMM_NCCL_NCCLGROUP_H

#include "NcclLibrary.h"
#include "Operation.h"

#include <functional>
#include <vector>

namespace dsv2rt::comm {

/// A ncclComm_t of the ranks of a host's communicator.
class NcclGroup {
public:
  NcclGroup(std::shared_ptr<const NcclLibrary> library, Communicator &host,
            const CommOptions &options)
      : library(std::move(library)), host(host), options(options) {}
  ~NcclGroup();
  NcclGroup(const NcclGroup &) = delete;
  NcclGroup &operator=(const NcclGroup &) = delete;

  /// Brings all ranks of the host's communicator together.
  Status start();

  ncclComm_t handle() const { return communicator; }
  /// The number in the whole job of a rank of the group.
  int worldRank(int rank) const { return worldRanks[rank]; }

  /// Looks at what `function` has returned in `operation`, and waits while NCCL
  /// says that it is in progress.
  Status settle(ncclResult_t result, const char *function,
                const Operation &operation);

  /// Waits until `finished` returns true.
  Status wait(const std::function<Expected<bool>()> &finished,
              const std::string &what);

  /// Looks without waiting whether the job goes on.
  Status check(const std::string &what);

private:
  Status poll(const std::function<Expected<bool>()> &finished, double seconds,
              const std::string &what);
  Expected<bool> settled(const std::string &what);
  Status failure(ncclResult_t result, const std::string &what);
  Status fail(const Status &reason);
  bool abandon();

  std::shared_ptr<const NcclLibrary> library;
  Communicator &host;
  CommOptions options;
  ncclComm_t communicator = nullptr;
  std::vector<int> worldRanks;
};

} // namespace dsv2rt::comm

#endif // DSV2RT_LIB_COMM_NCCL_NCCLGROUP_H
