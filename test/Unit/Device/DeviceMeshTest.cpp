//===- DeviceMeshTest.cpp - ranks on devices exchange by NCCL -------------===//
//
// Part of dsv2, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// The ranks are threads, each with a device of the stub driver, and NCCL is the
// fake, which takes memory and streams of the stub alone. What they compute is
// what one rank on the CPU does, to the bit.
//
//===----------------------------------------------------------------------===//

#include "DeviceImpl.h"
#include "DeviceTestUtils.h"
#include "FakeNccl.h"
#include "StepStream.h"

#include "dsv2rt/comm/ThreadGroup.h"

#include <atomic>
#include <chrono>
#include <functional>
#include <random>
#include <thread>

using namespace dsv2rt;
using namespace dsv2test;

namespace {

/// A mesh and how its ranks are started.
struct Job {
  Job(int tp, int ep) : tp(tp), ep(ep) {}

  int tp, ep;
  std::string device = "cuda";
  CommOptions comm;
  /// Makes the options of a rank other.
  std::function<void(int rank, SessionOptions &)> change;

  int ranks() const { return tp * ep; }
};

using Body = std::function<Status(Communicator &, Session &)>;

class DeviceMeshTest : public DeviceTest {
protected:
  DeviceMeshTest() : library("DSV2_NCCL_LIBRARY", DSV2_FAKE_NCCL) {
    use(4);
    fakeNcclReset();
  }
  ~DeviceMeshTest() override { fakeNcclReset(); }

  /// Has so many devices.
  static void use(int devices, bool oneUuid = false, bool othersFirst = false) {
    stub::Config config;
    config.devices = devices;
    config.oneUuid = oneUuid;
    config.othersFirst = othersFirst;
    stub::reset(config);
  }

  /// What every rank returned.
  static std::vector<Status> run(const Job &job, const Body &body) {
    std::vector<Status> statuses(size_t(job.ranks()));
    (void)runThreadRanks(job.ranks(), job.comm, [&](Communicator &world) {
      Status status = runRank(job, world, body);
      statuses[size_t(world.rank())] = status;
      return status;
    });
    return statuses;
  }

  static void expectOk(const Job &job,
                       const std::function<void(int, Session &)> &body) {
    for (const Status &status :
         run(job, [&](Communicator &world, Session &session) {
           body(world.rank(), session);
           return Status();
         }))
      EXPECT_TRUE(status.ok()) << status.message();
  }

  /// Every rank fails, with all of `parts` in the reason.
  static void expectFailed(const std::vector<Status> &statuses,
                           const std::vector<std::string> &parts) {
    for (const Status &status : statuses) {
      EXPECT_FALSE(status.ok());
      for (const std::string &part : parts)
        expectHolds(status.message(), part);
    }
  }

private:
  static Status runRank(const Job &job, Communicator &world, const Body &body) {
    auto device = Device::open(job.device, world.rank());
    if (!device.ok())
      return device.status();
    auto artifact = take(Artifact::load(fakeDeviceMeshPath(job.tp, job.ep)));
    SessionOptions options;
    options.device = device.value();
    options.world = {std::shared_ptr<void>(), &world};
    options.threads = 1;
    if (job.change)
      job.change(world.rank(), options);
    auto session =
        Session::create(artifact, fakeWeights(artifact, world.rank()), options);
    if (!session.ok())
      return session.status();
    Status status = body(world, *session.value());
    // Before the session gives up its groups.
    if (!status.ok())
      world.abort(status);
    return status;
  }

