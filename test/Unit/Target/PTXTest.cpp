//===- PTXTest.cpp - what is read out of PTX ------------------------------===//
//
// Part of dsv2, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "dsv2/Target/PTX.h"

#include "gtest/gtest.h"

using namespace mlir::dsv2;
using Kind = InstructionKind;

/// The one kernel whose body is `body`, which starts on line 3.
static PTXKernel parseBody(llvm::StringRef body,
                           llvm::StringRef directives = "") {
  std::string text = (".version 8.0\n.visible .entry k(.param .u64 x) " +
                      directives + " {\n" + body + "\n}\n")
                         .str();
  auto kernels = parsePTX(text);
  EXPECT_TRUE(bool(kernels)) << llvm::toString(kernels.takeError());
  EXPECT_EQ(kernels->size(), 1u);
  return kernels->front();
}

/// The kinds that `statement` counts for, by name.
static std::string getKinds(llvm::StringRef statement) {
  PTXKernel kernel = parseBody(statement);
  std::string kinds;
  for (size_t i = 0; i < kInstructionKinds; ++i) {
    auto kind = static_cast<Kind>(i);
    for (int64_t n = 0; n < kernel.counts[kind]; ++n)
      kinds += (kinds.empty() ? "" : " ") + getName(kind).str();
  }
  return kinds;
}

TEST(PTX, Classifies) {
  const std::pair<const char *, const char *> cases[] = {
      {"ld.global.nc.v4.b32 {%r1, %r2, %r3, %r4}, [%rd1];", "global_load_16"},
      {"ld.global.nc.L1::no_allocate.L2::128B.v4.f32 {a,b,c,d}, [%rd1];",
       "global_load_16"},
      {"ld.global.v2.b64 {%rd1, %rd2}, [%rd1];", "global_load_16"},
      {"ld.acquire.gpu.global.u64 %rd1, [%rd1];", "global_load_8"},
      {"ld.global.b16 %rs1, [%rd1];", "global_load_2"},
      {"ld.global.s8 %rs1, [%rd1];", "global_load_1"},
      {"@%p1 st.global.f32 [%rd1], %f1;", "global_store_4"},
      {"@!%p1 st.global.v2.f32 [%rd1], {%f1, %f2};", "global_store_8"},
      {"ld.shared::cta.v4.f32 {a,b,c,d}, [%r1];", "shared_load"},
      {"st.shared.b32 [%r1], %r2;", "shared_store"},
      {"ld.param.b64 %rd1, [x];", ""},
      {"ld.const.b32 %r1, [c];", ""},
      {"ld.b32 %r1, [%rd1];", "generic_access"},
      {"st.volatile.b32 [%rd1], %r1;", "generic_access"},
      {"red.add.u32 [%rd1], 1;", "red generic_access"},
      {"st.local.b32 [%r1], %r2;", "local_access"},
      {"wgmma.mma_async.sync.aligned.m64n8k16.f32.bf16.bf16 {a,b,c,d}, e, f, "
       "1, 1, 1, 0, 0;",
       "wgmma"},
      {"wgmma.fence.sync.aligned;", ""},
      {"mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 a, b, c, d;",
       "mma"},
      {"ldmatrix.sync.aligned.m8n8.x4.shared.b16 {a,b,c,d}, [%r1];",
       "ldmatrix"},
      {"ldmatrix.sync.aligned.m8n8.x1.b16 {a}, [%rd1];",
       "ldmatrix generic_access"},
      {"cp.async.cg.shared.global [%r1], [%rd1], 16;", "cp_async"},
      {"cp.async.commit_group;", ""},
      {"cp.async.bulk.wait_group.read 0;", ""},
      {"cp.async.mbarrier.arrive.noinc.shared.b64 [%r1];", "mbarrier"},
      {"cp.async.bulk.tensor.2d.shared::cluster.global.tile.mbarrier::"
       "complete_tx::bytes [a], [b, {c, d}], [e];",
       "tma_load"},
      {"cp.async.bulk.tensor.2d.global.shared::cta.tile.bulk_group [a, {b, c}]"
       ", [d];",
       "tma_store"},
      {"cp.reduce.async.bulk.tensor.1d.global.shared::cta.add.tile.bulk_group "
       "[a, {b}], [d];",
       "tma_store"},
      {"cp.async.bulk.prefetch.tensor.1d.L2.global.tile [a, {b}];", ""},
      {"cp.async.bulk.shared::cluster.global.mbarrier::complete_tx::bytes [a], "
       "[b], 16, [c];",
       "bulk_copy"},
      {"mbarrier.try_wait.parity.shared.b64 %p1, [%r1], %r2;", "mbarrier"},
      {"mbarrier.init.b64 [%rd1], %r2;", "mbarrier generic_access"},
      {"setmaxnreg.dec.sync.aligned.u32 40;", "setmaxnreg"},
      {"bar.sync 0;", "barrier"},
      {"barrier.cta.sync.aligned.all 0;", "barrier"},
      {"bar.warp.sync -1;", ""},
      {"barrier.cluster.arrive.aligned;", "cluster_barrier"},
      {"fence.acq_rel.gpu;", "fence"},
      {"membar.gl;", "fence"},
      {"fence.proxy.async.shared::cta;", "fence_proxy"},
      {"fence.mbarrier_init.release.cluster;", ""},
      {"shfl.sync.bfly.b32 %r1, %r2, 1, 31, -1;", "shfl"},
      {"ex2.approx.ftz.f32 %f1, %f2;", "special"},
      {"call.uni (retval), f, (param);", "call"},
      {"$L__BB0_1: $L__BB0_2: bar.sync 0;", "barrier"},
      {"{ .reg .pred p; bar.sync 0; }", "barrier"},
      // Comments, strings and what ends with its line.
      {"// bar.sync 0;\n/* ld.b32 %r1, [%rd1]; } */", ""},
      {".loc 1 2 3 bar.sync 0;\nbar.sync 1;", "barrier"},
      {".pragma \"nounroll; bar.sync 0; }\";", ""},
  };
  for (auto [statement, kinds] : cases)
    EXPECT_EQ(getKinds(statement), kinds) << statement;
}

