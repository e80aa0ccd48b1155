//===- Graphs.cpp - steps that repeat their launches ----------------------===//
//
// Part of dsv2, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "Graphs.h"

using namespace dsv2rt;
using namespace dsv2rt::cuda;

/// Shapes that are remembered. A graph of a thousand kernels takes a few
/// megabytes of the device.
static constexpr size_t maxShapes = 64;

static std::string shapeOf(const Graphs::Shape &shape) {
  return strCat(shape[1], " tokens of ", shape[2], " sequences");
}

Status Graphs::run(const Shape &shape, const std::function<Status()> &launch,
                   bool &replayed) {
  replayed = false;
  auto it = entries.find(shape);
  if (it == entries.end()) {
    evict();
    ages.push_front(shape);
    entries[shape].age = ages.begin();
    return launch();
  }
  Entry &entry = it->second;
  ages.splice(ages.begin(), ages, entry.age);
  replayed = bool(entry.graph);
  if (!entry.graph) {
    Status status = capture(shape, launch, entry.graph);
    if (!status.ok())
      return status;
    ++captured;
  }
  return context->call(
      context->driver().cuGraphLaunch,
      [&] { return "starting the graph of " + shapeOf(shape); },
      entry.graph.get(), stream);
}

Status Graphs::capture(const Shape &shape,
                       const std::function<Status()> &launch,
                       GraphExecHandle &graph) {
  const Driver &driver = context->driver();
  auto what = [&](const char *doing) {
    return [&shape, doing] {
      return strCat(doing, " the launches of ", shapeOf(shape));
    };
  };
  Status status = context->call(driver.cuStreamBeginCapture_v2,
                                what("beginning to capture"), stream,
                                CU_STREAM_CAPTURE_MODE_THREAD_LOCAL);
  if (!status.ok())
    return status;
  Status launched = launch();
  // Ended in any case: the stream takes nothing else before.
  CUgraph made = nullptr;
  status = context->call(driver.cuStreamEndCapture, what("capturing"), stream,
                         &made);
  GraphHandle recorded(context, made);
  if (!launched.ok())
    return launched;
  if (!status.ok())
    return status;
  CUgraphExec executable = nullptr;
  status = context->call(driver.cuGraphInstantiateWithFlags,
                         what("making a graph of"), &executable, made, 0ull);
  if (status.ok())
    graph = GraphExecHandle(context, executable);
  return status;
}

void Graphs::evict() {
  while (entries.size() >= maxShapes) {
    auto oldest = entries.find(ages.back());
    if (oldest->second.graph)
      --captured;
    entries.erase(oldest);
    ages.pop_back();
  }
}

void Graphs::clear() {
  entries.clear();
  ages.clear();
  captured = 0;
}
