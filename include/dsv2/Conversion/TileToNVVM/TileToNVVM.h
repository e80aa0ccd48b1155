//===- TileToNVVM.h - Tile kernels to the NVVM dialect -------------------===//
//
// Part of dsv2, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef DSV2_CONVERSION_TILETONVVM_TILETONVVM_H
#define DSV2_CONVERSION_TILETONVVM_TILETONVVM_H

#include "mlir/Support/LLVM.h"
#include "llvm/ADT/StringRef.h"

namespace mlir {
class OpPassManager;
} // namespace mlir

namespace mlir::dsv2 {
namespace tile {
class KernelOp;
} // namespace tile

/// The external symbol of a block's dynamic shared memory: `[0 x i8]` in
/// address space 3, at a multiple of 1024.
inline constexpr llvm::StringLiteral kSharedMemory = "dsv2_smem";

/// Writes `kernel` as an `llvm.func` into the GPU module beside it, which is
/// made if there is none; the body is ops of `llvm`, `nvvm`, `arith` and `scf`.
/// The tile kernel stays. An error if the GPU module is for another chip or has
/// a symbol of the kernel's name.
LogicalResult lowerTileKernel(tile::KernelOp kernel);

/// Appends what makes kernels ready for translation to LLVM IR: the conversion
/// of every tile kernel of a module and, within the GPU module, of `scf`,
/// `arith` and `cf`.
void addTileToLLVMPasses(OpPassManager &pm);

/// Registers them as the pipeline `dsv2-tile-to-llvm`.
void registerTileToLLVMPipeline();

} // namespace mlir::dsv2

#endif // DSV2_CONVERSION_TILETONVVM_TILETONVVM_H
