//===- KernelVerifier.cpp - what holds for a whole kernel or role --------===//
//
// Part of dsv2, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "VerifyUtils.h"
#include "mlir/Interfaces/LoopLikeInterface.h"
#include "mlir/Transforms/RegionUtils.h"
#include "llvm/ADT/MapVector.h"
#include "llvm/ADT/StringSwitch.h"

using namespace mlir;
using namespace mlir::dsv2;
using namespace mlir::dsv2::tile;

int64_t tile::getSharedLimit(StringRef chip) {
  // CUDA C++ programming guide, "Technical specifications per compute
  // capability": 227 and 163 KiB for one block.
  return llvm::StringSwitch<int64_t>(chip)
      .Case("sm_90a", 232448)
      .Case("sm_80", 166912)
      .Default(0);
}

SharedLayout tile::getSharedLayout(KernelOp kernel) {
  SharedLayout layout;
  auto place = [&](Operation *op, int64_t bytes) {
    // A swizzle repeats every 1024 bytes at most.
    layout.size = llvm::alignTo(layout.size, 1024);
    layout.offsets[op] = layout.size;
    layout.size += bytes;
  };
  Block &body = kernel.getBody().front();
  for (Operation &op : body) {
    if (auto shared = dyn_cast<SharedOp>(op))
      place(&op,
            shared.getType().getStages() * shared.getType().getTileBytes());
    else if (auto ring = dyn_cast<RingOp>(op))
      place(&op, ring.getType().getStages() * ring.getType().getStageBytes());
  }
  layout.size = llvm::alignTo(layout.size, 8);
  for (auto ring : body.getOps<RingOp>()) {
    layout.barriers[ring] = layout.size;
    layout.size += ring.getType().getStages() * 2 * 8;
  }
  return layout;
}

//===----------------------------------------------------------------------===//
// Registers
//===----------------------------------------------------------------------===//

namespace {
/// Tiles in registers that are alive.
class LiveTiles {
public:
  void add(Value value) {
    int64_t size = getRegisters(value.getType());
    if (size && values.insert(value).second)
      registers += size;
  }
  void remove(Value value) {
    if (values.erase(value))
      registers -= getRegisters(value.getType());
  }
  int64_t getCount() const { return registers; }

private:
  DenseSet<Value> values;
  int64_t registers = 0;
};
} // namespace

/// The most registers alive at one op of `block`, `live` being alive behind it.
static int64_t getPeak(Block &block, LiveTiles live) {
  int64_t peak = live.getCount();
  for (Operation &op : llvm::reverse(block)) {
    for (Value result : op.getResults())
      live.add(result);
    peak = std::max(peak, live.getCount());
    for (Value result : op.getResults())
      live.remove(result);
    // A map's body works on single registers.
    if (!isa<MapOp>(op))
      for (Region &region : op.getRegions()) {
        LiveTiles inside = live;
        // What a loop reads from outside stays for the next iteration.
        if (isa<LoopLikeOpInterface>(op)) {
          llvm::SetVector<Value> captures;
          getUsedValuesDefinedAbove(region, captures);
          for (Value capture : captures)
            inside.add(capture);
        }
        for (Block &nested : region)
          peak = std::max(peak, getPeak(nested, inside));
      }
    for (Region &region : op.getRegions()) {
      llvm::SetVector<Value> captures;
      getUsedValuesDefinedAbove(region, captures);
      for (Value capture : captures)
        live.add(capture);
    }
    for (Value operand : op.getOperands())
      live.add(operand);
    peak = std::max(peak, live.getCount());
  }
  return peak;
}

int64_t tile::estimateRegisters(RoleOp role) {
  return getPeak(role.getBody().front(), LiveTiles());
}

//===----------------------------------------------------------------------===//
// RoleOp
//===----------------------------------------------------------------------===//

/// Waits and releases of each ring balance in every block.
static LogicalResult verifyReleases(RoleOp role) {
  LogicalResult result = success();
  role->walk([&](Block *block) {
    llvm::MapVector<Value, int64_t> open;
    for (Operation &op : *block) {
      if (auto wait = dyn_cast<RingWaitOp>(op))
        ++open[wait.getRing()];
      else if (auto release = dyn_cast<RingReleaseOp>(op))
        --open[release.getRing()];
    }
    for (auto [ring, count] : open)
      if (count != 0 && succeeded(result)) {
        InFlightDiagnostic diag =
            role.emitOpError("expected as many releases of a ring as waits for "
                             "it in each block, got ")
            << (count > 0 ? "fewer" : "more");
        diag.attachNote(ring.getLoc()) << "the ring is declared here";
        result = diag;
      }
  });
  return result;
}