TEST(PTX, ReadsDirectives) {
  PTXKernel kernel = parseBody(
      "ret;", "\n.maxntid 32, 4, 2\n.minnctapersm 3\n.reqnctapercluster 2");
  EXPECT_EQ(kernel.block, (std::array<int64_t, 3>{32, 4, 2}));
  EXPECT_EQ(kernel.blocksPerMultiprocessor, 3);
  EXPECT_EQ(kernel.cluster, (std::array<int64_t, 3>{2, 1, 1}));
  EXPECT_EQ(parseBody("ret;").block, (std::array<int64_t, 3>{0, 0, 0}));
  EXPECT_EQ(parseBody("ret;", ".reqntid 64").block,
            (std::array<int64_t, 3>{64, 1, 1}));
}

TEST(PTX, ReadsAtomics) {
  PTXKernel kernel = parseBody("atom.global.add.u32 %r1, [%rd1], 1;\n"
                               "atom.acq_rel.sys.shared::cta.cas.b32 %r10, "
                               "[%r2], 1, 2;\n"
                               "add.s32 %r3, %r10, 1;\n"
                               "red.release.gpu.global.max.s32 [%rd1], %r1x;\n"
                               "fence.acq_rel.sys;\nfence.acq_rel.cta;");
  ASSERT_EQ(kernel.atomics.size(), 3u);
  const AtomicAccess &add = kernel.atomics[0], &cas = kernel.atomics[1],
                     &max = kernel.atomics[2];
  EXPECT_EQ(add.operation, "add");
  EXPECT_EQ(add.order, "relaxed");
  EXPECT_EQ(add.scope, "gpu");
  EXPECT_EQ(add.space, "global");
  EXPECT_EQ(add.line, 3u);
  // %r10 and %r1x are other registers.
  EXPECT_FALSE(add.isResultUsed);
  EXPECT_EQ(cas.operation, "cas");
  EXPECT_EQ(cas.order, "acq_rel");
  EXPECT_EQ(cas.scope, "sys");
  EXPECT_EQ(cas.space, "shared");
  EXPECT_TRUE(cas.isResultUsed);
  EXPECT_EQ(max.operation, "max");
  EXPECT_EQ(max.order, "release");
  EXPECT_FALSE(max.isResultUsed);
  // Fences of a block order nothing between blocks.
  ASSERT_EQ(kernel.deviceFences.size(), 1u);
  EXPECT_EQ(kernel.deviceFences[0].line, 7u);
}

TEST(PTX, TakesAnyText) {
  for (llvm::StringRef text :
       {"", ".entry", ".entry ;", ".extern .entry k();", "{{{", "}}}", "\"",
        "/*", "//", ".loc", ".entry k { @", "@;;:;", ".entry k { : ; @ } "}) {
    auto kernels = parsePTX(text);
    if (!kernels)
      llvm::consumeError(kernels.takeError());
  }
  auto kernels = parsePTX(".entry k() { ret;");
  ASSERT_FALSE(bool(kernels));
  EXPECT_EQ(llvm::toString(kernels.takeError()),
            "PTX: the body of 'k' does not end");
}

TEST(PTX, NamesKinds) {
  for (size_t i = 0; i < kInstructionKinds; ++i) {
    auto kind = static_cast<Kind>(i);
    EXPECT_EQ(findInstructionKind(getName(kind)), kind);
  }
  EXPECT_FALSE(findInstructionKind("wgmmas"));
}
