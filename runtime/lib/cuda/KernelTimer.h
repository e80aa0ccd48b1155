//===- KernelTimer.h - how long each kernel of a step takes -----*- C++ -*-===//
//
// Part of dsv2, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef DSV2RT_LIB_CUDA_KERNELTIMER_H
#define DSV2RT_LIB_CUDA_KERNELTIMER_H

#include "Handles.h"
#include "dsv2rt/Trace.h"

#include <string>
#include <vector>

namespace dsv2rt::cuda {

/// Records an event after every kernel of a step and adds the times between
/// them to a trace. A kernel that may start before its predecessor has ended
/// does not, as an event is between them.
class KernelTimer {
public:
  KernelTimer(std::shared_ptr<Context> context, CUstream stream, Trace *trace)
      : context(std::move(context)), stream(stream), trace(trace) {}

  /// Whether there is a trace; the other functions are for then.
  bool enabled() const { return trace; }

  /// Begins a step.
  Status begin();

  /// Notes that the kernel `name` was put on the stream.
  Status add(const std::string &name);

  /// Adds the step's kernels to the trace; the stream has been waited for.
  Status finish();

private:
  Status record();

  std::shared_ptr<Context> context;
  CUstream stream;
  Trace *trace;
  /// Kept from step to step.
  std::vector<EventHandle> events;
  size_t used = 0;
  std::vector<std::string> names;
  int64_t start = 0;
};

} // namespace dsv2rt::cuda

#endif // DSV2RT_LIB_CUDA_KERNELTIMER_H
