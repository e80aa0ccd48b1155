//===- CacheRows.cpp - Rows of a quantised latent cache -------------------===//
//
// Part of dsv2, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// CacheFormat.h says what lies where. A part is worked on unit by unit, each as
// a few vectors; only the last may be shorter.
//
//===----------------------------------------------------------------------===//

#include "CacheRows.h"

#include "BF16Dot.h"
#include "QuantTile.h"
#include "dsv2/CodeGen/CPU/VectorMath.h"
#include "mlir/Dialect/Math/IR/Math.h"
#include "mlir/Dialect/Vector/IR/VectorOps.h"
#include "llvm/Support/MathExtras.h"

#include <limits>

using namespace mlir;
using namespace mlir::dsv2;
using namespace mlir::dsv2::cpu;

/// Elements of a unit of 5 bits that share a byte are this far apart.
constexpr int64_t kNibbleDistance = 16;

/// Calls `body` with the number of each unit of a part and how many elements
/// the part has of it.
static void
forEachUnit(KernelBuilder &b, const CachePart &part,
            llvm::function_ref<void(Value unit, int64_t count)> body) {
  int64_t whole = part.width / part.unit;
  b.forEach(b.index(0), b.index(whole),
            [&](Value unit) { body(unit, part.unit); });
  if (int64_t rest = part.width % part.unit)
    body(b.index(whole), rest);
}

/// Where a unit starts in the row.
static Value unitStart(KernelBuilder &b, const CachePart &part, Value unit) {
  return b.add(b.mul(unit, part.unitBytes()), part.firstByte);
}

/// Where the scale of block number `block` of a unit is in the row.
static Value scaleAt(KernelBuilder &b, const CachePart &part, Value unit,
                     int64_t block) {
  Value number = b.add(b.mul(unit, part.unit / part.block), block);
  return b.add(b.mul(number, part.scaleBytes), part.firstScale);
}

/// Value `(code + bias) << 20` as a float; NaN for the code of NaN.
static Value decodeScale(KernelBuilder &b, Value code) {
  Value bits = arith::ShLIOp::create(
      b, arith::AddIOp::create(b, code, b.i32(kCacheScaleBias)), b.i32(20));
  return b.select(b.eq(code, b.i32(kCacheScaleNaN)),
                  b.f32(std::numeric_limits<float>::quiet_NaN()),
                  arith::BitcastOp::create(b, b.getF32Type(), bits));
}

//===----------------------------------------------------------------------===//
// Encoding
//===----------------------------------------------------------------------===//

/// The scale for a block of largest magnitude `largest`, stored at `at`.
static Value encodeScale(KernelBuilder &b, const CachePart &part, Value largest,
                         const Slice &to, Value at) {
  Value wanted = b.fmul(largest, b.f32(1.0f / part.divisor));
  Value scale, bytes;
  if (part.scaleBytes == 2) {
    std::tie(scale, bytes) = roundToBF16(b, wanted);
    bytes = vector::BitCastOp::create(
        b, VectorType::get({2}, b.getI8Type()),
        vector::BroadcastOp::create(b, VectorType::get({1}, b.getI16Type()),
                                    bytes));
  } else {
    // The upper 11 bits of a float that is not negative are its exponent and 3
    // bits of mantissa. Infinity and NaN have larger ones than any scale.
    Value bits = arith::AndIOp::create(
        b, arith::BitcastOp::create(b, b.getI32Type(), wanted),
        b.i32(0x7fffffff));
    Value code = arith::ShRUIOp::create(
        b, arith::AddIOp::create(b, bits, b.i32((1 << 20) - 1)), b.i32(20));
    code =
        b.max(arith::SubIOp::create(b, code, b.i32(kCacheScaleBias)), b.i32(0));
    code = b.select(b.le(code, b.i32(kCacheLastScale)), code,
                    b.i32(kCacheScaleNaN));
    scale = decodeScale(b, code);
    bytes = vector::BroadcastOp::create(
        b, VectorType::get({1}, b.getI8Type()),
        arith::TruncIOp::create(b, b.getI8Type(), code));
  }
  vector::StoreOp::create(b, bytes, to.memref, to.at({at}));
  return scale;
}

