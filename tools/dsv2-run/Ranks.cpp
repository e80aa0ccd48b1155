//===- Ranks.cpp - a program on several ranks -----------------------------===//
//
// Part of dsv2, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "Ranks.h"
#include "ToolSupport.h"

#include "dsv2rt/Threads.h"
#include "dsv2rt/comm/Launch.h"

#include <CLI/CLI.hpp>

#include <algorithm>
#include <cstdlib>
#include <map>
#include <new>
#include <vector>

using namespace dsv2rt;

static const CollectiveSite agreementSite = {"program.agreement", -1};
static const CollectiveSite failureSite = {"program.failure", -1};
static const CollectiveSite broadcastSite = {"program.broadcast", -1};
static const CollectiveSite sumSite = {"program.sum", -1};
static const CollectiveSite placeSite = {"program.place", -1};

void dsv2rt::declareRankFlags(CLI::App &app, RankFlags &flags) {
  app.add_option("--ranks", flags.count,
                 "Ranks to run on, processes of this host unless mpirun has "
                 "started this one (default: as many as the artifact was "
                 "compiled for)")
      ->check(CLI::Range(int64_t(1), int64_t(1) << 16));
  app.add_option("--comm-timeout", flags.timeout,
                 "Seconds after which a rank that the others wait for, and "
                 "that shows no progress, counts as lost")
      ->capture_default_str()
      ->check(CLI::Range(0.001, 1e6));
  app.add_flag(
      "--comm-check", flags.check,
      "Compare what ranks are about to exchange before every exchange, "
      "and name both sites where they differ; between processes of one "
      "host, which always do, it changes nothing but what NCCL carries");
  static const std::map<std::string, DeviceComm> ways = {
      {"auto", DeviceComm::Auto},
      {"host", DeviceComm::Host},
      {"nccl", DeviceComm::Nccl}};
  app.add_option_function<std::string>(
         "--device-comm",
         [&flags](const std::string &way) { flags.deviceComm = ways.at(way); },
         "What carries the exchanges of ranks on GPUs: nccl, between the "
         "memories of the GPUs; host, by way of the hosts' memory; auto, nccl "
         "where every rank has it and a GPU of its own")
      ->default_str("auto")
      ->check(CLI::IsMember({"auto", "host", "nccl"}));
  app.add_option("--nccl-library", flags.ncclLibrary,
                 "The library of NCCL, 2.18 or later (default: libnccl.so.2, "
                 "or DSV2_NCCL_LIBRARY)");
}

int Team::fail(const char *tool, const Status &status) {
  if (!group)
    return reportFailure(tool, status);
  group->abort(status);
  return exitCodeOf(status);
}

Status Team::agree(const Status &own) {
  if (!group)
    return own;
  char failed = !own.ok();
  std::vector<char> all(size());
  Status status = group->allGather(&failed, 1, all.data(), agreementSite);
  if (!status.ok())
    return status;
  auto first = std::find(all.begin(), all.end(), 1);
  if (first == all.end())
    return Status();
  if (first - all.begin() == rank())
    group->abort(own);
  // Its reason is the one that counts, and not who comes first.
  status = group->barrier(failureSite);
  return own.ok() ? status : own;
}

Status Team::broadcast(std::string &text) {
  if (!group)
    return Status();
  int64_t bytes = int64_t(text.size());
  std::vector<int64_t> all(size());
  Status status = group->allGather(&bytes, 8, all.data(), broadcastSite);
  if (!status.ok())
    return status;
  std::fill(all.begin() + 1, all.end(), 0);
  std::string received;
  try {
    received.resize(size_t(all[0]));
  } catch (const std::bad_alloc &) {
    status = Status::error(StatusCode::OutOfMemory,
                           "no memory for an input of " +
                               std::to_string(all[0]) + " bytes");
    group->abort(status);
    return status;
  }
  status = group->allGatherV(text.data(), all.data(), received.data(),
                             broadcastSite);
  text = std::move(received);
  return status;
}

Expected<int64_t> Team::sum(int64_t value) {
  if (!group)
    return value;
  std::vector<int64_t> all(size());
  Status status = group->allGather(&value, 8, all.data(), sumSite);
  if (!status.ok())
    return status;
  int64_t total = 0;
  for (int64_t one : all)
    total += one;
  return total;
}

Expected<Team::Neighbours> Team::neighbours() {
  if (!group)
    return Neighbours();
  // Processes of one host that have the same affinity mask share it.
  uint64_t own[2] = {hostNumber(), processorNumber()};
  std::vector<uint64_t> all(2 * size());
  Status status = group->allGather(own, sizeof(own), all.data(), placeSite);
  if (!status.ok())
    return status;
  Neighbours found{0, 0};
  for (int r = 0; r < size(); ++r)
    if (all[2 * r] == own[0] && all[2 * r + 1] == own[1]) {
      ++found.count;
      found.before += r < rank();
    }
  return found;
}

int dsv2rt::defaultThreadsOf(const Team::Neighbours &neighbours) {
  const char *wanted = std::getenv("OMP_NUM_THREADS");
  int threads = defaultThreadCount();
  return wanted && *wanted ? threads : std::max(threads / neighbours.count, 1);
}

int dsv2rt::runOnTeam(const char *tool, const RankFlags &flags,
                      const Artifact &artifact,
                      const std::function<int(Team &)> &body) {
  const Manifest &manifest = artifact.manifest();
  int64_t ranks = manifest.mesh.size();
  if (flags.count && flags.count != ranks)
    return reportFailure(
        tool,
        Status::error(StatusCode::InvalidArgument,
                      "--ranks: artifact '" + artifact.path() +
                          "' was compiled for " + manifest.mesh.ranksText() +
                          ", found " + std::to_string(flags.count)));
  if (ranks == 1 && findOuterLauncher().ranks <= 1) {
    Team alone;
    return body(alone);
  }
  CommOptions options;
  options.timeout = flags.timeout;
  options.checkOrder = flags.check;
  return runOnRanks(tool, int(ranks), options, [&](Communicator &world) {
    Team team(world);
    int code = body(team);
    // A process that was forked ends without destructors.
    releaseThreads();
    return code;
  });
}
