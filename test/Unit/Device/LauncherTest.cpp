//===- LauncherTest.cpp - launches that make no sense ---------------------===//
//
// Part of dsv2, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "Launcher.h"
#include "DeviceImpl.h"
#include "DeviceTestUtils.h"
#include "Graphs.h"

#include "dsv2rt/cuda/TensorMapRules.h"

using namespace dsv2rt;
using namespace dsv2rt::cuda;
using namespace dsv2test;

namespace {

/// Counts taps.
struct CountingSink : public TapSink {
  void tap(int32_t, int64_t, void *, int64_t, int64_t, int64_t,
           int32_t) override {
    ++taps;
  }
  int taps = 0;
};

class LauncherTest : public DeviceTest {
protected:
  LauncherTest()
      : device(take(Device::open("cuda"))),
        context(device->implementation().context),
        program(take(Program::load(context, sourceOf(deviceArtifact())))),
        stream(take(makeStream(context))), steps(context, stream.get()),
        launcher(*program, steps) {
    launcher.begin(sink, /*waitForEach=*/false);
  }
  ~LauncherTest() override { wait(); }

  void wait() {
    EXPECT_TRUE(context
                    ->call(context->driver().cuStreamSynchronize, "waiting",
                           stream.get())
                    .ok());
  }

  /// Launches "embed" for no tokens.
  Status embed(int32_t kernel, int32_t x, int32_t y, int32_t z) {
    uint64_t pointer = 0;
    int64_t count = 0;
    void *parameters[] = {&pointer, &pointer, &pointer, &count};
    launcher.launch(kernel, x, y, z, parameters, site);
    return launcher.failure();
  }

  /// Launches "logits" for no rows, with this head.
  Status logits(const dsv2rt_tensor &head) {
    uint64_t pointer = 0;
    int64_t count = 0;
    dsv2rt_tensor tensor = head;
    void *parameters[] = {&tensor,  &pointer, &pointer,
                          &pointer, &pointer, &count};
    launcher.launch(4, 1, 1, 1, parameters, site);
    return launcher.failure();
  }

  std::shared_ptr<Device> device;
  std::shared_ptr<Context> context;
  std::unique_ptr<Program> program;
  StreamHandle stream;
  StepStream steps;
  CountingSink sink;
  LaunchSite site;
  Launcher launcher;
};

/// A tensor of f32 [rows, columns] at an address of 16 times something.
dsv2rt_tensor matrix(int64_t rows, int64_t columns, uint64_t address = 4096) {
  return {reinterpret_cast<void *>(address), {columns, rows}, {4, columns * 4}};
}

} // namespace

TEST_F(LauncherTest, KernelsAndGridsAreChecked) {
  EXPECT_TRUE(embed(0, 1, 1, 1).ok());
  EXPECT_TRUE(embed(0, 1 << 20, 65535, 65535).ok());
  EXPECT_EQ(launcher.launches(), 2);
  for (int32_t kernel : {-1, 7, INT32_MAX}) {
    launcher.begin(sink, false);
    expectFailure(
        embed(kernel, 1, 1, 1), StatusCode::CorruptData,
        {"launches kernel " + std::to_string(kernel), "the manifest has 7"});
  }
  for (auto [x, y, z] : {std::array<int32_t, 3>{-1, 1, 1},
                         {1, 65536, 1},
                         {1, 1, 65536},
                         {1, -1, 1}}) {
    launcher.begin(sink, false);
    expectFailure(embed(0, x, y, z), StatusCode::Internal,
                  {"kernel 'embed'", "expected 0 to "});
  }
  // "update" runs in clusters of two.
  launcher.begin(sink, false);
  expectFailure(embed(3, 3, 1, 1), StatusCode::Internal,
                {"kernel 'update'", "multiple of the cluster's 2"});
}

TEST_F(LauncherTest, KernelsOfOtherChipsAreNotThere) {
  // Not looked for in the image, and not launched.
  EXPECT_EQ(program->kernels()[5].function, nullptr);
  launcher.launch(5, 1, 1, 1, nullptr, {});
  expectFailure(launcher.failure(), StatusCode::CorruptData,
                {"kernel 'elsewhere', which is for sm_70"});
  EXPECT_EQ(stub::calls("cuLaunchKernelEx"), 0);
}

