//===- MatmulKernelsTest.cpp - Products with packed weights ---------------===//
//
// Part of dsv2, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "dsv2/CodeGen/CPU/MatmulKernels.h"

#include "KernelTestUtils.h"
#include "gtest/gtest.h"

#include <cmath>
#include <limits>
#include <map>
#include <sys/mman.h>

using namespace mlir::dsv2;
using namespace mlir::dsv2::cpu;
using namespace mlir::dsv2::cpu::test;

namespace {

/// Every kernel of the family for one processor, compiled once.
struct Kernels {
  explicit Kernels(const std::string &cpu) : module(cpu) {
    auto add = [&](mlir::func::FuncOp kernel) {
      return kernel.getName().str();
    };
    for (PanelFormat format : {PanelFormat::F32, PanelFormat::BF16}) {
      int f = format == PanelFormat::BF16;
      mlir::ModuleOp m = module.module();
      const CPUTargetInfo &target = module.target();
      matmul[f] = add(getOrCreateMatmulKernel(m, {format, false}, target));
      residual[f] = add(getOrCreateMatmulKernel(m, {format, true}, target));
      largest[f] =
          add(getOrCreateMatmulKernel(m, {format, false, true}, target));
      gated[f] = add(getOrCreateGatedMatmulKernel(m, {format, false}, target));
      head[f] = add(getOrCreateHeadMatmulKernel(m, {format}, target));
      for (int gather : {0, 1}) {
        GroupedMatmulConfig config{format, gather != 0};
        grouped[f][gather] =
            add(getOrCreateGroupedMatmulKernel(m, config, target));
        groupedGated[f][gather] =
            add(getOrCreateGroupedGatedMatmulKernel(m, config, target));
      }
    }
    compiled = module.compile();
  }

  KernelModule module;
  bool compiled;
  // First index: 0 for f32 panels, 1 for bf16; second: gather.
  std::string matmul[2], residual[2], largest[2], gated[2], head[2];
  std::string grouped[2][2], groupedGated[2][2];
};

using MatmulTest = KernelTest<Kernels>;

/// The value a panel of format T holds for `value`.
template <typename T> float stored(float value) {
  if constexpr (std::is_same_v<T, float>)
    return value;
  else
    return fromBF16(toBF16(value));
}
template <typename T> constexpr int kFormat = std::is_same_v<T, float> ? 0 : 1;

constexpr double kEps = 1.0 / (1 << 24);

/// Exact product of one row and one weight row, and how far a chain of f32
/// operations may be from it.
struct Dot {
  double value = 0, bound = 0;
};

template <typename T, typename X, typename W> Dot dot(int64_t depth, X x, W w) {
  Dot d;
  double magnitude = 0;
  for (int64_t k = 0; k < depth; ++k) {
    double product = static_cast<double>(x(k)) * stored<T>(w(k));
    d.value += product;
    magnitude += std::fabs(product);
  }
  // Two roundings per step where there is no FMA.
  d.bound = (2 * depth + 2) * kEps * magnitude;
  return d;
}

double silu(double v) { return v / (1 + std::exp(-v)); }

/// silu(gate) * up and its bound from those of the two products.
Dot gate(const Dot &g, const Dot &u) {
  Dot d;
  d.value = silu(g.value) * u.value;
  // |silu'| < 1.1 everywhere; exp and the arithmetic add a few roundings.
  d.bound = 1.1 * g.bound * (std::fabs(u.value) + u.bound) +
            std::fabs(silu(g.value)) * u.bound +
            16 * kEps * (1 + std::fabs(g.value)) * std::fabs(u.value) + 1e-30;
  return d;
}

constexpr float kUntouched = -12345.0f;

/// Whether the elements between the rows of a rank 2 array are untouched.
bool paddingIntact(const Array<float> &y, int64_t padding) {
  int64_t stride = y.dim(1) + padding;
  for (int64_t r = 0; r < y.dim(0); ++r)
    for (int64_t i = y.dim(1); i < stride; ++i)
      if (y.data()[r * stride + i] != kUntouched)
        return false;
  return true;
}

bool sameBits(const Array<float> &a, const Array<float> &b) {
  return a.size() == b.size() &&
         std::memcmp(a.data(), b.data(), a.size() * sizeof(float)) == 0;
}

} // namespace

