//===- GemmTest.cpp - products by mma.sync and wgmma, and what breaks them ===//
//
// Part of dsv2, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "EmulatorTest.h"

#include <array>

using namespace dsv2::test;

namespace {
/// C = A B^T or A B, with exact sums.
struct Problem {
  int m, n, k;
  std::vector<float> a, b, expected;

  Problem(int m, int n, int k, bool transposed)
      : m(m), n(n), k(k), a(smallIntegers(size_t(m) * k, 5)),
        b(smallIntegers(size_t(n) * k, 6)), expected(size_t(m) * n) {
    for (int i = 0; i < m; ++i)
      for (int j = 0; j < n; ++j)
        for (int l = 0; l < k; ++l)
          expected[i * n + j] +=
              a[i * k + l] * (transposed ? b[j * k + l] : b[l * n + j]);
  }
};

class GemmTest : public EmulatorTest {
protected:
  /// Runs mma_tile; returns what judge does.
  std::string runMma(CUmodule module, const Problem &p) {
    CUdeviceptr a = upload(halves(p.a)), b = upload(halves(p.b));
    CUdeviceptr c = allocate(64 * 8 * 4);
    Shape shape;
    shape.block[0] = 128;
    shape.shared = 2 * 2304;
    CUresult error =
        launch(function(module, "mma_tile"), shape, a, b, c, p.m, p.k);
    return judge(error, c, p);
  }

  std::string runWgmma(CUmodule module, const std::string &name,
                       const Problem &p) {
    CUdeviceptr a = upload(halves(p.a)), b = upload(halves(p.b));
    CUdeviceptr c = allocate(p.m * p.n * 4);
    CUtensorMap ma = encode(a, p.m, p.k, 64), mb = encode(b, p.n, p.k, 16);
    Shape shape;
    shape.grid[0] = (p.m + 63) / 64;
    shape.grid[1] = (p.n + 15) / 16;
    shape.block[0] = 256;
    shape.shared = 20480 + 32;
    CUresult error =
        launch(function(module, name), shape, ma, mb, c, p.m, p.n, p.k);
    return judge(error, c, p);
  }

  std::string judge(CUresult error, CUdeviceptr c, const Problem &p) {
    return EmulatorTest::judge(error, [&] {
      return download<float>(c, p.expected.size()) == p.expected;
    });
  }
};
} // namespace

//===----------------------------------------------------------------------===//
// cp.async, ldmatrix, mma.sync
//===----------------------------------------------------------------------===//

TEST_F(GemmTest, MmaSync) {
  for (int m : {64, 37})
    for (int k : {16, 32, 112}) {
      Problem p(m, 8, k, /*transposed=*/false);
      // The kernel writes all 64 rows.
      p.expected.resize(64 * 8);
      expectOnSeeds(readInput("mma.ll"),
                    [&](CUmodule module) { return runMma(module, p); }, {""});
    }
}

TEST_F(GemmTest, MmaSyncWithoutChecks) {
  setOptions("checks=0");
  Problem p(64, 8, 112, /*transposed=*/false);
  expectOnSeeds(readInput("mma.ll"),
                [&](CUmodule module) { return runMma(module, p); }, {""});
}

TEST_F(GemmTest, MmaSyncMutations) {
  Problem p(64, 8, 112, /*transposed=*/false);
  std::string text = readInput("mma.ll");
  auto expect = [&](const std::string &mutant, std::vector<std::string> kinds) {
    expectOnSeeds(
        mutant, [&](CUmodule module) { return runMma(module, p); }, kinds);
  };
  const std::string sync =
      "  call void @llvm.nvvm.barrier.cta.sync.aligned.all(i32 0)\n";
  // A dropped wait, and one for a group too few.
  expect(
      edited(text, "  call void @llvm.nvvm.cp.async.wait.group(i32 1)\n", ""),
      {"race"});
  expect(
      edited(text, "cp.async.wait.group(i32 1)", "cp.async.wait.group(i32 2)"),
      {"race"});
  // Dropped barriers, before and after the reads.
  expect(edited(text, "  ; and those of all threads\n" + sync, ""), {"race"});
  expect(edited(text, "  ; nobody reads this stage any more\n" + sync, ""),
         {"race"});
  // Rows that a copy misses, or too few bytes of them.
  expect(edited(text, "i32 16, i32 0\n", "i32 8, i32 0\n"), {"wrong"});
  // A stage that the reads take from the wrong place.
  expect(
      edited(text, "%ao = add i32 %base, %aoff", "%ao = sub i32 %aoff, %base"),
      {"bounds", "race"});
}

//===----------------------------------------------------------------------===//
// Tensor memory accelerator, mbarriers, wgmma
//===----------------------------------------------------------------------===//

TEST_F(GemmTest, Wgmma) {
  for (const char *name : {"gemm_ss", "gemm_rs"})
    for (auto [m, n, k] : {std::array{64, 16, 64}, std::array{128, 32, 256},
                           std::array{100, 24, 200}}) {
      Problem p(m, n, k, /*transposed=*/true);
      expectOnSeeds(readInput("wgmma.ll"),
                    [&](CUmodule module) { return runWgmma(module, name, p); },
                    {""});
    }
}

TEST_F(GemmTest, WgmmaWithoutChecks) {
  setOptions("checks=0");
  Problem p(100, 24, 200, /*transposed=*/true);
  expectOnSeeds(readInput("wgmma.ll"),
                [&](CUmodule module) { return runWgmma(module, "gemm_ss", p); },
                {""});
}

