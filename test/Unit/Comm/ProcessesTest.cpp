//===- ProcessesTest.cpp - ranks as processes, and their ends -------------===//
//
// Part of dsv2, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// F086 with ranks as processes: however one ends, all end, soon, with a reason
// that names it, and nothing is left.
//
//===----------------------------------------------------------------------===//

#include "CollectiveSuite.h"
#include "CommTestUtils.h"

#include "dsv2rt/comm/Processes.h"

#include <atomic>
#include <cerrno>
#include <csignal>
#include <thread>

#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

using namespace dsv2rt;
using namespace dsv2test;

static void sleepFor(double seconds) {
  std::this_thread::sleep_for(std::chrono::duration<double>(seconds));
}

/// Runs a job; whatever became of it, no child may be left.
static JobResult launch(int ranks, const CommOptions &options,
                        const std::function<int(Communicator &)> &body) {
  JobResult result = launchProcesses(ranks, options, body);
  EXPECT_EQ(waitpid(-1, nullptr, WNOHANG), -1);
  EXPECT_EQ(errno, ECHILD);
  return result;
}

/// 0, or 1 after a failure.
static int code(const Status &status) { return status.ok() ? 0 : 1; }

static void expectMessage(const JobResult &result, int exitCode,
                          const std::string &text) {
  EXPECT_EQ(result.exitCode, exitCode) << result.message;
  EXPECT_NE(result.message.find(text), std::string::npos)
      << "expected '" << text << "' in '" << result.message << "'";
}

/// The numbers of all ranks' processes.
static std::vector<pid_t> pidsOf(Communicator &communicator) {
  pid_t mine = getpid();
  std::vector<pid_t> pids(communicator.size());
  if (!communicator.allGather(&mine, sizeof(mine), pids.data(), {"pids", -1})
           .ok())
    _exit(9);
  return pids;
}

TEST(Processes, GiveWhatPlainLoopsGive) {
  for (int ranks : {1, 2, 4}) {
    JobResult result = launch(ranks, {}, [](Communicator &communicator) {
      Status status = runCollectiveSuite(communicator, SuiteOptions());
      if (status.ok())
        status = runSplitSuite(communicator, SuiteOptions());
      if (!status.ok())
        communicator.abort(status);
      return code(status);
    });
    EXPECT_EQ(result.exitCode, 0);
    EXPECT_EQ(result.message, "");
  }
}

TEST(Processes, F086_AreEndedWhenOneIsKilledInAnyOperation) {
  for (Call call : allCalls)
    for (int victim = 0; victim < 3; ++victim) {
      Stopwatch watch;
      JobResult result = launch(3, {}, [&](Communicator &communicator) {
        std::vector<pid_t> pids = pidsOf(communicator);
        // The neighbour waits until the victim is in the operation.
        if (communicator.rank() == (victim + 1) % 3) {
          sleepFor(0.02);
          kill(pids[victim], SIGKILL);
        }
        return code(perform(communicator, call));
      });
      expectMessage(result, 1,
                    "rank " + std::to_string(victim) +
                        " was killed by signal 9 (SIGKILL); it was last seen "
                        "in " +
                        callName(call));
      // The others need no killing.
      EXPECT_LT(watch.seconds(), 2.5);
    }
}

TEST(Processes, F086_AreEndedWhenOneIsKilledOutsideOperations) {
  for (int victim = 0; victim < 3; ++victim) {
    JobResult result = launch(3, {}, [&](Communicator &communicator) {
      pidsOf(communicator);
      if (communicator.rank() == victim)
        kill(getpid(), SIGABRT);
      return code(perform(communicator, Call::AllReduce));
    });
    expectMessage(result, 1,
                  "rank " + std::to_string(victim) +
                      " was killed by signal 6 (SIGABRT); its last operation "
                      "was all_gather 'pids'");
  }
}

TEST(Processes, F086_AreEndedWhenOneIsStopped) {
  Stopwatch watch;
  JobResult result =
      launch(3, withTimeout(0.5), [&](Communicator &communicator) {
        if (communicator.rank() == 0)
          kill(getpid(), SIGSTOP);
        return code(perform(communicator, Call::AllReduce));
      });
  expectMessage(result, 1, "rank 0 showed no progress for 0.5 s");
  // The timeout, and three seconds until the stopped one is killed.
  EXPECT_LT(watch.seconds(), 6);
}

TEST(Processes, PassTheFirstExitCodeOn) {
  JobResult result = launch(3, {}, [](Communicator &communicator) {
    if (communicator.rank() == 1)
      return 7;
    sleepFor(perform(communicator, Call::Barrier).ok() ? 10 : 0.1);
    return 5;
  });
  expectMessage(result, 7, "rank 1 failed with exit code 7");
}

