//===- FailureTest.cpp - ranks that fail, leave or are late ---------------===//
//
// Part of dsv2, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// F086 with ranks as threads: whatever happens to one, all hear of it.
//
//===----------------------------------------------------------------------===//

#include "CommTestUtils.h"

#include "dsv2rt/comm/ThreadGroup.h"

#include <cmath>
#include <thread>

using namespace dsv2rt;
using namespace dsv2test;

static void sleepFor(double seconds) {
  std::this_thread::sleep_for(std::chrono::duration<double>(seconds));
}

TEST(Failure, F086_OfEachRankReachesAllInEveryOperation) {
  for (Call call : allCalls)
    for (int failing = 0; failing < 3; ++failing) {
      Stopwatch watch;
      auto statuses = runOnThreads(3, {}, [&](Communicator &communicator) {
        if (communicator.rank() != failing)
          return perform(communicator, call);
        sleepFor(0.005);
        return Status::error(StatusCode::NotFound, "the file 'x' is not there");
      });
      EXPECT_LT(watch.seconds(), 5);
      std::string reason = "rank " + std::to_string(failing) +
                           " ended the job: the file 'x' is not there";
      for (int r = 0; r < 3; ++r)
        if (r != failing) {
          EXPECT_EQ(statuses[r].code(), StatusCode::RankFailed);
          EXPECT_EQ(statuses[r].message(), reason) << callName(call);
        }
    }
}

TEST(Failure, OfTheJobIsWhatEveryLaterCallReturns) {
  auto statuses = runOnThreads(2, {}, [&](Communicator &world) {
    auto part = world.split(world.rank(), 0);
    EXPECT_TRUE(part.ok());
    EXPECT_TRUE(world.status().ok());
    EXPECT_TRUE(perform(world, Call::Barrier).ok());
    if (world.rank() == 1)
      part.value()->abort(Status::error(StatusCode::Internal, "first"));
    Status first = perform(world, Call::Barrier);
    world.abort(Status::error(StatusCode::Internal, "second"));
    for (Call call : allCalls)
      for (Communicator *communicator : {&world, part.value().get()}) {
        Status status = perform(*communicator, call);
        EXPECT_EQ(status.code(), StatusCode::RankFailed);
        EXPECT_EQ(status.message(), first.message());
        EXPECT_EQ(communicator->status().message(), first.message());
      }
    return first;
  });
  expectAllFailed(statuses, "rank 1 ended the job: first");
}

TEST(Failure, MayBeReportedByAnotherThread) {
  auto statuses = runOnThreads(2, {}, [&](Communicator &communicator) {
    if (communicator.rank() == 1) {
      std::thread watcher([&] {
        sleepFor(0.02);
        communicator.abort(Status::error(StatusCode::Internal, "watched"));
      });
      while (communicator.status().ok())
        sleepFor(0.001);
      watcher.join();
    }
    return perform(communicator, Call::Barrier);
  });
  expectAllFailed(statuses, "rank 1 ended the job: watched");
}