//===----------------------------------------------------------------------===//
// One weight
//===----------------------------------------------------------------------===//

template <typename T>
static void checkMatmul(Kernels &kernels, int64_t tokens, int64_t n, int64_t k,
                        int64_t parts) {
  SCOPED_TRACE(testing::Message() << "T=" << tokens << " N=" << n << " K=" << k
                                  << " parts=" << parts);
  constexpr int64_t kPadX = 3, kPadY = 5;
  int64_t panelWidth = kernels.module.target().panelWidth();
  Array<float> x({tokens, k}, kPadX), weight({n, k});
  x.random(1);
  weight.random(2);
  Array<T> panels = packPanels<T>(weight, panelWidth);
  Array<float> y({tokens, n}, kPadY), z({tokens, n}, kPadY);
  y.fill(kUntouched);
  z.fill(kUntouched);
  for (int64_t t = 0; t < tokens; ++t)
    for (int64_t i = 0; i < n; ++i)
      z(t, i) = static_cast<float>(t - i);
  kernels.module.run(kernels.matmul[kFormat<T>], parts, x, panels, y);
  // The residual is the output itself.
  kernels.module.run(kernels.residual[kFormat<T>], parts, x, panels, z, z);

  for (int64_t t = 0; t < tokens; ++t)
    for (int64_t i = 0; i < n; ++i) {
      Dot d = dot<T>(
          k, [&](int64_t j) { return x(t, j); },
          [&](int64_t j) { return weight(i, j); });
      ASSERT_NEAR(y(t, i), d.value, d.bound) << "row " << t << " column " << i;
      // The sum is finished before the residual is added.
      ASSERT_EQ(z(t, i), static_cast<float>(t - i) + y(t, i))
          << "row " << t << " column " << i;
    }
  EXPECT_TRUE(paddingIntact(y, kPadY) && paddingIntact(z, kPadY));
  EXPECT_TRUE(y.guardIntact() && z.guardIntact());
}

TEST_P(MatmulTest, MatchesPlainLoops) {
  int64_t partsChoices[] = {1, 2, 3, 7};
  int64_t widths[] = {1, width - 1, width, width + 1, 5 * width + 3, 100};
  int64_t depths[] = {1, 5, 64};
  int turn = 0;
  for (int64_t tokens : {0, 1, 2, 3, 4, 5, 6, 7, 8, 13, 64, 129})
    for (int64_t n : widths)
      for (int64_t k : depths) {
        int64_t parts = partsChoices[turn++ % 4];
        checkMatmul<float>(*kernels, tokens, n, k, parts);
        checkMatmul<uint16_t>(*kernels, tokens, n, k, parts);
        if (HasFatalFailure())
          return;
      }
  checkMatmul<float>(*kernels, 13, 3 * width, 576, 2);
  checkMatmul<uint16_t>(*kernels, 13, 3 * width, 576, 2);
}

template <typename T>
static void checkLargest(Kernels &kernels, int64_t tokens, int64_t n,
                         int64_t parts) {
  SCOPED_TRACE(testing::Message()
               << "T=" << tokens << " N=" << n << " parts=" << parts);
  int64_t width = kernels.module.target().panelWidth(), k = 6;
  int64_t numPanels = (n + width - 1) / width;
  Array<float> x({tokens, k}), weight({n, k});
  x.random(5);
  weight.random(6);
  // All of one panel below zero, so that the zeros beside its columns would be
  // larger, and a few results that are not finite.
  for (int64_t t = 0; t < tokens; ++t)
    x(t, 0) = 1000;
  for (int64_t i = n / width * width; i < n; ++i)
    weight(i, 0) = -1;
  weight(n / 2, 0) = std::numeric_limits<float>::infinity();
  if (n > 3 * width) {
    weight(2, 0) = -std::numeric_limits<float>::infinity();
    weight(2 * width + 1, 1) = std::numeric_limits<float>::quiet_NaN();
  }
  Array<T> panels = packPanels<T>(weight, width);
  Array<float> y({tokens, n}), z({tokens, n}), m({tokens, numPanels}, 2);
  for (Array<float> *array : {&y, &z, &m})
    array->fill(kUntouched);
  kernels.module.run(kernels.matmul[kFormat<T>], parts, x, panels, y);
  kernels.module.run(kernels.largest[kFormat<T>], parts, x, panels, z, m);
  EXPECT_TRUE(sameBits(y, z));
  expectLargest(y, m, width);
  EXPECT_TRUE(paddingIntact(m, 2) && m.guardIntact() && z.guardIntact());
}

