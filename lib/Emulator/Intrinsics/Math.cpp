//===- Math.cpp - arithmetic that is an intrinsic of NVVM -----------------===//
//
// Part of dsv2, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "../IntrinsicTable.h"

#include "../SoftFloat.h"

#include <algorithm>
#include <cmath>

using namespace dsv2::emulator;

//===----------------------------------------------------------------------===//
// Approximations, computed as exactly as f32 allows. ".ftz" takes and gives
// zero for subnormal numbers.
//===----------------------------------------------------------------------===//

static float flush(float value) {
  return std::fpclassify(value) == FP_SUBNORMAL ? std::copysign(0.0f, value)
                                                : value;
}

template <double (*Function)(double), bool Ftz>
static void approx(const uint64_t *a, uint64_t *r) {
  float x = asFloat(a[0]);
  float y = float(Function(Ftz ? flush(x) : x));
  *r = asBits(Ftz ? flush(y) : y);
}

static double exp2Of(double x) { return std::exp2(x); }
static double log2Of(double x) { return std::log2(x); }
static double reciprocal(double x) { return 1.0 / x; }
static double reciprocalRoot(double x) { return 1.0 / std::sqrt(x); }
static double root(double x) { return std::sqrt(x); }
static double sinOf(double x) { return std::sin(x); }
static double cosOf(double x) { return std::cos(x); }
static double floorOf(double x) { return std::floor(x); }
static double ceilOf(double x) { return std::ceil(x); }
static double truncOf(double x) { return std::trunc(x); }
static double roundOf(double x) { return std::nearbyint(x); }
static double absOf(double x) { return std::fabs(x); }
static double saturated(double x) { return x > 0 ? std::min(x, 1.0) : 0.0; }

template <bool Ftz> static void divide(const uint64_t *a, uint64_t *r) {
  float x = asFloat(a[0]), y = asFloat(a[1]);
  float q = Ftz ? flush(flush(x) / flush(y)) : x / y;
  *r = asBits(q);
}
template <bool Ftz> static void multiplyAdd(const uint64_t *a, uint64_t *r) {
  float x = asFloat(a[0]), y = asFloat(a[1]), z = asFloat(a[2]);
  *r = asBits(Ftz ? flush(std::fma(flush(x), flush(y), flush(z)))
                  : std::fma(x, y, z));
}
/// min and max that prefer a number to NaN, or with `Nan` the other way.
template <bool Max, bool Nan, bool Ftz>
static void extreme(const uint64_t *a, uint64_t *r) {
  float x = asFloat(a[0]), y = asFloat(a[1]);
  if (Ftz) {
    x = flush(x);
    y = flush(y);
  }
  float result;
  if (x != x || y != y)
    result = Nan || (x != x && y != y) ? NAN : x != x ? y : x;
  else if (x == y)
    result = std::signbit(x) == Max ? y : x;
  else
    result = (x > y) == Max ? x : y;
  *r = asBits(result);
}

//===----------------------------------------------------------------------===//
// PTX ISA, "cvt": packed conversions put their first operand in the upper half
//===----------------------------------------------------------------------===//

static float relu(float x) { return x > 0 || x != x ? x : 0.0f; }

/// f32 to 16 bits towards zero.
static uint16_t truncatedBF16(float x) {
  return x != x ? 0x7FFF : asBits(x) >> 16;
}

template <uint16_t (*Narrow)(float), bool Relu>
static void packPair(const uint64_t *a, uint64_t *r) {
  float high = asFloat(a[0]), low = asFloat(a[1]);
  if (Relu) {
    high = relu(high);
    low = relu(low);
  }
  *r = uint32_t(Narrow(high)) << 16 | Narrow(low);
}
template <uint16_t (*Narrow)(float), bool Relu>
static void narrowOne(const uint64_t *a, uint64_t *r) {
  *r = Narrow(Relu ? relu(asFloat(a[0])) : asFloat(a[0]));
}
template <uint8_t (*Narrow)(float), bool Relu>
static void packBytes(const uint64_t *a, uint64_t *r) {
  float high = asFloat(a[0]), low = asFloat(a[1]);
  if (Relu) {
    high = relu(high);
    low = relu(low);
  }
  *r = uint32_t(Narrow(high)) << 8 | Narrow(low);
}
template <uint8_t (*Narrow)(float), bool Relu>
static void narrowHalves(const uint64_t *a, uint64_t *r) {
  float low = fromF16(a[0]), high = fromF16(a[0] >> 16);
  if (Relu) {
    high = relu(high);
    low = relu(low);
  }
  *r = uint32_t(Narrow(high)) << 8 | Narrow(low);
}
template <float (*Widen)(uint8_t), bool Relu>
static void widenBytes(const uint64_t *a, uint64_t *r) {
  float low = Widen(a[0]), high = Widen(a[0] >> 8);
  if (Relu) {
    high = relu(high);
    low = relu(low);
  }
  *r = uint32_t(toF16(high)) << 16 | toF16(low);
}

//===----------------------------------------------------------------------===//
// Integers
//===----------------------------------------------------------------------===//

/// PTX ISA, "prmt", default mode.
static void permute(const uint64_t *a, uint64_t *r) {
  uint64_t bytes = uint64_t(uint32_t(a[1])) << 32 | uint32_t(a[0]);
  uint32_t result = 0;
  for (int i = 0; i < 4; ++i) {
    uint32_t selector = a[2] >> (4 * i) & 15;
    uint8_t byte = bytes >> (8 * (selector & 7));
    if (selector & 8)
      byte = byte & 0x80 ? 0xFF : 0;
    result |= uint32_t(byte) << (8 * i);
  }
  *r = result;
}

