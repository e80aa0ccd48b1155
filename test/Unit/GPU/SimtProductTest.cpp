//===- SimtProductTest.cpp - Products of few rows, run on the emulator ----===//
//
// Part of dsv2, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "KernelRun.h"

#include "dsv2/CodeGen/GPU/SimtKernels.h"

#include "llvm/Support/MathExtras.h"

#include <cmath>
#include <numeric>

using namespace mlir;
using namespace mlir::dsv2;
using namespace mlir::dsv2::gpu;
using namespace mlir::dsv2::test;

namespace {

/// One product, its operands and what it has to give by plain loops.
struct Problem {
  ProductConfig config;
  int64_t rows;
  /// First row of each expert, then the number of rows; empty without experts.
  std::vector<int32_t> offsets;
  /// With gather: row of the input for each row.
  std::vector<int32_t> rowTokens;
  int64_t inputRows;
  /// Elements between heads and rows of the input, and before its first.
  int64_t headStride, stride, start;
  std::vector<float> x, weights, residual;

  /// `counts` are rows by expert, or the number of rows. `pad` elements come
  /// before the input and after each row of it.
  Problem(const ProductConfig &config, std::vector<int64_t> counts,
          int64_t pad = 0)
      : config(config),
        rows(std::accumulate(counts.begin(), counts.end(), int64_t(0))),
        inputRows(rows), headStride(config.inputs),
        stride(config.heads * config.inputs + pad), start(pad) {
    if (config.experts) {
      offsets.push_back(0);
      for (int64_t count : counts)
        offsets.push_back(offsets.back() + count);
    }
    uint32_t seed = config.outputs + 3 * config.inputs + rows;
    if (config.gather) {
      inputRows = rows / 2 + 1;
      std::mt19937 random(seed);
      for (int64_t row = 0; row < rows; ++row)
        rowTokens.push_back(random() % inputRows);
    }
    x = randomBF16(start + inputRows * stride, seed);
    weights =
        randomBF16(matrices() * matrixRows() * config.inputs, seed + 1, 0.2f);
    if (config.residual)
      residual = randomBF16(rows * config.outputs, seed + 2);
  }

  int64_t matrices() const { return std::max(config.experts, config.heads); }
  /// Gate and up are padded to whole groups of rows.
  int64_t matrixRows() const {
    return config.gated ? 2 * llvm::alignTo(config.outputs, kGatedRowGroup)
                        : config.outputs;
  }

