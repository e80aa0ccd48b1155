//===- StepCollectivesTest.cpp - what compiled code exchanges -------------===//
//
// Part of dsv2, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "StepCollectives.h"
#include "TestUtils.h"
#include "dsv2rt/comm/ThreadGroup.h"

#include <array>
#include <functional>
#include <limits>

using namespace dsv2rt;
using namespace dsv2test;

namespace {

enum Site { Reduce, Gather, Exchange, ExchangeV };

Manifest sites() {
  Manifest manifest;
  manifest.commSites = {{"sum", "all_reduce"},
                        {"gather", "all_gather"},
                        {"counts", "all_to_all"},
                        {"rows", "all_to_all_v"}};
  return manifest;
}

/// Runs `body` on three ranks of the ep axis.
Status onThreeRanks(
    const std::function<void(int rank, StepCollectives &collectives)> &body) {
  Manifest manifest = sites();
  return runThreadRanks(3, CommOptions(), [&](Communicator &world) -> Status {
    StepCollectives collectives(manifest, world, MeshAxis(),
                                {&world, world.rank(), 3});
    collectives.begin(100);
    body(world.rank(), collectives);
    return collectives.failure();
  });
}

} // namespace

TEST(StepCollectivesTest, ARankAloneCopies) {
  Manifest manifest = sites();
  StepCollectives alone(manifest);
  alone.begin(7);
  EXPECT_EQ(alone.arrivals(), 7);
  EXPECT_EQ(alone.meshIndex(DSV2RT_AXIS_TP), 0);
  float sum[2] = {1, 2};
  alone.allReduce(DSV2RT_AXIS_TP, Reduce, 0, sum, 2);
  EXPECT_EQ(sum[1], 2);
  const char rows[] = "abcdef";
  char gathered[] = "........";
  alone.allGather(DSV2RT_AXIS_TP, Gather, 0, rows, gathered, 2, 3, 4);
  EXPECT_STREQ(gathered, "abc.def.");
  int32_t count = 2, received = 0;
  alone.allToAll(DSV2RT_AXIS_EP, Exchange, 0, &count, &received, 4);
  EXPECT_EQ(received, 2);
  char copy[] = "......";
  EXPECT_EQ(alone.allToAllV(DSV2RT_AXIS_EP, ExchangeV, 0, rows, copy, 2, &count,
                            &received, 3),
            2);
  EXPECT_STREQ(copy, "abcd..");
  ASSERT_TRUE(alone.failure().ok()) << alone.failure().message();
  for (const CommCounters &counts : alone.counters()) {
    EXPECT_EQ(counts.calls, 1);
    EXPECT_EQ(counts.bytesSent, 0);
  }
}

TEST(StepCollectivesTest, RanksExchange) {
  Status status = onThreeRanks([](int rank, StepCollectives &c) {
    EXPECT_EQ(c.meshIndex(DSV2RT_AXIS_EP), rank);
    EXPECT_EQ(c.meshIndex(DSV2RT_AXIS_TP), 0);
    EXPECT_EQ(c.arrivals(), 100);
    float values[2] = {float(rank), 1};
    c.allReduce(DSV2RT_AXIS_EP, Reduce, 4, values, 2);
    EXPECT_EQ(values[0], 3);
    EXPECT_EQ(values[1], 3);

    // Rank r's matrix [[10 r, 10 r + 1], [10 r + 2, ...]], as columns.
    std::array<int32_t, 4> own;
    for (int i = 0; i < 4; ++i)
      own[i] = 10 * rank + i;
    std::array<int32_t, 14> wide;
    wide.fill(-1);
    c.allGather(DSV2RT_AXIS_EP, Gather, 4, own.data(), wide.data(), 2, 8, 28);
    EXPECT_EQ(wide, (std::array<int32_t, 14>{0, 1, 10, 11, 20, 21, -1, //
                                             2, 3, 12, 13, 22, 23, -1}));

    // Rank a sends b a + 2 b rows.
    std::array<int32_t, 3> send, receive, expected;
    for (int other = 0; other < 3; ++other) {
      send[other] = rank + 2 * other;
      expected[other] = other + 2 * rank;
    }
    c.allToAll(DSV2RT_AXIS_EP, Exchange, 4, send.data(), receive.data(), 4);
    EXPECT_EQ(receive, expected);
    std::vector<int32_t> out, in(32, -1);
    for (int other = 0; other < 3; ++other)
      out.insert(out.end(), 2 * send[other], 100 * rank + other);
    int64_t total = receive[0] + receive[1] + receive[2];
    EXPECT_EQ(c.allToAllV(DSV2RT_AXIS_EP, ExchangeV, 4, out.data(), in.data(),
                          8, send.data(), receive.data(), 16),
              total);
    size_t at = 0;
    for (int other = 0; other < 3; ++other)
      for (int i = 0; i < 2 * receive[other]; ++i)
        EXPECT_EQ(in[at++], 100 * other + rank);
    EXPECT_EQ(in[at], -1);

    // To the two others: their parts of what this rank has.
    const std::vector<CommCounters> &counts = c.counters();
    EXPECT_EQ(counts[Reduce].bytesSent, allReduceBytesSent(8, 3));
    EXPECT_EQ(counts[Gather].bytesSent, 2 * 16);
    EXPECT_EQ(counts[Exchange].bytesSent, 2 * 4);
    EXPECT_EQ(counts[ExchangeV].bytesSent,
              8 * (send[0] + send[1] + send[2] - send[rank]));
    EXPECT_EQ(counts[ExchangeV].calls, 1);
  });
  EXPECT_TRUE(status.ok()) << status.message();
}

