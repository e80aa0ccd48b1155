//===- GemmTest.cpp - Products with weights, run on the emulator ----------===//
//
// Part of dsv2, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "GemmCase.h"
#include "KernelReference.h"
#include "KernelRun.h"

#include <cmath>

using namespace mlir;
using namespace mlir::dsv2;
using namespace mlir::dsv2::gpu;
using namespace mlir::dsv2::test;

namespace {
using Problem = cases::GemmProblem;

class GemmRun : public KernelRun,
                public ::testing::WithParamInterface<const char *> {
protected:
  void check(const Problem &p, const GemmConfig &config, unsigned blocks,
             int seeds = 2) {
    SCOPED_TRACE(getGemmName(p.shape, config));
    auto file = compileCases(config.chip, [&](ModuleOp module) {
      getOrCreateGemm(module, p.shape, config);
    });
    ASSERT_TRUE(file);
    p.addTo(*file, config, blocks, cases::Extent::All);
    runCases(file, seeds);
  }

  /// The same kernel by its reference lowering.
  void checkReference(const Problem &p, const GemmConfig &config,
                      unsigned blocks) {
    const GemmShape &shape = p.shape;
    SCOPED_TRACE(getGemmName(shape, config) + ", " + std::to_string(p.rows) +
                 " rows, reference");
    KernelReference kernel(
        [&](ModuleOp module) { getOrCreateGemm(module, shape, config); });
    ASSERT_TRUE(kernel.isCompiled());
    std::vector<uint16_t> a = toBF16(p.activations()), w = toBF16(p.weights());
    std::vector<uint8_t> bytes;
    if (shape.blocks())
      bytes = p.blockWeights().bytes();
    std::vector<int32_t> offsets = p.offsets;
    std::vector<float> out(p.rows * shape.outputColumns(), std::nanf(""));
    if (shape.epilogue == GemmEpilogue::AddResidual)
      out = p.residual();
    bool hopper = config.chip == "sm_90a";
    cpu::test::Descriptor dOut = describe(out), dOffsets = describe(offsets),
                          dA = hopper ? describe(a, {p.rows, shape.k})
                                      : describe(a),
                          dW = shape.blocks() ? describeBytes(bytes, shape)
                               : !hopper      ? describe(w)
                               : shape.experts
                                   ? describe(w,
                                              {shape.experts, shape.n, shape.k})
                                   : describe(w, {shape.n, shape.k});
    bool residual = shape.epilogue == GemmEpilogue::AddResidual;
    // The copy engine has a map of its own for scales.
    if (shape.blocks() && hopper && shape.experts)
      kernel.run(blocks, 1, &dA, &dW, &dW, &dOut, &dOffsets);
    else if (shape.blocks() && hopper && residual)
      kernel.run(blocks, 1, &dA, &dW, &dW, &dOut, &dOut, int32_t(p.rows));
    else if (shape.blocks() && hopper)
      kernel.run(blocks, 1, &dA, &dW, &dW, &dOut, int32_t(p.rows));
    else if (shape.experts)
      kernel.run(blocks, 1, &dA, &dW, &dOut, &dOffsets);
    else if (residual)
      kernel.run(blocks, 1, &dA, &dW, &dOut, &dOut, int32_t(p.rows));
    else
      kernel.run(blocks, 1, &dA, &dW, &dOut, int32_t(p.rows));
    // Sums of f32 in order; the exponential is accurate.
    expectClose(out, p.expected(), 2e-5f * std::sqrt(float(shape.k)), 1e-5f,
                "reference");
  }

  /// The rows of bytes, as the kernel of the chip takes them.
  static cpu::test::Descriptor describeBytes(std::vector<uint8_t> &bytes,
                                             const GemmShape &shape) {
    if (GetParam() != StringRef("sm_90a"))
      return describe(bytes);
    std::vector<int64_t> sizes = {shape.n, shape.weightRowBytes()};
    if (shape.experts)
      sizes.insert(sizes.begin(), shape.experts);
    return describe(bytes, sizes);
  }

  static GemmShape shape(int64_t n, int64_t k,
                         GemmEpilogue epilogue = GemmEpilogue::Store,
                         bool f32 = true, int64_t experts = 0) {
    GemmShape result;
    result.n = n;
    result.k = k;
    result.epilogue = epilogue;
    result.f32Output = f32;
    result.experts = experts;
    return result;
  }
  static GemmConfig config(int64_t m, int64_t n, int64_t k, int64_t stages) {
    GemmConfig result;
    result.chip = GetParam();
    result.tileM = m;
    result.tileN = n;
    result.tileK = k;
    result.stages = stages;
    return result;
  }
};
} // namespace

