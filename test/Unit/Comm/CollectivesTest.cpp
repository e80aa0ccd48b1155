//===- CollectivesTest.cpp - operations of ranks that share memory --------===//
//
// Part of dsv2, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "CollectiveSuite.h"
#include "CommTestUtils.h"

#include "dsv2rt/comm/ThreadGroup.h"

#include <atomic>
#include <cstdlib>
#include <random>
#include <thread>

using namespace dsv2rt;
using namespace dsv2test;

static void expectOk(const std::vector<Status> &statuses) {
  for (const Status &status : statuses)
    EXPECT_TRUE(status.ok()) << status.message();
}

class Collectives : public testing::TestWithParam<int> {};

TEST_P(Collectives, GiveWhatPlainLoopsGive) {
  expectOk(runOnThreads(GetParam(), {}, [](Communicator &communicator) {
    return runCollectiveSuite(communicator, SuiteOptions());
  }));
}

// Outboxes of 256 bytes, data of up to 40 of them and next to their borders.
TEST_P(Collectives, TakeDataOfManyOutboxes) {
  SuiteOptions options;
  options.sizes = {255, 256, 257, 4096, 10243};
  expectOk(runOnThreads(
      GetParam(), {},
      [&](Communicator &communicator) {
        return runCollectiveSuite(communicator, options);
      },
      /*outboxBytes=*/256));
}

