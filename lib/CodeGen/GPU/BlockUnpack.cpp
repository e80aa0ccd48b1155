//===- BlockUnpack.cpp - weights in blocks, in registers ------------------===//
//
// Part of dsv2, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "dsv2/CodeGen/GPU/BlockUnpack.h"

#include "mlir/Dialect/LLVMIR/LLVMDialect.h"

using namespace mlir;
using namespace mlir::dsv2;
using namespace mlir::dsv2::gpu;

//===----------------------------------------------------------------------===//
// Bits
//===----------------------------------------------------------------------===//

static Value shiftRight(DeviceBuilder &b, Value word, int64_t bits) {
  return bits ? b.createOrFold<arith::ShRUIOp>(word, b.i32(bits)) : word;
}
static Value shiftLeft(DeviceBuilder &b, Value word, int64_t bits) {
  return b.createOrFold<arith::ShLIOp>(word, b.i32(bits));
}
static Value mask(DeviceBuilder &b, Value word, uint32_t bits) {
  return arith::AndIOp::create(b, word, b.i32(int32_t(bits)));
}
static Value merge(DeviceBuilder &b, Value x, Value y) {
  return arith::OrIOp::create(b, x, y);
}
/// (word & bits) | more: one instruction.
static Value maskAndMerge(DeviceBuilder &b, Value word, uint32_t bits,
                          uint32_t more) {
  return merge(b, mask(b, word, bits), b.i32(int32_t(more)));
}

template <typename Op>
static Value emitPairs(DeviceBuilder &b, Value x, Value y) {
  auto pair = VectorType::get(2, b.getBF16Type());
  Value result = Op::create(b, LLVM::BitcastOp::create(b, pair, x),
                            LLVM::BitcastOp::create(b, pair, y));
  return LLVM::BitcastOp::create(b, b.getI32Type(), result);
}

//===----------------------------------------------------------------------===//
// Elements
//===----------------------------------------------------------------------===//

// A bf16 of 128 and more, below 256, has its integer in its last 7 bits: 0x4300
// is 128. What was added to an integer by placing it there is subtracted again,
// exactly. Conversions have a quarter of the rate, and work on one number.
Value dsv2::gpu::unpackElements(DeviceBuilder &b, PackFormat format,
                                Value word) {
  if (format == PackFormat::FP8) {
    // Exponent and mantissa where bf16 has them, which counts exponents from
    // 127 rather than 7: 2^120 too small, subnormal or not.
    Value size = shiftLeft(b, mask(b, word, 0x007F007F), 4);
    Value sign = shiftLeft(b, mask(b, word, 0x00800080), 8);
    return multiplyPairs(b, merge(b, size, sign), b.i32(0x7B807B80));
  }
  if (format == PackFormat::Q8)
    // 128 and the lower 7 bits, less 128, or 256 if the byte is negative.
    return emitPairs<arith::AddFOp>(
        b, maskAndMerge(b, word, 0x007F007F, 0x43004300),
        maskAndMerge(b, word, 0x00800080, 0xC300C300));
  // 128 and q + 8, less 136.
  return emitPairs<arith::AddFOp>(b,
                                  maskAndMerge(b, word, 0x000F000F, 0x43004300),
                                  b.i32(int32_t(0xC308C308)));
}

Value dsv2::gpu::multiplyPairs(DeviceBuilder &b, Value x, Value y) {
  return emitPairs<arith::MulFOp>(b, x, y);
}

//===----------------------------------------------------------------------===//
// Scales
//===----------------------------------------------------------------------===//

double dsv2::gpu::getScaleUnit(PackFormat format) {
  return format == PackFormat::Q4 ? 0x1p-14 : 1;
}

/// The number in the lower or upper half of a word of f16, as f32.
static Value getHalf(DeviceBuilder &b, Value word, int64_t index) {
  Value bits = arith::TruncIOp::create(b, b.getI16Type(),
                                       shiftRight(b, word, 16 * index));
  Value half = arith::BitcastOp::create(b, b.getF16Type(), bits);
  return arith::ExtFOp::create(b, b.getF32Type(), half);
}

/// Bytes 0 and 2 of a word, scales of q4, as f16 that are 2^14 times as large.
static Value unpackQ4Scales(DeviceBuilder &b, Value word) {
  Value value = shiftLeft(b, mask(b, word, 0x007F007F), 7);
  Value sign = shiftLeft(b, mask(b, word, 0x00800080), 8);
  return merge(b, merge(b, value, sign), b.i32(0x40004000));
}

SmallVector<Value> dsv2::gpu::unpackScales(DeviceBuilder &b, PackFormat format,
                                           Value word) {
  auto asFloat = [&](Value bits) -> Value {
    return arith::BitcastOp::create(b, b.getF32Type(), bits);
  };
  if (format != PackFormat::Q4)
    return {asFloat(shiftLeft(b, word, 16)),
            asFloat(mask(b, word, 0xFFFF0000))};
  Value even = unpackQ4Scales(b, word);
  Value odd = unpackQ4Scales(b, shiftRight(b, word, 8));
  return {getHalf(b, even, 0), getHalf(b, odd, 0), getHalf(b, even, 1),
          getHalf(b, odd, 1)};
}

SmallVector<Value> dsv2::gpu::unpackScalePairs(DeviceBuilder &b,
                                               PackFormat format, Value word) {
  auto twice = [&](Value pair) -> SmallVector<Value, 2> {
    Value low = mask(b, pair, 0xFFFF), high = mask(b, pair, 0xFFFF0000);
    return {merge(b, low, shiftLeft(b, pair, 16)),
            merge(b, high, shiftRight(b, pair, 16))};
  };
  if (format != PackFormat::Q4)
    return SmallVector<Value>(twice(word));
  // Exponent and mantissa where bf16 has them, which has 7 bits of mantissa and
  // counts exponents from 127, not 13.
  auto unpack = [&](Value codes) {
    Value size = mask(b, codes, 0x007F007F);
    Value bits = b.add(shiftLeft(b, size, 4), b.i32(0x39003900));
    bits = merge(b, bits, shiftLeft(b, mask(b, codes, 0x00800080), 8));
    // kQ4NaN is the only code with all of the seven bits.
    Value isNaN = mask(b, b.add(size, b.i32(0x00010001)), 0x00800080);
    return twice(merge(b, bits, b.mul(shiftRight(b, isNaN, 7), 0x7FFF)));
  };
  SmallVector<Value, 2> even = unpack(word);
  SmallVector<Value, 2> odd = unpack(shiftRight(b, word, 8));
  return {even[0], odd[0], even[1], odd[1]};
}