/// The integers nearest to v * inverse, ties to even, that the part can hold.
static Value encodeElements(KernelBuilder &b, const CachePart &part, Value v,
                            Value inverse) {
  int32_t half = 1 << (part.bits - 1);
  Value low = b.splat(part.bits == 8 ? 1 - half : -half);
  Value high = b.splat(half - 1);
  // A NaN comes out as anything in range: the scale tells of it.
  Value scaled = emitMax(b, b.fmul(v, inverse), low);
  scaled =
      b.select(b.fcmp(arith::CmpFPredicate::OLT, scaled, high), scaled, high);
  Value ints = arith::FPToSIOp::create(b, b.vecType(b.getI32Type()),
                                       math::RoundEvenOp::create(b, scaled));
  return part.bits == 8
             ? ints
             : Value(arith::AddIOp::create(b, ints, b.splatI32(half)));
}

/// Stores vectors of integers as the bytes of a unit of 8 or 5 bits that starts
/// at `at`.
static void storeUnit(KernelBuilder &b, const CachePart &part,
                      ArrayRef<Value> unit, const Slice &to, Value at) {
  int64_t lanes = b.lanes();
  auto storeBytes = [&](Value ints, int64_t first) {
    vector::StoreOp::create(
        b, arith::TruncIOp::create(b, b.vecType(b.getI8Type()), ints),
        to.memref, to.at({b.add(at, first)}));
  };
  if (part.bits == 8) {
    for (int64_t i = 0; i < part.unit; i += lanes)
      storeBytes(unit[i / lanes], i);
    return;
  }
  for (int64_t i = 0; i < kNibbleDistance; i += lanes) {
    Value low = arith::AndIOp::create(b, unit[i / lanes], b.splatI32(15));
    Value high = arith::ShLIOp::create(b, unit[(i + kNibbleDistance) / lanes],
                                       b.splatI32(4));
    storeBytes(arith::OrIOp::create(b, low, high), i);
  }
  // Whole bytes of bits.
  int64_t count = std::max<int64_t>(lanes, 8);
  for (int64_t i = 0; i < part.unit; i += count) {
    auto highest = [&](int64_t first) {
      return b.gt(unit[first / lanes], b.splatI32(15));
    };
    Value mask = highest(i);
    if (lanes < count)
      mask = vector::ShuffleOp::create(b, mask, highest(i + lanes),
                                       {0, 1, 2, 3, 4, 5, 6, 7});
    vector::StoreOp::create(
        b,
        vector::BitCastOp::create(
            b, VectorType::get({count / 8}, b.getI8Type()), mask),
        to.memref, to.at({b.add(at, kNibbleDistance + i / 8)}));
  }
}

static void encodePart(KernelBuilder &b, const CachePart &part,
                       const Slice &from, const Slice &to) {
  int64_t lanes = b.lanes();
  forEachUnit(b, part, [&](Value unit, int64_t count) {
    Value firstColumn = b.mul(unit, part.unit);
    SmallVector<Value> vectors;
    for (int64_t i = 0; i < part.unit; i += lanes) {
      Value column = b.add(firstColumn, i);
      vectors.push_back(i < count ? emitLoad(b, from.memref, from.at({column}),
                                             std::min(lanes, count - i), lanes)
                                  : b.splat(0.0f));
    }
    for (int64_t block = 0; block * part.block < part.unit; ++block) {
      MutableArrayRef<Value> own(vectors);
      own = own.slice(block * part.block / lanes, part.block / lanes);
      Value largest;
      for (Value v : own) {
        Value magnitude = math::AbsFOp::create(b, v);
        largest = largest ? b.fmax(largest, magnitude) : magnitude;
      }
      Value scale = encodeScale(b, part, b.reduceMax(largest), to,
                                scaleAt(b, part, unit, block));
      Value inverse = b.broadcast(emitInverse(b, scale));
      for (Value &v : own)
        v = encodeElements(b, part, v, inverse);
    }
    storeUnit(b, part, vectors, to, unitStart(b, part, unit));
  });
}

void dsv2::cpu::emitEncodeRow(KernelBuilder &b, const CacheRow &row,
                              const Slice &latent, const Slice &key,
                              const Slice &to) {
  encodePart(b, row.latent, latent, to);
  encodePart(b, row.rope, key, to);
}

//===----------------------------------------------------------------------===//
// Decoding
//===----------------------------------------------------------------------===//

