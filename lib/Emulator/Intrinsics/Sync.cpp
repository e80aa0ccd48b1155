//===- Sync.cpp - barriers, fences and what ends or delays a thread -------===//
//
// Part of dsv2, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "../IntrinsicTable.h"

#include "../Barriers.h"
#include "../Collectives.h"

using namespace dsv2::emulator;

//===----------------------------------------------------------------------===//
// PTX ISA, "barrier{.cta}", "barrier.cluster"
//===----------------------------------------------------------------------===//

static void syncAll(const uint64_t *a, uint64_t *) {
  arriveAtBarrier(a[0], 0, /*waits=*/true);
}
static void syncCount(const uint64_t *a, uint64_t *) {
  arriveAtBarrier(a[0], a[1], /*waits=*/true);
}
static void arriveCount(const uint64_t *a, uint64_t *) {
  arriveAtBarrier(a[0], a[1], /*waits=*/false);
}
template <BarrierReduction Op>
static void reduceAll(const uint64_t *a, uint64_t *r) {
  *r = arriveAtBarrier(a[0], 0, /*waits=*/true, Op, a[1]);
}
template <BarrierReduction Op>
static void reduceCount(const uint64_t *a, uint64_t *r) {
  *r = arriveAtBarrier(a[0], a[1], /*waits=*/true, Op, a[2]);
}
static void clusterArrive(const uint64_t *, uint64_t *) {
  arriveAtCluster(/*releases=*/true);
}
static void clusterArriveRelaxed(const uint64_t *, uint64_t *) {
  arriveAtCluster(/*releases=*/false);
}
static void clusterWait(const uint64_t *, uint64_t *) { waitForCluster(); }

//===----------------------------------------------------------------------===//
// Ends and delays
//===----------------------------------------------------------------------===//

static void exitThread(const uint64_t *, uint64_t *) { machine().exitThread(); }
static void trap(const uint64_t *, uint64_t *) {
  machine().fail(Kind::Trap, "the kernel executed a trap");
}
static void nanosleep(const uint64_t *, uint64_t *) { machine().poll(); }

//===----------------------------------------------------------------------===//
// PTX ISA, "setmaxnreg": all warps of a warpgroup execute the same one
//===----------------------------------------------------------------------===//

static void nothing(Rendezvous &) {}

static void setMaxRegisters(const CollectiveOp &op, const uint64_t *a,
                            uint64_t *r) {
  if (a[0] < 24 || a[0] > 256 || a[0] % 8 != 0)
    machine().fail(
        Kind::Protocol,
        message("{0} {1}: not a multiple of 8 from 24 to 256", op.name, a[0]));
  gatherWarpgroup(op, a, r);
}
static void moreRegisters(const uint64_t *a, uint64_t *r) {
  static const CollectiveOp op = {"setmaxnreg.inc", nothing, 1};
  setMaxRegisters(op, a, r);
}
static void fewerRegisters(const uint64_t *a, uint64_t *r) {
  static const CollectiveOp op = {"setmaxnreg.dec", nothing, 1};
  setMaxRegisters(op, a, r);
}

/// Launches run one after the other; with pdl=1 it matters what came before.
static void awaitDependencies(const uint64_t *, uint64_t *) {
  machine().current().block->dependenciesAwaited = true;
}

#define DSV2_BARRIER(op, all, count)                                           \
  {"llvm.nvvm.barrier.cta." op ".all", located<all>},                          \
      {"llvm.nvvm.barrier.cta." op ".aligned.all", located<all>},              \
      {"llvm.nvvm.barrier.cta." op ".count", located<count>}, {                \
    "llvm.nvvm.barrier.cta." op ".aligned.count", located<count>               \
  }

llvm::ArrayRef<IntrinsicEntry> dsv2::emulator::syncIntrinsics() {
  static const IntrinsicEntry table[] = {
      DSV2_BARRIER("sync", syncAll, syncCount),
      {"llvm.nvvm.barrier.cta.arrive.count", located<arriveCount>},
      {"llvm.nvvm.barrier.cta.arrive.aligned.count", located<arriveCount>},
      DSV2_BARRIER("red.popc", reduceAll<BarrierReduction::Popc>,
                   reduceCount<BarrierReduction::Popc>),
      DSV2_BARRIER("red.and", reduceAll<BarrierReduction::And>,
                   reduceCount<BarrierReduction::And>),
      DSV2_BARRIER("red.or", reduceAll<BarrierReduction::Or>,
                   reduceCount<BarrierReduction::Or>),
      {"llvm.nvvm.barrier.cluster.arrive", located<clusterArrive>},
      {"llvm.nvvm.barrier.cluster.arrive.aligned", located<clusterArrive>},
      {"llvm.nvvm.barrier.cluster.arrive.relaxed",
       located<clusterArriveRelaxed>},
      {"llvm.nvvm.barrier.cluster.arrive.relaxed.aligned",
       located<clusterArriveRelaxed>},
      {"llvm.nvvm.barrier.cluster.wait", located<clusterWait>},
      {"llvm.nvvm.barrier.cluster.wait.aligned", located<clusterWait>},
      {"llvm.nvvm.exit", located<exitThread>},
      {"llvm.trap", located<trap>},
      {"llvm.debugtrap", located<trap>},
      {"llvm.nvvm.nanosleep", located<nanosleep>},
      {"llvm.nvvm.setmaxnreg.inc.sync.aligned.u32", located<moreRegisters>},
      {"llvm.nvvm.setmaxnreg.dec.sync.aligned.u32", located<fewerRegisters>},
      {"llvm.nvvm.membar.cta", ignored},
      {"llvm.nvvm.membar.gl", ignored},
      {"llvm.nvvm.membar.sys", ignored},
      {"llvm.nvvm.fence.sc.cluster", ignored},
      {"llvm.nvvm.griddepcontrol.launch.dependents", ignored},
      {"llvm.nvvm.griddepcontrol.wait", located<awaitDependencies>},
  };
  return table;
}
