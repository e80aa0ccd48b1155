//===- SimtProductBlocks.cpp - products with weights in blocks ------------===//
//
// Part of dsv2, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// BlockFormat.h says what rows are. Tensor cores multiply the integers, which
// are exact in bf16, and start from zero with each block: its sums are then
// multiplied by its scale in f32.
//
//===----------------------------------------------------------------------===//

#include "SimtBlocks.h"
#include "SimtProductParts.h"

#include "llvm/Support/MathExtras.h"

using namespace mlir;
using namespace mlir::dsv2;
using namespace mlir::dsv2::gpu;

namespace {

/// A load is of a group of blocks: a piece of 16 bytes, which has 8 elements of
/// each block, and the word with the group's scales.
class BlockSums : public RoundSums {
public:
  BlockSums(SimtBuilder &b, const ProductConfig &config, ProductRows &rows,
            Value output, Value split)
      : RoundSums(b, config, rows), tile(b, config, rows, output),
        blocks(*getBlockFormat(config.format)), split(split),
        groupColumns(blocks.groupElements()) {
    vector = groupColumns - blocks.elements + TileThread::kInputs;
    firstElement = b.add(b.mul(split, groupColumns),
                         b.mul(tile.thread, TileThread::kInputs));
    lastFirstElement =
        (tiling.splits - 1) * groupColumns + 3 * TileThread::kInputs;
    loads = llvm::divideCeil(blocks.groups(config.inputs), tiling.splits);
    // 8 loads of weights and 8 of scales are 40 registers.
    roundLoads = std::min<int64_t>(loads, 4);
  }

private:
  int64_t getOffset(int64_t index) const override {
    return index * groupColumns * tiling.splits;
  }
  void prepare(Value first, Value count) override {
    tile.prepare(first, count);
  }
  SmallVector<Value> getZeros() override {
    return SmallVector<Value>(4, b.f32(0.0));
  }

  /// Address of what a group of `row` has from byte `start` on, `bytes` of it
  /// for each group.
  Value getGroupAddress(Value row, const Place &place, int64_t index,
                        Value start, int64_t bytes) {
    Type i8 = b.getI8Type();
    Value address = b.at(row, i8, start);
    if (place.offset) {
      address = b.at(address, i8, b.mul(split, bytes));
      if (place.round)
        address =
            b.at(address, i8, b.mul(b.div(place.round, groupColumns), bytes));
      return b.at(address, i8, b.i32(index * tiling.splits * bytes));
    }
    // Behind the last group that again, which zeros are multiplied with.
    Value number = b.min(b.add(split, index * tiling.splits),
                         b.i32(blocks.groups(config.inputs) - 1));
    return b.at(address, i8, b.mul(number, bytes));
  }

  SmallVector<Value> loadWeights(const Place &place, int64_t index) override {
    SmallVector<Value> words;
    for (Value row : tile.weightRows) {
      llvm::append_range(
          words,
          b.loadWords(4,
                      getGroupAddress(row, place, index, b.mul(tile.thread, 16),
                                      BlockFormat::kGroupBytes),
                      /*invariant=*/true));
      llvm::append_range(
          words,
          b.loadWords(1,
                      getGroupAddress(row, place, index,
                                      b.i32(blocks.scaleOffset(config.inputs)),
                                      blocks.groupBlocks() * blocks.scaleBytes),
                      /*invariant=*/true));
    }
    return words;
  }

  /// The elements of the input that block `block` of a group is multiplied
  /// with, zeros behind the end of the row.
  SmallVector<Value> loadBlockInput(const Place &place, int64_t index,
                                    int64_t block) {
    int64_t first = block * blocks.elements;
    if (place.offset)
      return tile.loadInput(b.at(getAddress(tile.inputRow, config.input, place),
                                 config.input, b.i32(first)));
    Value column = b.add(firstElement, getOffset(index) + first);
    Value isInside = b.less(column, b.i32(config.inputs));
    column = b.min(column, b.i32(config.inputs - TileThread::kInputs));
    SmallVector<Value> words =
        tile.loadInput(b.at(tile.inputRow, config.input, column));
    for (Value &word : words)
      word = b.select(isInside, word, b.i32(0));
    return words;
  }

  SmallVector<Value> accumulate(const Place &place, int64_t index,
                                ArrayRef<Value> w, ValueRange before) override {
    SmallVector<Value> sums(before);
    constexpr int64_t kRowWords = 5;
    SmallVector<Value> scales[2];
    for (int64_t row : {0, 1})
      scales[row] =
          unpackScales(b, config.format, w[row * kRowWords + kRowWords - 1]);
    for (int64_t block = 0; block < blocks.groupBlocks(); ++block) {
      SmallVector<Value> x = loadBlockInput(place, index, block);
      SmallVector<Value> pairs[2];
      for (int64_t row : {0, 1})
        pairs[row] = unpackBlock(
            b, config.format, w.slice(row * kRowWords, kRowWords - 1), block);
      SmallVector<Value> part(4, b.f32(0.0));
      for (int64_t k : {0, 2})
        part = b.multiplyTile(
            {pairs[0][k], pairs[1][k], pairs[0][k + 1], pairs[1][k + 1]},
            {x[k], x[k + 1]}, part);
      for (int64_t i = 0; i < 4; ++i)
        sums[i] = b.fma(scales[i / 2][block], part[i], sums[i]);
    }
    return sums;
  }

  void store(ValueRange sums, Value shared) override {
    SmallVector<Value> totals(sums);
    double unit = getScaleUnit(config.format);
    if (unit != 1)
      for (Value &total : totals)
        total = b.fmul(total, b.f32(unit));
    tile.storeTile(totals, shared);
  }

  TileThread tile;
  const BlockFormat &blocks;
  Value split;
  int64_t groupColumns;
};

} // namespace

std::unique_ptr<ProductSums>
dsv2::gpu::createBlockSums(SimtBuilder &b, const ProductConfig &config,
                           ProductRows &rows, Value output, Value split) {
  return std::make_unique<BlockSums>(b, config, rows, output, split);
}

Value dsv2::gpu::loadWeight(SimtBuilder &b, const ProductConfig &config,
                            Value row, Value k) {
  const BlockFormat *blocks = getBlockFormat(config.format);
  if (!blocks)
    return b.loadFloat(config.weight, b.at(row, config.weight, k));
  return loadBlockElement(b, config.format, row, config.inputs, k);
}
