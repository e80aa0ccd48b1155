//===- SimtProductParts.h - the inside of products --------------*- C++ -*-===//
//
// Part of dsv2, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// How a product is dealt to blocks and warps (ProductTiling), and what one warp
// adds up (ProductSums). SimtProducts.cpp puts them together.
//
//===----------------------------------------------------------------------===//

#ifndef DSV2_LIB_CODEGEN_GPU_SIMTPRODUCTPARTS_H
#define DSV2_LIB_CODEGEN_GPU_SIMTPRODUCTPARTS_H

#include "dsv2/CodeGen/GPU/SimtKernels.h"

#include <memory>
#include <optional>

namespace mlir::dsv2::gpu {

/// Loads that a thread wants to have under way: 32 bytes each, and 16 warps of
/// a multiprocessor then have 128 KiB.
inline constexpr int64_t kRingLoads = 8;

/// How a product is dealt to blocks and warps.
///
/// A tile is what one warp computes at once: 16 rows of weights on tensor
/// cores, those of one output else. The `splits` warps of a tile share its K,
/// and a block has `warps` / `splits` tiles.
struct ProductTiling {
  /// Whether rows of weights can be read 16 bytes at a time, and through tensor
  /// cores then. Otherwise warps take outputs one by one.
  bool isWide, onTensorCores;
  int64_t tileOutputs, splits, warps;
  /// Of bf16 on tensor cores: loads of a thread for a tile, and how many it has
  /// under way, which divides that.
  int64_t loads = 0, slots = 0;

  explicit ProductTiling(const ProductConfig &config);

  int64_t threads() const { return warps * kWarpSize; }
  int64_t tiles() const { return warps / splits; }
  int64_t blockOutputs() const { return tiles() * tileOutputs; }
};

/// Bytes of an element.
inline int64_t getBytes(Type element) {
  return element.getIntOrFloatBitWidth() / 8;
}

/// Rows of weights for each output.
inline int64_t rowsPerOutput(const ProductConfig &config) {
  return config.gated ? 2 : 1;
}

/// Element `k` of the row of weights that starts at `row`, as f32: for what is
/// not read 16 bytes at a time.
Value loadWeight(SimtBuilder &b, const ProductConfig &config, Value row,
                 Value k);

/// What ProductSums asks of the kernel around it.
class ProductRows {
public:
  virtual ~ProductRows() = default;
  /// Address of the first element of row `row` of the launch's input.
  virtual Value getInputRow(Value row) = 0;
  /// Address of the first element of a row of weights: that of `output`, or
  /// with `part` 1 the row of its up. Outputs past the end have that of the
  /// last.
  virtual Value getWeightRow(Value output, int64_t part) = 0;
};

/// Emits the sums of one tile for up to kProductRows rows of the input, for one
/// thread of one of the tile's warps.
class ProductSums {
public:
  virtual ~ProductSums() = default;

  /// Emits it all, sums into shared memory: [rows of the input, pitch()], the
  /// tile's rows of weights adjacent. `first` and `count` are the rows of the
  /// input, `beforeInput` emits what has to come before the first load of them
  /// and after the first loads of weights.
  virtual void emit(Value first, Value count, Value shared,
                    llvm::function_ref<void()> beforeInput) = 0;

  /// f32 in shared memory from one row of the input to the next, and in all.
  static int64_t pitch(const ProductConfig &config);
  static int64_t sharedElements(const ProductConfig &config) {
    return pitch(config) * kProductRows;
  }

  /// The sums of outputs from `output` on. `split` says which part of K. With
  /// `oneRow` the count of rows is known to be 1. `ring` is shared memory of
  /// getRingBytes().
  static std::unique_ptr<ProductSums>
  create(SimtBuilder &b, const ProductConfig &config, ProductRows &rows,
         Value output, Value split, bool oneRow, Value ring);

protected:
  ProductSums(SimtBuilder &b, const ProductConfig &config, ProductRows &rows)
      : b(b), config(config), rows(rows), tiling(config) {}