TEST_P(MatmulTest, TheLargestOfEachPanel) {
  for (int64_t tokens : {0, 1, 2, 3, 4, 5, 8, 13})
    for (int64_t n : {int64_t(1), width - 1, width, width + 1, 4 * width + 3,
                      4 * width + width / 2}) {
      checkLargest<float>(*kernels, tokens, n, 1 + n % 3);
      checkLargest<uint16_t>(*kernels, tokens, n, 1 + n % 3);
      if (HasFatalFailure())
        return;
    }
}

TEST_P(MatmulTest, EmptyDimensions) {
  // K = 0: the sum of nothing.
  Array<float> x({3, 0}, 1), y({3, 4});
  y.fill(kUntouched);
  Array<float> panels({(4 + width - 1) / width, 0, width});
  module().run(kernels->matmul[0], 2, x, panels, y);
  for (int64_t t = 0; t < 3; ++t)
    for (int64_t i = 0; i < 4; ++i)
      EXPECT_EQ(y(t, i), 0.0f);
  // N = 0: nothing to write, and no division by the number of panels.
  Array<float> x2({3, 8}), none({3, 0}, 1), noPanels({0, 8, width});
  x2.random(1);
  none.fill(kUntouched);
  module().run(kernels->matmul[0], 3, x2, noPanels, none);
  for (int64_t t = 0; t < 3; ++t)
    EXPECT_EQ(none.data()[t], kUntouched);
}

TEST_P(MatmulTest, NumberOfPartsDoesNotMatter) {
  // 50 parts on few panels also split the rows.
  for (int64_t tokens : {1, 4, 129}) {
    Array<float> x({tokens, 70}), weight({4 * width + 7, 70});
    x.random(3);
    weight.random(4);
    Array<uint16_t> panels = packPanels<uint16_t>(weight, width);
    Array<float> expected({tokens, 4 * width + 7});
    expected.fill(kUntouched);
    module().run(kernels->matmul[1], 1, x, panels, expected);
    for (int64_t parts : {2, 3, 7, 50}) {
      Array<float> y({tokens, 4 * width + 7});
      y.fill(kUntouched);
      module().run(kernels->matmul[1], parts, x, panels, y);
      EXPECT_TRUE(sameBits(y, expected)) << tokens << " " << parts;
    }
  }
}

TEST_P(MatmulTest, RowsDoNotDependOnTheirNeighbours) {
  constexpr int64_t kTokens = 37;
  int64_t n = 5 * width + 1, k = 213;
  Array<float> x({kTokens, k}), weight({n, k}), all({kTokens, n});
  x.random(5);
  weight.random(6);
  for (int f : {0, 1}) {
    Array<float> f32 = packPanels<float>(weight, width);
    Array<uint16_t> bf16 = packPanels<uint16_t>(weight, width);
    auto run = [&](Descriptor from, Descriptor to) {
      if (f)
        module().run(kernels->matmul[1], 2, from, bf16, to);
      else
        module().run(kernels->matmul[0], 2, from, f32, to);
    };
    run(x.descriptor(), all.descriptor());
    // Every number of rows up to beyond the tallest tile, at many positions.
    for (int64_t rows = 1; rows <= 14; ++rows)
      for (int64_t lo = 0; lo + rows <= kTokens; lo += rows + 3) {
        Array<float> y({rows, n});
        y.fill(kUntouched);
        run(x.rows(lo, lo + rows), y.descriptor());
        EXPECT_EQ(std::memcmp(y.data(), &all(lo, 0), y.size() * sizeof(float)),
                  0)
            << "rows " << lo << " .. " << lo + rows;
      }
  }
}

