//===- CacheOps.cpp - latent cache ops ------------------------------------===//
//
// Part of dsv2, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "dsv2/Dialect/DSV2/IR/DSV2.h"

using namespace mlir;
using namespace mlir::dsv2;

LogicalResult LatentAppendOp::verify() { return success(); }
LogicalResult LatentGatherOp::verify() { return success(); }
LogicalResult CopyPagesOp::verify() { return success(); }
OpCost LatentAppendOp::getCost(const StepShape &step) { return {}; }
OpCost LatentGatherOp::getCost(const StepShape &step) { return {}; }
OpCost CopyPagesOp::getCost(const StepShape &step) { return {}; }
