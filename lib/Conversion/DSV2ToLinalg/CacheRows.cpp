//===- CacheRows.cpp - rows of a quantised latent cache -------------------===//
//
// Part of dsv2, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "CacheRows.h"

#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/Math/IR/Math.h"
#include "mlir/Dialect/MemRef/IR/MemRef.h"
#include "mlir/Dialect/Tensor/IR/Tensor.h"

#include <limits>

using namespace mlir;
using namespace mlir::dsv2;
using namespace mlir::dsv2::reference;

Value QuantizedRow::load(LocBuilder &b, Value byte) const {
  return memref::LoadOp::create(b, cache, ValueRange{layer, page, row, byte});
}

void QuantizedRow::store(LocBuilder &b, Value value, Value byte) const {
  memref::StoreOp::create(b, value, cache, ValueRange{layer, page, row, byte});
}

namespace {
/// Arithmetic on index and i32, as the formulas write it.
Value add(LocBuilder &b, Value x, Value y) {
  return arith::AddIOp::create(b, x, y);
}
Value add(LocBuilder &b, Value x, int64_t y) {
  return add(b, x, indexConstant(b, y));
}
Value mul(LocBuilder &b, Value x, int64_t y) {
  return arith::MulIOp::create(b, x, indexConstant(b, y));
}
Value div(LocBuilder &b, Value x, int64_t y) {
  return arith::DivUIOp::create(b, x, indexConstant(b, y));
}
Value rem(LocBuilder &b, Value x, int64_t y) {
  return arith::RemUIOp::create(b, x, indexConstant(b, y));
}

Value toByte(LocBuilder &b, Value value) {
  return arith::TruncIOp::create(b, b.getI8Type(), value);
}

/// The float that a code of 8 bits stands for.
Value decodeScale(LocBuilder &b, Value code) {
  Value bits = arith::ShLIOp::create(
      b, add(b, code, intConstant(b, kCacheScaleBias)), intConstant(b, 20));
  Value isNaN = arith::CmpIOp::create(b, arith::CmpIPredicate::eq, code,
                                      intConstant(b, kCacheScaleNaN));
  return arith::SelectOp::create(
      b, isNaN, floatConstant(b, std::numeric_limits<double>::quiet_NaN()),
      arith::BitcastOp::create(b, b.getF32Type(), bits));
}
} // namespace

/// Stores the scale of block number `block` and returns it.
static Value encodeScale(LocBuilder &b, const CachePart &part, Value largest,
                         Value block, const QuantizedRow &row) {
  Type f32 = b.getF32Type(), i32 = b.getI32Type();
  Value at = add(b, mul(b, block, part.scaleBytes), part.firstScale);
  Value wanted = arith::MulFOp::create(
      b, largest, floatConstant(b, double(1.0f / part.divisor)));
  if (part.scaleBytes == 2) {
    Value scale = convertFloat(b, wanted, b.getBF16Type());
    Value bits = arith::ExtUIOp::create(
        b, i32, arith::BitcastOp::create(b, b.getI16Type(), scale));
    row.store(b, toByte(b, bits), at);
    bits = arith::ShRUIOp::create(b, bits, intConstant(b, 8));
    row.store(b, toByte(b, bits), add(b, at, 1));
    return arith::ExtFOp::create(b, f32, scale);
  }
  // Up to the next 3 bits of mantissa. The sign of a NaN does not matter.
  Value bits = arith::AndIOp::create(
      b, arith::BitcastOp::create(b, i32, wanted), intConstant(b, 0x7fffffff));
  Value code = arith::ShRUIOp::create(
      b, add(b, bits, intConstant(b, (1 << 20) - 1)), intConstant(b, 20));
  code = arith::SubIOp::create(b, code, intConstant(b, kCacheScaleBias));
  code = arith::MaxSIOp::create(b, code, intConstant(b, 0));
  Value isReached = arith::CmpIOp::create(b, arith::CmpIPredicate::sle, code,
                                          intConstant(b, kCacheLastScale));
  code = arith::SelectOp::create(b, isReached, code,
                                 intConstant(b, kCacheScaleNaN));
  row.store(b, toByte(b, code), at);
  return decodeScale(b, code);
}

/// The integer nearest to x / scale that the part can hold, made not negative
/// where it is less than a byte; i32.
static Value encodeElement(LocBuilder &b, const CachePart &part, Value x,
                           Value scale) {
  int32_t half = 1 << (part.bits - 1);
  Value low = floatConstant(b, part.bits == 8 ? 1 - half : -half);
  Value high = floatConstant(b, half - 1);
  Value zero = floatConstant(b, 0.0);
  Value inverse = arith::SelectOp::create(
      b, arith::CmpFOp::create(b, arith::CmpFPredicate::OEQ, scale, zero), zero,
      arith::DivFOp::create(b, floatConstant(b, 1.0), scale));
  Value q = arith::MulFOp::create(b, x, inverse);
  // A NaN comes out as the least one.
  q = arith::SelectOp::create(
      b, arith::CmpFOp::create(b, arith::CmpFPredicate::OGT, q, low), q, low);
  q = arith::SelectOp::create(
      b, arith::CmpFOp::create(b, arith::CmpFPredicate::OLT, q, high), q, high);
  q = arith::FPToSIOp::create(b, b.getI32Type(),
                              math::RoundEvenOp::create(b, q));
  return part.bits == 8 ? q : add(b, q, intConstant(b, half));
}