// More than directReduceBytes of all ranks: sums by shares.
TEST_P(Collectives, TakeLargeDataWithTheUsualOutboxes) {
  SuiteOptions options;
  options.sizes = {200'001, 1'500'000};
  Status status =
      runThreadRanks(GetParam(), {}, [&](Communicator &communicator) {
        return runCollectiveSuite(communicator, options);
      });
  EXPECT_TRUE(status.ok()) << status.message();
}

TEST_P(Collectives, WorkInGroups) {
  expectOk(runOnThreads(GetParam(), {}, [](Communicator &communicator) {
    return runSplitSuite(communicator, SuiteOptions());
  }));
}

INSTANTIATE_TEST_SUITE_P(Ranks, Collectives, testing::Values(1, 2, 3, 4, 5, 8),
                         testing::PrintToStringParamName());

// A part of a part, used alternately with the whole.
TEST(CollectivesInGroups, MixWithThoseOfTheWhole) {
  expectOk(runOnThreads(8, {}, [](Communicator &world) -> Status {
    auto half = world.split(world.rank() % 2, world.rank());
    if (!half.ok())
      return half.status();
    auto quarter = half.value()->split(half.value()->rank() / 2, 0);
    if (!quarter.ok())
      return quarter.status();
    for (int i = 0; i < 50; ++i)
      for (Communicator *group :
           {&world, half.value().get(), quarter.value().get()}) {
        float value = float(world.rank() + 1);
        if (Status status = group->allReduce(&value, 1, {"mixed", i});
            !status.ok())
          return status;
        int first = world.rank() % 2;
        float expected = 36;
        if (group == half.value().get())
          expected = first ? 2 + 4 + 6 + 8 : 1 + 3 + 5 + 7;
        else if (group == quarter.value().get())
          expected = float(world.rank() < 4 ? 2 * first + 4 : 2 * first + 12);
        if (value != expected)
          return Status::error(StatusCode::Mismatch,
                               "a sum of a group is " + std::to_string(value));
      }
    return Status();
  }));
}

TEST(CollectivesInGroups, EndAtTheLimit) {
  auto statuses = runOnThreads(2, {}, [](Communicator &world) -> Status {
    // The world is the first of 32.
    std::vector<std::unique_ptr<Communicator>> parts;
    for (int i = 0; i < 31; ++i) {
      auto part = world.split(0, 0);
      if (!part.ok())
        return Status::error(StatusCode::Internal, part.status().message());
      parts.push_back(std::move(part.value()));
    }
    Status status = world.split(0, 0).status();
    if (status.code() != StatusCode::Unsupported ||
        status.message().find("at most 32 at once") == std::string::npos)
      return Status::error(StatusCode::Mismatch,
                           "no limit was found: " + status.message());
    parts.erase(parts.begin() + 7);
    // Both have to have left, and may go on only then.
    if (status = world.barrier({"left", -1}); !status.ok())
      return status;
    return world.split(0, 0).status();
  });
  expectOk(statuses);
}

// Numbers are used again, by other members, while some are still at work.
TEST(CollectivesInGroups, ComeAndGoWithoutEnd) {
  expectOk(runOnThreads(5, {}, [](Communicator &world) -> Status {
    std::minstd_rand random(world.rank() + 1);
    for (int i = 0; i < 1000; ++i) {
      auto part = world.split((world.rank() * 7 + i * i) % 5 / 2, i % 3);
      if (!part.ok())
        return part.status();
      for (int round = 0; round < 3; ++round) {
        int32_t value = world.rank(), all[5] = {-1, -1, -1, -1, -1};
        if (Status status = part.value()->allGather(&value, 4, all, {"all", i});
            !status.ok())
          return status;
        for (int r = 0; r < part.value()->size(); ++r)
          if ((all[r] * 7 + i * i) % 5 / 2 !=
              (world.rank() * 7 + i * i) % 5 / 2)
            return Status::error(StatusCode::Mismatch,
                                 "a rank of another group is in this one");
      }
      if (random() % 64 == 0)
        std::this_thread::sleep_for(std::chrono::microseconds(random() % 500));
    }
    return Status();
  }));
}

// F085: ranks without a token enter every collective.
TEST(CollectivesOfIdleRanks, F085_GiveTheResultOfTheBusyOne) {
  expectOk(runOnThreads(4, {}, [](Communicator &communicator) -> Status {
    // Rank 2 alone has tokens, and all go to rank 0 and back.
    const bool busy = communicator.rank() == 2, host = communicator.rank() == 0;
    std::vector<int64_t> sends(4, 0), receives(4, 0);
    sends[0] = busy ? 4000 : 0;
    receives[2] = host ? 4000 : 0;
    std::vector<uint8_t> tokens(busy ? 4000 : 0, 7), arrived(host ? 4000 : 0);
    Status status =
        communicator.allToAllV(tokens.data(), sends.data(), arrived.data(),
                               receives.data(), {"mlp.dispatch", 1});
    for (uint8_t &byte : arrived)
      byte *= 3;
    if (status.ok())
      status =
          communicator.allToAllV(arrived.data(), receives.data(), tokens.data(),
                                 sends.data(), {"mlp.combine", 1});
    for (uint8_t byte : tokens)
      if (status.ok() && byte != 21)
        return Status::error(StatusCode::Mismatch, "a token is wrong");
    return status;
  }));
}

// F092: a rank that runs ahead must not disturb the round that others are in.
TEST(CollectivesInARow, F092_FinishWithRandomDelays) {
  const char *text = std::getenv("DSV2_STRESS_SECONDS");
  const double seconds = text ? std::atof(text) : 4;
  for (int ranks : {2, 3, 8}) {
    std::atomic<int64_t> rounds{0};
    expectOk(runOnThreads(ranks, {}, [&](Communicator &communicator) -> Status {
      std::minstd_rand random(communicator.rank() + 1);
      Stopwatch watch;
      for (int64_t round = 0;; ++round) {
        // Rank 0 says when it is enough.
        float values[2] = {
            float(round % 1000 + communicator.rank()),
            communicator.rank() == 0 && watch.seconds() > seconds ? 1.f : 0.f};
        if (Status status =
                communicator.allReduce(values, 2, {"stress", round});
            !status.ok())
          return status;
        if (values[0] !=
            float(ranks * (round % 1000) + ranks * (ranks - 1) / 2))
          return Status::error(StatusCode::Mismatch,
                               "a sum is wrong in round " +
                                   std::to_string(round));
        if (values[1] != 0) {
          rounds = round;
          return Status();
        }
        switch (random() % 4096) {
        case 0:
          std::this_thread::sleep_for(
              std::chrono::microseconds(random() % 300));
          break;
        case 1:
        case 2:
        case 3:
          std::this_thread::yield();
          break;
        default:
          break;
        }
      }
    }));
    std::printf("%d ranks: %lld reductions in %.0f s\n", ranks,
                (long long)rounds.load(), seconds);
    EXPECT_GT(rounds.load(), 1000);
  }
}