  std::vector<float> expected() const {
    std::vector<float> result;
    for (int64_t row = 0; row < rows; ++row)
      for (int64_t head = 0; head < config.heads; ++head)
        for (int64_t output = 0; output < config.outputs; ++output)
          result.push_back(expected(row, head, output));
    return result;
  }

private:
  float expected(int64_t row, int64_t head, int64_t output) const {
    int64_t matrix = head;
    while (config.experts && offsets[matrix + 1] <= row)
      ++matrix;
    int64_t inputRow = config.gather ? rowTokens[row] : row;
    const float *in = x.data() + start + inputRow * stride + head * headStride;
    auto dot = [&](int64_t weightRow) {
      const float *w =
          weights.data() + (matrix * matrixRows() + weightRow) * config.inputs;
      double sum = 0;
      for (int64_t k = 0; k < config.inputs; ++k)
        sum += double(in[k]) * w[k];
      return sum;
    };
    double value;
    if (config.gated) {
      constexpr int64_t block = kGatedRowGroup;
      int64_t gateRow = output / block * 2 * block + output % block;
      double gate = dot(gateRow);
      value = gate / (1 + std::exp(-gate)) * dot(gateRow + block);
    } else {
      value = dot(output);
    }
    return config.residual ? value + residual[row * config.outputs + output]
                           : value;
  }
};

class SimtProductRun : public KernelRun,
                       public ::testing::WithParamInterface<const char *> {
protected:
  static Type f32() { return Float32Type::get(&getContext()); }
  static Type bf16() { return BFloat16Type::get(&getContext()); }

  static ProductConfig config(int64_t outputs, int64_t inputs, Type weight,
                              Type output) {
    ProductConfig result;
    result.outputs = outputs;
    result.inputs = inputs;
    result.input = bf16();
    result.weight = weight;
    result.output = output;
    return result;
  }

  CUdeviceptr uploadFloats(const std::vector<float> &values, Type element) {
    std::vector<float> some = values;
    // There is no memory of no bytes.
    some.resize(std::max<size_t>(some.size(), 1));
    return element.isF32() ? upload(some) : upload(toBF16(some));
  }

  /// What a launch gets for one product.
  struct Operands {
    CUdeviceptr x = 0, weights = 0, residual = 0, offsets = 0, rowTokens = 0;
    CUdeviceptr out = 0;
    int32_t stride, headStride, width, outStride, rows;

    void append(const ProductConfig &config, std::vector<void *> &pointers) {
      pointers.insert(pointers.end(), {&x, &stride});
      if (config.heads > 1)
        pointers.push_back(&headStride);
      pointers.push_back(&weights);
      if (config.residual)
        pointers.insert(pointers.end(), {&residual, &width});
      if (config.experts)
        pointers.push_back(&offsets);
      if (config.gather)
        pointers.push_back(&rowTokens);
      pointers.insert(pointers.end(), {&out, &outStride});
      if (config.heads > 1)
        pointers.push_back(&width);
      pointers.push_back(&rows);
    }
  };

  Operands uploadOperands(const Problem &problem) {
    const ProductConfig &config = problem.config;
    Operands result;
    result.x = uploadFloats(problem.x, config.input) +
               problem.start * (config.input.isF32() ? 4 : 2);
    result.weights = uploadFloats(problem.weights, config.weight);
    result.residual = uploadFloats(problem.residual, f32());
    if (config.experts)
      result.offsets = upload(problem.offsets);
    std::vector<int32_t> tokens = problem.rowTokens;
    tokens.resize(std::max<size_t>(tokens.size(), 1));
    result.rowTokens = upload(tokens);
    result.stride = problem.stride;
    result.headStride = problem.headStride;
    result.width = config.outputs;
    result.outStride = config.heads * config.outputs;
    result.rows = problem.rows;
    return result;
  }

  /// Products in one launch.
  void check(const std::vector<Problem> &problems, int seeds = 2) {
    std::vector<ProductConfig> configs;
    for (const Problem &problem : problems)
      configs.push_back(problem.config);
    std::optional<DeviceCode> code =
        compileKernel(GetParam(), [&](ModuleOp module) {
          if (configs.size() == 1)
            getOrCreateProductKernel(module, configs.front());
          else
            getOrCreateProductsKernel(module, configs);
        });
    ASSERT_TRUE(code);
    SCOPED_TRACE(code->getKernels().front().name + ", " +
                 std::to_string(problems.front().rows) + " rows");
    Loaded kernel = loadKernel(*code);
    ASSERT_NE(kernel.function, nullptr);
    runSeeds(problems, configs, kernel, seeds);
  }
  void check(const Problem &problem, int seeds = 2) {
    check(std::vector<Problem>{problem}, seeds);
  }

  void runSeeds(const std::vector<Problem> &problems,
                const std::vector<ProductConfig> &configs, const Loaded &kernel,
                int seeds) {
    std::vector<Operands> operands;
    std::vector<std::vector<float>> expected, before(problems.size());
    std::vector<int64_t> rows;
    for (const Problem &problem : problems) {
      operands.push_back(uploadOperands(problem));
      expected.push_back(problem.expected());
      rows.push_back(problem.rows);
    }
    Shape shape;
    shape.block[0] = kernel.threads;
    auto grid = getProductGrid(configs.front(), rows.front());
    if (configs.size() > 1)
      grid = {getProductsGrid(configs, rows), 1, 1};
    // Without rows, what blocks do then.
    for (int i = 0; i < 3; ++i)
      shape.grid[i] = std::max<int64_t>(grid[i], 1);
    for (int seed = 1; seed <= seeds; ++seed) {
      setOptions("seed=" + std::to_string(seed));
      std::vector<void *> pointers;
      for (size_t i = 0; i < problems.size(); ++i) {
        std::vector<float> nothing(expected[i].size(), std::nanf(""));
        operands[i].out = uploadFloats(nothing, configs[i].output);
        operands[i].append(configs[i], pointers);
      }
      pointers.push_back(nullptr);
      ASSERT_EQ(launchWith(kernel.function, shape, pointers.data()),
                CUDA_SUCCESS)
          << "seed " << seed << ": " << report();
      for (size_t i = 0; i < problems.size(); ++i)
        compare(configs[i], operands[i].out, expected[i], before[i], seed);
    }
  }

  void compare(const ProductConfig &config, CUdeviceptr out,
               const std::vector<float> &expected, std::vector<float> &before,
               int seed) {
    std::vector<float> actual =
        config.output.isF32()
            ? download<float>(out, expected.size())
            : fromBF16(download<uint16_t>(out, expected.size()));
    // Sums of k products of about 0.2, each rounded in f32 (2^-24), in another
    // order; a bf16 output is rounded to 8 bits, gates use an approximate
    // exponential.
    float relative = config.output.isF32() ? 1e-5f : 1.f / 256;
    float absolute = 2e-5f * std::sqrt(float(config.inputs));
    if (config.gated)
      absolute *= 10;
    expectClose(actual, expected, absolute, relative,
                "seed " + std::to_string(seed));
    // Bit by bit the same in any order of threads.
    if (seed > 1)
      EXPECT_TRUE(actual == before) << "seed " << seed;
    before = actual;
  }
};

} // namespace