// An exchange in two halves is the same, counted once.
TEST(StepCollectivesTest, RanksExchangeInTwoHalves) {
  Status status = onThreeRanks([](int rank, StepCollectives &c) {
    int32_t send[3] = {1, 2, 3}, receive[3] = {rank + 1, rank + 1, rank + 1};
    std::vector<int32_t> out, in(12, -1);
    for (int other = 0; other < 3; ++other)
      out.insert(out.end(), send[other], 10 * rank + other);
    EXPECT_EQ(c.allToAllV(DSV2RT_AXIS_EP, ExchangeV, 4, out.data(), in.data(),
                          4, send, receive, 12, /*startOnly=*/true),
              3 * (rank + 1));
    c.wait(DSV2RT_AXIS_EP, ExchangeV, 4, in.data(), 4, 12);
    for (int i = 0; i < 3 * (rank + 1); ++i)
      EXPECT_EQ(in[i], 10 * (i / (rank + 1)) + rank);
    EXPECT_EQ(in[3 * (rank + 1)], -1);
    EXPECT_EQ(c.counters()[ExchangeV].calls, 1);
    EXPECT_EQ(c.counters()[ExchangeV].bytesSent, 4 * (6 - send[rank]));
  });
  EXPECT_TRUE(status.ok()) << status.message();
}

TEST(StepCollectivesTest, NoticesWhatDoesNotFit) {
  Manifest manifest = sites();
  StepCollectives alone(manifest);
  alone.begin(1);
  const int32_t counts[] = {0, 8, 7};
  alone.checkCapacity(3, counts, 3, 8);
  EXPECT_FALSE(alone.overflowed());
  alone.checkCapacity(3, counts, 3, 7);
  EXPECT_TRUE(alone.overflowed());
  alone.checkCapacity(3, counts, 3, 8);
  EXPECT_TRUE(alone.overflowed()) << "a later exchange takes nothing back";
  EXPECT_TRUE(alone.failure().ok());
  alone.begin(1);
  EXPECT_FALSE(alone.overflowed());
}

TEST(StepCollectivesTest, TheAxesAreGroupsOfTheirOwn) {
  Manifest manifest = sites();
  Status status =
      runThreadRanks(4, CommOptions(), [&](Communicator &world) -> Status {
        int tpIndex = world.rank() % 2, epIndex = world.rank() / 2;
        auto tp = take(world.split(epIndex, tpIndex));
        auto ep = take(world.split(tpIndex, epIndex));
        StepCollectives c(manifest, world, {tp.get(), tpIndex, 2},
                          {ep.get(), epIndex, 2});
        c.begin(1);
        float value = float(1 << world.rank());
        c.allReduce(DSV2RT_AXIS_TP, Reduce, 0, &value, 1);
        EXPECT_EQ(value, epIndex ? 12 : 3);
        c.allReduce(DSV2RT_AXIS_EP, Reduce, 0, &value, 1);
        EXPECT_EQ(value, 15);
        return c.failure();
      });
  EXPECT_TRUE(status.ok()) << status.message();
}

