//===- VectorMath.cpp - Vector building blocks of the CPU kernels ---------===//
//
// Part of dsv2, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "dsv2/CodeGen/CPU/VectorMath.h"

#include "mlir/Dialect/Math/IR/Math.h"
#include "mlir/Dialect/Vector/IR/VectorOps.h"
#include "mlir/IR/TypeUtilities.h"
#include "llvm/Support/MathExtras.h"

#include <cmath>

using namespace mlir;
using namespace mlir::dsv2;
using namespace mlir::dsv2::cpu;

/// `like` with another element type: a vector stays a vector of its shape.
static Type withElement(Type like, Type element) {
  if (auto vector = dyn_cast<VectorType>(like))
    return VectorType::get(vector.getShape(), element);
  return element;
}

namespace {

/// Arithmetic on values of one shape with constants of that shape: what a
/// polynomial needs to be readable.
struct Arithmetic {
  ImplicitLocOpBuilder &b;
  Type like;
  bool useFMA;

  Value real(double value) {
    Type type = like;
    TypedAttr attr = b.getFloatAttr(getElementTypeOrSelf(type), value);
    if (auto vector = dyn_cast<VectorType>(type))
      attr = DenseElementsAttr::get(vector, Attribute(attr));
    return arith::ConstantOp::create(b, attr);
  }
  Value integer(int64_t value) {
    unsigned width = getElementTypeOrSelf(like).getIntOrFloatBitWidth();
    Type element = b.getIntegerType(width);
    TypedAttr attr = b.getIntegerAttr(element, value);
    if (auto vector = dyn_cast<VectorType>(like))
      attr = DenseElementsAttr::get(VectorType::get(vector.getShape(), element),
                                    Attribute(attr));
    return arith::ConstantOp::create(b, attr);
  }
  Value add(Value x, Value y) { return arith::AddFOp::create(b, x, y); }
  Value sub(Value x, Value y) { return arith::SubFOp::create(b, x, y); }
  Value mul(Value x, Value y) { return arith::MulFOp::create(b, x, y); }
  Value fma(Value x, Value y, Value z) {
    if (useFMA)
      return math::FmaOp::create(b, x, y, z);
    return add(mul(x, y), z);
  }
  Value addi(Value x, Value y) { return arith::AddIOp::create(b, x, y); }
  Value subi(Value x, Value y) { return arith::SubIOp::create(b, x, y); }
  Value bits(Value x) {
    unsigned width = getElementTypeOrSelf(like).getIntOrFloatBitWidth();
    return arith::BitcastOp::create(
        b, withElement(like, b.getIntegerType(width)), x);
  }
  Value fromBits(Value x) { return arith::BitcastOp::create(b, like, x); }
  /// c[0] + x (c[1] + x (c[2] + ...)).
  Value horner(Value x, ArrayRef<double> c) {
    Value sum = real(c.back());
    for (double coefficient : llvm::reverse(c.drop_back()))
      sum = fma(sum, x, real(coefficient));
    return sum;
  }
};

} // namespace

//===----------------------------------------------------------------------===//
// Elementary functions
//===----------------------------------------------------------------------===//

// e^x = 2^n e^r with n = round(x / ln 2) and |r| <= ln(2) / 2.
Value dsv2::cpu::emitExp(ImplicitLocOpBuilder &b, Value x, bool useFMA) {
  Arithmetic a{b, x.getType(), useFMA};
  assert(getElementTypeOrSelf(x.getType()).isF32() && "expected f32");

  // Beyond these bounds the result is 0 or infinity anyway; inside them n fits
  // the exponent arithmetic below. A comparison with NaN is false and keeps it.
  auto clamp = [&](arith::CmpFPredicate beyond, float bound) {
    Value limit = a.real(bound);
    Value outside = arith::CmpFOp::create(b, beyond, x, limit);
    x = arith::SelectOp::create(b, outside, limit, x);
  };
  clamp(arith::CmpFPredicate::OLT, -105.0f);
  clamp(arith::CmpFPredicate::OGT, 89.0f);

  // Adding 1.5 * 2^23 rounds to an integer and leaves it in the low mantissa
  // bits. Unlike a conversion this is defined for NaN.
  Value magic = a.real(12582912.0);
  Value shifted = a.fma(x, a.real(1.4426950408889634), magic);
  Value n = a.sub(shifted, magic);
  Value exponent = a.subi(a.bits(shifted), a.bits(magic));

  // The upper part of ln 2 has 15 significant bits and n at most 8, so n times
  // it is exact even without a fused operation, and so is the difference.
  Value r = a.fma(n, a.real(-0x1.62e4p-1), x);
  r = a.fma(n, a.real(-1.428606765e-06), r);

  // Least maximum relative error of 1 + r + r^2 p(r) over the interval: 3.1e-9.
  Value p = a.horner(
      r, {0.49999994, 0.166665196, 0.0416683927, 0.00836878084, 0.00138144672});
  Value y = a.add(a.fma(a.mul(r, r), p, r), a.real(1.0));

  // 2^n in two factors: n reaches from -151 to 128, beyond what one normal
  // number can hold. The first product is exact, the second rounds once.
  auto power = [&](Value e) {
    Value biased = a.addi(e, a.integer(127));
    return a.fromBits(arith::ShLIOp::create(b, biased, a.integer(23)));
  };
  Value half = arith::ShRSIOp::create(b, exponent, a.integer(1));
  Value rest = a.subi(exponent, half);
  return a.mul(a.mul(y, power(half)), power(rest));
}

