//===- SimtProductParts.cpp - the inside of products ----------------------===//
//
// Part of dsv2, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "SimtProductParts.h"

#include "llvm/ADT/bit.h"
#include "llvm/Support/MathExtras.h"

using namespace mlir;
using namespace mlir::dsv2;
using namespace mlir::dsv2::gpu;

/// Bytes of one load of weights.
static constexpr int64_t kLoadBytes = 16;

//===----------------------------------------------------------------------===//
// Tiling
//===----------------------------------------------------------------------===//

ProductTiling::ProductTiling(const ProductConfig &config) {
  const BlockFormat *blocks = getBlockFormat(config.format);
  bool forTensorCores = (blocks || config.weight.isBF16()) &&
                        (config.input.isBF16() || config.input.isF32());
  // Rows of blocks have whole pieces; what they are multiplied with, 8 elements
  // at a time, may not.
  isWide = blocks ? config.inputs % 8 == 0
                  : config.inputs % (kLoadBytes / getBytes(config.weight)) == 0;
  onTensorCores = isWide && forTensorCores;
  warps = 4;
  splits = 1;
  tileOutputs = 1;
  if (onTensorCores) {
    // A warp wants two steps, 8 loads a thread (4 of blocks), at least; then
    // the more warps share a tile, the more multiprocessors have something to
    // load.
    int64_t steps =
        blocks ? blocks->groups(config.inputs)
               : llvm::divideCeil(config.inputs, TileThread::kStepColumns);
    tileOutputs = TileThread::kTileRows / rowsPerOutput(config);
    splits = std::clamp<int64_t>(llvm::bit_floor(uint64_t(steps / 2)), 1, 8);
    warps = std::max<int64_t>(splits, 4);
    if (!blocks) {
      loads = 2 * llvm::divideCeil(steps, splits);
      // A ring is gone through a whole number of times for each tile. Loads
      // that are too many are of the last columns, and count for nothing.
      slots = std::min(loads, kRingLoads);
      for (int64_t fewer = slots - 1; fewer >= kRingLoads / 2; --fewer)
        if (llvm::alignTo(loads, fewer) < llvm::alignTo(loads, slots))
          slots = fewer;
      loads = llvm::alignTo(loads, slots);
    }
  } else if (isWide) {
    // Enough warps for all multiprocessors of an H100, 132, to have some.
    constexpr int64_t kEnoughOutputs = 4096;
    int64_t outputs = config.outputs * config.heads;
    int64_t loads = llvm::divideCeil(config.inputs * getBytes(config.weight),
                                     kLoadBytes * kWarpSize);
    warps = 8;
    splits = std::clamp<int64_t>(
        llvm::bit_floor(uint64_t(std::min(kEnoughOutputs / outputs, loads))), 1,
        warps);
  }
  warps = std::max(warps, config.minWarps);
}

//===----------------------------------------------------------------------===//
// What both kinds of sums share
//===----------------------------------------------------------------------===//

int64_t ProductSums::pitch(const ProductConfig &config) {
  // 4 more than the rows of a tile: the threads of a warp then write to
  // different banks.
  return ProductTiling(config).onTensorCores ? TileThread::kTileRows + 4
                                             : rowsPerOutput(config);
}

ProductSums::Place ProductSums::getPlace(int64_t index, Value round) {
  int64_t offset = getOffset(index);
  if (round || isInside(index))
    return {offset, round, {}, {}};
  Value column = b.add(firstElement, offset);
  return {std::nullopt,
          {},
          b.min(column, b.i32(config.inputs - vector)),
          b.less(column, b.i32(config.inputs))};
}

Value ProductSums::getAddress(Value row, Type element, const Place &place) {
  if (!place.offset)
    return b.at(row, element, place.column);
  Value address = b.at(row, element, firstElement);
  if (place.round)
    address = b.at(address, element, place.round);
  // The constant last, so that it becomes part of the instruction.
  return b.at(address, element, b.i32(*place.offset));
}

SmallVector<Value> ProductSums::mask(SmallVector<Value> words,
                                     const Place &place) {
  if (!place.offset)
    for (Value &word : words)
      word = b.select(place.isInside, word, b.i32(0));
  return words;
}

void RoundSums::emit(Value first, Value count, Value shared,
                     llvm::function_ref<void()> beforeInput) {
  struct Load {
    Place place;
    int64_t index;
    SmallVector<Value> weights;
  };
  using Loaded = SmallVector<Load>;
  auto load = [&](int64_t begin, int64_t end, Value round) {
    Loaded loaded;
    for (int64_t i = begin; i < end; ++i) {
      Place place = getPlace(i, round);
      loaded.push_back({place, i, loadWeights(place, i)});
    }
    return loaded;
  };
  auto add = [&](const Loaded &loaded, ValueRange before) {
    SmallVector<Value> sums(before);
    for (const Load &one : loaded)
      sums = accumulate(one.place, one.index, one.weights, sums);
    return sums;
  };
  int64_t wholeRounds = 0;
  while ((wholeRounds + 1) * roundLoads <= loads &&
         isInside((wholeRounds + 1) * roundLoads - 1))
    ++wholeRounds;
  int64_t firstEnd = wholeRounds ? roundLoads : std::min(roundLoads, loads);
  Loaded loaded = load(0, firstEnd, Value());
  beforeInput();
  prepare(first, count);
  SmallVector<Value> sums = add(loaded, getZeros());
  if (wholeRounds > 1)
    sums = b.forCarry(b.i32(1), b.i32(wholeRounds), b.i32(1), sums,
                      [&](Value round, ValueRange carried) {
                        Value elements = b.mul(round, getOffset(roundLoads));
                        return add(load(0, roundLoads, elements), carried);
                      });
  // What is left does not fill a round or a row.
  for (int64_t i = std::max(firstEnd, wholeRounds * roundLoads); i < loads;
       i += roundLoads)
    sums = add(load(i, std::min(i + roundLoads, loads), Value()), sums);
  store(sums, shared);
}