  ScopedEnv library;
};

/// Takes random steps of four sequences; all logits.
std::vector<float> logitsOfSteps(Session &session) {
  std::vector<std::vector<int32_t>> prompts = {
      someTokens(1, 1), someTokens(9, 2), someTokens(23, 3), someTokens(40, 4)};
  std::vector<size_t> done(prompts.size(), 0);
  for (size_t i = 0; i < prompts.size(); ++i)
    EXPECT_EQ(take(session.addSequence()), SequenceId(i + 1));
  std::mt19937 generator(5);
  std::vector<float> all;
  while (done[0] + done[1] + done[2] + done[3] < 73) {
    // Often few sequences, so that ranks have nothing to do.
    std::vector<StepInput> inputs;
    for (size_t i = 0; i < prompts.size(); ++i) {
      int64_t left = int64_t(prompts[i].size() - done[i]);
      int64_t now = std::min<int64_t>(left, int64_t(generator() % 9) - 3);
      if (now <= 0)
        continue;
      inputs.push_back({SequenceId(i + 1), prompts[i].data() + done[i], now,
                        LogitRows(generator() % 3)});
      done[i] += size_t(now);
    }
    if (inputs.empty())
      continue;
    std::vector<StepOutput> outputs(inputs.size());
    Status status = session.step(inputs.data(), inputs.size(), outputs.data());
    EXPECT_TRUE(status.ok()) << status.message();
    if (!status.ok())
      return {};
    for (const StepOutput &output : outputs)
      all.insert(all.end(), output.logits,
                 output.logits + output.rows * fakeVocabulary);
  }
  return all;
}

/// One step of 5 tokens.
Status stepOnce(Session &session) {
  Expected<SequenceId> id = session.addSequence();
  if (!id.ok())
    return id.status();
  std::vector<int32_t> tokens = {1, 2, 3, 4, 5};
  StepInput input{id.value(), tokens.data(), 5, LogitRows::All};
  StepOutput output;
  return session.step(&input, 1, &output);
}

void choose(Job &job, DeviceComm comm) {
  job.change = [comm](int, SessionOptions &options) {
    options.deviceComm = comm;
  };
}

double secondsSince(std::chrono::steady_clock::time_point start) {
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - start)
      .count();
}

const std::pair<int, int> meshes[] = {{1, 2}, {2, 1}, {2, 2}};

} // namespace

TEST_F(DeviceMeshTest, ComputesWhatOneRankDoes) {
  auto alone = fakeSession();
  std::vector<float> expected = logitsOfSteps(*alone);
  ASSERT_GT(expected.size(), 20u * fakeVocabulary);
  for (auto [tp, ep] : meshes)
    for (int level : {0, 2}) {
      SCOPED_TRACE(std::to_string(tp) + "x" + std::to_string(ep) + " level " +
                   std::to_string(level));
      std::vector<CommSiteCounters> counters[2];
      for (DeviceComm comm : {DeviceComm::Host, DeviceComm::Nccl}) {
        fakeNcclReset();
        // Exchanges beside the step are as early as they can be, or as late.
        use(4, /*oneUuid=*/false, /*othersFirst=*/level == 0);
        Job job(tp, ep);
        job.change = [&](int, SessionOptions &options) {
          options.deviceComm = comm;
          options.checkLevel = level;
        };
        expectOk(job, [&](int rank, Session &session) {
          EXPECT_EQ(session.deviceComm(), comm);
          EXPECT_EQ(session.whyNotNccl(), "");
          EXPECT_EQ(logitsOfSteps(session), expected);
          if (rank == 0)
            counters[comm == DeviceComm::Nccl] = session.commCounters();
        });
        // The host's way has no messages of NCCL.
        EXPECT_EQ(fakeNcclSends() > 0, comm == DeviceComm::Nccl);
        EXPECT_EQ(fakeNcclAborted(), 0);
      }
      // Bytes count by what operations mean, not by what carries them.
      ASSERT_EQ(counters[0].size(), counters[1].size());
      for (size_t i = 0; i < counters[0].size(); ++i) {
        SCOPED_TRACE(counters[0][i].name);
        EXPECT_EQ(counters[0][i].calls, counters[1][i].calls);
        EXPECT_EQ(counters[0][i].bytesSent, counters[1][i].bytesSent);
      }
    }
}

