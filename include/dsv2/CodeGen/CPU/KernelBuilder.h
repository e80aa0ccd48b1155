//===- KernelBuilder.h - Write kernels that read like kernels ---*- C++ -*-===//
//
// Part of dsv2, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// A thin layer over OpBuilder for kernels in the scf, vector, memref and arith
// dialects. It adds no abstraction of its own: each method emits the one or two
// ops its name says, folded where possible.
//
// Conventions every CPU kernel keeps:
//  - A kernel is a private `func.func` on memrefs. Its last two arguments are
//    `part` and `parts` (index): the call computes share `part` of `parts`.
//    Shares split the outputs, never a reduction, so that results are bitwise
//    independent of the number of threads.
//  - Activations are `memref<?x...x?xf32, strided<[?, ..., 1], offset: ?>>`.
//    Sizes are read with memref.dim: one function serves all shapes.
//  - No allocation except fixed-size scratch on the stack, outside of loops.
//  - Floating point is strict; a multiply-add is fused only by fma().
//
//===----------------------------------------------------------------------===//

#ifndef DSV2_CODEGEN_CPU_KERNELBUILDER_H
#define DSV2_CODEGEN_CPU_KERNELBUILDER_H

#include "dsv2/Support/TargetInfo.h"
#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/Func/IR/FuncOps.h"
#include "mlir/IR/BuiltinOps.h"
#include "mlir/IR/BuiltinTypes.h"
#include "mlir/IR/ImplicitLocOpBuilder.h"
#include "llvm/ADT/STLFunctionalExtras.h"

#include <utility>

namespace mlir::dsv2::cpu {

/// Builds the body of one kernel for one processor.
class KernelBuilder : public ImplicitLocOpBuilder {
public:
  KernelBuilder(Location loc, OpBuilder builder, const CPUTargetInfo &target)
      : ImplicitLocOpBuilder(loc, builder), target(target) {}

  const CPUTargetInfo &getTarget() const { return target; }
  /// f32 values per vector.
  int64_t lanes() const { return target.lanes(); }
  /// vector<lanes x element>.
  VectorType vecType(Type element) const {
    return VectorType::get({lanes()}, element);
  }
  VectorType f32VecType() { return vecType(getF32Type()); }

  //===--------------------------------------------------------------------===//
  // Constants
  //===--------------------------------------------------------------------===//

  Value index(int64_t value);
  Value i32(int32_t value);
  Value i64(int64_t value);
  Value f32(float value);
  Value boolean(bool value);
  /// A vector of `lanes` times the constant, or of `lanes` times a scalar.
  Value splat(float value);
  Value splatI32(int32_t value);
  Value broadcast(Value scalar);

  //===--------------------------------------------------------------------===//
  // Integer and index arithmetic; operands of one type, values not negative
  //===--------------------------------------------------------------------===//

  Value add(Value a, Value b);
  Value add(Value a, int64_t b) { return add(a, index(b)); }
  Value sub(Value a, Value b);
  Value sub(Value a, int64_t b) { return sub(a, index(b)); }
  Value mul(Value a, Value b);
  Value mul(Value a, int64_t b) { return mul(a, index(b)); }
  Value min(Value a, Value b);
  Value min(Value a, int64_t b) { return min(a, index(b)); }
  Value max(Value a, Value b);
  Value max(Value a, int64_t b) { return max(a, index(b)); }
  /// Quotient rounded down, quotient rounded up, and remainder.
  Value div(Value a, Value b);
  Value div(Value a, int64_t b) { return div(a, index(b)); }
  Value ceilDiv(Value a, Value b);
  Value ceilDiv(Value a, int64_t b) { return ceilDiv(a, index(b)); }
  Value rem(Value a, Value b);
  Value rem(Value a, int64_t b) { return rem(a, index(b)); }
  /// The largest multiple of `b` that is not above `a`.
  Value roundDown(Value a, int64_t b) { return mul(div(a, b), b); }
  /// Signed comparison, for example cmp(arith::CmpIPredicate::slt, a, b).
  Value cmp(arith::CmpIPredicate predicate, Value a, Value b);
  Value lt(Value a, Value b) { return cmp(arith::CmpIPredicate::slt, a, b); }
  Value le(Value a, Value b) { return cmp(arith::CmpIPredicate::sle, a, b); }
  Value gt(Value a, Value b) { return cmp(arith::CmpIPredicate::sgt, a, b); }
  Value ge(Value a, Value b) { return cmp(arith::CmpIPredicate::sge, a, b); }
  Value eq(Value a, Value b) { return cmp(arith::CmpIPredicate::eq, a, b); }
  Value ne(Value a, Value b) { return cmp(arith::CmpIPredicate::ne, a, b); }
  Value logicalAnd(Value a, Value b);
  Value logicalOr(Value a, Value b);
  /// `condition ? a : b`, both evaluated; scalars or vectors.
  Value select(Value condition, Value a, Value b);
  /// Integer of any width to index (sign-extended), and back.
  Value toIndex(Value value);
  Value fromIndex(Value value, Type type);

