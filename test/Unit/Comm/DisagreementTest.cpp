//===- DisagreementTest.cpp - ranks that call different things ------------===//
//
// Part of dsv2, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// F091: ranks that leave the common order end the job at once, with the names
// of both places, instead of waiting or exchanging nonsense.
//
//===----------------------------------------------------------------------===//

#include "CommTestUtils.h"

using namespace dsv2rt;
using namespace dsv2test;

/// Expects that ranks fail quickly where `odd` differs from what the others do.
static void
expectDisagreement(const std::function<Status(Communicator &)> &usual,
                   const std::function<Status(Communicator &)> &odd,
                   const std::vector<std::string> &texts) {
  for (int oddRank : {0, 2}) {
    Stopwatch watch;
    auto statuses = runOnThreads(3, {}, [&](Communicator &communicator) {
      // A common beginning, so that the disagreement is not the first call.
      Status status = perform(communicator, Call::AllReduce, {"start", 0});
      if (status.ok())
        status = communicator.rank() == oddRank ? odd(communicator)
                                                : usual(communicator);
      return status.ok() ? perform(communicator, Call::Barrier, {"end", 0})
                         : status;
    });
    EXPECT_LT(watch.seconds(), 5);
    for (const std::string &text : texts)
      expectAllFailed(statuses, text);
    expectAllFailed(statuses, "rank " + std::to_string(oddRank));
  }
}

static std::function<Status(Communicator &)>
calling(Call call, const char *name, int64_t layer, int64_t bytes) {
  return [=](Communicator &communicator) {
    return perform(communicator, call, {name, layer}, bytes);
  };
}

TEST(Disagreement, F091_OfOperationsIsNamed) {
  for (Call call : allCalls)
    for (Call other : allCalls) {
      if (std::string(callName(call)) == callName(other))
        continue;
      std::string calls[] = {callName(call), callName(other)};
      for (std::string &text : calls)
        text = "called " + text +
               (text == "split" ? " (24 bytes)" : " 'a' of layer 1");
      expectDisagreement(calling(call, "a", 1, 64), calling(other, "a", 1, 64),
                         {calls[0], calls[1], "the ranks disagree"});
    }
}

TEST(Disagreement, F091_OfPlacesIsNamed) {
  for (Call call : allCalls) {
    if (call == Call::Split)
      continue;
    expectDisagreement(
        calling(call, "mlp.dispatch", 1, 64),
        calling(call, "mlp.combine", 1, 64),
        {"'mlp.dispatch' of layer 1", "'mlp.combine' of layer 1"});
    expectDisagreement(
        calling(call, "mlp.dispatch", 1, 64),
        calling(call, "mlp.dispatch", 2, 64),
        {"'mlp.dispatch' of layer 1", "'mlp.dispatch' of layer 2"});
  }
}

TEST(Disagreement, F091_OfSizesIsNamed) {
  for (Call call : {Call::AllReduce, Call::AllGather, Call::AllGatherV})
    expectDisagreement(calling(call, "a", 1, 64), calling(call, "a", 1, 128),
                       {"'a' of layer 1"});
  expectDisagreement(calling(Call::AllReduce, "a", 1, 64),
                     calling(Call::AllReduce, "a", 1, 128),
                     {"(64 bytes)", "(128 bytes)"});
}

// Names that differ behind the part that messages show.
TEST(Disagreement, OfLongNamesIsFound) {
  static const std::string name(200, 'n'), a = name + "a", b = name + "b";
  expectDisagreement(calling(Call::Barrier, a.c_str(), 1, 0),
                     calling(Call::Barrier, b.c_str(), 1, 0),
                     {"the ranks disagree"});
}

// A rank that leaves one operation out, which all the others wait for.
TEST(Disagreement, F091_OfARankThatSkipsOneIsNamed) {
  for (Call call : allCalls)
    expectDisagreement(calling(call, "skipped", 1, 64),
                       [](Communicator &) { return Status(); },
                       {callName(call), "barrier 'end' of layer 0"});
}

