//===- ToolSupport.cpp - what the runtime's programs share ----------------===//
//
// Part of dsv2, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "ToolSupport.h"

#include "CLI/CLI.hpp"

#include "dsv2rt/Checkpoint.h"
#include "dsv2rt/Threads.h"

#include <csignal>
#include <cstdio>

#include <unistd.h>

using namespace dsv2rt;

void dsv2rt::printError(const char *tool, const std::string &message) {
  std::fprintf(stderr, "%s: error: %s\n", tool, message.c_str());
}

void dsv2rt::printNote(const char *tool, const std::string &message) {
  std::fprintf(stderr, "%s: %s\n", tool, message.c_str());
}

int dsv2rt::exitCodeOf(const Status &status) {
  return status.code() == StatusCode::InvalidArgument ||
                 status.code() == StatusCode::ContextLengthExceeded
             ? ExitUsage
             : ExitFailure;
}

int dsv2rt::reportFailure(const char *tool, const Status &status) {
  printError(tool, status.message());
  return exitCodeOf(status);
}

static std::atomic<bool> interrupted{false};

const std::atomic<bool> &dsv2rt::handleInterrupts() {
  struct sigaction action = {};
  action.sa_handler = [](int) { interrupted = true; };
  action.sa_flags = SA_RESETHAND;
  for (int signal : {SIGINT, SIGTERM, SIGHUP})
    sigaction(signal, &action, nullptr);
  // A reader that went away shows as a failed write.
  std::signal(SIGPIPE, SIG_IGN);
  return interrupted;
}

void dsv2rt::declareModelFlags(CLI::App &app, ModelFlags &flags, bool builtIn) {
  if (!builtIn)
    app.add_option("artifact", flags.artifact,
                   "Compiled model, made by dsv2-compile")
        ->required();
  app.add_option("--weights", flags.weights,
                 "Checkpoint folder, or random:SEED")
      ->required();
  app.add_option("--cpu-variant", flags.cpuVariant,
                 "Run the code for this processor, of those that the artifact "
                 "holds (default: the best that this one can run)");
  app.add_option("--packed", flags.packed,
                 "Where the packed weights are kept: FILE, or 'memory' for "
                 "nowhere");
  app.add_option("--device", flags.device,
                 "Where to compute: cpu, cuda, cuda:N or emulator (default: "
                 "what the artifact was compiled for); for cuda, rank R takes "
                 "device R modulo how many there are");
  app.add_flag("--no-graphs", flags.noGraphs,
               "On a device: launch the kernels of every step one by one");
  app.add_flag("--host-sampling", flags.hostSampling,
               "On a device: choose tokens on the host, step by step");
}

void dsv2rt::declarePinFlag(CLI::App &app, ModelFlags &flags) {
  app.add_flag("--pin", flags.pin,
               "Keep every thread on a processor of its own, one of each core "
               "first");
}

void dsv2rt::warnOfOversubscription(const char *tool, int threads) {
  int limit = availableProcessors().limit();
  if (threads > limit)
    printNote(tool, "warning: " + std::to_string(threads) +
                        " threads take turns on the " + std::to_string(limit) +
                        " processors that this process may use");
}

Expected<std::shared_ptr<const Artifact>>
dsv2rt::loadArtifact(const ModelFlags &flags) {
  return flags.artifact.empty()
             ? Artifact::fromProcess(flags.cpuVariant)
             : Artifact::load(flags.artifact, flags.cpuVariant);
}

Expected<std::shared_ptr<Device>> dsv2rt::openDevice(const ModelFlags &flags,
                                                     const Artifact &artifact,
                                                     int rank) {
  return openDeviceFor(artifact, flags.device, rank);
}

void dsv2rt::noteDeviceTroubles(const char *tool, const Device *device) {
  if (!device)
    return;
  if (!device->refusedImages().empty())
    printNote(tool, "warning: " + device->refusedImages());
  if (!device->releaseFailure().ok())
    printNote(tool, "warning: " + device->releaseFailure().message());
}

void dsv2rt::noteDeviceComm(const char *tool, const Team &team,
                            const Session &session, const Device *device) {
  // The emulator's ranks have no other way.
  if (!team.isFirst() || !device || device->info().emulated ||
      session.whyNotNccl().empty())
    return;
  printNote(tool,
            "note: the ranks exchange by way of the host's memory, not by "
            "NCCL; " +
                session.whyNotNccl());
}

ProgressLine::ProgressLine(const char *what)
    : what(what), visible(isatty(STDERR_FILENO)),
      last(std::chrono::steady_clock::now()) {}

ProgressLine::~ProgressLine() {
  if (shown)
    std::fprintf(stderr, "\n");
}

void ProgressLine::update(int64_t done, int64_t total) {
  auto now = std::chrono::steady_clock::now();
  if (!visible || (done < total && now - last < std::chrono::milliseconds(200)))
    return;
  last = now;
  shown = true;
  std::fprintf(stderr, "\r%s: %3d%% of %.2f GiB", what,
               int(double(done) / double(total) * 100),
               double(total) / (1 << 30));
}

Expected<std::shared_ptr<const PackedWeights>>
dsv2rt::loadWeights(const char *tool, const ModelFlags &flags,
                    const std::shared_ptr<const Artifact> &artifact, Team &team,
                    const std::string &suffix) {
  Expected<std::unique_ptr<WeightSource>> source =
      openWeightSource(flags.weights, flags.threads);
  if (!source.ok())
    return source.status();
  PackOptions options;
  options.rank = team.rank();
  options.threads = flags.threads;
  options.cancel = &handleInterrupts();
  options.inMemory = flags.packed == "memory";
  if (!options.inMemory && !flags.packed.empty())
    options.path = flags.packed + suffix;
  ProgressLine progress("preparing weights");
  options.progress = [&](int64_t done, int64_t total) {
    if (team.isFirst())
      progress.update(done, total);
  };
  options.alive = [&] { team.alive(); };
  auto packed = PackedWeights::open(artifact, *source.value(), options);
  if (packed.ok() && team.isFirst())
    for (const std::string &note : source.value()->notes())
      printNote(tool, "note: " + note);
  return packed;
}
