//===- VerifyUtils.h - shape checks shared by the verifiers -----*- C++ -*-===//
//
// Part of dsv2, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef DSV2_LIB_DIALECT_DSV2_IR_VERIFYUTILS_H
#define DSV2_LIB_DIALECT_DSV2_IR_VERIFYUTILS_H

#include "dsv2/Dialect/DSV2/IR/DSV2.h"

namespace mlir::dsv2 {

/// Extent `index` of a ranked value; counts from the end if negative.
inline int64_t getExtent(Value value, int64_t index) {
  auto type = cast<ShapedType>(value.getType());
  return type.getDimSize(index < 0 ? type.getRank() + index : index);
}

/// Whether two extents may be equal: a dynamic one may be anything.
inline bool mayBeEqual(int64_t a, int64_t b) {
  return a == b || ShapedType::isDynamic(a) || ShapedType::isDynamic(b);
}

/// Number of tokens that values with a row for each token have: what the first
/// static one says, so that the others can be compared with it.
int64_t getTokens(ArrayRef<Value> values);

/// Checks that `value` has the extents `expected`, reporting the operand or
/// result by `name`.
LogicalResult checkShape(Operation *op, Value value, StringRef name,
                         ArrayRef<int64_t> expected);

/// Bytes of an element of `value`.
inline double getElementBytes(Value value) {
  return cast<ShapedType>(value.getType()).getElementTypeBitWidth() / 8.0;
}

/// Number of elements of a static shape, in floating point so that it cannot
/// overflow; dynamic extents count 1.
double getNumElements(Value value);

/// Bytes of a value with a static shape.
inline double getBytes(Value value) {
  return getNumElements(value) * getElementBytes(value);
}

} // namespace mlir::dsv2

#endif // DSV2_LIB_DIALECT_DSV2_IR_VERIFYUTILS_H
