//===- TensorTest.cpp - copies of tensors, and the statements of inline assembly
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
class TensorTest : public EmulatorTest {};

/// A tensor whose element at a place has the value of that place.
struct Tensor {
  int rank;
  CUtensorMapDataType type;
  int bytes;
  std::vector<int> dims, box, at;
  int swizzle; // As the driver numbers them.
  bool fillNan = false;
};
} // namespace

/// IR that copies a box to shared memory and from there, as it lies, to `out`.
static std::string boxKernel(const Tensor &t, int boxBytes) {
  std::string coordinates, types;
  for (int at : t.at) {
    coordinates += "i32 " + std::to_string(at) + ", ";
    types += "i32, ";
  }
  std::string name = "@llvm.nvvm.cp.async.bulk.tensor.g2s.tile." +
                     std::to_string(t.rank) + "d";
  return "target triple = \"nvptx64-nvidia-cuda\"\n"
         "@dsv2_smem = external addrspace(3) global [0 x i8], align 1024\n"
         "@full = internal addrspace(3) global i64 undef, align 8\n"
         "declare i32 @llvm.nvvm.read.ptx.sreg.tid.x()\n"
         "declare void @llvm.nvvm.barrier.cta.sync.aligned.all(i32)\n"
         "declare void @llvm.nvvm.mbarrier.init.shared(ptr addrspace(3), i32)\n"
         "declare void @llvm.nvvm.fence.mbarrier_init.release.cluster()\n"
         "declare i64 @llvm.nvvm.mbarrier.arrive.expect.tx.scope.cta.space.cta("
         "ptr addrspace(3), i32)\n"
         "declare i1 @llvm.nvvm.mbarrier.try.wait.scope.cta.space.cta(ptr "
         "addrspace(3), i64)\n"
         "declare void " +
         name + "(ptr addrspace(7), ptr addrspace(3), ptr, " + types +
         "i16, i64, i1 immarg, i1 immarg, i32 immarg)\n"
         "define ptx_kernel void @k(ptr byval([128 x i8]) align 64 %map, ptr "
         "addrspace(1) %out) {\n"
         "  %tid = call i32 @llvm.nvvm.read.ptx.sreg.tid.x()\n"
         "  %leader = icmp eq i32 %tid, 0\n"
         "  br i1 %leader, label %load, label %ready\n"
         "load:\n"
         "  call void @llvm.nvvm.mbarrier.init.shared(ptr addrspace(3) @full, "
         "i32 1)\n"
         "  call void @llvm.nvvm.fence.mbarrier_init.release.cluster()\n"
         "  %s = call i64 "
         "@llvm.nvvm.mbarrier.arrive.expect.tx.scope.cta.space.cta(ptr "
         "addrspace(3) @full, i32 " +
         std::to_string(boxBytes) +
         ")\n"
         "  %to = addrspacecast ptr addrspace(3) @dsv2_smem to ptr "
         "addrspace(7)\n"
         "  call void " +
         name + "(ptr addrspace(7) %to, ptr addrspace(3) @full, ptr %map, " +
         coordinates +
         "i16 0, i64 0, i1 0, i1 0, i32 0)\n"
         "  br label %poll\n"
         "poll:\n"
         "  %done = call i1 "
         "@llvm.nvvm.mbarrier.try.wait.scope.cta.space.cta(ptr addrspace(3) "
         "@full, i64 %s)\n"
         "  br i1 %done, label %ready, label %poll\n"
         "ready:\n"
         "  call void @llvm.nvvm.barrier.cta.sync.aligned.all(i32 0)\n"
         "  br label %copy\n"
         "copy:\n"
         "  %i = phi i32 [ %tid, %ready ], [ %i1, %copy ]\n"
         "  %ps = getelementptr i32, ptr addrspace(3) @dsv2_smem, i32 %i\n"
         "  %v = load i32, ptr addrspace(3) %ps\n"
         "  %po = getelementptr i32, ptr addrspace(1) %out, i32 %i\n"
         "  store i32 %v, ptr addrspace(1) %po\n"
         "  %i1 = add i32 %i, 32\n"
         "  %more = icmp slt i32 %i1, " +
         std::to_string(boxBytes / 4) +
         "\n"
         "  br i1 %more, label %copy, label %exit\n"
         "exit:\n  ret void\n}\n";
}

