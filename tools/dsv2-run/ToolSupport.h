//===- ToolSupport.h - what the runtime's programs share --------*- C++ -*-===//
//
// Part of dsv2, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef DSV2_TOOLS_DSV2_RUN_TOOLSUPPORT_H
#define DSV2_TOOLS_DSV2_RUN_TOOLSUPPORT_H

#include "Ranks.h"

#include "dsv2rt/Artifact.h"
#include "dsv2rt/Device.h"
#include "dsv2rt/PackedWeights.h"
#include "dsv2rt/Session.h"
#include "dsv2rt/Status.h"

#include <atomic>
#include <chrono>
#include <cstdint>
#include <memory>
#include <string>

namespace CLI {
class App;
} // namespace CLI

namespace dsv2rt {

/// Exit codes of the programs.
enum ExitCode {
  ExitSuccess = 0,
  /// Something failed while running: a file, memory, the computation.
  ExitFailure = 1,
  /// The command line or an input text is wrong; nothing was computed.
  ExitUsage = 2,
};

/// Writes "TOOL: error: MESSAGE" to standard error.
void printError(const char *tool, const std::string &message);

/// Writes "TOOL: MESSAGE" to standard error.
void printNote(const char *tool, const std::string &message);

/// The exit code that fits an error: ExitUsage for InvalidArgument and
/// ContextLengthExceeded, ExitFailure for the rest.
int exitCodeOf(const Status &status);

/// Writes the error and returns its exit code.
int reportFailure(const char *tool, const Status &status);

/// Makes the first SIGINT, SIGTERM or SIGHUP set the returned flag, so that
/// work stops without leaving half of a file; a second one ends the process.
const std::atomic<bool> &handleInterrupts();

/// The flags by which every program names what to run.
struct ModelFlags {
  std::string artifact;
  std::string weights;
  /// A file, "memory", or empty.
  std::string packed;
  /// The CPU variant to run; empty: the best that the host can run.
  std::string cpuVariant;
  /// Where to compute; empty: what the artifact was compiled for.
  std::string device;
  /// Whether a device launches every kernel by itself.
  bool noGraphs = false;
  bool hostSampling = false;
  int threads = 0;
  /// Whether every thread stays on a processor of its own.
  bool pin = false;
};

/// Declares the flags for the artifact, its variant, its weights, the packed
/// file and the device. With `builtIn` the program holds its artifact and the
/// command line names none.
void declareModelFlags(CLI::App &app, ModelFlags &flags, bool builtIn);

/// Declares the flag that pins threads.
void declarePinFlag(CLI::App &app, ModelFlags &flags);

/// Says on standard error when `threads` are more than the processors that
/// this process may use.
void warnOfOversubscription(const char *tool, int threads);

/// Loads the artifact: the file, or the one linked into the program when no
/// file is named.
Expected<std::shared_ptr<const Artifact>> loadArtifact(const ModelFlags &flags);

/// Opens what this rank of the artifact is to run on; null: the CPU.
Expected<std::shared_ptr<Device>>
openDevice(const ModelFlags &flags, const Artifact &artifact, int rank);

/// Says on standard error which images the device's driver refused, and when it
/// did not take something back.
void noteDeviceTroubles(const char *tool, const Device *device);

/// Says on standard error, once for all ranks of `team`, why their devices
/// exchange by way of the host's memory where NCCL was not ruled out.
void noteDeviceComm(const char *tool, const Team &team, const Session &session,
                    const Device *device);

/// A line on standard error, if that is a terminal, that is written over with
/// every percent.
class ProgressLine {
public:
  /// `what` is written before the share and the total.
  explicit ProgressLine(const char *what);
  ~ProgressLine();
  ProgressLine(const ProgressLine &) = delete;
  ProgressLine &operator=(const ProgressLine &) = delete;

  /// `done` of `total` bytes are through.
  void update(int64_t done, int64_t total);

private:
  const char *what;
  bool visible, shown = false;
  std::chrono::steady_clock::time_point last;
};

/// Prints what the artifact holds and which of its CPU variants runs here, as
/// text or as JSON, on standard output. The host need not be able to run it.
Status printInfo(const ModelFlags &flags, bool asJson);

/// Opens and packs the weights, with progress on standard error if that is a
/// terminal. `suffix` is added to the name of the packed file, if one is named.
/// They are those of this rank of `team`.
Expected<std::shared_ptr<const PackedWeights>>
loadWeights(const char *tool, const ModelFlags &flags,
            const std::shared_ptr<const Artifact> &artifact, Team &team,
            const std::string &suffix = "");

} // namespace dsv2rt

#endif // DSV2_TOOLS_DSV2_RUN_TOOLSUPPORT_H
