//===- Device.h - state behind the driver's interface -----------*- C++ -*-===//
//
// Part of dsv2, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef DSV2_LIB_EMULATOR_DEVICE_H
#define DSV2_LIB_EMULATOR_DEVICE_H

#include "Module.h"
#include "Scheduler.h"
#include "dsv2rt/cuda/DriverApi.h"

#include <chrono>
#include <functional>
#include <memory>
#include <mutex>
#include <set>
#include <string>
#include <vector>

namespace dsv2::emulator {

/// Work that a stream was given: runs it.
using Work = std::function<CUresult()>;

/// Handles of the driver's interface. A stream works eagerly unless it
/// captures; an event notes the time of its record.
struct Graph {
  std::vector<Work> nodes;
};
struct Stream {
  /// Not null while capturing.
  std::unique_ptr<Graph> capture;
  bool captureBroken = false;
};
struct Event {
  bool timing = true, recorded = false;
  std::chrono::steady_clock::time_point time;
};

/// The one device.
class Device {
public:
  /// The device, after the environment has been read. All calls of the driver's
  /// interface hold `lock`.
  static Device &get();

  std::recursive_mutex lock;
  Options options;
  /// What is wrong with DSV2_EMULATOR; makes cuInit fail.
  std::string environmentError;
  bool initialised = false;
  unsigned contextUses = 0;
  /// The error that a failed launch leaves behind.
  CUresult sticky = CUDA_SUCCESS;
  std::string report;

  std::set<Stream *> streams;
  std::set<Event *> events;
  std::set<Graph *> graphs;
  std::set<Graph *> executables;
  std::map<dsv2::emulator::Module *, std::unique_ptr<dsv2::emulator::Module>>
      modules;

  Memory &memory() { return machine().memory; }

  /// The default stream for null.
  Stream *find(CUstream stream);

  /// Does `work` now, or puts it into the graph that `stream` captures.
  CUresult submit(CUstream stream, Work work);

  /// Something that may not happen while a stream captures: breaks captures and
  /// returns true if one was on.
  bool breakCaptures();

  /// Checks a launch and runs or captures it.
  CUresult launch(const CUlaunchConfig &config, Kernel &kernel,
                  void **parameters);

  /// Gives back everything, as the end of the context does.
  void reset();

private:
  Device();
  CUresult runLaunch(const Launch &launch);

  Stream defaultStream;
};

} // namespace dsv2::emulator

#endif // DSV2_LIB_EMULATOR_DEVICE_H
