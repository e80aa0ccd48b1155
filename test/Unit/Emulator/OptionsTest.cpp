//===- OptionsTest.cpp - options, counters, and the smaller instructions --===//
//
// Part of dsv2, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "EmulatorTest.h"

#include "llvm/Support/FileSystem.h"
#include "llvm/Support/Program.h"

#include <cmath>
#include <set>

using namespace dsv2::test;

namespace {
class OptionsTest : public EmulatorTest {
protected:
  /// A kernel of 32 threads whose body sees %tid, %in and %out, in LLVM IR, and
  /// stores its result through `result`, an i32.
  CUfunction kernel(const std::string &declarations, const std::string &body,
                    const std::string &result) {
    return function(
        load("target triple = \"nvptx64-nvidia-cuda\"\n"
             "@dsv2_smem = external addrspace(3) global [0 x i8], align 1024\n"
             "declare i32 @llvm.nvvm.read.ptx.sreg.tid.x()\n" +
             declarations +
             "define ptx_kernel void @k(ptr addrspace(1) %in, ptr addrspace(1) "
             "%out) {\n"
             "  %tid = call i32 @llvm.nvvm.read.ptx.sreg.tid.x()\n"
             "  %pi = getelementptr i32, ptr addrspace(1) %in, i32 %tid\n"
             "  %v = load i32, ptr addrspace(1) %pi\n"
             "  %po = getelementptr i32, ptr addrspace(1) %out, i32 %tid\n" +
             body + "  store i32 " + result +
             ", ptr addrspace(1) %po\n  ret void\n}\n"),
        "k");
  }

  std::vector<uint32_t> run(CUfunction k, const std::vector<uint32_t> &in) {
    CUdeviceptr din = upload(in), out = allocate(128);
    Shape shape;
    shape.shared = 8192;
    EXPECT_EQ(launch(k, shape, din, out), CUDA_SUCCESS) << report();
    return download<uint32_t>(out, 32);
  }

  std::vector<uint32_t> values() {
    std::vector<uint32_t> in(32);
    for (uint32_t i = 0; i < 32; ++i)
      in[i] = i * 0x9E3779B9u;
    return in;
  }

  dsv2_emulator_counters counters() {
    dsv2_emulator_counters result;
    emulator.dsv2_emulator_get_counters(&result);
    return result;
  }
};
} // namespace

TEST_F(OptionsTest, SchedulesRunALaunchSeveralTimesOnTheSameMemory) {
  setOptions("schedules=5");
  emulator.dsv2_emulator_reset_counters();
  CUfunction add = kernel("",
                          "  %old = atomicrmw add ptr addrspace(1) %in, i32 "
                          "1 monotonic\n",
                          "%old");
  CUdeviceptr in = upload(std::vector<uint32_t>(32)), out = allocate(128);
  ASSERT_EQ(launch(add, Shape(), in, out), CUDA_SUCCESS) << report();
  EXPECT_EQ(counters().launches, 5u);
  // Once, and not five times.
  EXPECT_EQ(download<uint32_t>(in, 1)[0], 32u);
}

TEST_F(OptionsTest, ASeedGivesOneOrder) {
  CUfunction add = kernel("",
                          "  %old = atomicrmw add ptr addrspace(1) %in, i32 "
                          "1 monotonic\n",
                          "%old");
  std::set<std::vector<uint32_t>> orders;
  for (int seed = 1; seed <= 10; ++seed) {
    setOptions("seed=" + std::to_string(seed));
    std::vector<uint32_t> first = run(add, std::vector<uint32_t>(32));
    EXPECT_EQ(run(add, std::vector<uint32_t>(32)), first);
    orders.insert(first);
  }
  EXPECT_EQ(orders.size(), 10u);
}

TEST_F(OptionsTest, Counters) {
  CUfunction copy = kernel("", "", "%v");
  emulator.dsv2_emulator_reset_counters();
  EXPECT_EQ(run(copy, values()), values());
  EXPECT_EQ(counters().launches, 1u);
  EXPECT_EQ(counters().threads, 32u);
  EXPECT_EQ(counters().global_bytes_read, 128u);
  EXPECT_EQ(counters().global_bytes_written, 128u);
}