TEST_P(GemmRun, Rows) {
  for (int64_t rows : {0, 1, 63, 64, 65, 129})
    check(Problem(shape(96, 192), {rows}, rows), config(64, 32, 64, 3), 2);
}

TEST_P(GemmRun, TwoWarpgroups) {
  for (int64_t rows : {1, 65, 129, 300})
    check(Problem(shape(128, 128), {rows}, rows), config(128, 64, 64, 2), 3);
}

TEST_P(GemmRun, ColumnsAndDepthsThatFillNoTile) {
  for (int64_t n : {8, 40, 136})
    for (int64_t k : {32, 64, 96})
      check(Problem(shape(n, k), {33}, n + k),
            config(64, 64, GetParam() == StringRef("sm_80") ? 32 : 64, 2), 2);
}

TEST_P(GemmRun, DeepStages) {
  // Two panels of the copy engine; one on sm_80.
  int64_t depth = GetParam() == StringRef("sm_80") ? 64 : 128;
  check(Problem(shape(64, 384), {70}, 7), config(64, 32, depth, 3), 3);
}

TEST_P(GemmRun, Epilogues) {
  for (auto epilogue :
       {GemmEpilogue::Store, GemmEpilogue::AddResidual, GemmEpilogue::SwiGLU})
    for (bool f32 : {false, true})
      for (int64_t n : {64, 80})
        check(Problem(shape(n, 64, epilogue, f32), {70}, n),
              config(64, 64, 64, 2), 2);
}

TEST_P(GemmRun, WidestTile) {
  int64_t width = GetParam() == StringRef("sm_80") ? 128 : 256;
  check(Problem(shape(width, 128, GemmEpilogue::SwiGLU, false), {130}, 3),
        config(128, width, 64, 2), 2, 1);
}

TEST_P(GemmRun, Experts) {
  std::vector<std::vector<int64_t>> counts = {
      {0, 0, 0, 0},   {1, 0, 0, 0},   {0, 0, 0, 1}, {63, 64, 65, 1},
      {0, 129, 0, 3}, {0, 0, 130, 0}, {5, 1, 0, 70}};
  for (const std::vector<int64_t> &rows : counts)
    for (auto epilogue : {GemmEpilogue::Store, GemmEpilogue::SwiGLU})
      check(Problem(shape(48, 64, epilogue, false, 4), rows, rows[0] + 9),
            config(64, 32, 64, 3), 3);
}

TEST_P(GemmRun, ExpertsWithTwoWarpgroups) {
  check(Problem(shape(40, 128, GemmEpilogue::Store, true, 3), {100, 0, 200}, 4),
        config(128, 32, 64, 3), 4);
}

TEST_P(GemmRun, Heads) {
  for (int64_t heads : {1, 3})
    for (int64_t rows : {0, 1, 65, 129}) {
      GemmShape byHead = shape(72, 64, GemmEpilogue::Store, rows % 2 == 0);
      byHead.heads = heads;
      check(Problem(byHead, {rows}, rows + heads),
            config(rows > 65 ? 128 : 64, 32, 64, 3), 3);
    }
}

TEST_P(GemmRun, ManySeeds) {
  check(Problem(shape(96, 256), {100}, 1), config(64, 32, 64, 3), 3,
        /*seeds=*/10);
}

/// The depth of a step with weights in blocks.
static int64_t groupOf(PackFormat format) {
  return getBlockFormat(format)->groupElements();
}

