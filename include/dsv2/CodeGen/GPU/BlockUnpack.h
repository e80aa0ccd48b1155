//===- BlockUnpack.h - weights in blocks, in registers ----------*- C++ -*-===//
//
// Part of dsv2, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// Elements and scales of the rows that BlockFormat.h describes for GPUs, as
// pairs of bfloat16 for tensor cores. A word is an i32.
//
//===----------------------------------------------------------------------===//

#ifndef DSV2_CODEGEN_GPU_BLOCKUNPACK_H
#define DSV2_CODEGEN_GPU_BLOCKUNPACK_H

#include "dsv2/CodeGen/GPU/DeviceBuilder.h"
#include "dsv2/Dialect/DSV2/IR/DSV2.h"

namespace mlir::dsv2::gpu {

/// Two neighbours of a row, in the lowest bits of each half of `word` as
/// `format` stores them, as two numbers of bf16 that their scale has yet to
/// multiply. Exact.
Value unpackElements(DeviceBuilder &b, PackFormat format, Value word);

/// Products of two pairs of bf16, each rounded.
Value multiplyPairs(DeviceBuilder &b, Value x, Value y);

/// The scales of a group's blocks, in f32 and in units of getScaleUnit; `word`
/// has all of them.
SmallVector<Value> unpackScales(DeviceBuilder &b, PackFormat format,
                                Value word);
/// A power of two.
double getScaleUnit(PackFormat format);

/// The same in bf16, each twice in a word, without a unit. Exact.
SmallVector<Value> unpackScalePairs(DeviceBuilder &b, PackFormat format,
                                    Value word);

} // namespace mlir::dsv2::gpu

#endif // DSV2_CODEGEN_GPU_BLOCKUNPACK_H