TEST_F(LauncherTest, F109_FailuresNameTheOp) {
  auto expectPlace = [&](const std::string &entry, LaunchSite where,
                         const std::string &place) {
    launcher.begin(sink, false, entry);
    site = where;
    expectFailure(embed(0, -1, 1, 1), StatusCode::Internal,
                  {"with a grid of -1 x 1 x 1 blocks" + place + ": expected"});
    launcher.begin(sink, false, entry);
    expectFailure(embed(9, 1, 1, 1), StatusCode::CorruptData,
                  {"launches kernel 9" + place + "; the manifest has"});
    launcher.begin(sink, false, entry);
    expectFailure(logits(matrix(8, 64, 4100)), StatusCode::Internal,
                  {"for parameter 0 of kernel 'logits'", place});
    launcher.begin(sink, false, entry);
    stub::fail("cuLaunchKernelEx", 1, CUDA_ERROR_LAUNCH_FAILED);
    expectFailure(embed(0, 1, 1, 1), StatusCode::DeviceError,
                  {"launching kernel 'embed'", " blocks" + place + ": "});
  };
  expectPlace("", {}, "");
  expectPlace("decode", {}, ", in entry 'decode'");
  expectPlace("decode", {1, 3},
              ", for 'self_attn' of layer 3 in entry "
              "'decode'");
  expectPlace("prefill", {3, -1}, ", for 'lm_head' in entry 'prefill'");
  expectPlace("", {2, 0}, ", for 'mlp' of layer 0");
  // Numbers that the manifest does not know.
  expectPlace("decode", {77, 3}, ", in layer 3 in entry 'decode'");
  expectPlace("decode", {-5, -7}, ", in entry 'decode'");
}

TEST_F(LauncherTest, StepsCanAskAboutTheDevice) {
  EXPECT_EQ(launcher.deviceInfo(DSV2RT_MULTIPROCESSORS),
            device->info().multiprocessors);
  EXPECT_EQ(launcher.deviceInfo(DSV2RT_CHIP), 90);
  EXPECT_EQ(launcher.deviceInfo(2), 0);
  EXPECT_EQ(launcher.deviceInfo(-1), 0);
}

// Kernels that are checked and timed by themselves have no ranks.
TEST_F(LauncherTest, CollectivesNeedRanks) {
  EXPECT_EQ(launcher.collectives(), nullptr);
  expectFailure(launcher.failure(), StatusCode::CorruptData,
                {"calls a collective"});
}

TEST_F(LauncherTest, AGridWithoutBlocksStartsNothing) {
  EXPECT_TRUE(embed(0, 0, 1, 1).ok());
  EXPECT_TRUE(embed(0, 1, 0, 1).ok());
  EXPECT_TRUE(embed(0, 1, 1, 0).ok());
  EXPECT_EQ(launcher.launches(), 0);
  EXPECT_EQ(stub::calls("cuLaunchKernelEx"), 0);
}

TEST_F(LauncherTest, NothingFollowsAFailure) {
  EXPECT_FALSE(embed(-1, 1, 1, 1).ok());
  Status first = launcher.failure();
  EXPECT_FALSE(embed(7, 1, 1, 1).ok());
  EXPECT_EQ(launcher.failure().message(), first.message());
  (void)embed(0, 1, 1, 1);
  launcher.tap(0, 0, nullptr, 0, 0, 0, DSV2RT_F32);
  EXPECT_EQ(sink.taps, 0);
  EXPECT_EQ(stub::calls("cuLaunchKernelEx"), 0);
  launcher.begin(sink, false);
  EXPECT_TRUE(embed(0, 1, 1, 1).ok());
}

TEST_F(LauncherTest, TensorMapsAreEncodedOnce) {
  EXPECT_TRUE(logits(matrix(8, 64)).ok());
  EXPECT_TRUE(logits(matrix(8, 64)).ok());
  EXPECT_EQ(stub::calls("cuTensorMapEncodeTiled"), 1);
  EXPECT_TRUE(logits(matrix(9, 64)).ok());
  EXPECT_TRUE(logits(matrix(8, 64, 8192)).ok());
  dsv2rt_tensor strided = matrix(8, 64);
  strided.strides[1] = 512;
  EXPECT_TRUE(logits(strided).ok());
  // What is beyond the rank does not count.
  strided.dims[2] = 77, strided.strides[4] = 78;
  EXPECT_TRUE(logits(strided).ok());
  EXPECT_EQ(stub::calls("cuTensorMapEncodeTiled"), 4);
}

