//===- Launcher.h - processes whose output is in order ----------*- C++ -*-===//
//
// Part of dsv2, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef DSV2RT_LIB_COMM_LAUNCHER_H
#define DSV2RT_LIB_COMM_LAUNCHER_H

#include "dsv2rt/comm/Processes.h"

namespace dsv2rt::comm {

/// launchProcesses() with what runOnRanks() promises of the standard streams of
/// ranks other than 0.
JobResult launchQuietly(int ranks, const CommOptions &options,
                        const std::function<int(Communicator &)> &body);

} // namespace dsv2rt::comm

#endif // DSV2RT_LIB_COMM_LAUNCHER_H
