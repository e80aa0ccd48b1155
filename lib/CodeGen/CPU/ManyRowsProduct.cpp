//===- ManyRowsProduct.cpp - Products of many quantised rows --------------===//
//
// Part of dsv2, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "ManyRowsProduct.h"

#include "PairProduct.h"
#include "PanelReader.h"
#include "QuantTile.h"
#include "TileProduct.h"
#include "mlir/Dialect/Vector/IR/VectorOps.h"
#include "llvm/Support/MathExtras.h"

using namespace mlir;
using namespace mlir::dsv2;
using namespace mlir::dsv2::cpu;

static constexpr int64_t kGroup = PanelReader::kGroup;
static constexpr int64_t kGroups = kQ8Format.elements / kGroup;
static_assert(kQ4Format.elements == kQ8Format.elements);

bool ManyRowsProduct::isThere(const CPUTargetInfo &target, PanelFormat format) {
  if (!getBlockFormat(format))
    return false;
  return hasTileUnit(target) || PairProduct::isThere(target, format);
}

int64_t ManyRowsProduct::leastRows(const CPUTargetInfo &target) {
  // From where the weights would be taken apart more than once. Up to there
  // reading them takes longer than either.
  return getQuantTileRows(target) + 1;
}

int64_t ManyRowsProduct::tileRows(const CPUTargetInfo &target) {
  return hasTileUnit(target) ? TileProduct::kTileRows
                             : getQuantTileRows(target);
}

std::unique_ptr<ManyRowsProduct> ManyRowsProduct::create(KernelBuilder &b,
                                                         PanelFormat format,
                                                         int64_t leastPanels) {
  assert(isThere(b.getTarget(), format) && "no way for many rows");
  if (hasTileUnit(b.getTarget()))
    return std::make_unique<TileProduct>(b, format, leastPanels);
  return std::make_unique<PairProduct>(b, format, leastPanels);
}

ManyRowsProduct::ManyRowsProduct(KernelBuilder &b, PanelFormat format,
                                 const Sizes &sizes)
    : b(b), format(format), sizes(sizes) {
  int64_t width = b.getTarget().panelWidth();
  weightBytes =
      b.scratch({sizes.chunk, kGroups, width * kGroup}, b.getI8Type());
  weightScales = b.scratch({sizes.chunk, width}, b.getF32Type());
  sums = b.scratch({sizes.maxPanels, sizes.maxRows(), width}, b.getF32Type());
}

SmallVector<Value> ManyRowsProduct::sumAt(Value panel, Value row,
                                          int64_t half) const {
  return {panel, row, b.index(half * b.lanes())};
}

Value ManyRowsProduct::sum(Value panel, Value row, int64_t half) const {
  return b.load(sums, sumAt(panel, row, half));
}

void ManyRowsProduct::widenWeights(const Slice &panel, Value first,
                                   Value count) const {
  PanelReader reader(b, format);
  int64_t lanes = b.lanes();
  b.forEach(b.index(0), count, [&](Value k) {
    Value from = b.add(first, k);
    for (int64_t half : {0, 1}) {
      for (int64_t load = 0; load < reader.numLoads(); ++load)
        for (auto [i, w] : llvm::enumerate(
                 reader.getGroups(panel, from, b.index(load), b.index(half)))) {
          int64_t group = load * reader.groupsAtOnce() + i;
          vector::StoreOp::create(
              b, widen(w), weightBytes,
              ValueRange{k, b.index(group), b.index(half * lanes * kGroup)});
        }
      b.store(reader.getScales(panel, from, b.index(half)), weightScales,
              {k, b.index(half * lanes)});
    }
  });
}

void ManyRowsProduct::compute(Rows row, Value rows,
                              llvm::function_ref<Slice(Value)> panel,
                              Value panels, Value blocks) const {
  Value zero = b.index(0), one = b.index(1);
  int64_t blockBytes =
      getBlockFormat(format)->panelBytes(b.getTarget().panelWidth());
  Value tiles = b.ceilDiv(rows, sizes.tileRows);
  Value padded = b.mul(tiles, sizes.tileRows);
  b.forEach(zero, panels, [&](Value p) {
    b.forEach(zero, padded, [&](Value r) {
      for (int64_t half : {0, 1})
        b.store(b.splat(0.0f), sums, sumAt(p, r, half));
    });
  });

  // All tiles of a panel together fetch the weights that are widened next.
  Value lines = b.ceilDiv(b.index(llvm::divideCeil(blockBytes, kCacheLine)),
                          b.max(tiles, 1));
  Value stride = b.mul(lines, kCacheLine);
  b.forEach(zero, blocks, b.index(sizes.chunk), [&](Value first) {
    Value end = b.add(first, sizes.chunk);
    Value count = b.sub(b.min(end, blocks), first);
    prepareRows(row, rows, first, count);
    b.forEach(zero, panels, [&](Value p) {
      widenWeights(panel(p), first, count);
      // The same blocks of the next panel, then the next blocks of the first
      // one, then the panel behind them all.
      Value isLast = b.eq(b.add(p, one), panels);
      Value goesOn = b.logicalAnd(isLast, b.lt(end, blocks));
      Slice next = panel(b.select(goesOn, zero, b.add(p, one)));
      Value from = b.mul(b.select(goesOn, end, b.select(isLast, zero, first)),
                         blockBytes);
      multiply(row, rows, p, first, count, [&](Value tile, Value k) {
        ReadAhead ahead{b.add(from, b.mul(b.mul(tile, count), stride)), stride,
                        lines, /*fewLines=*/true};
        emitReadAhead(b, next, k, ahead, /*keepClose=*/false);
      });
    });
  });
}

void ManyRowsProduct::walk(
    int64_t unitPanels, Value unitLo, Value unitHi, Value rowLo, Value rowHi,
    llvm::function_ref<void(Value, Value, Value, Value)> piece) const {
  int64_t maxUnits = sizes.maxPanels / unitPanels;
  assert(maxUnits > 0 && "created for fewer panels");
  // Whole tiles, divided evenly: a piece of few rows would cost as much of
  // widening as any.
  Value rows = b.sub(rowHi, rowLo), zero = b.index(0);
  Value tiles = b.ceilDiv(rows, sizes.tileRows);
  Value pieces = b.ceilDiv(tiles, sizes.maxTiles);
  b.forEach(unitLo, unitHi, b.index(maxUnits), [&](Value unit) {
    Value units = b.min(b.sub(unitHi, unit), maxUnits);
    b.forEach(zero, pieces, [&](Value i) {
      auto [first, last] = b.share(tiles, i, pieces);
      Value from = b.mul(first, sizes.tileRows);
      Value to = b.min(b.mul(last, sizes.tileRows), rows);
      piece(unit, units, b.add(rowLo, from), b.sub(to, from));
    });
  });
}
