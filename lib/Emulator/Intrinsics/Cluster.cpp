//===- Cluster.cpp - addresses in the blocks of a cluster -----------------===//
//
// Part of dsv2, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "../IntrinsicTable.h"

#include "../Visibility.h"

using namespace dsv2::emulator;

/// PTX ISA, "mapa": the place of an address in another block's shared memory.
static void mapAddress(const uint64_t *a, uint64_t *r) {
  Thread &thread = machine().current();
  Block *home = sharedOwner(thread, a[0]);
  auto &blocks = thread.block->cluster->blocks;
  uint32_t rank = uint32_t(a[1]);
  if (!home || rank >= blocks.size())
    machine().fail(Kind::Protocol, message("mapa of {0:x} to block {1} of {2}",
                                           a[0], rank, blocks.size()));
  *r = blocks[rank]->sharedAddress() + (a[0] - home->sharedAddress());
}

/// PTX ISA, "getctarank".
static void rankOf(const uint64_t *a, uint64_t *r) {
  Block *home = sharedOwner(machine().current(), a[0]);
  if (!home)
    machine().fail(Kind::Protocol,
                   message("getctarank of {0:x}, which is not in shared "
                           "memory",
                           a[0]));
  *r = home->rank;
}

/// PTX ISA, "isspacep".
template <bool Cluster> static void isShared(const uint64_t *a, uint64_t *r) {
  Thread &thread = machine().current();
  Block *home = sharedOwner(thread, a[0]);
  *r = home && (Cluster || home == thread.block);
}

llvm::ArrayRef<IntrinsicEntry> dsv2::emulator::clusterIntrinsics() {
  static const IntrinsicEntry table[] = {
      {"llvm.nvvm.mapa", located<mapAddress>},
      {"llvm.nvvm.mapa.shared.cluster", located<mapAddress>},
      {"llvm.nvvm.getctarank", located<rankOf>},
      {"llvm.nvvm.getctarank.shared.cluster", located<rankOf>},
      {"llvm.nvvm.isspacep.shared", located<isShared<false>>},
      {"llvm.nvvm.isspacep.shared.cluster", located<isShared<true>>},
  };
  return table;
}