// What is exchanged after fork() is awaited by the step at rejoin(), not
// before, and begins when the step has got to fork().
TEST_F(DeviceMeshTest, StepsGoOnBesideExchanges) {
  std::atomic<bool> looked{false};
  auto body = [&](Communicator &world) -> Status {
    auto device = take(Device::open("cuda", world.rank()));
    std::shared_ptr<cuda::Context> context = device->implementation().context;
    const cuda::Driver &driver = context->driver();
    auto steps = take(cuda::StepStream::make(context));
    Status status = steps->join(nullptr, &world, "");
    cuda::DeviceMemory memory;
    if (status.ok())
      status = memory.reserve(context, 32, "a test");
    if (!status.ok())
      return status;
    // What is sent; what is received; what is made of it.
    CUdeviceptr sent = memory.address(), received = sent + 8,
                copied = sent + 16, beside = sent + 24;
    const int64_t sizes[2] = {4, 4};
    auto put = [&](const auto &function, auto... arguments) {
      if (status.ok())
        status = context->call(function, "a test", arguments..., steps->get());
    };
    put(driver.cuMemsetD8Async, sent, (unsigned char)(world.rank() + 1),
        size_t(8));
    auto then = [&](const Status &next) {
      if (status.ok())
        status = next;
    };
    then(steps->fork(*steps->ep()));
    then(steps->ep()->allToAllV(reinterpret_cast<void *>(sent), sizes,
                                reinterpret_cast<void *>(received), sizes,
                                {"mlp.dispatch", 1}));
    then(steps->exchanged(*steps->ep()));
    auto event = take(cuda::makeEvent(context, /*timing=*/false));
    put(driver.cuMemsetD8Async, beside, (unsigned char)9, size_t(8));
    then(context->call(driver.cuEventRecord, "a test", event.get(),
                       steps->get()));
    then(steps->rejoin(*steps->ep()));
    put(driver.cuMemcpyDtoDAsync_v2, copied, received, size_t(8));
    if (!status.ok())
      return status;
    // Rank 1 does not look at its streams yet, so that nothing can come.
    while (world.rank() == 1 && !looked)
      std::this_thread::yield();
    auto isDone = [&](const auto &function, auto handle) {
      return take(
          context->query(function, CUDA_ERROR_NOT_READY, "a test", handle));
    };
    if (world.rank() == 0) {
      EXPECT_FALSE(isDone(driver.cuStreamQuery, steps->get()));
      EXPECT_TRUE(isDone(driver.cuEventQuery, event.get()));
      EXPECT_EQ(*stub::host<uint8_t>(beside), 9);
      looked = true;
    }
    status = steps->wait("waiting for the end");
    for (int i = 0; i < 8; ++i)
      EXPECT_EQ(stub::host<uint8_t>(copied)[i], i / 4 + 1);
    return status;
  };
  for (bool othersFirst : {false, true}) {
    use(4, /*oneUuid=*/false, othersFirst);
    looked = false;
    Status status = runThreadRanks(2, {}, body);
    EXPECT_TRUE(status.ok()) << status.message();
  }
  EXPECT_EQ(fakeNcclAborted(), 0);
}

// Nothing but numbers of rows, logits and taps comes to the host.
TEST_F(DeviceMeshTest, LeavesDataOnTheDevice) {
  int copies[2];
  for (DeviceComm comm : {DeviceComm::Host, DeviceComm::Nccl}) {
    use(4);
    Job job(2, 1);
    choose(job, comm);
    expectOk(job, [&](int, Session &session) {
      EXPECT_TRUE(stepOnce(session).ok());
    });
    copies[comm == DeviceComm::Nccl] = stub::calls("cuMemcpyDtoHAsync_v2");
  }
  // Of each of two ranks: two sums, a gather, the counts twice (of itself
  // alone, along the other axis) and the logits, and what remains of it.
  EXPECT_EQ(copies[1], copies[0] - 2 * (2 + 1 + 3));
}

