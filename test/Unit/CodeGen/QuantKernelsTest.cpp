//===- QuantKernelsTest.cpp - Products with quantised weights -------------===//
//
// Part of dsv2, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// Quantisation is compared with its definition byte by byte, products with the
// sums of exact integer dot products that BlockFormat.h describes.
//
//===----------------------------------------------------------------------===//

#include "dsv2/CodeGen/CPU/QuantKernels.h"

#include "KernelTestUtils.h"
#include "dsv2/CodeGen/CPU/PackKernels.h"
#include "dsv2/Support/BlockFormat.h"
#include "gtest/gtest.h"

#include <cmath>
#include <limits>

using namespace mlir::dsv2;
using namespace mlir::dsv2::cpu;
using namespace mlir::dsv2::cpu::test;

namespace {

constexpr int64_t kBlock = kQ8Format.elements;
constexpr int64_t kRowBlock = QuantizedActivation::kBlockBytes;

/// Every kernel of the family for one processor, compiled once.
struct Kernels {
  explicit Kernels(const std::string &cpu) : module(cpu) {
    mlir::ModuleOp m = module.module();
    const CPUTargetInfo &target = module.target();
    auto add = [&](mlir::func::FuncOp kernel) {
      return kernel.getName().str();
    };
    constexpr PanelFormat q8 = PanelFormat::Q8;
    quantize = add(getOrCreateQuantizeRowsKernel(m, target));
    PackConfig config;
    config.format = q8;
    pack = add(getOrCreatePackPanelsKernel(m, config, target));
    config.batched = true;
    packExperts = add(getOrCreatePackPanelsKernel(m, config, target));
    packGated = add(getOrCreatePackGatedPanelsKernel(m, config, target));
    matmul = add(getOrCreateMatmulKernel(m, {q8, false}, target));
    residual = add(getOrCreateMatmulKernel(m, {q8, true}, target));
    grouped = add(getOrCreateGroupedMatmulKernel(m, {q8, false}, target));
    groupedGated =
        add(getOrCreateGroupedGatedMatmulKernel(m, {q8, true}, target));
    compiled = module.compile();
  }

  KernelModule module;
  bool compiled;
  std::string quantize, pack, packExperts, packGated, matmul, residual, grouped,
      groupedGated;
};

using QuantTest = KernelTest<Kernels>;

int64_t blocksOf(int64_t columns) { return kQ8Format.blocks(columns); }

/// A row in blocks, by the definition.
struct QuantizedRow {
  std::vector<int32_t> values; // padded to whole blocks
  std::vector<float> scales;
};

/// `storedScale` rounds the scale as it is kept.
template <class Round>
QuantizedRow quantize(int64_t columns, llvm::function_ref<float(int64_t)> at,
                      Round storedScale) {
  QuantizedRow row;
  for (int64_t k = 0; k < blocksOf(columns); ++k) {
    float values[kBlock], largest = 0;
    for (int64_t j = 0; j < kBlock; ++j) {
      values[j] = k * kBlock + j < columns ? at(k * kBlock + j) : 0.0f;
      largest = std::max(largest, std::fabs(values[j]));
    }
    float scale = storedScale(largest * (1.0f / 127));
    float inverse = scale == 0 ? 0 : 1 / scale;
    for (float value : values)
      row.values.push_back(std::clamp(
          static_cast<int32_t>(std::nearbyint(value * inverse)), -127, 127));
    row.scales.push_back(scale);
  }
  return row;
}

template <class Values>
QuantizedRow quantizeActivation(int64_t columns, Values at) {
  return quantize(columns, at, [](float scale) { return scale; });
}
template <class Values>
QuantizedRow quantizeWeight(int64_t columns, Values at) {
  return quantize(columns, at,
                  [](float scale) { return fromBF16(toBF16(scale)); });
}

/// What a product of the two rows is, and what f32 may be off by.
struct Dot {
  double value = 0, bound = 0;
};
Dot dot(const QuantizedRow &x, const QuantizedRow &w) {
  Dot d;
  double magnitude = 0;
  for (size_t k = 0; k < x.scales.size(); ++k) {
    int64_t sum = 0;
    for (int64_t j = 0; j < kBlock; ++j)
      sum += int64_t(x.values[k * kBlock + j]) * w.values[k * kBlock + j];
    double product = double(sum) * x.scales[k] * w.scales[k];
    d.value += product;
    magnitude += std::fabs(product);
  }
  // Three roundings a block, and those of the sums before.
  d.bound = (x.scales.size() + 4) * magnitude / (1 << 23) + 1e-30;
  return d;
}

Array<int8_t> makeRows(int64_t tokens, int64_t columns) {
  return Array<int8_t>({tokens, blocksOf(columns) * kRowBlock}, 3);
}

Array<uint8_t> makePanels(int64_t rows, int64_t columns, int64_t width) {
  return Array<uint8_t>({(rows + width - 1) / width, blocksOf(columns),
                         kQ8Format.panelBytes(width)});
}

} // namespace

