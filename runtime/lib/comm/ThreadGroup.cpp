//===- ThreadGroup.cpp - ranks as threads of one process ------------------===//
//
// Part of dsv2, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "dsv2rt/comm/ThreadGroup.h"

#include "RankBody.h"
#include "SharedCommunicator.h"
#include "Support.h"

#include <thread>

using namespace dsv2rt;

Expected<std::vector<std::unique_ptr<Communicator>>>
dsv2rt::makeThreadGroup(int ranks, const CommOptions &options) {
  return comm::makeSharedGroup(ranks, options);
}

Status
dsv2rt::runThreadRanks(int ranks, const CommOptions &options,
                       const std::function<Status(Communicator &)> &body) {
  auto group = makeThreadGroup(ranks, options);
  if (!group.ok())
    return group.status();
  std::shared_ptr<comm::Region> region = comm::regionOf(*group.value().front());
  std::vector<std::thread> threads;
  for (std::unique_ptr<Communicator> &communicator : group.value()) {
    try {
      threads.emplace_back([&body, &communicator] {
        Status status = comm::runGuarded([&] { return body(*communicator); });
        if (!status.ok())
          communicator->abort(status);
        communicator.reset();
      });
    } catch (const std::system_error &error) {
      communicator->abort(
          makeError(StatusCode::OutOfMemory,
                    "cannot start a thread for it: ", error.what()));
      break;
    }
  }
  for (std::thread &thread : threads)
    thread.join();
  return region->reason();
}