TEST_P(MatmulTest, NaNAndInfinityStayInTheirRowOrColumn) {
  constexpr int64_t kTokens = 15, kDepth = 20;
  float nan = std::numeric_limits<float>::quiet_NaN();
  float inf = std::numeric_limits<float>::infinity();
  int64_t n = width + 3;
  Array<float> x({kTokens, kDepth}), weight({n, kDepth});
  Array<float> clean({kTokens, n}), y({kTokens, n});
  x.random(7);
  weight.random(8);
  Array<float> cleanPanels = packPanels<float>(weight, width);
  module().run(kernels->matmul[0], 2, x, cleanPanels, clean);
  x(4, 0) = nan;
  x(13, 19) = inf;
  weight(width + 1, 3) = -inf;
  Array<float> panels = packPanels<float>(weight, width);
  module().run(kernels->matmul[0], 2, x, panels, y);
  for (int64_t t = 0; t < kTokens; ++t)
    for (int64_t i = 0; i < n; ++i) {
      if (t == 4)
        EXPECT_TRUE(std::isnan(y(t, i)));
      else if (t == 13 || i == width + 1)
        EXPECT_FALSE(std::isfinite(y(t, i)));
      else
        EXPECT_EQ(y(t, i), clean(t, i));
    }
}

//===----------------------------------------------------------------------===//
// Gated
//===----------------------------------------------------------------------===//

/// [panel][2][K][NR] from two packed weights.
template <typename T>
static Array<T> interleave(const Array<T> &g, const Array<T> &u) {
  Array<T> both({g.dim(0), 2, g.dim(1), g.dim(2)});
  for (int64_t p = 0; p < g.dim(0); ++p)
    for (int64_t k = 0; k < g.dim(1); ++k)
      for (int64_t i = 0; i < g.dim(2); ++i) {
        both(p, 0, k, i) = g(p, k, i);
        both(p, 1, k, i) = u(p, k, i);
      }
  return both;
}

template <typename T>
static void checkGated(Kernels &kernels, int64_t tokens, int64_t n, int64_t k) {
  SCOPED_TRACE(testing::Message()
               << "T=" << tokens << " I=" << n << " K=" << k);
  constexpr int64_t kPad = 5;
  int64_t panelWidth = kernels.module.target().panelWidth();
  Array<float> x({tokens, k}, 2), wg({n, k}), wu({n, k});
  x.random(1, 2.0f);
  wg.random(2);
  wu.random(3);
  Array<T> panels =
      interleave(packPanels<T>(wg, panelWidth), packPanels<T>(wu, panelWidth));
  Array<float> h({tokens, n}, kPad);
  h.fill(kUntouched);
  kernels.module.run(kernels.gated[kFormat<T>], 1, x, panels, h);
  for (int64_t t = 0; t < tokens; ++t)
    for (int64_t i = 0; i < n; ++i) {
      auto row = [&](int64_t j) { return x(t, j); };
      Dot d = gate(dot<T>(k, row, [&](int64_t j) { return wg(i, j); }),
                   dot<T>(k, row, [&](int64_t j) { return wu(i, j); }));
      ASSERT_NEAR(h(t, i), d.value, d.bound) << "row " << t << " column " << i;
    }
  EXPECT_TRUE(paddingIntact(h, kPad) && h.guardIntact());
  for (int64_t parts : {2, 3, 7}) {
    Array<float> again({tokens, n}, kPad);
    again.fill(kUntouched);
    kernels.module.run(kernels.gated[kFormat<T>], parts, x, panels, again);
    EXPECT_TRUE(sameBits(h, again)) << parts << " parts";
  }
  // Each row by itself.
  for (int64_t t = 0; t < tokens; t += 3) {
    Array<float> one({1, n});
    kernels.module.run(kernels.gated[kFormat<T>], 1, x.rows(t, t + 1), panels,
                       one);
    EXPECT_EQ(std::memcmp(one.data(), &h(t, 0), n * sizeof(float)), 0) << t;
  }
}

TEST_P(MatmulTest, GatedMatchesPlainLoops) {
  for (int64_t tokens : {0, 1, 2, 3, 4, 6, 7, 8, 13, 40})
    for (int64_t n : {int64_t(1), width, 3 * width - 1})
      for (int64_t k : {1, 5, 64}) {
        checkGated<float>(*kernels, tokens, n, k);
        checkGated<uint16_t>(*kernels, tokens, n, k);
        if (HasFatalFailure())
          return;
      }
}

