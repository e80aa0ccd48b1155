//===- CacheRows.cpp - Rows of a quantised latent cache -------------------===//
//
// Part of dsv2, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// CacheFormat.h says what lies where. A part is worked on in chunks of whole
// blocks, each chunk as vectors; only the last may be shorter.
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

/// Calls `body` with the number of each chunk of `size` elements of a part and
/// how many of its elements the part has.
static void
forEachChunk(KernelBuilder &b, const CachePart &part, int64_t size,
             llvm::function_ref<void(Value chunk, int64_t count)> body) {
  int64_t whole = part.width / size;
  b.forEach(b.index(0), b.index(whole),
            [&](Value chunk) { body(chunk, size); });
  if (int64_t rest = part.width % size)
    body(b.index(whole), rest);
}

/// The vector of `lanes` values value(0), value(1), ...
static Value integers(KernelBuilder &b,
                      llvm::function_ref<int32_t(int64_t)> value) {
  SmallVector<int32_t> values;
  for (int64_t lane = 0; lane < b.lanes(); ++lane)
    values.push_back(value(lane));
  return arith::ConstantOp::create(
      b, DenseElementsAttr::get(b.vecType(b.getI32Type()),
                                ArrayRef<int32_t>(values)));
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

/// Stores `width` bits from bit `first` on of each element of a unit as a plane
/// that starts at `at`.
static void storePlane(KernelBuilder &b, const CachePart &part,
                       ArrayRef<Value> unit, int64_t first, int64_t width,
                       const Slice &to, Value at) {
  int64_t lanes = b.lanes(), bytes = part.unit * width / 8;
  // Pieces of a vector where the plane is shorter than one.
  int64_t count = std::min(lanes, bytes);
  auto constant = [&](int32_t value) {
    return arith::ConstantOp::create(
        b, DenseElementsAttr::get(VectorType::get({count}, b.getI32Type()),
                                  value));
  };
  for (int64_t byte = 0; byte < bytes; byte += count) {
    Value all;
    for (int64_t turn = 0; turn * width < 8; ++turn) {
      int64_t element = turn * bytes + byte;
      Value piece = unit[element / lanes];
      if (count < lanes)
        piece = emitSlice(b, piece, element % lanes, count);
      piece = arith::ShRUIOp::create(b, piece, constant(first));
      piece = arith::AndIOp::create(b, piece, constant((1 << width) - 1));
      piece = arith::ShLIOp::create(b, piece, constant(turn * width));
      all = all ? Value(arith::OrIOp::create(b, all, piece)) : piece;
    }
    vector::StoreOp::create(
        b,
        arith::TruncIOp::create(b, VectorType::get({count}, b.getI8Type()),
                                all),
        to.memref, to.at({b.add(at, byte)}));
  }
}

static void encodePart(KernelBuilder &b, const CachePart &part,
                       const Slice &from, const Slice &to) {
  int64_t lanes = b.lanes();
  forEachChunk(b, part, part.block, [&](Value block, int64_t count) {
    int64_t units = llvm::divideCeil(count, part.unit);
    Value firstColumn = b.mul(block, part.block), largest;
    SmallVector<Value> vectors;
    for (int64_t i = 0; i < units * part.unit; i += lanes) {
      Value column = b.add(firstColumn, i);
      Value v = i < count ? emitLoad(b, from.memref, from.at({column}),
                                     std::min(lanes, count - i), lanes)
                          : b.splat(0.0f);
      Value magnitude = math::AbsFOp::create(b, v);
      largest = largest ? b.fmax(largest, magnitude) : magnitude;
      vectors.push_back(v);
    }
    Value scale =
        encodeScale(b, part, b.reduceMax(largest), to,
                    b.add(b.mul(block, part.scaleBytes), part.firstScale));
    Value inverse = b.broadcast(emitInverse(b, scale));
    for (Value &v : vectors)
      v = encodeElements(b, part, v, inverse);
    for (int64_t i = 0; i < units; ++i) {
      Value number = b.add(b.mul(block, part.block / part.unit), i);
      Value at = b.add(b.mul(number, part.unitBytes()), part.firstByte);
      ArrayRef<Value> unit =
          ArrayRef(vectors).slice(i * part.unit / lanes, part.unit / lanes);
      if (part.bits == 8) {
        storePlane(b, part, unit, 0, 8, to, at);
        continue;
      }
      storePlane(b, part, unit, 0, 4, to, at);
      storePlane(b, part, unit, 4, part.bits - 4, to, b.add(at, part.unit / 2));
    }
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

/// Bits of elements from `first` of a unit on, one vector of them, out of a
/// plane of `width` bits an element that starts at `at`. Above these bits are
/// others of the same byte.
static Value loadPlane(KernelBuilder &b, const CachePart &part, int64_t first,
                       int64_t width, const Slice &from, Value at) {
  int64_t lanes = b.lanes(), bytes = part.unit * width / 8;
  Value loaded;
  if (lanes <= bytes) {
    loaded = loadBytes(b, from, b.add(at, first % bytes), lanes);
  } else {
    SmallVector<int64_t> order;
    for (int64_t lane = 0; lane < lanes; ++lane)
      order.push_back((first + lane) % bytes);
    loaded = loadBytes(b, from, at, bytes);
    loaded = vector::ShuffleOp::create(b, loaded, loaded, order);
  }
  Value wide = arith::ExtUIOp::create(b, b.vecType(b.getI32Type()), loaded);
  Value shift = integers(b, [&](int64_t lane) {
    return static_cast<int32_t>((first + lane) / bytes * width);
  });
  return first + lanes <= bytes ? wide
                                : Value(arith::ShRUIOp::create(b, wide, shift));
}

/// Elements from `first` of the unit at `at` on, one vector of them, where
/// `scale` and `offset` are the scale and -2^(bits - 1) times it.
static Value decodeElements(KernelBuilder &b, const CachePart &part,
                            int64_t first, const Slice &from, Value at,
                            Value scale, Value offset) {
  if (part.bits == 8) {
    Value ints =
        arith::ExtSIOp::create(b, b.vecType(b.getI32Type()),
                               loadBytes(b, from, b.add(at, first), b.lanes()));
    return b.fmul(arith::SIToFPOp::create(b, b.f32VecType(), ints), scale);
  }
  int64_t upper = part.bits - 4;
  Value low = arith::AndIOp::create(b, loadPlane(b, part, first, 4, from, at),
                                    b.splatI32(15));
  Value high = loadPlane(b, part, first, upper, from, b.add(at, part.unit / 2));
  high = arith::AndIOp::create(b, high, b.splatI32((1 << upper) - 1));
  high = arith::ShLIOp::create(b, high, b.splatI32(4));
  Value code = arith::SIToFPOp::create(b, b.f32VecType(),
                                       arith::OrIOp::create(b, low, high));
  // Both products and their sum have few bits: nothing is rounded, with or
  // without FMA.
  return b.fma(code, scale, offset);
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
  // Two vectors of f32 make one of bf16.
  int64_t size = narrow ? std::max(part.block, 2 * lanes) : part.block;
  forEachChunk(b, part, size, [&](Value chunk, int64_t count) {
    SmallVector<Value> vectors;
    Value scale, offset;
    for (int64_t i = 0; i < count; i += lanes) {
      if (i % part.block == 0) {
        Value number = b.add(b.mul(chunk, size / part.block), i / part.block);
        Value one =
            loadScale(b, part, from,
                      b.add(b.mul(number, part.scaleBytes), part.firstScale));
        scale = b.broadcast(one);
        offset = b.broadcast(
            b.fmul(one, b.f32(-static_cast<float>(1 << (part.bits - 1)))));
      }
      Value unit = b.add(b.mul(chunk, size / part.unit), i / part.unit);
      Value at = b.add(b.mul(unit, part.unitBytes()), part.firstByte);
      vectors.push_back(
          decodeElements(b, part, i % part.unit, from, at, scale, offset));
    }
    Value first = b.add(b.mul(chunk, size), column);
    for (int64_t i = 0; i < count; i += lanes) {
      SmallVector<Value> at = to.at({b.add(first, i)});
      if (narrow && i + 2 * lanes <= count) {
        vector::StoreOp::create(
            b, emitNarrow(b, vectors[i / lanes], vectors[i / lanes + 1]),
            to.memref, at);
        i += lanes;
        continue;
      }
      emitStore(b, vectors[i / lanes], to.memref, at,
                std::min(lanes, count - i));
    }
  });
}

void dsv2::cpu::emitDecodeRow(KernelBuilder &b, const CacheRow &row,
                              const Slice &from, const Slice &to) {
  decodePart(b, row.latent, from, to, 0);
  decodePart(b, row.rope, from, to, row.latent.width);
}