TEST(Failure, WithALongReasonIsCut) {
  auto statuses = runOnThreads(2, {}, [&](Communicator &communicator) {
    return communicator.rank() == 0 ? Status::error(StatusCode::RankFailed,
                                                    std::string(100'000, 'x'))
                                    : perform(communicator, Call::Barrier);
  });
  EXPECT_LT(statuses[1].message().size(), 4096u);
  EXPECT_NE(statuses[1].message().find("xxx"), std::string::npos);
}

TEST(Failure, ByAnExceptionReachesAll) {
  Status status = runThreadRanks(3, {}, [](Communicator &communicator) {
    if (communicator.rank() == 2)
      throw std::runtime_error("out of luck");
    return perform(communicator, Call::AllReduce);
  });
  EXPECT_EQ(status.code(), StatusCode::RankFailed);
  EXPECT_NE(status.message().find("rank 2 ended the job: unexpected exception: "
                                  "out of luck"),
            std::string::npos)
      << status.message();
  status = runThreadRanks(2, {}, [](Communicator &communicator) -> Status {
    if (communicator.rank() == 1)
      throw 7;
    return perform(communicator, Call::AllReduce);
  });
  EXPECT_NE(status.message().find("unknown type"), std::string::npos)
      << status.message();
}

TEST(Failure, ByLeavingEarlyReachesThoseThatWait) {
  for (Call call : allCalls) {
    Stopwatch watch;
    auto statuses = runOnThreads(3, {}, [&](Communicator &communicator) {
      Status status = perform(communicator, Call::AllReduce, {"first", 2});
      if (communicator.rank() == 1)
        return Status::error(StatusCode::RankFailed, "rank 1 has left");
      return status.ok() ? perform(communicator, call) : status;
    });
    EXPECT_LT(watch.seconds(), 5);
    expectAllFailed(statuses, "rank 1");
  }
  // And without a word: it destroys its communicator, and has no error.
  Status status = runThreadRanks(3, {}, [](Communicator &communicator) {
    Status status = perform(communicator, Call::AllReduce, {"first", 2});
    return communicator.rank() == 1 ? Status()
                                    : perform(communicator, Call::AllGather);
  });
  EXPECT_NE(status.message().find("rank 1 ended while rank "),
            std::string::npos)
      << status.message();
  EXPECT_NE(status.message().find("waited for it in all_gather 'test.site' of "
                                  "layer 5 (256 bytes); its last operation was "
                                  "all_reduce 'first' of layer 2 (256 bytes)"),
            std::string::npos)
      << status.message();
}

TEST(Failure, ByGivingUpAGroupReachesItsMembers) {
  auto statuses = runOnThreads(2, {}, [](Communicator &world) {
    auto group = world.split(0, 0);
    EXPECT_TRUE(group.ok());
    if (world.rank() == 0) {
      group.value().reset();
      return perform(world, Call::Barrier);
    }
    return perform(*group.value(), Call::Barrier);
  });
  expectAllFailed(statuses, "rank 0 gave up its group while rank 1 waited");
}

// The last operation of a group: a member may go while another still reads.
TEST(Failure, IsNotLeavingAfterTheLastOperation) {
  for (int i = 0; i < 200; ++i) {
    Status status = runThreadRanks(3, {}, [](Communicator &communicator) {
      return perform(communicator, Call::AllToAllV, {"last", 1}, 4096);
    });
    ASSERT_TRUE(status.ok()) << status.message();
  }
}

TEST(Lateness, EndsTheJobAndIsDescribed) {
  for (Call call : allCalls) {
    Stopwatch watch;
    auto statuses =
        runOnThreads(3, withTimeout(0.2), [&](Communicator &communicator) {
          Status status = perform(communicator, Call::AllReduce, {"o_proj", 2});
          if (communicator.rank() == 2)
            while (communicator.status().ok())
              sleepFor(0.001);
          return status.ok() ? perform(communicator, call, {"dispatch", 3})
                             : status;
        });
    EXPECT_GE(watch.seconds(), 0.2);
    EXPECT_LT(watch.seconds(), 5);
    expectAllFailed(statuses,
                    "rank 2 showed no progress for 0.2 s while rank ");
    expectAllFailed(
        statuses, std::string("waited for it in ") + callName(call) +
                      (call == Call::Split ? "" : " 'dispatch' of layer 3 ("));
    expectAllFailed(statuses, "its last operation was all_reduce 'o_proj' of "
                              "layer 2 (256 bytes)");
  }
}

// The one that others wait for waits itself, in another group: the rank at the
// end is to blame.
TEST(Lateness, IsThatOfTheRankAtTheEndOfTheChain) {
  auto statuses =
      runOnThreads(3, withTimeout(0.3), [&](Communicator &world) -> Status {
        auto pair = world.split(world.rank() == 0 ? 0 : 1, 0);
        if (!pair.ok())
          return pair.status();
        // Rank 0 waits for rank 1, rank 1 for rank 2, rank 2 for none.
        if (world.rank() == 2)
          while (world.status().ok())
            sleepFor(0.001);
        if (world.rank() == 1)
          if (Status status = perform(*pair.value(), Call::AllReduce);
              !status.ok())
            return status;
        return perform(world, Call::Barrier);
      });
  expectAllFailed(statuses, "rank 2 showed no progress");
}

TEST(Lateness, OfACircleIsNamed) {
  auto statuses =
      runOnThreads(2, withTimeout(0.2), [&](Communicator &world) -> Status {
        auto group = world.split(0, 0);
        if (!group.ok())
          return group.status();
        return perform(world.rank() ? world : *group.value(), Call::AllReduce,
                       {world.rank() ? "whole" : "part", 1});
      });
  expectAllFailed(statuses, "ranks wait for one another");
  expectAllFailed(statuses, "all_reduce 'whole' of layer 1");
  expectAllFailed(statuses, "all_reduce 'part' of layer 1");
}

TEST(Lateness, IsNotThatOfARankThatSaysItIsAlive) {
  auto statuses =
      runOnThreads(2, withTimeout(0.2), [&](Communicator &communicator) {
        if (communicator.rank() == 1)
          for (int i = 0; i < 60; ++i) {
            sleepFor(0.01);
            communicator.alive();
          }
        return perform(communicator, Call::AllReduce);
      });
  for (const Status &status : statuses)
    EXPECT_TRUE(status.ok()) << status.message();
}

TEST(Group, NeedsRanksAndATimeout) {
  for (int ranks : {0, -1, 257})
    EXPECT_NE(makeThreadGroup(ranks).status().message().find(
                  "expected 1 to 256 ranks, found " + std::to_string(ranks)),
              std::string::npos);
  for (double seconds : {0., -1., std::nan(""), HUGE_VAL}) {
    EXPECT_EQ(makeThreadGroup(1, withTimeout(seconds)).status().code(),
              StatusCode::InvalidArgument);
    CommOptions options;
    options.startTimeout = seconds;
    EXPECT_EQ(
        runThreadRanks(1, options, [](Communicator &) { return Status(); })
            .code(),
        StatusCode::InvalidArgument);
  }
}
