//===- StaticGateTest.cpp - verdicts on PTX texts
//--------------------------===//
//
// Part of dsv2, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "dsv2/Target/StaticGate.h"

#include "llvm/ADT/StringExtras.h"
#include "llvm/AsmParser/Parser.h"
#include "llvm/IR/LLVMContext.h"
#include "llvm/IR/Module.h"
#include "llvm/Support/SourceMgr.h"
#include "gtest/gtest.h"

using namespace mlir::dsv2;

static GPUTargetInfo getHopper() { return *GPUTargetInfo::parse("sm_90a"); }

/// A kernel of 128 threads with this body.
static std::string makePTX(llvm::StringRef body) {
  return (".visible .entry k(.param .u64 x)\n.maxntid 128, 1, 1\n{\n" + body +
          "\n}\n")
      .str();
}

static KernelReport reportKernel(llvm::StringRef body,
                                 const llvm::Module *module = nullptr) {
  std::string ptx = makePTX(body);
  ImageSources sources;
  sources.ptx = ptx;
  sources.module = module;
  auto report = reportImage(getHopper(), sources);
  EXPECT_TRUE(bool(report)) << llvm::toString(report.takeError());
  return report->kernels.front();
}

static std::string check(const KernelReport &kernel) {
  return llvm::join(checkKernel(kernel, getHopper()), "\n");
}

TEST(StaticGate, PassesGoodText) {
  EXPECT_EQ(
      check(reportKernel("ld.global.nc.v4.b32 {%r1,%r2,%r3,%r4}, [%rd1];\n"
                         "st.global.v4.b32 [%rd2], {%r1,%r2,%r3,%r4};\n"
                         "red.global.add.f32 [%rd2], %f1;\nret;")),
      "");
}

TEST(StaticGate, NamesBadAccesses) {
  EXPECT_EQ(check(reportKernel("ld.b32 %r1, [%rd1];\nret;")),
            "kernel 'k' for sm_90a: ld.b32 in line 4 of the PTX: expected the "
            "address space to be known, found a generic address");
  EXPECT_EQ(check(reportKernel(".local .b8 own[64];\nret;")),
            "kernel 'k' for sm_90a: .local in line 4 of the PTX: expected "
            "everything in registers, found memory of the thread's own");
  EXPECT_EQ(check(reportKernel("call f, (x);\ncall f, (x);\nret;")),
            "kernel 'k' for sm_90a: call in line 4 of the PTX and 1 more: "
            "expected every function to be inlined, found a call");
}

// The last block to arrive reads what the others wrote.
TEST(StaticGate, WantsFencesAroundAtomics) {
  const char *fence = "fence.acq_rel.gpu;\n";
  std::string atom = "atom.global.add.u32 %r1, [%rd1], 1;\n"
                     "setp.eq.s32 %p1, %r1, 7;\n";
  EXPECT_EQ(check(reportKernel(fence + atom + fence)), "");
  EXPECT_NE(check(reportKernel(atom)).find("found none at all"),
            std::string::npos);
  EXPECT_NE(check(reportKernel(fence + atom)).find("found none after"),
            std::string::npos);
  EXPECT_NE(check(reportKernel(atom + fence)).find("found none before"),
            std::string::npos);
  EXPECT_NE(check(reportKernel("fence.acq_rel.cta;\n" + atom + fence)), "");
  KernelReport queue = reportKernel(atom);
  queue.info.relaxedAtomics = true;
  EXPECT_EQ(check(queue), "");
  // Within a block barriers order.
  EXPECT_EQ(check(reportKernel("atom.shared.add.u32 %r1, [%r2], 1;\n"
                               "setp.eq.s32 %p1, %r1, 7;")),
            "");
}

TEST(StaticGate, ComparesAtomicsWithTheIR) {
  llvm::LLVMContext context;
  llvm::SMDiagnostic diagnostic;
  auto check = [&](llvm::StringRef ir, llvm::StringRef ptx) {
    std::string text = ("define ptx_kernel void @k(ptr addrspace(1) %x, i32 "
                        "%v, float %f) {\n" +
                        ir + "\nret void\n}")
                           .str();
    auto module = llvm::parseAssemblyString(text, diagnostic, context);
    EXPECT_TRUE(module) << diagnostic.getMessage().str() << text;
    return ::check(reportKernel(ptx, module.get()));
  };
  const char *relaxed =
      "%o = atomicrmw add ptr addrspace(1) %x, i32 %v syncscope(\"device\") "
      "monotonic";
  const char *ordered =
      "%o = atomicrmw add ptr addrspace(1) %x, i32 %v syncscope(\"device\") "
      "acq_rel";
  const char *plain = "atom.global.add.u32 %r1, [%rd1], %r2;";
  EXPECT_EQ(check(relaxed, plain), "");
  EXPECT_EQ(check(relaxed, "red.relaxed.gpu.global.add.u32 [%rd1], %r2;"), "");
  EXPECT_EQ(check(ordered, plain),
            "kernel 'k' for sm_90a: atomicrmw add: expected acq_rel of scope "
            "gpu in the PTX, found add relaxed of scope gpu; write a monotonic "
            "one of scope device, with fences around it");
  EXPECT_EQ(check(ordered, "atom.acq_rel.gpu.global.add.u32 %r1, [%rd1], %r2;"),
            "");
  EXPECT_NE(
      check("%o = atomicrmw add ptr addrspace(1) %x, i32 %v monotonic", plain),
      "");
  EXPECT_NE(
      check("%o = atomicrmw add ptr addrspace(1) %x, i32 %v seq_cst", plain),
      "");
  // Lost altogether.
  EXPECT_NE(check(relaxed, "ret;").find("found no such operation"),
            std::string::npos);
  // An operation without an instruction is a loop around a compare-and-swap.
  EXPECT_EQ(check("%o = atomicrmw fmax ptr addrspace(1) %x, float %f "
                  "syncscope(\"device\") monotonic",
                  "atom.relaxed.gpu.global.cas.b32 %r1, [%rd1], %r2, %r3;"),
            "");
}

