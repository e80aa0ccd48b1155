//===- QuantTile.h - Register tiles of integer products ---------*- C++ -*-===//
//
// Part of dsv2, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef DSV2_LIB_CODEGEN_CPU_QUANTTILE_H
#define DSV2_LIB_CODEGEN_CPU_QUANTTILE_H

#include "ByteDot.h"
#include "MatmulTile.h"

namespace mlir::dsv2::cpu {

/// Weights in blocks, of one panel, as tiles read them.
struct BlockWeights {
  /// Loads of one half of a block's columns, and the groups that each gives.
  int64_t numLoads, groupsAtOnce;
  /// The groups of load `load` for one half of the columns of block `k`.
  std::function<SmallVector<ByteDot::Weight>(Value k, Value load, Value half)>
      groups;
  /// The scales of that half, as f32.
  std::function<Value(Value k, Value half)> scales;
};

/// Emits `sums`, [half][row], with the products of block `k` of the weights and
/// block `rowBlock` of the rows.
SmallVector<Value> addBlockProducts(KernelBuilder &b, const ByteDot &dot,
                                    ArrayRef<Slice> rows, Value rowBlock,
                                    const BlockWeights &weights, Value k,
                                    ValueRange sums);

/// Emits the sums of a tile of quantised rows and quantised panels, over
/// `blocks` blocks in ascending order:
///
///   sum += float(dot(x, w)) * (scale of w * scale of x)
///
/// with an exact integer dot product per block and one rounding each for the
/// product of the scales and the multiply-add. The order is the same for every
/// tile, so a row's result does not depend on the tile it falls into.
///
/// `rows` are slices of getQuantizedActivationType(), `panel` of panels in
/// `format`, which has blocks.
///
/// The only tile of a panel reads it ahead of its use. Where several do, all
/// but the first find it in the cache; together they fetch the panel that comes
/// `panelStride` panels later, so that memory is read while they compute. With
/// an empty `pass` nothing is read ahead.
TileSums emitQuantTile(KernelBuilder &b, ArrayRef<Slice> rows,
                       const Slice &panel, Value blocks, PanelFormat format,
                       const TilePass &pass, int64_t panelStride);

/// Quantises the block of `row`, of `columns` elements, that begins at `first`:
/// writes the bytes, the scale and the correction of QuantizedActivation to
/// block `k` of `to`.
void emitQuantizedBlock(KernelBuilder &b, const Slice &row, Value first,
                        const Slice &to, Value k, Value columns);

/// 1 / scale, or 0 for a block of zeros.
Value emitInverse(KernelBuilder &b, Value scale);

/// The scalar `value` rounded to bf16, as f32, and the bits of that as i16.
std::pair<Value, Value> roundToBF16(KernelBuilder &b, Value value);

/// Where the rows of one panel come from: row n is slice[first + n, 0 ..
/// depth-1], or slice[0 .. depth-1, first + n] where the source holds the
/// transpose. Rows from `width` on are padding.
struct PanelSource {
  Slice slice;
  Value first, width, depth;
  bool transposed = false;
};

/// Packs one panel in the format Q8 or Q4.
void packQ8Panel(KernelBuilder &b, const PanelSource &src, const Slice &dst);
void packQ4Panel(KernelBuilder &b, const PanelSource &src, const Slice &dst);

/// Packs row `src.first` as the row of bytes that GPUs read, in a format that
/// has blocks.
void packBlockRow(KernelBuilder &b, PanelFormat format, const PanelSource &src,
                  const Slice &dst);

/// Rows of the tallest such tile. In registers a row takes two integer sums and
/// two float ones.
int64_t getQuantTileRows(const CPUTargetInfo &target);

} // namespace mlir::dsv2::cpu

#endif // DSV2_LIB_CODEGEN_CPU_QUANTTILE_H