TEST_F(TensorTest, BoxesOfAllRanksSwizzlesAndTails) {
  const auto bf = CU_TENSOR_MAP_DATA_TYPE_BFLOAT16;
  const auto f4 = CU_TENSOR_MAP_DATA_TYPE_FLOAT32;
  const auto u1 = CU_TENSOR_MAP_DATA_TYPE_UINT8;
  const std::vector<Tensor> tensors = {
      {1, f4, 4, {100}, {64}, {50}, 0},
      {1, f4, 4, {100}, {32}, {-5}, 3, true},
      {2, bf, 2, {72, 20}, {64, 16}, {16, 8}, 3},
      {2, bf, 2, {72, 20}, {64, 16}, {-8, -3}, 3, true},
      {2, bf, 2, {40, 20}, {32, 16}, {8, 8}, 2},
      {2, bf, 2, {40, 20}, {16, 16}, {32, 1}, 1},
      {2, u1, 1, {80, 9}, {128, 8}, {0, 4}, 3},
      {3, bf, 2, {64, 5, 4}, {64, 4, 3}, {0, 3, 2}, 3},
      {4, f4, 4, {24, 3, 3, 3}, {16, 2, 2, 2}, {12, 1, 2, 0}, 2},
      {5, bf, 2, {8, 3, 2, 2, 3}, {8, 2, 2, 2, 2}, {0, 1, 1, 0, 2}, 0},
  };
  for (const Tensor &t : tensors) {
    SCOPED_TRACE("rank " + std::to_string(t.rank) + " swizzle " +
                 std::to_string(t.swizzle));
    // Rows are padded to 16 bytes; each element is its number, in its bytes.
    uint64_t dims[5], strides[5] = {uint64_t(t.bytes)}, total = t.bytes;
    uint32_t box[5], ones[5] = {1, 1, 1, 1, 1};
    int boxBytes = t.bytes;
    for (int i = 0; i < t.rank; ++i) {
      dims[i] = t.dims[i];
      box[i] = t.box[i];
      strides[i] = total;
      total = (total * t.dims[i] + 15) / 16 * 16;
      boxBytes *= t.box[i];
    }
    std::vector<unsigned char> data(total);
    for (size_t i = 0; i < data.size(); ++i)
      data[i] = (i * 37 + 11) % 251;
    CUdeviceptr tensor = upload(data), out = allocate(boxBytes);
    CUtensorMap map;
    ASSERT_EQ(emulator.cuTensorMapEncodeTiled(
                  &map, t.type, t.rank, reinterpret_cast<void *>(tensor), dims,
                  strides + 1, box, ones, CU_TENSOR_MAP_INTERLEAVE_NONE,
                  CUtensorMapSwizzle(t.swizzle),
                  CU_TENSOR_MAP_L2_PROMOTION_NONE,
                  t.fillNan ? CU_TENSOR_MAP_FLOAT_OOB_FILL_NAN_REQUEST_ZERO_FMA
                            : CU_TENSOR_MAP_FLOAT_OOB_FILL_NONE),
              CUDA_SUCCESS)
        << report();
    Shape shape;
    shape.shared = boxBytes;
    CUmodule module = load(boxKernel(t, boxBytes));
    ASSERT_EQ(launch(function(module, "k"), shape, map, out), CUDA_SUCCESS)
        << report();
    std::vector<unsigned char> found = download<unsigned char>(out, boxBytes);

    // Element by element.
    int elements = boxBytes / t.bytes;
    for (int e = 0; e < elements; ++e) {
      uint64_t from = 0;
      bool inside = true;
      int rest = e;
      for (int i = 0; i < t.rank; ++i) {
        int place = t.at[i] + rest % t.box[i];
        rest /= t.box[i];
        inside &= place >= 0 && place < t.dims[i];
        from += place * strides[i];
      }
      int to = e * t.bytes, line = to / 128;
      int chunk = to / 16 % 8;
      if (t.swizzle)
        chunk ^= line % (1 << t.swizzle);
      to = line * 128 + chunk * 16 + to % 16;
      for (int b = 0; b < t.bytes; ++b)
        ASSERT_EQ(found[to + b], inside      ? data[from + b]
                                 : t.fillNan ? 0xFF
                                             : 0)
            << "element " << e;
    }
    ASSERT_EQ(emulator.cuModuleUnload(module), CUDA_SUCCESS);
  }
}

