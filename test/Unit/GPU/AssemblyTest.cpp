//===- AssemblyTest.cpp - Every kernel through ptxas ----------------------===//
//
// Part of dsv2, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// Registers are not spilled, products are not waited for one by one, and the
// matrix instructions expected are there.
//
//===----------------------------------------------------------------------===//

#include "KernelCompile.h"

#include "dsv2/CodeGen/GPU/GemmKernels.h"
#include "dsv2/CodeGen/GPU/MLADecodeKernels.h"
#include "dsv2/CodeGen/GPU/MLAPrefillKernels.h"

#include <gtest/gtest.h>

using namespace mlir;
using namespace mlir::dsv2;
using namespace mlir::dsv2::gpu;

static GemmShape shape(int64_t n, int64_t k, GemmEpilogue epilogue, bool f32,
                       int64_t experts = 0) {
  GemmShape result;
  result.n = n;
  result.k = k;
  result.epilogue = epilogue;
  result.f32Output = f32;
  result.experts = experts;
  return result;
}

static void checkGemm(const GemmShape &shape, const GemmConfig &config) {
  SCOPED_TRACE(getGemmName(shape, config));
  std::optional<DeviceCode> code =
      test::compileKernel(config.chip, [&](ModuleOp module) {
        getOrCreateGemm(module, shape, config);
      });
  ASSERT_TRUE(code);
  std::optional<ImageReport> report = test::expectGatePasses(*code);
  ASSERT_TRUE(report);
  const InstructionCounts &counts = report->kernels.front().ptx.counts;
  if (config.chip == "sm_90a") {
    // The first stage of a tile and the loop.
    EXPECT_EQ(counts[InstructionKind::Wgmma], 2 * config.tileK / 16);
    EXPECT_GE(counts[InstructionKind::TmaLoad], 2 * config.tileK / 64);
    EXPECT_EQ(counts[InstructionKind::Mma], 0);
  } else {
    EXPECT_GT(counts[InstructionKind::Mma], 0);
    EXPECT_GT(counts[InstructionKind::LdMatrix], 0);
    EXPECT_GT(counts[InstructionKind::CpAsync], 0);
    EXPECT_EQ(counts[InstructionKind::Wgmma], 0);
  }
}

class GemmAssembly : public ::testing::TestWithParam<const char *> {};

TEST_P(GemmAssembly, LargeTiles) {
  for (auto epilogue :
       {GemmEpilogue::Store, GemmEpilogue::AddResidual, GemmEpilogue::SwiGLU})
    for (bool f32 : {false, true})
      for (int64_t experts : {0, 64}) {
        GemmShape s = shape(2816, 2048, epilogue, f32, experts);
        checkGemm(s, chooseGemmConfig(GetParam(), 132, s, 4096));
      }
}

TEST_P(GemmAssembly, SmallTiles) {
  for (int64_t rows : {1, 64, 128})
    for (int64_t experts : {0, 64}) {
      GemmShape s = shape(2816, 2048, GemmEpilogue::Store, false, experts);
      checkGemm(s, chooseGemmConfig(GetParam(), 132, s, rows));
    }
}

class MLAAssembly : public ::testing::TestWithParam<const char *> {};

TEST_P(MLAAssembly, Decode) {
  for (int64_t heads : {16, 128}) {
    MLADecodeShape shape;
    shape.heads = heads;
    shape.scale = 0.1;
    std::optional<DeviceCode> code =
        test::compileKernel(GetParam(), [&](ModuleOp module) {
          getOrCreateMLADecode(module, shape, GetParam());
        });
    ASSERT_TRUE(code);
    std::optional<ImageReport> report = test::expectGatePasses(*code);
    ASSERT_TRUE(report);
    const InstructionCounts &counts = report->kernels.front().ptx.counts;
    if (StringRef(GetParam()) == "sm_90a") {
      // 576 / 16 for the scores, 64 / 16 for each half of the values.
      EXPECT_EQ(counts[InstructionKind::Wgmma], 36 + 2 * 4);
    } else {
      EXPECT_GT(counts[InstructionKind::Mma], 0);
    }
    std::optional<DeviceCode> combine =
        test::compileKernel(GetParam(), [&](ModuleOp module) {
          getOrCreateMLACombine(module, shape, GetParam());
        });
    ASSERT_TRUE(combine);
    test::expectGatePasses(*combine);
  }
}

TEST_P(MLAAssembly, Prefill) {
  MLAPrefillShape shape;
  shape.heads = 16;
  shape.scale = 0.1;
  std::optional<DeviceCode> code =
      test::compileKernel(GetParam(), [&](ModuleOp module) {
        getOrCreateMLAPrefill(module, shape, GetParam());
      });
  ASSERT_TRUE(code);
  std::optional<ImageReport> report = test::expectGatePasses(*code);
  ASSERT_TRUE(report);
  const InstructionCounts &counts = report->kernels.front().ptx.counts;
  if (StringRef(GetParam()) == "sm_90a") {
    // Scores 192 / 16 and values 128 / 16, once in the loop and once beside it.
    EXPECT_EQ(counts[InstructionKind::Wgmma], 2 * (12 + 8));
  } else {
    EXPECT_GT(counts[InstructionKind::Mma], 0);
  }
}

INSTANTIATE_TEST_SUITE_P(Chips, MLAAssembly,
                         ::testing::Values("sm_90a", "sm_80"),
                         [](const auto &info) {
                           return std::string(info.param);
                         });

INSTANTIATE_TEST_SUITE_P(Chips, GemmAssembly,
                         ::testing::Values("sm_90a", "sm_80"),
                         [](const auto &info) {
                           return std::string(info.param);
                         });
