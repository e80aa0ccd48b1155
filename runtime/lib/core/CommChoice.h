//===- CommChoice.h - what carries the exchanges of steps -------*- C++ -*-===//
//
// Part of dsv2, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef DSV2RT_LIB_CORE_COMMCHOICE_H
#define DSV2RT_LIB_CORE_COMMCHOICE_H

#include "dsv2rt/Session.h"
#include "dsv2rt/Status.h"
#include "dsv2rt/comm/Communicator.h"

#include <string>

namespace dsv2rt {

/// What the ranks have agreed on.
struct CommChoice {
  DeviceComm comm = DeviceComm::Host;
  /// Why it is not Nccl although that might have been.
  std::string reason;
};

/// Chooses what carries the exchanges of steps, the same on all ranks of
/// `world`. On devices every rank tells the others by `world` what it was asked
/// for and whether it could use NCCL, so all have to call it. Errors:
/// InvalidArgument when they were not asked for the same, or for NCCL on the
/// CPU; Unsupported, naming the rank and why, when NCCL was asked for and one
/// of them cannot; those of Communicator.
Expected<CommChoice> chooseComm(Communicator &world,
                                const SessionOptions &options);

} // namespace dsv2rt

#endif // DSV2RT_LIB_CORE_COMMCHOICE_H