TEST(StaticGate, HoldsWhatPtxasSaysToTheChip) {
  KernelReport kernel = reportKernel("ret;");
  kernel.resources.emplace();
  kernel.resources->registers = 64;
  EXPECT_EQ(check(kernel), "");
  EXPECT_EQ(getBlocksPerMultiprocessor(kernel, getHopper()), 8);
  // 24 registers of 32 threads are one warp in each of 85 places, 84 of which
  // are in fours; the chip runs 32.
  kernel.info.block = kernel.ptx.block = {32, 1, 1};
  kernel.resources->registers = 24;
  EXPECT_EQ(getBlocksPerMultiprocessor(kernel, getHopper()), 32);
  // 168 registers of 384 threads are 12 warps of 5376.
  kernel.info.block = kernel.ptx.block = {384, 1, 1};
  kernel.resources->registers = 168;
  EXPECT_EQ(getBlocksPerMultiprocessor(kernel, getHopper()), 1);
  kernel.info.block = kernel.ptx.block = {128, 1, 1};
  kernel.resources->registers = 64;
  kernel.info.dynamicSharedBytes = 100 * 1024;
  EXPECT_EQ(getBlocksPerMultiprocessor(kernel, getHopper()), 2);
  // 1 KiB of each block is the system's: 227 KiB fit, 1 byte more does not.
  kernel.info.dynamicSharedBytes = 227 * 1024;
  EXPECT_EQ(check(kernel), "");
  kernel.resources->sharedBytes = 1;
  EXPECT_NE(
      check(kernel).find(
          "bytes of shared memory: expected at most 232448, found 232449"),
      std::string::npos);

  kernel = reportKernel("ret;");
  kernel.resources.emplace();
  kernel.info.block = {1024, 1, 1};
  kernel.ptx.block = kernel.info.block;
  kernel.resources->registers = 65;
  EXPECT_NE(check(kernel).find(
                "registers of a block: expected at most 65536, found 66560"),
            std::string::npos);
  kernel.resources->registers = 64;
  EXPECT_EQ(check(kernel), "");
  kernel.resources->notes = {"(C7510) serialized"};
  EXPECT_EQ(check(kernel), "kernel 'k' for sm_90a: expected no note of ptxas, "
                           "found (C7510) serialized");
  kernel.resources->notes.clear();
  kernel.resources->barriers = 17;
  EXPECT_EQ(check(kernel), "kernel 'k' for sm_90a: named barriers: expected at "
                           "most 16, found 17");
  kernel.resources->barriers = 16;
  kernel.resources->sharedBytes = 49153;
  EXPECT_EQ(check(kernel), "kernel 'k' for sm_90a: bytes of static shared "
                           "memory: expected at most 49152, found 49153");
  kernel.resources->sharedBytes = 0;
  kernel.resources->stackBytes = 8;
  kernel.resources->spillLoadBytes = 4;
  EXPECT_EQ(
      check(kernel),
      "kernel 'k' for sm_90a: spills: expected none, found 0 bytes stored "
      "and 4 loaded\nkernel 'k' for sm_90a: stack: expected none, found 8 "
      "bytes");
  kernel.resources->stackBytes = kernel.resources->spillLoadBytes = 0;
  kernel.info.block = {512, 1, 1};
  EXPECT_EQ(check(kernel),
            "kernel 'k' for sm_90a: block: the PTX is for another "
            "number of threads than the kernel's attribute");
}

TEST(StaticGate, HoldsTheCubinToThePTX) {
  KernelReport kernel = reportKernel(
      "mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 a, b, c, d;");
  kernel.sass.emplace();
  EXPECT_EQ(check(kernel), "kernel 'k' for sm_90a: HMMA in the cubin: expected "
                           "some for 1 of mma in the PTX, found none");
  kernel.sass->mnemonics["HMMA"] = 1;
  EXPECT_EQ(check(kernel), "");
  kernel.sass->mnemonics["STL"] = 2;
  EXPECT_EQ(check(kernel), "kernel 'k' for sm_90a: STL in the cubin: expected "
                           "none, found 2");
}

TEST(StaticGate, MissesKernels) {
  ImageSources sources;
  sources.ptx = ".version 8.0";
  sources.kernels.emplace_back().name = "gone";
  auto report = reportImage(getHopper(), sources);
  ASSERT_FALSE(bool(report));
  EXPECT_EQ(llvm::toString(report.takeError()),
            "kernel 'gone' for sm_90a is not in the PTX");
}
