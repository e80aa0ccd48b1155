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

static Value loadWide(LocBuilder &b, const QuantizedRow &row, Value byte) {
  return arith::ExtUIOp::create(b, b.getI32Type(), row.load(b, byte));
}

/// Where the scale of block number `block` is.
static Value scaleAt(LocBuilder &b, const CachePart &part, Value block) {
  return add(b, mul(b, block, part.scaleBytes), part.firstScale);
}

static Value loadScale(LocBuilder &b, const CachePart &part, Value block,
                       const QuantizedRow &row) {
  Value at = scaleAt(b, part, block);
  Value lower = loadWide(b, row, at);
  if (part.scaleBytes == 1)
    return decodeScale(b, lower);
  Value bits = arith::OrIOp::create(
      b, arith::ShLIOp::create(b, lower, intConstant(b, 16)),
      arith::ShLIOp::create(b, loadWide(b, row, add(b, at, 1)),
                            intConstant(b, 24)));
  return arith::BitcastOp::create(b, b.getF32Type(), bits);
}

/// Stores the scale of block number `block`, of largest magnitude `largest`.
static void storeScale(LocBuilder &b, const CachePart &part, Value largest,
                       Value block, const QuantizedRow &row) {
  Type i32 = b.getI32Type();
  Value at = scaleAt(b, part, block);
  Value wanted = arith::MulFOp::create(
      b, largest, floatConstant(b, double(1.0f / part.divisor)));
  if (part.scaleBytes == 2) {
    Value scale = convertFloat(b, wanted, b.getBF16Type());
    Value bits = arith::ExtUIOp::create(
        b, i32, arith::BitcastOp::create(b, b.getI16Type(), scale));
    row.store(b, toByte(b, bits), at);
    bits = arith::ShRUIOp::create(b, bits, intConstant(b, 8));
    row.store(b, toByte(b, bits), add(b, at, 1));
    return;
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

/// How far apart elements of 5 bits are whose lower bits share a byte.
constexpr int64_t kNibbleDistance = 16;

void reference::encodePart(LocBuilder &b, const CachePart &part, Value source,
                           Value token, const QuantizedRow &row) {
  Value zero = indexConstant(b, 0);
  Value width = indexConstant(b, part.width);
  // Zero where the part has ended.
  auto elementAt = [&](LocBuilder &b, Value column) -> Value {
    Value isInside =
        arith::CmpIOp::create(b, arith::CmpIPredicate::ult, column, width);
    Value inside =
        arith::MinUIOp::create(b, column, indexConstant(b, part.width - 1));
    Value x = widen(
        b, tensor::ExtractOp::create(b, source, ValueRange{token, inside}));
    return arith::SelectOp::create(b, isInside, x, floatConstant(b, 0.0));
  };
  auto perBlock = [&](LocBuilder &b, Value block,
                      ValueRange) -> SmallVector<Value> {
    Value first = mul(b, block, part.block);
    Value largest =
        loop(b, first, add(b, first, part.block), floatConstant(b, 0.0),
             [&](LocBuilder &b, Value column,
                 ValueRange carried) -> SmallVector<Value> {
               Value magnitude = math::AbsFOp::create(b, elementAt(b, column));
               return {arith::MaximumFOp::create(b, carried[0], magnitude)};
             })[0];
    storeScale(b, part, largest, block, row);
    return {};
  };
  loop(b, zero, indexConstant(b, part.blocks()), {}, perBlock);

  auto codeAt = [&](LocBuilder &b, Value column) {
    Value scale = loadScale(b, part, div(b, column, part.block), row);
    return encodeElement(b, part, elementAt(b, column), scale);
  };
  auto perUnit = [&](LocBuilder &b, Value unit,
                     ValueRange) -> SmallVector<Value> {
    Value first = mul(b, unit, part.unit);
    Value at = add(b, mul(b, unit, part.unitBytes()), part.firstByte);
    auto perByte = [&](LocBuilder &b, Value byte,
                       ValueRange) -> SmallVector<Value> {
      Value column = add(b, first, byte);
      Value code = codeAt(b, column);
      if (part.bits == 5) {
        Value low = arith::AndIOp::create(b, code, intConstant(b, 15));
        Value high = arith::ShLIOp::create(
            b, codeAt(b, add(b, column, kNibbleDistance)), intConstant(b, 4));
        code = arith::OrIOp::create(b, low, high);
      }
      row.store(b, toByte(b, code), add(b, at, byte));
      return {};
    };
    auto perHighest = [&](LocBuilder &b, Value byte,
                          ValueRange) -> SmallVector<Value> {
      Value column = add(b, first, mul(b, byte, 8));
      Value all = intConstant(b, 0);
      for (int64_t i = 0; i < 8; ++i) {
        Value bit = arith::ShRUIOp::create(b, codeAt(b, add(b, column, i)),
                                           intConstant(b, 4));
        bit = arith::ShLIOp::create(b, bit, intConstant(b, i));
        all = arith::OrIOp::create(b, all, bit);
      }
      row.store(b, toByte(b, all), add(b, add(b, at, kNibbleDistance), byte));
      return {};
    };
    bool isWhole = part.bits == 8;
    loop(b, zero, indexConstant(b, isWhole ? part.unit : kNibbleDistance), {},
         perByte);
    if (!isWhole)
      loop(b, zero, indexConstant(b, part.unit / 8), {}, perHighest);
    return {};
  };
  loop(b, zero, indexConstant(b, part.units()), {}, perUnit);
}

Value reference::decodeElement(LocBuilder &b, const CachePart &part,
                               Value column, const QuantizedRow &row) {
  Type f32 = b.getF32Type(), i32 = b.getI32Type();
  Value scale = loadScale(b, part, div(b, column, part.block), row);
  Value at = add(b, mul(b, div(b, column, part.unit), part.unitBytes()),
                 part.firstByte);
  Value element = rem(b, column, part.unit);
  Value q;
  if (part.bits == 8) {
    q = arith::ExtSIOp::create(b, i32, row.load(b, add(b, at, element)));
  } else {
    // The `width` bits of a byte that belong to the element.
    auto bits = [&](Value byte, Value shift, int64_t width) -> Value {
      Value all = arith::ShRUIOp::create(b, loadWide(b, row, byte),
                                         toI32(b, mul(b, shift, width)));
      return arith::AndIOp::create(b, all, intConstant(b, (1 << width) - 1));
    };
    Value lower = bits(add(b, at, rem(b, element, kNibbleDistance)),
                       div(b, element, kNibbleDistance), 4);
    Value highest =
        bits(add(b, add(b, at, div(b, element, 8)), kNibbleDistance),
             rem(b, element, 8), 1);
    q = arith::OrIOp::create(
        b, lower, arith::ShLIOp::create(b, highest, intConstant(b, 4)));
    q = arith::SubIOp::create(b, q, intConstant(b, 16));
  }
  return arith::MulFOp::create(b, arith::SIToFPOp::create(b, f32, q), scale);
}
