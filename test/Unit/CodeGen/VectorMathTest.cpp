//===- VectorMathTest.cpp - Elementary functions against double -----------===//
//
// Part of dsv2, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "KernelTestUtils.h"

#include "dsv2/CodeGen/CPU/Passes.h"
#include "dsv2/CodeGen/CPU/VectorMath.h"
#include "mlir/Dialect/Func/IR/FuncOps.h"
#include "mlir/Dialect/Math/IR/Math.h"
#include "mlir/Dialect/Vector/IR/VectorOps.h"
#include "mlir/Pass/Pass.h"
#include "mlir/Pass/PassManager.h"
#include "llvm/ADT/StringExtras.h"
#include "gtest/gtest.h"

#include <cmath>
#include <limits>

using namespace mlir;
using namespace mlir::dsv2;
using namespace mlir::dsv2::cpu;
using namespace mlir::dsv2::cpu::test;

namespace {

constexpr float kInf = std::numeric_limits<float>::infinity();

/// Distance of `value` from `exact` in units of the last place of f32 at
/// `exact`; denormal results are measured in units of 2^-149.
double ulpError(float value, double exact) {
  int exponent = std::max(std::ilogb(exact), -126);
  return std::abs(static_cast<double>(value) - exact) /
         std::ldexp(1.0, exponent - 23);
}

/// A kernel out[i] = f(x[i]) over whole vectors.
template <typename Emit>
void addMapKernel(KernelModule &m, StringRef name, Emit emit) {
  MemRefType list = getStridedType(Float32Type::get(m.context()), 1);
  getOrCreateKernel(
      m.module(), name, m.target(), {list, list},
      [&](KernelBuilder &b, ValueRange args, Value part, Value parts) {
        b.forEach(b.index(0), b.dim(args[0], 0), b.index(b.lanes()),
                  [&](Value i) {
                    b.store(emit(b, b.load(args[0], {i})), args[1], {i});
                  });
      });
}

void runExpandPass(KernelModule &m, bool useFMA) {
  PassManager pm(m.context());
  pm.addPass(createExpandVectorMathPass({useFMA}));
  ASSERT_TRUE(succeeded(pm.run(m.module())));
}

class VectorMath : public ::testing::TestWithParam<std::string> {};

TEST_P(VectorMath, F112_ExpIsWithinTwoUlp) {
  KernelModule m(GetParam());
  addMapKernel(m, "map", [](KernelBuilder &b, Value x) -> Value {
    return math::ExpOp::create(b, x);
  });
  runExpandPass(m, m.target().hasFMA);
  EXPECT_EQ(m.print().find("math.exp"), std::string::npos);
  ASSERT_TRUE(m.compile());
  EXPECT_EQ(m.llvmIR().find("exp"), std::string::npos);

  // Every 61st float of [-87, -2^-30], then the positive half likewise.
  constexpr int64_t kChunk = 1 << 16;
  Array<float> x({kChunk}), y({kChunk});
  double worst = 0;
  for (uint32_t sign : {0x80000000u, 0u}) {
    float bound = sign ? 87.0f : 88.7f;
    uint32_t bits = 0x30800000u;
    for (bool more = true; more;) {
      for (int64_t i = 0; i < kChunk; ++i, bits += 61) {
        uint32_t pattern = bits | sign;
        float value;
        std::memcpy(&value, &pattern, sizeof value);
        more = std::abs(value) < bound;
        x(i) = more ? value : std::copysign(bound, value);
      }
      m.run("map", 1, x, y);
      for (int64_t i = 0; i < kChunk; ++i)
        worst = std::max(worst,
                         ulpError(y(i), std::exp(static_cast<double>(x(i)))));
    }
  }
  EXPECT_LE(worst, 2.0);
  RecordProperty("worst_ulp_x1000", static_cast<int>(worst * 1000));
}

TEST_P(VectorMath, ExpOutsideTheNormalRange) {
  KernelModule m(GetParam());
  addMapKernel(m, "map",
               [](KernelBuilder &b, Value x) { return emitExp(b, x); });
  ASSERT_TRUE(m.compile());

  Array<float> x({16}), y({16});
  x.fill(0.0f);
  float inputs[] = {-kInf, kInf,   NAN,     -0.0f,   88.72283f, 88.72284f,
                    1e30f, -1e30f, -104.0f, -103.0f, -90.0f,    1e-40f};
  for (size_t i = 0; i < std::size(inputs); ++i)
    x(i) = inputs[i];
  m.run("map", 1, x, y);

  EXPECT_EQ(y(0), 0.0f);
  EXPECT_FALSE(std::signbit(y(0)));
  EXPECT_EQ(y(1), kInf);
  EXPECT_TRUE(std::isnan(y(2)));
  EXPECT_EQ(y(3), 1.0f);
  EXPECT_TRUE(std::isfinite(y(4)));
  EXPECT_EQ(y(5), kInf);
  EXPECT_EQ(y(6), kInf);
  EXPECT_EQ(y(7), 0.0f);
  EXPECT_EQ(y(8), 0.0f);
  for (int i : {9, 10})
    EXPECT_LE(ulpError(y(i), std::exp(static_cast<double>(x(i)))), 2.0);
  EXPECT_EQ(y(11), 1.0f);
}

TEST_P(VectorMath, ScalarsVectorsAndRsqrtAreExpanded) {
  KernelModule m(GetParam());
  MemRefType list = getStridedType(Float32Type::get(m.context()), 1);
  getOrCreateKernel(
      m.module(), "scalar", m.target(), {list, list},
      [&](KernelBuilder &b, ValueRange args, Value part, Value parts) {
        Value x = b.loadScalar(args[0], {b.index(0)});
        b.storeScalar(math::ExpOp::create(b, x), args[1], {b.index(0)});
        b.storeScalar(math::RsqrtOp::create(b, x), args[1], {b.index(1)});
        // A matrix of 2 x 4.
        Type square = VectorType::get({2, 4}, b.getF32Type());
        Value v =
            math::ExpOp::create(b, vector::BroadcastOp::create(b, square, x));
        b.storeScalar(vector::ExtractOp::create(b, v, ArrayRef<int64_t>{1, 3}),
                      args[1], {b.index(2)});
      });
  runExpandPass(m, m.target().hasFMA);
  std::string text = m.print();
  EXPECT_EQ(text.find("math.exp"), std::string::npos);
  EXPECT_EQ(text.find("math.rsqrt"), std::string::npos);
  ASSERT_TRUE(m.compile());
  Array<float> x({1}), y({3});
  x.fill(1.7f);
  m.run("scalar", 1, x, y);
  EXPECT_LE(ulpError(y(0), std::exp(static_cast<double>(x(0)))), 2.0);
  EXPECT_EQ(y(1), 1.0f / std::sqrt(x(0)));
  EXPECT_EQ(y(2), y(0));
}

TEST_P(VectorMath, WithoutFMAExpIsWithinTwoUlpToo) {
  KernelModule m(GetParam());
  addMapKernel(m, "map", [](KernelBuilder &b, Value x) {
    return emitExp(b, x, /*useFMA=*/false);
  });
  ASSERT_TRUE(m.compile());
  constexpr int64_t kCount = 1 << 20;
  Array<float> x({kCount}), y({kCount});
  for (int64_t i = 0; i < kCount; ++i)
    x(i) = -87.0f * static_cast<float>(i) / kCount;
  m.run("map", 1, x, y);
  double worst = 0;
  for (int64_t i = 0; i < kCount; ++i)
    worst =
        std::max(worst, ulpError(y(i), std::exp(static_cast<double>(x(i)))));
  EXPECT_LE(worst, 2.0);
}

/// Writes sin and cos of the f32 angles, evaluated in f64, rounded to f32.
void addSinCosKernel(KernelModule &m) {
  MemRefType list = getStridedType(Float32Type::get(m.context()), 1);
  getOrCreateKernel(
      m.module(), "sincos", m.target(), {list, list, list},
      [&](KernelBuilder &b, ValueRange args, Value part, Value parts) {
        b.forEach(b.index(0), b.dim(args[0], 0), b.index(b.lanes()),
                  [&](Value i) {
                    Value angle = arith::ExtFOp::create(
                        b, b.vecType(b.getF64Type()), b.load(args[0], {i}));
                    auto [sin, cos] = emitSinCos(b, angle);
                    for (auto [value, out] :
                         {std::pair(sin, args[1]), std::pair(cos, args[2])})
                      b.store(arith::TruncFOp::create(b, b.f32VecType(), value),
                              out, {i});
                  });
      });
}

TEST_P(VectorMath, SinAndCosAreWithinOneUlp) {
  KernelModule m(GetParam());
  addSinCosKernel(m);
  ASSERT_TRUE(m.compile());

  constexpr int64_t kCount = 1 << 20;
  Array<float> x({kCount}), sin({kCount}), cos({kCount});
  std::mt19937 gen(7);
  std::uniform_real_distribution<float> wide(-163840.0f, 163840.0f);
  for (int64_t i = 0; i < kCount; ++i) {
    // Whole positions, arbitrary angles, tiny ones, and multiples of pi / 2.
    switch (i % 4) {
    case 0:
      x(i) = static_cast<float>(i % 163841);
      break;
    case 1:
      x(i) = wide(gen);
      break;
    case 2:
      x(i) = wide(gen) * 1e-9f;
      break;
    default:
      x(i) = static_cast<float>(1.5707963267948966 * (i % 104000));
      break;
    }
  }
  m.run("sincos", 1, x, sin, cos);
  double worst = 0;
  for (int64_t i = 0; i < kCount; ++i) {
    double angle = x(i);
    worst = std::max(worst, ulpError(cos(i), std::cos(angle)));
    if (angle != 0)
      worst = std::max(worst, ulpError(sin(i), std::sin(angle)));
    else
      EXPECT_EQ(sin(i), 0.0f);
  }
  EXPECT_LE(worst, 1.0);
  for (const char *name : {"sin", "cos"})
    EXPECT_EQ(m.llvmIR().find(std::string("llvm.") + name), std::string::npos);
}

TEST_P(VectorMath, TransposedSumsAndTransposes) {
  KernelModule m(GetParam());
  int64_t lanes = m.target().lanes();
  MemRefType square = getActivationType(m.context());
  // Row 0 of the second output: sums of all rows; row 1: sums of two rows.
  getOrCreateKernel(
      m.module(), "rows", m.target(), {square, square, square},
      [&](KernelBuilder &b, ValueRange args, Value part, Value parts) {
        Value zero = b.index(0);
        SmallVector<Value> rows;
        for (int64_t i = 0; i < b.lanes(); ++i)
          rows.push_back(b.load(args[0], {b.index(i), zero}));
        b.store(emitTransposedSum(b, rows), args[2], {zero, zero});
        b.store(emitTransposedSum(b, {rows[0], rows[1]}), args[2],
                {b.index(1), zero});
        b.storeScalar(emitReduceMax(b, rows[1]), args[2], {b.index(2), zero});
        emitTranspose(b, rows);
        for (int64_t i = 0; i < b.lanes(); ++i)
          b.store(rows[i], args[1], {b.index(i), zero});
      });
  ASSERT_TRUE(m.compile());
  Array<float> x({lanes, lanes}), transposed({lanes, lanes}), sums({3, lanes});
  x.random(3);
  m.run("rows", 1, x, transposed, sums);
  for (int64_t i = 0; i < lanes; ++i) {
    for (int64_t j = 0; j < lanes; ++j)
      EXPECT_EQ(transposed(i, j), x(j, i));
    // The documented tree: fold halves onto each other.
    std::vector<float> row(&x(i, 0), &x(i, 0) + lanes);
    for (int64_t half = lanes / 2; half; half /= 2)
      for (int64_t j = 0; j < half; ++j)
        row[j] += row[j + half];
    EXPECT_EQ(sums(0, i), row[0]) << "row " << i;
    if (i < 2)
      EXPECT_EQ(sums(1, i), row[0]) << "row " << i;
  }
  EXPECT_EQ(sums(2, 0), *std::max_element(&x(1, 0), &x(1, 0) + lanes));
}

INSTANTIATE_TEST_SUITE_P(CPUs, VectorMath, ::testing::ValuesIn(testedCPUs()),
                         cpuName);

} // namespace
