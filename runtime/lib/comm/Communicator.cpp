//===- Communicator.cpp - a group of ranks and its collectives ------------===//
//
// Part of dsv2, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "dsv2rt/comm/Communicator.h"

using namespace dsv2rt;

const char *dsv2rt::collectiveName(CollectiveKind kind) {
  switch (kind) {
  case CollectiveKind::AllReduce:
    return "all_reduce";
  case CollectiveKind::AllGather:
    return "all_gather";
  case CollectiveKind::AllToAll:
    return "all_to_all";
  case CollectiveKind::AllToAllV:
    return "all_to_all_v";
  case CollectiveKind::Barrier:
    return "barrier";
  case CollectiveKind::Split:
    return "split";
  }
  return "an unknown operation";
}

Communicator::~Communicator() = default;

Status Communicator::startAllToAllV(const void *send, const int64_t *sendBytes,
                                    void *receive, const int64_t *receiveBytes,
                                    const CollectiveSite &site) {
  return allToAllV(send, sendBytes, receive, receiveBytes, site);
}

Status Communicator::finishAllToAllV() { return status(); }
