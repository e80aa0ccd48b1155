//===- GemmParts.h - What the products' kernels share -----------*- C++ -*-===//
//
// Part of dsv2, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef DSV2_LIB_CODEGEN_GPU_GEMMPARTS_H
#define DSV2_LIB_CODEGEN_GPU_GEMMPARTS_H

#include "dsv2/CodeGen/GPU/GemmKernels.h"
#include "dsv2/CodeGen/GPU/TileBuilder.h"

namespace mlir::dsv2::gpu {

/// A tile of the output that a block computes.
struct GemmTile {
  /// The expert; 0 without experts.
  Value expert;
  /// First row and column.
  Value row, column;
  /// How many rows from `row` on are the expert's; may exceed the tile.
  Value rows;
};

/// Emits the loops over the tiles of this block, with loop-carried values.
SmallVector<Value>
forEachGemmTile(TileBuilder &b, const GemmShape &shape,
                const GemmConfig &config, Value rowsOrOffsets, ValueRange init,
                llvm::function_ref<SmallVector<Value>(const GemmTile &tile,
                                                      ValueRange state)>
                    body);

/// Emits what becomes of `sums`, whose first element is at `row` and `column`
/// of the product, and of which `rows` rows count. `residual` may be null.
void emitGemmEpilogue(TileBuilder &b, const GemmShape &shape, Value sums,
                      Value output, Value residual, Value row, Value column,
                      Value rows);

tile::KernelOp createGemmSm90(ModuleOp module, StringRef name,
                              const GemmShape &shape, const GemmConfig &config);
tile::KernelOp createGemmSm80(ModuleOp module, StringRef name,
                              const GemmShape &shape, const GemmConfig &config);

} // namespace mlir::dsv2::gpu

#endif // DSV2_LIB_CODEGEN_GPU_GEMMPARTS_H
