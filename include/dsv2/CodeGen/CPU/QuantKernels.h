//===- QuantKernels.h - Quantisation of rows --------------------*- C++ -*-===//
//
// Part of dsv2, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// Products with quantised weights take quantised activations, so that a dot
// product is one of bytes. See BlockFormat.h for what lies where.
//
//===----------------------------------------------------------------------===//

#ifndef DSV2_CODEGEN_CPU_QUANTKERNELS_H
#define DSV2_CODEGEN_CPU_QUANTKERNELS_H

#include "dsv2/Support/TargetInfo.h"
#include "mlir/Dialect/Func/IR/FuncOps.h"
#include "mlir/IR/BuiltinOps.h"
#include "mlir/IR/BuiltinTypes.h"

namespace mlir::dsv2::cpu {

/// Type of quantised rows, [T, blocks * QuantizedActivation::kBlockBytes]:
///   memref<?x?xi8, strided<[?, 1], offset: ?>>
/// or with rank 3 those of heads, [T, H, bytes].
MemRefType getQuantizedActivationType(MLIRContext *context, int64_t rank = 2);

/// q[T] = x[T, K], in blocks of 32 along K with scale max|x| / 127, rounded to
/// nearest even. A block with a value that is not finite has such a scale.
///   (x: act, q: quantised activation), both of rank `rank`, 2 or 3
/// Works row by row.
func::FuncOp getOrCreateQuantizeRowsKernel(ModuleOp module,
                                           const CPUTargetInfo &target,
                                           int64_t rank = 2);

} // namespace mlir::dsv2::cpu

#endif // DSV2_CODEGEN_CPU_QUANTKERNELS_H