  //===--------------------------------------------------------------------===//
  // Floating point, scalar or vector
  //===--------------------------------------------------------------------===//

  Value fadd(Value a, Value b);
  Value fsub(Value a, Value b);
  Value fmul(Value a, Value b);
  Value fdiv(Value a, Value b);
  Value fneg(Value a);
  /// Larger and smaller of both; NaN if either is NaN.
  Value fmax(Value a, Value b);
  Value fmin(Value a, Value b);
  /// a * b + c with one rounding where the processor has FMA, and with two
  /// where it has not (emulating it would be a library call per lane).
  Value fma(Value a, Value b, Value c);
  Value fcmp(arith::CmpFPredicate predicate, Value a, Value b);
  /// Sum, or largest, of the lanes of a vector. The order of the additions is
  /// fixed: halves are folded onto each other until one lane is left.
  Value reduceAdd(Value vector);
  Value reduceMax(Value vector);

  //===--------------------------------------------------------------------===//
  // Control flow; bodies are callables that emit at the insertion point
  //===--------------------------------------------------------------------===//

  /// for (iv = lo; iv < hi; iv += step) body(iv)
  void forEach(Value lo, Value hi, Value step,
               llvm::function_ref<void(Value iv)> body);
  void forEach(Value lo, Value hi, llvm::function_ref<void(Value iv)> body) {
    forEach(lo, hi, index(1), body);
  }
  /// The same with loop-carried values: `body` gets the current ones and
  /// returns the next ones; the result is their final state.
  SmallVector<Value> forCarry(
      Value lo, Value hi, Value step, ValueRange init,
      llvm::function_ref<SmallVector<Value>(Value iv, ValueRange state)> body);
  /// Walks [0, n) in vectors of `lanes`: body(i, {}) for whole ones, then at
  /// most once body(i, count) with 0 < count < lanes for the tail. The second
  /// argument is what load() and store() take.
  void forVectors(Value n, llvm::function_ref<void(Value i, Value count)> body);
  /// forVectors with loop-carried values.
  SmallVector<Value>
  forVectorsCarry(Value n, ValueRange init,
                  llvm::function_ref<SmallVector<Value>(Value i, Value count,
                                                        ValueRange state)>
                      body);
  void ifThen(Value condition, llvm::function_ref<void()> thenBody,
              llvm::function_ref<void()> elseBody = nullptr);
  /// `condition ? thenBody() : elseBody()`, only one of them evaluated.
  SmallVector<Value> ifYield(Value condition,
                             llvm::function_ref<SmallVector<Value>()> thenBody,
                             llvm::function_ref<SmallVector<Value>()> elseBody);

  //===--------------------------------------------------------------------===//
  // Memory
  //===--------------------------------------------------------------------===//

