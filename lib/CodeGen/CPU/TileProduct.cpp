//===- TileProduct.cpp - Products of the tile unit ------------------------===//
//
// Part of dsv2, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "TileProduct.h"

#include "PanelReader.h"
#include "mlir/Dialect/AMX/AMXDialect.h"
#include "mlir/Dialect/Vector/IR/VectorOps.h"

using namespace mlir;
using namespace mlir::dsv2;
using namespace mlir::dsv2::cpu;

using Activation = QuantizedActivation;

/// Elements of a block: how deep a product of tiles is.
static constexpr int64_t kDepth = kQ8Format.elements;
static_assert(kQ4Format.elements == kDepth);
/// Four bytes of every column make a row of the tile of weights.
static constexpr int64_t kGroup = PanelReader::kGroup;
static constexpr int64_t kGroups = kDepth / kGroup;

bool dsv2::cpu::hasTileUnit(const CPUTargetInfo &target) {
  return target.hasAMXInt8 && target.vectorBits == 512;
}

/// Blocks of a chunk.
static constexpr int64_t kChunk = 32;
/// Widening a block's weights costs about as much as a tile of rows.
static constexpr int64_t kMaxTiles = 12;
/// Copying a block's rows costs about half of what their product with a panel
/// does.
static constexpr int64_t kMaxPanels = 4;

TileProduct::TileProduct(KernelBuilder &b, PanelFormat format,
                         int64_t leastPanels)
    : ManyRowsProduct(
          b, format,
          {kTileRows, kMaxTiles, std::max(kMaxPanels, leastPanels), kChunk}) {
  Type byte = b.getI8Type(), f32 = b.getF32Type();
  rowBytes = b.scratch({kMaxTiles, kChunk, kTileRows, kDepth}, byte);
  rowScales = b.scratch({kMaxTiles, kChunk, kTileRows}, f32);
  dots = b.scratch({2, kTileRows, b.lanes()}, b.getI32Type());
}

Value TileProduct::widen(Value bytes) const {
  auto offset = static_cast<int8_t>(PanelReader(b, format).offset());
  return arith::SubIOp::create(
      b, bytes,
      arith::ConstantOp::create(
          b, DenseElementsAttr::get(cast<VectorType>(bytes.getType()),
                                    b.getI8IntegerAttr(offset))));
}

void TileProduct::prepareRows(Rows row, Value rows, Value first,
                              Value count) const {
  Value zero = b.index(0), last = b.sub(rows, 1);
  b.forEach(zero, b.ceilDiv(rows, kTileRows), [&](Value tile) {
    b.forEach(zero, b.index(kTileRows), [&](Value r) {
      // A tile is always full; what its last rows sum up, no one reads.
      Slice from = row(b.min(b.add(b.mul(tile, kTileRows), r), last));
      b.forEach(zero, count, [&](Value k) {
        Value at = b.mul(b.add(first, k), Activation::kBlockBytes);
        Value bytes =
            loadBytes(b, from, at, VectorType::get({kDepth}, b.getI8Type()));
        vector::StoreOp::create(b, bytes, rowBytes,
                                ValueRange{tile, k, r, zero});
        Value scale = loadBytes(b, from, b.add(at, Activation::kScaleByte),
                                VectorType::get({1}, b.getF32Type()));
        vector::StoreOp::create(b, scale, rowScales, ValueRange{tile, k, r});
      });
    });
  });
}

void TileProduct::multiply(Rows, Value rows, Value panel, Value, Value count,
                           Ahead ahead) const {
  b.forEach(b.index(0), b.ceilDiv(rows, kTileRows),
            [&](Value tile) { multiplyTile(tile, panel, count, ahead); });
}

void TileProduct::multiplyTile(Value tile, Value panel, Value count,
                               Ahead ahead) const {
  int64_t lanes = b.lanes();
  Value zero = b.index(0);
  Value halves[2] = {zero, b.index(lanes)};
  auto rowsTile = amx::TileType::get({kTileRows, kDepth}, b.getI8Type());
  auto weightsTile =
      amx::TileType::get({kGroups, kGroup * lanes}, b.getI8Type());
  auto dotsTile = amx::TileType::get({kTileRows, lanes}, b.getI32Type());
  Value firstRow = b.mul(tile, kTileRows);
  auto at = [&](int64_t r, int64_t half) {
    return sumAt(panel, b.add(firstRow, r), half);
  };

  SmallVector<Value> state;
  for (int64_t r = 0; r < kTileRows; ++r)
    for (int64_t half : {0, 1})
      state.push_back(b.load(sums, at(r, half)));
  state = b.forCarry(
      zero, count, b.index(1), state, [&](Value k, ValueRange state) {
        ahead(tile, k);
        Value x = amx::TileLoadOp::create(b, rowsTile, rowBytes,
                                          ValueRange{tile, k, zero, zero});
        for (int64_t half : {0, 1}) {
          Value w = amx::TileLoadOp::create(
              b, weightsTile, weightBytes,
              ValueRange{k, zero, b.index(half * lanes * kGroup)});
          Value dot = amx::TileZeroOp::create(b, dotsTile);
          dot = amx::TileMulIOp::create(b, dotsTile, x, w, dot);
          amx::TileStoreOp::create(b, dots,
                                   ValueRange{b.index(half), zero, zero}, dot);
        }
        SmallVector<Value> next, wScales;
        for (int64_t half : {0, 1})
          wScales.push_back(b.load(weightScales, {k, halves[half]}));
        for (int64_t r = 0; r < kTileRows; ++r) {
          Value xScale =
              b.broadcast(b.loadScalar(rowScales, {tile, k, b.index(r)}));
          for (int64_t half : {0, 1}) {
            Value dot = b.loadRaw(dots, {b.index(half), b.index(r), zero});
            dot = arith::SIToFPOp::create(b, b.f32VecType(), dot);
            next.push_back(
                b.fma(dot, b.fmul(wScales[half], xScale), state[next.size()]));
          }
        }
        return next;
      });
  keepRolled(state.front().getDefiningOp());
  for (int64_t r = 0; r < kTileRows; ++r)
    for (int64_t half : {0, 1})
      b.store(state[2 * r + half], sums, at(r, half));
}
