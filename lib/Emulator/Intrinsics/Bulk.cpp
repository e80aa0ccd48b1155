//===- Bulk.cpp - bulk copies and those of tensors ------------------------===//
//
// Part of dsv2, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "../IntrinsicTable.h"

#include "../Accesses.h"
#include "../MBarriers.h"
#include "../TensorBox.h"
#include "../Visibility.h"

#include <array>
#include <cstring>

using namespace dsv2::emulator;

// PTX ISA, "cp.async.bulk", "cp.async.bulk.tensor", "cp.reduce.async.bulk
// .tensor". Each copy is an agent of its own: it starts ordered after its
// issuer, and who waits for it sees it.

namespace {
/// Something to fill shared memory with, or to read from it: a box of a tensor
/// or plain bytes.
struct Extent {
  bool isTensor = false;
  TensorMap map;
  std::array<int32_t, 5> coordinates = {};
  uint64_t global = 0;
  uint32_t bytes = 0;
};

struct BulkOp : AsyncOp {
  Extent extent;
  uint32_t slot = 0;
  uint32_t agent = 0;
  Epoch epoch = 0;

  std::string describe() const override {
    return message("a bulk copy of {0} bytes", extent.bytes);
  }
  void freeSlot() {
    Cluster &cluster = *issuer->block->cluster;
    if (cluster.ordered)
      cluster.bulkBusy[slot] = false;
  }
};

/// To the shared memory of one or more blocks.
struct Load : BulkOp {
  struct Target {
    Block *block;
    char *to;
    uint32_t barrierOffset;
  };
  std::vector<Target> targets;
  void complete() override;
};

/// To global memory, once the shared memory has been read.
struct StoreWrite : AsyncOp {
  Extent extent;
  BoxReduction reduction = BoxReduction::None;
  std::vector<char> data;
  void complete() override;
  std::string describe() const override { return "the writes of a bulk copy"; }
};
struct Store : BulkOp {
  uint64_t from = 0;
  std::shared_ptr<StoreWrite> write;
  void complete() override;
};
} // namespace

/// Calls `each(offset in the box, address of those 16 bytes)`; the rows of a
/// box are multiples of 16 bytes.
template <typename Each>
static void forChunks(const Extent &extent, uint64_t shared, uint32_t offset,
                      uint32_t bytes, Each each) {
  for (uint32_t i = 0; i < bytes; i += 16)
    each(i, swizzled(shared + offset + i, extent.map.swizzle));
}

//===----------------------------------------------------------------------===//
// Completion
//===----------------------------------------------------------------------===//

void Load::complete() {
  // What lies out of bounds: zero, or a NaN of any width.
  char fill = extent.isTensor && extent.map.fillNan ? char(0xFF) : 0;
  for (Target &target : targets) {
    if (!extent.isTensor) {
      std::memcpy(target.to, reinterpret_cast<const void *>(extent.global),
                  extent.bytes);
    } else {
      uint32_t rowBytes = boxRowBytes(extent.map);
      forBoxRows(extent.map, extent.coordinates.data(), [&](const BoxRow &row) {
        std::array<char, 1024> buffer;
        std::memset(buffer.data(), fill, rowBytes);
        if (row.last > row.first)
          std::memcpy(buffer.data() + row.first,
                      reinterpret_cast<const void *>(row.address),
                      row.last - row.first);
        forChunks(extent, reinterpret_cast<uintptr_t>(target.to), row.offset,
                  rowBytes, [&](uint32_t i, uint64_t address) {
                    std::memcpy(reinterpret_cast<void *>(address),
                                buffer.data() + i, 16);
                  });
      });
    }
    auto barrier = target.block->mbarriers.find(target.barrierOffset);
    if (barrier == target.block->mbarriers.end())
      machine().failAt(
          *issuer, site, Kind::Lifetime,
          message("{0} completes an mbarrier that is gone", describe()));
    machine().counters.global_bytes_read += extent.bytes;
    completeBytes(*barrier->second, extent.bytes, agent, epoch, *this);
  }
  freeSlot();
}