TEST_P(MatmulTest, GateSaturates) {
  // One column per gate value, up = 1.
  float nan = std::numeric_limits<float>::quiet_NaN();
  float inf = std::numeric_limits<float>::infinity();
  const float gates[] = {0.0f,   1.0f,   88.0f,   200.0f, 1e30f, -1.0f,
                         -50.0f, -89.0f, -200.0f, -1e30f, inf,   nan};
  int64_t n = std::size(gates);
  Array<float> x({1, 1}), wg({n, 1}), wu({n, 1}), h({1, n});
  x(0, 0) = 1.0f;
  for (int64_t i = 0; i < n; ++i) {
    wg(i, 0) = gates[i];
    wu(i, 0) = 1.0f;
  }
  Array<float> panels =
      interleave(packPanels<float>(wg, width), packPanels<float>(wu, width));
  module().run(kernels->gated[0], 1, x, panels, h);
  for (int64_t i = 0; i + 2 < n; ++i)
    EXPECT_NEAR(h(0, i), silu(gates[i]),
                1e-6 * std::fabs(silu(gates[i])) + 1e-30)
        << gates[i];
  EXPECT_EQ(h(0, n - 2), inf);
  EXPECT_TRUE(std::isnan(h(0, n - 1)));
}

//===----------------------------------------------------------------------===//
// Heads
//===----------------------------------------------------------------------===//

template <typename T>
static void checkHeads(Kernels &kernels, int64_t tokens, int64_t heads,
                       int64_t n, int64_t k) {
  SCOPED_TRACE(testing::Message()
               << "T=" << tokens << " H=" << heads << " N=" << n << " K=" << k);
  int64_t panelWidth = kernels.module.target().panelWidth();
  int64_t count = (n + panelWidth - 1) / panelWidth;
  // As in queries: the part that is read is followed by another one.
  Array<float> x({tokens, heads, k}, 6), y({tokens, heads, n}, 4);
  x.random(1);
  y.fill(kUntouched);
  Array<T> panels({heads, count, k, panelWidth});
  std::vector<Array<float>> weights;
  for (int64_t h = 0; h < heads; ++h) {
    weights.emplace_back(llvm::ArrayRef<int64_t>{n, k});
    weights.back().random(10 + h);
    Array<T> one = packPanels<T>(weights.back(), panelWidth);
    std::copy(one.data(), one.data() + one.size(),
              panels.data() + h * one.size());
  }
  kernels.module.run(kernels.head[kFormat<T>], 1, x, panels, y);
  for (int64_t t = 0; t < tokens; ++t)
    for (int64_t h = 0; h < heads; ++h) {
      for (int64_t i = 0; i < n; ++i) {
        Dot d = dot<T>(
            k, [&](int64_t j) { return x(t, h, j); },
            [&](int64_t j) { return weights[h](i, j); });
        ASSERT_NEAR(y(t, h, i), d.value, d.bound) << t << " " << h << " " << i;
      }
      for (int64_t i = n; i < n + 4; ++i)
        ASSERT_EQ(y.data()[(t * heads + h) * (n + 4) + i], kUntouched);
    }
  for (int64_t parts : {2, 3, 7}) {
    Array<float> again({tokens, heads, n}, 4);
    again.fill(kUntouched);
    kernels.module.run(kernels.head[kFormat<T>], parts, x, panels, again);
    EXPECT_TRUE(sameBits(y, again)) << parts << " parts";
  }
}

TEST_P(MatmulTest, HeadsMatchPlainLoops) {
  for (int64_t tokens : {0, 1, 2, 3, 8, 13, 20})
    for (int64_t heads : {1, 4})
      for (int64_t n : {int64_t(5), 2 * width + 1})
        for (int64_t k : {5, 48}) {
          checkHeads<float>(*kernels, tokens, heads, n, k);
          checkHeads<uint16_t>(*kernels, tokens, heads, n, k);
          if (HasFatalFailure())
            return;
        }
}

//===----------------------------------------------------------------------===//
// Experts
//===----------------------------------------------------------------------===//

