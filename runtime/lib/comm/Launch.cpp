//===- Launch.cpp - what a program needs to run on ranks ------------------===//
//
// Part of dsv2, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "dsv2rt/comm/Launch.h"

#include "Launcher.h"
#include "MpiLoader.h"
#include "RankBody.h"
#include "RankOutput.h"
#include "SharedCommunicator.h"
#include "Support.h"

#include <condition_variable>
#include <cstdio>
#include <mutex>

#include <unistd.h>

using namespace dsv2rt;
using namespace dsv2rt::comm;

static void printReason(const char *tool, const std::string &message) {
  std::fflush(stdout);
  std::fprintf(stderr, "%s: error: %s\n", tool, message.c_str());
}

namespace {

/// Ends the process when something that cannot be interrupted takes too long.
class Deadline {
public:
  Deadline(const char *tool, double seconds, std::string message)
      : thread([=] {
          std::unique_lock<std::mutex> lock(mutex);
          if (condition.wait_for(lock, std::chrono::duration<double>(seconds),
                                 [&] { return over; }))
            return;
          printReason(tool, message);
          _exit(1);
        }) {}
  ~Deadline() {
    {
      std::lock_guard<std::mutex> lock(mutex);
      over = true;
    }
    condition.notify_all();
    thread.join();
  }
  Deadline(const Deadline &) = delete;
  Deadline &operator=(const Deadline &) = delete;

private:
  std::mutex mutex;
  std::condition_variable condition;
  bool over = false;
  std::thread thread;
};

} // namespace

/// Calls the body and tells the job what went wrong in it.
static int runBody(Communicator &communicator,
                   const std::function<int(Communicator &)> &body) {
  int code = 1;
  Status status = runGuarded([&] {
    code = body(communicator);
    return Status();
  });
  if (status.ok() && code != 0 && communicator.status().ok())
    status =
        makeError(StatusCode::RankFailed, "it failed with exit code ", code);
  if (!status.ok())
    communicator.abort(status);
  return code;
}

static int runUnderMpi(const char *tool, int ranks, const CommOptions &options,
                       const OuterLauncher &launcher,
                       const std::function<int(Communicator &)> &body) {
  if (launcher.ranks > 0 && launcher.ranks != ranks) {
    if (launcher.rank <= 0)
      printReason(tool,
                  strCat("expected ", ranks, " ranks, but the launcher of ",
                         launcher.name, " has started ", launcher.ranks));
    return 2;
  }
  Expected<std::unique_ptr<MpiWorld>> world = [&] {
    Deadline deadline(tool, options.startTimeout,
                      strCat("the ranks that ", launcher.name,
                             " has started did not come together within ",
                             options.startTimeout, " s; this one is rank ",
                             launcher.rank));
    return openMpi(launcher, options);
  }();
  if (!world.ok()) {
    // Each rank has found the same.
    if (launcher.rank <= 0)
      printReason(tool, world.status().message());
    return 1;
  }
  MpiWorld &communicator = *world.value();
  int code = 1;
  if (communicator.size() != ranks)
    communicator.abort(makeError(StatusCode::InvalidArgument, "expected ",
                                 ranks, " ranks, but ", launcher.name,
                                 " has started ", communicator.size()));
  else {
    if (communicator.rank() != 0)
      closeStandardStreams();
    code = runBody(communicator, body);
  }
  std::fflush(nullptr);
  Status ended = communicator.status();
  if (ended.ok()) {
    Deadline deadline(tool, options.timeout + 5,
                      strCat("rank ", launcher.rank, " could not leave MPI"));
    ended = communicator.leave();
  }
  if (ended.ok())
    return code;
  // The rank that has found the failure speaks and then ends all; the others do
  // if nothing happens.
  if (!communicator.endedHere())
    std::this_thread::sleep_for(std::chrono::seconds(3));
  printReason(tool, ended.message());
  // Launchers lose what they have not read when they end the processes.
  std::this_thread::sleep_for(std::chrono::milliseconds(300));
  communicator.abandon(code ? code : 1);
}

int dsv2rt::runOnRanks(const char *tool, int ranks, const CommOptions &options,
                       const std::function<int(Communicator &)> &body) {
  if (OuterLauncher launcher = findOuterLauncher(); !launcher.name.empty())
    return runUnderMpi(tool, ranks, options, launcher, body);
  JobResult result;
  if (ranks == 1) {
    auto group = makeSharedGroup(ranks, options);
    if (group.ok()) {
      Communicator &communicator = *group.value().front();
      result.exitCode = runBody(communicator, body);
      result.message = communicator.status().message();
      if (!result.message.empty() && result.exitCode == 0)
        result.exitCode = 1;
    } else {
      result = {1, group.status().message()};
    }
  } else {
    result = launchQuietly(ranks, options, body);
  }
  if (!result.message.empty())
    printReason(tool, result.message);
  return result.exitCode;
}
