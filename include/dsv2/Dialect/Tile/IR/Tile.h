//===- Tile.h - the dsv2_tile dialect ---------------------------*- C++ -*-===//
//
// Part of dsv2, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// Umbrella header of the dialect: types and ops.
//
//===----------------------------------------------------------------------===//

#ifndef DSV2_DIALECT_TILE_IR_TILE_H
#define DSV2_DIALECT_TILE_IR_TILE_H

#include "dsv2/Support/BlockFormat.h"
#include "mlir/Bytecode/BytecodeOpInterface.h"
#include "mlir/IR/BuiltinAttributes.h"
#include "mlir/IR/BuiltinTypes.h"
#include "mlir/IR/Dialect.h"
#include "mlir/IR/OpDefinition.h"
#include "mlir/IR/OpImplementation.h"
#include "mlir/IR/SymbolTable.h"
#include "mlir/Interfaces/ControlFlowInterfaces.h"
#include "mlir/Interfaces/FunctionInterfaces.h"
#include "mlir/Interfaces/SideEffectInterfaces.h"

#include "dsv2/Dialect/Tile/IR/TileDialect.h.inc"
#include "dsv2/Dialect/Tile/IR/TileEnums.h.inc"

#define GET_ATTRDEF_CLASSES
#include "dsv2/Dialect/Tile/IR/TileAttrs.h.inc"

#define GET_TYPEDEF_CLASSES
#include "dsv2/Dialect/Tile/IR/TileTypes.h.inc"

#define GET_OP_CLASSES
#include "dsv2/Dialect/Tile/IR/TileOps.h.inc"

namespace mlir::dsv2::tile {

/// Where the declarations of a kernel lie in shared memory. Tiles come first,
/// each at a multiple of 1024 bytes, in the order of their declarations; the
/// barriers of the rings follow.
struct SharedLayout {
  /// Bytes from the start of shared memory to each `shared` or `make_ring`;
  /// a ring has its stages there.
  llvm::DenseMap<Operation *, int64_t> offsets;
  /// Bytes to the barriers of each `make_ring`: full ones, then empty ones, 8
  /// bytes each.
  llvm::DenseMap<Operation *, int64_t> barriers;
  /// Bytes in all.
  int64_t size = 0;
};

/// Lays out the declarations of `kernel`.
SharedLayout getSharedLayout(KernelOp kernel);

/// Bytes of shared memory a block may have on `chip`; 0 for an unknown chip.
int64_t getSharedLimit(llvm::StringRef chip);

/// The number of 32-bit registers of each thread that the tiles hold that are
/// alive at one time, at most, in the blocks of `role`. What ptxas adds for
/// addresses is not in it.
int64_t estimateRegisters(RoleOp role);

} // namespace mlir::dsv2::tile

#endif // DSV2_DIALECT_TILE_IR_TILE_H