Value dsv2::cpu::emitExp(KernelBuilder &b, Value x) {
  return emitExp(b, x, b.getTarget().hasFMA);
}

// a = k pi/2 + r with |r| <= pi/4; k modulo 4 says which of sin r and cos r,
// and with which sign, is the result.
std::pair<Value, Value> dsv2::cpu::emitSinCos(KernelBuilder &b, Value angle) {
  Arithmetic a{b, angle.getType(), b.getTarget().hasFMA};
  assert(getElementTypeOrSelf(angle.getType()).isF64() && "expected f64");

  Value magic = a.real(6755399441055744.0); // 1.5 * 2^52
  Value shifted = a.fma(angle, a.real(0.63661977236758138), magic);
  Value k = a.sub(shifted, magic);
  Value quadrant = a.bits(shifted);

  // pi/2 as 33 bits plus the rest: k, up to 20 bits, times the first is exact.
  Value r = a.fma(k, a.real(-0x1.921fb544p+0), angle);
  r = a.fma(k, a.real(-0x1.0b4611a626331p-34), r);

  // Taylor series; the first term left out is below 3e-14, far below half a
  // unit of f32.
  Value r2 = a.mul(r, r);
  Value sine = a.horner(r2, {-1.0 / 6, 1.0 / 120, -1.0 / 5040, 1.0 / 362880,
                             -1.0 / 39916800, 1.0 / 6227020800.0});
  sine = a.fma(a.mul(r2, r), sine, r);
  Value cosine = a.horner(r2, {1.0, -0.5, 1.0 / 24, -1.0 / 720, 1.0 / 40320,
                               -1.0 / 3628800, 1.0 / 479001600.0});

  Value zero = a.integer(0), one = a.integer(1);
  Value odd =
      arith::CmpIOp::create(b, arith::CmpIPredicate::ne,
                            arith::AndIOp::create(b, quadrant, one), zero);
  // Bit 1 of the quadrant, moved to the sign.
  auto flip = [&](Value value, Value turns) {
    Value sign = arith::ShLIOp::create(
        b, arith::AndIOp::create(b, turns, a.integer(2)), a.integer(62));
    return a.fromBits(arith::XOrIOp::create(b, a.bits(value), sign));
  };
  Value sin = arith::SelectOp::create(b, odd, cosine, sine);
  Value cos = arith::SelectOp::create(b, odd, sine, cosine);
  return {flip(sin, quadrant), flip(cos, a.addi(quadrant, one))};
}

//===----------------------------------------------------------------------===//
// Runs of a static number of elements
//===----------------------------------------------------------------------===//

Value dsv2::cpu::emitSlice(KernelBuilder &b, Value vector, int64_t first,
                           int64_t count) {
  if (first == 0 &&
      count == cast<VectorType>(vector.getType()).getNumElements())
    return vector;
  return vector::ShuffleOp::create(
      b, vector, vector,
      llvm::to_vector(llvm::seq<int64_t>(first, first + count)));
}

Value dsv2::cpu::emitLoad(KernelBuilder &b, Value memref, ValueRange indices,
                          int64_t count, int64_t lanes, float fill) {
  assert(count > 0 && count <= lanes && "expected a part of one vector");
  Type element = cast<MemRefType>(memref.getType()).getElementType();
  Value value = b.widen(vector::LoadOp::create(
      b, VectorType::get({count}, element), memref, indices));
  if (count == lanes)
    return value;
  // Lanes beyond `count` come from the second operand.
  Value filler = arith::ConstantOp::create(
      b,
      DenseElementsAttr::get(VectorType::get({count}, b.getF32Type()), fill));
  SmallVector<int64_t> mask;
  for (int64_t i = 0; i < lanes; ++i)
    mask.push_back(std::min(i, count));
  return vector::ShuffleOp::create(b, value, filler, mask);
}