void Store::complete() {
  write->data.resize(extent.bytes);
  if (!extent.isTensor) {
    std::memcpy(write->data.data(), reinterpret_cast<const void *>(from),
                extent.bytes);
  } else {
    uint32_t rowBytes = boxRowBytes(extent.map);
    for (uint32_t row = 0; row < extent.bytes; row += rowBytes)
      forChunks(extent, from, row, rowBytes, [&](uint32_t i, uint64_t address) {
        std::memcpy(write->data.data() + row + i,
                    reinterpret_cast<const void *>(address), 16);
      });
  }
  freeSlot();
  machine().addAsync(write);
}

void StoreWrite::complete() {
  machine().counters.global_bytes_written += extent.bytes;
  if (!extent.isTensor) {
    std::memcpy(reinterpret_cast<void *>(extent.global), data.data(),
                extent.bytes);
    return;
  }
  forBoxRows(extent.map, extent.coordinates.data(), [&](const BoxRow &row) {
    if (row.last == row.first)
      return;
    char *to = reinterpret_cast<char *>(row.address);
    const char *from = data.data() + row.offset + row.first;
    uint32_t bytes = row.last - row.first;
    if (reduction == BoxReduction::None)
      std::memcpy(to, from, bytes);
    else
      reduceElements(extent.map.type, reduction, to, from,
                     bytes / elementBytes(extent.map.type));
  });
}

//===----------------------------------------------------------------------===//
// Issue
//===----------------------------------------------------------------------===//

/// Fails unless the parts of `extent` that lie in its tensor are allocated.
static void checkExtent(const Extent &extent, bool writes, const char *what) {
  if (!machine().options().checks)
    return;
  if (!extent.isTensor) {
    checkGlobalRange(extent.global, extent.bytes, writes, what);
    return;
  }
  forBoxRows(extent.map, extent.coordinates.data(), [&](const BoxRow &row) {
    if (row.last > row.first)
      checkGlobalRange(row.address, row.last - row.first, writes, what);
  });
}

static Extent tensorExtent(uint64_t map, const uint64_t *coordinates, int rank,
                           const char *what) {
  Extent extent;
  extent.isTensor = true;
  if (machine().options().checks)
    checkGlobalRange(map, sizeof(CUtensorMap), false, "tensor map");
  if (map % 64 != 0 ||
      !decodeTensorMap(reinterpret_cast<const void *>(map), extent.map))
    machine().fail(Kind::Protocol,
                   message("{0}: the operand is no tensor map that "
                           "cuTensorMapEncodeTiled has made",
                           what));
  if (int(extent.map.rank) != rank)
    machine().fail(Kind::Protocol,
                   message("{0} of {1} dimensions with a tensor map of "
                           "{2}",
                           what, rank, extent.map.rank));
  if (extent.map.swizzle &&
      boxRowBytes(extent.map) != (16u << extent.map.swizzle))
    machine().fail(Kind::Unsupported,
                   message("{0}: a box {1} bytes wide, narrower than its "
                           "swizzle",
                           what, boxRowBytes(extent.map)));
  for (int i = 0; i < rank; ++i)
    extent.coordinates[i] = int32_t(coordinates[i]);
  extent.bytes = extent.map.boxBytes();
  return extent;
}

static Extent plainExtent(uint64_t global, uint64_t bytes, const char *what) {
  if (bytes % 16 != 0 || bytes == 0 || global % 16 != 0)
    machine().fail(Kind::Protocol,
                   message("{0} of {1} bytes at {2:x}: size and address "
                           "have to be multiples of 16",
                           what, bytes, global));
  Extent extent;
  extent.global = global;
  extent.bytes = uint32_t(std::min<uint64_t>(bytes, UINT32_MAX));
  return extent;
}

