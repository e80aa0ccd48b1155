//===- SimtTest.cpp - threads, warps and blocks without asynchronous copies
//===//
//
// Part of dsv2, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "EmulatorTest.h"

#include <cmath>

using namespace dsv2::test;

namespace {
class SimtTest : public EmulatorTest {
protected:
  void SetUp() override {
    EmulatorTest::SetUp();
    module = load(readInput("simt.ll"));
  }
  CUmodule module = nullptr;
};
} // namespace

TEST_F(SimtTest, ElementwiseWithTail) {
  const int n = 1000;
  std::vector<float> x = smallIntegers(n, 1), y = smallIntegers(n, 2);
  CUdeviceptr dx = upload(x), dy = upload(y), out = allocate(n * 4);
  Shape shape;
  shape.grid[0] = 4;
  shape.block[0] = 256;
  ASSERT_EQ(launch(function(module, "axpy"), shape, dx, dy, out, n),
            CUDA_SUCCESS)
      << report();
  std::vector<float> result = download<float>(out, n);
  for (int i = 0; i < n; ++i)
    ASSERT_EQ(result[i], 2 * x[i] + y[i]) << i;
}

// Without the guard of the tail the kernel leaves its arrays.
TEST_F(SimtTest, AccessPastTheEndIsReported) {
  module = load(edited(readInput("simt.ll"), "icmp slt i32 %i, %n",
                       "icmp ne i32 %i, -1"));
  const int n = 1000;
  std::vector<float> x(n);
  CUdeviceptr dx = upload(x), dy = upload(x), out = allocate(n * 4);
  Shape shape;
  shape.grid[0] = 4;
  shape.block[0] = 256;
  CUfunction axpy = function(module, "axpy"),
             sum = function(module, "sum_exp2");
  for (int seed = 1; seed <= 10; ++seed) {
    setOptions("seed=" + std::to_string(seed));
    EXPECT_EQ(launch(axpy, shape, dx, dy, out, n), CUDA_ERROR_LAUNCH_FAILED);
    EXPECT_EQ(kind(), "bounds");
    EXPECT_NE(report().find("past the end of the allocation of 4000 bytes"),
              std::string::npos)
        << report();
    EXPECT_NE(report().find("%vx = load float"), std::string::npos) << report();
    // As with a driver, nothing works any more.
    EXPECT_EQ(launch(sum, shape, dx, out), CUDA_ERROR_LAUNCH_FAILED);
    clear();
  }
}

TEST_F(SimtTest, ReductionOverWarpAndBlock) {
  const int threads = 256, blocks = 7;
  std::vector<float> x = smallIntegers(threads * blocks, 3);
  CUdeviceptr dx = upload(x), out = allocate(blocks * 4);
  Shape shape;
  shape.grid[0] = blocks;
  shape.block[0] = threads;
  for (int seed = 1; seed <= 10; ++seed) {
    setOptions("seed=" + std::to_string(seed));
    ASSERT_EQ(launch(function(module, "sum_exp2"), shape, dx, out),
              CUDA_SUCCESS)
        << report();
    std::vector<float> result = download<float>(out, blocks);
    for (int block = 0; block < blocks; ++block) {
      float sum = 0;
      for (int i = 0; i < threads; ++i)
        sum += std::exp2(x[block * threads + i]);
      ASSERT_EQ(result[block], sum);
    }
  }
}

TEST_F(SimtTest, AtomicsAndDynamicSharedMemory) {
  const int threads = 128;
  std::vector<int> x(threads);
  for (int i = 0; i < threads; ++i)
    x[i] = i * i % 5;
  std::vector<int> zero(5);
  CUdeviceptr dx = upload(x), counts = upload(zero),
              out = allocate(threads * 4);
  Shape shape;
  shape.block[0] = threads;
  shape.shared = threads * 4;
  ASSERT_EQ(
      launch(function(module, "count_and_mirror"), shape, dx, counts, out),
      CUDA_SUCCESS)
      << report();
  std::vector<int> histogram = download<int>(counts, 5), expected(5);
  for (int value : x)
    ++expected[value];
  EXPECT_EQ(histogram, expected);
  std::vector<int> mirrored = download<int>(out, threads);
  for (int i = 0; i < threads; ++i)
    ASSERT_EQ(mirrored[i], x[threads - 1 - i]);
}