static LogicalResult verifyOwners(RoleOp role) {
  WalkResult walk = role->walk([&](Operation *op) {
    auto check = [&](Value value) {
      if (!getRegisters(value.getType()))
        return success();
      int64_t warps = getRegisterShape(value.getType()).warps;
      if (role.getSingle() || warps != role.getBy())
        return failure();
      return success();
    };
    for (Value result : op->getResults())
      if (failed(check(result))) {
        op->emitOpError("expected tiles in registers of ")
            << (role.getSingle() ? 0 : role.getBy())
            << " warps in this role, got " << result.getType();
        return WalkResult::interrupt();
      }
    return WalkResult::advance();
  });
  return failure(walk.wasInterrupted());
}

LogicalResult RoleOp::verifyRegions() {
  int64_t first = static_cast<int32_t>(getFirst());
  int64_t last = static_cast<int32_t>(getLast());
  int64_t by = static_cast<int32_t>(getBy());
  // role_c2
  if (by != 1 && by != 4)
    return emitOpError("expected 'by' to be 1 or 4, got ") << by;
  // role_c1
  if (first < 0 || first >= last || (last - first) % by != 0)
    return emitOpError("expected instances of ")
           << by << " warps, got warps " << first << " to " << last;
  // role_c2
  if (by == 4 && first % 4 != 0)
    return emitOpError("expected a warpgroup to start at a multiple of 4, got ")
           << first;
  // role_c2
  if (getSingle() && last - first != by)
    return emitOpError("expected a single thread's role to be one instance");
  // role_c3
  if (getRegisters()) {
    int64_t registers = static_cast<int32_t>(*getRegisters());
    if (registers < 24 || registers > 256 || registers % 8 != 0)
      return emitOpError(
                 "expected 'registers' to be a multiple of 8 from 24 to "
                 "256, got ")
             << registers;
    if (by != 4)
      return emitOpError("expected a role with 'registers' to be made of "
                         "warpgroups");
  }
  // role_c4
  if (getBody().getNumArguments() != 1 ||
      !getBody().getArgument(0).getType().isSignlessInteger(32))
    return emitOpError("expected one argument of type i32");
  // role_c5
  if (failed(verifyOwners(*this)))
    return failure();
  // role_c6
  if (getRegisters()) {
    int64_t needed = estimateRegisters(*this);
    if (needed > *getRegisters())
      return emitOpError("expected tiles of at most ")
             << *getRegisters() << " registers to be alive at one time, got "
             << needed;
  }
  // role_c7
  return verifyReleases(*this);
}

//===----------------------------------------------------------------------===//
// KernelOp
//===----------------------------------------------------------------------===//

static LogicalResult verifyRoles(KernelOp kernel) {
  Block &body = kernel.getBody().front();
  auto roles = llvm::to_vector(body.getOps<RoleOp>());
  // kernel_c4
  if (roles.empty())
    return kernel.emitOpError("expected a role");
  for (Operation &op :
       llvm::make_range(roles.front()->getIterator(), body.end()))
    if (!isa<RoleOp>(op))
      return op.emitOpError("expected nothing but roles behind the first role");
  // kernel_c5
  int64_t warps = kernel.getThreads() / 32;
  SmallVector<bool> taken(warps);
  for (RoleOp role : roles)
    for (int64_t warp = role.getFirst(); warp < role.getLast(); ++warp) {
      if (warp >= warps)
        return role.emitOpError("expected warps below ") << warps;
      if (taken[warp])
        return role.emitOpError("expected warps of its own, but warp ")
               << warp << " has another role";
      taken[warp] = true;
    }
  // kernel_c7
  if (llvm::any_of(roles, [](RoleOp role) { return role.getRegisters(); })) {
    int64_t sum = 0;
    for (RoleOp role : roles) {
      if (!role.getRegisters())
        return role.emitOpError("expected 'registers', as another role has");
      sum += role.getWarps() * 32 * *role.getRegisters();
    }
    if (llvm::is_contained(taken, false))
      return kernel.emitOpError("expected roles with 'registers' to cover all ")
             << warps << " warps";
    if (sum > 65536)
      return kernel.emitOpError("expected at most 65536 registers, got ")
             << sum;
  }
  return success();
}