/// Runs both grouped products, with and without gather, for experts that own
/// `counts` rows, and compares with plain loops.
template <typename T>
static void checkGrouped(Kernels &kernels, llvm::ArrayRef<int64_t> counts,
                         int64_t n, int64_t k) {
  SCOPED_TRACE(testing::Message()
               << "experts " << testing::PrintToString(counts.vec())
               << " N=" << n << " K=" << k);
  constexpr int f = kFormat<T>;
  constexpr int64_t kPad = 3;
  int64_t panelWidth = kernels.module.target().panelWidth();
  int64_t experts = counts.size(), count = (n + panelWidth - 1) / panelWidth;
  Array<int32_t> offsets({experts + 1});
  offsets(0) = 0;
  for (int64_t e = 0; e < experts; ++e)
    offsets(e + 1) = offsets(e) + static_cast<int32_t>(counts[e]);
  int64_t rows = offsets(experts), tokens = std::max<int64_t>(rows / 2, 1);

  Array<float> x({std::max(rows, tokens), k}, 2);
  x.random(1);
  Array<int32_t> rowToken({rows});
  for (int64_t r = 0; r < rows; ++r)
    rowToken(r) = static_cast<int32_t>(r * 7 % tokens);
  Array<T> panels({experts, count, k, panelWidth});
  Array<T> gatedPanels({experts, count, 2, k, panelWidth});
  std::vector<Array<float>> gates, ups;
  for (int64_t e = 0; e < experts; ++e) {
    gates.emplace_back(llvm::ArrayRef<int64_t>{n, k});
    ups.emplace_back(llvm::ArrayRef<int64_t>{n, k});
    gates.back().random(100 + e);
    ups.back().random(200 + e);
    Array<T> g = packPanels<T>(gates.back(), panelWidth);
    Array<T> both = interleave(g, packPanels<T>(ups.back(), panelWidth));
    std::copy(g.data(), g.data() + g.size(), panels.data() + e * g.size());
    std::copy(both.data(), both.data() + both.size(),
              gatedPanels.data() + e * both.size());
  }

  for (int gather : {0, 1}) {
    auto run = [&](bool gated, int64_t parts) {
      Array<float> y({rows, n}, kPad);
      y.fill(kUntouched);
      const std::string &name =
          (gated ? kernels.groupedGated : kernels.grouped)[f][gather];
      Descriptor w = gated ? gatedPanels.descriptor() : panels.descriptor();
      if (gather)
        kernels.module.run(name, parts, x, w, offsets, rowToken, y);
      else
        kernels.module.run(name, parts, x, w, offsets, y);
      EXPECT_TRUE(paddingIntact(y, kPad) && y.guardIntact());
      return y;
    };
    Array<float> plain = run(false, 1), gated = run(true, 1);
    for (int64_t e = 0; e < experts; ++e)
      for (int64_t r = offsets(e); r < offsets(e + 1); ++r)
        for (int64_t i = 0; i < n; ++i) {
          int64_t from = gather ? rowToken(r) : r;
          auto row = [&](int64_t j) { return x(from, j); };
          Dot g = dot<T>(k, row, [&](int64_t j) { return gates[e](i, j); });
          Dot u = dot<T>(k, row, [&](int64_t j) { return ups[e](i, j); });
          Dot h = gate(g, u);
          ASSERT_NEAR(plain(r, i), g.value, g.bound) << r << " " << i;
          ASSERT_NEAR(gated(r, i), h.value, h.bound) << r << " " << i;
        }
    for (int64_t parts : {2, 3, 7, 40}) {
      EXPECT_TRUE(sameBits(plain, run(false, parts))) << parts << " parts";
      EXPECT_TRUE(sameBits(gated, run(true, parts))) << parts << " parts";
    }
  }
}

TEST_P(MatmulTest, GroupedMatchesPlainLoops) {
  const std::vector<std::vector<int64_t>> all = {
      {1, 0, 0, 2, 0, 1},   // decode: few rows, most experts empty
      {0, 0, 0, 0},         // nothing at all
      {0, 0, 45, 0},        // one expert with everything
      {45},                 // one expert
      {5, 0, 30, 1, 8, 13}, // costs by bytes and by arithmetic mixed
      {0, 4},
      {3, 0},
  };
  for (const std::vector<int64_t> &counts : all)
    for (int64_t n : {int64_t(3), 2 * width + 1})
      for (int64_t k : {5, 33}) {
        checkGrouped<float>(*kernels, counts, n, k);
        checkGrouped<uint16_t>(*kernels, counts, n, k);
        if (HasFatalFailure())
          return;
      }
}

