//===- SupportTest.cpp - What kernels there are ---------------------------===//
//
// Part of dsv2, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "KernelCompile.h"

#include "dsv2/CodeGen/GPU/GemmKernels.h"
#include "dsv2/CodeGen/GPU/MLADecodeKernels.h"
#include "dsv2/CodeGen/GPU/MLAPrefillKernels.h"
#include "dsv2/Support/GPUTargetInfo.h"
#include "mlir/IR/Diagnostics.h"
#include "mlir/IR/Verifier.h"

#include <gtest/gtest.h>

using namespace mlir;
using namespace mlir::dsv2;
using namespace mlir::dsv2::gpu;

/// Whether what `build` adds to a module is valid.
static bool isValid(llvm::function_ref<void(ModuleOp)> build) {
  ScopedDiagnosticHandler quiet(&test::getContext(),
                                [](Diagnostic &) { return success(); });
  OwningOpRef<ModuleOp> module(
      ModuleOp::create(UnknownLoc::get(&test::getContext())));
  build(*module);
  return succeeded(verify(*module));
}

// Of every shape it is either said that there is no kernel, or there is a valid
// one.

TEST(SupportTest, Gemm) {
  int supported = 0, refused = 0;
  for (StringRef chip : {"sm_90a", "sm_80"})
    for (int64_t n : {0, 4, 8, 24, 16, 1408, 102400})
      for (int64_t k : {0, 8, 16, 40, 96, 2048})
        for (auto epilogue : {GemmEpilogue::Store, GemmEpilogue::SwiGLU})
          for (int64_t rows : {1, 64, 4096}) {
            GemmShape shape;
            shape.n = n;
            shape.k = k;
            shape.epilogue = epilogue;
            if (explainUnsupported(shape, chip)) {
              ++refused;
              continue;
            }
            ++supported;
            GemmConfig config = chooseGemmConfig(chip, 132, shape, rows);
            EXPECT_TRUE(isValid([&](ModuleOp module) {
              getOrCreateGemm(module, shape, config);
            })) << getGemmName(shape, config);
          }
  EXPECT_GT(supported, 100);
  EXPECT_GT(refused, 100);
}

TEST(SupportTest, MLADecode) {
  int supported = 0, refused = 0;
  for (StringRef chip : {"sm_90a", "sm_80"})
    for (int64_t latent : {32, 64, 192, 256, 320, 384, 512, 576})
      for (int64_t rope : {8, 16, 32, 64, 128}) {
        MLADecodeShape shape;
        shape.heads = 16;
        shape.latent = latent;
        shape.rope = rope;
        if (explainUnsupported(shape, chip)) {
          ++refused;
          continue;
        }
        ++supported;
        EXPECT_TRUE(isValid([&](ModuleOp module) {
          getOrCreateMLADecode(module, shape, chip);
          getOrCreateMLACombine(module, shape, chip);
        })) << getMLADecodeName(shape, chip);
      }
  EXPECT_GT(supported, 20);
  EXPECT_GT(refused, 20);
}

TEST(SupportTest, MLAPrefill) {
  int supported = 0, refused = 0;
  for (StringRef chip : {"sm_90a", "sm_80"})
    for (int64_t nope : {8, 16, 32, 48, 64, 128, 256})
      for (int64_t rope : {8, 16, 32, 48, 64, 128})
        for (int64_t value : {16, 48, 128, 136}) {
          MLAPrefillShape shape;
          shape.heads = 2;
          shape.nope = nope;
          shape.rope = rope;
          shape.value = value;
          if (explainUnsupported(shape, chip)) {
            ++refused;
            continue;
          }
          ++supported;
          EXPECT_TRUE(isValid([&](ModuleOp module) {
            getOrCreateMLAPrefill(module, shape, chip);
          })) << getMLAPrefillName(shape, chip);
        }
  EXPECT_GT(supported, 50);
  EXPECT_GT(refused, 50);
}

// What is chosen fits the chip, whatever the number of heads and rows.

TEST(SupportTest, F107_TilesFitTheChip) {
  for (StringRef chip : {"sm_90a", "sm_80"}) {
    int64_t limit = tile::getSharedLimit(chip);
    EXPECT_EQ(limit, cantFail(GPUTargetInfo::parse(chip)).sharedBytesPerBlock);
    for (int64_t heads = 1; heads <= 128; ++heads) {
      MLADecodeShape decode;
      decode.heads = heads;
      MLAPrefillShape prefill;
      prefill.heads = heads;
      ASSERT_EQ(explainUnsupported(decode, chip), std::nullopt);
      ASSERT_EQ(explainUnsupported(prefill, chip), std::nullopt);
      EXPECT_TRUE(isValid([&](ModuleOp module) {
        for (tile::KernelOp kernel :
             {getOrCreateMLADecode(module, decode, chip),
              getOrCreateMLAPrefill(module, prefill, chip)})
          EXPECT_LE(tile::getSharedLayout(kernel).size, limit);
        getOrCreateMLACombine(module, decode, chip);
      })) << heads
          << " heads for " << chip.str();
    }
    for (int64_t n : {16, 64, 576, 2816, 21888, 102400})
      for (int64_t k : {16, 64, 512, 1408, 2048, 10944})
        for (int64_t rows : {1, 64, 65, 512, 4096}) {
          GemmShape shape;
          shape.n = n;
          shape.k = k;
          GemmConfig config = chooseGemmConfig(chip, 132, shape, rows);
          EXPECT_TRUE(isValid([&](ModuleOp module) {
            auto kernel = getOrCreateGemm(module, shape, config);
            EXPECT_LE(tile::getSharedLayout(kernel).size, limit);
          })) << getGemmName(shape, config);
        }
  }
}