TEST_P(QuantTest, RowsAreQuantisedAsDefined) {
  for (int64_t columns : {1, 31, 32, 33, 64, 100, 576})
    for (int64_t tokens : {0, 1, 2, 7}) {
      Array<float> x({tokens, columns}, 5);
      x.random(unsigned(columns + tokens), 3.0f);
      if (tokens > 1)
        for (int64_t j = 0; j < columns; ++j)
          x(1, j) = 0;
      Array<int8_t> q = makeRows(tokens, columns);
      module().run(kernels->quantize, 3, x, q);
      for (int64_t t = 0; t < tokens; ++t) {
        QuantizedRow expected =
            quantizeActivation(columns, [&](int64_t j) { return x(t, j); });
        for (int64_t k = 0; k < blocksOf(columns); ++k) {
          int32_t sum = 0, correction;
          float scale;
          for (int64_t j = 0; j < kBlock; ++j) {
            EXPECT_EQ(q(t, k * kRowBlock + j), expected.values[k * kBlock + j]);
            sum += expected.values[k * kBlock + j];
          }
          std::memcpy(&scale, &q(t, k * kRowBlock + 32), 4);
          std::memcpy(&correction, &q(t, k * kRowBlock + 36), 4);
          EXPECT_EQ(scale, expected.scales[k]);
          EXPECT_EQ(correction, -128 * sum);
        }
      }
      EXPECT_TRUE(q.guardIntact());
    }
}

TEST_P(QuantTest, ValuesThatAreNotFiniteShowInTheScale) {
  for (float bad : {std::numeric_limits<float>::quiet_NaN(),
                    std::numeric_limits<float>::infinity()}) {
    Array<float> x({1, 64});
    x.random(1);
    x(0, 40) = bad;
    Array<int8_t> q = makeRows(1, 64);
    module().run(kernels->quantize, 1, x, q);
    float scales[2];
    for (int64_t k : {0, 1})
      std::memcpy(&scales[k], &q(0, k * kRowBlock + 32), 4);
    EXPECT_TRUE(std::isfinite(scales[0]));
    EXPECT_FALSE(std::isfinite(scales[1]));
  }
}

TEST_P(QuantTest, WeightsArePackedAsDefined) {
  for (int64_t columns : {1, 32, 70})
    for (int64_t n : {int64_t(1), width - 1, width, 2 * width + 3}) {
      Array<float> weight({n, columns}, 2);
      weight.random(unsigned(n), 0.1f);
      Array<uint8_t> panels = makePanels(n, columns, width);
      module().run(kernels->pack, 2, weight, panels);
      for (int64_t i = 0; i < panels.dim(0) * width; ++i) {
        QuantizedRow expected = quantizeWeight(
            columns, [&](int64_t j) { return i < n ? weight(i, j) : 0.0f; });
        int64_t panel = i / width, r = i % width;
        for (int64_t k = 0; k < blocksOf(columns); ++k) {
          for (int64_t j = 0; j < kBlock; ++j)
            ASSERT_EQ(panels(panel, k, j / 4 * 4 * width + 4 * r + j % 4) - 128,
                      expected.values[k * kBlock + j])
                << "row " << i << " element " << j;
          uint16_t scale;
          std::memcpy(&scale, &panels(panel, k, kBlock * width + 2 * r), 2);
          ASSERT_EQ(fromBF16(scale), expected.scales[k]) << "row " << i;
        }
      }
      EXPECT_TRUE(panels.guardIntact());
    }
}

TEST_P(QuantTest, MatmulMatchesPlainLoops) {
  for (int64_t tokens : {0, 1, 2, 3, 4, 5, 6, 7, 13, 33})
    for (int64_t n : {int64_t(1), width, 5 * width + 3})
      for (int64_t columns : {1, 32, 100, 320}) {
        SCOPED_TRACE(testing::Message()
                     << "T=" << tokens << " N=" << n << " K=" << columns);
        Array<float> x({tokens, columns}), weight({n, columns});
        x.random(1, 2.0f);
        weight.random(2, 0.05f);
        Array<int8_t> q = makeRows(tokens, columns);
        Array<uint8_t> panels = makePanels(n, columns, width);
        Array<float> y({tokens, n}, 5), r({tokens, n}), z({tokens, n}, 1);
        r.random(3);
        module().run(kernels->quantize, 2, x, q);
        module().run(kernels->pack, 2, weight, panels);
        module().run(kernels->matmul, 3, q, panels, y);
        module().run(kernels->residual, 3, q, panels, r, z);
        std::vector<QuantizedRow> ws;
        for (int64_t i = 0; i < n; ++i)
          ws.push_back(
              quantizeWeight(columns, [&](int64_t j) { return weight(i, j); }));
        for (int64_t t = 0; t < tokens; ++t) {
          QuantizedRow row =
              quantizeActivation(columns, [&](int64_t j) { return x(t, j); });
          for (int64_t i = 0; i < n; ++i) {
            Dot d = dot(row, ws[i]);
            ASSERT_NEAR(y(t, i), d.value, d.bound) << t << ", " << i;
            ASSERT_EQ(z(t, i), r(t, i) + y(t, i));
          }
        }
        EXPECT_TRUE(y.guardIntact() && z.guardIntact());
      }
}