void dsv2::cpu::emitStore(KernelBuilder &b, Value value, Value memref,
                          ValueRange indices, int64_t count) {
  value = emitSlice(b, value, 0, count);
  if (cast<MemRefType>(memref.getType()).getElementType().isBF16())
    value = b.narrowToBF16(value);
  vector::StoreOp::create(b, value, memref, indices);
}

//===----------------------------------------------------------------------===//
// Maxima, sums and transposes
//===----------------------------------------------------------------------===//

Value dsv2::cpu::emitMax(KernelBuilder &b, Value lhs, Value rhs) {
  Value larger = b.fcmp(arith::CmpFPredicate::OGT, lhs, rhs);
  return b.select(larger, lhs, rhs);
}

Value dsv2::cpu::emitReduceMax(KernelBuilder &b, Value vector) {
  int64_t size = cast<VectorType>(vector.getType()).getNumElements();
  assert(llvm::isPowerOf2_64(size) && "expected a power of two");
  for (; size > 1; size /= 2)
    vector = emitMax(b, emitSlice(b, vector, 0, size / 2),
                     emitSlice(b, vector, size / 2, size / 2));
  return vector::ExtractOp::create(b, vector, ArrayRef<int64_t>{0});
}

/// Adds the halves of every segment of `width` lanes of `even` and of `odd`.
/// The sums of `even` end up in the lower, those of `odd` in the upper half of
/// each segment. One side of the sum is a blend and the other a blend followed
/// by a swap of neighbours, which is what processors are good at.
static Value addSegmentHalves(KernelBuilder &b, Value even, Value odd,
                              int64_t width) {
  int64_t lanes = cast<VectorType>(even.getType()).getNumElements();
  SmallVector<int64_t> stay, move, swap;
  for (int64_t i = 0; i < lanes; ++i) {
    bool upper = i % width >= width / 2;
    stay.push_back(upper ? lanes + i : i);
    move.push_back(upper ? i : lanes + i);
    swap.push_back(i ^ (width / 2));
  }
  Value kept = vector::ShuffleOp::create(b, even, odd, stay);
  Value moved = vector::ShuffleOp::create(b, even, odd, move);
  moved = vector::ShuffleOp::create(b, moved, moved, swap);
  return b.fadd(kept, moved);
}

/// The sums over `vectors`, as many as a power of two, in alternating lanes:
/// with m vectors of W lanes, segment i of W / m lanes holds W / m partial sums
/// of vector i.
static Value interleaveSums(KernelBuilder &b, ArrayRef<Value> vectors,
                            int64_t lanes) {
  if (vectors.size() == 1)
    return vectors.front();
  SmallVector<Value> even, odd;
  for (auto [i, vector] : llvm::enumerate(vectors))
    (i % 2 ? odd : even).push_back(vector);
  int64_t width = lanes / static_cast<int64_t>(even.size());
  return addSegmentHalves(b, interleaveSums(b, even, lanes),
                          interleaveSums(b, odd, lanes), width);
}

Value dsv2::cpu::emitTransposedSum(KernelBuilder &b, ValueRange vectors) {
  int64_t lanes = cast<VectorType>(vectors.front().getType()).getNumElements();
  assert(llvm::isPowerOf2_64(lanes) &&
         static_cast<int64_t>(vectors.size()) <= lanes);
  SmallVector<Value> all = llvm::to_vector(vectors);
  all.resize(lanes, all.back());
  return interleaveSums(b, all, lanes);
}

void dsv2::cpu::emitTranspose(KernelBuilder &b, SmallVectorImpl<Value> &rows) {
  int64_t lanes = rows.size();
  assert(llvm::isPowerOf2_64(lanes) &&
         lanes == cast<VectorType>(rows[0].getType()).getNumElements());
  // Swap the off-diagonal blocks of size 1, 2, 4, ...
  for (int64_t block = 1; block < lanes; block *= 2) {
    SmallVector<int64_t> low, high;
    for (int64_t i = 0; i < lanes; ++i) {
      low.push_back(i & block ? lanes + i - block : i);
      high.push_back(i & block ? lanes + i : i + block);
    }
    for (int64_t i = 0; i < lanes; ++i) {
      if (i & block)
        continue;
      Value upper = rows[i], lower = rows[i + block];
      rows[i] = vector::ShuffleOp::create(b, upper, lower, low);
      rows[i + block] = vector::ShuffleOp::create(b, upper, lower, high);
    }
  }
}