TEST_P(SimtProductRun, Rows) {
  for (int64_t rows : {0, 1, 2, 7, 8, 9, 33}) {
    check(Problem(config(40, 192, bf16(), f32()), {rows}));
    check(Problem(config(10, 96, f32(), f32()), {rows}));
    check(Problem(config(6, 35, bf16(), f32()), {rows}));
  }
}

TEST_P(SimtProductRun, DepthsThatFillNoStep) {
  // One load, a part of a step, of a split, of a round; more rounds than one.
  for (int64_t inputs : {8, 24, 64, 72, 200, 1032, 2120, 2816})
    check(Problem(config(17, inputs, bf16(), bf16()), {3}));
  for (int64_t inputs : {4, 12, 132, 516, 4228})
    for (int64_t rows : {1, 3})
      check(Problem(config(5, inputs, f32(), f32()), {rows}));
  for (int64_t inputs : {1, 7, 33, 100})
    check(Problem(config(5, inputs, bf16(), f32()), {2}));
}

TEST_P(SimtProductRun, Outputs) {
  for (int64_t outputs : {1, 15, 16, 17, 70}) {
    check(Problem(config(outputs, 64, bf16(), f32()), {2}));
    check(Problem(config(outputs, 256, f32(), f32()), {1}));
  }
}

TEST_P(SimtProductRun, WarpsOfATileShareItsDepth) {
  for (int64_t inputs : {256, 512, 1024, 1408})
    for (int64_t rows : {1, 8})
      check(Problem(config(20, inputs, bf16(), f32()), {rows}), 3);
}

TEST_P(SimtProductRun, Gates) {
  for (int64_t outputs : {8, 19, 40})
    for (Type weight : {bf16(), f32()}) {
      ProductConfig gated = config(outputs, 128, weight, bf16());
      gated.gated = true;
      for (int64_t rows : {1, 9})
        check(Problem(gated, {rows}));
    }
  ProductConfig narrow = config(5, 33, bf16(), bf16());
  narrow.gated = true;
  check(Problem(narrow, {3}));
}

TEST_P(SimtProductRun, Residual) {
  for (auto [inputs, weight] : {std::pair<int64_t, Type>(128, bf16()),
                                std::pair<int64_t, Type>(2048, bf16()),
                                std::pair<int64_t, Type>(64, f32()),
                                std::pair<int64_t, Type>(21, bf16())}) {
    ProductConfig added = config(36, inputs, weight, f32());
    added.residual = true;
    for (int64_t rows : {1, 5, 9})
      check(Problem(added, {rows}));
  }
}

