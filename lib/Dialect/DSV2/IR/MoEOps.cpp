//===- MoEOps.cpp - routing, dispatch, experts, combine -------------------===//
//
// Part of dsv2, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "dsv2/Dialect/DSV2/IR/DSV2.h"

using namespace mlir;
using namespace mlir::dsv2;

LogicalResult RouteOp::verify() { return success(); }
LogicalResult DispatchOp::verify() { return success(); }
LogicalResult ExpertFFNOp::verify() { return success(); }
LogicalResult CombineOp::verify() { return success(); }
OpCost RouteOp::getCost(const StepShape &step) { return {}; }
OpCost DispatchOp::getCost(const StepShape &step) { return {}; }
OpCost ExpertFFNOp::getCost(const StepShape &step) { return {}; }
OpCost CombineOp::getCost(const StepShape &step) { return {}; }
