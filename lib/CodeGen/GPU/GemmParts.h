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
  /// A map or an address each, of A and of W, and a map of W's scales if it is
  /// in blocks.
  Value matrixA, weight, scales;
  Value output, residual, rowsOrOffsets;
  /// Elements from a row, and from a head, to the next: of the output, and of A
  /// where it is an address.
  Value outputStride, outputHeadStride, strideA, headStrideA;
};
/// Types of the arguments; `matrixA`, `weight` and `scales`, if it is there,
/// are those of the first.
SmallVector<Type> getGemmArgumentTypes(MLIRContext *context,
                                       const GemmShape &shape, Type matrixA,
                                       Type weight, Type scales = {});
GemmArguments getGemmArguments(TileBuilder &b, const GemmShape &shape);

/// gate / (1 + exp(-gate)) * up.
Value emitGate(TileBuilder &b, Value gate, Value up);

/// Emits what becomes of `sums`, the first `rows` of whose rows are those from
/// row `row` of `tile` on.
void emitGemmEpilogue(TileBuilder &b, const GemmShape &shape,
                      const GemmArguments &arguments, const GemmTile &tile,
                      Value sums, Value row);

//===----------------------------------------------------------------------===//
// Weights in blocks (GemmBlocks.cpp)
//===----------------------------------------------------------------------===//

/// Bytes of a row's scales that are copied at once: those of four groups.
inline constexpr int64_t kScaleBytes = 16;

GemmConfig chooseBlockGemmConfig(StringRef chip, int64_t multiprocessors,
                                 const GemmShape &shape, int64_t rows);

/// What an instance of a role multiplies with in step number `step`: its rows
/// of a stage's data and scales as a left operand, of gate (`part` 0) and up
/// those of one of them.
Value unpackGemmBlocks(TileBuilder &b, const GemmShape &shape, Value data,
                       Value scales, Value firstRow, int64_t rows,
                       int64_t warps, Value step, int64_t part);

/// Emits what becomes of `sums`, one for each operand, transposed: their rows
/// are outputs, of which the instance's first is number `output` of the tile's,
/// their columns the tile's rows.
void emitBlockGemmEpilogue(TileBuilder &b, const GemmShape &shape,
                           const GemmArguments &arguments, const GemmTile &tile,
                           ValueRange sums, Value output);

tile::KernelOp createBlockGemmSm90(ModuleOp module, StringRef name,
                                   const GemmShape &shape,
                                   const GemmConfig &config);
tile::KernelOp createBlockGemmSm80(ModuleOp module, StringRef name,
                                   const GemmShape &shape,
                                   const GemmConfig &config);

//===----------------------------------------------------------------------===//
// Weights of bf16
//===----------------------------------------------------------------------===//

tile::KernelOp createGemmSm90(ModuleOp module, StringRef name,
                              const GemmShape &shape, const GemmConfig &config);
tile::KernelOp createGemmSm80(ModuleOp module, StringRef name,
                              const GemmShape &shape, const GemmConfig &config);

} // namespace mlir::dsv2::gpu

#endif // DSV2_LIB_CODEGEN_GPU_GEMMPARTS_H