/// Gives `op` an agent of its own for its touches.
static void takeSlot(BulkOp &op) {
  Scheduler &scheduler = machine();
  Thread &thread = scheduler.current();
  op.issuer = &thread;
  op.site = thread.site;
  Cluster &cluster = *thread.block->cluster;
  if (!cluster.ordered)
    return;
  uint32_t tried = 0;
  do {
    // All are under way: let the oldest of them end.
    if (++tried > AgentNumbers::bulkSlots) {
      scheduler.completeOldest();
      tried = 0;
    }
    cluster.nextBulk = (cluster.nextBulk + 1) % AgentNumbers::bulkSlots;
  } while (cluster.bulkBusy[cluster.nextBulk]);
  op.slot = cluster.nextBulk;
  cluster.bulkBusy[op.slot] = true;
  op.agent = cluster.agents.firstBulk + op.slot;
  op.epoch = ++cluster.bulkEpochs[op.slot];
}

static Touch touchOfCopy(const BulkOp &op, bool writes) {
  Touch touch = touchOf(*op.issuer, writes);
  touch.agent = op.agent;
  touch.epoch = op.epoch;
  touch.async = true;
  return touch;
}

/// `mask` names blocks of the cluster; all that is below it is in each at the
/// place that it has in the issuer's block. 0: the block that `to` is in.
static void issueLoad(uint64_t to, uint64_t barrier, uint64_t mask,
                      const Extent &extent, const char *what) {
  Scheduler &scheduler = machine();
  Thread &thread = scheduler.current();
  Block &own = *thread.block;
  uint32_t alignment = extent.isTensor ? 128 : 16;
  if (to % alignment != 0)
    scheduler.fail(Kind::Bounds,
                   message("{0} to {1:x}, which is not aligned to {2}", what,
                           to, alignment));
  checkExtent(extent, /*writes=*/false, what);
  Load &op = scheduler.addAsync<Load>();
  op.extent = extent;
  takeSlot(op);
  Block &first = checkSharedRange(to, extent.bytes, true, what);
  uint64_t offset = to - first.sharedAddress();
  auto &blocks = own.cluster->blocks;
  if (mask >> blocks.size())
    scheduler.fail(Kind::Protocol,
                   message("{0}: mask {1:x} names blocks beyond the {2} "
                           "of the cluster",
                           what, mask, blocks.size()));
  for (std::unique_ptr<Block> &block : blocks) {
    if (mask ? !(mask >> block->rank & 1) : block.get() != &first)
      continue;
    // The barrier is in the block that receives, at the place given.
    Block *barrierHome = sharedOwner(thread, barrier);
    uint64_t barrierOffset =
        barrierHome ? barrier - barrierHome->sharedAddress() : 0;
    MBarrier &target = findMBarrier(block->sharedAddress() + barrierOffset,
                                    /*cluster=*/true, what);
    requireVisibleToAsync(thread, target);
    if (own.cluster->ordered)
      touchShared(thread, *block, offset, extent.bytes, touchOfCopy(op, true),
                  what);
    op.targets.push_back(
        {block.get(), block->shared + offset, uint32_t(barrierOffset)});
  }
}

static void issueStore(uint64_t from, const Extent &extent,
                       BoxReduction reduction, const char *what) {
  Scheduler &scheduler = machine();
  Thread &thread = scheduler.current();
  uint32_t alignment = extent.isTensor ? 128 : 16;
  if (from % alignment != 0)
    scheduler.fail(Kind::Bounds,
                   message("{0} from {1:x}, which is not aligned to {2}", what,
                           from, alignment));
  checkExtent(extent, /*writes=*/true, what);
  if (reduction != BoxReduction::None &&
      !reduceElements(extent.map.type, reduction, nullptr, nullptr, 0))
    scheduler.fail(Kind::Protocol,
                   message("{0}: no such reduction of this type", what));
  Store &op = scheduler.addAsync<Store>();
  op.extent = extent;
  op.from = from;
  takeSlot(op);
  Block &block = checkSharedRange(from, extent.bytes, false, what);
  if (block.cluster->ordered) {
    touchShared(thread, block, from - block.sharedAddress(), extent.bytes,
                touchOfCopy(op, false), what);
    // What goes to global memory has to have been written.
    auto require = [&](uint32_t, uint64_t address) {
      requireWritten(thread, block, address - block.sharedAddress(), 16, what);
    };
    if (extent.isTensor)
      forBoxRows(extent.map, extent.coordinates.data(), [&](const BoxRow &row) {
        uint32_t first = row.first / 16 * 16;
        if (row.last > first)
          forChunks(extent, from, row.offset + first, row.last - first,
                    require);
      });
    else
      forChunks(extent, from, 0, extent.bytes, require);
  }
  op.write = std::make_shared<StoreWrite>();
  op.write->issuer = &thread;
  op.write->site = thread.site;
  op.write->extent = extent;
  op.write->reduction = reduction;
  if (block.cluster->ordered)
    thread.openBulk.effects.push_back({op.agent, op.epoch});
  thread.openBulk.ops.push_back(scheduler.ownerOf(op));
}

