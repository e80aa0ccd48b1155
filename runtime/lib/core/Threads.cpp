//===- Threads.cpp - how many threads, and where --------------------------===//
//
// Part of dsv2, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "dsv2rt/Threads.h"
#include "Support.h"

#include <atomic>
#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <map>
#include <sstream>

#include <omp.h>
#include <sched.h>
#include <unistd.h>

using namespace dsv2rt;

//===----------------------------------------------------------------------===//
// Control groups
//===----------------------------------------------------------------------===//

/// `quota` microseconds of every `period`, in whole processors; 0: no limit.
static int toProcessors(int64_t quota, int64_t period) {
  constexpr int64_t most = 1 << 20;
  if (quota <= 0 || period <= 0 || quota / period >= most)
    return 0;
  return int((quota + period - 1) / period);
}

/// The limit in `folder`: cpu.max of version 2, cpu.cfs_* of version 1.
static int quotaIn(const std::string &folder) {
  int64_t quota = 0, period = 0;
  // "max 100000" does not parse as a number and so is no limit.
  if (std::ifstream(folder + "/cpu.max") >> quota >> period)
    return toProcessors(quota, period);
  if (std::ifstream(folder + "/cpu.cfs_quota_us") >> quota &&
      std::ifstream(folder + "/cpu.cfs_period_us") >> period)
    return toProcessors(quota, period);
  return 0;
}

/// The least limit of the group at `group` below `base` and those above it.
static int quotaAbove(const std::string &base, std::string group) {
  int least = 0;
  while (true) {
    int here = quotaIn(base + group);
    if (here && (!least || here < least))
      least = here;
    size_t slash = group.rfind('/');
    if (slash == std::string::npos)
      return least;
    group.resize(slash);
  }
}

/// Whether a comma-separated list holds `word`.
static bool listHolds(const std::string &list, const std::string &word) {
  return ("," + list + ",").find("," + word + ",") != std::string::npos;
}

static int readQuota(const std::string &root) {
  std::ifstream groups(root + "/proc/self/cgroup");
  std::string line;
  int least = 0;
  // Lines are ID:CONTROLLERS:PATH; version 2 has no controllers.
  while (std::getline(groups, line)) {
    size_t first = line.find(':');
    size_t second = first == line.npos ? line.npos : line.find(':', first + 1);
    if (second == line.npos)
      continue;
    std::string controllers = line.substr(first + 1, second - first - 1);
    std::string path = line.substr(second + 1);
    int quota = 0;
    if (controllers.empty())
      quota = quotaAbove(root + "/sys/fs/cgroup", path);
    else if (listHolds(controllers, "cpu"))
      quota = quotaAbove(root + "/sys/fs/cgroup/cpu", path);
    if (quota && (!least || quota < least))
      least = quota;
  }
  return least;
}

//===----------------------------------------------------------------------===//
// Processors
//===----------------------------------------------------------------------===//

ProcessorSet dsv2rt::arrangeProcessors(const std::vector<int> &allowed,
                                       const std::string &root) {
  // Processors with the same siblings are one core.
  std::map<std::string, int> used;
  std::map<int, std::vector<int>> rounds;
  for (int processor : allowed) {
    std::ifstream file(root + "/sys/devices/system/cpu/cpu" +
                       std::to_string(processor) +
                       "/topology/thread_siblings_list");
    std::string siblings;
    if (!std::getline(file, siblings) || siblings.empty())
      siblings = std::to_string(processor);
    rounds[used[siblings]++].push_back(processor);
  }
  ProcessorSet set;
  for (const auto &[round, processors] : rounds)
    set.order.insert(set.order.end(), processors.begin(), processors.end());
  set.cores = std::max(int(used.size()), 1);
  set.quota = readQuota(root);
  return set;
}

