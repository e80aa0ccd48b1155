//===- ThreadGroup.h - ranks as threads of one process ----------*- C++ -*-===//
//
// Part of dsv2, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef DSV2RT_COMM_THREADGROUP_H
#define DSV2RT_COMM_THREADGROUP_H

#include "dsv2rt/comm/Communicator.h"

#include <functional>
#include <vector>

namespace dsv2rt {

/// The communicators of a new job of `ranks` ranks, rank 0 first. A rank whose
/// communicator is destroyed has left: from then on whoever waits for it fails.
/// Errors: InvalidArgument for a number of ranks outside 1 to 256 or a timeout
/// that is no positive number, OutOfMemory.
Expected<std::vector<std::unique_ptr<Communicator>>>
makeThreadGroup(int ranks, const CommOptions &options = {});

/// Runs `body` on `ranks` ranks at once, each on a thread of its own, and
/// returns when all have ended. A failure or an exception of one ends the job.
/// Returns Ok when every rank returned Ok; RankFailed with the reason why the
/// job was ended; or an error of makeThreadGroup().
Status runThreadRanks(int ranks, const CommOptions &options,
                      const std::function<Status(Communicator &)> &body);

} // namespace dsv2rt

#endif // DSV2RT_COMM_THREADGROUP_H
