//===- OpUtils.h - shape rules and costs shared by the ops ------*- C++ -*-===//
//
// Part of dsv2, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef DSV2_LIB_DIALECT_DSV2_IR_OPUTILS_H
#define DSV2_LIB_DIALECT_DSV2_IR_OPUTILS_H

#include "dsv2/Dialect/DSV2/IR/DSV2.h"
#include "mlir/IR/TypeUtilities.h"
#include "llvm/ADT/SmallVector.h"

namespace mlir::dsv2 {

//===----------------------------------------------------------------------===//
// Shapes
//===----------------------------------------------------------------------===//

/// Checks the shapes of an op's operands and results against those its
/// documentation gives, one value at a time, and remembers what size each
/// letter stands for:
///
///   ShapeChecker shapes(*this);
///   if (failed(shapes.match("input", getInput().getType(), "T? K")) ||
///       failed(shapes.match("weight", getWeight().getType(), "N K")) || ...
///
/// A pattern lists the dimensions. `K` is a size that has to be static and
/// positive; `T?` may also be dynamic or 0 and, where dynamic, agrees with
/// anything; a number stands for itself; `E+1` is one more than `E`.
class ShapeChecker {
public:
  explicit ShapeChecker(Operation *op) : op(op) {}

  /// Says that `name` stands for `size`, because of `origin`.
  void bind(StringRef name, int64_t size, StringRef origin);

  /// Emits an error unless `type`, the type of the value called `value`, has
  /// the shape `pattern`.
  LogicalResult match(StringRef value, ShapedType type, StringRef pattern);

private:
  struct Binding {
    StringRef name;
    int64_t size;
    StringRef origin;
  };

  Operation *op;
  SmallVector<Binding, 8> bindings;
};

/// Emits an error unless `value`, an attribute called `name`, is finite and
/// above 0.
LogicalResult verifyPositive(Operation *op, StringRef name,
                             const APFloat &value);

/// Emits an error unless `layers` are layer numbers in ascending order.
LogicalResult verifyLayers(Operation *op, ArrayRef<int64_t> layers);

//===----------------------------------------------------------------------===//
// Costs
//===----------------------------------------------------------------------===//

/// Bytes of one element.
inline double getElementBytes(Type type) {
  return getElementTypeOrSelf(type).getIntOrFloatBitWidth() / 8.0;
}

/// Number of elements, counting `dynamicSize` for each dynamic dimension.
double getNumElements(Type type, int64_t dynamicSize);

/// Bytes of a tensor, counting `dynamicSize` for each dynamic dimension.
inline double getBytes(Type type, int64_t dynamicSize = 0) {
  return getNumElements(type, dynamicSize) * getElementBytes(type);
}

/// Size of dimension 0: the type's own if static, else `dynamicSize`.
inline double getNumRows(Type type, int64_t dynamicSize) {
  int64_t rows = cast<ShapedType>(type).getDimSize(0);
  return static_cast<double>(ShapedType::isDynamic(rows) ? dynamicSize : rows);
}

} // namespace mlir::dsv2

#endif // DSV2_LIB_DIALECT_DSV2_IR_OPUTILS_H