/// The calling thread's affinity mask.
static std::vector<int> readAffinity() {
  std::vector<int> allowed;
  // The kernel refuses masks shorter than its own.
  for (int count = 1024; count <= 1 << 20; count *= 2) {
    cpu_set_t *mask = CPU_ALLOC(count);
    if (!mask)
      break;
    size_t bytes = CPU_ALLOC_SIZE(count);
    CPU_ZERO_S(bytes, mask);
    int error = sched_getaffinity(0, bytes, mask) == 0 ? 0 : errno;
    for (int i = 0; !error && i < count; ++i)
      if (CPU_ISSET_S(i, bytes, mask))
        allowed.push_back(i);
    CPU_FREE(mask);
    if (error != EINVAL)
      break;
  }
  if (allowed.empty())
    allowed.push_back(0);
  return allowed;
}

const ProcessorSet &dsv2rt::availableProcessors() {
  static const ProcessorSet set = arrangeProcessors(readAffinity(), "");
  return set;
}

/// The 64-bit FNV-1a hash of some bytes.
static uint64_t hashOf(const void *data, size_t bytes) {
  uint64_t hash = 0xcbf29ce484222325;
  for (size_t i = 0; i < bytes; ++i)
    hash = (hash ^ static_cast<const uint8_t *>(data)[i]) * 0x100000001b3;
  return hash;
}

uint64_t dsv2rt::hostNumber() {
  std::ifstream file("/proc/sys/kernel/random/boot_id");
  std::string text;
  std::getline(file, text);
  char name[256] = {};
  if (text.empty() && gethostname(name, sizeof(name) - 1) == 0)
    text = name;
  return hashOf(text.data(), text.size());
}

uint64_t dsv2rt::processorNumber() {
  const std::vector<int> &order = availableProcessors().order;
  return hashOf(order.data(), order.size() * sizeof(int));
}

/// Moves the calling thread to `processors`; 0 or an error number.
static int setAffinity(const std::vector<int> &processors) {
  int count = *std::max_element(processors.begin(), processors.end()) + 1;
  cpu_set_t *mask = CPU_ALLOC(count);
  if (!mask)
    return ENOMEM;
  size_t bytes = CPU_ALLOC_SIZE(count);
  CPU_ZERO_S(bytes, mask);
  for (int processor : processors)
    CPU_SET_S(processor, bytes, mask);
  int error = sched_setaffinity(0, bytes, mask) == 0 ? 0 : errno;
  CPU_FREE(mask);
  return error;
}

//===----------------------------------------------------------------------===//
// Threads
//===----------------------------------------------------------------------===//

void dsv2rt::setThreadCount(int threads) {
  // A first look before anything is pinned.
  (void)availableProcessors();
  omp_set_num_threads(std::max(threads, 1));
}

void dsv2rt::releaseThreads() { omp_pause_resource_all(omp_pause_hard); }

int dsv2rt::defaultThreadCount() {
  const char *wanted = std::getenv("OMP_NUM_THREADS");
  return wanted && *wanted ? omp_get_max_threads()
                           : availableProcessors().defaultThreads();
}

Status dsv2rt::pinThreads(int threads, int first) {
  const ProcessorSet &set = availableProcessors();
  if (threads > int(set.order.size()) - first)
    return makeError(StatusCode::InvalidArgument,
                     "cannot pin: expected at most ", set.order.size(),
                     " threads, one for every processor that this process may "
                     "use, found ",
                     threads + first);
  std::atomic<int> failure{0};
#pragma omp parallel num_threads(threads)
  {
    int error = setAffinity({set.order[first + omp_get_thread_num()]});
    if (error)
      failure = error;
  }
  if (!failure)
    return Status();
  unpinThreads(threads);
  return makeError(StatusCode::Internal,
                   "cannot pin threads: ", std::strerror(failure));
}

void dsv2rt::unpinThreads(int threads) {
  const ProcessorSet &set = availableProcessors();
#pragma omp parallel num_threads(threads)
  setAffinity(set.order);
}
