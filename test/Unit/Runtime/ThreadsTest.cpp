//===- ThreadsTest.cpp - how many threads, and where ----------------------===//
//
// Part of dsv2, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "TestUtils.h"

#include "dsv2rt/Threads.h"

#include <atomic>
#include <chrono>
#include <filesystem>
#include <thread>

#include <sched.h>
#include <sys/resource.h>

using namespace dsv2rt;
using namespace dsv2test;
namespace fs = std::filesystem;

namespace {

/// A folder that looks like the root of a system.
class FakeSystem {
public:
  void put(const std::string &path, const std::string &text) {
    std::string file = folder.file(path);
    fs::create_directories(fs::path(file).parent_path());
    writeFile(file, text);
  }
  void core(const std::vector<int> &processors, const std::string &list) {
    for (int processor : processors)
      put("sys/devices/system/cpu/cpu" + std::to_string(processor) +
              "/topology/thread_siblings_list",
          list + "\n");
  }
  ProcessorSet arrange(const std::vector<int> &allowed) const {
    return arrangeProcessors(allowed, folder.path());
  }

private:
  TempDir folder;
};

using Numbers = std::vector<int>;

} // namespace

TEST(ThreadsTest, OneProcessorOfEveryCoreFirst) {
  FakeSystem system;
  system.core({0, 4}, "0,4");
  system.core({1, 5}, "1,5");
  system.core({2, 3}, "2-3");
  ProcessorSet set = system.arrange({0, 1, 2, 3, 4, 5});
  EXPECT_EQ(set.order, (Numbers{0, 1, 2, 3, 4, 5}));
  EXPECT_EQ(set.cores, 3);
  EXPECT_EQ(set.limit(), 6);
  EXPECT_EQ(set.defaultThreads(), 3);
  // What the affinity mask leaves out is not there.
  set = system.arrange({2, 3, 5});
  EXPECT_EQ(set.order, (Numbers{2, 5, 3}));
  EXPECT_EQ(set.defaultThreads(), 2);
  // Without a topology every processor is a core.
  EXPECT_EQ(system.arrange({6, 7}).cores, 2);
}

TEST(ThreadsTest, QuotaOfControlGroups) {
  FakeSystem two;
  two.put("proc/self/cgroup", "0::/a/b\n");
  two.put("sys/fs/cgroup/a/b/cpu.max", "max 100000\n");
  EXPECT_EQ(two.arrange({0, 1, 2, 3}).quota, 0);
  // The parent's limit holds for the child; a part of a processor is one.
  two.put("sys/fs/cgroup/a/cpu.max", "250000 100000\n");
  EXPECT_EQ(two.arrange({0, 1, 2, 3}).defaultThreads(), 3);
  two.put("sys/fs/cgroup/a/b/cpu.max", "20000 100000\n");
  EXPECT_EQ(two.arrange({0, 1, 2, 3}).defaultThreads(), 1);

  FakeSystem one;
  one.put("proc/self/cgroup", "4:memory:/m\n3:cpu,cpuacct:/c\n");
  one.put("sys/fs/cgroup/cpu/c/cpu.cfs_quota_us", "-1\n");
  one.put("sys/fs/cgroup/cpu/c/cpu.cfs_period_us", "100000\n");
  EXPECT_EQ(one.arrange({0, 1, 2}).limit(), 3);
  one.put("sys/fs/cgroup/cpu/c/cpu.cfs_quota_us", "200000\n");
  EXPECT_EQ(one.arrange({0, 1, 2}).limit(), 2);
}

TEST(ThreadsTest, NonsenseIsNoLimit) {
  for (const char *text : {"", "x", "0 0", "-5 100000", "100000",
                           "9223372036854775807 1", "100000 0"}) {
    FakeSystem system;
    system.put("proc/self/cgroup", "nonsense\n0::\n0::/a\n:\n");
    system.put("sys/fs/cgroup/a/cpu.max", text);
    EXPECT_EQ(system.arrange({0, 1}).limit(), 2) << text;
  }
  EXPECT_EQ(FakeSystem().arrange({}).limit(), 1);
}

TEST(ThreadsTest, PinsAndUnpins) {
  const ProcessorSet &set = availableProcessors();
  int threads = std::min<int>(set.order.size(), 2);
  Status status = pinThreads(threads);
  ASSERT_TRUE(status.ok()) << status.message();
  cpu_set_t mask;
  ASSERT_EQ(sched_getaffinity(0, sizeof(mask), &mask), 0);
  EXPECT_EQ(CPU_COUNT(&mask), 1);
  EXPECT_TRUE(CPU_ISSET(set.order[0], &mask));
  unpinThreads(threads);
  ASSERT_EQ(sched_getaffinity(0, sizeof(mask), &mask), 0);
  EXPECT_EQ(CPU_COUNT(&mask), int(set.order.size()));
  expectFailure(pinThreads(int(set.order.size()) + 1),
                StatusCode::InvalidArgument,
                {"cannot pin", "expected at most"});
}

TEST(ThreadsTest, IdleThreadsSleep) {
  // A team that has had nothing to do for a while must not heat the room.
  auto cpuSeconds = [] {
    rusage usage;
    getrusage(RUSAGE_SELF, &usage);
    return double(usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) +
           double(usage.ru_utime.tv_usec + usage.ru_stime.tv_usec) * 1e-6;
  };
  unpinThreads(2);
  double before = cpuSeconds();
  std::this_thread::sleep_for(std::chrono::seconds(1));
  EXPECT_LT(cpuSeconds() - before, 0.5);
}
