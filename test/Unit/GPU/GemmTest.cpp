//===- GemmTest.cpp - Products with weights, run on the emulator ----------===//
//
// Part of dsv2, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "KernelReference.h"
#include "KernelRun.h"

#include "dsv2/CodeGen/GPU/GemmKernels.h"

#include <cmath>
#include <numeric>

using namespace mlir;
using namespace mlir::dsv2;
using namespace mlir::dsv2::gpu;
using namespace mlir::dsv2::test;

namespace {
/// One product and what it has to give, by plain loops.
struct Problem {
  GemmShape shape;
  /// First row of each expert, then the number of rows; empty without experts.
  std::vector<int32_t> offsets;
  int64_t rows;
  std::vector<float> a, w, residual;

  Problem(const GemmShape &shape, std::vector<int64_t> counts, uint32_t seed)
      : shape(shape),
        rows(std::accumulate(counts.begin(), counts.end(), int64_t(0))) {
    int64_t weights = std::max<int64_t>(shape.experts, 1);
    if (shape.experts) {
      offsets.push_back(0);
      for (int64_t count : counts)
        offsets.push_back(offsets.back() + count);
    }
    a = randomBF16(rows * shape.k, seed);
    w = randomBF16(weights * shape.n * shape.k, seed + 1, 0.2f);
    residual = randomBF16(rows * shape.outputColumns(), seed + 2);
  }

