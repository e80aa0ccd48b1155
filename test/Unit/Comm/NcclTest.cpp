//===- NcclTest.cpp - ranks on GPUs, with a NCCL that goes wrong ----------===//
//
// Part of dsv2, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "CollectiveSuite.h"
#include "CommTestUtils.h"
#include "FakeNccl.h"

#include "dsv2rt/comm/Nccl.h"
#include "dsv2rt/comm/Processes.h"

#include <csignal>
#include <cstdlib>
#include <thread>

#include <unistd.h>

using namespace dsv2rt;
using namespace dsv2test;

namespace {

/// Makes every operation wait for the stream, so that results are there after
/// it, as tests for all engines expect.
class Synchronous : public Communicator {
public:
  Synchronous(std::unique_ptr<Communicator> owned, void *stream)
      : inner(static_cast<NcclCommunicator &>(*owned)), owned(std::move(owned)),
        stream(stream) {}

  int rank() const override { return inner.rank(); }
  int size() const override { return inner.size(); }
  int worldRank() const override { return inner.worldRank(); }
  Status allReduce(float *data, int64_t count,
                   const CollectiveSite &site) override {
    return done(inner.allReduce(data, count, site));
  }
  Status allGather(const void *send, int64_t bytes, void *receive,
                   const CollectiveSite &site) override {
    return done(inner.allGather(send, bytes, receive, site));
  }
  Status allGatherV(const void *send, const int64_t *bytes, void *receive,
                    const CollectiveSite &site) override {
    return done(inner.allGatherV(send, bytes, receive, site));
  }
  Status allToAllV(const void *send, const int64_t *sendBytes, void *receive,
                   const int64_t *receiveBytes,
                   const CollectiveSite &site) override {
    return done(inner.allToAllV(send, sendBytes, receive, receiveBytes, site));
  }
  Status barrier(const CollectiveSite &site) override {
    return done(inner.barrier(site));
  }
  Expected<std::unique_ptr<Communicator>> split(int color, int key) override {
    Expected<std::unique_ptr<Communicator>> part = inner.split(color, key);
    if (!part.ok())
      return part;
    return std::unique_ptr<Communicator>(
        std::make_unique<Synchronous>(std::move(part.value()), stream));
  }
  void abort(const Status &reason) override { inner.abort(reason); }
  Status status() const override { return inner.status(); }
  void alive() override { inner.alive(); }
  const CommOptions &commOptions() const override {
    return inner.commOptions();
  }

private:
  Status done(Status status) {
    if (status.ok())
      status = inner.wait(
          [&]() -> Expected<bool> { return fakeNcclStreamDone(stream) == 1; });
    sent = inner.counters();
    return status;
  }

  NcclCommunicator &inner;
  std::unique_ptr<Communicator> owned;
  void *stream;
};

class Nccl : public testing::Test {
protected:
  Nccl() {
    setenv("DSV2_NCCL_LIBRARY", DSV2_FAKE_NCCL, 1);
    fakeNcclReset();
  }
  ~Nccl() override {
    fakeNcclReset();
    unsetenv("DSV2_NCCL_LIBRARY");
  }

  using Body = std::function<Status(Communicator &)>;

  /// `body` on a communicator of NCCL in a rank of `host`.
  static Status onNccl(Communicator &host, const CommOptions &options,
                       const Body &body) {
    int stream = 0;
    auto nccl = NcclCommunicator::create(host, &stream, options);
    if (!nccl.ok())
      return nccl.status();
    Synchronous communicator(std::move(nccl.value()), &stream);
    return body(communicator);
  }

