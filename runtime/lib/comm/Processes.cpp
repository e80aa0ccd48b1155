//===- Processes.cpp - ranks as processes of one host ---------------------===//
//
// Part of dsv2, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "dsv2rt/comm/Processes.h"

#include "Launcher.h"
#include "RankBody.h"
#include "RankOutput.h"
#include "SharedCommunicator.h"
#include "Support.h"

#include <cerrno>
#include <chrono>
#include <csignal>
#include <cstdio>
#include <cstring>
#include <filesystem>

#include <fcntl.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

using namespace dsv2rt;
using namespace dsv2rt::comm;

using Clock = std::chrono::steady_clock;

/// How long the ranks of an ended job have to end by themselves.
static constexpr std::chrono::seconds grace(3);

namespace {

/// Blocks the signals that the launcher waits for; those that the program
/// ignores stay ignored. Destruction brings back what was before.
class SignalGuard {
public:
  SignalGuard() {
    // Where it is ignored the system forgets how children ended.
    struct sigaction normal = {};
    normal.sa_handler = SIG_DFL;
    sigaction(SIGCHLD, &normal, &childAction);
    sigemptyset(&signals);
    sigaddset(&signals, SIGCHLD);
    for (int signal : {SIGINT, SIGTERM, SIGHUP}) {
      struct sigaction action = {};
      sigaction(signal, nullptr, &action);
      if (action.sa_handler != SIG_IGN)
        sigaddset(&signals, signal);
    }
    pthread_sigmask(SIG_BLOCK, &signals, &before);
  }
  ~SignalGuard() { restore(); }
  SignalGuard(const SignalGuard &) = delete;
  SignalGuard &operator=(const SignalGuard &) = delete;

  void restore() const {
    sigaction(SIGCHLD, &childAction, nullptr);
    pthread_sigmask(SIG_SETMASK, &before, nullptr);
  }

  /// The next of the signals, 0 if there is none for some milliseconds.
  /// `fromTerminal`: it went to the whole process group.
  int next(bool &fromTerminal) const {
    timespec limit = {0, 20'000'000};
    siginfo_t info = {};
    int signal = sigtimedwait(&signals, &info, &limit);
    fromTerminal = info.si_code == SI_KERNEL;
    return signal > 0 ? signal : 0;
  }

private:
  sigset_t signals, before;
  struct sigaction childAction = {};
};

/// The processes of one job, from the launcher's point of view.
class Launcher {
public:
  /// `output` is null when ranks keep the standard streams.
  Launcher(std::vector<std::unique_ptr<Communicator>> group, RankOutput *output)
      : group(std::move(group)), region(regionOf(*this->group.front())),
        output(output), pids(this->group.size(), -1),
        exitCodes(this->group.size(), 0) {}

  JobResult run(const std::function<int(Communicator &)> &body);

private:
  [[noreturn]] void runRank(int rank, pid_t launcher,
                            const SignalGuard &signals,
                            const std::function<int(Communicator &)> &body);
  bool start(const SignalGuard &signals,
             const std::function<int(Communicator &)> &body);
  void supervise(const SignalGuard &signals);
  void stop(int signal, bool fromTerminal);
  void reap();
  void ended(int rank, int waitStatus);
  void killAll(int signal) const;

  std::vector<std::unique_ptr<Communicator>> group;
  std::shared_ptr<Region> region;
  RankOutput *output;
  /// -1: not started, or ended.
  std::vector<pid_t> pids;
  /// Of the ranks that have ended.
  std::vector<int> exitCodes;
  int running = 0;
  /// The signal by which the launcher was told to stop.
  int stopSignal = 0;
  int exitCode() const;
};

} // namespace

void Launcher::runRank(int rank, pid_t launcher, const SignalGuard &signals,
                       const std::function<int(Communicator &)> &body) {
  prctl(PR_SET_PDEATHSIG, SIGKILL);
  // It may have died before that.
  if (getppid() != launcher)
    _exit(1);
  signals.restore();
  if (output)
    output->becomeRank(rank);
  Communicator &communicator = *group[rank];
  int code = 1;
  Status status = runGuarded([&] {
    code = body(communicator);
    return Status();
  });
  if (!status.ok())
    communicator.abort(status);
  else if (code != 0)
    region->end(rank, strCat("rank ", rank, " failed with exit code ", code));
  std::fflush(nullptr);
  group[rank].reset();
  // The program's exit handlers are the launcher's.
  _exit(code);
}