TEST_P(SimtProductRun, Heads) {
  for (auto [outputs, inputs] :
       {std::pair(16, 128), std::pair(40, 24), std::pair(5, 9)})
    for (Type weight : {bf16(), f32()}) {
      ProductConfig byHead = config(outputs, inputs, weight, bf16());
      byHead.heads = 3;
      for (int64_t rows : {1, 9})
        check(Problem(byHead, {rows}));
    }
}

TEST_P(SimtProductRun, InputsOffMultiplesOf16Bytes) {
  for (int64_t pad : {1, 4, 8})
    for (Type weight : {bf16(), f32()}) {
      check(Problem(config(20, 64, weight, f32()), {3}, pad));
      ProductConfig gated = config(8, 64, weight, bf16());
      gated.gated = true;
      check(Problem(gated, {2}, pad));
    }
}

TEST_P(SimtProductRun, InputsOfF32) {
  for (auto [weight, inputs] : {std::pair<Type, int64_t>(f32(), 128),
                                std::pair<Type, int64_t>(bf16(), 128),
                                std::pair<Type, int64_t>(bf16(), 31)}) {
    ProductConfig wide = config(9, inputs, weight, f32());
    wide.input = f32();
    for (int64_t rows : {1, 4})
      check(Problem(wide, {rows}));
  }
}

TEST_P(SimtProductRun, Experts) {
  std::vector<std::vector<int64_t>> counts = {
      {0, 0, 0, 0, 0}, {1, 0, 0, 0, 0},  {0, 0, 0, 0, 1},
      {2, 1, 0, 9, 3}, {0, 0, 20, 0, 0}, {1, 1, 1, 1, 1}};
  for (const std::vector<int64_t> &rows : counts)
    for (Type weight : {bf16(), f32()})
      for (bool gated : {false, true}) {
        ProductConfig experts = config(20, 64, weight, gated ? bf16() : f32());
        experts.experts = 5;
        experts.gated = experts.gather = gated;
        check(Problem(experts, rows));
      }
}

TEST_P(SimtProductRun, MoreExpertsThanLanes) {
  for (int64_t many : {32, 33, 70}) {
    std::vector<int64_t> rows(many, 0);
    rows[1] = 2;
    rows[31] = 1;
    rows[many - 1] += 3;
    ProductConfig experts = config(16, 32, bf16(), f32());
    experts.experts = many;
    check(Problem(experts, rows));
    check(Problem(experts, std::vector<int64_t>(many, 1)));
  }
}

TEST_P(SimtProductRun, OneLaunchOfSeveral) {
  for (int64_t tokens : {1, 3, 9}) {
    // Blocks of different sizes, other kinds of sums.
    check({Problem(config(40, 1024, bf16(), f32()), {tokens}),
           Problem(config(24, 128, bf16(), bf16()), {tokens})});
    ProductConfig shared = config(20, 128, bf16(), bf16());
    shared.gated = true;
    check({Problem(config(12, 128, f32(), f32()), {tokens}),
           Problem(shared, {tokens}),
           Problem(config(3, 33, bf16(), f32()), {tokens})});
    ProductConfig experts = config(24, 64, bf16(), f32());
    experts.experts = 5;
    ProductConfig byHead = config(8, 64, bf16(), f32());
    byHead.heads = 2;
    check({Problem(experts, {0, tokens, 0, 2, tokens}),
           Problem(config(24, 512, bf16(), f32()), {tokens}),
           Problem(byHead, {tokens})});
  }
}

TEST_P(SimtProductRun, ManySeeds) {
  check(Problem(config(24, 1024, bf16(), f32()), {5}), /*seeds=*/10);
  check(Problem(config(12, 1024, f32(), f32()), {5}), /*seeds=*/10);
}

INSTANTIATE_TEST_SUITE_P(Chips, SimtProductRun,
                         ::testing::Values("sm_90a", "sm_80"),
                         [](const auto &info) {
                           return std::string(info.param);
                         });
