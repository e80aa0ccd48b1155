//===- KernelOps.cpp - kernel launches and what they read -----------------===//
//
// Part of dsv2, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "dsv2/Dialect/DSV2/IR/DSV2.h"

using namespace mlir;
using namespace mlir::dsv2;

LogicalResult LaunchOp::verify() { return success(); }
LogicalResult WeightViewOp::verify() { return success(); }
LogicalResult TapOp::verify() { return success(); }
LogicalResult LaunchOp::verifySymbolUses(SymbolTableCollection &symbolTable) {
  return success();
}
void LaunchOp::getEffects(
    SmallVectorImpl<SideEffects::EffectInstance<MemoryEffects::Effect>>
        &effects) {}