TEST_F(GemmTest, WgmmaMutations) {
  Problem p(64, 16, 320, /*transposed=*/true);
  std::string text = readInput("wgmma.ll");
  auto expect = [&](const std::string &mutant, std::vector<std::string> kinds,
                    const char *name = "gemm_ss") {
    SCOPED_TRACE(name);
    expectOnSeeds(
        mutant, [&](CUmodule module) { return runWgmma(module, name, p); },
        kinds);
  };
  // The consumer does not wait for the copies.
  expect(edited(text,
                "  call void @wait(ptr addrspace(3) %full, i32 %parity)\n", "",
                2),
         {"race"});
  // The producer does not wait for the stage.
  expect(edited(text,
                "  call void @wait(ptr addrspace(3) %pempty, i32 %pparity)\n",
                "", 2),
         {"race", "protocol"});
  // Phases swapped on either side.
  expect(edited(text, "%pparity = xor i32 %pbit, 1",
                "%pparity = xor i32 %pbit, 0", 2),
         {"livelock"});
  expect(edited(text, "%parity = and i32 %round, 1\n",
                "%even = and i32 %round, 1\n  %parity = xor i32 %even, 1\n", 2),
         {"race", "livelock"});
  // Wrong numbers of bytes.
  expect(edited(text, "i32 10240)\n  %poff", "i32 10256)\n  %poff", 2),
         {"livelock"});
  expect(edited(text, "i32 10240)\n  %poff", "i32 8192)\n  %poff", 2),
         {"livelock", "race", "protocol"});
  // A stage released before its products have read it.
  expect(edited(text, "wait_group.sync.aligned(i64 0)\n",
                "wait_group.sync.aligned(i64 1)\n", 2),
         {"race", "protocol"});
  expect(edited(text,
                "  call void @llvm.nvvm.wgmma.wait_group.sync.aligned(i64 0)\n",
                "", 2),
         {"race", "protocol"});
  // Dropped fences.
  expect(edited(text, "  call void @llvm.nvvm.wgmma.fence.sync.aligned()\n", "",
                2),
         {"protocol"});
  expect(
      edited(text,
             "  call void @llvm.nvvm.fence.mbarrier_init.release.cluster()\n",
             "", 2),
      {"lifetime"});
  // Dropped arrivals.
  expect(edited(text,
                "  %st = call i64 @llvm.nvvm.mbarrier.arrive.shared(ptr "
                "addrspace(3) %empty)\n",
                "", 2),
         {"livelock"});
  expect(
      edited(text,
             "  %state = call i64 @llvm.nvvm.mbarrier.arrive.expect.tx.scope."
             "cta.space.cta(ptr addrspace(3) %pfull, i32 10240)\n",
             "", 2),
      {"livelock"});
  // No barrier between initialisation and use.
  expect(edited(text,
                "start:\n  call void "
                "@llvm.nvvm.barrier.cta.sync.aligned.all(i32 0)\n",
                "start:\n", 2),
         {"lifetime"});
  // An initialisation that comes twice, a count that is too high.
  expect(edited(text,
                "  call void @llvm.nvvm.mbarrier.init.shared(ptr addrspace(3) "
                "%full1, i32 1)\n",
                "  call void @llvm.nvvm.mbarrier.init.shared(ptr addrspace(3) "
                "%bars, i32 1)\n",
                2),
         {"lifetime"});
  expect(
      edited(text,
             "@llvm.nvvm.mbarrier.init.shared(ptr addrspace(3) %empties, i32 "
             "1)",
             "@llvm.nvvm.mbarrier.init.shared(ptr addrspace(3) %empties, i32 "
             "2)",
             2),
      {"livelock"});
  // With A in registers: lanes that have not read their fragments.
  expect(edited(text,
                "  call void @llvm.nvvm.barrier.cta.sync.aligned.count(i32 1, "
                "i32 128)\n",
                ""),
         {"race"}, "gemm_rs");
  // The next fragments are loaded where a product under way still reads.
  expect(edited(text, "wgmma.wait_group.sync.aligned(i64 0)",
                "wgmma.wait_group.sync.aligned(i64 1)", 2),
         {"race"}, "gemm_rs");
  EXPECT_NE(lastReport.find("left operands of wgmma"), std::string::npos)
      << lastReport;
  // One warp does not take part.
  expect(edited(text, "br i1 %producer, label %produce, label %consume\n",
                "br i1 %producer, label %produce, label %some\n"
                "some:\n"
                "  %odd = icmp ugt i32 %tid, 223\n"
                "  br i1 %odd, label %exit, label %consume\n",
                2),
         {"protocol"});
}

TEST_F(GemmTest, LivelockSaysWhoWaitsForWhat) {
  Problem p(64, 16, 320, /*transposed=*/true);
  CUmodule module = load(edited(readInput("wgmma.ll"), "i32 10240)\n  %poff",
                                "i32 10256)\n  %poff", 2));
  EXPECT_EQ(runWgmma(module, "gemm_ss", p), "livelock");
  for (const char *part :
       {"128 of threads 128 to 255 poll the mbarrier at shared+20480 (phase 0, "
        "0 of 1 arrivals and 16 bytes missing)",
        "1 of threads 0 to 0 poll the mbarrier at shared+20496",
        "mbarrier.try.wait.parity", "kernel 'gemm_ss', seed 1"})
    EXPECT_NE(lastReport.find(part), std::string::npos) << lastReport;
}
