//===- CommTestUtils.cpp - what tests of ranks share ----------------------===//
//
// Part of dsv2, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "CommTestUtils.h"

#include "SharedCommunicator.h"

#include <thread>

using namespace dsv2rt;
using namespace dsv2test;

const char *dsv2test::callName(Call call) {
  switch (call) {
  case Call::AllReduce:
    return "all_reduce";
  case Call::AllGather:
  case Call::AllGatherV:
    return "all_gather";
  case Call::AllToAllV:
  case Call::TwoCallExchange:
    return "all_to_all_v";
  case Call::Barrier:
    return "barrier";
  case Call::Split:
    return "split";
  }
  return "";
}

Status dsv2test::perform(Communicator &communicator, Call call,
                         const CollectiveSite &site, int64_t bytes) {
  const int size = communicator.size();
  std::vector<float> send(bytes / 4 * size), receive(send.size());
  std::vector<int64_t> counts(size, bytes);
  switch (call) {
  case Call::AllReduce:
    return communicator.allReduce(send.data(), bytes / 4, site);
  case Call::AllGather:
    return communicator.allGather(send.data(), bytes, receive.data(), site);
  case Call::AllGatherV:
    return communicator.allGatherV(send.data(), counts.data(), receive.data(),
                                   site);
  case Call::AllToAllV:
    return communicator.allToAllV(send.data(), counts.data(), receive.data(),
                                  counts.data(), site);
  case Call::TwoCallExchange: {
    Status status = communicator.startAllToAllV(
        send.data(), counts.data(), receive.data(), counts.data(), site);
    return status.ok() ? communicator.finishAllToAllV() : status;
  }
  case Call::Barrier:
    return communicator.barrier(site);
  case Call::Split:
    return communicator.split(/*color=*/0, /*key=*/0).status();
  }
  return Status();
}

std::vector<Status>
dsv2test::runOnThreads(int ranks, const CommOptions &options,
                       const std::function<Status(Communicator &)> &body,
                       size_t outboxBytes) {
  auto group = comm::makeSharedGroup(ranks, options, outboxBytes);
  EXPECT_TRUE(group.ok()) << group.status().message();
  if (!group.ok())
    return {group.status()};
  std::vector<Status> statuses(ranks);
  std::vector<std::thread> threads;
  for (int r = 0; r < ranks; ++r)
    threads.emplace_back([&, r] {
      std::unique_ptr<Communicator> communicator = std::move(group.value()[r]);
      statuses[r] = body(*communicator);
      if (!statuses[r].ok())
        communicator->abort(statuses[r]);
    });
  for (std::thread &thread : threads)
    thread.join();
  return statuses;
}

void dsv2test::expectAllFailed(const std::vector<Status> &statuses,
                               const std::string &text) {
  for (size_t r = 0; r < statuses.size(); ++r) {
    EXPECT_EQ(statuses[r].code(), StatusCode::RankFailed) << "rank " << r;
    EXPECT_NE(statuses[r].message().find(text), std::string::npos)
        << "rank " << r << ": expected '" << text << "' in '"
        << statuses[r].message() << "'";
  }
}
