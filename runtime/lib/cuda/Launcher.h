//===- Launcher.h - starts the kernels of a step ----------------*- C++ -*-===//
//
// Part of dsv2, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef DSV2RT_LIB_CUDA_LAUNCHER_H
#define DSV2RT_LIB_CUDA_LAUNCHER_H

#include "KernelTimer.h"
#include "Program.h"
#include "StepCollectives.h"
#include "StepContext.h"
#include "StepStream.h"
#include "TensorMaps.h"

#include <string>
#include <vector>

namespace dsv2rt::cuda {

/// The context of a step on a device: puts kernels on a stream, shows taps
/// after copying their rows to the host, and hands collectives on.
class Launcher final : public StepContext {
public:
  /// `exchange` has the step's collectives, null: there are none; a `trace`
  /// gets the times of the kernels. All have to outlive this.
  Launcher(const Program &program, StepStream &stream,
           StepCollectives *exchange = nullptr, Trace *trace = nullptr)
      : context(stream.context()), program(program), stream(stream),
        exchange(exchange), maps(*context),
        timer(context, stream.get(), trace) {}

  /// Prepares for a step of `entry` with so many rows of keys, whose taps
  /// `sink` gets. With `waitForEach` every kernel is waited for, so that a
  /// failure names it.
  void begin(TapSink &sink, bool waitForEach, const std::string &entry = "",
             int64_t keyRows = 0);

  /// Ends the step: the stream has been waited for.
  Status finish() {
    return timer.enabled() && count ? timer.finish() : Status();
  }

  /// Whether kernels have to be launched one by one, to be timed.
  bool timesKernels() const { return timer.enabled(); }

  /// The first failure since begin(), of a launch, a tap or a collective, after
  /// which nothing was launched.
  const Status &failure() const {
    return status.ok() && exchange ? exchange->failure() : status;
  }

  /// Kernels launched since begin().
  int64_t launches() const { return count; }

  void launch(int32_t kernel, int32_t gridX, int32_t gridY, int32_t gridZ,
              void **parameters, LaunchSite site) override;
  int64_t deviceInfo(int32_t property) const override;
  int64_t keyRows() const override { return numKeyRows; }
  StepCollectives *collectives() override;
  void tap(int32_t site, int64_t layer, void *data, int64_t rows,
           int64_t columns, int64_t rowStride, int32_t dtype) override;

private:
  Status start(int32_t index, const int32_t (&grid)[3], void **parameters,
               const LaunchSite &site);
  /// ", for 'mlp.down_proj' of layer 3 in entry 'decode'".
  std::string placeOf(const LaunchSite &site) const;
  Status show(int32_t site, int64_t layer, void *data, int64_t rows,
              int64_t columns, int64_t rowStride, int32_t dtype);

  std::shared_ptr<Context> context;
  const Program &program;
  StepStream &stream;
  StepCollectives *exchange;
  TensorMaps maps;
  KernelTimer timer;
  TapSink *taps = nullptr;
  bool waitForEach = false;
  /// Of the step; empty: not known.
  std::string entryName;
  int64_t numKeyRows = 0;
  int64_t count = 0;
  Status status;
  std::vector<void *> pointers;
  std::vector<char> rows;
};

} // namespace dsv2rt::cuda

#endif // DSV2RT_LIB_CUDA_LAUNCHER_H