// What one sends is not what the other expects; the sums agree.
TEST(Disagreement, OfExchangedSizesIsNamed) {
  auto statuses = runOnThreads(3, {}, [](Communicator &communicator) {
    const int rank = communicator.rank();
    std::vector<int64_t> sends(3, 64), receives(3, 64);
    if (rank == 1)
      sends = {64, 64, 128};
    std::vector<uint8_t> send(256), receive(256);
    Status status =
        communicator.allToAllV(send.data(), sends.data(), receive.data(),
                               receives.data(), {"mlp.dispatch", 3});
    // The others may be through by the time that rank 2 finds it.
    return status.ok() ? perform(communicator, Call::Barrier) : status;
  });
  expectAllFailed(statuses, "rank 1 sends 128 bytes to rank 2, which expects "
                            "64");
  expectAllFailed(statuses, "all_to_all_v 'mlp.dispatch' of layer 3");
}

TEST(Disagreement, OfWhatARankKeepsIsNamed) {
  auto statuses = runOnThreads(2, {}, [](Communicator &communicator) {
    std::vector<int64_t> sends(2, 64), receives(2, 64);
    if (communicator.rank() == 1)
      sends[1] = 32;
    std::vector<uint8_t> send(128), receive(128);
    return communicator.allToAllV(send.data(), sends.data(), receive.data(),
                                  receives.data(), {"mlp.dispatch", 3});
  });
  expectAllFailed(statuses, "rank 1 keeps 32 bytes");
}

TEST(Disagreement, OfGatheredSizesIsNamed) {
  auto statuses = runOnThreads(3, {}, [](Communicator &communicator) {
    std::vector<int64_t> sizes = {8, 16, 24};
    if (communicator.rank() == 1)
      sizes = {16, 16, 16};
    std::vector<uint8_t> send(64), receive(64);
    return communicator.allGatherV(send.data(), sizes.data(), receive.data(),
                                   {"logits", -1});
  });
  expectAllFailed(statuses, " bytes of rank 0, rank ");
}

TEST(Misuse, OfSizesEndsTheJob) {
  auto statuses = runOnThreads(2, {}, [](Communicator &communicator) {
    float value = 0;
    return communicator.allReduce(&value, communicator.rank() ? -1 : 1,
                                  {"a", 1});
  });
  expectAllFailed(statuses, "rank 1 called all_reduce 'a' of layer 1");
  statuses = runOnThreads(2, {}, [](Communicator &communicator) {
    float value = 0;
    return communicator.allReduce(
        &value, communicator.rank() ? INT64_MAX / 2 : 1, {"a", 1});
  });
  expectAllFailed(statuses, "rank 1 called all_reduce 'a' of layer 1");
  statuses = runOnThreads(2, {}, [](Communicator &communicator) {
    std::vector<int64_t> sends = {4, 4};
    if (communicator.rank() == 1)
      sends[0] = -4;
    std::vector<uint8_t> send(8), receive(8);
    return communicator.allToAllV(send.data(), sends.data(), receive.data(),
                                  sends.data(), {"a", 1});
  });
  expectAllFailed(statuses, "rank 1 called all_to_all_v 'a' of layer 1");
}

TEST(Misuse, OfAStartedExchangeEndsTheJob) {
  auto statuses = runOnThreads(2, {}, [](Communicator &communicator) {
    std::vector<int64_t> sizes = {4, 4};
    std::vector<uint8_t> send(8), receive(8);
    Status status = communicator.startAllToAllV(
        send.data(), sizes.data(), receive.data(), sizes.data(), {"a", 1});
    if (status.ok() && communicator.rank() == 1)
      return perform(communicator, Call::Barrier);
    return status.ok() ? communicator.finishAllToAllV() : status;
  });
  EXPECT_NE(statuses[1].message().find("before it finished the all_to_all_v"),
            std::string::npos)
      << statuses[1].message();
  statuses = runOnThreads(2, {}, [](Communicator &communicator) {
    return communicator.rank() == 1 ? communicator.finishAllToAllV()
                                    : perform(communicator, Call::Barrier);
  });
  expectAllFailed(statuses, "that it had not started");
}
