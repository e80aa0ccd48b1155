//===- Builders.h - vocabulary of the reference lowering --------*- C++ -*-===//
//
// Part of dsv2, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// Small builders with which each lowering reads like the formula it implements.
// They share one notation, that of `einsum`: "tk,nk->tn" names the dimensions
// of each operand and of the result by letters. The loops are the result's
// letters in their order, then the others in order of first appearance; these
// are summed over, innermost last.
//
//===----------------------------------------------------------------------===//

#ifndef DSV2_LIB_CONVERSION_DSV2TOLINALG_BUILDERS_H
#define DSV2_LIB_CONVERSION_DSV2TOLINALG_BUILDERS_H

#include "dsv2/Dialect/DSV2/IR/DSV2.h"
#include "mlir/IR/Builders.h"
#include "mlir/IR/BuiltinOps.h"
#include "mlir/IR/BuiltinTypes.h"

namespace mlir::dsv2::reference {

using LocBuilder = ImplicitLocOpBuilder;

/// Computes one element from those of the inputs and, last, the present one of
/// the result.
using ElementFn = function_ref<Value(LocBuilder &, ValueRange)>;

/// Body of a loop: gets the induction variable and the carried values, returns
/// the carried values of the next iteration.
using LoopFn =
    function_ref<SmallVector<Value>(LocBuilder &, Value, ValueRange)>;

//===----------------------------------------------------------------------===//
// Scalars
//===----------------------------------------------------------------------===//

Value indexConstant(LocBuilder &b, int64_t value);
/// `value` rounded to f32.
Value floatConstant(LocBuilder &b, double value);
Value intConstant(LocBuilder &b, int32_t value);

/// Converts between float types, through f32 if neither contains the other.
Value convertFloat(LocBuilder &b, Value scalar, Type type);
/// `scalar` as f32; exact, since no operand type is wider.
Value widen(LocBuilder &b, Value scalar);

/// `tensor[indices]` of a tensor of i32, as an index.
Value loadIndex(LocBuilder &b, Value tensor, ValueRange indices);
/// An index as i32.
Value toI32(LocBuilder &b, Value index);
/// A loop counter of the surrounding `linalg.generic` as i32.
Value loopCounter(LocBuilder &b, int64_t loop);

//===----------------------------------------------------------------------===//
// Tensors
//===----------------------------------------------------------------------===//

Type elementTypeOf(Value tensor);
/// Size of a dimension, an attribute where the type knows it.
OpFoldResult sizeOf(LocBuilder &b, Value tensor, int64_t dim);
/// The same as a value.
Value dimOf(LocBuilder &b, Value tensor, int64_t dim);

/// A tensor without contents.
Value emptyTensor(LocBuilder &b, ArrayRef<OpFoldResult> sizes,
                  Type elementType);
/// A tensor with `scalar` in each place.
Value filledTensor(LocBuilder &b, ArrayRef<OpFoldResult> sizes, Value scalar);

/// One element of `init` after another is replaced by what `body` returns.
Value generic(LocBuilder &b, StringRef spec, ValueRange inputs, Value init,
              ElementFn body);
/// As `generic`, for a result that does not depend on earlier contents and
/// whose sizes follow from the inputs.
Value elementwise(LocBuilder &b, StringRef spec, ValueRange inputs,
                  Type elementType, ElementFn body);
/// Folds the inputs into `initial` with `body`; sizes follow from the inputs.
Value reduce(LocBuilder &b, StringRef spec, ValueRange inputs, Value initial,
             ElementFn body);
/// Sum of products in f32, added to `init` if there is one.
Value contract(LocBuilder &b, StringRef spec, Value lhs, Value rhs,
               Value init = {});

/// Elements converted to another float type.
Value convertElements(LocBuilder &b, Value tensor, Type elementType);
/// The value an op is replaced by: converted once, at the very end.
Value finish(LocBuilder &b, Value tensor, Type resultType);

/// `tensor[index]`: the leading dimension is dropped.
Value takeAt(LocBuilder &b, Value tensor, OpFoldResult index);
/// `size` elements from `offset` on of one dimension, `stride` apart.
Value takeRange(LocBuilder &b, Value tensor, int64_t dim, OpFoldResult offset,
                OpFoldResult size, int64_t stride = 1);
/// `tensor` with `slice` where `takeAt` would find it.
Value putAt(LocBuilder &b, Value slice, Value tensor, OpFoldResult index);
/// `tensor` with `slice` where `takeRange` would find it.
Value putRange(LocBuilder &b, Value slice, Value tensor, int64_t dim,
               OpFoldResult offset, int64_t stride = 1);

/// Rows of a matrix by number, in f32: `result[r, :] = matrix[rows[r], :]`.
Value gatherRows(LocBuilder &b, Value matrix, Value rows);

//===----------------------------------------------------------------------===//
// Loops and shared parts
//===----------------------------------------------------------------------===//

/// A loop from `lower` to below `upper`.
SmallVector<Value> loop(LocBuilder &b, Value lower, Value upper,
                        ValueRange inits, LoopFn body);

/// Softmax over the last dimension of a matrix, with the largest element
/// subtracted first.
Value softmax(LocBuilder &b, Value matrix);

/// `down(silu(gate(x)) * up(x))` in f32. Without `up`, `gate` holds both
/// matrices behind a leading dimension of size 2.
Value gatedFFN(LocBuilder &b, Value x, Value gate, Value up, Value down);

/// Page and row of a position of a sequence, in this order.
std::pair<Value, Value> cacheRow(LocBuilder &b, Value cache, Value blockTables,
                                 Value sequence, Value position);
/// The first `length` cache rows of a sequence, in f32. `cache` is memory of
/// type `type`.
Value gatherCacheRows(LocBuilder &b, LatentCacheType type, Value cache,
                      Value layer, Value sequence, Value length,
                      Value blockTables);

} // namespace mlir::dsv2::reference

#endif // DSV2_LIB_CONVERSION_DSV2TOLINALG_BUILDERS_H
