//===- ModelOps.cpp - weights, products, norms, feed-forward --------------===//
//
// Part of dsv2, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "dsv2/Dialect/DSV2/IR/DSV2.h"

using namespace mlir;
using namespace mlir::dsv2;

LogicalResult WeightOp::verify() { return success(); }
LogicalResult EmbedOp::verify() { return success(); }
LogicalResult LinearOp::verify() { return success(); }
LogicalResult RMSNormOp::verify() { return success(); }
LogicalResult GatedFFNOp::verify() { return success(); }
LogicalResult LogitsOp::verify() { return success(); }
LogicalResult PackOp::verify() { return success(); }
LogicalResult PackedWeightOp::verify() { return success(); }
OpCost EmbedOp::getCost(const StepShape &step) { return {}; }
OpCost LinearOp::getCost(const StepShape &step) { return {}; }
OpCost RMSNormOp::getCost(const StepShape &step) { return {}; }
OpCost GatedFFNOp::getCost(const StepShape &step) { return {}; }
OpCost LogitsOp::getCost(const StepShape &step) { return {}; }
LogicalResult
PackedWeightOp::verifySymbolUses(SymbolTableCollection &symbolTable) {
  return success();
}
