//===- QuantTile.h - Register tiles of integer products ---------*- C++ -*-===//
//
// Part of dsv2, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef DSV2_LIB_CODEGEN_CPU_QUANTTILE_H
#define DSV2_LIB_CODEGEN_CPU_QUANTTILE_H

#include "MatmulTile.h"

namespace mlir::dsv2::cpu {

/// Emits the sums of a tile of quantised rows and quantised panels, over
/// `blocks` blocks in ascending order:
///
///   sum += float(dot(x, w)) * (scale of w * scale of x)
///
/// with an exact integer dot product per block and one rounding each for the
/// product of the scales and the multiply-add. The order is the same for every
/// tile, so a row's result does not depend on the tile it falls into.
///
/// `rows` are slices of getQuantizedActivationType(), `panels` of panels in
/// `format`, which has blocks.
TileSums emitQuantTile(KernelBuilder &b, ArrayRef<Slice> rows,
                       ArrayRef<Slice> panels, Value blocks,
                       PanelFormat format);

/// Packs one panel in the format Q8 or Q4 from contiguous rows of the source:
/// row n of the panel is src[prefix..., first + n, 0 .. depth-1].
void packQ8Rows(KernelBuilder &b, const Slice &src, const Slice &dst,
                Value first, Value width, Value depth);
void packQ4Rows(KernelBuilder &b, const Slice &src, const Slice &dst,
                Value first, Value width, Value depth);

/// How many rows and panels such tiles have: a sum takes two registers, an
/// integer and a float one.
TilePlan getQuantTilePlan(const CPUTargetInfo &target, int64_t streams);

} // namespace mlir::dsv2::cpu

#endif // DSV2_LIB_CODEGEN_CPU_QUANTTILE_H