template <bool SignedA, bool SignedB>
static void dotBytes(const uint64_t *a, uint64_t *r) {
  uint32_t sum = a[2];
  for (int i = 0; i < 4; ++i) {
    uint8_t x = a[0] >> (8 * i), y = a[1] >> (8 * i);
    sum += (SignedA ? int(int8_t(x)) : int(x)) *
           (SignedB ? int(int8_t(y)) : int(y));
  }
  *r = sum;
}

#define DSV2_APPROX(name, function)                                            \
  {"llvm.nvvm." name ".f", pure<approx<function, false>>}, {                   \
    "llvm.nvvm." name ".ftz.f", pure<approx<function, true>>                   \
  }
#define DSV2_PACK(name, narrow)                                                \
  {"llvm.nvvm." name, pure<packPair<narrow, false>>}, {                        \
    "llvm.nvvm." name ".relu", pure<packPair<narrow, true>>                    \
  }
#define DSV2_NARROW(name, narrow)                                              \
  {"llvm.nvvm." name, pure<narrowOne<narrow, false>>}, {                       \
    "llvm.nvvm." name ".relu", pure<narrowOne<narrow, true>>                   \
  }
#define DSV2_F8(name, narrow, widen)                                           \
  {"llvm.nvvm.ff.to." name ".rn", pure<packBytes<narrow, false>>},             \
      {"llvm.nvvm.ff.to." name ".rn.relu", pure<packBytes<narrow, true>>},     \
      {"llvm.nvvm.f16x2.to." name ".rn", pure<narrowHalves<narrow, false>>},   \
      {"llvm.nvvm.f16x2.to." name ".rn.relu",                                  \
       pure<narrowHalves<narrow, true>>},                                      \
      {"llvm.nvvm." name ".to.f16x2.rn", pure<widenBytes<widen, false>>}, {    \
    "llvm.nvvm." name ".to.f16x2.rn.relu", pure<widenBytes<widen, true>>       \
  }
#define DSV2_EXTREME(name, max)                                                \
  {"llvm.nvvm." name ".f", pure<extreme<max, false, false>>},                  \
      {"llvm.nvvm." name ".ftz.f", pure<extreme<max, false, true>>},           \
      {"llvm.nvvm." name ".nan.f", pure<extreme<max, true, false>>}, {         \
    "llvm.nvvm." name ".ftz.nan.f", pure<extreme<max, true, true>>             \
  }

llvm::ArrayRef<IntrinsicEntry> dsv2::emulator::mathIntrinsics() {
  static const IntrinsicEntry table[] = {
      {"llvm.nvvm.ex2.approx.f32", pure<approx<exp2Of, false>>},
      {"llvm.nvvm.ex2.approx.ftz.f32", pure<approx<exp2Of, true>>},
      DSV2_APPROX("lg2.approx", log2Of),
      {"llvm.nvvm.rcp.approx.ftz.f", pure<approx<reciprocal, true>>},
      DSV2_APPROX("rcp.rn", reciprocal),
      DSV2_APPROX("rsqrt.approx", reciprocalRoot),
      DSV2_APPROX("sqrt.approx", root),
      DSV2_APPROX("sqrt.rn", root),
      {"llvm.nvvm.sqrt.f", pure<approx<root, false>>},
      DSV2_APPROX("sin.approx", sinOf),
      DSV2_APPROX("cos.approx", cosOf),
      DSV2_APPROX("floor", floorOf),
      DSV2_APPROX("ceil", ceilOf),
      DSV2_APPROX("trunc", truncOf),
      DSV2_APPROX("round", roundOf),
      DSV2_APPROX("saturate", saturated),
      {"llvm.nvvm.fabs.ftz", pure<approx<absOf, true>>},
      {"llvm.nvvm.div.approx.f", pure<divide<false>>},
      {"llvm.nvvm.div.approx.ftz.f", pure<divide<true>>},
      {"llvm.nvvm.div.full", pure<divide<false>>},
      {"llvm.nvvm.div.full.ftz", pure<divide<true>>},
      {"llvm.nvvm.div.rn.f", pure<divide<false>>},
      {"llvm.nvvm.fma.rn.f", pure<multiplyAdd<false>>},
      {"llvm.nvvm.fma.rn.ftz.f", pure<multiplyAdd<true>>},
      DSV2_EXTREME("fmin", false),
      DSV2_EXTREME("fmax", true),
      DSV2_PACK("ff2bf16x2.rn", toBF16),
      DSV2_PACK("ff2bf16x2.rz", truncatedBF16),
      DSV2_PACK("ff2f16x2.rn", toF16),
      DSV2_NARROW("f2bf16.rn", toBF16),
      DSV2_NARROW("f2bf16.rz", truncatedBF16),
      DSV2_NARROW("f2f16.rn", toF16),
      {"llvm.nvvm.f2h.rn", pure<narrowOne<toF16, false>>},
      DSV2_F8("e4m3x2", toE4M3, fromE4M3),
      DSV2_F8("e5m2x2", toE5M2, fromE5M2),
      {"llvm.nvvm.prmt", pure<permute>},
      {"llvm.nvvm.idp4a.s.s", pure<dotBytes<true, true>>},
      {"llvm.nvvm.idp4a.s.u", pure<dotBytes<true, false>>},
      {"llvm.nvvm.idp4a.u.s", pure<dotBytes<false, true>>},
      {"llvm.nvvm.idp4a.u.u", pure<dotBytes<false, false>>},
  };
  return table;
}