  /// Size of dimension `d` of a memref.
  Value dim(Value memref, int64_t d);
  /// One element, of the memref's element type.
  Value loadScalar(Value memref, ValueRange indices);
  void storeScalar(Value value, Value memref, ValueRange indices);
  /// One element as f32, widened from or narrowed to the memref's element type
  /// like load() and store().
  Value loadF32(Value memref, ValueRange indices);
  void storeF32(Value value, Value memref, ValueRange indices);
  /// `lanes` elements starting at `indices`, along the last (contiguous)
  /// dimension, as f32: bf16 and f16 elements are widened. With `count` only
  /// the first `count` lanes are read, the others are 0; `count` may be 0 or
  /// above `lanes`, and is clamped.
  Value load(Value memref, ValueRange indices, Value count = {});
  /// Stores an f32 vector, narrowed to the memref's element type (f32 or
  /// bf16). With `count` only the first `count` lanes are written.
  void store(Value vector, Value memref, ValueRange indices, Value count = {});
  /// vector<lanes x element>, neither widened nor narrowed.
  Value loadRaw(Value memref, ValueRange indices, Value count = {});
  void storeRaw(Value vector, Value memref, ValueRange indices,
                Value count = {});
  /// vector<lanes x i1>, true in the first `count` lanes (clamped).
  Value tailMask(Value count);
  /// Exact conversion of a bf16 or f16 vector (of any length) to f32.
  Value widen(Value vector);
  /// f32 vector to bf16: to nearest, ties to even; NaN stays NaN, made quiet;
  /// subnormal values are kept, unlike with the processor's own instruction.
  Value narrowToBF16(Value vector);
  /// Uninitialised stack memory of fixed size, allocated at function entry and
  /// aligned to a cache line.
  Value scratch(ArrayRef<int64_t> shape, Type element);

  //===--------------------------------------------------------------------===//
  // Work sharing
  //===--------------------------------------------------------------------===//

  /// The half-open range [total * part / parts, total * (part + 1) / parts).
  /// The ranges of all parts are disjoint, cover [0, total), and differ in size
  /// by at most one.
  std::pair<Value, Value> share(Value total, Value part, Value parts);

private:
  const CPUTargetInfo &target;
};

/// memref of `rank` dynamic sizes whose last dimension is contiguous; all other
/// strides and the offset are dynamic. `rank` 2 and f32: an activation.
MemRefType getStridedType(Type element, int64_t rank);
/// memref<?x?xf32, strided<[?, 1], offset: ?>>, or of another rank.
MemRefType getActivationType(MLIRContext *context, int64_t rank = 2);
/// memref<?xi32, strided<[1], offset: ?>>: offsets, row numbers, token ids.
MemRefType getIndexListType(MLIRContext *context);

/// On a kernel whose work is cut into more shares than there are threads: how
/// many for each thread. A thread that is done takes the next share, so that
/// one that was held up, or reads memory more slowly, does less. Without it
/// every thread computes one share.
inline constexpr llvm::StringLiteral kSharesAttr = "dsv2.shares";

/// On a kernel that works row by row. Its first output, or first input if it
/// has no output, has n rows; KernelBuilder::share() divides them over `parts`,
/// and for row r of every output the kernel reads no other row of what has n
/// rows, too.
inline constexpr llvm::StringLiteral kRowsAttr = "dsv2.rows";

/// Returns the function `name` of `module`, or adds it: a private function of
/// the given arguments followed by `part` and `parts`, whose body `emit` fills
/// (without a terminator). The name has to determine the body.
func::FuncOp
getOrCreateKernel(ModuleOp module, StringRef name, const CPUTargetInfo &target,
                  TypeRange argTypes,
                  llvm::function_ref<void(KernelBuilder &b, ValueRange args,
                                          Value part, Value parts)>
                      emit);

/// The same for a kernel with kRowsAttr.
func::FuncOp
getOrCreateRowKernel(ModuleOp module, StringRef name,
                     const CPUTargetInfo &target, TypeRange argTypes,
                     llvm::function_ref<void(KernelBuilder &b, ValueRange args,
                                             Value part, Value parts)>
                         emit);

/// "f32", "bf16" or "f16": how kernel names spell an element type.
StringRef elementName(Type element);

} // namespace mlir::dsv2::cpu

#endif // DSV2_CODEGEN_CPU_KERNELBUILDER_H
