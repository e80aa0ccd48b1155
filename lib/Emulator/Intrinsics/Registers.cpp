//===- Registers.cpp - special registers ----------------------------------===//
//
// Part of dsv2, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "../IntrinsicTable.h"

#include "../Module.h"

#include <chrono>

using namespace dsv2::emulator;

// PTX ISA, "Special Registers". NVVM spells a register of three dimensions as
// three intrinsics.

static Thread &self() { return machine().current(); }
static const Launch &launch() { return machine().launch(); }

template <int Dim> static void tid(const uint64_t *, uint64_t *r) {
  *r = self().id[Dim];
}
template <int Dim> static void ntid(const uint64_t *, uint64_t *r) {
  *r = launch().block[Dim];
}
template <int Dim> static void ctaid(const uint64_t *, uint64_t *r) {
  *r = self().block->id[Dim];
}
template <int Dim> static void nctaid(const uint64_t *, uint64_t *r) {
  *r = launch().grid[Dim];
}
template <int Dim> static void clusterid(const uint64_t *, uint64_t *r) {
  *r = self().block->cluster->id[Dim];
}
template <int Dim> static void nclusterid(const uint64_t *, uint64_t *r) {
  *r = launch().grid[Dim] / launch().cluster[Dim];
}
template <int Dim> static void clusterCtaid(const uint64_t *, uint64_t *r) {
  *r = self().block->id[Dim] % launch().cluster[Dim];
}
template <int Dim> static void clusterNctaid(const uint64_t *, uint64_t *r) {
  *r = launch().cluster[Dim];
}
static void clusterCtarank(const uint64_t *, uint64_t *r) {
  *r = self().block->rank;
}
static void clusterNctarank(const uint64_t *, uint64_t *r) {
  *r = launch().clusterBlocks();
}
static void laneid(const uint64_t *, uint64_t *r) { *r = self().lane(); }
static void warpid(const uint64_t *, uint64_t *r) { *r = self().warp(); }
static void nwarpid(const uint64_t *, uint64_t *r) {
  *r = self().block->liveLanes.size();
}
static void warpsize(const uint64_t *, uint64_t *r) { *r = warpSize; }
static void smid(const uint64_t *, uint64_t *r) {
  // Blocks come in random order, so any assignment is as good.
  *r = machine().random(machine().options().sms);
}
static void nsmid(const uint64_t *, uint64_t *r) {
  *r = machine().options().sms;
}
static void gridid(const uint64_t *, uint64_t *r) { *r = 0; }
static void dynamicShared(const uint64_t *, uint64_t *r) {
  *r = launch().dynamicShared;
}
static void totalShared(const uint64_t *, uint64_t *r) {
  *r = launch().kernel->staticShared + launch().dynamicShared;
}
static void isExplicitCluster(const uint64_t *, uint64_t *r) {
  *r = launch().clusterBlocks() > 1;
}
static void clock64(const uint64_t *, uint64_t *r) {
  *r = std::chrono::steady_clock::now().time_since_epoch().count();
}
static void lanemaskEq(const uint64_t *, uint64_t *r) {
  *r = 1u << self().lane();
}
static void lanemaskLt(const uint64_t *, uint64_t *r) {
  *r = (1u << self().lane()) - 1;
}
static void lanemaskLe(const uint64_t *, uint64_t *r) {
  *r = (2ull << self().lane()) - 1;
}
static void lanemaskGt(const uint64_t *, uint64_t *r) {
  *r = uint32_t(~((2ull << self().lane()) - 1));
}
static void lanemaskGe(const uint64_t *, uint64_t *r) {
  *r = uint32_t(~((1ull << self().lane()) - 1));
}

#define DSV2_SREG "llvm.nvvm.read.ptx.sreg."
#define DSV2_SREG3(name, function)                                             \
  {DSV2_SREG name ".x", pure<function<0>>},                                    \
      {DSV2_SREG name ".y", pure<function<1>>}, {                              \
    DSV2_SREG name ".z", pure<function<2>>                                     \
  }

llvm::ArrayRef<IntrinsicEntry> dsv2::emulator::registerIntrinsics() {
  static const IntrinsicEntry table[] = {
      DSV2_SREG3("tid", tid),
      DSV2_SREG3("ntid", ntid),
      DSV2_SREG3("ctaid", ctaid),
      DSV2_SREG3("nctaid", nctaid),
      DSV2_SREG3("clusterid", clusterid),
      DSV2_SREG3("nclusterid", nclusterid),
      DSV2_SREG3("cluster.ctaid", clusterCtaid),
      DSV2_SREG3("cluster.nctaid", clusterNctaid),
      {DSV2_SREG "cluster.ctarank", pure<clusterCtarank>},
      {DSV2_SREG "cluster.nctarank", pure<clusterNctarank>},
      {DSV2_SREG "laneid", pure<laneid>},
      {DSV2_SREG "warpid", pure<warpid>},
      {DSV2_SREG "nwarpid", pure<nwarpid>},
      {DSV2_SREG "warpsize", pure<warpsize>},
      {DSV2_SREG "smid", pure<smid>},
      {DSV2_SREG "nsmid", pure<nsmid>},
      {DSV2_SREG "gridid", pure<gridid>},
      {DSV2_SREG "dynamic_smem_size", pure<dynamicShared>},
      {DSV2_SREG "total_smem_size", pure<totalShared>},
      {DSV2_SREG "clock", pure<clock64>},
      {DSV2_SREG "clock64", pure<clock64>},
      {DSV2_SREG "globaltimer", pure<clock64>},
      {DSV2_SREG "lanemask.eq", pure<lanemaskEq>},
      {DSV2_SREG "lanemask.lt", pure<lanemaskLt>},
      {DSV2_SREG "lanemask.le", pure<lanemaskLe>},
      {DSV2_SREG "lanemask.gt", pure<lanemaskGt>},
      {DSV2_SREG "lanemask.ge", pure<lanemaskGe>},
      {"llvm.nvvm.is_explicit_cluster", pure<isExplicitCluster>},
  };
  return table;
}
