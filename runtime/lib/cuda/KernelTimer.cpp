//===- KernelTimer.cpp - how long each kernel of a step takes -------------===//
//
// Part of dsv2, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "KernelTimer.h"

using namespace dsv2rt;
using namespace dsv2rt::cuda;

Status KernelTimer::record() {
  if (used == events.size()) {
    Expected<EventHandle> made = makeEvent(context, /*timing=*/true);
    if (!made.ok())
      return made.status();
    events.push_back(std::move(made.value()));
  }
  return context->call(context->driver().cuEventRecord, "timing a kernel",
                       events[used++].get(), stream);
}

Status KernelTimer::begin() {
  used = 0;
  names.clear();
  start = trace->now();
  return record();
}

Status KernelTimer::add(const std::string &name) {
  names.push_back(name);
  return record();
}

Status KernelTimer::finish() {
  // The device's clock is its own: the first event is put to where the host
  // recorded it.
  auto at = [&](size_t event, int64_t &nanoseconds) {
    float milliseconds = 0;
    Status status =
        context->call(context->driver().cuEventElapsedTime, "timing a kernel",
                      &milliseconds, events.front().get(), events[event].get());
    nanoseconds = start + int64_t(double(milliseconds) * 1e6);
    return status;
  };
  int64_t begin = start, end = start;
  for (size_t i = 0; i < names.size(); ++i, begin = end) {
    Status status = at(i + 1, end);
    if (!status.ok())
      return status;
    trace->add(names[i], "kernel", begin, end, {{"launch", int64_t(i)}});
  }
  return Status();
}