  /// Columns are computed a few at a time if there are many.
  std::vector<float> expected() const {
    std::vector<float> result(rows * shape.outputColumns());
    std::vector<double> sums(shape.n);
    for (int64_t t = 0; t < rows; ++t) {
      int64_t expert = 0;
      while (shape.experts && offsets[expert + 1] <= t)
        ++expert;
      const float *weight = w.data() + expert * shape.n * shape.k;
      for (int64_t n = 0; n < shape.n; ++n) {
        double sum = 0;
        for (int64_t k = 0; k < shape.k; ++k)
          sum += double(a[t * shape.k + k]) * weight[n * shape.k + k];
        sums[n] = sum;
      }
      for (int64_t c = 0; c < shape.outputColumns(); ++c) {
        float &out = result[t * shape.outputColumns() + c];
        if (shape.epilogue == GemmEpilogue::SwiGLU) {
          double gate = sums[c / 8 * 16 + c % 8];
          double up = sums[c / 8 * 16 + 8 + c % 8];
          out = gate / (1 + std::exp(-gate)) * up;
        } else {
          out = sums[c];
        }
        if (shape.epilogue == GemmEpilogue::AddResidual)
          out += residual[t * shape.outputColumns() + c];
      }
    }
    return result;
  }
};

class GemmRun : public KernelRun,
                public ::testing::WithParamInterface<const char *> {
protected:
  void check(const Problem &p, const GemmConfig &config, unsigned blocks,
             int seeds = 2) {
    SCOPED_TRACE(getGemmName(p.shape, config) + ", " + std::to_string(p.rows) +
                 " rows");
    std::optional<DeviceCode> code =
        compileKernel(config.chip, [&](ModuleOp module) {
          getOrCreateGemm(module, p.shape, config);
        });
    ASSERT_TRUE(code);
    Loaded kernel = loadKernel(*code);
    ASSERT_NE(kernel.function, nullptr);
    runSeeds(p, config, kernel, blocks, seeds);
  }

  void runSeeds(const Problem &p, const GemmConfig &config,
                const Loaded &kernel, unsigned blocks, int seeds) {
    const GemmShape &shape = p.shape;
    std::vector<float> expected = p.expected();
    CUdeviceptr a = upload(notEmpty(toBF16(p.a))), w = upload(toBF16(p.w));
    for (int seed = 1; seed <= seeds; ++seed) {
      setOptions("seed=" + std::to_string(seed));
      size_t count = p.rows * shape.outputColumns();
      // The output is the residual too, as in a model.
      std::vector<float> before(count, std::nanf(""));
      if (shape.epilogue == GemmEpilogue::AddResidual)
        before = p.residual;
      CUdeviceptr out = shape.f32Output ? upload(notEmpty(before))
                                        : upload(notEmpty(toBF16(before)));
      std::vector<uint64_t> parameters;
      CUtensorMap maps[2];
      std::vector<void *> pointers;
      if (config.chip == "sm_90a") {
        uint32_t rows = config.tileM, columns = config.tileN;
        uint64_t n = shape.n, k = shape.k, experts = shape.experts;
        maps[0] = tensorMap(a, {uint64_t(p.rows), k}, {rows, 64});
        maps[1] = experts ? tensorMap(w, {experts, n, k}, {1, columns, 64})
                          : tensorMap(w, {n, k}, {columns, 64});
        pointers = {&maps[0], &maps[1]};
      } else {
        pointers = {&a, &w};
      }
      pointers.push_back(&out);
      if (shape.epilogue == GemmEpilogue::AddResidual)
        pointers.push_back(&out);
      int32_t rows = p.rows;
      CUdeviceptr offsets = 0;
      if (shape.experts) {
        offsets = upload(p.offsets);
        pointers.push_back(&offsets);
      } else {
        pointers.push_back(&rows);
      }
      pointers.push_back(nullptr);
      Shape launchShape;
      launchShape.grid[0] = blocks;
      launchShape.block[0] = kernel.threads;
      launchShape.shared = kernel.sharedBytes;
      CUresult error =
          launchWith(kernel.function, launchShape, pointers.data());
      ASSERT_EQ(error, CUDA_SUCCESS) << "seed " << seed << ": " << report();
      std::vector<float> actual =
          shape.f32Output ? download<float>(out, count)
                          : fromBF16(download<uint16_t>(out, count));
      // Sums of k products of about 0.2, each rounded in f32 (2^-24), in
      // another order; a bf16 output is rounded to 8 bits, SwiGLU uses an
      // approximate exponential.
      float relative = shape.f32Output ? 1e-5f : 1.f / 256;
      float absolute = 2e-5f * std::sqrt(float(shape.k));
      if (shape.epilogue == GemmEpilogue::SwiGLU)
        absolute *= 10;
      expectClose(actual, expected, absolute, relative,
                  "seed " + std::to_string(seed));
    }
  }

  /// There is no memory of no bytes.
  template <typename T> static std::vector<T> notEmpty(std::vector<T> values) {
    values.resize(std::max<size_t>(values.size(), 1));
    return values;
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
    std::vector<uint16_t> a = toBF16(p.a), w = toBF16(p.w);
    std::vector<int32_t> offsets = p.offsets;
    std::vector<float> out(p.rows * shape.outputColumns(), std::nanf(""));
    if (shape.epilogue == GemmEpilogue::AddResidual)
      out = p.residual;
    bool hopper = config.chip == "sm_90a";
    cpu::test::Descriptor dOut = describe(out), dOffsets = describe(offsets),
                          dA = hopper ? describe(a, {p.rows, shape.k})
                                      : describe(a),
                          dW = !hopper ? describe(w)
                               : shape.experts
                                   ? describe(w,
                                              {shape.experts, shape.n, shape.k})
                                   : describe(w, {shape.n, shape.k});
    bool residual = shape.epilogue == GemmEpilogue::AddResidual;
    if (shape.experts)
      kernel.run(blocks, 1, &dA, &dW, &dOut, &dOffsets);
    else if (residual)
      kernel.run(blocks, 1, &dA, &dW, &dOut, &dOut, int32_t(p.rows));
    else
      kernel.run(blocks, 1, &dA, &dW, &dOut, int32_t(p.rows));
    // Sums of f32 in order; the exponential is accurate.
    expectClose(out, p.expected(), 2e-5f * std::sqrt(float(shape.k)), 1e-5f,
                "reference");
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

TEST_P(GemmRun, ManySeeds) {
  check(Problem(shape(96, 256), {100}, 1), config(64, 32, 64, 3), 3,
        /*seeds=*/10);
}

TEST_P(GemmRun, Reference) {
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
