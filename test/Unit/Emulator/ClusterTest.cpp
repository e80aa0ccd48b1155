//===- ClusterTest.cpp - clusters, and stores of the memory accelerator ---===//
//
// Part of dsv2, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "EmulatorTest.h"

using namespace dsv2::test;

namespace {
class ClusterTest : public EmulatorTest {
protected:
  std::string exchange(CUmodule module) {
    std::vector<float> in = smallIntegers(64, 9);
    CUdeviceptr din = upload(in), out = allocate(128 * 4);
    Shape shape;
    shape.grid[0] = 2;
    shape.block[0] = 64;
    shape.cluster[0] = 2;
    shape.shared = 528;
    return judge(launch(function(module, "exchange"), shape, din, out), [&] {
      std::vector<float> result = download<float>(out, 128);
      for (int rank = 0; rank < 2; ++rank)
        for (int i = 0; i < 64; ++i)
          if (result[rank * 64 + i] != in[i] + float(1 - rank))
            return false;
      return true;
    });
  }

  /// `rows` rows of out exist, `before` is in them; the kernel adds or stores.
  std::string storeTiles(CUmodule module, int tiles, int rows, float before) {
    std::vector<float> in = smallIntegers(size_t(tiles) * 64 * 64, 11);
    CUdeviceptr din = upload(in);
    std::vector<float> old(size_t(rows) * 64, before);
    CUdeviceptr out = upload(halves(old));
    CUtensorMap map = encode(out, rows, 64, 64);
    Shape shape;
    shape.block[0] = 128;
    shape.shared = 8192;
    CUresult error =
        launch(function(module, "store_tiles"), shape, map, din, tiles);
    return judge(error, [&] {
      for (size_t i = 0; i < old.size(); ++i)
        old[i] = in[i] + before;
      return download<uint16_t>(out, old.size()) == halves(old);
    });
  }
};
} // namespace

TEST_F(ClusterTest, MulticastAndRemoteArrival) {
  expectOnSeeds(readInput("cluster.ll"),
                [&](CUmodule m) { return exchange(m); }, {""});
}

TEST_F(ClusterTest, MulticastAndRemoteArrivalMutations) {
  std::string text = readInput("cluster.ll");
  auto expect = [&](const std::string &mutant,
                    std::vector<std::string> outcomes) {
    expectOnSeeds(mutant, [&](CUmodule m) { return exchange(m); }, outcomes);
  };
  // The initialisation is not awaited.
  expect(edited(text,
                "start:\n"
                "  call void @llvm.nvvm.barrier.cluster.arrive.aligned()\n"
                "  call void @llvm.nvvm.barrier.cluster.wait.aligned()\n",
                "start:\n"),
         {"lifetime"});
  // The multicast leaves a block out.
  expect(edited(text, "i16 3,", "i16 1,"), {"livelock"});
  // Arrivals that are missing, or that say nothing about what came before.
  expect(edited(text,
                "  call void @llvm.nvvm.mbarrier.arrive.scope.cluster.space."
                "cluster(ptr addrspace(7) %rbar, i32 1)\n",
                ""),
         {"livelock"});
  expect(edited(text, "call void @llvm.nvvm.mbarrier.arrive.scope",
                "call void @llvm.nvvm.mbarrier.arrive.relaxed.scope"),
         {"race"});
  // Waits that are missing.
  expect(edited(text, "  call void @wait(ptr addrspace(3) %bar1)\n", ""),
         {"race", "poison"});
  expect(edited(text, "  call void @wait(ptr addrspace(3) %bar0)\n", ""),
         {"race", "poison"});
  // A block that does not exist.
  expect(edited(text, "%peer = xor i32 %rank, 1", "%peer = add i32 %rank, 1"),
         {"protocol"});
  // An arrival of the cluster's barrier that is missing.
  expect(edited(text,
                "start:\n"
                "  call void @llvm.nvvm.barrier.cluster.arrive.aligned()\n",
                "start:\n"),
         {"protocol"});
}

TEST_F(ClusterTest, StoresOfTiles) {
  std::string text = readInput("store.ll");
  for (auto [tiles, rows] :
       {std::pair{1, 64}, std::pair{3, 192}, std::pair{2, 100}})
    expectOnSeeds(text,
                  [&, tiles = tiles, rows = rows](CUmodule m) {
                    return storeTiles(m, tiles, rows, 0);
                  },
                  {""});
  // The same kernel that adds to what is there.
  std::string adds =
      edited(text, "call void @llvm.nvvm.cp.async.bulk.tensor.s2g.tile.2d",
             "call void @llvm.nvvm.cp.async.bulk.tensor.reduce.add.tile.2d");
  expectOnSeeds(adds, [&](CUmodule m) { return storeTiles(m, 3, 192, 8); },
                {""});
}

TEST_F(ClusterTest, StoresOfTilesMutations) {
  std::string text = readInput("store.ll");
  auto expect = [&](const std::string &mutant,
                    std::vector<std::string> outcomes) {
    expectOnSeeds(
        mutant, [&](CUmodule m) { return storeTiles(m, 3, 192, 0); }, outcomes);
  };
  const std::string sync =
      "  call void @llvm.nvvm.barrier.cta.sync.aligned.all(i32 0)\n";
  // The classic that a GPU mostly forgives.
  expect(edited(text, "  call void @llvm.nvvm.fence.proxy.async.shared_cta()\n",
                ""),
         {"proxy"});
  // A fence of one thread is none of the others.
  expect(
      edited(edited(text,
                    "  call void @llvm.nvvm.fence.proxy.async.shared_cta()\n",
                    ""),
             "latch:\n",
             "latch:\n  call void "
             "@llvm.nvvm.fence.proxy.async.shared_cta()\n"),
      {"proxy"});
  expect(edited(text, "  ; everything is written\n" + sync, ""),
         {"race", "poison"});
  expect(edited(text, "  ; the copy has read everything\n" + sync, ""),
         {"race"});
  expect(edited(text,
                "  call void @llvm.nvvm.cp.async.bulk.wait.group.read(i32 0)\n",
                ""),
         {"race"});
  expect(edited(text, "wait.group.read(i32 0)\n", "wait.group.read(i32 1)\n"),
         {"race"});
  expect(
      edited(text, "  call void @llvm.nvvm.cp.async.bulk.commit.group()\n", ""),
      {"race"});
  // A part that is never written.
  expect(edited(text, "icmp slt i32 %cb1, 4", "icmp slt i32 %cb1, 3"),
         {"poison"});
  // Without the swizzle the result is another.
  expect(edited(text, "%swz = xor i32 %unit, %ax", "%swz = xor i32 %unit, 0"),
         {"wrong"});
  // One tile and no wait at all: the block is gone before the copy has read.
  expectOnSeeds(
      edited(text,
             "  call void @llvm.nvvm.cp.async.bulk.wait.group.read(i32 0)\n",
             ""),
      [&](CUmodule m) { return storeTiles(m, 1, 64, 0); }, {"lifetime"});
}
