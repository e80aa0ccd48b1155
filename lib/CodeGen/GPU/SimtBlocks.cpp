//===- SimtBlocks.cpp - weights in blocks, unpacked by a thread -----------===//
//
// Part of dsv2, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "SimtBlocks.h"

using namespace mlir;
using namespace mlir::dsv2;
using namespace mlir::dsv2::gpu;

SmallVector<Value> dsv2::gpu::unpackBlock(SimtBuilder &b, PackFormat format,
                                          ValueRange piece, int64_t block) {
  bool ofBytes = getBlockFormat(format)->elementBits == 8;
  SmallVector<Value> pairs;
  for (int64_t i = 0; i < 4; ++i) {
    // The pair's lowest bit in its word.
    Value word = ofBytes ? piece[2 * block + i / 2] : piece[block];
    int64_t bit = ofBytes ? 8 * (i % 2) : 4 * i;
    if (bit)
      word = arith::ShRUIOp::create(b, word, b.i32(bit));
    pairs.push_back(unpackElements(b, format, word));
  }
  return pairs;
}

/// The bf16 in the lower half of a word, as f32.
static Value getLowHalf(SimtBuilder &b, Value word) {
  return b.unpack(b.getBF16Type(), word).front();
}

Value dsv2::gpu::loadBlockElement(SimtBuilder &b, PackFormat format, Value row,
                                  int64_t columns, Value k) {
  const BlockFormat &blocks = *getBlockFormat(format);
  Type i8 = b.getI8Type(), i32 = b.getI32Type();
  bool ofBytes = blocks.elementBits == 8;
  Value group = b.div(k, blocks.groupElements());
  Value block = b.rem(b.div(k, blocks.elements), blocks.groupBlocks());
  Value piece = b.div(b.rem(k, blocks.elements), 8), j = b.rem(k, 8);
  // Of a piece each block has 8 bytes or one word.
  Value word = ofBytes ? b.add(b.mul(block, 2), b.div(j, 4)) : block;
  Value at =
      b.add(b.add(b.mul(group, BlockFormat::kGroupBytes), b.mul(piece, 16)),
            b.mul(word, 4));
  Value bits = b.load(i32, b.at(row, i8, at));
  // Neighbours lie 16 bits apart.
  Value pair = ofBytes ? b.rem(b.div(j, 2), 2) : b.div(j, 2);
  Value shift = b.add(b.mul(pair, blocks.elementBits), b.mul(b.rem(j, 2), 16));
  Value pairBits = arith::ShRUIOp::create(b, bits, shift);
  Value element = getLowHalf(b, unpackElements(b, format, pairBits));
  Value scaleAt = b.add(b.i32(blocks.scaleOffset(columns)),
                        b.mul(b.div(k, blocks.elements), blocks.scaleBytes));
  Value code = arith::ExtUIOp::create(
      b, i32,
      b.load(b.getIntegerType(8 * blocks.scaleBytes), b.at(row, i8, scaleAt)));
  Value scale = getLowHalf(b, unpackScalePairs(b, format, code).front());
  return b.fmul(element, scale);
}
