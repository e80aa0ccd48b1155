//===- TileProduct.h - Products of the tile unit ----------------*- C++ -*-===//
//
// Part of dsv2, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// Products of many quantised rows with weights in blocks, on processors with
// AMX. One tile instruction multiplies a block of 8 rows with that of 16
// columns: 32 bytes deep, half of what a tile could hold, because every block
// has scales of its own. docs/Performance.md has what that costs.
//
//===----------------------------------------------------------------------===//

#ifndef DSV2_LIB_CODEGEN_CPU_TILEPRODUCT_H
#define DSV2_LIB_CODEGEN_CPU_TILEPRODUCT_H

#include "MatmulTile.h"

namespace mlir::dsv2::cpu {

/// Whether the processor multiplies tiles of bytes, and has the vectors that
/// the rest of such a product is written for.
bool hasTileUnit(const CPUTargetInfo &target);

/// Emits the sums of emitQuantTile(), bit by bit the same, for up to
/// `kMaxRows` rows and `kMaxPanels` panels at once:
///
///   sum += float(dot(x, w)) * (scale of w * scale of x)
///
/// Blocks are taken `kChunk` at a time. Their rows are copied into tiles, once
/// for all panels; then, panel by panel, their weights are widened to signed
/// bytes, once for all rows. Sums are kept in memory between chunks.
class TileProduct {
public:
  /// Rows of a tile. They and the two halves of a panel's columns have 16 float
  /// sums in registers. 16 rows, all that a tile holds, would have 32 and leave
  /// no register for anything else; from 12 LLVM spills some, and what more
  /// rows would save, loads of weights, is not what limits the loop.
  static constexpr int64_t kTileRows = 8;
  /// Widening a block's weights costs about as much as a tile of rows.
  static constexpr int64_t kMaxRows = 12 * kTileRows;
  /// Copying a block's rows costs about half of what their product with a panel
  /// does.
  static constexpr int64_t kMaxPanels = 4;

  /// Takes about 200 KiB of the kernel's stack.
  TileProduct(KernelBuilder &b, PanelFormat format);

  /// Emits all sums. `row(i)` is the slice of quantised row i < `rows`,
  /// `panel(p)` that of panel p < `panels`; both bounds may be less than the
  /// most there can be. `panel` is also asked for panel `panels`, which is
  /// fetched and need not exist.
  void compute(llvm::function_ref<Slice(Value)> row, Value rows,
               llvm::function_ref<Slice(Value)> panel, Value panels,
               Value blocks) const;

  /// The sums of one row and half of a panel's columns, after compute().
  Value sum(Value panel, Value row, int64_t half) const;

private:
  static constexpr int64_t kChunk = 32;

  /// Copies blocks first .. first + count - 1 of all rows into tiles.
  void copyRows(llvm::function_ref<Slice(Value)> row, Value rows, Value tiles,
                Value first, Value count) const;
  /// Widens the same blocks of a panel.
  void widenWeights(const Slice &panel, Value first, Value count) const;
  /// Adds the products of the blocks in the tiles to the sums of one tile of
  /// rows, and calls `ahead` for each.
  void multiply(Value tile, Value panel, Value count,
                llvm::function_ref<void(Value k)> ahead) const;

  KernelBuilder &b;
  PanelFormat format;
  /// Bytes [tile][block][row][32] and scales [tile][block][row] of the rows.
  Value rowBytes, rowScales;
  /// Bytes [block][group][column][4] and scales [block][column] of a panel.
  Value weightBytes, weightScales;
  /// Integer sums of a block, [half][row][column], on their way from a tile
  /// into vectors.
  Value dots;
  /// [panel][row][column].
  Value sums;
};

/// Covers panels [panelLo, panelHi) x rows [rowLo, rowHi) with pieces for a
/// TileProduct, of at most `maxPanels` panels. Panels are the outer loop.
void walkTileProducts(
    KernelBuilder &b, int64_t maxPanels, Value panelLo, Value panelHi,
    Value rowLo, Value rowHi,
    llvm::function_ref<void(Value panel, Value panels, Value row, Value rows)>
        piece);

} // namespace mlir::dsv2::cpu

#endif // DSV2_LIB_CODEGEN_CPU_TILEPRODUCT_H