static Value loadBytes(KernelBuilder &b, const Slice &from, Value at,
                       int64_t count) {
  return vector::LoadOp::create(b, VectorType::get({count}, b.getI8Type()),
                                from.memref, from.at({at}));
}

/// Elements from `first` of the unit at `at` on, one vector of them, where
/// `scale` and `offset` are the scale and -2^(bits - 1) times it.
static Value decodeElements(KernelBuilder &b, const CachePart &part,
                            int64_t first, const Slice &from, Value at,
                            Value scale, Value offset) {
  int64_t lanes = b.lanes();
  VectorType i32s = b.vecType(b.getI32Type());
  if (part.bits == 8) {
    Value ints = arith::ExtSIOp::create(
        b, i32s, loadBytes(b, from, b.add(at, first), lanes));
    return b.fmul(arith::SIToFPOp::create(b, b.f32VecType(), ints), scale);
  }
  Value low = arith::ExtUIOp::create(
      b, i32s, loadBytes(b, from, b.add(at, first % kNibbleDistance), lanes));
  low = first < kNibbleDistance
            ? Value(arith::AndIOp::create(b, low, b.splatI32(15)))
            : Value(arith::ShRUIOp::create(b, low, b.splatI32(4)));
  int64_t count = std::max<int64_t>(lanes, 8);
  Value mask = vector::BitCastOp::create(
      b, VectorType::get({count}, b.getI1Type()),
      loadBytes(b, from, b.add(at, kNibbleDistance + first / 8), count / 8));
  if (lanes < count)
    mask = emitSlice(b, mask, first % count, lanes);
  // Products and sums have few bits: nothing is rounded, with or without FMA.
  return b.fma(arith::SIToFPOp::create(b, b.f32VecType(), low), scale,
               b.select(mask, b.splat(0.0f), offset));
}

static Value loadScale(KernelBuilder &b, const CachePart &part,
                       const Slice &from, Value at) {
  Value bytes = loadBytes(b, from, at, part.scaleBytes);
  if (part.scaleBytes == 2)
    bytes = vector::BitCastOp::create(b, VectorType::get({1}, b.getI16Type()),
                                      bytes);
  Value bits = arith::ExtUIOp::create(
      b, b.getI32Type(),
      vector::ExtractOp::create(b, bytes, ArrayRef<int64_t>{0}));
  if (part.scaleBytes == 1)
    return decodeScale(b, bits);
  return arith::BitcastOp::create(b, b.getF32Type(),
                                  arith::ShLIOp::create(b, bits, b.i32(16)));
}

/// Decodes a part into the columns of `to` from `column` on.
static void decodePart(KernelBuilder &b, const CachePart &part,
                       const Slice &from, const Slice &to, int64_t column) {
  int64_t lanes = b.lanes();
  bool narrow = cast<MemRefType>(to.memref.getType()).getElementType().isBF16();
  forEachUnit(b, part, [&](Value unit, int64_t count) {
    Value at = unitStart(b, part, unit);
    SmallVector<Value> vectors;
    Value scale, offset;
    for (int64_t i = 0; i < count; i += lanes) {
      if (i % part.block == 0) {
        Value one =
            loadScale(b, part, from, scaleAt(b, part, unit, i / part.block));
        scale = b.broadcast(one);
        offset = b.broadcast(
            b.fmul(one, b.f32(-static_cast<float>(1 << (part.bits - 1)))));
      }
      vectors.push_back(decodeElements(b, part, i, from, at, scale, offset));
    }
    Value first = b.add(b.mul(unit, part.unit), column);
    for (int64_t i = 0; i < count; i += lanes) {
      SmallVector<Value> place = to.at({b.add(first, i)});
      // Two vectors of f32 make one of bf16.
      if (narrow && i + 2 * lanes <= count) {
        vector::StoreOp::create(
            b, emitNarrow(b, vectors[i / lanes], vectors[i / lanes + 1]),
            to.memref, place);
        i += lanes;
        continue;
      }
      emitStore(b, vectors[i / lanes], to.memref, place,
                std::min(lanes, count - i));
    }
  });
}

void dsv2::cpu::emitDecodeRow(KernelBuilder &b, const CacheRow &row,
                              const Slice &from, const Slice &to) {
  decodePart(b, row.latent, from, to, 0);
  decodePart(b, row.rope, from, to, row.latent.width);
}
