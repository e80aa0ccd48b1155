//===- MLAParts.h - What attention kernels share ----------------*- C++ -*-===//
//
// Part of dsv2, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef DSV2_LIB_CODEGEN_GPU_MLAPARTS_H
#define DSV2_LIB_CODEGEN_GPU_MLAPARTS_H

#include "dsv2/CodeGen/GPU/MLADecodeKernels.h"
#include "dsv2/CodeGen/GPU/TileBuilder.h"

namespace mlir::dsv2::gpu {

//===----------------------------------------------------------------------===//
// Softmax
//===----------------------------------------------------------------------===//

/// Lower than any score, and finite, so that differences of two are numbers.
inline constexpr double kLowestScore = -1e30;

/// Largest score so far (in units of the binary logarithm) and sum of
/// exponentials of each row.
struct SoftmaxState {
  Value largest, sum;
};
/// Before the first score.
SoftmaxState softmaxStart(TileBuilder &b, int64_t rows, int64_t warps);

struct SoftmaxStep {
  SoftmaxState state;
  /// Exponentials of the scores, and what earlier sums have to be multiplied
  /// with.
  Value weights, correction;
};
/// Takes the products of queries and keys in. `factor` is the scores' scale
/// times log2(e). `keep` says of an element, by row and column, whether it
/// counts; null: all do. It is asked only if `asks` says so at run time, or is
/// null.
SoftmaxStep softmaxStep(TileBuilder &b, Value products, double factor,
                        SoftmaxState state,
                        llvm::function_ref<Value(Value row, Value column)> keep,
                        Value asks = {});

/// What rows of sums have to be multiplied with in the end.
Value softmaxInverse(TileBuilder &b, SoftmaxState state);
/// Rows of `sums` divided by the state's sums.
Value softmaxFinish(TileBuilder &b, Value sums, SoftmaxState state);
/// The binary logarithm of the sum of exponentials, of each row.
Value softmaxLogarithm(TileBuilder &b, SoftmaxState state);

/// fragment[r, c] * rows[r].
Value scaleRows(TileBuilder &b, Value fragment, Value rows);

//===----------------------------------------------------------------------===//
// Shares of the decode kernel's work
//===----------------------------------------------------------------------===//

/// Tokens from one on that are computed together (MLADecodeKernels.h).
struct MLARun {
  /// How many, and their blocks of positions.
  Value tokens, blocks;
  /// Positions that the one with the most and the one with the fewest attends
  /// to.
  Value longest, shortest;
};
/// Reads element number `index` of positions or seqIds.
using MLARead = llvm::function_ref<Value(Value index)>;
/// Emits what is known of the run that starts at `token`, of `tokens` tokens.
MLARun describeMLARun(DeviceBuilder &b, const MLADecodeShape &shape,
                      MLARead position, MLARead sequence, Value token,
                      Value tokens);
/// Emits the blocks of the run that starts at `token`, 0 if none does.
Value countMLABlocks(DeviceBuilder &b, const MLADecodeShape &shape,
                     MLARead position, MLARead sequence, Value token,
                     Value tokens);

/// How work is cut into shares.
struct MLAShares {
  Value count, quotient, remainder;

  /// For `total` blocks of work and a grid of `blocks`.
  MLAShares(DeviceBuilder &b, const MLADecodeShape &shape, Value total,
            Value blocks);
  /// The first block of work of a share.
  Value begin(DeviceBuilder &b, Value share) const;
  /// The share that has a block of work.
  Value find(DeviceBuilder &b, Value block) const;
};

/// What every role of a decode kernel knows.
struct MLAWork {
  Value positions, seqIds, blockTables, tokens, tableWidth;
  /// This block's share: first block of work and end; the run that has the
  /// first, and the blocks of work before that run.
  Value from, to, run, before;

  /// Emits the search for the share. To be said before roles, where all threads
  /// take part.
  void find(TileBuilder &b, const MLADecodeShape &shape);
};

/// A tile of heads of one run, and the blocks of its positions in a share.
struct MLAItem {
  /// First token of the run and its tile of heads.
  Value token, headTile;
  MLARun run;
  /// First token of the tile, and the run's first row and end in it.
  Value tileToken, firstRow, lastRow;
  /// First block and end.
  Value first, last;
  /// Whether that is all there are, and the slot for the part otherwise.
  Value isWhole, slot;
};

/// Emits a loop over the items of this block's share.
SmallVector<Value>
forEachMLAItem(TileBuilder &b, const MLADecodeShape &shape, const MLAWork &work,
               ValueRange init,
               llvm::function_ref<SmallVector<Value>(const MLAItem &item,
                                                     ValueRange state)>
                   body);

/// Positions that each row of a tile attends to.
class MLALimits {
public:
  /// Reads them. Rows of the tile start at `firstRow` for this instance.
  MLALimits(TileBuilder &b, const MLADecodeShape &shape, const MLAWork &work,
            const MLAItem &item, Value firstRow);
  /// Whether a row's token attends to position `position`; arithmetic alone.
  Value keeps(TileBuilder &b, Value row, Value position) const;

private:
  int64_t heads;
  Value firstRow;
  /// Of each token of the tile.
  SmallVector<Value> lengths;
};

/// Emits what becomes of an item's `sums`, rows `row` and on and columns
/// `column` and on of its tile, all divided already: the output, or the part.
/// `logarithm`, if any, emits the logarithms of the sums of exponentials.
void storeMLAItem(
    TileBuilder &b, const MLADecodeShape &shape, const MLAItem &item,
    Value sums, Value row, Value column, Value output, Value partSums,
    llvm::function_ref<void(Value partRow, Value rows)> logarithm);

/// The row of the cache's pages that has the first position of block `block`.
Value loadMLAPage(TileBuilder &b, const MLAWork &work, Value sequence,
                  Value block);

tile::KernelOp createMLADecodeSm90(ModuleOp module, StringRef name,
                                   const MLADecodeShape &shape);
tile::KernelOp createMLADecodeSm80(ModuleOp module, StringRef name,
                                   const MLADecodeShape &shape);

} // namespace mlir::dsv2::gpu

#endif // DSV2_LIB_CODEGEN_GPU_MLAPARTS_H
