//===- MatmulTile.h - Register tiles and the walk over panels ---*- C++ -*-===//
//
// Part of dsv2, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// What the matrix product kernels have in common. A *tile* is `rows` rows of x
// against one or more panels, held in registers over the whole reduction; a
// *walk* covers a range of panels and a range of rows with tiles.
//
//===----------------------------------------------------------------------===//

#ifndef DSV2_LIB_CODEGEN_CPU_MATMULTILE_H
#define DSV2_LIB_CODEGEN_CPU_MATMULTILE_H

#include "dsv2/CodeGen/CPU/KernelBuilder.h"
#include "dsv2/CodeGen/CPU/MatmulKernels.h"

namespace mlir::dsv2::cpu {

/// The contiguous innermost dimension(s) of a memref that remain once the
/// leading indices are fixed: a row of x, or one panel of a weight.
struct Slice {
  Value memref;
  SmallVector<Value, 4> prefix;

  SmallVector<Value> at(ValueRange indices) const {
    SmallVector<Value> all(prefix.begin(), prefix.end());
    all.append(indices.begin(), indices.end());
    return all;
  }
};

/// Keeps LLVM from unrolling `loop`, an scf.for.
void keepRolled(Operation *loop);

/// The sums of one tile: sum(row, panel, half) is a vector, `half` 0 or 1 being
/// the lower or upper lanes of the panel's NR columns.
class TileSums {
public:
  TileSums(SmallVector<Value> values, int64_t panels)
      : values(std::move(values)), panels(panels) {}
  Value operator()(int64_t row, int64_t panel, int64_t half) const {
    return values[(row * panels + panel) * 2 + half];
  }

private:
  SmallVector<Value> values;
  int64_t panels;
};

/// Emits sums[row][panel] = sum over k = 0 .. depth-1 of rows[row][k] *
/// panels[panel][k], k ascending, one chain of multiply-adds per lane that
/// starts from zero. All row and panel counts give the same chains.
///
/// `prefetch`: read the panels ahead of their use. A tile of many rows on one
/// panel does so much per k that the processor's window holds only a few rows
/// of the panel, and its own prefetcher does not run far enough ahead of
/// memory. Tiles of few rows on several panels keep enough loads in flight and
/// are slower with it. It runs past the end of a panel, mostly into the next
/// one.
TileSums emitTile(KernelBuilder &b, ArrayRef<Slice> rows,
                  ArrayRef<Slice> panels, Value depth, bool prefetch);

/// How many rows and panels tiles have.
struct TilePlan {
  /// Heights of tiles on one panel, descending, the last one 1.
  SmallVector<int64_t> rowTiles;
  /// Up to this many rows at all, one tile takes them and `panelsAtOnce(rows)`
  /// panels: several streams of weights at once, each read exactly once.
  int64_t fewRows;
  /// Accumulators a tile may hold; a panel of one row takes two for each of
  /// `streams` weights that are read side by side.
  int64_t accumulators;
  int64_t streams;

  int64_t maxRows() const { return rowTiles.front(); }
  /// 1, 2 or 4 panels, together at most four streams.
  int64_t panelsAtOnce(int64_t rows) const;
};

/// `streams` is 1, or 2 for gate and up read side by side.
TilePlan getTilePlan(const CPUTargetInfo &target, int64_t streams);

/// Covers panels [panelLo, panelHi) x rows [rowLo, rowHi) with tiles. Panels
/// are the outer loop, so that a panel is read from memory once and from the
/// cache for all further rows. `fewTile(panels, row, rows)` and `tile(panel,
/// row, rows)` emit one tile: the former for all of at most plan.fewRows rows
/// and one or more panels, the latter for one of many tiles.
void walkPanels(
    KernelBuilder &b, const TilePlan &plan, Value panelLo, Value panelHi,
    Value rowLo, Value rowHi,
    llvm::function_ref<void(ArrayRef<Value> panels, Value row, int64_t rows)>
        fewTile,
    llvm::function_ref<void(Value panel, Value row, int64_t rows)> tile);

/// Which of the tiles that read one panel a tile is: `pass` of `passes`.
struct TilePass {
  Value pass, passes;
};

/// Covers rows [rowLo, rowHi) with as few tiles of at most `maxRows` rows as
/// possible, of heights that differ by at most one: a few rows left over would
/// cost nearly what a whole tile does. There are at least `leastRows` rows, one
/// more than a number of tallest tiles has; lower tiles than come of that are
/// not emitted.
void forEvenTiles(
    KernelBuilder &b, int64_t maxRows, int64_t leastRows, Value rowLo,
    Value rowHi,
    llvm::function_ref<void(Value row, int64_t rows, const TilePass &pass)>
        tile);

/// The same, for any number of rows, for each of the panels [panelLo, panelHi).
void walkEvenTiles(KernelBuilder &b, int64_t maxRows, Value panelLo,
                   Value panelHi, Value rowLo, Value rowHi,
                   llvm::function_ref<void(Value panel, Value row, int64_t rows,
                                           const TilePass &pass)>
                       tile);

/// Divides `outer` x `panels` equal units: body(o, lo, hi) for each `o` of
/// which this part has the panels [lo, hi).
void shareGrid(KernelBuilder &b, Value outer, Value panels, Value part,
               Value parts,
               llvm::function_ref<void(Value outer, Value lo, Value hi)> body);

/// A product that is split over panels and, where there are more threads than
/// panels can feed, over blocks of rows: body(rowLo, rowHi, panelLo, panelHi).
/// `tileRows` is the height of the tallest tile.
void shareProduct(KernelBuilder &b, int64_t tileRows, Value rows, Value panels,
                  Value part, Value parts,
                  llvm::function_ref<void(Value rowLo, Value rowHi,
                                          Value panelLo, Value panelHi)>
                      body);

/// Stores the two halves of a panel's columns for one row, or what of them lies
/// below `width`: out(row slice)[panel * NR ...]. `map` is applied to each half
/// and gets the column it starts at and the count to load with (see
/// KernelBuilder::load), for epilogues that read a third operand. `largest`,
/// if there are any, are rows of one element for each panel, the largest of
/// what was stored, or NaN if any of that is not finite.
void storePanel(KernelBuilder &b, Value panel, Value width,
                ArrayRef<Slice> outRows,
                llvm::function_ref<Value(int64_t row, int64_t half,
                                         Value column, Value count)>
                    value,
                ArrayRef<Slice> largest = {});

} // namespace mlir::dsv2::cpu

#endif // DSV2_LIB_CODEGEN_CPU_MATMULTILE_H
