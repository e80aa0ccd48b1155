//===- ManyRowsProduct.h - Products of many quantised rows ------*- C++ -*-===//
//
// Part of dsv2, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// Products of more quantised rows than a few register tiles take with weights
// in blocks. Tiles of few rows take the weights apart once each; here that is
// done once for all rows, and tiles read what came out of it from the nearest
// cache.
//
//===----------------------------------------------------------------------===//

#ifndef DSV2_LIB_CODEGEN_CPU_MANYROWSPRODUCT_H
#define DSV2_LIB_CODEGEN_CPU_MANYROWSPRODUCT_H

#include "MatmulTile.h"

#include <memory>

namespace mlir::dsv2::cpu {

/// Emits the sums of emitQuantTile(), bit by bit the same, for several rows and
/// panels at once:
///
///   sum += float(dot(x, w)) * (scale of w * scale of x)
///
/// Blocks are taken some at a time, a *chunk*. Panel by panel, the weights of a
/// chunk are widened into memory, once for all rows, and multiplied with one
/// tile of rows after another. Sums are kept in memory between chunks.
class ManyRowsProduct {
public:
  virtual ~ManyRowsProduct() = default;

  /// Whether products with weights in `format` go this way if they have many
  /// rows; and how many those are at least.
  static bool isThere(const CPUTargetInfo &target, PanelFormat format);
  static int64_t leastRows(const CPUTargetInfo &target);
  /// Rows of a tile.
  static int64_t tileRows(const CPUTargetInfo &target);

  /// The way of the target, for `panels` panels at once, or as many of them as
  /// fit into memory that stays small but at least `leastPanels`. It takes up
  /// to 200 KiB of the kernel's stack.
  static std::unique_ptr<ManyRowsProduct>
  create(KernelBuilder &b, PanelFormat format, int64_t leastPanels);

  /// Covers units [unitLo, unitHi) of `unitPanels` panels x rows [rowLo, rowHi)
  /// with pieces that are computed at once: piece(unit, units, row, rows).
  /// Units are the outer loop.
  void
  walk(int64_t unitPanels, Value unitLo, Value unitHi, Value rowLo, Value rowHi,
       llvm::function_ref<void(Value unit, Value units, Value row, Value rows)>
           piece) const;

  /// Emits all sums. `row(i)` is the slice of quantised row i < `rows`,
  /// `panel(p)` that of panel p < `panels`; the bounds are at most those of a
  /// piece of walk(). `panel` is also asked for panel `panels`, which is
  /// fetched and need not exist.
  void compute(llvm::function_ref<Slice(Value)> row, Value rows,
               llvm::function_ref<Slice(Value)> panel, Value panels,
               Value blocks) const;

  /// The sums of one row and half of a panel's columns, after compute().
  Value sum(Value panel, Value row, int64_t half) const;

protected:
  struct Sizes {
    /// Rows of a tile, tiles of a piece, panels of a piece, blocks of a chunk.
    int64_t tileRows, maxTiles, maxPanels, chunk;
    int64_t maxRows() const { return maxTiles * tileRows; }
  };
  /// Emits what is fetched while block `k` of the chunk is multiplied with tile
  /// `tile`.
  using Ahead = llvm::function_ref<void(Value tile, Value k)>;
  using Rows = llvm::function_ref<Slice(Value)>;

  ManyRowsProduct(KernelBuilder &b, PanelFormat format, const Sizes &sizes);

  /// The bytes that are kept of a group, from the unsigned ones.
  virtual Value widen(Value bytes) const = 0;
  /// Makes blocks first .. first + count - 1 of all rows ready.
  virtual void prepareRows(Rows row, Value rows, Value first,
                           Value count) const {}
  /// Adds the products of these blocks of all rows with the widened weights to
  /// the sums of `panel`.
  virtual void multiply(Rows row, Value rows, Value panel, Value first,
                        Value count, Ahead ahead) const = 0;

  SmallVector<Value> sumAt(Value panel, Value row, int64_t half) const;

  KernelBuilder &b;
  PanelFormat format;
  Sizes sizes;
  /// Bytes [block][group][column][4] and scales [block][column] of a panel.
  Value weightBytes, weightScales;
  /// [panel][row][column].
  Value sums;

private:
  void widenWeights(const Slice &panel, Value first, Value count) const;
};

} // namespace mlir::dsv2::cpu

#endif // DSV2_LIB_CODEGEN_CPU_MANYROWSPRODUCT_H