// As ptxas counts it. Both kernels use @both, each a large array of its own.
TEST_F(SimtTest, StaticSharedMemoryIsOfTheKernelsThatUseIt) {
  std::string text =
      "target triple = \"nvptx64-nvidia-cuda\"\n"
      "@both = internal addrspace(3) global i32 undef, align 4\n"
      "@first = internal addrspace(3) global [30000 x i32] undef, align 16\n"
      "@second = internal addrspace(3) global [40000 x i32] undef, align 16\n";
  for (std::string own : {"first", "second"})
    text += "define ptx_kernel void @use_" + own +
            "(ptr addrspace(1) %out) {\n"
            "  store i32 1, ptr addrspace(3) @both\n"
            "  %p = getelementptr i32, ptr addrspace(3) @" +
            own +
            ", i32 29999\n"
            "  store i32 2, ptr addrspace(3) %p\n"
            "  %a = load volatile i32, ptr addrspace(3) @both\n"
            "  %b = load volatile i32, ptr addrspace(3) %p\n"
            "  %sum = add i32 %a, %b\n"
            "  store i32 %sum, ptr addrspace(1) %out\n"
            "  ret void\n"
            "}\n";
  module = load(text);
  Shape shape;
  shape.block[0] = 1;
  for (auto [name, bytes] :
       {std::pair("use_first", 120016), std::pair("use_second", 160016)}) {
    CUfunction kernel = function(module, name);
    int found = 0;
    EXPECT_EQ(emulator.cuFuncGetAttribute(
                  &found, CU_FUNC_ATTRIBUTE_SHARED_SIZE_BYTES, kernel),
              CUDA_SUCCESS);
    EXPECT_EQ(found, bytes) << name;
    CUdeviceptr out = allocate(4);
    EXPECT_EQ(launch(kernel, shape, out), CUDA_SUCCESS) << report();
    EXPECT_EQ(download<int32_t>(out, 1)[0], 3);
  }
}

// In the layout of C, as PTX has it (PTX ISA, "Kernel Function Parameters").
TEST_F(SimtTest, ParametersAreDescribed) {
  CUmodule described =
      load("target datalayout = \"e-i64:64\"\n"
           "target triple = \"nvptx64-nvidia-cuda\"\n"
           "define ptx_kernel void @several(ptr addrspace(1) %a, i32 %b,\n"
           "    ptr byval([128 x i8]) align 64 %c, i32 %d, i64 %e) {\n"
           "  ret void\n"
           "}\n");
  CUfunction kernel = function(described, "several");
  std::vector<std::pair<size_t, size_t>> places;
  size_t offset = 0, bytes = 0;
  while (emulator.cuFuncGetParamInfo(kernel, places.size(), &offset, &bytes) ==
         CUDA_SUCCESS)
    places.emplace_back(offset, bytes);
  EXPECT_EQ(places, (std::vector<std::pair<size_t, size_t>>{
                        {0, 8}, {8, 4}, {64, 128}, {192, 4}, {200, 8}}));
  EXPECT_EQ(emulator.cuFuncGetParamInfo(kernel, 5, &offset, &bytes),
            CUDA_ERROR_INVALID_VALUE);
  EXPECT_EQ(emulator.cuFuncGetParamInfo(nullptr, 0, &offset, &bytes),
            CUDA_ERROR_INVALID_HANDLE);
}

TEST_F(SimtTest, SharedMemoryPastTheEndIsReported) {
  std::vector<int> x(128);
  CUdeviceptr dx = upload(x), counts = upload(x), out = allocate(512);
  Shape shape;
  shape.block[0] = 128;
  shape.shared = 128 * 4 - 4;
  EXPECT_EQ(
      launch(function(module, "count_and_mirror"), shape, dx, counts, out),
      CUDA_ERROR_LAUNCH_FAILED);
  EXPECT_EQ(kind(), "bounds");
}