// Passes over the banks: one for words beside each other, 32 for a stride of 32
// words, 2 for a stride of 2, one for the same word; 16 bytes a lane need four
// quarters anyhow.
TEST_F(OptionsTest, BankConflicts) {
  struct Case {
    int stride;
    const char *type;
    unsigned conflicts;
  };
  for (const Case &c :
       {Case{4, "i32", 0}, Case{128, "i32", 31}, Case{8, "i32", 1},
        Case{0, "i32", 0}, Case{16, "<4 x i32>", 0}, Case{128, "<4 x i32>", 28},
        Case{8, "<2 x i32>", 0}}) {
    CUfunction k = kernel(
        "declare void @llvm.nvvm.bar.warp.sync(i32)\n",
        "  %o = mul i32 %tid, " + std::to_string(c.stride) +
            "\n  %p = getelementptr i8, ptr addrspace(3) @dsv2_smem, i32 %o\n"
            "  %first = icmp eq i32 %tid, 0\n"
            "  br i1 %first, label %fill, label %ready\n"
            "fill:\n"
            "  call void @llvm.memset.p3.i64(ptr addrspace(3) align 16 "
            "@dsv2_smem, i8 0, i64 8192, i1 false)\n"
            "  br label %ready\n"
            "ready:\n"
            "  call void @llvm.nvvm.bar.warp.sync(i32 -1)\n"
            "  %l = load " +
            std::string(c.type) + ", ptr addrspace(3) %p\n",
        "%v");
    setOptions("banks=1");
    emulator.dsv2_emulator_reset_counters();
    run(k, values());
    EXPECT_EQ(counters().shared_accesses, 1u);
    EXPECT_EQ(counters().bank_conflicts, c.conflicts) << c.stride << c.type;
  }
}

TEST_F(OptionsTest, ProgrammaticLaunchesWaitBeforeTheyRead) {
  const std::string declaration =
      "declare void @llvm.nvvm.griddepcontrol.wait()\n";
  CUfunction early = kernel(
      declaration, "  call void @llvm.nvvm.griddepcontrol.wait()\n", "%v");
  CUdeviceptr a = upload(values()), b = allocate(128), c = allocate(128);
  auto programmatic = [&](CUfunction k, CUdeviceptr in, CUdeviceptr out) {
    CUlaunchAttribute attribute = {};
    attribute.id = CU_LAUNCH_ATTRIBUTE_PROGRAMMATIC_STREAM_SERIALIZATION;
    attribute.value.programmaticStreamSerializationAllowed = 1;
    CUlaunchConfig config = {1, 1, 1, 32, 1, 1, 0, nullptr, &attribute, 1};
    void *parameters[] = {&in, &out};
    return emulator.cuLaunchKernelEx(&config, k, parameters, nullptr);
  };
  setOptions("pdl=1");
  CUfunction copy = kernel("", "", "%v");
  // The kernel loads before it waits: harmless for memory that is old.
  ASSERT_EQ(launch(copy, Shape(), a, b), CUDA_SUCCESS);
  EXPECT_EQ(programmatic(early, a, c), CUDA_SUCCESS) << report();
  ASSERT_EQ(launch(copy, Shape(), a, b), CUDA_SUCCESS);
  EXPECT_EQ(programmatic(early, b, c), CUDA_ERROR_LAUNCH_FAILED);
  EXPECT_EQ(kind(), "race");
  clear();
  // An ordinary launch waits for all.
  ASSERT_EQ(launch(copy, Shape(), a, b), CUDA_SUCCESS);
  EXPECT_EQ(launch(early, Shape(), b, c), CUDA_SUCCESS) << report();
}