TEST(Processes, FailWhenOneEndsTooEarly) {
  JobResult result = launch(3, {}, [](Communicator &communicator) {
    if (communicator.rank() == 1)
      return 0;
    return code(perform(communicator, Call::Barrier));
  });
  expectMessage(result, 1, "rank 1 ended while rank ");
  result = launch(3, {}, [](Communicator &communicator) {
    if (communicator.rank() == 1)
      _exit(0);
    return code(perform(communicator, Call::Barrier));
  });
  expectMessage(result, 1,
                "rank 1 ended with exit code 0 before the job was over; it has "
                "called no operation yet");
}

TEST(Processes, FailByExceptionsAndByWords) {
  JobResult result = launch(2, {}, [](Communicator &communicator) {
    if (communicator.rank() == 1)
      throw std::runtime_error("out of luck");
    return code(perform(communicator, Call::Barrier));
  });
  expectMessage(result, 1,
                "rank 1 ended the job: unexpected exception: out of "
                "luck");
  // Though nobody minds.
  result = launch(2, {}, [](Communicator &communicator) {
    if (communicator.rank() == 1)
      communicator.abort(Status::error(StatusCode::NotFound, "no file 'x'"));
    return 0;
  });
  expectMessage(result, 1, "rank 1 ended the job: no file 'x'");
}

TEST(Processes, AreKilledWhenTheyDoNotEnd) {
  Stopwatch watch;
  JobResult result = launch(3, {}, [](Communicator &communicator) {
    if (communicator.rank() == 1)
      return 7;
    std::signal(SIGTERM, SIG_IGN);
    while (true)
      sleepFor(1);
  });
  expectMessage(result, 7, "rank 1 failed with exit code 7");
  EXPECT_GT(watch.seconds(), 2.5);
  EXPECT_LT(watch.seconds(), 6);
}

TEST(Processes, EndWithTheirLauncher) {
  // Orphans come to this process, so that it can see how they ended.
  ASSERT_EQ(prctl(PR_SET_CHILD_SUBREAPER, 1), 0);
  auto *pids = static_cast<std::atomic<pid_t> *>(
      mmap(nullptr, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS,
           -1, 0));
  ASSERT_NE(static_cast<void *>(pids), MAP_FAILED);
  pid_t launcher = fork();
  if (launcher == 0) {
    launchProcesses(3, {}, [&](Communicator &communicator) {
      pids[communicator.rank()] = getpid();
      while (true)
        sleepFor(1);
      return 0;
    });
    _exit(0);
  }
  Stopwatch watch;
  while ((!pids[0] || !pids[1] || !pids[2]) && watch.seconds() < 10)
    sleepFor(0.001);
  kill(launcher, SIGKILL);
  int status = 0;
  EXPECT_EQ(waitpid(launcher, &status, 0), launcher);
  for (int r = 0; r < 3; ++r) {
    EXPECT_EQ(waitpid(pids[r], &status, 0), pids[r]);
    EXPECT_TRUE(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL) << status;
  }
  EXPECT_LT(watch.seconds(), 10);
  prctl(PR_SET_CHILD_SUBREAPER, 0);
  munmap(static_cast<void *>(pids), 4096);
}

TEST(Processes, EndWhenTheLauncherIsToldTo) {
  for (int signal : {SIGINT, SIGTERM, SIGHUP}) {
    Stopwatch watch;
    JobResult result = launch(2, {}, [&](Communicator &communicator) {
      if (perform(communicator, Call::Barrier).ok() && communicator.rank() == 1)
        kill(getppid(), signal);
      while (true)
        sleepFor(1);
      return 0;
    });
    expectMessage(result, 128 + signal,
                  "the job was told to stop by signal " +
                      std::to_string(signal));
    EXPECT_LT(watch.seconds(), 2.5);
  }
}

TEST(Processes, HeedWhatTheProgramIgnores) {
  std::signal(SIGHUP, SIG_IGN);
  std::signal(SIGCHLD, SIG_IGN);
  JobResult result = launch(2, {}, [&](Communicator &communicator) {
    if (communicator.rank() == 1)
      kill(getppid(), SIGHUP);
    sleepFor(0.05);
    return communicator.rank() == 1 ? 4 : 0;
  });
  expectMessage(result, 4, "rank 1 failed with exit code 4");
  std::signal(SIGHUP, SIG_DFL);
  std::signal(SIGCHLD, SIG_DFL);
}

TEST(Processes, AreNotForkedFromAProgramWithThreads) {
  std::atomic<bool> over{false};
  std::thread other([&] {
    while (!over)
      sleepFor(0.001);
  });
  JobResult result = launchProcesses(2, {}, [](Communicator &) { return 0; });
  over = true;
  other.join();
  expectMessage(result, 1, "this process has 2 threads already");
}

TEST(Processes, NeedRanksAndATimeout) {
  auto nothing = [](Communicator &) { return 0; };
  expectMessage(launch(0, {}, nothing), 1, "expected 1 to 256 ranks, found 0");
  expectMessage(launch(2, withTimeout(-1), nothing), 1,
                "expected a positive number of seconds");
}
