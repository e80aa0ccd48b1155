//===- AssemblerLogTest.cpp - what ptxas -v prints
//-------------------------===//
//
// Part of dsv2, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "dsv2/Target/Assembler.h"

#include "gtest/gtest.h"

using namespace mlir::dsv2;

TEST(AssemblerLog, ReadsKernelsAndNotes) {
  Cubin cubin = parseAssemblerLog(
      "ptxas info    : (C7508) Potential Performance Loss: 'setmaxnreg' "
      "ignored; unable to determine register count at entry.\n"
      "ptxas info    : (C7510) Potential Performance Loss: wgmma.mma_async "
      "instructions are serialized due to reasons in function 'attention'\n"
      "ptxas info    : 0 bytes gmem\n"
      "ptxas info    : Compiling entry function 'attention' for 'sm_90a'\n"
      "ptxas info    : Function properties for attention\n"
      "    16 bytes stack frame, 24 bytes spill stores, 32 bytes spill loads\n"
      "ptxas info    : Used 168 registers, used 9 barriers, 1024 bytes smem, "
      "400 bytes cmem[0]\n"
      "ptxas info    : Compile time = 53.680 ms\n"
      "ptxas info    : Compiling entry function 'norm' for 'sm_90a'\n"
      "ptxas info    : Function properties for helper\n"
      "    8 bytes stack frame, 4 bytes spill stores, 4 bytes spill loads\n"
      "ptxas info    : Function properties for norm\n"
      "    0 bytes stack frame, 0 bytes spill stores, 0 bytes spill loads\n"
      "ptxas info    : Used 1 registers, 0 bytes cumulative stack size\n"
      "ptxas warning : Something is odd\n");
  ASSERT_EQ(cubin.kernels.size(), 2u);
  const KernelResources &attention = cubin.kernels[0], &norm = cubin.kernels[1];
  EXPECT_EQ(attention.name, "attention");
  EXPECT_EQ(attention.registers, 168);
  EXPECT_EQ(attention.stackBytes, 16);
  EXPECT_EQ(attention.spillStoreBytes, 24);
  EXPECT_EQ(attention.spillLoadBytes, 32);
  EXPECT_EQ(attention.sharedBytes, 1024);
  EXPECT_EQ(attention.barriers, 9);
  ASSERT_EQ(attention.notes.size(), 1u);
  EXPECT_EQ(attention.notes[0].substr(0, 7), "(C7510)");
  // What a function it calls spills, it spills.
  EXPECT_EQ(norm.name, "norm");
  EXPECT_EQ(norm.registers, 1);
  EXPECT_EQ(norm.stackBytes, 8);
  EXPECT_EQ(norm.spillStoreBytes, 4);
  EXPECT_EQ(norm.barriers, 0);
  EXPECT_TRUE(norm.notes.empty());
  ASSERT_EQ(cubin.notes.size(), 2u);
  EXPECT_EQ(cubin.notes[0].substr(0, 7), "(C7508)");
  EXPECT_EQ(cubin.notes[1], "ptxas warning : Something is odd");
}

TEST(AssemblerLog, TakesAnyText) {
  EXPECT_TRUE(parseAssemblerLog("").kernels.empty());
  Cubin cubin = parseAssemblerLog(
      "Used 99999999999999999999 registers\nUsed 3 registers\n"
      "Compiling entry function 'k' for 'sm_80'\nUsed 99999999999999999999 "
      "registers\n    x bytes stack frame\n");
  ASSERT_EQ(cubin.kernels.size(), 1u);
  EXPECT_EQ(cubin.kernels[0].registers, 0);
}