TEST_F(LauncherTest, TensorsThatFitNoMap) {
  dsv2rt_tensor inner = matrix(8, 64), odd = matrix(8, 64), wide = inner;
  inner.strides[0] = 8;
  odd.strides[1] = 260;
  wide.strides[1] = int64_t(1) << 40;
  const struct {
    dsv2rt_tensor tensor;
    const char *part;
  } cases[] = {
      {matrix(8, 64, 4100), "address: expected a multiple of 16"},
      {matrix(8, 64, 0), "address"},
      {matrix(0, 64), "dims[1]: expected 1 to 2^32, found 0"},
      {matrix(8, -64), "dims[0]"},
      {inner, "the innermost stride: expected 4, found 8"},
      {odd, "strides[0]: expected a multiple of 16 below 2^40, found 260"},
      {wide, "strides[0]"},
  };
  for (const auto &c : cases) {
    SCOPED_TRACE(c.part);
    launcher.begin(sink, false);
    expectFailure(logits(c.tensor), StatusCode::Internal,
                  {"the tensor for parameter 0 of kernel 'logits'", c.part});
  }
  EXPECT_EQ(stub::calls("cuTensorMapEncodeTiled"), 0);
}

TEST_F(LauncherTest, TensorMapRules) {
  cuuint64_t dims[2] = {64, 8}, strides[1] = {256};
  cuuint32_t box[2] = {32, 8};
  auto *address = reinterpret_cast<void *>(4096);
  auto problem = [&](CUtensorMapDataType type, cuuint32_t rank,
                     CUtensorMapSwizzle swizzle) {
    return tensorMapProblem(type, rank, address, dims, strides, box, swizzle);
  };
  constexpr auto f32 = CU_TENSOR_MAP_DATA_TYPE_FLOAT32;
  EXPECT_EQ(problem(f32, 2, CU_TENSOR_MAP_SWIZZLE_128B), "");
  expectHolds(problem(f32, 2, CU_TENSOR_MAP_SWIZZLE_64B),
              "at most the 64 bytes of the swizzle, found 128");
  expectHolds(problem(f32, 0, CU_TENSOR_MAP_SWIZZLE_NONE), "rank");
  expectHolds(problem(f32, 6, CU_TENSOR_MAP_SWIZZLE_NONE), "rank");
  expectHolds(problem(CUtensorMapDataType(77), 2, CU_TENSOR_MAP_SWIZZLE_NONE),
              "type");
  box[1] = 257;
  expectHolds(problem(f32, 2, CU_TENSOR_MAP_SWIZZLE_NONE), "box[1]");
  box[1] = 8, box[0] = 6;
  expectHolds(problem(f32, 2, CU_TENSOR_MAP_SWIZZLE_NONE),
              "box[0]: expected a multiple of 16 bytes, found 24");
}

TEST_F(LauncherTest, TapsOfImpossibleSizes) {
  for (auto [rows, columns, stride] :
       {std::array<int64_t, 3>{-1, 8, 8},
        {1, -8, 8},
        {2, 8, 7},
        {int64_t(1) << 40, int64_t(1) << 40, int64_t(1) << 40}}) {
    launcher.begin(sink, false);
    launcher.tap(1, 0, nullptr, rows, columns, stride, DSV2RT_F32);
    expectFailure(launcher.failure(), StatusCode::CorruptData,
                  {"site 1", "a tap of"});
  }
  launcher.begin(sink, false);
  launcher.tap(1, 0, nullptr, 0, 8, 8, DSV2RT_F32);
  EXPECT_TRUE(launcher.failure().ok());
  EXPECT_EQ(sink.taps, 1);
  // Memory that is none is for the driver to refuse.
  launcher.tap(1, 0, nullptr, 1, 8, 8, DSV2RT_F32);
  expectFailure(launcher.failure(), StatusCode::DeviceError,
                {"cuMemcpyDtoHAsync_v2 failed", "copying what site 1"});
}

TEST_F(LauncherTest, SeldomShapesAreForgotten) {
  Graphs graphs(context, stream.get());
  int launches = 0;
  auto run = [&](int64_t tokens) {
    bool replayed = false;
    EXPECT_TRUE(graphs
                    .run(
                        {0, tokens, tokens, tokens, 1},
                        [&] {
                          ++launches;
                          return embed(0, 1, 1, 1);
                        },
                        replayed)
                    .ok());
    return replayed;
  };
  // Two times each: once launched, once captured.
  for (int64_t tokens = 1; tokens <= 100; ++tokens) {
    EXPECT_FALSE(run(tokens));
    EXPECT_FALSE(run(tokens));
    EXPECT_TRUE(run(1)) << "used all the time";
  }
  EXPECT_EQ(launches, 2 * 100);
  EXPECT_EQ(graphs.size(), 64);
  wait();
  EXPECT_TRUE(run(100));
  EXPECT_FALSE(run(2));
  graphs.clear();
  EXPECT_EQ(graphs.size(), 0);
  EXPECT_FALSE(run(100));
}
