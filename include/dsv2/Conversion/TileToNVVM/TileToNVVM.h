//===- TileToNVVM.h - Tile kernels to the NVVM dialect -------------------===//
//
// Part of dsv2, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef DSV2_CONVERSION_TILETONVVM_TILETONVVM_H
#define DSV2_CONVERSION_TILETONVVM_TILETONVVM_H

#include "mlir/Support/LLVM.h"

namespace mlir::dsv2 {
namespace tile {
class KernelOp;
} // namespace tile

/// Writes `kernel` as an `llvm.func` into the GPU module beside it, which is
/// made if there is none (kDeviceModule); the body is ops of `llvm`, `nvvm`,
/// `arith` and `scf`, ready for buildLowerDeviceToLLVMPipeline. Discardable
/// attributes are copied. The tile kernel stays. An error if the GPU module has
/// targets but not the kernel's chip, or a symbol of the kernel's name.
LogicalResult lowerTileKernel(tile::KernelOp kernel);

} // namespace mlir::dsv2

#endif // DSV2_CONVERSION_TILETONVVM_TILETONVVM_H
