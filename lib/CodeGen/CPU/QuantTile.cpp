//===- QuantTile.cpp - Register tiles of integer products -----------------===//
//
// Part of dsv2, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "QuantTile.h"

#include "ByteDot.h"
#include "PanelReader.h"
#include "mlir/Dialect/Vector/IR/VectorOps.h"
#include "llvm/ADT/STLExtras.h"
#include "llvm/Support/MathExtras.h"

using namespace mlir;
using namespace mlir::dsv2;
using namespace mlir::dsv2::cpu;

/// A scalar of 4 bytes at byte `at`, in every lane.
static Value broadcastBytes(KernelBuilder &b, const Slice &slice, Value at,
                            Type type) {
  Value one = loadBytes(b, slice, at, VectorType::get({1}, type));
  return b.broadcast(vector::ExtractOp::create(b, one, ArrayRef<int64_t>{0}));
}

//===----------------------------------------------------------------------===//
// Tiles
//===----------------------------------------------------------------------===//

/// With 16 registers the integer sums of a tall tile and what a group needs
/// take all of them. The float sums, used once a block, are on the stack
/// meanwhile.
static bool hasFewRegisters(const CPUTargetInfo &target) {
  return target.vectorRegisters < 32;
}

SmallVector<Value> dsv2::cpu::addBlockProducts(
    KernelBuilder &b, const ByteDot &dot, ArrayRef<Slice> rows, Value rowBlock,
    const BlockWeights &weights, Value k, ValueRange sums) {
  using Activation = QuantizedActivation;
  constexpr int64_t kGroup = PanelReader::kGroup;
  int64_t numRows = rows.size();
  auto bytes = VectorType::get({kGroup * b.lanes()}, b.getI8Type());
  const Value zero = b.index(0), one = b.index(1), halves[] = {zero, one};
  Value xAt = b.mul(rowBlock, Activation::kBlockBytes);
  auto broadcast = [&](const Slice &row, Value byte, Type type) {
    return broadcastBytes(b, row, b.add(xAt, byte), type);
  };

  // Group by group, so that every row and half is a chain of its own.
  SmallVector<Value> ints;
  for (size_t i = 0; i < std::size(halves); ++i)
    for (const Slice &row : rows)
      ints.push_back(dot.start([&] {
        return broadcast(row, b.index(Activation::kCorrectionByte),
                         b.getI32Type());
      }));
  auto addLoad = [&](Value load, ValueRange state) {
    SmallVector<Value> next(state);
    // All weights of the groups, then row after row: there are fewer of the
    // former, and an element of a row is needed only here.
    SmallVector<SmallVector<ByteDot::Weight>> groups;
    for (Value half : halves)
      groups.push_back(weights.groups(k, load, half));
    Value first = b.mul(load, weights.groupsAtOnce * kGroup);
    for (int64_t r = 0; r < numRows; ++r)
      for (int64_t i = 0; i < weights.groupsAtOnce; ++i) {
        Value x = vector::BitCastOp::create(
            b, bytes,
            broadcast(rows[r], b.add(first, i * kGroup), b.getI32Type()));
        for (auto [half, own] : llvm::enumerate(groups)) {
          Value &sum = next[half * numRows + r];
          sum = dot.accumulate(sum, own[i], x);
        }
      }
    return next;
  };
  // Unrolled, LLVM moves the loads of all groups to the front, and with 16
  // registers that means to the stack.
  if (hasFewRegisters(b.getTarget())) {
    ints = b.forCarry(zero, b.index(weights.numLoads), one, ints, addLoad);
    keepRolled(ints.front().getDefiningOp());
  } else {
    for (int64_t load = 0; load < weights.numLoads; ++load)
      ints = addLoad(b.index(load), ints);
  }

  SmallVector<Value> next, xScales;
  for (const Slice &row : rows)
    xScales.push_back(
        broadcast(row, b.index(Activation::kScaleByte), b.getF32Type()));
  for (Value half : halves) {
    Value wScale = weights.scales(k, half);
    for (int64_t r = 0; r < numRows; ++r) {
      int64_t at = next.size();
      Value sum =
          arith::SIToFPOp::create(b, b.f32VecType(), dot.finish(ints[at]));
      next.push_back(b.fma(sum, b.fmul(wScale, xScales[r]), sums[at]));
    }
  }
  return next;
}

TileSums dsv2::cpu::emitQuantTile(KernelBuilder &b, ArrayRef<Slice> rows,
                                  const Slice &panel, Value blocks,
                                  PanelFormat format, const TilePass &pass,
                                  int64_t panelStride) {
  // How far ahead of its use one stream of weights is read. Measured on a
  // Zen 5: from 2 to 4 KiB the same, half as much or twice as much is slower.
  constexpr int64_t kDistance = 4096;
  int64_t numRows = rows.size();
  PanelReader reader(b, format);
  ByteDot dot(b, format);
  int64_t blockBytes =
      getBlockFormat(format)->panelBytes(b.getTarget().panelWidth());
  int64_t blockLines = llvm::divideCeil(blockBytes, kCacheLine);

  ReadAhead near = {b.index(llvm::alignTo(kDistance, blockBytes)),
                    b.index(blockBytes), b.index(blockLines)};
  ReadAhead ahead = near;
  // walkEvenTiles makes no tiles of less than half the height where there are
  // several.
  bool mayShare = pass.passes && 2 * numRows >= getQuantTileRows(b.getTarget());
  if (mayShare) {
    Value lines = b.ceilDiv(b.index(blockLines), pass.passes);
    Value stride = b.mul(lines, kCacheLine);
    ReadAhead far = {b.add(b.mul(blocks, blockBytes * panelStride),
                           b.mul(b.mul(pass.pass, blocks), stride)),
                     stride, lines};
    Value alone = b.eq(pass.passes, b.index(1));
    ahead = {b.select(alone, near.first, far.first),
             b.select(alone, near.stride, far.stride),
             b.select(alone, near.lines, far.lines)};
  }

  BlockWeights weights;
  weights.numLoads = reader.numLoads();
  weights.groupsAtOnce = reader.groupsAtOnce();
  weights.groups = [&](Value k, Value load, Value half) {
    return llvm::map_to_vector(reader.getGroups(panel, k, load, half),
                               [&](Value bytes) { return dot.prepare(bytes); });
  };
  weights.scales = [&](Value k, Value half) {
    return reader.getScales(panel, k, half);
  };
  SmallVector<Value> sums(numRows * 2, b.splat(0.0f)), result;
  sums = b.forCarry(
      b.index(0), blocks, b.index(1), sums, [&](Value k, ValueRange state) {
        if (pass.passes)
          emitReadAhead(b, panel, k, ahead,
                        /*keepClose=*/!mayShare);
        return addBlockProducts(b, dot, rows, k, weights, k, state);
      });
  for (int64_t r = 0; r < numRows; ++r)
    result.append({sums[r], sums[numRows + r]});
  return TileSums(std::move(result), /*panels=*/1);
}

int64_t dsv2::cpu::getQuantTileRows(const CPUTargetInfo &target) {
  return hasFewRegisters(target) ? 4 : 6;
}
