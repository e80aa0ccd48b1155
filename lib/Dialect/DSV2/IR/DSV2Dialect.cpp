//===- DSV2Dialect.cpp - the dsv2 dialect ---------------------------------===//
//
// Part of dsv2, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "dsv2/Dialect/DSV2/IR/DSV2.h"
#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/Tensor/IR/Tensor.h"
#include "mlir/Interfaces/FunctionInterfaces.h"

using namespace mlir;
using namespace mlir::dsv2;

#include "dsv2/Dialect/DSV2/IR/DSV2Dialect.cpp.inc"
#include "dsv2/Dialect/DSV2/IR/DSV2Interfaces.cpp.inc"

void DSV2Dialect::initialize() {
  addOperations<
#define GET_OP_LIST
#include "dsv2/Dialect/DSV2/IR/DSV2Ops.cpp.inc"
      >();
  registerAttributes();
  registerTypes();
}

//===----------------------------------------------------------------------===//
// Attributes of functions and modules
//===----------------------------------------------------------------------===//

LogicalResult DSV2Dialect::verifyOperationAttribute(Operation *op,
                                                    NamedAttribute attribute) {
  StringRef name = attribute.getName().getValue();
  Attribute value = attribute.getValue();
  auto fail = [&](const Twine &expected) {
    return op->emitOpError("expected '")
           << name << "' to be " << expected << ", got " << value;
  };
  bool isFunction = isa<FunctionOpInterface>(op);

  // entry_c1
  if (name == kEntryAttr) {
    auto entry = dyn_cast<StringAttr>(value);
    if (!isFunction || !entry || entry.getValue().empty())
      return fail("a non-empty string on a function");
  }
  // prepare_c1
  if (name == kPrepareAttr && (!isFunction || !isa<UnitAttr>(value)))
    return fail("a unit attribute on a function");
  // experts_c1
  if (name == kExpertsAttr) {
    auto experts = dyn_cast<IntegerAttr>(value);
    if (!isFunction || !op->hasAttr(kPrepareAttr) || !experts ||
        !experts.getType().isSignlessInteger(64) || experts.getInt() < 1)
      return fail("a positive i64 on a function with '" + kPrepareAttr + "'");
  }
  // form_c1
  if (name == kFormAttr) {
    auto form = dyn_cast<StringAttr>(value);
    if (!isFunction || !op->hasAttr(kEntryAttr) || !form ||
        !symbolizeAttentionForm(form.getValue()))
      return fail("an attention form on a function with '" + kEntryAttr + "'");
  }
  // manifest_c1
  if (name == kManifestAttr &&
      (!isa<ModuleOp>(op) || !isa<DictionaryAttr>(value)))
    return fail("a dictionary on a module");
  return success();
}
