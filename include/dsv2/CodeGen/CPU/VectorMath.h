//===- VectorMath.h - Vector building blocks of the CPU kernels -*- C++ -*-===//
//
// Part of dsv2, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// Elementary functions without libm, and the few vector idioms (widening loads,
// tree reductions, in-register transposes) that several kernels share. All of
// them have one fixed order of operations: no kernel may change its result with
// the number of threads or with the rest of the batch.
//
//===----------------------------------------------------------------------===//

#ifndef DSV2_CODEGEN_CPU_VECTORMATH_H
#define DSV2_CODEGEN_CPU_VECTORMATH_H

#include "mlir/IR/Builders.h"
#include "mlir/IR/Value.h"
#include "mlir/Support/LLVM.h"
#include "llvm/ADT/STLFunctionalExtras.h"
#include "llvm/ADT/SmallVector.h"

#include <cstdint>
#include <memory>
#include <utility>

namespace mlir {
class Pass;
class RewritePatternSet;

namespace dsv2::cpu {

//===----------------------------------------------------------------------===//
// Elementary functions
//===----------------------------------------------------------------------===//

/// Creates the pass `dsv2-expand-vector-math`. It replaces, anywhere below the
/// op it runs on, `math.exp` on f32 (scalar or vector of any rank) by
/// `emitExp`, and `math.rsqrt` on f32 or f64 by `1 / math.sqrt`. What remains
/// lowers to instructions: no call to libm is left behind by these two ops.
std::unique_ptr<Pass> createExpandVectorMathPass();

/// Registers `dsv2-expand-vector-math` with the global pass registry.
void registerExpandVectorMathPass();

/// Adds the rewrites of `dsv2-expand-vector-math` to `patterns`.
void populateExpandVectorMathPatterns(RewritePatternSet &patterns);

/// Returns e^x for an f32 scalar or vector, branch-free.
///
/// At most 2 ulp from the exact value over the whole range with a normal
/// result; results below 2^-126 are denormals with one more rounding; exp(-inf)
/// is +0, exp(+inf) and everything above 88.72284 is +inf, NaN gives NaN.
Value emitExp(OpBuilder &builder, Location loc, Value x);

/// Returns (sin a, cos a) in f64 for an f64 scalar or vector `angle` with
/// |angle| <= 2^20. Rounded to f32 both are within 1 ulp.
std::pair<Value, Value> emitSinCos(OpBuilder &builder, Location loc,
                                   Value angle);

//===----------------------------------------------------------------------===//
// Loads, stores and conversions
//===----------------------------------------------------------------------===//

/// Returns f32 `x` (bf16 or f32, scalar or vector) exactly.
Value emitWiden(OpBuilder &builder, Location loc, Value x);

/// Returns `x` (f32 scalar or vector) rounded to bf16: nearest, ties to even,
/// NaN stays a (quiet) NaN. Plain integer arithmetic, since the generic
/// truncation becomes a library call on targets without a bf16 unit.
Value emitRoundToBF16(OpBuilder &builder, Location loc, Value x);

/// Loads `count` adjacent elements (f32 or bf16) at `indices` of `memref` and
/// widens them to f32. With `count` < `lanes` the upper lanes are `fill`;
/// nothing beyond `count` elements is touched.
Value emitLoad(OpBuilder &builder, Location loc, Value memref,
               ValueRange indices, int64_t count, int64_t lanes,
               float fill = 0.0f);

/// Stores the first `count` lanes of the f32 vector `value`, rounded to the
/// element type of `memref` (f32 or bf16).
void emitStore(OpBuilder &builder, Location loc, Value value, Value memref,
               ValueRange indices, int64_t count);

//===----------------------------------------------------------------------===//
// Reductions and transposes
//===----------------------------------------------------------------------===//

/// Combines the lanes of a 1-D vector with a balanced tree: halves are combined
/// lane by lane until one lane is left. The lane count is a power of two.
Value emitTreeReduce(OpBuilder &builder, Location loc, Value vector,
                     llvm::function_ref<Value(Value, Value)> combine);

/// Sum of the lanes, by `emitTreeReduce`.
Value emitTreeSum(OpBuilder &builder, Location loc, Value vector);

/// Maximum of the lanes, by `emitTreeReduce`. NaN lanes may be ignored.
Value emitTreeMax(OpBuilder &builder, Location loc, Value vector);

/// Returns a > b ? a : b lane by lane, one instruction on every target. If one
/// side is NaN the result is `b`.
Value emitMax(OpBuilder &builder, Location loc, Value a, Value b);

/// Sums the lanes of up to `lanes` vectors at once: lane i of the result is the
/// sum over `vectors[i]`, formed by the same tree for every i, so a sum does
/// not depend on what the other vectors hold or how many there are. Lanes
/// beyond `vectors.size()` are unspecified.
Value emitTransposedSum(OpBuilder &builder, Location loc, ValueRange vectors);

/// Transposes the square formed by `rows` (as many vectors as each has lanes,
/// a power of two) in place.
void emitTranspose(OpBuilder &builder, Location loc,
                   SmallVectorImpl<Value> &rows);

} // namespace dsv2::cpu
} // namespace mlir

#endif // DSV2_CODEGEN_CPU_VECTORMATH_H
