//===- CopyOps.cpp - rings and copies ------------------------------------===//
//
// Part of dsv2, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "VerifyUtils.h"

using namespace mlir;
using namespace mlir::dsv2::tile;

//===----------------------------------------------------------------------===//
// Rings
//===----------------------------------------------------------------------===//

LogicalResult RingNextOp::verify() {
  // ring_next_c1
  return verifyRing(*this, getRing());
}

LogicalResult RingAcquireOp::verify() {
  // ring_acquire_c2
  if (failed(verifyRing(*this, getRing())))
    return failure();
  // ring_acquire_c1
  int64_t bytes = 0;
  for (Operation &op : llvm::make_range(std::next((*this)->getIterator()),
                                        (*this)->getBlock()->end())) {
    auto load = dyn_cast<TmaLoadOp>(op);
    if (load && load.getRing() == getRing() && load.getState() == getState())
      bytes += getLoadBytes(load);
  }
  if (bytes != static_cast<int64_t>(getBytes()))
    return emitOpError("expected the ")
           << bytes << " bytes of the copies that signal the stage, got "
           << getBytes();
  return success();
}

LogicalResult RingWaitOp::verify() {
  // ring_wait_c1
  if (failed(verifyRing(*this, getRing())))
    return failure();
  // ring_wait_c2
  return verifyWholeWarps(*this);
}

LogicalResult RingTileOp::verify() {
  // ring_tile_c1
  if (failed(verifyRing(*this, getRing())))
    return failure();
  // ring_tile_c2
  ArrayRef<SharedType> tiles = getRing().getType().getTiles();
  if (getIndex() >= tiles.size() || tiles[getIndex()] != getType())
    return emitOpError("expected tile ")
           << getIndex() << " of the ring's, got " << getType();
  return success();
}

/// Whether `tile` belongs to the stage of `ring` that `state` names.
static bool isOfStage(Value tile, Value ring, Value state) {
  RingTileOp origin = getRingTile(tile);
  return origin && origin.getRing() == ring && origin.getState() == state;
}

/// Whether a wait in the product's block leaves it done.
static bool isWaitedFor(WgmmaOp product) {
  int64_t started = 1;
  for (Operation *op = product->getNextNode(); op; op = op->getNextNode()) {
    started += isa<WgmmaOp>(op);
    auto wait = dyn_cast<WgmmaWaitOp>(op);
    if (wait && started > static_cast<int64_t>(wait.getPending()))
      return true;
  }
  return false;
}

/// Whether every product in `role` that reads `ring` is waited for in its own
/// block, so that none is in flight behind that.
static bool isNeverInFlight(RoleOp role, Value ring) {
  bool result = true;
  role->walk([&](WgmmaOp product) {
    for (Value operand : {product.getA(), Value(product.getB())}) {
      RingTileOp origin = getRingTile(operand);
      if (origin && origin.getRing() == ring)
        result &= isWaitedFor(product);
    }
  });
  return result;
}

/// Whether no product in flight at `release` may read its stage. Of products in
/// the same block it is known which stage they read. If none reads this one the
/// products came before the state got here: with an earlier iteration, or in a
/// loop whose result it is; then everything from before has to have been waited
/// for.
static bool isDrained(RingReleaseOp release) {
  bool simple =
      isNeverInFlight(release->getParentOfType<RoleOp>(), release.getRing());
  Operation *origin = release.getState().getDefiningOp();
  // For each product on the stage, how many have been started from it on.
  SmallVector<int64_t> started;
  int64_t sinceOrigin = 0;
  bool own = false, waited = false;
  for (Operation &op : *release->getBlock()) {
    if (&op == release.getOperation())
      break;
    if (&op == origin) {
      sinceOrigin = 0;
      waited = false;
    }
    if (auto product = dyn_cast<WgmmaOp>(op)) {
      for (int64_t &count : started)
        ++count;
      ++sinceOrigin;
      if (isOfStage(product.getA(), release.getRing(), release.getState()) ||
          isOfStage(product.getB(), release.getRing(), release.getState())) {
        started.push_back(1);
        own = true;
      }
    } else if (auto wait = dyn_cast<WgmmaWaitOp>(op)) {
      int64_t pending = wait.getPending();
      llvm::erase_if(started, [&](int64_t count) { return count > pending; });
      waited |= sinceOrigin >= pending;
    }
  }
  return own ? started.empty() : simple || waited;
}