TEST_F(DeviceMeshTest, TakesNcclWhereAllRanksCan) {
  expectOk({2, 1}, [&](int, Session &session) {
    EXPECT_EQ(session.deviceComm(), DeviceComm::Nccl);
  });
  struct {
    const char *reason;
    int devices;
    bool oneUuid;
    const char *device;
    std::function<void(int, SessionOptions &)> change;
  } cases[] = {
      {"rank 1: it is on the device of rank 0, cuda:0 'Stub GPU'",
       1,
       false,
       "cuda",
       {}},
      {"rank 1: it is on the device of rank 0, cuda:1 'Stub GPU'",
       4,
       true,
       "cuda",
       {}},
      {"rank 0: its device is the emulator", 4, false, "emulator", {}},
      {"rank 1: cannot load NCCL, '/nowhere/libnccl.so.2'", 4, false, "cuda",
       [](int rank, SessionOptions &options) {
         if (rank == 1)
           options.ncclLibrary = "/nowhere/libnccl.so.2";
       }},
  };
  for (const auto &c : cases) {
    SCOPED_TRACE(c.reason);
    use(c.devices, c.oneUuid);
    fakeNcclReset();
    Job job(2, 1);
    job.device = c.device;
    job.change = c.change;
    expectOk(job, [&](int, Session &session) {
      EXPECT_EQ(session.deviceComm(), DeviceComm::Host);
      expectHolds(session.whyNotNccl(), c.reason);
      EXPECT_TRUE(stepOnce(session).ok());
    });
    EXPECT_EQ(fakeNcclSends(), 0);
    // The same is an error where NCCL was asked for.
    job.change = [&](int rank, SessionOptions &options) {
      if (c.change)
        c.change(rank, options);
      options.deviceComm = DeviceComm::Nccl;
    };
    expectFailed(run(job, [](Communicator &, Session &) { return Status(); }),
                 {"the ranks cannot exchange by NCCL: ", c.reason});
  }
}

TEST_F(DeviceMeshTest, RanksAreAskedForTheSame) {
  Job job(1, 2);
  job.change = [](int rank, SessionOptions &options) {
    options.deviceComm = rank == 1 ? DeviceComm::Host : DeviceComm::Auto;
  };
  expectFailed(run(job, [](Communicator &, Session &) { return Status(); }),
               {"rank 1 was asked to exchange by 'host', rank 0 by 'auto'"});
  EXPECT_EQ(fakeNcclSends(), 0);
}

TEST_F(DeviceMeshTest, NcclIsNotForTheCpu) {
  Status status = runThreadRanks(2, {}, [](Communicator &world) {
    auto artifact = fakeMeshArtifact(2, 1);
    SessionOptions options;
    options.world = {std::shared_ptr<void>(), &world};
    options.deviceComm = DeviceComm::Nccl;
    return Session::create(artifact, fakeWeights(artifact, world.rank()),
                           options)
        .status();
  });
  expectHolds(status.message(), "ranks on the CPU cannot exchange by NCCL");
}

TEST_F(DeviceMeshTest, FailuresAtTheStartAreSaid) {
  fakeNcclSet(FakeNcclInitFails, 1, 1);
  expectFailed(
      run({2, 1}, [](Communicator &, Session &) { return Status(); }),
      {"rank 1 ended the job: ncclCommInitRankConfig failed: unhandled system "
       "error (2)"});
  // What begins well and cannot exchange.
  fakeNcclReset();
  fakeNcclSet(FakeNcclSendFails, 0, 1);
  expectFailed(run({2, 1}, [](Communicator &, Session &) { return Status(); }),
               {"rank 0 ended the job: NCCL failed in ncclSend of all_to_all_v "
                "'session.start'"});
}

TEST_F(DeviceMeshTest, F086_AFailedExchangeEndsAllRanks) {
  auto statuses = run({1, 2}, [](Communicator &world, Session &session) {
    Status status = world.barrier({"test"});
    fakeNcclSet(FakeNcclSendFails, 1, 1);
    return status.ok() ? stepOnce(session) : status;
  });
  expectFailed(statuses, {"rank 1 ended the job: NCCL failed in ncclSend of "
                          "all_to_all_v 'mlp.counts' of layer 1 (4 bytes): "
                          "unhandled system error (2)"});
  EXPECT_EQ(fakeNcclAborted(), 2);
}

// NCCL finds it after the call, while the host waits for the stream.
TEST_F(DeviceMeshTest, F086_AnErrorBehindACallEndsAllRanks) {
  for (auto [tp, ep] : meshes) {
    fakeNcclReset();
    auto statuses = run({tp, ep}, [](Communicator &world, Session &session) {
      Status status = stepOnce(session);
      if (status.ok())
        status = world.barrier({"test"});
      fakeNcclSet(FakeNcclRemoteErrorAfter, 1, 3);
      return status.ok() ? stepOnce(session) : status;
    });
    expectFailed(statuses, {" ended the job: NCCL failed in ",
                            "remote process exited or there was a network "
                            "error (6), fake: told to"});
  }
}

