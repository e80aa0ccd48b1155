//===- ToolSupport.h - what the runtime's programs share --------*- C++ -*-===//
//
// Part of dsv2, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef DSV2_TOOLS_DSV2_RUN_TOOLSUPPORT_H
#define DSV2_TOOLS_DSV2_RUN_TOOLSUPPORT_H

#include "dsv2rt/Artifact.h"
#include "dsv2rt/PackedWeights.h"
#include "dsv2rt/Status.h"

#include <atomic>
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

/// Writes the error and returns the exit code that fits it: ExitUsage for
/// InvalidArgument and ContextLengthExceeded, ExitFailure for the rest.
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
  int threads = 0;
  /// Whether every thread stays on a processor of its own.
  bool pin = false;
};

/// Declares the flags for the artifact, its variant, its weights and the packed
/// file. With `builtIn` the program holds its artifact and the command line
/// names none.
void declareModelFlags(CLI::App &app, ModelFlags &flags, bool builtIn);

/// Declares the flag that pins threads.
void declarePinFlag(CLI::App &app, ModelFlags &flags);

/// Says on standard error when `threads` are more than the processors that
/// this process may use.
void warnOfOversubscription(const char *tool, int threads);

/// Loads the artifact: the file, or the one linked into the program when no
/// file is named.
Expected<std::shared_ptr<const Artifact>> loadArtifact(const ModelFlags &flags);

/// Prints what the artifact holds and which of its CPU variants runs here, as
/// text or as JSON, on standard output. The host need not be able to run it.
Status printInfo(const ModelFlags &flags, bool asJson);

/// Opens and packs the weights, with progress on standard error if that is a
/// terminal. `suffix` is added to the name of the packed file, if one is named.
Expected<std::shared_ptr<const PackedWeights>>
loadWeights(const char *tool, const ModelFlags &flags,
            const std::shared_ptr<const Artifact> &artifact,
            const std::string &suffix = "");

} // namespace dsv2rt

#endif // DSV2_TOOLS_DSV2_RUN_TOOLSUPPORT_H