void reference::encodePart(LocBuilder &b, const CachePart &part, Value source,
                           Value token, const QuantizedRow &row) {
  Value zero = indexConstant(b, 0);
  Value width = indexConstant(b, part.width);
  auto elementAt = [&](LocBuilder &b, Value column) {
    return widen(
        b, tensor::ExtractOp::create(b, source, ValueRange{token, column}));
  };
  auto perUnit = [&](LocBuilder &b, Value unit,
                     ValueRange) -> SmallVector<Value> {
    // A unit lies in one block, whose scale each of its units finds alike.
    Value first = mul(b, unit, part.unit);
    Value block = div(b, first, part.block);
    Value begin = mul(b, block, part.block);
    Value end = arith::MinUIOp::create(b, add(b, begin, part.block), width);
    Value largest =
        loop(b, begin, end, floatConstant(b, 0.0),
             [&](LocBuilder &b, Value column,
                 ValueRange carried) -> SmallVector<Value> {
               Value magnitude = math::AbsFOp::create(b, elementAt(b, column));
               return {arith::MaximumFOp::create(b, carried[0], magnitude)};
             })[0];
    Value scale = encodeScale(b, part, largest, block, row);

    auto storePlane = [&](int64_t lowest, int64_t bits, int64_t firstByte) {
      int64_t bytes = part.unit * bits / 8;
      Value at =
          add(b, mul(b, unit, part.unitBytes()), part.firstByte + firstByte);
      auto perByte = [&](LocBuilder &b, Value byte,
                         ValueRange) -> SmallVector<Value> {
        Value all = intConstant(b, 0);
        for (int64_t turn = 0; turn * bits < 8; ++turn) {
          Value column = add(b, add(b, first, byte), turn * bytes);
          Value isInside = arith::CmpIOp::create(b, arith::CmpIPredicate::ult,
                                                 column, width);
          Value x =
              elementAt(b, arith::MinUIOp::create(
                               b, column, indexConstant(b, part.width - 1)));
          x = arith::SelectOp::create(b, isInside, x, floatConstant(b, 0.0));
          Value code = encodeElement(b, part, x, scale);
          code = arith::ShRUIOp::create(b, code, intConstant(b, lowest));
          code =
              arith::AndIOp::create(b, code, intConstant(b, (1 << bits) - 1));
          code = arith::ShLIOp::create(b, code, intConstant(b, turn * bits));
          all = arith::OrIOp::create(b, all, code);
        }
        row.store(b, toByte(b, all), add(b, at, byte));
        return {};
      };
      loop(b, zero, indexConstant(b, bytes), {}, perByte);
    };
    if (part.bits == 8) {
      storePlane(0, 8, 0);
    } else {
      storePlane(0, 4, 0);
      storePlane(4, part.bits - 4, part.unit / 2);
    }
    return {};
  };
  loop(b, zero, indexConstant(b, part.units()), {}, perUnit);
}

Value reference::decodeElement(LocBuilder &b, const CachePart &part,
                               Value column, const QuantizedRow &row) {
  Type f32 = b.getF32Type(), i32 = b.getI32Type();
  auto loadWide = [&](Value byte) -> Value {
    return arith::ExtUIOp::create(b, i32, row.load(b, byte));
  };
  Value scaleAt = add(b, mul(b, div(b, column, part.block), part.scaleBytes),
                      part.firstScale);
  Value scale = loadWide(scaleAt);
  if (part.scaleBytes == 2) {
    Value upper = loadWide(add(b, scaleAt, 1));
    Value bits = arith::OrIOp::create(
        b, arith::ShLIOp::create(b, scale, intConstant(b, 16)),
        arith::ShLIOp::create(b, upper, intConstant(b, 24)));
    scale = arith::BitcastOp::create(b, f32, bits);
  } else {
    scale = decodeScale(b, scale);
  }

  Value at = add(b, mul(b, div(b, column, part.unit), part.unitBytes()),
                 part.firstByte);
  Value element = rem(b, column, part.unit);
  auto loadPlane = [&](int64_t bits, int64_t firstByte) -> Value {
    int64_t bytes = part.unit * bits / 8;
    Value byte =
        loadWide(add(b, add(b, at, rem(b, element, bytes)), firstByte));
    Value shift = toI32(b, mul(b, div(b, element, bytes), bits));
    return arith::AndIOp::create(b, arith::ShRUIOp::create(b, byte, shift),
                                 intConstant(b, (1 << bits) - 1));
  };
  Value q;
  if (part.bits == 8) {
    q = arith::ExtSIOp::create(b, i32, row.load(b, add(b, at, element)));
  } else {
    Value upper = arith::ShLIOp::create(
        b, loadPlane(part.bits - 4, part.unit / 2), intConstant(b, 4));
    q = arith::SubIOp::create(b,
                              arith::OrIOp::create(b, loadPlane(4, 0), upper),
                              intConstant(b, 1 << (part.bits - 1)));
  }
  return arith::MulFOp::create(b, arith::SIToFPOp::create(b, f32, q), scale);
}