  static std::vector<Status> run(int ranks, const CommOptions &options,
                                 const Body &body) {
    return runOnThreads(ranks, options, [&](Communicator &host) {
      return onNccl(host, options, body);
    });
  }
};

void expectOk(const std::vector<Status> &statuses) {
  for (const Status &status : statuses)
    EXPECT_TRUE(status.ok()) << status.message();
}

CommOptions checked() {
  CommOptions options;
  options.checkOrder = true;
  return options;
}

/// Messages of more pieces than one, and none.
Status runSuites(Communicator &communicator) {
  SuiteOptions options;
  options.sizes = {0, 1, 1000, 40'001};
  if (Status status = runCollectiveSuite(communicator, options); !status.ok())
    return status;
  options.sizes = {0, 3, 1000};
  return runSplitSuite(communicator, options);
}

} // namespace

TEST_F(Nccl, GivesWhatPlainLoopsGive) {
  for (int ranks : {1, 2, 3, 4, 5, 8})
    for (bool check : {false, true}) {
      fakeNcclReset();
      CommOptions options;
      options.checkOrder = check;
      expectOk(run(ranks, options, runSuites));
      EXPECT_EQ(fakeNcclAborted(), 0);
      // The whole, and each rank's three parts.
      EXPECT_EQ(fakeNcclDestroyed(), 4 * ranks);
    }
}

TEST_F(Nccl, TakesItsTimeWhereNcclDoes) {
  fakeNcclSet(FakeNcclInProgress, -1, 50);
  expectOk(run(3, {}, runSuites));
}

TEST_F(Nccl, WaitsForASlowRank) {
  fakeNcclSet(FakeNcclSlowMilliseconds, 1, 100);
  Stopwatch watch;
  expectOk(run(3, {}, [](Communicator &communicator) {
    return perform(communicator, Call::AllToAllV);
  }));
  EXPECT_GE(watch.seconds(), 0.1);
}

TEST_F(Nccl, SendsOneMessageToEachPeer) {
  expectOk(run(4, {}, [](Communicator &communicator) {
    return perform(communicator, Call::AllToAllV);
  }));
  EXPECT_EQ(fakeNcclSends(), 4 * 4);
}

TEST_F(Nccl, PassesErrorsOfCallsOn) {
  fakeNcclSet(FakeNcclSendFails, 1, 1);
  expectAllFailed(run(3, {},
                      [](Communicator &communicator) {
                        return perform(communicator, Call::AllToAllV);
                      }),
                  "rank 1 ended the job: NCCL failed in ncclSend of "
                  "all_to_all_v 'test.site' of layer 5 (512 bytes): unhandled "
                  "system error (2), with no explanation");
  EXPECT_EQ(fakeNcclAborted(), 3);
}

TEST_F(Nccl, PassesErrorsOfEarlierOperationsOn) {
  for (Call call :
       {Call::AllReduce, Call::AllGather, Call::AllGatherV, Call::AllToAllV}) {
    fakeNcclReset();
    fakeNcclSet(FakeNcclRemoteErrorAfter, 2, 3);
    auto statuses = run(3, {}, [&](Communicator &communicator) {
      for (int64_t layer = 0; layer < 20; ++layer)
        if (Status status = perform(communicator, call, {"site", layer});
            !status.ok())
          return status;
      return Status();
    });
    expectAllFailed(statuses, "rank 2 ended the job: NCCL failed in ");
    expectAllFailed(statuses, "remote process exited or there was a network "
                              "error (6), fake: told to");
    EXPECT_EQ(fakeNcclAborted(), 3);
  }
}

// What NCCL would take, and wait for ever or do something wrong.
TEST_F(Nccl, ChecksOrderAndSizesIfAskedTo) {
  for (Call odd : {Call::AllGather, Call::AllGatherV, Call::AllToAllV,
                   Call::Barrier, Call::Split}) {
    fakeNcclReset();
    auto statuses = run(3, checked(), [&](Communicator &communicator) {
      return perform(communicator,
                     communicator.rank() == 1 ? odd : Call::AllReduce);
    });
    expectAllFailed(statuses, "the ranks disagree");
    expectAllFailed(statuses, "called all_reduce 'test.site' of layer 5");
    expectAllFailed(statuses, std::string("called ") + callName(odd));
  }
  fakeNcclReset();
  auto uneven = [](Communicator &communicator) {
    std::vector<int64_t> sends(3, 64), receives(3, 64);
    if (communicator.rank() == 1)
      sends[2] = 32;
    std::vector<char> send(256), receive(256);
    Status status =
        communicator.allToAllV(send.data(), sends.data(), receive.data(),
                               receives.data(), {"mlp.dispatch", 3});
    return status.ok() ? perform(communicator, Call::Barrier) : status;
  };
  expectAllFailed(run(3, checked(), uneven),
                  "rank 1 sends 32 bytes to rank 2, which expects 64");
  // The fake finds it as well, so it would find a wrong group of this engine.
  fakeNcclReset();
  expectAllFailed(run(3, withTimeout(2), uneven),
                  "fake: rank 1 sends 32 bytes");
}

TEST_F(Nccl, SaysWhatARankKeeps) {
  expectAllFailed(run(2, {},
                      [](Communicator &communicator) {
                        std::vector<int64_t> sends(2, 8), receives(2, 8);
                        sends[communicator.rank()] = 4;
                        char send[16], receive[16];
                        return communicator.allToAllV(send, sends.data(),
                                                      receive, receives.data(),
                                                      {"a", 1});
                      }),
                  "keeps 4 bytes in all_to_all_v 'a' of layer 1");
}

// Ranks that never come, at the start and later.
TEST_F(Nccl, F086_GivesUpWhenARankDoesNotCome) {
  CommOptions options;
  options.startTimeout = 0.3;
  Stopwatch watch;
  auto statuses = runOnThreads(3, options, [&](Communicator &host) {
    fakeNcclSet(FakeNcclInitFails, 1, 1);
    return onNccl(host, options, runSuites);
  });
  expectAllFailed(statuses, "rank 1 ended the job: ncclCommInitRankConfig "
                            "failed: unhandled system error (2)");

  // It takes part in the exchange of the ids and then is busy elsewhere.
  fakeNcclReset();
  statuses = runOnThreads(3, options, [&](Communicator &host) {
    if (host.rank() != 1)
      return onNccl(host, options, runSuites);
    char card[132] = {};
    std::vector<char> cards(3 * sizeof(card));
    Status status =
        host.allGather(card, sizeof(card), cards.data(), {"ids of NCCL", -1});
    while (status.ok())
      status = host.status();
    return status;
  });
  expectAllFailed(statuses, "ended the job: it waited 0.3 s in the start of "
                            "NCCL");

  fakeNcclReset();
  statuses = run(3, withTimeout(0.3), [](Communicator &communicator) {
    Status status = perform(communicator, Call::AllReduce);
    if (communicator.rank() != 1)
      return status.ok() ? perform(communicator, Call::AllToAllV, {"late", 2})
                         : status;
    while (status.ok())
      status = communicator.status();
    return status;
  });
  expectAllFailed(statuses, "ended the job: it waited 0.3 s in all_to_all_v "
                            "'late' of layer 2 (512 bytes)");
  EXPECT_LT(watch.seconds(), 10);
}

TEST_F(Nccl, F086_HearsOfFailuresElsewhere) {
  auto statuses = run(3, {}, [](Communicator &communicator) {
    return communicator.rank() == 1
               ? Status::error(StatusCode::NotFound, "no file 'x'")
               : perform(communicator, Call::AllReduce);
  });
  for (int r : {0, 2})
    EXPECT_EQ(statuses[r].message(), "rank 1 ended the job: no file 'x'");
}

TEST_F(Nccl, DoesNotWaitForAnAbortThatHangs) {
  fakeNcclSet(FakeNcclAbortHangs, 0, 1);
  fakeNcclSet(FakeNcclSendFails, 0, 1);
  Stopwatch watch;
  auto statuses = run(2, {}, [](Communicator &communicator) {
    return perform(communicator, Call::AllToAllV);
  });
  expectAllFailed(statuses, "NCCL failed in ncclSend");
  EXPECT_NE(
      statuses[0].message().find("ncclCommAbort did not return within 3 s"),
      std::string::npos)
      << statuses[0].message();
  EXPECT_LT(watch.seconds(), 8);
  // Lets the thread go before the memory of the fake does.
  fakeNcclSet(FakeNcclAbortHangs, 0, 0);
  std::this_thread::sleep_for(std::chrono::milliseconds(50));
}

TEST_F(Nccl, F086_EndsWhenAProcessIsKilled) {
  for (Call call : {Call::AllReduce, Call::AllToAllV}) {
    Stopwatch watch;
    JobResult result = launchProcesses(3, {}, [&](Communicator &host) {
      Status status = onNccl(host, {}, [&](Communicator &communicator) {
        Status status = runSuites(communicator);
        if (status.ok() && communicator.rank() == 1)
          kill(getpid(), SIGKILL);
        return status.ok() ? perform(communicator, call) : status;
      });
      return status.ok() ? 0 : 1;
    });
    EXPECT_EQ(result.exitCode, 1);
    EXPECT_NE(result.message.find("rank 1 was killed by signal 9 (SIGKILL)"),
              std::string::npos)
        << result.message;
    EXPECT_LT(watch.seconds(), 3);
    fakeNcclReset();
  }
}

TEST_F(Nccl, NeedsALibraryOfItsTime) {
  auto errorWith = [&](const char *library) {
    setenv("DSV2_NCCL_LIBRARY", library, 1);
    return run(1, {}, runSuites)[0];
  };
  Status status = errorWith("/nowhere/libnccl.so.2");
  EXPECT_EQ(status.code(), StatusCode::NotFound);
  EXPECT_NE(status.message().find("cannot load NCCL, '/nowhere/libnccl.so.2'"),
            std::string::npos);
  status = errorWith("libm.so.6");
  EXPECT_EQ(status.code(), StatusCode::NotFound);
  EXPECT_NE(status.message().find("has no function 'ncclGetVersion'"),
            std::string::npos);
  fakeNcclSet(FakeNcclVersion, 0, 21703);
  status = errorWith(DSV2_FAKE_NCCL);
  EXPECT_EQ(status.code(), StatusCode::Unsupported);
  EXPECT_NE(status.message().find("is of version 2.17; 2.18 or later"),
            std::string::npos)
      << status.message();
}