//===----------------------------------------------------------------------===//
// Tensor cores
//===----------------------------------------------------------------------===//

TileThread::TileThread(SimtBuilder &b, const ProductConfig &config,
                       ProductRows &rows, Value output)
    : b(b), config(config), rows(rows) {
  Value lane = b.lane();
  group = b.div(lane, 4);
  thread = b.rem(lane, 4);
  Value own = b.add(output, group);
  if (config.gated)
    weightRows = {rows.getWeightRow(own, 0), rows.getWeightRow(own, 1)};
  else
    weightRows = {rows.getWeightRow(own, 0),
                  rows.getWeightRow(b.add(own, 8), 0)};
}

void TileThread::prepare(Value first, Value count) {
  // Columns past the last row are computed from that and not used.
  inputRow =
      rows.getInputRow(b.add(first, b.min(group, b.sub(count, b.i32(1)))));
}

SmallVector<Value> TileThread::loadInput(Value address) {
  SmallVector<Value> x =
      b.loadWords(kInputs * getBytes(config.input) / 4, address);
  if (config.input.isF32())
    x = b.pack(b.getBF16Type(), b.unpack(config.input, x));
  return x;
}

void TileThread::storeTile(ValueRange sums, Value shared) {
  for (int64_t i = 0; i < 4; ++i) {
    Value row = b.add(b.mul(thread, 2), i % 2);
    Value column = b.add(group, i / 2 * 8);
    b.store(sums[i],
            b.at(shared, b.getF32Type(),
                 b.add(b.mul(row, ProductSums::pitch(config)), column)));
  }
}

//===----------------------------------------------------------------------===//
// One output
//===----------------------------------------------------------------------===//

namespace {

/// Every lane takes a vector of columns at a time.
class VectorSums : public RoundSums {
public:
  VectorSums(SimtBuilder &b, const ProductConfig &config, ProductRows &rows,
             Value output, Value split, bool oneRow)
      : RoundSums(b, config, rows), inputCount(oneRow ? 1 : kProductRows) {
    vector = kLoadBytes / getBytes(config.weight);
    firstElement = b.mul(b.add(b.mul(split, kWarpSize), b.lane()), vector);
    lastFirstElement = (tiling.splits * kWarpSize - 1) * vector;
    loads = llvm::divideCeil(config.inputs, vector * kWarpSize * tiling.splits);
    // With 8 rows the registers are for sums.
    int64_t most = (oneRow ? 8 : 4) / rowsPerOutput(config);
    roundLoads = std::min(loads, most);
    for (int64_t part = 0; part < rowsPerOutput(config); ++part)
      weightRows.push_back(rows.getWeightRow(output, part));
  }

private:
  int64_t getOffset(int64_t index) const override {
    return index * vector * kWarpSize * tiling.splits;
  }
  void prepare(Value first, Value count) override {
    for (int64_t i = 0; i < inputCount; ++i)
      inputRows.push_back(rows.getInputRow(
          b.add(first, b.min(b.i32(i), b.sub(count, b.i32(1))))));
  }
  SmallVector<Value> getZeros() override {
    return SmallVector<Value>(inputCount * weightRows.size(), b.f32(0.0));
  }
  static int64_t getWords(Type element, int64_t count) {
    return count * getBytes(element) / 4;
  }
  SmallVector<Value> loadWeights(const Place &place, int64_t) override {
    SmallVector<Value> words;
    for (Value row : weightRows)
      llvm::append_range(words,
                         b.loadWords(getWords(config.weight, vector),
                                     getAddress(row, config.weight, place),
                                     /*invariant=*/true));
    return words;
  }
  SmallVector<Value> accumulate(const Place &place, int64_t index,
                                ArrayRef<Value> words,
                                ValueRange before) override {
    SmallVector<Value> sums(before);
    SmallVector<Value> w = b.unpack(config.weight, words);
    for (auto [i, row] : llvm::enumerate(inputRows)) {
      SmallVector<Value> x = b.unpack(
          config.input, mask(b.loadWords(getWords(config.input, vector),
                                         getAddress(row, config.input, place)),
                             place));
      for (size_t part = 0; part < weightRows.size(); ++part) {
        Value &sum = sums[i * weightRows.size() + part];
        for (int64_t k = 0; k < vector; ++k)
          sum = b.fma(x[k], w[part * vector + k], sum);
      }
    }
    return sums;
  }
  void store(ValueRange sums, Value shared) override {
    SmallVector<Value> totals;
    for (Value sum : sums)
      totals.push_back(
          b.warpReduce(sum, [&](Value x, Value y) { return b.fadd(x, y); }));
    b.ifThen(b.equal(b.lane(), b.i32(0)), [&] {
      for (auto [i, total] : llvm::enumerate(totals))
        b.store(total, b.at(shared, b.getF32Type(), b.i32(i)));
    });
  }

  int64_t inputCount;
  SmallVector<Value> inputRows;
  SmallVector<Value, 2> weightRows;
};

} // namespace

std::unique_ptr<ProductSums> ProductSums::create(SimtBuilder &b,
                                                 const ProductConfig &config,
                                                 ProductRows &rows,
                                                 Value output, Value split,
                                                 bool oneRow, Value ring) {
  if (!ProductTiling(config).onTensorCores)
    return std::make_unique<VectorSums>(b, config, rows, output, split, oneRow);
  if (config.format != PackFormat::Plain)
    return createBlockSums(b, config, rows, output, split);
  return createRingSums(b, config, rows, output, split, ring);
}
