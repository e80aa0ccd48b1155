//===- Trace.cpp - a timeline of steps and kernels ------------------------===//
//
// Part of dsv2, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "dsv2rt/Trace.h"
#include "AtomicFile.h"
#include "Support.h"

#include <nlohmann/json.hpp>

#include <chrono>

using namespace dsv2rt;

static constexpr size_t maxEvents = 1000000;

static int64_t clockNow() {
  return std::chrono::duration_cast<std::chrono::nanoseconds>(
             std::chrono::steady_clock::now().time_since_epoch())
      .count();
}

Trace::Trace() : start(clockNow()) {}

int64_t Trace::now() const { return clockNow() - start; }

void Trace::add(std::string name, const char *category, int64_t begin,
                int64_t end,
                std::vector<std::pair<std::string, int64_t>> arguments) {
  if (events.size() == maxEvents) {
    ++dropped;
    return;
  }
  events.push_back(
      {std::move(name), category, begin, end, std::move(arguments)});
}

Status Trace::write(const std::string &path) const {
  return guarded([&]() -> Status {
    using nlohmann::json;
    std::string text = "{\"traceEvents\":[";
    for (size_t i = 0; i < events.size(); ++i) {
      const Event &event = events[i];
      json line = {{"name", event.name},
                   {"cat", event.category},
                   {"ph", "X"},
                   {"pid", 1},
                   {"tid", 1},
                   {"ts", event.begin / 1000.0},
                   {"dur", (event.end - event.begin) / 1000.0}};
      for (const auto &[key, value] : event.arguments)
        line["args"][key] = value;
      text += i ? ",\n" : "\n";
      text += line.dump(-1, ' ', true, json::error_handler_t::replace);
    }
    text += strCat("\n],\"displayTimeUnit\":\"ms\",\"droppedEvents\":", dropped,
                   "}\n");
    return writeFileAtomically(path, text.data(), text.size());
  });
}