// A tensor map that says more than there is: the driver cannot know, the
// emulator can.
TEST_F(TensorTest, MapBeyondItsMemoryIsReported) {
  Tensor t{2, CU_TENSOR_MAP_DATA_TYPE_BFLOAT16, 2, {64, 16}, {64, 16}, {0, 0},
           3};
  CUdeviceptr tensor = allocate(64 * 15 * 2), out = allocate(64 * 16 * 2);
  CUtensorMap map = encode(tensor, 16, 64, 16);
  Shape shape;
  shape.shared = 2048;
  CUmodule module = load(boxKernel(t, 2048));
  EXPECT_EQ(launch(function(module, "k"), shape, map, out),
            CUDA_ERROR_LAUNCH_FAILED);
  EXPECT_EQ(kind(), "bounds") << report();
}

TEST_F(TensorTest, AMapThatIsNoneIsReported) {
  Tensor t{2, CU_TENSOR_MAP_DATA_TYPE_BFLOAT16, 2, {64, 16}, {64, 16}, {0, 0},
           3};
  CUtensorMap map = {};
  Shape shape;
  shape.shared = 2048;
  CUmodule module = load(boxKernel(t, 2048));
  EXPECT_EQ(launch(function(module, "k"), shape, map, allocate(2048)),
            CUDA_ERROR_LAUNCH_FAILED);
  EXPECT_EQ(kind(), "protocol") << report();
}

//===----------------------------------------------------------------------===//
// Inline assembly
//===----------------------------------------------------------------------===//

static const char *const handOver = R"(
target triple = "nvptx64-nvidia-cuda"
@box = internal addrspace(3) global [32 x i32] undef, align 4
declare i32 @llvm.nvvm.read.ptx.sreg.tid.x()
declare void @llvm.nvvm.barrier.cta.sync.aligned.count(i32, i32)
define ptx_kernel void @k(ptr addrspace(1) %in, ptr addrspace(1) %out) {
  %tid = call i32 @llvm.nvvm.read.ptx.sreg.tid.x()
  %lane = and i32 %tid, 31
  %hidden = call i32 asm sideeffect "mov.b32 $0, $1;", "=r,r"(i32 %lane)
  %p = getelementptr [32 x i32], ptr addrspace(3) @box, i32 0, i32 %hidden
  %gives = icmp slt i32 %tid, 32
  br i1 %gives, label %give, label %get
give:
  %pi = getelementptr i32, ptr addrspace(1) %in, i32 %lane
  %v = load i32, ptr addrspace(1) %pi
  store i32 %v, ptr addrspace(3) %p
  call void asm sideeffect "bar.arrive 3, 64;", "~{memory}"()
  ret void
get:
  call void @llvm.nvvm.barrier.cta.sync.aligned.count(i32 3, i32 64)
  %w = load i32, ptr addrspace(3) %p
  %po = getelementptr i32, ptr addrspace(1) %out, i32 %lane
  store i32 %w, ptr addrspace(1) %po
  ret void
}
)";

