//===- MBarrier.cpp - instructions on mbarriers, and fences ---------------===//
//
// Part of dsv2, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "../IntrinsicTable.h"

#include "../MBarriers.h"
#include "../Visibility.h"

using namespace dsv2::emulator;

// A generic address may be that of any block of the cluster.

static void init(const uint64_t *a, uint64_t *) { initMBarrier(a[0], a[1]); }
static void inval(const uint64_t *a, uint64_t *) { invalidateMBarrier(a[0]); }

/// The forms without scope; .noComplete has a number of arrivals.
template <bool Drops, bool Completes>
static void arriveOnce(const uint64_t *a, uint64_t *r) {
  MBarrier &barrier = findMBarrier(a[0], false, "mbarrier.arrive");
  *r = arriveAtMBarrier(barrier, Completes ? 1 : a[1], 0, /*releases=*/true,
                        Drops, Completes);
}

/// The forms with scope and space: arguments address, count or bytes. Those of
/// the cluster's space return nothing.
template <bool Expects, bool Drops, bool Relaxed, bool Cluster>
static void arriveScoped(const uint64_t *a, uint64_t *r) {
  MBarrier &barrier = findMBarrier(
      a[0], Cluster, Expects ? "mbarrier.arrive.expect_tx" : "mbarrier.arrive");
  uint64_t state =
      arriveAtMBarrier(barrier, Expects ? 1 : a[1], Expects ? a[1] : 0,
                       /*releases=*/!Relaxed, Drops);
  if (!Cluster)
    *r = state;
}

template <bool Cluster> static void expect(const uint64_t *a, uint64_t *) {
  expectBytes(findMBarrier(a[0], Cluster, "mbarrier.expect_tx"), a[1]);
}

/// mbarrier.complete_tx by a thread: as if a copy of its own had come.
template <bool Cluster> static void complete(const uint64_t *a, uint64_t *) {
  struct Own : AsyncOp {
    void complete() override {}
    std::string describe() const override { return "mbarrier.complete_tx"; }
  };
  static Own op;
  Thread &thread = machine().current();
  op.issuer = &thread;
  op.site = thread.site;
  completeBytes(findMBarrier(a[0], Cluster, "mbarrier.complete_tx"), a[1],
                thread.agent, 0, op);
}

template <bool ByParity, bool Tries, bool Relaxed>
static void waitFor(const uint64_t *a, uint64_t *r) {
  MBarrier &barrier = findMBarrier(
      a[0], false, Tries ? "mbarrier.try_wait" : "mbarrier.test_wait");
  uint64_t value = ByParity ? a[1] & 1 : a[1];
  *r = waitForMBarrier(barrier, ByParity, value, Tries, !Relaxed);
}

static void proxyFence(const uint64_t *, uint64_t *) {
  fenceAsync(machine().current());
}
static void initFence(const uint64_t *, uint64_t *) { fenceMBarrierInit(); }

// All four of scope and space.
#define DSV2_SCOPES(name, cta, cluster)                                        \
  {"llvm.nvvm.mbarrier." name ".scope.cta.space.cta", located<cta>},           \
      {"llvm.nvvm.mbarrier." name ".scope.cluster.space.cta", located<cta>},   \
      {"llvm.nvvm.mbarrier." name ".scope.cta.space.cluster",                  \
       located<cluster>},                                                      \
  {                                                                            \
    "llvm.nvvm.mbarrier." name ".scope.cluster.space.cluster",                 \
        located<cluster>                                                       \
  }
#define DSV2_ARRIVE(name, expects, drops)                                      \
  DSV2_SCOPES(name, (arriveScoped<expects, drops, false, false>),              \
              (arriveScoped<expects, drops, false, true>)),                    \
      DSV2_SCOPES(name ".relaxed",                                             \
                  (arriveScoped<expects, drops, true, false>),                 \
                  (arriveScoped<expects, drops, true, true>))
#define DSV2_WAIT(name, parity, tries)                                         \
  {"llvm.nvvm.mbarrier." name ".scope.cta.space.cta",                          \
   located<waitFor<parity, tries, false>>},                                    \
      {"llvm.nvvm.mbarrier." name ".scope.cluster.space.cta",                  \
       located<waitFor<parity, tries, false>>},                                \
      {"llvm.nvvm.mbarrier." name ".relaxed.scope.cta.space.cta",              \
       located<waitFor<parity, tries, true>>},                                 \
  {                                                                            \
    "llvm.nvvm.mbarrier." name ".relaxed.scope.cluster.space.cta",             \
        located<waitFor<parity, tries, true>>                                  \
  }
#define DSV2_BOTH(name, function)                                              \
  {"llvm.nvvm.mbarrier." name, located<function>}, {                           \
    "llvm.nvvm.mbarrier." name ".shared", located<function>                    \
  }

llvm::ArrayRef<IntrinsicEntry> dsv2::emulator::mbarrierIntrinsics() {
  static const IntrinsicEntry table[] = {
      DSV2_BOTH("init", init),
      DSV2_BOTH("inval", inval),
      DSV2_BOTH("arrive", (arriveOnce<false, true>)),
      DSV2_BOTH("arrive.noComplete", (arriveOnce<false, false>)),
      DSV2_BOTH("arrive.drop", (arriveOnce<true, true>)),
      DSV2_BOTH("arrive.drop.noComplete", (arriveOnce<true, false>)),
      DSV2_BOTH("test.wait", (waitFor<false, false, false>)),
      DSV2_SCOPES("expect.tx", expect<false>, expect<true>),
      DSV2_SCOPES("complete.tx", complete<false>, complete<true>),
      DSV2_ARRIVE("arrive", false, false),
      DSV2_ARRIVE("arrive.expect.tx", true, false),
      DSV2_ARRIVE("arrive.drop", false, true),
      DSV2_ARRIVE("arrive.drop.expect.tx", true, true),
      DSV2_WAIT("test.wait", false, false),
      DSV2_WAIT("test.wait.parity", true, false),
      DSV2_WAIT("try.wait", false, true),
      DSV2_WAIT("try.wait.tl", false, true),
      DSV2_WAIT("try.wait.parity", true, true),
      DSV2_WAIT("try.wait.parity.tl", true, true),
      {"llvm.nvvm.fence.mbarrier_init.release.cluster", located<initFence>},
      {"llvm.nvvm.fence.proxy.async", located<proxyFence>},
      {"llvm.nvvm.fence.proxy.async.shared_cta", located<proxyFence>},
      {"llvm.nvvm.fence.proxy.async.shared_cluster", located<proxyFence>},
      // Order of global memory is not followed.
      {"llvm.nvvm.fence.proxy.async.global", ignored},
      {"llvm.nvvm.fence.proxy.alias", ignored},
  };
  return table;
}
