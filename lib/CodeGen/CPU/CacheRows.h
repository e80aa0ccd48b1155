//===- CacheRows.h - Rows of a quantised latent cache -----------*- C++ -*-===//
//
// Part of dsv2, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef DSV2_LIB_CODEGEN_CPU_CACHEROWS_H
#define DSV2_LIB_CODEGEN_CPU_CACHEROWS_H

#include "MatmulTile.h"
#include "dsv2/Support/CacheFormat.h"

namespace mlir::dsv2::cpu {

/// Writes `[latent | key]`, rows of f32, to the bytes of a row of the cache.
void emitEncodeRow(KernelBuilder &b, const CacheRow &row, const Slice &latent,
                   const Slice &key, const Slice &to);

/// Writes the elements `[latent | key]` of a row of the cache to `to`, f32,
/// which holds them exactly, or bf16 where there is hasBF16Dot().
void emitDecodeRow(KernelBuilder &b, const CacheRow &row, const Slice &from,
                   const Slice &to);

} // namespace mlir::dsv2::cpu

#endif // DSV2_LIB_CODEGEN_CPU_CACHEROWS_H