bool Launcher::start(const SignalGuard &signals,
                     const std::function<int(Communicator &)> &body) {
  // What stands in buffers would be written by every rank.
  std::fflush(nullptr);
  const pid_t launcher = getpid();
  for (size_t r = 0; r < pids.size(); ++r) {
    const char *what = "pipe";
    pid_t pid = -1;
    if (!output || output->prepare(int(r))) {
      what = "fork";
      pid = fork();
    }
    if (pid == 0)
      runRank(int(r), launcher, signals, body);
    if (pid < 0) {
      region->end(/*rank=*/-1, strCat("cannot start rank ", r, ": ", what, ": ",
                                      std::strerror(errno)));
      return false;
    }
    pids[r] = pid;
    ++running;
    if (output)
      output->started(int(r));
  }
  return true;
}

void Launcher::killAll(int signal) const {
  for (pid_t pid : pids)
    if (pid > 0)
      kill(pid, signal);
}

void Launcher::ended(int rank, int waitStatus) {
  pids[rank] = -1;
  --running;
  if (output)
    output->finish(rank);
  int code = WIFEXITED(waitStatus) ? WEXITSTATUS(waitStatus) : 1;
  if (WIFSIGNALED(waitStatus)) {
    int signal = WTERMSIG(waitStatus);
    const char *name = sigabbrev_np(signal);
    region->end(rank, strCat("rank ", rank, " was killed by signal ", signal,
                             " (", name ? "SIG" : "unknown", name ? name : "",
                             "); ", region->lastSeen(rank)));
  } else if (!region->seat(rank, /*group=*/0).left.load()) {
    // It did not come back from the body.
    region->end(rank,
                strCat("rank ", rank, " ended with exit code ", code,
                       " before the job was over; ", region->lastSeen(rank)));
    code = code ? code : 1;
  }
  exitCodes[rank] = code;
}

void Launcher::reap() {
  for (size_t r = 0; r < pids.size(); ++r) {
    int status = 0;
    if (pids[r] <= 0)
      continue;
    pid_t pid = waitpid(pids[r], &status, WNOHANG);
    // Another part of the program may have waited for all its children.
    if (pid < 0 && errno == ECHILD)
      status = W_EXITCODE(1, 0);
    if (pid != 0)
      ended(int(r), status);
  }
}

void Launcher::stop(int signal, bool fromTerminal) {
  const char *name = sigabbrev_np(signal);
  region->end(/*rank=*/-1, strCat("the job was told to stop by signal ", signal,
                                  " (SIG", name ? name : "?", ")"));
  stopSignal = stopSignal ? stopSignal : signal;
  // A second one would end programs that take their time after the first.
  if (!fromTerminal)
    killAll(signal);
}

void Launcher::supervise(const SignalGuard &signals) {
  Clock::time_point killTime = Clock::time_point::max();
  while (running) {
    bool fromTerminal = false;
    int signal = signals.next(fromTerminal);
    if (signal && signal != SIGCHLD)
      stop(signal, fromTerminal);
    reap();
    if (output)
      output->forward();
    if (!region->ended())
      continue;
    if (killTime == Clock::time_point::max())
      killTime = Clock::now() + grace;
    if (Clock::now() >= killTime)
      killAll(SIGKILL);
  }
}

int Launcher::exitCode() const {
  if (!region->ended())
    return 0;
  // The others may have failed sooner than the one because of which they did.
  if (int rank = region->endedBy(); rank >= 0 && exitCodes[rank])
    return exitCodes[rank];
  if (stopSignal)
    return 128 + stopSignal;
  for (int code : exitCodes)
    if (code)
      return code;
  // They have ignored that the job was ended.
  return 1;
}

JobResult Launcher::run(const std::function<int(Communicator &)> &body) {
  SignalGuard signals;
  start(signals, body);
  supervise(signals);
  return {exitCode(), region->reason().message()};
}

/// How many threads this process has; 0 if the system does not say.
static int threadCount() {
  std::error_code code;
  std::filesystem::directory_iterator tasks("/proc/self/task", code), end;
  int count = 0;
  for (; !code && tasks != end; tasks.increment(code))
    ++count;
  return count;
}

static JobResult launch(int ranks, const CommOptions &options,
                        RankOutput *output,
                        const std::function<int(Communicator &)> &body) {
  if (int threads = threadCount(); threads > 1)
    return {1, strCat("cannot start ranks as processes: this process has ",
                      threads, " threads already, which a fork leaves behind")};
  auto group = makeSharedGroup(ranks, options);
  if (!group.ok())
    return {1, group.status().message()};
  return Launcher(std::move(group.value()), output).run(body);
}

JobResult
dsv2rt::launchProcesses(int ranks, const CommOptions &options,
                        const std::function<int(Communicator &)> &body) {
  return launch(ranks, options, /*output=*/nullptr, body);
}

JobResult comm::launchQuietly(int ranks, const CommOptions &options,
                              const std::function<int(Communicator &)> &body) {
  RankOutput output(std::max(ranks, 0));
  return launch(ranks, options, &output, body);
}