TEST_F(TensorTest, BarrierArriveHandsOver) {
  std::vector<uint32_t> in(32);
  for (uint32_t i = 0; i < 32; ++i)
    in[i] = i * i;
  auto run = [&](CUmodule module) {
    CUdeviceptr din = upload(in), out = allocate(128);
    Shape shape;
    shape.block[0] = 64;
    return judge(launch(function(module, "k"), shape, din, out),
                 [&] { return download<uint32_t>(out, 32) == in; });
  };
  expectOnSeeds(handOver, run, {""});
  // The same with operands.
  expectOnSeeds(edited(handOver,
                       "asm sideeffect \"bar.arrive 3, 64;\", \"~{memory}\"()",
                       "asm sideeffect \"bar.arrive $0, $1;\", \"r,r\"(i32 3, "
                       "i32 64)"),
                run, {""});
  // Another barrier, another count, none at all.
  expectOnSeeds(edited(handOver, "bar.arrive 3, 64", "bar.arrive 4, 64"), run,
                {"deadlock"});
  expectOnSeeds(edited(handOver, "bar.arrive 3, 64", "bar.arrive 3, 96"), run,
                {"protocol"});
  expectOnSeeds(edited(handOver,
                       "  call void asm sideeffect \"bar.arrive 3, 64;\", "
                       "\"~{memory}\"()\n",
                       ""),
                run, {"deadlock"});
  // The arrival before the write.
  expectOnSeeds(
      edited(edited(handOver,
                    "  call void asm sideeffect \"bar.arrive 3, 64;\","
                    " \"~{memory}\"()\n",
                    ""),
             "give:\n",
             "give:\n  call void asm sideeffect \"bar.arrive 3, 64;\","
             " \"~{memory}\"()\n"),
      run, {"race", "poison"});
}

TEST_F(TensorTest, OtherAssemblyIsRefused) {
  for (const char *text :
       {"bar.arrive 3;", "mov.b16 $0, $1;", "wgmma.wait_group.sync.aligned -1;",
        "wgmma.mma_async.sync.aligned.m64n8k16.f32.bf16.bf16"}) {
    std::string bitcode = assemble(edited(handOver, "bar.arrive 3, 64;", text));
    CUmodule module = nullptr;
    EXPECT_EQ(emulator.cuModuleLoadDataEx(&module, bitcode.data(), 0, nullptr,
                                          nullptr),
              CUDA_ERROR_INVALID_IMAGE)
        << text;
    EXPECT_EQ(kind(), "unsupported");
    EXPECT_NE(report().find("inline assembly '" + std::string(text, 8)),
              std::string::npos)
        << report();
  }
}

// wgmma.fence and wgmma.wait_group that hold the accumulators, as the compiler
// writes them, in the kernels of GemmTest.
TEST_F(TensorTest, TiedFenceAndWait) {
  CUmodule module = load(R"(
target triple = "nvptx64-nvidia-cuda"
declare i32 @llvm.nvvm.read.ptx.sreg.tid.x()
declare void @llvm.nvvm.wgmma.commit_group.sync.aligned()
define ptx_kernel void @k(ptr addrspace(1) %out) {
  %tid = call i32 @llvm.nvvm.read.ptx.sreg.tid.x()
  %f = sitofp i32 %tid to float
  %a = call { float, i32 } asm sideeffect "wgmma.fence.sync.aligned;", "=f,=r,0,1"(float %f, i32 %tid)
  %b = extractvalue { float, i32 } %a, 0
  %c = extractvalue { float, i32 } %a, 1
  call void @llvm.nvvm.wgmma.commit_group.sync.aligned()
  %d = call float asm sideeffect "wgmma.wait_group.sync.aligned 0;", "=f,0,~{memory}"(float %b)
  %e = fptosi float %d to i32
  %s = add i32 %e, %c
  %p = getelementptr i32, ptr addrspace(1) %out, i32 %tid
  store i32 %s, ptr addrspace(1) %p
  ret void
}
)");
  CUdeviceptr out = allocate(512);
  Shape shape;
  shape.block[0] = 128;
  ASSERT_EQ(launch(function(module, "k"), shape, out), CUDA_SUCCESS)
      << report();
  std::vector<int> found = download<int>(out, 128);
  for (int i = 0; i < 128; ++i)
    EXPECT_EQ(found[i], 2 * i);
}

//===----------------------------------------------------------------------===//
// cp.async that arrives at an mbarrier, and a plain bulk copy back
//===----------------------------------------------------------------------===//