LogicalResult RingReleaseOp::verify() {
  // ring_release_c1
  if (failed(verifyRing(*this, getRing())))
    return failure();
  // ring_release_c2
  if (failed(verifyWholeWarps(*this)))
    return failure();
  // ring_release_c3
  if ((*this)->getParentOfType<RoleOp>() && !isDrained(*this))
    return emitOpError("expected a wgmma_wait between the products that read "
                       "the stage and its release");
  return success();
}

//===----------------------------------------------------------------------===//
// Copies
//===----------------------------------------------------------------------===//

LogicalResult TmaLoadOp::verify() {
  TensorMapType map = getMap().getType();
  SharedType tile = getTile().getType();
  // tma_load_c1
  if (getCoordinates().size() != map.getShape().size())
    return emitOpError("expected ")
           << map.getShape().size() << " coordinates, got "
           << getCoordinates().size();
  // tma_load_c2
  int64_t rows = 1;
  for (int64_t size : map.getShape().drop_back())
    rows *= size;
  if (map.getElementType() != tile.getElementType() ||
      map.getSwizzle() != tile.getSwizzle() || rows != tile.getRows() ||
      map.getShape().back() != tile.getPanelColumns())
    return emitOpError("expected boxes of ")
           << map << " to be panels of the tile, got " << tile;
  // tma_load_c3
  if (tile.getOfRows() != tile.getRows() ||
      !isOfStage(getTile(), getRing(), getState()))
    return emitOpError("expected a whole tile of the stage that is signalled");
  // tma_load_c4
  if ((*this)->getParentOfType<KernelOp>() && !isInSingleThread(*this))
    return emitOpError("expected a role of a single thread");
  // tma_load_c5
  auto argument = dyn_cast<BlockArgument>(getMap());
  if (!argument || !isa<KernelOp>(argument.getOwner()->getParentOp()))
    return emitOpError("expected 'map' to be an argument of the kernel");
  return success();
}

LogicalResult CpAsyncOp::verify() {
  SharedType tile = getTile().getType();
  // cp_async_c1
  if (getSource().getType().getElementType() != tile.getElementType())
    return emitOpError("expected source and tile of the same elements, got ")
           << getSource().getType() << " and " << tile;
  // cp_async_c3
  if (failed(verifyWholeWarps(*this)))
    return failure();
  // cp_async_c2
  int64_t pieces =
      tile.getRows() * tile.getColumns() * tile.getElementBytes() / 16;
  int64_t threads = getRoleThreads(*this).value_or(1);
  if (tile.hasStages() || (pieces % threads != 0 && pieces > threads))
    return emitOpError("expected a tile without stages of a multiple of ")
           << threads << " pieces of 16 bytes, or fewer, got " << tile;
  return success();
}

LogicalResult CpAsyncWaitOp::verify() {
  // cp_async_wait_c1
  if (static_cast<int32_t>(getPending()) < 0)
    return emitOpError("expected 'pending' not to be negative, got ")
           << static_cast<int32_t>(getPending());
  // cp_async_wait_c2
  for (Operation *op = (*this)->getNextNode(); op; op = op->getNextNode())
    if (isa<BarrierOp>(op))
      return success();
  return emitOpError("expected a barrier behind it in the same block");
}

LogicalResult LoadScalarOp::verify() {
  // load_scalar_c1
  if (getSource().getType().getElementType() != getType())
    return emitOpError("expected a result of the elements' type, got ")
           << getType();
  return success();
}

//===----------------------------------------------------------------------===//
// SearchSumsOp
//===----------------------------------------------------------------------===//

LogicalResult SearchSumsOp::verifyRegions() {
  // search_sums_c1
  Block &body = getBody().front();
  auto isI32 = [](Type type) { return type.isSignlessInteger(32); };
  if (body.getNumArguments() != 1 || !isI32(body.getArgument(0).getType()))
    return emitOpError("expected a body with an argument of type i32");
  if (body.empty() || !isa<YieldOp>(body.back()) ||
      body.back().getNumOperands() != 1 ||
      !isI32(body.back().getOperand(0).getType()))
    return emitOpError("expected the body to yield an i32");
  // search_sums_c2
  for (Operation &op : body.without_terminator())
    if (!isa<LoadScalarOp>(op) && op.getName().getDialectNamespace() != "arith")
      return op.emitOpError("expected ops of arith and load_scalar in the body "
                            "of a search_sums");
  // search_sums_c3
  return verifyWholeWarps(*this);
}