TEST(StepCollectivesTest, WrongCallsEndTheJob) {
  struct Case {
    std::function<void(StepCollectives &)> call;
    std::vector<std::string> parts;
  };
  float value = 1;
  int32_t rows[3] = {1, 1, 1}, negative[3] = {1, -1, 1};
  char memory[64] = {};
  const Case cases[] = {
      {[&](StepCollectives &c) { c.allReduce(1, 4, 2, &value, 1); },
       {"all_reduce of layer 2", "4 comm_sites", "number 4"}},
      {[&](StepCollectives &c) { c.allReduce(1, -1, 2, &value, 1); },
       {"number -1"}},
      {[&](StepCollectives &c) { c.allReduce(2, Reduce, 2, &value, 1); },
       {"'sum' of layer 2", "axis 0 or 1", "found 2"}},
      {[&](StepCollectives &c) { c.allReduce(1, Gather, 2, &value, 1); },
       {"all_gather 'gather'", "calls it as all_reduce"}},
      {[&](StepCollectives &c) { c.allReduce(1, Reduce, 2, &value, -1); },
       {"'sum'", "found -1"}},
      {[&](StepCollectives &c) { (void)c.meshIndex(7); }, {"axis", "7"}},
      {[&](StepCollectives &c) {
         c.allGather(1, Gather, 0, memory, memory, 1, 8, 23);
       },
       {"'gather'", "3 times 8 bytes", "of 23"}},
      {[&](StepCollectives &c) {
         c.allToAll(1, Exchange, 0, memory, memory, -4);
       },
       {"'counts'", "found -4"}},
      {[&](StepCollectives &c) {
         (void)c.allToAllV(1, ExchangeV, 0, memory, memory, 4, rows, negative,
                           16);
       },
       {"'rows'", "at least 0 rows", "-1"}},
      {[&](StepCollectives &c) {
         (void)c.allToAllV(1, ExchangeV, 0, memory, memory, 4, rows, rows, 2);
       },
       {"'rows'", "at most 2 rows", "found 3"}},
      {[&](StepCollectives &c) {
         (void)c.allToAllV(1, ExchangeV, 0, memory, memory, -1, rows, rows, 3);
       },
       {"'rows'", "found -1"}},
      {[&](StepCollectives &c) { c.wait(1, ExchangeV, 3, memory, 4, 4); },
       {"'rows' of layer 3", "not started"}},
      {[&](StepCollectives &c) { c.checkCapacity(3, rows, 3, 0); },
       {"dsv2rt_check_capacity of layer 3", "3 and 0"}},
      {[&](StepCollectives &c) { c.checkCapacity(3, rows, -1, 4); },
       {"dsv2rt_check_capacity of layer 3", "-1 and 4"}},
  };
  for (const Case &wrong : cases) {
    SCOPED_TRACE(wrong.parts.front());
    Status status = onThreeRanks([&](int rank, StepCollectives &c) {
      // The others are where they should be, and must not wait for ever.
      float sum = 5;
      if (rank == 1)
        wrong.call(c);
      c.allReduce(DSV2RT_AXIS_EP, Reduce, 0, &sum, 1);
      EXPECT_FALSE(c.failure().ok());
      EXPECT_EQ(sum, 0) << "what a failed collective fills is zero";
      // Nor does anything else leave what was there.
      char left[] = "abcdef";
      c.allGather(DSV2RT_AXIS_EP, Gather, 0, memory, left, 1, 2, 6);
      EXPECT_EQ(std::string(left, 6), std::string(6, 0));
      int32_t counts[3] = {9, 9, 9};
      c.allToAll(DSV2RT_AXIS_EP, Exchange, 0, memory, counts, 4);
      EXPECT_EQ(counts[0] + counts[1] + counts[2], 0);
      char room[] = "abcd";
      EXPECT_EQ(c.allToAllV(DSV2RT_AXIS_EP, ExchangeV, 0, memory, room, 2, rows,
                            rows, 2),
                0);
      EXPECT_EQ(std::string(room, 4), std::string(4, 0));
    });
    expectFailure(status, StatusCode::RankFailed, wrong.parts);
    expectHolds(status.message(), "rank 1");
  }
}

TEST(StepCollectivesTest, AStepAloneFailsByItself) {
  Manifest manifest = sites();
  StepCollectives alone(manifest);
  alone.begin(1);
  int32_t one = 1, two = 2;
  char memory[8] = "abc";
  EXPECT_EQ(alone.allToAllV(DSV2RT_AXIS_EP, ExchangeV, 0, memory, memory, 1,
                            &one, &two, 4),
            0);
  expectFailure(alone.failure(), StatusCode::CorruptData,
                {"'rows'", "sends itself 1", "expects 2"});
  alone.begin(1);
  EXPECT_TRUE(alone.failure().ok());
}
