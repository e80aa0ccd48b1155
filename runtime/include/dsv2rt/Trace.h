//===- Trace.h - a timeline of steps and kernels ----------------*- C++ -*-===//
//
// Part of dsv2, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef DSV2RT_TRACE_H
#define DSV2RT_TRACE_H

#include "dsv2rt/Status.h"

#include <cstdint>
#include <string>
#include <utility>
#include <vector>

namespace dsv2rt {

/// Collects timed events and writes them in the trace event format that
/// chrome://tracing and Perfetto read: {"traceEvents": [...]}.
class Trace {
public:
  Trace();

  /// Nanoseconds since this trace began.
  int64_t now() const;

  /// Adds an event. `category` is "step", "kernel" or "collective"; `arguments`
  /// are shown with the event. Events beyond the first million are counted, not
  /// kept.
  void add(std::string name, const char *category, int64_t begin, int64_t end,
           std::vector<std::pair<std::string, int64_t>> arguments = {});

  /// Writes the file, under another name first, so that no half-written file
  /// stays.
  Status write(const std::string &path) const;

private:
  struct Event {
    std::string name;
    const char *category;
    int64_t begin, end;
    std::vector<std::pair<std::string, int64_t>> arguments;
  };
  std::vector<Event> events;
  int64_t dropped = 0;
  int64_t start = 0;
};

} // namespace dsv2rt

#endif // DSV2RT_TRACE_H