/// The roles whose body has an op of type `OpT` that `filter` accepts.
template <typename OpT, typename Fn>
static SmallVector<RoleOp> rolesWith(KernelOp kernel, Fn filter) {
  SmallVector<RoleOp> result;
  for (auto role : kernel.getBody().front().getOps<RoleOp>()) {
    bool found = false;
    role->walk([&](OpT op) { found |= filter(op); });
    if (found)
      result.push_back(role);
  }
  return result;
}

static LogicalResult verifyBarriers(KernelOp kernel) {
  LogicalResult result = success();
  kernel->walk([&](BarrierOp barrier) {
    int64_t threads = 0;
    for (RoleOp role : rolesWith<BarrierOp>(kernel, [&](BarrierOp other) {
           return other.getId() == barrier.getId();
         }))
      threads += role.getActiveThreads();
    // kernel_c9
    if (threads != barrier.getThreads())
      result = barrier.emitOpError("expected barrier ")
               << barrier.getId() << " to wait for the " << threads
               << " threads that meet it, got " << barrier.getThreads();
  });
  return result;
}

static LogicalResult verifyRings(KernelOp kernel) {
  for (auto ring : kernel.getBody().front().getOps<RingOp>()) {
    int64_t warps = 0;
    for (RoleOp role : rolesWith<RingReleaseOp>(
             kernel, [&](RingReleaseOp op) { return op.getRing() == ring; }))
      warps += role.getWarps();
    // make_ring_c1
    if (warps != ring.getReleases())
      return ring.emitOpError("expected 'releases' to be the ")
             << warps << " warps that release the ring, got "
             << ring.getReleases();
    // make_ring_c2
    auto producers = rolesWith<RingAcquireOp>(
        kernel, [&](RingAcquireOp op) { return op.getRing() == ring; });
    if (producers.size() != 1 || !producers.front().getSingle())
      return ring.emitOpError("expected one role of a single thread to acquire "
                              "the ring, got ")
             << producers.size() << " roles";
  }
  return success();
}

LogicalResult KernelOp::verifyKernel() {
  // kernel_c1
  int64_t limit = getSharedLimit(getChip());
  if (!limit)
    return emitOpError("expected 'chip' to be sm_80 or sm_90a, got ")
           << getChip();
  // kernel_c2
  int64_t threads = static_cast<int32_t>(getThreads());
  if (threads < 32 || threads > 1024 || threads % 32 != 0)
    return emitOpError("expected 'threads' to be a multiple of 32 from 32 to "
                       "1024, got ")
           << threads;
  // kernel_c3
  if (!getResultTypes().empty())
    return emitOpError("expected no results");
  for (Type type : getArgumentTypes())
    if (!isa<GlobalType, TensorMapType>(type) && !type.isF32() &&
        !type.isSignlessInteger(32))
      return emitOpError(
                 "expected arguments of type global, tensor_map, i32 or "
                 "f32, got ")
             << type;
  if (failed(verifyRoles(*this)))
    return failure();
  // kernel_c6
  int64_t bytes = getSharedLayout(*this).size;
  if (bytes > limit)
    return emitOpError("expected at most ")
           << limit << " bytes of shared memory on " << getChip() << ", got "
           << bytes;
  // kernel_c8
  if (!isHopper()) {
    if (llvm::any_of(getArgumentTypes(),
                     [](Type type) { return isa<TensorMapType>(type); }))
      return emitOpError("expected no tensor map on ") << getChip();
    WalkResult walk = (*this)->walk([&](Operation *op) {
      if (!isa<RingOp, WgmmaOp, WgmmaFenceOp, WgmmaWaitOp>(op))
        return WalkResult::advance();
      op->emitOpError("expected a kernel for sm_90a");
      return WalkResult::interrupt();
    });
    if (walk.wasInterrupted())
      return failure();
  }
  if (failed(verifyBarriers(*this)) || failed(verifyRings(*this)))
    return failure();
  // kernel_c10
  WalkResult walk = (*this)->walk([&](Block *block) {
    auto check = [&](Value value) {
      return !isa<AsyncType>(value.getType()) || value.hasOneUse();
    };
    for (Value argument : block->getArguments())
      if (!check(argument)) {
        emitOpError("expected one use of each value in flight");
        return WalkResult::interrupt();
      }
    for (Operation &op : *block)
      for (Value result : op.getResults())
        if (!check(result)) {
          op.emitOpError("expected one use of a value in flight");
          return WalkResult::interrupt();
        }
    return WalkResult::advance();
  });
  return failure(walk.wasInterrupted());
}
