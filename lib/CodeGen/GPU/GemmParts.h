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
  /// The expert or head, whose matrix of the weight is multiplied with; 0
  /// without.
  Value matrix;
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

/// Arguments of a kernel, as createGemm* order them (GemmKernels.h).
struct GemmArguments {
  /// A map or an address each, of A and of W.
  Value matrixA, weight;
  Value output, residual, rowsOrOffsets;
  /// Elements from a row, and from a head, to the next: of the output, and of A
  /// where it is an address.
  Value outputStride, outputHeadStride, strideA, headStrideA;
};
/// Types of the arguments; `matrixA` and `weight` are those of the first two.
SmallVector<Type> getGemmArgumentTypes(MLIRContext *context,
                                       const GemmShape &shape, Type matrixA,
                                       Type weight);
GemmArguments getGemmArguments(TileBuilder &b, const GemmShape &shape);

/// Emits what becomes of `sums`, the first `rows` of whose rows are those from
/// row `row` of `tile` on.
void emitGemmEpilogue(TileBuilder &b, const GemmShape &shape,
                      const GemmArguments &arguments, const GemmTile &tile,
                      Value sums, Value row);

tile::KernelOp createGemmSm90(ModuleOp module, StringRef name,
                              const GemmShape &shape, const GemmConfig &config);
tile::KernelOp createGemmSm80(ModuleOp module, StringRef name,
                              const GemmShape &shape, const GemmConfig &config);

} // namespace mlir::dsv2::gpu

#endif // DSV2_LIB_CODEGEN_GPU_GEMMPARTS_H