TEST_F(TensorTest, CopiesThatArrive) {
  const std::string text = R"(
target triple = "nvptx64-nvidia-cuda"
@box = internal addrspace(3) global [128 x i32] undef, align 16
@full = internal addrspace(3) global i64 undef, align 8
declare i32 @llvm.nvvm.read.ptx.sreg.tid.x()
declare void @llvm.nvvm.barrier.cta.sync.aligned.all(i32)
declare void @llvm.nvvm.mbarrier.init.shared(ptr addrspace(3), i32)
declare i1 @llvm.nvvm.mbarrier.test.wait.parity.scope.cta.space.cta(ptr addrspace(3), i32)
declare void @llvm.nvvm.cp.async.ca.shared.global.16(ptr addrspace(3), ptr addrspace(1))
declare void @llvm.nvvm.cp.async.mbarrier.arrive.noinc.shared(ptr addrspace(3))
declare void @llvm.nvvm.fence.proxy.async.shared_cta()
declare void @llvm.nvvm.cp.async.bulk.shared.cta.to.global(ptr addrspace(1), ptr addrspace(3), i32, i64, i1 immarg)
declare void @llvm.nvvm.cp.async.bulk.commit.group()
declare void @llvm.nvvm.cp.async.bulk.wait.group(i32 immarg)
define ptx_kernel void @k(ptr addrspace(1) %in, ptr addrspace(1) %out) {
entry:
  %tid = call i32 @llvm.nvvm.read.ptx.sreg.tid.x()
  %leader = icmp eq i32 %tid, 0
  br i1 %leader, label %init, label %start
init:
  call void @llvm.nvvm.mbarrier.init.shared(ptr addrspace(3) @full, i32 32)
  br label %start
start:
  call void @llvm.nvvm.barrier.cta.sync.aligned.all(i32 0)
  %ps = getelementptr <4 x i32>, ptr addrspace(1) %in, i32 %tid
  %pd = getelementptr <4 x i32>, ptr addrspace(3) @box, i32 %tid
  call void @llvm.nvvm.cp.async.ca.shared.global.16(ptr addrspace(3) %pd, ptr addrspace(1) %ps)
  call void @llvm.nvvm.cp.async.mbarrier.arrive.noinc.shared(ptr addrspace(3) @full)
  br i1 %leader, label %poll, label %exit
poll:
  %done = call i1 @llvm.nvvm.mbarrier.test.wait.parity.scope.cta.space.cta(ptr addrspace(3) @full, i32 0)
  br i1 %done, label %store, label %poll
store:
  call void @llvm.nvvm.fence.proxy.async.shared_cta()
  call void @llvm.nvvm.cp.async.bulk.shared.cta.to.global(ptr addrspace(1) %out, ptr addrspace(3) @box, i32 512, i64 0, i1 0)
  call void @llvm.nvvm.cp.async.bulk.commit.group()
  call void @llvm.nvvm.cp.async.bulk.wait.group(i32 0)
  br label %exit
exit:
  ret void
}
)";
  std::vector<uint32_t> in(128);
  for (uint32_t i = 0; i < 128; ++i)
    in[i] = i * 3 + 1;
  auto run = [&](CUmodule module) {
    CUdeviceptr din = upload(in), out = allocate(512);
    return judge(launch(function(module, "k"), Shape(), din, out),
                 [&] { return download<uint32_t>(out, 128) == in; });
  };
  expectOnSeeds(text, run, {""});
  expectOnSeeds(edited(text, "br i1 %done, label %store, label %poll",
                       "br i1 %done, label %store, label %store"),
                run, {"race", "lifetime"});
  expectOnSeeds(
      edited(text, "  call void @llvm.nvvm.fence.proxy.async.shared_cta()\n",
             ""),
      run, {"proxy"});
  // An arrival that waits for no copy, and one more than the barrier counts on.
  expectOnSeeds(
      edited(text, "call void @llvm.nvvm.cp.async.mbarrier.arrive.noinc.shared",
             "call i64 @llvm.nvvm.mbarrier.arrive.shared") +
          "declare i64 @llvm.nvvm.mbarrier.arrive.shared(ptr addrspace(3))\n",
      run, {"race"});
  expectOnSeeds(edited(text, "ptr addrspace(3) @full, i32 32)",
                       "ptr addrspace(3) @full, i32 33)"),
                run, {"livelock"});
}
