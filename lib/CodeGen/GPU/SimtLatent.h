//===- SimtLatent.h - rows of the latent cache ------------------*- C++ -*-===//
//
// Part of dsv2, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef DSV2_LIB_CODEGEN_GPU_SIMTLATENT_H
#define DSV2_LIB_CODEGEN_GPU_SIMTLATENT_H

#include "dsv2/CodeGen/GPU/SimtKernels.h"

namespace mlir::dsv2::gpu {

/// The part of a kernel's name that says what the cache is.
std::string getCacheName(const LatentCacheConfig &config);

/// Address of the row of `position` in the cache, for a sequence whose block
/// table starts at `blocks`.
Value getCacheRow(SimtBuilder &b, const LatentCacheConfig &config, Value cache,
                  Value pageStride, Value blocks, Value position);

} // namespace mlir::dsv2::gpu

#endif // DSV2_LIB_CODEGEN_GPU_SIMTLATENT_H
