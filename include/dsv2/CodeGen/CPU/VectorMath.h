//===- VectorMath.h - Vector building blocks of the CPU kernels -*- C++ -*-===//
//
// Part of dsv2, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// Elementary functions without libm, and the few vector idioms beyond
// KernelBuilder.h that several kernels share. All of them have one fixed order
// of operations.
//
//===----------------------------------------------------------------------===//

#ifndef DSV2_CODEGEN_CPU_VECTORMATH_H
#define DSV2_CODEGEN_CPU_VECTORMATH_H

#include "dsv2/CodeGen/CPU/KernelBuilder.h"
#include "mlir/IR/Value.h"
#include "llvm/ADT/SmallVector.h"

#include <cstdint>
#include <memory>
#include <utility>

namespace mlir {
class RewritePatternSet;

namespace dsv2::cpu {

//===----------------------------------------------------------------------===//
// Elementary functions
//===----------------------------------------------------------------------===//

/// Adds the expansions of `dsv2-expand-vector-math` to `patterns`.
void populateExpandVectorMathPatterns(RewritePatternSet &patterns, bool useFMA);

/// Returns e^x for an f32 scalar or vector, branch-free.
///
/// At most 2 ulp from the exact value over the whole range with a normal
/// result; results below 2^-126 are denormals with one more rounding; exp(-inf)
/// is +0, exp(+inf) and everything above 88.72284 is +inf, NaN gives NaN.
Value emitExp(ImplicitLocOpBuilder &b, Value x, bool useFMA);
/// The same, fused as the target of `b` allows.
Value emitExp(KernelBuilder &b, Value x);

/// Returns (sin a, cos a) in f64 for an f64 scalar or vector `angle` with
/// |angle| <= 2^20. Rounded to f32 both are within 1 ulp.
std::pair<Value, Value> emitSinCos(KernelBuilder &b, Value angle);

//===----------------------------------------------------------------------===//
// Runs of a static number of elements
//===----------------------------------------------------------------------===//

/// Loads `count` adjacent elements (f32 or bf16) at `indices` of `memref` as
/// f32. With `count` < `lanes` the upper lanes of the result are `fill`;
/// nothing beyond `count` elements is read, and no mask is needed since both
/// are static.
Value emitLoad(KernelBuilder &b, Value memref, ValueRange indices,
               int64_t count, int64_t lanes, float fill = 0.0f);

/// Stores the first `count` lanes of the f32 vector `value`, rounded to the
/// element type of `memref` (f32 or bf16).
void emitStore(KernelBuilder &b, Value value, Value memref, ValueRange indices,
               int64_t count);

/// The `count` lanes of `vector` that start at `first`.
Value emitSlice(KernelBuilder &b, Value vector, int64_t first, int64_t count);

//===----------------------------------------------------------------------===//
// Maxima, sums and transposes
//===----------------------------------------------------------------------===//

/// Returns a > b ? a : b lane by lane, one instruction on every target. If one
/// side is NaN the result is `b`.
Value emitMax(KernelBuilder &b, Value lhs, Value rhs);

/// Largest lane of a vector, by emitMax on halves.
Value emitReduceMax(KernelBuilder &b, Value vector);

/// Sums the lanes of up to as many vectors as each has lanes, a power of two:
/// lane i of the result is the sum over `vectors[i]`, formed by the same tree
/// for every i, so it does not depend on the other vectors or how many there
/// are. The last vector is repeated in lanes beyond `vectors.size()`.
Value emitTransposedSum(KernelBuilder &b, ValueRange vectors);

/// Transposes the square formed by `rows` (as many vectors as each has lanes,
/// a power of two) in place.
void emitTranspose(KernelBuilder &b, SmallVectorImpl<Value> &rows);

} // namespace dsv2::cpu
} // namespace mlir

#endif // DSV2_CODEGEN_CPU_VECTORMATH_H
