//===- ElementwiseTest.cpp - Row kernels against plain loops --------------===//
//
// Part of dsv2, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "KernelTestUtils.h"

#include "dsv2/CodeGen/CPU/ElementwiseKernels.h"
#include "llvm/ADT/StringExtras.h"
#include "gtest/gtest.h"

#include <algorithm>
#include <cmath>

using namespace mlir;
using namespace mlir::dsv2;
using namespace mlir::dsv2::cpu;
using namespace mlir::dsv2::cpu::test;

namespace {

constexpr int64_t kWidths[] = {1, 3, 8, 16, 17, 64, 500, 513, 1100};
constexpr int64_t kParts[] = {1, 2, 3, 7};

class Elementwise : public ::testing::TestWithParam<std::string> {};

template <typename T> bool sameRows(const Array<T> &a, const Array<T> &b) {
  for (int64_t t = 0; t < a.dim(0); ++t)
    if (std::memcmp(&a(t, 0), &b(t, 0), a.dim(1) * sizeof(T)) != 0)
      return false;
  return true;
}

TEST_P(Elementwise, EmbedReadsRowsOfTheTable) {
  for (int64_t width : kWidths) {
    KernelModule m(GetParam());
    EmbedConfig f32Config{width, Float32Type::get(m.context())};
    EmbedConfig bf16Config{width, BFloat16Type::get(m.context())};
    std::string f32 = getOrCreateEmbedKernel(m.module(), f32Config, m.target())
                          .getName()
                          .str();
    std::string bf16 =
        getOrCreateEmbedKernel(m.module(), bf16Config, m.target())
            .getName()
            .str();
    ASSERT_TRUE(m.compile());
    Array<float> table({11, width}, 1);
    table.random(1);
    Array<uint16_t> narrow({11, width}, 3);
    for (int64_t r = 0; r < 11; ++r)
      for (int64_t d = 0; d < width; ++d)
        narrow(r, d) = toBF16(table(r, d));
    Array<int32_t> tokens({4});
    tokens(0) = 10, tokens(1) = 0, tokens(2) = 10, tokens(3) = 4;
    for (int64_t parts : kParts) {
      Array<float> out({4, width}, 2), wide({4, width});
      m.run(f32, parts, tokens, table, out);
      m.run(bf16, parts, tokens, narrow, wide);
      EXPECT_TRUE(out.guardIntact() && wide.guardIntact());
      for (int64_t t = 0; t < 4; ++t)
        for (int64_t d = 0; d < width; ++d) {
          ASSERT_EQ(out(t, d), table(tokens(t), d));
          ASSERT_EQ(wide(t, d), fromBF16(narrow(tokens(t), d)));
        }
    }
    Array<int32_t> none({0});
    Array<float> nothing({0, width});
    m.run(f32, 3, none, table, nothing);
    EXPECT_TRUE(nothing.guardIntact());
  }
}

/// The norm of one row with the order of operations that the header promises.
void normalize(const float *x, const float *w, int64_t width, float epsilon,
               const CPUTargetInfo &target, float *y) {
  int64_t lanes = target.lanes(), step = 4 * lanes;
  std::vector<float> sums(step, 0.0f);
  for (int64_t d = 0; d < width; ++d) {
    volatile float square = x[d] * x[d];
    float &sum = sums[d % step];
    sum = target.hasFMA ? std::fma(x[d], x[d], sum) : sum + square;
  }
  for (int64_t i = 0; i < lanes; ++i)
    sums[i] = (sums[i] + sums[lanes + i]) +
              (sums[2 * lanes + i] + sums[3 * lanes + i]);
  for (int64_t half = lanes / 2; half; half /= 2)
    for (int64_t i = 0; i < half; ++i)
      sums[i] += sums[half + i];
  float factor =
      1.0f / std::sqrt(sums[0] / static_cast<float>(width) + epsilon);
  for (int64_t d = 0; d < width; ++d) {
    volatile float scaled = x[d] * factor;
    y[d] = w[d] * scaled;
  }
}

TEST_P(Elementwise, RMSNormMatchesPlainLoops) {
  for (int64_t width : kWidths) {
    KernelModule m(GetParam());
    std::string name =
        getOrCreateRMSNormKernel(m.module(), {width, 1e-6}, m.target())
            .getName()
            .str();
    ASSERT_TRUE(m.compile());
    constexpr int64_t kTokens = 5;
    Array<float> x({kTokens, width}, 7), w({width});
    x.random(1, 3.0f);
    w.random(2);
    // A row of zeros, and one that only epsilon keeps finite.
    for (int64_t d = 0; d < width; ++d)
      x(1, d) = 0.0f, x(2, d) = 1e-18f;
    Array<float> first({kTokens, width});
    m.run(name, 1, x, w, first);
    EXPECT_TRUE(first.guardIntact());
    for (int64_t t = 0; t < kTokens; ++t) {
      double sum = 0;
      for (int64_t d = 0; d < width; ++d)
        sum += static_cast<double>(x(t, d)) * x(t, d);
      double factor = 1 / std::sqrt(sum / width + 1e-6);
      for (int64_t d = 0; d < width; ++d) {
        double expected = w(d) * (x(t, d) * factor);
        ASSERT_NEAR(first(t, d), expected, 1e-6 * std::abs(expected) + 1e-30);
      }
      std::vector<float> exact(width);
      normalize(&x(t, 0), w.data(), width, 1e-6f, m.target(), exact.data());
      EXPECT_EQ(0,
                std::memcmp(exact.data(), &first(t, 0), width * sizeof(float)))
          << "token " << t << " width " << width;
    }
    for (int64_t parts : kParts) {
      Array<float> y({kTokens, width});
      m.run(name, parts, x, w, y);
      EXPECT_TRUE(sameRows(y, first));
    }
    // Rows alone, and in place.
    for (int64_t t = 0; t < kTokens; ++t) {
      Array<float> y({1, width});
      m.run(name, 2, x.rows(t, t + 1), w, y);
      EXPECT_EQ(0, std::memcmp(&y(0, 0), &first(t, 0), width * sizeof(float)));
    }
    m.run(name, 2, x, w, x);
    EXPECT_TRUE(sameRows(x, first));
  }
}

TEST_P(Elementwise, AddCopyGatherAndSiluMul) {
  for (int64_t width : kWidths) {
    KernelModule m(GetParam());
    RowsConfig config{width};
    auto nameOf = [](func::FuncOp f) { return f.getName().str(); };
    std::string add =
        nameOf(getOrCreateAddKernel(m.module(), config, m.target()));
    std::string copy =
        nameOf(getOrCreateCopyRowsKernel(m.module(), config, m.target()));
    std::string gather =
        nameOf(getOrCreateGatherRowsKernel(m.module(), config, m.target()));
    std::string silu =
        nameOf(getOrCreateSiluMulKernel(m.module(), config, m.target()));
    ASSERT_TRUE(m.compile());
    EXPECT_EQ(m.llvmIR().find("llvm.exp"), std::string::npos);
    constexpr int64_t kTokens = 6;
    Array<float> a({kTokens, width}, 3), b({kTokens, width}, 1);
    a.random(1, 30.0f);
    b.random(2);
    Array<int32_t> rows({3});
    rows(0) = 5, rows(1) = 5, rows(2) = 0;
    for (int64_t parts : kParts) {
      Array<float> sum({kTokens, width}), same({kTokens, width}, 2);
      Array<float> some({3, width}), gated({kTokens, width});
      m.run(add, parts, a, b, sum);
      m.run(copy, parts, a, same);
      m.run(gather, parts, a, rows, some);
      m.run(silu, parts, a, b, gated);
      EXPECT_TRUE(sum.guardIntact() && same.guardIntact() &&
                  some.guardIntact() && gated.guardIntact());
      EXPECT_TRUE(sameRows(a, same));
      for (int64_t t = 0; t < kTokens; ++t)
        for (int64_t d = 0; d < width; ++d) {
          ASSERT_EQ(sum(t, d), a(t, d) + b(t, d));
          double v = a(t, d), expected = v / (1 + std::exp(-v)) * b(t, d);
          ASSERT_NEAR(gated(t, d), expected, 1e-6 * std::abs(expected) + 1e-37);
        }
      for (int64_t i = 0; i < 3; ++i)
        for (int64_t d = 0; d < width; ++d)
          ASSERT_EQ(some(i, d), a(rows(i), d));
    }
    // In place.
    Array<float> sum({kTokens, width});
    m.run(add, 1, a, b, sum);
    m.run(add, 2, a, b, a);
    EXPECT_TRUE(sameRows(a, sum));
  }
}

TEST_P(Elementwise, SiluOfExtremes) {
  KernelModule m(GetParam());
  std::string silu =
      getOrCreateSiluMulKernel(m.module(), {4}, m.target()).getName().str();
  ASSERT_TRUE(m.compile());
  Array<float> gate({1, 4}), up({1, 4}), out({1, 4});
  gate(0, 0) = -1e4f, gate(0, 1) = 1e4f, gate(0, 2) = -100.0f, gate(0, 3) = NAN;
  up.fill(1.0f);
  m.run(silu, 1, gate, up, out);
  EXPECT_EQ(out(0, 0), 0.0f);
  EXPECT_EQ(out(0, 1), 1e4f);
  EXPECT_LE(std::abs(out(0, 2)), 1e-40f);
  EXPECT_TRUE(std::isnan(out(0, 3)));
}

//===----------------------------------------------------------------------===//
// Rotary embedding
//===----------------------------------------------------------------------===//

std::vector<float> someFrequencies(int64_t pairs) {
  std::vector<float> frequencies;
  for (int64_t i = 0; i < pairs; ++i)
    frequencies.push_back(
        static_cast<float>(std::pow(10000.0, -static_cast<double>(i) / pairs)));
  return frequencies;
}

TEST_P(Elementwise, F040_RopeTableAppliesTheMultiplierOnce) {
  for (int64_t pairs : {4, 5, 32})
    for (double multiplier : {1.0, 1.368888}) {
      RopeTableConfig config{someFrequencies(pairs), multiplier};
      KernelModule m(GetParam());
      std::string name =
          getOrCreateRopeTableKernel(m.module(), config, m.target())
              .getName()
              .str();
      ASSERT_TRUE(m.compile());
      Array<int32_t> positions({7});
      int32_t values[] = {0, 1, 17, 4095, 4096, 131071, 163840};
      std::copy_n(values, 7, positions.data());
      for (int64_t parts : kParts) {
        Array<float> table({7, 2 * pairs}, 1);
        m.run(name, parts, positions, table);
        EXPECT_TRUE(table.guardIntact());
        for (int64_t t = 0; t < 7; ++t)
          for (int64_t i = 0; i < pairs; ++i) {
            float angle =
                static_cast<float>(positions(t)) * config.inverseFrequencies[i];
            double cos = multiplier * std::cos(static_cast<double>(angle));
            double sin = multiplier * std::sin(static_cast<double>(angle));
            ASSERT_NEAR(table(t, i), cos, 2.4e-7 * std::abs(cos));
            ASSERT_NEAR(table(t, pairs + i), sin, 2.4e-7 * std::abs(sin));
          }
      }
    }
}

TEST_P(Elementwise, TablesOfDifferentFrequenciesHaveDifferentNames) {
  KernelModule m(GetParam());
  RopeTableConfig a{someFrequencies(4), 1.0}, b = a, c = a;
  b.inverseFrequencies[3] = std::nextafter(b.inverseFrequencies[3], 1.0f);
  c.cosSinMultiplier = 1.5;
  auto nameOf = [&](const RopeTableConfig &config) {
    return getOrCreateRopeTableKernel(m.module(), config, m.target()).getName();
  };
  EXPECT_NE(nameOf(a), nameOf(b));
  EXPECT_NE(nameOf(a), nameOf(c));
  EXPECT_EQ(nameOf(a), nameOf(RopeTableConfig(a)));
}

TEST_P(Elementwise, F042_RopeRotatesAdjacentPairs) {
  for (auto [heads, width] : {std::pair(1, 2), std::pair(3, 8),
                              std::pair(5, 10), std::pair(16, 64)}) {
    KernelModule m(GetParam());
    std::string name =
        getOrCreateApplyRopeKernel(m.module(), {width}, m.target())
            .getName()
            .str();
    ASSERT_TRUE(m.compile());
    constexpr int64_t kTokens = 4;
    Array<float> x({kTokens, heads, width}, 6), table({kTokens, width}, 1);
    x.random(1);
    table.random(2);
    Array<float> expected({kTokens, heads, width});
    for (int64_t t = 0; t < kTokens; ++t)
      for (int64_t h = 0; h < heads; ++h)
        for (int64_t i = 0; i < width / 2; ++i) {
          float cos = table(t, i), sin = table(t, width / 2 + i);
          float even = x(t, h, 2 * i), odd = x(t, h, 2 * i + 1);
          volatile float ec = even * cos, os = odd * sin;
          volatile float oc = odd * cos, es = even * sin;
          expected(t, h, 2 * i) = ec - os;
          expected(t, h, 2 * i + 1) = oc + es;
        }
    for (int64_t parts : kParts) {
      Array<float> out({kTokens, heads, width});
      m.run(name, parts, x, table, out);
      EXPECT_TRUE(out.guardIntact());
      EXPECT_EQ(0, std::memcmp(out.data(), expected.data(),
                               out.size() * sizeof(float)));
    }
    m.run(name, 2, x, table, x);
    for (int64_t t = 0; t < kTokens; ++t)
      for (int64_t h = 0; h < heads; ++h)
        EXPECT_EQ(0, std::memcmp(&x(t, h, 0), &expected(t, h, 0),
                                 width * sizeof(float)));
  }
}

INSTANTIATE_TEST_SUITE_P(CPUs, Elementwise, ::testing::ValuesIn(testedCPUs()),
                         cpuName);

} // namespace