TEST_F(OptionsTest, WarpInstructions) {
  auto in = values();
  auto each = [&](CUfunction k, auto expected) {
    for (int seed = 1; seed <= 10; ++seed) {
      setOptions("seed=" + std::to_string(seed));
      std::vector<uint32_t> out = run(k, in);
      for (uint32_t i = 0; i < 32; ++i)
        ASSERT_EQ(out[i], expected(i)) << i;
    }
  };
  uint32_t most = 0, sum = 0, ballot = 0;
  for (uint32_t i = 0; i < 32; ++i) {
    most = std::max(most, in[i]);
    sum += in[i];
    ballot |= (in[i] & 1) << i;
  }
  each(kernel("declare i32 @llvm.nvvm.redux.sync.umax(i32, i32)\n",
              "  %r = call i32 @llvm.nvvm.redux.sync.umax(i32 %v, i32 -1)\n",
              "%r"),
       [&](uint32_t) { return most; });
  each(kernel("declare i32 @llvm.nvvm.redux.sync.add(i32, i32)\n",
              "  %r = call i32 @llvm.nvvm.redux.sync.add(i32 %v, i32 -1)\n",
              "%r"),
       [&](uint32_t) { return sum; });
  each(kernel("declare i32 @llvm.nvvm.vote.ballot.sync(i32, i1)\n",
              "  %odd = trunc i32 %v to i1\n"
              "  %r = call i32 @llvm.nvvm.vote.ballot.sync(i32 -1, i1 %odd)\n",
              "%r"),
       [&](uint32_t) { return ballot; });
  each(kernel("declare i32 @llvm.nvvm.match.any.sync.i32(i32, i32)\n",
              "  %c = and i32 %tid, 3\n"
              "  %r = call i32 @llvm.nvvm.match.any.sync.i32(i32 -1, i32 %c)\n",
              "%r"),
       [&](uint32_t i) { return 0x11111111u << (i % 4); });
  each(kernel("declare i32 @llvm.nvvm.shfl.sync.up.i32(i32, i32, i32, i32)\n",
              "  %r = call i32 @llvm.nvvm.shfl.sync.up.i32(i32 -1, i32 %v, i32 "
              "3, i32 0)\n",
              "%r"),
       [&](uint32_t i) { return in[i < 3 ? i : i - 3]; });
  each(kernel("declare i32 @llvm.nvvm.shfl.sync.down.i32(i32, i32, i32, i32)\n",
              // Segments of 8 lanes.
              "  %r = call i32 @llvm.nvvm.shfl.sync.down.i32(i32 -1, i32 %v, "
              "i32 2, i32 6175)\n",
              "%r"),
       [&](uint32_t i) { return in[i % 8 < 6 ? i + 2 : i]; });
  each(
      kernel("declare i32 @llvm.nvvm.shfl.sync.idx.i32(i32, i32, i32, i32)\n",
             "  %s = mul i32 %tid, 5\n"
             "  %r = call i32 @llvm.nvvm.shfl.sync.idx.i32(i32 -1, i32 %v, i32 "
             "%s, i32 31)\n",
             "%r"),
      [&](uint32_t i) { return in[i * 5 % 32]; });
  each(kernel("declare i32 @llvm.nvvm.prmt(i32, i32, i32)\n",
              "  %r = call i32 @llvm.nvvm.prmt(i32 %v, i32 %tid, i32 "
              "17156)\n", // 0x4304
              "%r"),
       [&](uint32_t i) {
         uint32_t v = in[i];
         return (i & 255) | (v & 255) << 8 | (v >> 24) << 16 | (i & 255) << 24;
       });
  // Somebody is elected, the same one for all, not always the same lane.
  CUfunction elect = kernel(
      "declare { i32, i1 } @llvm.nvvm.elect.sync(i32)\n",
      "  %e = call { i32, i1 } @llvm.nvvm.elect.sync(i32 -1)\n"
      "  %l = extractvalue { i32, i1 } %e, 0\n"
      "  %p = extractvalue { i32, i1 } %e, 1\n"
      "  %z = zext i1 %p to i32\n  %h = shl i32 %z, 8\n  %r = or i32 %l, %h\n",
      "%r");
  std::set<uint32_t> leaders;
  for (int seed = 1; seed <= 10; ++seed) {
    setOptions("seed=" + std::to_string(seed));
    std::vector<uint32_t> out = run(elect, in);
    uint32_t leader = out[0] & 255;
    leaders.insert(leader);
    for (uint32_t i = 0; i < 32; ++i)
      ASSERT_EQ(out[i], leader | (i == leader) << 8);
  }
  EXPECT_GT(leaders.size(), 1u);
}

