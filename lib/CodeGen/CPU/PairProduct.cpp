//===- PairProduct.cpp - Many rows by pairs of bytes ----------------------===//
//
// Part of dsv2, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "PairProduct.h"

#include "PanelReader.h"
#include "QuantTile.h"
#include "mlir/Dialect/Vector/IR/VectorOps.h"

using namespace mlir;
using namespace mlir::dsv2;
using namespace mlir::dsv2::cpu;

/// What is read for one tile and chunk, 16 blocks of widened weights and of
/// four rows, is 9 and 2.5 KiB with vectors of 256 bits: all in the nearest
/// cache.
static constexpr int64_t kChunk = 16;
/// Widening costs about as much as a tile of rows, or less.
static constexpr int64_t kMaxTiles = 24;

bool PairProduct::isThere(const CPUTargetInfo &target, PanelFormat format) {
  return format == PanelFormat::Q4 && ByteDot::multipliesPairs(target);
}

PairProduct::PairProduct(KernelBuilder &b, PanelFormat format, int64_t panels)
    : ManyRowsProduct(
          b, format,
          {getQuantTileRows(b.getTarget()), kMaxTiles, panels, kChunk}),
      dot(b, format) {}

void PairProduct::multiply(Rows row, Value rows, Value panel, Value first,
                           Value count, Ahead ahead) const {
  int64_t lanes = b.lanes();
  PanelReader reader(b, format);
  auto bytes = VectorType::get({PanelReader::kGroup * lanes}, b.getI8Type());
  BlockWeights weights;
  weights.numLoads = reader.numLoads();
  weights.groupsAtOnce = reader.groupsAtOnce();
  weights.groups = [&](Value k, Value load, Value half) {
    SmallVector<ByteDot::Weight> groups;
    Value group = b.mul(load, weights.groupsAtOnce);
    for (int64_t i = 0; i < weights.groupsAtOnce; ++i)
      groups.push_back(dot.prepare(vector::LoadOp::create(
          b, bytes, weightBytes,
          ValueRange{k, b.add(group, i),
                     b.mul(half, lanes * PanelReader::kGroup)})));
    return groups;
  };
  weights.scales = [&](Value k, Value half) {
    return b.load(weightScales, {k, b.mul(half, lanes)});
  };

  forEvenTiles(b, sizes.tileRows, leastRows(b.getTarget()), b.index(0), rows,
               [&](Value at, int64_t height, const TilePass &pass) {
                 SmallVector<Slice> x;
                 for (int64_t r = 0; r < height; ++r)
                   x.push_back(row(b.add(at, r)));
                 SmallVector<Value> state;
                 for (int64_t half : {0, 1})
                   for (int64_t r = 0; r < height; ++r)
                     state.push_back(sum(panel, b.add(at, r), half));
                 state = b.forCarry(b.index(0), count, b.index(1), state,
                                    [&](Value k, ValueRange state) {
                                      ahead(pass.pass, k);
                                      return addBlockProducts(
                                          b, dot, x, b.add(first, k), weights,
                                          k, state);
                                    });
                 for (int64_t half : {0, 1})
                   for (int64_t r = 0; r < height; ++r)
                     b.store(state[half * height + r], sums,
                             sumAt(panel, b.add(at, r), half));
               });
}
