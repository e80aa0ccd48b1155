//===- VerifyUtils.cpp - shape checks shared by the verifiers -------------===//
//
// Part of dsv2, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "VerifyUtils.h"

using namespace mlir;

static void printShape(InFlightDiagnostic &diag, ArrayRef<int64_t> shape) {
  diag << "[";
  for (auto [i, extent] : llvm::enumerate(shape)) {
    if (i)
      diag << ", ";
    if (ShapedType::isDynamic(extent))
      diag << "?";
    else
      diag << extent;
  }
  diag << "]";
}

int64_t mlir::dsv2::getTokens(ArrayRef<Value> values) {
  for (Value value : values)
    if (int64_t tokens = getExtent(value, 0); !ShapedType::isDynamic(tokens))
      return tokens;
  return ShapedType::kDynamic;
}

LogicalResult mlir::dsv2::checkShape(Operation *op, Value value, StringRef name,
                                     ArrayRef<int64_t> expected) {
  ArrayRef<int64_t> shape = cast<ShapedType>(value.getType()).getShape();
  if (shape.size() == expected.size() &&
      llvm::all_of_zip(shape, expected, mayBeEqual))
    return success();
  InFlightDiagnostic diag = op->emitOpError("expected '")
                            << name << "' of shape ";
  printShape(diag, expected);
  diag << ", got ";
  printShape(diag, shape);
  return diag;
}

double mlir::dsv2::getNumElements(Value value) {
  double count = 1;
  for (int64_t extent : cast<ShapedType>(value.getType()).getShape())
    if (!ShapedType::isDynamic(extent))
      count *= extent;
  return count;
}