TEST_P(QuantTest, RowsDoNotDependOnTheirNeighbours) {
  const int64_t columns = 96, n = 3 * width + 1;
  Array<float> x({17, columns}), weight({n, columns}), all({17, n});
  x.random(1);
  weight.random(2);
  Array<int8_t> q = makeRows(17, columns);
  Array<uint8_t> panels = makePanels(n, columns, width);
  module().run(kernels->quantize, 1, x, q);
  module().run(kernels->pack, 1, weight, panels);
  module().run(kernels->matmul, 1, q, panels, all);
  for (int64_t count : {1, 2, 3, 5})
    for (int64_t first : {0, 7, 12}) {
      Array<float> some({count, n});
      module().run(kernels->matmul, 4, q.rows(first, first + count), panels,
                   some);
      EXPECT_EQ(
          std::memcmp(some.data(), &all(first, 0), count * n * sizeof(float)),
          0)
          << count << " rows from " << first;
    }
}

// Gate, up and down of two experts of which one has no rows, with rows
// gathered.
TEST_P(QuantTest, ExpertsMatchPlainLoops) {
  const int64_t experts = 3, hidden = 64, inner = width + 5, tokens = 9;
  Array<float> x({tokens, hidden}), gate({experts, inner, hidden}),
      up({experts, inner, hidden}), down({experts, hidden, inner});
  x.random(1);
  gate.random(2, 0.3f);
  up.random(3, 0.3f);
  down.random(4, 0.3f);
  int64_t innerPanels = (inner + width - 1) / width;
  Array<uint8_t> gated(
      {experts, innerPanels, 2, blocksOf(hidden), kQ8Format.panelBytes(width)});
  Array<uint8_t> panels({experts, (hidden + width - 1) / width, blocksOf(inner),
                         kQ8Format.panelBytes(width)});
  module().run(kernels->packGated, 2, gate, up, gated);
  module().run(kernels->packExperts, 2, down, panels);
  Array<int32_t> offsets({experts + 1}), rowToken({tokens});
  const int32_t ends[] = {0, 4, 4, 9};
  for (int64_t e = 0; e <= experts; ++e)
    offsets(e) = ends[e];
  for (int64_t t = 0; t < tokens; ++t)
    rowToken(t) = int32_t((t * 5) % tokens);
  Array<int8_t> q = makeRows(tokens, hidden), qh = makeRows(tokens, inner);
  Array<float> h({tokens, inner}), y({tokens, hidden});
  module().run(kernels->quantize, 2, x, q);
  module().run(kernels->groupedGated, 3, q, gated, offsets, rowToken, h);
  module().run(kernels->quantize, 2, h, qh);
  module().run(kernels->grouped, 3, qh, panels, offsets, y);
  for (int64_t r = 0; r < tokens; ++r) {
    int64_t e = r < 4 ? 0 : 2;
    QuantizedRow row = quantizeActivation(
        hidden, [&](int64_t j) { return x(rowToken(r), j); });
    for (int64_t i = 0; i < inner; ++i) {
      Dot g =
          dot(row,
              quantizeWeight(hidden, [&](int64_t j) { return gate(e, i, j); }));
      Dot u = dot(
          row, quantizeWeight(hidden, [&](int64_t j) { return up(e, i, j); }));
      double expected = g.value / (1 + std::exp(-g.value)) * u.value;
      ASSERT_NEAR(h(r, i), expected, 1e-5 * (1 + std::fabs(expected)));
    }
    QuantizedRow units =
        quantizeActivation(inner, [&](int64_t j) { return h(r, j); });
    for (int64_t i = 0; i < hidden; ++i) {
      Dot d =
          dot(units,
              quantizeWeight(inner, [&](int64_t j) { return down(e, i, j); }));
      ASSERT_NEAR(y(r, i), d.value, d.bound);
    }
  }
}

INSTANTIATE_TEST_SUITE_P(CPUs, QuantTest, testing::ValuesIn(testedCPUs()),
                         cpuName);
