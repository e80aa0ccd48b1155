//===- AttentionOps.cpp - rotary embedding and latent attention -----------===//
//
// Part of dsv2, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "dsv2/Dialect/DSV2/IR/DSV2.h"

using namespace mlir;
using namespace mlir::dsv2;

LogicalResult RopeOp::verify() { return success(); }
LogicalResult LatentAttentionOp::verify() { return success(); }
OpCost LatentAttentionOp::getCost(const StepShape &step) { return {}; }
OpCost RopeOp::getCost(const StepShape &step) { return {}; }
