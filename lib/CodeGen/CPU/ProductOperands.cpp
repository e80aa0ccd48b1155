//===- ProductOperands.cpp - What a product reads and writes --------------===//
//
// Part of dsv2, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "ProductOperands.h"

#include "ManyRowsProduct.h"
#include "QuantTile.h"

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

int64_t ProductOperands::tileRows(const CPUTargetInfo &target) const {
  if (ManyRowsProduct::isThere(target, format))
    return ManyRowsProduct::tileRows(target);
  return inBlocks() ? getQuantTileRows(target)
                    : getTilePlan(target, /*streams=*/1).maxRows();
}

void ProductOperands::chooseByRows(KernelBuilder &b, Value rowLo, Value rowHi,
                                   llvm::function_ref<void()> many,
                                   llvm::function_ref<void()> few) const {
  const CPUTargetInfo &target = b.getTarget();
  if (!ManyRowsProduct::isThere(target, format))
    return few();
  b.ifThen(
      b.ge(b.sub(rowHi, rowLo), b.index(ManyRowsProduct::leastRows(target))),
      many, few);
}
