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

#include "ManyRowsProduct.h"

namespace mlir::dsv2::cpu {

/// Whether the processor multiplies tiles of bytes, and has the vectors that
/// the rest of such a product is written for.
bool hasTileUnit(const CPUTargetInfo &target);

/// Products of many rows with the tile unit. The rows of a chunk are copied
/// into tiles, once for all panels; weights are widened to signed bytes.
class TileProduct final : public ManyRowsProduct {
public:
  /// Rows of a tile. They and the two halves of a panel's columns have 16 float
  /// sums in registers. 16 rows, all that a tile holds, would have 32 and leave
  /// no register for anything else; from 12 LLVM spills some, and what more
  /// rows would save, loads of weights, is not what limits the loop.
  static constexpr int64_t kTileRows = 8;

  TileProduct(KernelBuilder &b, PanelFormat format, int64_t leastPanels);

private:
  Value widen(Value bytes) const override;
  /// Copies the rows into tiles.
  void prepareRows(Rows row, Value rows, Value first,
                   Value count) const override;
  void multiply(Rows row, Value rows, Value panel, Value first, Value count,
                Ahead ahead) const override;
  /// The same for one tile of rows.
  void multiplyTile(Value tile, Value panel, Value count, Ahead ahead) const;

  /// Bytes [tile][block][row][32] and scales [tile][block][row] of the rows.
  Value rowBytes, rowScales;
  /// Integer sums of a block, [half][row][column], on their way from a tile
  /// into vectors.
  Value dots;
};

} // namespace mlir::dsv2::cpu

#endif // DSV2_LIB_CODEGEN_CPU_TILEPRODUCT_H
