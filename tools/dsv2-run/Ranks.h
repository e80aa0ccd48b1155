//===- Ranks.h - a program on several ranks ---------------------*- C++ -*-===//
//
// Part of dsv2, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// Every rank runs the whole program on the same command line. Rank 0 alone
// reads standard input and writes results; what goes wrong anywhere ends the
// job, and its reason is printed once.
//
//===----------------------------------------------------------------------===//

#ifndef DSV2_TOOLS_DSV2_RUN_RANKS_H
#define DSV2_TOOLS_DSV2_RUN_RANKS_H

#include "dsv2rt/Artifact.h"
#include "dsv2rt/Session.h"
#include "dsv2rt/Status.h"
#include "dsv2rt/comm/Communicator.h"

#include <cstdint>
#include <functional>
#include <memory>
#include <string>

namespace CLI {
class App;
} // namespace CLI

namespace dsv2rt {

/// The flags about ranks.
struct RankFlags {
  /// 0: as many as the artifact is for.
  int64_t count = 0;
  /// Seconds after which a silent rank counts as lost.
  double timeout = CommOptions().timeout;
  /// Whether operations are compared where that costs an exchange.
  bool check = false;
  /// What carries the exchanges of ranks on devices, and the library for it.
  DeviceComm deviceComm = DeviceComm::Auto;
  std::string ncclLibrary;
};

/// Declares --ranks, --comm-timeout, --comm-check, --device-comm and
/// --nccl-library.
void declareRankFlags(CLI::App &app, RankFlags &flags);

/// The ranks of a program, from the point of view of one of them.
class Team {
public:
  /// A rank alone.
  Team() = default;
  /// A rank of `world`, which has to outlive it and has more than one.
  explicit Team(Communicator &world) : group(std::shared_ptr<void>(), &world) {}

  int size() const { return group ? group->size() : 1; }
  int rank() const { return group ? group->rank() : 0; }
  /// Whether this rank reads standard input and writes results.
  bool isFirst() const { return rank() == 0; }
  /// For SessionOptions: null for a rank alone.
  const std::shared_ptr<Communicator> &world() const { return group; }

  /// Ends the job for a failure and returns the exit code that fits it. A rank
  /// alone prints the reason; of several, what has started them does.
  int fail(const char *tool, const Status &status);

  /// Whether the job goes on.
  Status status() const { return group ? group->status() : Status(); }

  /// Brings all ranks together behind what each has done by itself. Every rank
  /// calls it; if some have failed, the first of them ends the job.
  Status agree(const Status &own);

  /// Replaces `text` by rank 0's. Every rank calls it.
  Status broadcast(std::string &text);

  /// The sum of `value` over all ranks. Every rank calls it.
  Expected<int64_t> sum(int64_t value);

  /// Tells the others that this rank works.
  void alive() {
    if (group)
      group->alive();
  }

  /// The ranks that compute on the same processors as this one.
  struct Neighbours {
    int count = 1;
    /// How many of them have lower numbers.
    int before = 0;
  };
  /// Every rank calls it.
  Expected<Neighbours> neighbours();

private:
  std::shared_ptr<Communicator> group;
};

/// Threads for each of `neighbours`: OMP_NUM_THREADS, or an equal part of one
/// for every core.
int defaultThreadsOf(const Team::Neighbours &neighbours);

/// Runs `body` on the ranks that `artifact` is for, and returns the exit code
/// for main(). What `body` returns is its rank's; it has called Team::fail() if
/// that is not 0. Errors, with ExitUsage: another number of ranks on the
/// command line.
int runOnTeam(const char *tool, const RankFlags &flags,
              const Artifact &artifact, const std::function<int(Team &)> &body);

} // namespace dsv2rt

#endif // DSV2_TOOLS_DSV2_RUN_RANKS_H
