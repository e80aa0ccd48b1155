//===- VerifyUtils.cpp - what the verifiers of the ops share -------------===//
//
// Part of dsv2, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "VerifyUtils.h"

#include "llvm/ADT/TypeSwitch.h"

using namespace mlir;
using namespace mlir::dsv2;
using namespace mlir::dsv2::tile;

bool tile::isInSingleThread(Operation *op) {
  auto role = op->getParentOfType<RoleOp>();
  return role && role.getSingle();
}

std::optional<int64_t> tile::getRoleThreads(Operation *op) {
  if (auto role = op->getParentOfType<RoleOp>())
    return role.getActiveThreads();
  return std::nullopt;
}

LogicalResult tile::verifyWholeWarps(Operation *op) {
  if (isInSingleThread(op))
    return op->emitOpError("expected a role of whole warps, got one of a "
                           "single thread");
  return success();
}

LogicalResult tile::verifyRing(Operation *op, Value ring) {
  if (!ring.getDefiningOp<RingOp>())
    return op->emitOpError("expected 'ring' to be the result of a make_ring");
  return success();
}

RingTileOp tile::getRingTile(Value tile) {
  while (auto view = tile.getDefiningOp<SharedViewOp>())
    tile = view.getSource();
  return tile.getDefiningOp<RingTileOp>();
}

int64_t tile::getLoadBytes(TmaLoadOp load) {
  SharedType tile = load.getTile().getType();
  return tile.getRows() * tile.getColumns() * tile.getElementBytes();
}

RegisterShape tile::getRegisterShape(Type type) {
  return TypeSwitch<Type, RegisterShape>(type)
      .Case<FragmentType, AsyncType, OperandType>([](auto matrix) {
        return RegisterShape{matrix.getRows(), matrix.getColumns(),
                             matrix.getWarps()};
      })
      .Case([](RowsType rows) {
        return RegisterShape{rows.getRows(), std::nullopt, rows.getWarps()};
      });
}

int64_t tile::getRegisters(Type type) {
  return TypeSwitch<Type, int64_t>(type)
      .Case<FragmentType, AsyncType, OperandType, RowsType>(
          [](auto tile) { return tile.getRegisters(); })
      .Default([](Type) { return 0; });
}
