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
/// counts; null: all do.
SoftmaxStep
softmaxStep(TileBuilder &b, Value products, double factor, SoftmaxState state,
            llvm::function_ref<Value(Value row, Value column)> keep);

/// Rows of `sums` divided by the state's sums.
Value softmaxFinish(TileBuilder &b, Value sums, SoftmaxState state);
/// The binary logarithm of the sum of exponentials, of each row.
Value softmaxLogarithm(TileBuilder &b, SoftmaxState state);

/// fragment[r, c] * rows[r].
Value scaleRows(TileBuilder &b, Value fragment, Value rows);

//===----------------------------------------------------------------------===//
// Shares of the decode kernel's work
//===----------------------------------------------------------------------===//

/// Addresses and sizes every role of a decode kernel knows.
struct MLAWork {
  Value positions, seqIds, blockTables, tokens, tableWidth;
  /// Blocks of work of all tokens.
  Value total;
};

/// Blocks of work in all of `tokens` tokens, and a token's own.
Value countMLABlocks(TileBuilder &b, Value positions, Value tokens,
                     int64_t headTiles);
Value mlaBlocksOf(TileBuilder &b, Value positions, Value token);

/// The first of `total` blocks of work that share number `share` of `shares`
/// has, floor(share total / shares), and the last share that begins at or
/// before `block`. Products of both do not fit i32: 4096 tokens at the end of a
/// context of 163840 have 2^24 blocks. Up to 2^15 shares.
Value mlaShareStart(TileBuilder &b, Value share, Value total, Value shares);
Value mlaShareOf(TileBuilder &b, Value block, Value total, Value shares);

/// A tile of heads of one token, and the blocks of its positions in a share.
struct MLAItem {
  Value token, headTile;
  /// Positions the token attends to.
  Value length;
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

/// Emits what becomes of an item's `sums` [rows, columns] of heads `head` and
/// on, from latent `column` on: the output, or the part.
void storeMLAItem(TileBuilder &b, const MLADecodeShape &shape,
                  const MLAItem &item, Value sums, SoftmaxState state,
                  Value head, Value column, Value storesLogarithm, Value output,
                  Value partSums, Value partLogs);

/// The row of the cache's pages that has the first position of block `block`.
Value loadMLAPage(TileBuilder &b, const MLAWork &work, Value sequence,
                  Value block);

tile::KernelOp createMLADecodeSm90(ModuleOp module, StringRef name,
                                   const MLADecodeShape &shape);
tile::KernelOp createMLADecodeSm80(ModuleOp module, StringRef name,
                                   const MLADecodeShape &shape);

} // namespace mlir::dsv2::gpu

#endif // DSV2_LIB_CODEGEN_GPU_MLAPARTS_H