TEST_F(SimtTest, MissingLaneIsReported) {
  // Lane 3 of each warp skips a shuffle whose mask names it.
  std::string text = edited(
      readInput("simt.ll"),
      "  %o8 = call float @llvm.nvvm.shfl.sync.bfly.f32(i32 -1, float %s16, "
      "i32 8, i32 31)\n",
      "  %bad = icmp eq i32 %tid, 3\n"
      "  br i1 %bad, label %exit, label %next\n"
      "next:\n"
      "  %o8 = call float @llvm.nvvm.shfl.sync.bfly.f32(i32 -1, float %s16, "
      "i32 8, i32 31)\n");
  module = load(text);
  std::vector<float> x(256);
  CUdeviceptr dx = upload(x), out = allocate(4);
  Shape shape;
  shape.block[0] = 256;
  for (int seed = 1; seed <= 10; ++seed) {
    setOptions("seed=" + std::to_string(seed));
    EXPECT_EQ(launch(function(module, "sum_exp2"), shape, dx, out),
              CUDA_ERROR_LAUNCH_FAILED);
    EXPECT_EQ(kind(), "protocol") << report();
    clear();
  }
}

TEST_F(SimtTest, BlockSizeAgainstTheKernel) {
  Shape shape;
  shape.block[0] = 512;
  CUdeviceptr x = allocate(4);
  EXPECT_EQ(launch(function(module, "sum_exp2"), shape, x, x),
            CUDA_ERROR_INVALID_VALUE);
  // More than 48 KiB of dynamic shared memory have to be asked for.
  CUlaunchConfig config = {};
  config.gridDimX = config.gridDimY = config.gridDimZ = 1;
  config.blockDimX = 32;
  config.blockDimY = config.blockDimZ = 1;
  config.sharedMemBytes = 49 << 10;
  void *parameters[] = {&x, &x};
  EXPECT_EQ(emulator.cuLaunchKernelEx(&config, function(module, "sum_exp2"),
                                      parameters, nullptr),
            CUDA_ERROR_INVALID_VALUE);
}

TEST_F(SimtTest, UnknownIntrinsicIsNamed) {
  std::string bitcode = assemble(R"(
target triple = "nvptx64-nvidia-cuda"
declare i32 @llvm.nvvm.read.ptx.sreg.pm0()
declare i32 @elsewhere()
define ptx_kernel void @k(ptr addrspace(1) %p) {
  %a = call i32 @llvm.nvvm.read.ptx.sreg.pm0()
  %b = call i32 @elsewhere()
  %c = call i32 asm "brev.b32 $0, $1;", "=r,r"(i32 %a)
  store i32 %c, ptr addrspace(1) %p
  ret void
}
)");
  CUmodule unknown = nullptr;
  char log[512] = "";
  CUjit_option options[] = {CU_JIT_ERROR_LOG_BUFFER,
                            CU_JIT_ERROR_LOG_BUFFER_SIZE_BYTES};
  void *values[] = {log, reinterpret_cast<void *>(sizeof(log))};
  EXPECT_EQ(
      emulator.cuModuleLoadDataEx(&unknown, bitcode.data(), 2, options, values),
      CUDA_ERROR_INVALID_IMAGE);
  EXPECT_EQ(kind(), "unsupported");
  for (const char *name : {"llvm.nvvm.read.ptx.sreg.pm0", "'elsewhere'",
                           "inline assembly 'brev.b32 $0,$1;'"})
    EXPECT_NE(std::string(log).find(name), std::string::npos) << log;
}

TEST_F(SimtTest, OptionsAreChecked) {
  for (const char *bad : {"sead=1", "seed=x", "sms=0", "cc=70", "seed"}) {
    EXPECT_EQ(emulator.dsv2_emulator_set_options(bad), -1) << bad;
    EXPECT_EQ(kind(), "option");
  }
}

