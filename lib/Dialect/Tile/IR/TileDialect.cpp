//===- TileDialect.cpp - the dsv2_tile dialect ---------------------------===//
//
// Part of dsv2, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "dsv2/Dialect/Tile/IR/Tile.h"
#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/SCF/IR/SCF.h"

using namespace mlir;
using namespace mlir::dsv2::tile;

#include "dsv2/Dialect/Tile/IR/TileDialect.cpp.inc"
#include "dsv2/Dialect/Tile/IR/TileEnums.cpp.inc"

void TileDialect::initialize() {
  addOperations<
#define GET_OP_LIST
#include "dsv2/Dialect/Tile/IR/TileOps.cpp.inc"
      >();
  registerAttributes();
  registerTypes();
}
