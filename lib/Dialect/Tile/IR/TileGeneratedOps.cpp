//===- TileGeneratedOps.cpp - generated definitions of the ops -----------===//
//
// Part of dsv2, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "dsv2/Dialect/Tile/IR/Tile.h"
#include "mlir/IR/Builders.h"
#include "mlir/IR/TypeUtilities.h"

using namespace mlir;
using namespace mlir::dsv2::tile;

#define GET_OP_CLASSES
#include "dsv2/Dialect/Tile/IR/TileOps.cpp.inc"
