//===- ProductOperands.cpp - What a product reads and writes --------------===//
//
// Part of dsv2, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "ProductOperands.h"

#include "QuantTile.h"
#include "TileProduct.h"

using namespace mlir;
using namespace mlir::dsv2;
using namespace mlir::dsv2::cpu;

Value ProductOperands::addResidual(KernelBuilder &b, Value sum, Value row,
                                   Value column, Value count) const {
  if (!residual)
    return sum;
  Slice r = residual(row, 1).front();
  return b.fadd(b.load(r.memref, r.at({column}), count), sum);
}

bool ProductOperands::mayUseTileUnit(const CPUTargetInfo &target) const {
  return inBlocks() && hasTileUnit(target);
}

int64_t ProductOperands::tileRows(const CPUTargetInfo &target) const {
  if (mayUseTileUnit(target))
    return TileProduct::kTileRows;
  return inBlocks() ? getQuantTileRows(target)
                    : getTilePlan(target, /*streams=*/1).maxRows();
}

void ProductOperands::chooseUnit(KernelBuilder &b, Value rowLo, Value rowHi,
                                 llvm::function_ref<void()> withTiles,
                                 llvm::function_ref<void()> withVectors) const {
  if (!mayUseTileUnit(b.getTarget()))
    return withVectors();
  b.ifThen(b.gt(b.sub(rowHi, rowLo), b.index(getQuantTileRows(b.getTarget()))),
           withTiles, withVectors);
}
