//===- RankProgram.cpp - a program for ranks that goes wrong at will ------===//
//
// Part of dsv2, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// RankProgram RANKS MODE: what LaunchTest and MpiTest start, alone and by
// mpirun. Rank 1 is the one that goes wrong.
//
//===----------------------------------------------------------------------===//

#include "CollectiveSuite.h"

#include "dsv2rt/comm/Launch.h"

#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <stdexcept>
#include <thread>

#include <unistd.h>

using namespace dsv2rt;
using namespace dsv2test;

/// 0, or 1 with the job ended.
static int result(Communicator &communicator, const Status &status) {
  if (status.ok())
    return 0;
  communicator.abort(status);
  return 1;
}

static int reduce(Communicator &communicator, const char *name) {
  float value = 1;
  return result(communicator, communicator.allReduce(&value, 1, {name, 4}));
}

static int runSuites(Communicator &communicator) {
  SuiteOptions options;
  // Both ways of adding up, and messages of every kind.
  options.sizes = {0, 1, 1000, 30'001, 200'003};
  Status status = runCollectiveSuite(communicator, options);
  options.sizes = {0, 3, 1000};
  if (status.ok())
    status = runSplitSuite(communicator, options);
  std::printf("rank %d of %d is content\n", communicator.rank(),
              communicator.size());
  return result(communicator, status);
}

static int unevenExchange(Communicator &communicator) {
  std::vector<int64_t> sends(communicator.size(), 16), receives = sends;
  if (communicator.rank() == 1)
    sends[0] = 12;
  std::vector<uint8_t> send(4096), receive(4096);
  Status status =
      communicator.allToAllV(send.data(), sends.data(), receive.data(),
                             receives.data(), {"mlp.dispatch", 4});
  return result(communicator, status) || reduce(communicator, "after");
}

static int run(Communicator &communicator, const std::string &mode) {
  const bool wrong = communicator.rank() == 1;
  if (mode == "suite")
    return runSuites(communicator);
  if (mode == "sizes")
    return unevenExchange(communicator);
  if (mode == "words") {
    if (wrong)
      std::fprintf(stderr, "two\nlines");
    int character = std::getchar();
    std::printf("rank %d reads %d\n", communicator.rank(), character);
    return 0;
  }
  if (mode == "alive" && wrong)
    for (int i = 0; i < 40; ++i) {
      std::this_thread::sleep_for(std::chrono::milliseconds(50));
      communicator.alive();
    }
  int code = reduce(communicator, "before");
  if (code || !wrong)
    return code ? code : reduce(communicator, "here");
  if (mode == "abort")
    return result(communicator,
                  Status::error(StatusCode::NotFound, "there is no file 'x'"));
  if (mode == "code")
    return 7;
  if (mode == "throw")
    throw std::runtime_error("out of luck");
  if (mode == "kill")
    kill(getpid(), SIGKILL);
  if (mode == "stop")
    kill(getpid(), SIGSTOP);
  if (mode == "late")
    std::this_thread::sleep_for(std::chrono::seconds(60));
  if (mode == "leave")
    return 0;
  return reduce(communicator, mode == "order" ? "there" : "here");
}

int main(int argc, char **argv) {
  if (argc != 3)
    return 2;
  CommOptions options;
  options.timeout = 1;
  options.startTimeout = 10;
  options.checkOrder = true;
  const std::string mode = argv[2];
  return runOnRanks("rank-program", std::atoi(argv[1]), options,
                    [&](Communicator &c) { return run(c, mode); });
}