//===----------------------------------------------------------------------===//
// Instructions; cache hints have no meaning here
//===----------------------------------------------------------------------===//

/// Arguments: destination, mbarrier, map, coordinates, mask, hint, and whether
/// mask and hint count.
template <int Rank> static void load(const uint64_t *a, uint64_t *) {
  const char *what = "cp.async.bulk.tensor to shared memory";
  Extent extent = tensorExtent(a[2], a + 3, Rank, what);
  bool masked = a[Rank + 5];
  if (masked && (a[Rank + 3] & 0xFFFF) == 0)
    machine().fail(Kind::Protocol, message("{0} with an empty mask", what));
  issueLoad(a[0], a[1], masked ? a[Rank + 3] & 0xFFFF : 0, extent, what);
}
template <int Rank> static void loadCta(const uint64_t *a, uint64_t *) {
  const char *what = "cp.async.bulk.tensor to shared memory";
  issueLoad(a[0], a[1], 0, tensorExtent(a[2], a + 3, Rank, what), what);
}
template <int Rank, BoxReduction Op>
static void store(const uint64_t *a, uint64_t *) {
  const char *what = Op == BoxReduction::None
                         ? "cp.async.bulk.tensor to global memory"
                         : "cp.reduce.async.bulk.tensor";
  issueStore(a[0], tensorExtent(a[1], a + 2, Rank, what), Op, what);
}
static void bulkLoad(const uint64_t *a, uint64_t *) {
  const char *what = "cp.async.bulk to shared memory";
  issueLoad(a[0], a[1], a[6] ? a[4] & 0xFFFF : 0, plainExtent(a[2], a[3], what),
            what);
}
static void bulkLoadCta(const uint64_t *a, uint64_t *) {
  const char *what = "cp.async.bulk to shared memory";
  issueLoad(a[0], a[1], 0, plainExtent(a[2], a[3], what), what);
}
static void bulkStore(const uint64_t *a, uint64_t *) {
  const char *what = "cp.async.bulk to global memory";
  issueStore(a[1], plainExtent(a[0], a[2], what), BoxReduction::None, what);
}

static void commitBulkCopies(const uint64_t *, uint64_t *) {
  Thread &thread = machine().current();
  thread.bulkGroups.push_back(std::move(thread.openBulk));
  thread.openBulk = {};
}

/// Waits for all but the last groups: for their reads, or for their writes too.
template <bool ReadsOnly> static void waitGroup(const uint64_t *a, uint64_t *) {
  Scheduler &scheduler = machine();
  Thread &thread = scheduler.current();
  size_t count = thread.bulkGroups.size();
  for (size_t i = 0; i + a[0] < count; ++i) {
    CopyGroup &group = thread.bulkGroups[i];
    for (std::shared_ptr<AsyncOp> &op : group.ops) {
      scheduler.completeAsync(*op);
      if (!ReadsOnly)
        scheduler.completeAsync(*static_cast<Store &>(*op).write);
    }
    for (auto [agent, epoch] : group.effects)
      thread.clock.see(agent, epoch);
    group.readWaited = true;
  }
  if (!ReadsOnly)
    while (thread.bulkGroups.size() > a[0])
      thread.bulkGroups.erase(thread.bulkGroups.begin());
}