TEST_P(GemmRun, Blocks) {
  for (PackFormat format : {PackFormat::Q8, PackFormat::Q4, PackFormat::FP8}) {
    GemmShape blocks = shape(72, 2 * groupOf(format));
    blocks.format = format;
    for (int64_t rows : {0, 1, 15, 17, 33})
      check(Problem(blocks, {rows}, rows), config(16, 64, groupOf(format), 3),
            2);
    check(Problem(blocks, {130}, 1), config(64, 128, groupOf(format), 2), 3);
    // Depths that fill no group, and more steps than a copy has scales for.
    for (int64_t k : {int64_t(24), int64_t(72), 5 * groupOf(format) + 40}) {
      GemmShape ragged = shape(40, k);
      ragged.format = format;
      check(Problem(ragged, {33}, k), config(32, 64, groupOf(format), 2), 2);
    }
  }
}

TEST_P(GemmRun, BlocksWithEpilogues) {
  for (PackFormat format : {PackFormat::Q8, PackFormat::Q4, PackFormat::FP8})
    for (auto epilogue :
         {GemmEpilogue::Store, GemmEpilogue::AddResidual, GemmEpilogue::SwiGLU})
      for (bool f32 : {false, true}) {
        GemmShape blocks = shape(80, 64, epilogue, f32);
        blocks.format = format;
        for (int64_t groups : {1, 2})
          check(Problem(blocks, {37}, groups),
                config(32, 64 * groups * blocks.parts(), groupOf(format), 2),
                2);
      }
}

TEST_P(GemmRun, ExpertsInBlocks) {
  for (PackFormat format : {PackFormat::Q8, PackFormat::Q4, PackFormat::FP8})
    for (auto epilogue : {GemmEpilogue::Store, GemmEpilogue::SwiGLU}) {
      GemmShape blocks = shape(48, 64, epilogue, false, 4);
      blocks.format = format;
      for (const std::vector<int64_t> &rows : std::vector<std::vector<int64_t>>{
               {0, 0, 0, 0}, {1, 0, 0, 1}, {15, 0, 33, 16}})
        check(Problem(blocks, rows, rows[0] + 9),
              config(16, 64 * blocks.parts(), groupOf(format), 3), 3);
    }
}

TEST_P(GemmRun, HeadsInBlocks) {
  for (int64_t rows : {1, 33}) {
    GemmShape byHead = shape(72, 64, GemmEpilogue::Store, rows == 1);
    byHead.heads = 3;
    byHead.format = PackFormat::Q8;
    check(Problem(byHead, {rows}, rows), config(32, 64, 64, 3), 3);
  }
}

TEST_P(GemmRun, BlocksWithManySeeds) {
  GemmShape blocks = shape(144, 512);
  blocks.format = PackFormat::Q8;
  check(Problem(blocks, {40}, 1), config(32, 128, 64, 3), 3, /*seeds=*/10);
}

TEST_P(GemmRun, Reference) {
  for (PackFormat format : {PackFormat::Q8, PackFormat::Q4, PackFormat::FP8})
    for (auto epilogue : {GemmEpilogue::AddResidual, GemmEpilogue::SwiGLU}) {
      GemmShape blocks = shape(80, groupOf(format) + 40, epilogue, true,
                               epilogue == GemmEpilogue::SwiGLU ? 2 : 0);
      blocks.format = format;
      std::vector<int64_t> rows = {21};
      if (blocks.experts)
        rows = {3, 18};
      checkReference(Problem(blocks, rows, 1),
                     config(16, 64 * blocks.parts(), groupOf(format), 2), 1);
    }

  for (int64_t rows : {1, 64, 129})
    checkReference(Problem(shape(96, 192), {rows}, rows),
                   config(128, 32, 64, 3), 2);
  for (auto epilogue : {GemmEpilogue::AddResidual, GemmEpilogue::SwiGLU})
    checkReference(Problem(shape(80, 64, epilogue), {70}, 1),
                   config(64, 64, 64, 2), 1);
  checkReference(
      Problem(shape(48, 128, GemmEpilogue::SwiGLU, true, 4), {5, 0, 130, 1}, 2),
      config(64, 32, 64, 3), 3);
}

INSTANTIATE_TEST_SUITE_P(Chips, GemmRun, ::testing::Values("sm_90a", "sm_80"),
                         [](const auto &info) {
                           return std::string(info.param);
                         });