TEST_F(OptionsTest, NumbersOfOtherWidths) {
  std::vector<uint32_t> in(32);
  for (int i = 0; i < 32; ++i) {
    float value = std::ldexp(1.37f, i - 16) * (i % 2 ? -1 : 1);
    std::memcpy(&in[i], &value, 4);
  }
  CUfunction k = kernel(
      "declare <2 x bfloat> @llvm.nvvm.ff2bf16x2.rn(float, float)\n"
      "declare i16 @llvm.nvvm.ff.to.e4m3x2.rn(float, float)\n"
      "declare <2 x half> @llvm.nvvm.e4m3x2.to.f16x2.rn(i16)\n",
      "  %f = bitcast i32 %v to float\n"
      "  %b = call <2 x bfloat> @llvm.nvvm.ff2bf16x2.rn(float %f, float 1.0)\n"
      "  %high = extractelement <2 x bfloat> %b, i32 1\n"
      "  %wide = fpext bfloat %high to float\n"
      "  %e = call i16 @llvm.nvvm.ff.to.e4m3x2.rn(float %wide, float 2.0)\n"
      "  %h = call <2 x half> @llvm.nvvm.e4m3x2.to.f16x2.rn(i16 %e)\n"
      "  %u = extractelement <2 x half> %h, i32 1\n"
      "  %w = fpext half %u to float\n"
      "  %back = fptrunc float %w to bfloat\n"
      "  %backw = fpext bfloat %back to float\n"
      "  %r = bitcast float %backw to i32\n",
      "%r");
  std::vector<uint32_t> out = run(k, in);
  for (int i = 0; i < 32; ++i) {
    float from, found;
    std::memcpy(&from, &in[i], 4);
    std::memcpy(&found, &out[i], 4);
    // e4m3: three bits behind the leading one, 2^-9 the smallest, 448 the
    // largest.
    float magnitude = std::fabs(from);
    float unit = std::ldexp(1.0f, std::max(std::ilogb(magnitude) - 3, -9));
    float expected = std::min(std::nearbyint(magnitude / unit) * unit, 448.0f);
    EXPECT_EQ(found, std::copysign(expected, from)) << from;
  }
}

//===----------------------------------------------------------------------===//
// DSV2_EMULATOR, which a process reads once: in processes of their own
//===----------------------------------------------------------------------===//

TEST(EmulatorEnvironmentTest, DISABLED_Good) {
  const Emulator &emulator = Emulator::get();
  ASSERT_EQ(emulator.cuInit(0), CUDA_SUCCESS);
  int value = 0;
  ASSERT_EQ(emulator.cuDeviceGetAttribute(
                &value, CU_DEVICE_ATTRIBUTE_MULTIPROCESSOR_COUNT, 0),
            CUDA_SUCCESS);
  EXPECT_EQ(value, 7);
  ASSERT_EQ(emulator.cuDeviceGetAttribute(
                &value, CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MAJOR, 0),
            CUDA_SUCCESS);
  EXPECT_EQ(value, 8);
}

TEST(EmulatorEnvironmentTest, DISABLED_Bad) {
  const Emulator &emulator = Emulator::get();
  EXPECT_EQ(emulator.cuInit(0), CUDA_ERROR_INVALID_VALUE);
  EXPECT_EQ(std::string(emulator.dsv2_emulator_report())
                .find("option: DSV2_EMULATOR: unknown option 'sead'"),
            0u)
      << emulator.dsv2_emulator_report();
  int count;
  EXPECT_EQ(emulator.cuDeviceGetCount(&count), CUDA_ERROR_NOT_INITIALIZED);
}

TEST(EmulatorEnvironmentTest, OptionsOfTheEnvironment) {
  std::string self = llvm::sys::fs::getMainExecutable(
      nullptr, reinterpret_cast<void *>(&Emulator::get));
  for (auto [name, options] :
       {std::pair{"Good", "sms=7,cc=80"}, std::pair{"Bad", "seed=1,sead=2"}}) {
    std::string filter =
        std::string("--gtest_filter=EmulatorEnvironmentTest.DISABLED_") + name;
    std::string variable = std::string("DSV2_EMULATOR=") + options;
    EXPECT_EQ(llvm::sys::ExecuteAndWait(
                  self, {self, filter, "--gtest_also_run_disabled_tests"},
                  llvm::ArrayRef<llvm::StringRef>{variable}),
              0)
        << variable;
  }
}