// Two layers are on the stream when the host waits for it. The message has the
// one that does not come.
TEST_F(DeviceMeshTest, F086_AStallEndsAllRanksWithItsPlace) {
  Job job(2, 1);
  job.comm.timeout = 0.5;
  auto start = std::chrono::steady_clock::now();
  auto statuses = run(job, [](Communicator &world, Session &session) {
    Status status = world.barrier({"test"});
    fakeNcclSet(FakeNcclSlowMilliseconds, 1, 1'000'000);
    return status.ok() ? stepOnce(session) : status;
  });
  expectFailed(
      statuses,
      {" ended the job: it waited 0.",
       " s in all_reduce 'layer.sum' of layer 0 (320 bytes); a rank is "
       "lost, late or somewhere else"});
  EXPECT_EQ(fakeNcclAborted(), 2);
  EXPECT_LT(secondsSince(start), 10);
}

// The same where the host needs numbers of rows in the middle of a step, with
// two communicators of which only one stalls.
TEST_F(DeviceMeshTest, F086_AStallInTheMiddleOfAStep) {
  Job job(2, 2);
  job.comm.timeout = 0.5;
  auto statuses = run(job, [](Communicator &world, Session &session) {
    Status status = world.barrier({"test"});
    // Rank 1 of its group on either axis: rank 0 of none.
    fakeNcclSet(FakeNcclSlowMilliseconds, 1, 1'000'000);
    return status.ok() ? stepOnce(session) : status;
  });
  expectFailed(statuses, {" ended the job: it waited 0."});
  EXPECT_EQ(fakeNcclAborted(), 8);
}

// The deadline is one exchange's, not the step's.
TEST_F(DeviceMeshTest, ManyLateExchangesAreNoStall) {
  Job job(2, 1);
  job.comm.timeout = 1.2;
  auto start = std::chrono::steady_clock::now();
  expectOk(job, [&](int, Session &session) {
    fakeNcclSet(FakeNcclSlowMilliseconds, 1, 800);
    Status status = stepOnce(session);
    EXPECT_TRUE(status.ok()) << status.message();
  });
  EXPECT_GT(secondsSince(start), 2.3);
}

TEST_F(DeviceMeshTest, F086_ALostRankEndsTheStepsOfAll) {
  auto statuses = run({2, 2}, [](Communicator &world, Session &session) {
    Status status = stepOnce(session);
    if (status.ok())
      status = world.barrier({"test"});
    if (world.rank() == 3)
      return Status::error(StatusCode::IoError, "the disk has gone");
    return status.ok() ? stepOnce(session) : status;
  });
  expectFailed(statuses, {"the disk has gone"});
  for (int rank : {0, 1, 2})
    expectHolds(statuses[size_t(rank)].message(), "rank 3 ended the job");
}

// What fails on the device of one rank ends the exchanges of the others.
TEST_F(DeviceMeshTest, F109_AFailedDeviceEndsTheStepsOfAll) {
  for (std::string function :
       {"cuEventQuery", "cuStreamQuery", "cuEventRecord", "cuMemcpy2DAsync_v2",
        "cuMemcpyDtoHAsync_v2", "cuStreamWaitEvent"}) {
    SCOPED_TRACE(function);
    use(4);
    fakeNcclReset();
    // Only exchanges along ep go on beside the step.
    Job job = function == "cuStreamWaitEvent" ? Job(1, 2) : Job(2, 1);
    auto statuses = run(job, [&](Communicator &world, Session &session) {
      Status status = world.barrier({"test"});
      if (world.rank() == 0)
        stub::fail(function, 1, CUDA_ERROR_LAUNCH_FAILED);
      if (status.ok())
        status = world.barrier({"test"});
      return status.ok() ? stepOnce(session) : status;
    });
    expectFailed(statuses, {function + " failed on cuda:",
                            "CUDA_ERROR_LAUNCH_FAILED (719)"});
  }
}
