//===- VerifyUtils.h - what the verifiers of the ops share ---------------===//
//
// Part of dsv2, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef DSV2_LIB_DIALECT_TILE_IR_VERIFYUTILS_H
#define DSV2_LIB_DIALECT_TILE_IR_VERIFYUTILS_H

#include "dsv2/Dialect/Tile/IR/Tile.h"

#include <optional>

namespace mlir::dsv2::tile {

/// Whether `op` runs in a role of a single thread.
bool isInSingleThread(Operation *op);
/// The threads that run `op`: those of its role, or nothing outside of roles.
std::optional<int64_t> getRoleThreads(Operation *op);
/// An error unless `op` is run by whole warps.
LogicalResult verifyWholeWarps(Operation *op);
/// An error unless `ring` is the result of a `make_ring`.
LogicalResult verifyRing(Operation *op, Value ring);
/// The `ring_tile` that `tile` is or is a view of, or null.
RingTileOp getRingTile(Value tile);
/// Bytes that a copy signals.
int64_t getLoadBytes(TmaLoadOp load);
/// Rows, columns and warps, the same for all types of tiles in registers;
/// `rows` have no columns.
struct RegisterShape {
  int64_t rows;
  std::optional<int64_t> columns;
  int64_t warps;
};
RegisterShape getRegisterShape(Type type);
/// 32-bit registers of each thread for a value of `type`, 0 if it is no tile in
/// registers.
int64_t getRegisters(Type type);

} // namespace mlir::dsv2::tile

#endif // DSV2_LIB_DIALECT_TILE_IR_VERIFYUTILS_H
