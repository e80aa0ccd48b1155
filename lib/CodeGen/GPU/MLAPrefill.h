//===- MLAPrefill.h - What expanded attention's kernels share ---*- C++ -*-===//
//
// Part of dsv2, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef DSV2_LIB_CODEGEN_GPU_MLAPREFILL_H
#define DSV2_LIB_CODEGEN_GPU_MLAPREFILL_H

#include "MLAParts.h"
#include "dsv2/CodeGen/GPU/MLAPrefillKernels.h"

namespace mlir::dsv2::gpu {

/// Positions that a block copies at a time.
int64_t getPrefillKeys(const MLAPrefillShape &shape, StringRef chip);

/// The queries of a block. Without any, `rows` is not positive and there are no
/// positions.
struct PrefillTile {
  /// First query, and how many there are up to the sequence's end.
  Value query, rows;
  /// First row of the sequence's keys, and the position of the first query.
  Value keyRow, position;
  /// Positions that the last query of the tile attends to.
  Value length;
};

/// Emits the search for the tile of this block.
PrefillTile findPrefillTile(TileBuilder &b, Value seqStarts, Value rowStarts,
                            Value sequences);

tile::KernelOp createMLAPrefillSm90(ModuleOp module, StringRef name,
                                    const MLAPrefillShape &shape);
tile::KernelOp createMLAPrefillSm80(ModuleOp module, StringRef name,
                                    const MLAPrefillShape &shape);

} // namespace mlir::dsv2::gpu

#endif // DSV2_LIB_CODEGEN_GPU_MLAPREFILL_H