TEST_F(SimtTest, GraphReplaysLaunchesAndCopies) {
  const int n = 100;
  std::vector<float> x = smallIntegers(n, 1), y = smallIntegers(n, 2);
  CUdeviceptr dx = upload(x), dy = upload(y), out = allocate(n * 4);
  CUstream stream;
  ASSERT_EQ(emulator.cuStreamCreate(&stream, CU_STREAM_NON_BLOCKING),
            CUDA_SUCCESS);
  ASSERT_EQ(emulator.cuStreamBeginCapture_v2(
                stream, CU_STREAM_CAPTURE_MODE_THREAD_LOCAL),
            CUDA_SUCCESS);
  Shape shape;
  shape.block[0] = 128;
  shape.stream = stream;
  CUfunction axpy = function(module, "axpy");
  ASSERT_EQ(launch(axpy, shape, dx, dy, out, n), CUDA_SUCCESS);
  ASSERT_EQ(emulator.cuMemcpyDtoDAsync_v2(dy, out, n * 4, stream),
            CUDA_SUCCESS);
  CUgraph graph;
  ASSERT_EQ(emulator.cuStreamEndCapture(stream, &graph), CUDA_SUCCESS);
  CUgraphExec executable;
  ASSERT_EQ(emulator.cuGraphInstantiateWithFlags(&executable, graph, 0),
            CUDA_SUCCESS);
  ASSERT_EQ(emulator.cuGraphDestroy(graph), CUDA_SUCCESS);
  EXPECT_EQ(download<float>(dy, n), y);
  for (int i = 0; i < 3; ++i)
    ASSERT_EQ(emulator.cuGraphLaunch(executable, stream), CUDA_SUCCESS);
  std::vector<float> result = download<float>(dy, n);
  for (int i = 0; i < n; ++i)
    ASSERT_EQ(result[i], y[i] + 6 * x[i]);
  EXPECT_EQ(emulator.cuGraphExecDestroy(executable), CUDA_SUCCESS);

  // Waiting for a stream that captures spoils the capture.
  ASSERT_EQ(emulator.cuStreamBeginCapture_v2(
                stream, CU_STREAM_CAPTURE_MODE_THREAD_LOCAL),
            CUDA_SUCCESS);
  EXPECT_EQ(emulator.cuStreamSynchronize(stream),
            CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED);
  EXPECT_EQ(emulator.cuStreamEndCapture(stream, &graph),
            CUDA_ERROR_STREAM_CAPTURE_INVALIDATED);
}

// A reduction that leaves out a step, and results that are read too early.
TEST_F(SimtTest, ReductionMutations) {
  const int threads = 256;
  std::vector<float> x(threads);
  float sum = 0;
  for (int i = 0; i < threads; ++i)
    sum += std::exp2(x[i] = float(i % 7));
  auto run = [&](CUmodule mutant) {
    CUdeviceptr dx = upload(x), out = allocate(4);
    Shape shape;
    shape.block[0] = threads;
    return judge(launch(function(mutant, "sum_exp2"), shape, dx, out),
                 [&] { return download<float>(out, 1)[0] == sum; });
  };
  std::string text = readInput("simt.ll");
  expectOnSeeds(text, run, {""});
  expectOnSeeds(
      edited(text, "float %s2, i32 1, i32 31", "float %s2, i32 0, i32 31"), run,
      {"wrong"});
  expectOnSeeds(edited(text,
                       "join:\n  call void "
                       "@llvm.nvvm.barrier.cta.sync.aligned.all(i32 0)\n",
                       "join:\n"),
                run, {"race", "poison"});
  // One warp fewer at the barrier than it waits for.
  expectOnSeeds(edited(text, "br i1 %first, label %keep, label %join",
                       "%w7 = icmp eq i32 %warp, 7\n"
                       "  br i1 %w7, label %spin, label %go\n"
                       "spin:\n"
                       "  %v = load volatile float, ptr addrspace(1) %px\n"
                       "  br label %spin\n"
                       "go:\n"
                       "  br i1 %first, label %keep, label %join"),
                run, {"livelock"});
}