  /// Where a thread's load lies in a row.
  struct Place {
    /// Elements from the thread's first, beyond `round` elements if it is
    /// there, for a load that is inside of the row for every thread;
    std::optional<int64_t> offset;
    Value round;
    /// else elements from the start of the row, clamped, and whether that was
    /// not needed.
    Value column, isInside;
  };
  /// Whether load `index` is inside of the row for every thread.
  bool isInside(int64_t index) const {
    return lastFirstElement + getOffset(index) + vector <= config.inputs;
  }
  /// Place of load `index`, or of the one `round` elements behind it, which is
  /// inside too.
  Place getPlace(int64_t index, Value round);
  /// The address of a place in the row that starts at `row`.
  Value getAddress(Value row, Type element, const Place &place);
  /// `words`, or zeros where the place is not inside.
  SmallVector<Value> mask(SmallVector<Value> words, const Place &place);

  /// Elements from a thread's first to where its load `index` starts; a
  /// multiple for those of a round after another.
  virtual int64_t getOffset(int64_t index) const = 0;

  SimtBuilder &b;
  const ProductConfig &config;
  ProductRows &rows;
  ProductTiling tiling;
  /// A thread's first element, the largest of all threads', elements of a load.
  Value firstElement;
  int64_t lastFirstElement = 0, vector = 0;
};

/// Sums whose weights are loaded into registers, in rounds: all loads of one
/// are issued before the first is used. The more bytes are under way at once,
/// the less time they take.
class RoundSums : public ProductSums {
public:
  void emit(Value first, Value count, Value shared,
            llvm::function_ref<void()> beforeInput) override;

protected:
  using ProductSums::ProductSums;

  virtual void prepare(Value first, Value count) = 0;
  virtual SmallVector<Value> getZeros() = 0;
  virtual SmallVector<Value> loadWeights(const Place &place, int64_t index) = 0;
  /// `sums` and what load `index` adds to them, which has `weights`.
  virtual SmallVector<Value> accumulate(const Place &place, int64_t index,
                                        ArrayRef<Value> weights,
                                        ValueRange sums) = 0;
  virtual void store(ValueRange sums, Value shared) = 0;

  /// Loads of a row that a thread needs, and of a round.
  int64_t loads = 0, roundLoads = 0;
};

/// What one thread has of a tile on tensor cores: with g = lane / 4 and t =
/// lane % 4, pieces of 16 bytes of the rows g and g + 8 of the weights, and
/// what they are multiplied with of row g of the input.
class TileThread {
public:
  /// Of the tile whose first output is `output`.
  TileThread(SimtBuilder &b, const ProductConfig &config, ProductRows &rows,
             Value output);

  /// Finds its row among `count` rows of the input from `first` on.
  void prepare(Value first, Value count);
  /// kInputs elements of the input from `address` on, as words of bf16.
  SmallVector<Value> loadInput(Value address);
  /// Stores the four sums of a thread.
  void storeTile(ValueRange sums, Value shared);

  /// Elements of the input that a piece is multiplied with at once.
  static constexpr int64_t kInputs = 8;
  /// Rows of weights of an instruction; columns of K that a warp takes in one
  /// step, two instructions' 16-byte loads, which are 128 adjacent bytes of
  /// each row.
  static constexpr int64_t kTileRows = 16, kStepColumns = 64;

  /// t, and where its rows begin.
  Value thread, inputRow;
  SmallVector<Value, 2> weightRows;

private:
  SimtBuilder &b;
  const ProductConfig &config;
  ProductRows &rows;
  Value group;
};

/// Bytes of shared memory for weights of bf16 on their way to a block, `ring`
/// of ProductSums::create (SimtProductRing.cpp).
int64_t getRingBytes(const ProductConfig &config);

/// The sums of ProductSums::create for weights of bf16 on tensor cores
/// (SimtProductRing.cpp), and in blocks (SimtProductBlocks.cpp).
std::unique_ptr<ProductSums> createRingSums(SimtBuilder &b,
                                            const ProductConfig &config,
                                            ProductRows &rows, Value output,
                                            Value split, Value ring);
std::unique_ptr<ProductSums> createBlockSums(SimtBuilder &b,
                                             const ProductConfig &config,
                                             ProductRows &rows, Value output,
                                             Value split);

} // namespace mlir::dsv2::gpu

#endif // DSV2_LIB_CODEGEN_GPU_SIMTPRODUCTPARTS_H
