//===- StubState.cpp - what the stub driver remembers ---------------------===//
//
// Part of dsv2, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "StubState.h"

#include <cstdlib>

using namespace stub;

static const char *variable(const char *name) {
  const char *value = std::getenv(name);
  return value && *value ? value : nullptr;
}

/// Sets the state up as the environment says.
static State *makeState() {
  auto *made = new State();
  Config &config = made->config;
  if (const char *devices = variable("DSV2_STUB_DEVICES"))
    config.devices = std::atoi(devices);
  if (const char *capability = variable("DSV2_STUB_CAPABILITY")) {
    config.major = std::atoi(capability) / 10;
    config.minor = std::atoi(capability) % 10;
  }
  if (const char *memory = variable("DSV2_STUB_MEMORY"))
    config.memory = std::strtoull(memory, nullptr, 10);
  if (const char *version = variable("DSV2_STUB_VERSION"))
    config.version = std::atoi(version);
  if (const char *failure = variable("DSV2_STUB_FAIL")) {
    std::string text = failure;
    size_t first = text.find(':'), second = text.rfind(':');
    made->failures[text.substr(0, first)][std::atoi(text.c_str() + first + 1)] =
        CUresult(std::atoi(text.c_str() + second + 1));
  }
  return made;
}

State &stub::state() {
  static State *only = makeState();
  return *only;
}

CUcontext &stub::current() {
  static thread_local CUcontext context = nullptr;
  return context;
}

CUresult stub::enter(const char *function, bool needsContext) {
  State &s = state();
  s.calls.push_back(function);
  int call = ++s.counts[function];
  auto failures = s.failures.find(function);
  if (failures != s.failures.end()) {
    auto failure = failures->second.find(call);
    if (failure != failures->second.end())
      return failure->second;
  }
  if (!needsContext)
    return CUDA_SUCCESS;
  if (!s.initialised)
    return CUDA_ERROR_NOT_INITIALIZED;
  return current() == &s.context && s.context.retained
             ? CUDA_SUCCESS
             : CUDA_ERROR_INVALID_CONTEXT;
}

bool State::advanceOnce(CUstream stream) {
  if (stream->pending.empty() || !stream->pending.front()())
    return false;
  stream->pending.pop_front();
  return true;
}

bool State::advanceOthers(CUstream stream) {
  bool any = false;
  for (CUstream other : std::set<CUstream>(streams))
    if (other != stream && other->owner == std::this_thread::get_id())
      while (advanceOnce(other))
        any = true;
  return any;
}

bool State::advance(CUstream stream) {
  while (!stream->pending.empty()) {
    if (config.othersFirst)
      advanceOthers(stream);
    if (!advanceOnce(stream) && !advanceOthers(stream))
      return false;
  }
  return true;
}

void State::drain() {
  for (CUstream stream : std::set<CUstream>(streams))
    if ((!stream->shared || stream->owner == std::this_thread::get_id()) &&
        !advance(stream))
      misuse.push_back("a wait without end for a stream that other ranks hold "
                       "up");
}

bool State::owns(uint64_t address, uint64_t bytes) const {
  auto it = memory.upper_bound(address);
  if (it == memory.begin())
    return false;
  --it;
  return address - it->first <= it->second &&
         bytes <= it->second - (address - it->first);
}

void stub::reset(const Config &config) {
  State &s = state();
  std::lock_guard<std::recursive_mutex> lock(s.mutex);
  s.config = config;
  s.counts.clear(), s.failures.clear(), s.calls.clear();
  s.launches.clear(), s.misuse.clear();
}

void stub::fail(const std::string &function, int call, CUresult error) {
  State &s = state();
  std::lock_guard<std::recursive_mutex> lock(s.mutex);
  s.failures[function][s.counts[function] + call] = error;
}

int stub::calls(const std::string &function) {
  State &s = state();
  std::lock_guard<std::recursive_mutex> lock(s.mutex);
  return s.counts[function];
}

std::vector<std::string> stub::trace() {
  State &s = state();
  std::lock_guard<std::recursive_mutex> lock(s.mutex);
  return s.calls;
}

std::vector<Launch> stub::launches() {
  State &s = state();
  std::lock_guard<std::recursive_mutex> lock(s.mutex);
  return s.launches;
}

std::vector<std::string> stub::misuse() {
  State &s = state();
  std::lock_guard<std::recursive_mutex> lock(s.mutex);
  return s.misuse;
}

std::string stub::leaks() {
  State &s = state();
  std::lock_guard<std::recursive_mutex> lock(s.mutex);
  std::string text;
  auto add = [&](const char *what, size_t count) {
    if (count)
      text += (text.empty() ? "" : ", ") + std::to_string(count) + " " + what;
  };
  add("memory", s.memory.size());
  add("pinned", s.pinned.size());
  add("streams", s.streams.size());
  add("events", s.events.size());
  add("graphs", s.graphs.size());
  add("executables", s.executables.size());
  add("modules", s.modules.size());
  add("contexts", size_t(s.context.retained));
  return text;
}