TEST_P(MatmulTest, GroupedDoesNotTouchEmptyExperts) {
  // Panels of whole pages, so that empty experts can be made unreadable.
  constexpr int64_t kExperts = 6, kDepth = 512;
  int64_t n = 2 * width;
  size_t bytes = n * kDepth * sizeof(float);
  ASSERT_EQ(bytes % 4096, 0u);
  void *memory = mmap(nullptr, kExperts * bytes, PROT_READ | PROT_WRITE,
                      MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  ASSERT_NE(memory, MAP_FAILED);
  Array<int32_t> offsets({kExperts + 1});
  const int32_t values[] = {0, 0, 1, 1, 4, 4, 4};
  std::copy(std::begin(values), std::end(values), offsets.data());
  float *weights = static_cast<float *>(memory);
  std::fill(weights, weights + kExperts * n * kDepth, 1.0f);
  for (int64_t e : {0, 2, 4, 5})
    ASSERT_EQ(
        mprotect(static_cast<char *>(memory) + e * bytes, bytes, PROT_NONE), 0);
  Array<float> x({4, kDepth}), y({4, n});
  x.fill(1.0f);
  Descriptor panels(memory, 0, {kExperts, 2, kDepth, width},
                    {n * kDepth, width * kDepth, width, 1});
  for (int64_t parts : {1, 3}) {
    y.fill(kUntouched);
    module().run(kernels->grouped[0][0], parts, x, panels, offsets, y);
    for (int64_t r = 0; r < 4; ++r)
      for (int64_t i = 0; i < n; ++i)
        ASSERT_EQ(y(r, i), static_cast<float>(kDepth));
  }
  munmap(memory, kExperts * bytes);
}

TEST_P(MatmulTest, ViewsOfOneExpertWork) {
  // The second of three experts, through an offset instead of a pointer.
  int64_t n = width + 2, k = 24;
  Array<float> x({2, k}), y({2, n}), weight({n, k}), all({3, 2, k, width});
  x.random(1);
  weight.random(2);
  all.fill(std::numeric_limits<float>::quiet_NaN());
  Array<float> one = packPanels<float>(weight, width);
  std::copy(one.data(), one.data() + one.size(), all.data() + one.size());
  Descriptor view(all.data(), one.size(), {2, k, width}, {k * width, width, 1});
  module().run(kernels->matmul[0], 1, x, view, y);
  Array<float> expected({2, n});
  module().run(kernels->matmul[0], 1, x, one, expected);
  EXPECT_TRUE(sameBits(y, expected));
}

//===----------------------------------------------------------------------===//
// Functions
//===----------------------------------------------------------------------===//

TEST_P(MatmulTest, KernelsAreMadeOnce) {
  KernelModule m(GetParam());
  MatmulConfig config{PanelFormat::BF16, true};
  auto first = getOrCreateMatmulKernel(m.module(), config, m.target());
  auto second = getOrCreateMatmulKernel(m.module(), config, m.target());
  EXPECT_EQ(first, second);
  EXPECT_EQ(first.getName(), "dsv2_matmul_add_bf16");
  EXPECT_TRUE(first.isPrivate());
  config.addResidual = false;
  auto other = getOrCreateMatmulKernel(m.module(), config, m.target());
  EXPECT_NE(first, other);
}

TEST_P(MatmulTest, NothingCallsALibrary) {
  // exp and fma are the candidates; LLVM may use memset and memcpy.
  const std::string &ir = module().llvmIR();
  for (const char *name : {"@expf", "@llvm.exp", "@fmaf", "@malloc"})
    EXPECT_EQ(ir.find(name), std::string::npos) << name;
}

INSTANTIATE_TEST_SUITE_P(CPUs, MatmulTest, testing::ValuesIn(testedCPUs()),
                         cpuName);
