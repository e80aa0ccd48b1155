//===- TileOps.td - everything of the dsv2_tile dialect -*- tablegen -*-===//
//
// Part of dsv2, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef DSV2_DIALECT_TILE_IR_TILEOPS_TD
#define DSV2_DIALECT_TILE_IR_TILEOPS_TD

include "dsv2/Dialect/Tile/IR/TileCopyOps.td"
include "dsv2/Dialect/Tile/IR/TileFragmentOps.td"
include "dsv2/Dialect/Tile/IR/TileKernelOps.td"
include "dsv2/Dialect/Tile/IR/TileProductOps.td"

#endif // DSV2_DIALECT_TILE_IR_TILEOPS_TD
