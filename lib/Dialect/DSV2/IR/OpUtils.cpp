//===- OpUtils.cpp - shape rules and costs shared by the ops --------------===//
//
// Part of dsv2, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "OpUtils.h"

#include "llvm/ADT/STLExtras.h"
#include "llvm/ADT/StringExtras.h"

using namespace mlir;
using namespace mlir::dsv2;

//===----------------------------------------------------------------------===//
// Shapes
//===----------------------------------------------------------------------===//

void ShapeChecker::bind(StringRef name, int64_t size, StringRef origin) {
  bindings.push_back({name, size, origin});
}

LogicalResult ShapeChecker::match(StringRef value, ShapedType type,
                                  StringRef pattern) {
  SmallVector<StringRef, 4> dims;
  pattern.split(dims, ' ');
  // "T? K" is written [T, K] in documentation and messages.
  auto fail = [&]() {
    std::string shape;
    for (StringRef dim : dims) {
      dim.consume_back("?");
      shape += (shape.empty() ? "" : ", ") + dim.str();
    }
    return op->emitOpError("expected '") << value << "' [" << shape << "]";
  };
  if (!type.hasRank() || type.getRank() != static_cast<int64_t>(dims.size()))
    return fail() << ", got " << type;

  for (auto [dim, size] : llvm::zip_equal(dims, type.getShape())) {
    int64_t expected;
    if (!dim.getAsInteger(10, expected)) {
      if (size != expected)
        return fail() << ", got " << type;
      continue;
    }
    StringRef name = dim;
    bool mayBeDynamic = name.consume_back("?");
    // One more than a size: compared on the smaller side, where nothing can
    // overflow.
    int64_t extra = name.consume_back("+1") ? 1 : 0;
    if (ShapedType::isDynamic(size)) {
      if (!mayBeDynamic)
        return fail() << " with static " << name << ", got " << type;
      continue;
    }
    if (size - extra < (mayBeDynamic ? 0 : 1))
      return fail() << " with positive " << name << ", got " << type;
    const Binding *known = llvm::find_if(
        bindings, [&](const Binding &b) { return b.name == name; });
    if (known == bindings.end())
      bindings.push_back({name, size - extra, value});
    else if (known->size != size - extra)
      return fail() << " with " << name << " = " << known->size << " as in '"
                    << known->origin << "', got " << type;
  }
  return success();
}

LogicalResult mlir::dsv2::verifyPositive(Operation *op, StringRef name,
                                         const APFloat &value) {
  if (value.isFinite() && !value.isNegative() && !value.isZero())
    return success();
  SmallString<16> text;
  value.toString(text);
  return op->emitOpError("expected '")
         << name << "' to be finite and positive, got " << text;
}

LogicalResult mlir::dsv2::verifyLayers(Operation *op,
                                       ArrayRef<int64_t> layers) {
  for (auto [index, layer] : llvm::enumerate(layers)) {
    if (layer < 0)
      return op->emitOpError("expected 'layers' not to be negative, got ")
             << layer;
    if (index > 0 && layer <= layers[index - 1])
      return op->emitOpError("expected 'layers' in ascending order, got ")
             << layer << " after " << layers[index - 1];
  }
  return success();
}

//===----------------------------------------------------------------------===//
// Costs
//===----------------------------------------------------------------------===//

double mlir::dsv2::getNumElements(Type type, int64_t dynamicSize) {
  double elements = 1;
  for (int64_t size : cast<ShapedType>(type).getShape())
    elements *=
        static_cast<double>(ShapedType::isDynamic(size) ? dynamicSize : size);
  return elements;
}
