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
#include "llvm/Support/MathExtras.h"

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

TileProduct::TileProduct(KernelBuilder &b, PanelFormat format)
    : b(b), format(format) {
  int64_t width = b.getTarget().panelWidth(), lanes = b.lanes();
  constexpr int64_t kTiles = kMaxRows / kTileRows;
  Type byte = b.getI8Type(), f32 = b.getF32Type();
  rowBytes = b.scratch({kTiles, kChunk, kTileRows, kDepth}, byte);
  rowScales = b.scratch({kTiles, kChunk, kTileRows}, f32);
  weightBytes = b.scratch({kChunk, kGroups, width * kGroup}, byte);
  weightScales = b.scratch({kChunk, width}, f32);
  dots = b.scratch({2, kTileRows, lanes}, b.getI32Type());
  sums = b.scratch({kMaxPanels, kMaxRows, width}, f32);
}

Value TileProduct::sum(Value panel, Value row, int64_t half) const {
  return b.load(sums, {panel, row, b.index(half * b.lanes())});
}

void TileProduct::copyRows(llvm::function_ref<Slice(Value)> row, Value rows,
                           Value tiles, Value first, Value count) const {
  Value zero = b.index(0), last = b.sub(rows, 1);
  b.forEach(zero, tiles, [&](Value tile) {
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

void TileProduct::widenWeights(const Slice &panel, Value first,
                               Value count) const {
  PanelReader reader(b, format);
  int64_t lanes = b.lanes();
  auto bytes = VectorType::get({kGroup * lanes}, b.getI8Type());
  Value offset = arith::ConstantOp::create(
      b, DenseElementsAttr::get(
             bytes, b.getI8IntegerAttr(static_cast<int8_t>(reader.offset()))));
  b.forEach(b.index(0), count, [&](Value k) {
    Value from = b.add(first, k);
    for (int64_t half : {0, 1}) {
      for (int64_t load = 0; load < reader.numLoads(); ++load)
        for (auto [i, w] : llvm::enumerate(
                 reader.getGroups(panel, from, b.index(load), b.index(half)))) {
          int64_t group = load * reader.groupsAtOnce() + i;
          vector::StoreOp::create(
              b, arith::SubIOp::create(b, w, offset), weightBytes,
              ValueRange{k, b.index(group), b.index(half * lanes * kGroup)});
        }
      b.store(reader.getScales(panel, from, b.index(half)), weightScales,
              {k, b.index(half * lanes)});
    }
  });
}

void TileProduct::multiply(Value tile, Value panel, Value count,
                           llvm::function_ref<void(Value)> ahead) const {
  int64_t lanes = b.lanes();
  Value zero = b.index(0);
  Value halves[2] = {zero, b.index(lanes)};
  auto rowsTile = amx::TileType::get({kTileRows, kDepth}, b.getI8Type());
  auto weightsTile =
      amx::TileType::get({kGroups, kGroup * lanes}, b.getI8Type());
  auto dotsTile = amx::TileType::get({kTileRows, lanes}, b.getI32Type());
  Value firstRow = b.mul(tile, kTileRows);
  auto sumAt = [&](int64_t r, int64_t half) {
    return SmallVector<Value>{panel, b.add(firstRow, r), halves[half]};
  };

  SmallVector<Value> state;
  for (int64_t r = 0; r < kTileRows; ++r)
    for (int64_t half : {0, 1})
      state.push_back(b.load(sums, sumAt(r, half)));
  state = b.forCarry(
      zero, count, b.index(1), state, [&](Value k, ValueRange state) {
        ahead(k);
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
      b.store(state[2 * r + half], sums, sumAt(r, half));
}

void TileProduct::compute(llvm::function_ref<Slice(Value)> row, Value rows,
                          llvm::function_ref<Slice(Value)> panel, Value panels,
                          Value blocks) const {
  Value zero = b.index(0), one = b.index(1);
  int64_t width = b.getTarget().panelWidth();
  int64_t blockBytes = getBlockFormat(format)->panelBytes(width);
  Value tiles = b.ceilDiv(rows, kTileRows);
  Value padded = b.mul(tiles, kTileRows);
  b.forEach(zero, panels, [&](Value p) {
    b.forEach(zero, padded, [&](Value r) {
      for (int64_t half : {0, 1})
        b.store(b.splat(0.0f), sums, {p, r, b.index(half * b.lanes())});
    });
  });

  // All tiles of a panel together fetch the weights that are widened next.
  Value lines = b.ceilDiv(b.index(llvm::divideCeil(blockBytes, kCacheLine)),
                          b.max(tiles, 1));
  Value stride = b.mul(lines, kCacheLine);
  b.forEach(zero, blocks, b.index(kChunk), [&](Value first) {
    Value end = b.add(first, kChunk);
    Value count = b.sub(b.min(end, blocks), first);
    copyRows(row, rows, tiles, first, count);
    b.forEach(zero, panels, [&](Value p) {
      widenWeights(panel(p), first, count);
      // The same blocks of the next panel, then the next blocks of the first
      // one, then the panel behind them all.
      Value isLast = b.eq(b.add(p, one), panels);
      Value goesOn = b.logicalAnd(isLast, b.lt(end, blocks));
      Slice next = panel(b.select(goesOn, zero, b.add(p, one)));
      Value from = b.mul(b.select(goesOn, end, b.select(isLast, zero, first)),
                         blockBytes);
      b.forEach(zero, tiles, [&](Value tile) {
        ReadAhead ahead{b.add(from, b.mul(b.mul(tile, count), stride)), stride,
                        lines};
        multiply(tile, p, count, [&](Value k) {
          emitReadAhead(b, next, k, ahead, /*keepClose=*/false);
        });
      });
    });
  });
}

void dsv2::cpu::walkTileProducts(
    KernelBuilder &b, int64_t maxPanels, Value panelLo, Value panelHi,
    Value rowLo, Value rowHi,
    llvm::function_ref<void(Value, Value, Value, Value)> piece) {
  constexpr int64_t kMaxRows = TileProduct::kMaxRows;
  b.forEach(panelLo, panelHi, b.index(maxPanels), [&](Value panel) {
    Value panels = b.min(b.sub(panelHi, panel), maxPanels);
    b.forEach(rowLo, rowHi, b.index(kMaxRows), [&](Value row) {
      piece(panel, panels, row, b.min(b.sub(rowHi, row), kMaxRows));
    });
  });
}
