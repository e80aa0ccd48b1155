//===- DSV2Dialect.cpp - the dsv2 dialect ---------------------------------===//
//
// Part of dsv2, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "dsv2/Dialect/DSV2/IR/DSV2.h"
#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/Tensor/IR/Tensor.h"

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
