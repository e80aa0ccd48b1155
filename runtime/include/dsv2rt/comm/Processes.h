//===- Processes.h - ranks as processes of one host -------------*- C++ -*-===//
//
// Part of dsv2, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef DSV2RT_COMM_PROCESSES_H
#define DSV2RT_COMM_PROCESSES_H

#include "dsv2rt/comm/Communicator.h"

#include <functional>
#include <string>

namespace dsv2rt {

/// What became of the ranks of a job.
struct JobResult {
  /// 0 when every rank has returned 0 and the job was not ended before. Else
  /// what the rank returned because of which it ended, 1 when that was killed
  /// or is none, and 128 + N when signal N told the launcher to stop.
  int exitCode = 0;
  /// The reason, a sentence; "" on success.
  std::string message;
};

/// Runs `body` in `ranks` processes, forked from this one, which has to have no
/// other threads, and waits for them. What `body` returns is the exit code of
/// its rank; anything but 0, an exception, and an end in any other way than by
/// return end the job. The other ranks then get three seconds to end by
/// themselves before they are killed, and a rank that others wait for in vain
/// is found by CommOptions::timeout, so that no failure takes longer than these
/// together.
///
/// SIGINT, SIGTERM and SIGHUP end the job and are passed on to the ranks. When
/// the launcher dies, the system kills the ranks. Nothing is left of the memory
/// they share.
JobResult launchProcesses(int ranks, const CommOptions &options,
                          const std::function<int(Communicator &)> &body);

} // namespace dsv2rt

#endif // DSV2RT_COMM_PROCESSES_H