#define DSV2_RANKS(name, ...)                                                  \
  {"llvm.nvvm.cp.async.bulk.tensor." name ".1d", located<__VA_ARGS__(1)>},     \
      {"llvm.nvvm.cp.async.bulk.tensor." name ".2d", located<__VA_ARGS__(2)>}, \
      {"llvm.nvvm.cp.async.bulk.tensor." name ".3d", located<__VA_ARGS__(3)>}, \
      {"llvm.nvvm.cp.async.bulk.tensor." name ".4d", located<__VA_ARGS__(4)>}, \
  {                                                                            \
    "llvm.nvvm.cp.async.bulk.tensor." name ".5d", located<__VA_ARGS__(5)>      \
  }
#define DSV2_LOAD(rank) load<rank>
#define DSV2_LOAD_CTA(rank) loadCta<rank>
#define DSV2_STORE(rank) store<rank, BoxReduction::None>
#define DSV2_ADD(rank) store<rank, BoxReduction::Add>
#define DSV2_MIN(rank) store<rank, BoxReduction::Min>
#define DSV2_MAX(rank) store<rank, BoxReduction::Max>
#define DSV2_INC(rank) store<rank, BoxReduction::Inc>
#define DSV2_DEC(rank) store<rank, BoxReduction::Dec>
#define DSV2_AND(rank) store<rank, BoxReduction::And>
#define DSV2_OR(rank) store<rank, BoxReduction::Or>
#define DSV2_XOR(rank) store<rank, BoxReduction::Xor>
#define DSV2_PREFETCH(rank)                                                    \
  {"llvm.nvvm.cp.async.bulk.tensor.prefetch.tile." #rank "d", ignored}

llvm::ArrayRef<IntrinsicEntry> dsv2::emulator::bulkIntrinsics() {
  static const IntrinsicEntry table[] = {
      DSV2_RANKS("g2s.tile", DSV2_LOAD),
      DSV2_RANKS("g2s.cta.tile", DSV2_LOAD_CTA),
      DSV2_RANKS("s2g.tile", DSV2_STORE),
      DSV2_RANKS("reduce.add.tile", DSV2_ADD),
      DSV2_RANKS("reduce.min.tile", DSV2_MIN),
      DSV2_RANKS("reduce.max.tile", DSV2_MAX),
      DSV2_RANKS("reduce.inc.tile", DSV2_INC),
      DSV2_RANKS("reduce.dec.tile", DSV2_DEC),
      DSV2_RANKS("reduce.and.tile", DSV2_AND),
      DSV2_RANKS("reduce.or.tile", DSV2_OR),
      DSV2_RANKS("reduce.xor.tile", DSV2_XOR),
      DSV2_PREFETCH(1),
      DSV2_PREFETCH(2),
      DSV2_PREFETCH(3),
      DSV2_PREFETCH(4),
      DSV2_PREFETCH(5),
      {"llvm.nvvm.cp.async.bulk.global.to.shared.cluster", located<bulkLoad>},
      {"llvm.nvvm.cp.async.bulk.global.to.shared.cta", located<bulkLoadCta>},
      {"llvm.nvvm.cp.async.bulk.shared.cta.to.global", located<bulkStore>},
      {"llvm.nvvm.cp.async.bulk.prefetch.L2", ignored},
      {"llvm.nvvm.cp.async.bulk.commit.group", located<commitBulkCopies>},
      {"llvm.nvvm.cp.async.bulk.wait.group", located<waitGroup<false>>},
      {"llvm.nvvm.cp.async.bulk.wait.group.read", located<waitGroup<true>>},
      {"llvm.nvvm.prefetch.tensormap", ignored},
      {"llvm.nvvm.prefetch.L1", ignored},
      {"llvm.nvvm.prefetch.L2", ignored},
      {"llvm.nvvm.prefetch.global.L1", ignored},
      {"llvm.nvvm.prefetch.global.L2", ignored},
  };
  return table;
}
