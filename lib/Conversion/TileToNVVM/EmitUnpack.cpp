//===- EmitUnpack.cpp - Weights in blocks as left operands ---------------===//
//
// Part of dsv2, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "KernelEmitter.h"

#include "dsv2/CodeGen/GPU/BlockUnpack.h"

using namespace mlir;
using namespace mlir::dsv2;
using namespace mlir::dsv2::tile;

static PackFormat getPackFormat(BlockKind kind) {
  switch (kind) {
  case BlockKind::q8:
    return PackFormat::Q8;
  case BlockKind::q4:
    return PackFormat::Q4;
  case BlockKind::fp8:
    return PackFormat::FP8;
  }
  llvm_unreachable("unknown format of blocks");
}

void KernelEmitter::emit(UnpackBlocksOp op) {
  OperandType type = op.getType();
  SharedType data = op.getData().getType(), scales = op.getScales().getType();
  bool ofBytes = op.getBlocks().elementBits == 8;
  PackFormat format = getPackFormat(op.getFormat());
  constexpr int64_t kPieces = BlockFormat::kGroupBytes / 16;
  constexpr int64_t kChunk = 8;
  int64_t chunks = type.getColumns() / kChunk;
  auto four = VectorType::get({4}, i32Type);

  // Rows of the operand, or with gate and up in turn those of one of them.
  Value row = firstRow(type.getWarps());
  int64_t spread = 1;
  if (op.getPart()) {
    spread = 2;
    // 16 w + g becomes 32 w + g.
    row = add(mul(row, 2), mul(divide(lane, 4), -1));
    row = add(row, kChunk * *op.getPart());
  }
  // Of 8 neighbours the thread has the pair that an operand of a tensor core
  // gives it.
  Value pair = remainder(lane, 4);
  Value shift, selector;
  if (ofBytes) {
    // Bytes 0 and 2 of two words, or 1 and 3, or those of the second.
    Value first = add(mul(divide(pair, 2), 4), remainder(pair, 2));
    selector = arith::OrIOp::create(b, first, mul(add(first, 2), 0x100));
  } else {
    shift = mul(pair, 4);
  }

  SmallVector<Value> result(type.getSlabs() * chunks * 2);
  for (int64_t s = 0; s < type.getSlabs(); ++s)
    for (int64_t h = 0; h < 2; ++h) {
      int64_t moreRows = spread * (16 * s * type.getWarps() + 8 * h);
      Value word = LLVM::LoadOp::create(
          b, i32Type,
          sharedAddress(scales, lookupOne(op.getScales()), row,
                        mul(lookupOne(op.getWord()), 4), moreRows, 0),
          /*alignment=*/4);
      SmallVector<SmallVector<Value>> pieces(kPieces);
      for (int64_t piece = 0; piece < kPieces; ++piece) {
        Value loaded = LLVM::LoadOp::create(
            b, four,
            sharedAddress(data, lookupOne(op.getData()), row, i32(0), moreRows,
                          16 * piece),
            /*alignment=*/16);
        for (int64_t i = 0; i < 4; ++i)
          pieces[piece].push_back(
              LLVM::ExtractElementOp::create(b, loaded, i32(i)));
      }
      mlir::dsv2::gpu::DeviceBuilder device(b.getLoc(), b);
      SmallVector<Value> factors =
          mlir::dsv2::gpu::unpackScalePairs(device, format, word);
      for (int64_t chunk = 0; chunk < chunks; ++chunk) {
        int64_t block = chunk / kPieces;
        ArrayRef<Value> piece = pieces[chunk % kPieces];
        Value bits;
        if (ofBytes)
          bits =
              LLVM::CallIntrinsicOp::create(
                  b, i32Type, b.getStringAttr("llvm.nvvm.prmt"),
                  ValueRange{piece[2 * block], piece[2 * block + 1], selector})
                  .getResult(0);
        else
          bits = arith::ShRUIOp::create(b, piece[block], shift);
        result[(s * chunks + chunk) * 2 + h] = mlir::dsv2::gpu::multiplyPairs(
            device, mlir::dsv2::gpu::unpackElements(device, format, bits),
            factors[block]);
      }
    }
  bind(op, result);
}
