//===- SimtBlocks.h - weights in blocks, unpacked by a thread ---*- C++ -*-===//
//
// Part of dsv2, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// Rows are as BlockFormat.h says for GPUs.
//
//===----------------------------------------------------------------------===//

#ifndef DSV2_LIB_CODEGEN_GPU_SIMTBLOCKS_H
#define DSV2_LIB_CODEGEN_GPU_SIMTBLOCKS_H

#include "dsv2/CodeGen/GPU/BlockUnpack.h"
#include "dsv2/CodeGen/GPU/SimtBuilder.h"

namespace mlir::dsv2::gpu {

/// The 8 elements of block `block` of a group that are in a piece, four words,
/// as integers in four words of bf16.
SmallVector<Value> unpackBlock(SimtBuilder &b, PackFormat format,
                               ValueRange piece, int64_t block);

/// Element `k` of the row of `columns` elements at `row`, times its scale.
Value loadBlockElement(SimtBuilder &b, PackFormat format, Value row,
                       int64_t columns, Value k);

} // namespace mlir::dsv2::gpu

#endif // DSV2_LIB_CODEGEN_GPU_SIMTBLOCKS_H
