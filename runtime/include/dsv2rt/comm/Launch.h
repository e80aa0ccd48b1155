//===- Launch.h - what a program needs to run on ranks ----------*- C++ -*-===//
//
// Part of dsv2, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef DSV2RT_COMM_LAUNCH_H
#define DSV2RT_COMM_LAUNCH_H

#include "dsv2rt/comm/Communicator.h"

#include <functional>
#include <string>

namespace dsv2rt {

/// What has started this process as one rank of several.
struct OuterLauncher {
  /// "Open MPI", "MPICH", or "" when this process is on its own.
  std::string name;
  /// The number of ranks and this one's, where the environment says so; else 0
  /// and -1.
  int ranks = 0;
  int rank = -1;
};

/// Finds out by the variables that launchers set for their processes:
/// OMPI_COMM_WORLD_SIZE, PMIX_RANK, and PMI_RANK with PMI_SIZE.
OuterLauncher findOuterLauncher();

/// Runs `body`, the same program on every rank, on `ranks` ranks and returns
/// the exit code for main(). Under mpirun this process is one of them, and
/// there have to be `ranks`; otherwise ranks are forked from this process,
/// which must not have started threads (Processes.h), but for a single rank,
/// which is this process.
///
/// Whatever fails in `body` is to be told to Communicator::abort(), or is known
/// to it already (RankFailed): the reason is written to standard error here,
/// once, as "TOOL: error: ...". `body` then returns something other than 0.
/// Ranks other than 0 have no standard input or output; what they write to
/// standard error, which should be nothing but errors, gets "rank N: " in front
/// of every line, except under mpirun, which has options for that.
int runOnRanks(const char *tool, int ranks, const CommOptions &options,
               const std::function<int(Communicator &)> &body);

} // namespace dsv2rt

#endif // DSV2RT_COMM_LAUNCH_H
