//===- SimtProductRing.cpp - products of few rows with bf16 weights -------===//
//
// Part of dsv2, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// Weights go through a ring in shared memory, of which every thread has slots
// of its own: it waits for no other thread, and as soon as it has read a load
// it copies the one that comes a round later. In registers as many loads would
// leave room for fewer blocks, and ptxas would collect those of a loop's turn
// at its end. Weights in blocks have half as many bytes and take registers to
// unpack: they were measured to be faster in rounds.
//
//===----------------------------------------------------------------------===//

#include "SimtProductParts.h"
#include "dsv2/CodeGen/GPU/DeviceParts.h"

#include "mlir/Dialect/LLVMIR/NVVMDialect.h"

using namespace mlir;
using namespace mlir::dsv2;
using namespace mlir::dsv2::gpu;

/// Bytes of a piece; a load brings one of each of the two rows of weights.
static constexpr int64_t kPieceBytes = 16;

int64_t dsv2::gpu::getRingBytes(const ProductConfig &config) {
  ProductTiling tiling(config);
  return tiling.slots * tiling.threads() * 2 * kPieceBytes;
}

namespace {

/// Each piece is good for two instructions, whose columns of K are then not in
/// order; both operands agree on it.
class RingSums : public ProductSums {
public:
  RingSums(SimtBuilder &b, const ProductConfig &config, ProductRows &rows,
           Value output, Value split, Value ring)
      : ProductSums(b, config, rows), tile(b, config, rows, output),
        ring(ring) {
    vector = TileThread::kInputs;
    firstElement = b.add(b.mul(split, TileThread::kStepColumns),
                         b.mul(tile.thread, vector));
    lastFirstElement =
        (tiling.splits - 1) * TileThread::kStepColumns + 3 * vector;
  }

  void emit(Value first, Value count, Value shared,
            llvm::function_ref<void()> beforeInput) override;

private:
  static constexpr int64_t kHalfStep = TileThread::kStepColumns / 2;

  /// Loads of a row from `first` on that fill the ring, or those `round`
  /// elements behind them.
  struct Round {
    int64_t first;
    Value round;
  };

  int64_t getOffset(int64_t index) const override {
    return index / 2 * TileThread::kStepColumns * tiling.splits +
           index % 2 * kHalfStep;
  }
  /// An instruction waits for the one before it with the same accumulator. Over
  /// several rounds that is hidden, and registers are short.
  int64_t accumulators() const { return tiling.loads > tiling.slots ? 1 : 2; }
  /// The thread's place for a piece of a row.
  Value getSlot(int64_t slot, int64_t row);
  void copy(const Round &round, int64_t slot);
  /// `sums` and what the load in a slot adds to them.
  SmallVector<Value> accumulate(const Place &place, int64_t slot,
                                ValueRange sums);
  /// Adds a round to `sums` and copies `next` meanwhile.
  SmallVector<Value> addRound(const Round &round,
                              const std::optional<Round> &next,
                              ValueRange sums);

  TileThread tile;
  /// Its memory, and the number of the thread in the block.
  Value ring, ownThread;
};

} // namespace

Value RingSums::getSlot(int64_t slot, int64_t row) {
  // The constant last, so that it becomes part of the instruction.
  Type i8 = b.getI8Type();
  Value own = b.at(ring, i8, b.mul(ownThread, kPieceBytes));
  int64_t offset = (2 * slot + row) * tiling.threads() * kPieceBytes;
  return b.at(own, i8, b.i32(offset));
}

void RingSums::copy(const Round &round, int64_t slot) {
  Place place = getPlace(round.first + slot, round.round);
  for (int64_t row : {0, 1})
    NVVM::CpAsyncOp::create(
        b, getSlot(slot, row),
        getAddress(tile.weightRows[row], config.weight, place), kPieceBytes,
        NVVM::LoadCacheModifierKind::CG, /*cpSize=*/Value());
  NVVM::CpAsyncCommitGroupOp::create(b);
}

SmallVector<Value> RingSums::accumulate(const Place &place, int64_t slot,
                                        ValueRange before) {
  SmallVector<Value> w[2];
  for (int64_t row : {0, 1})
    w[row] = b.loadWords(kPieceBytes / 4, getSlot(slot, row));
  // Zeros here make what was loaded of the weights count for nothing.
  SmallVector<Value> x = mask(
      tile.loadInput(getAddress(tile.inputRow, config.input, place)), place);
  SmallVector<Value> sums(before);
  for (int64_t half = 0; half < 2; ++half) {
    int64_t k = 2 * half;
    auto own = MutableArrayRef(sums).slice(4 * (half % accumulators()), 4);
    SmallVector<Value> next =
        b.multiplyTile({w[0][k], w[1][k], w[0][k + 1], w[1][k + 1]},
                       {x[k], x[k + 1]}, ValueRange(ArrayRef<Value>(own)));
    llvm::copy(next, own.begin());
  }
  return sums;
}

SmallVector<Value> RingSums::addRound(const Round &round,
                                      const std::optional<Round> &next,
                                      ValueRange before) {
  SmallVector<Value> sums(before);
  for (int64_t slot = 0; slot < tiling.slots; ++slot) {
    // Copies that may still be under way: those behind this one.
    int64_t pending = tiling.slots - 1 - (next ? 0 : slot);
    NVVM::CpAsyncWaitGroupOp::create(b, static_cast<uint32_t>(pending));
    sums = accumulate(getPlace(round.first + slot, round.round), slot, sums);
    if (next)
      copy(*next, slot);
  }
  return sums;
}

void RingSums::emit(Value first, Value count, Value shared,
                    llvm::function_ref<void()> beforeInput) {
  ownThread = hide(b, b.threadId());
  int64_t slots = tiling.slots, rounds = tiling.loads / slots;
  for (int64_t slot = 0; slot < slots; ++slot)
    copy({0, {}}, slot);
  beforeInput();
  tile.prepare(first, count);
  // Rounds that a loop can have, as they and those after them are inside.
  int64_t looped = 0;
  while ((looped + 2) * slots <= tiling.loads &&
         isInside((looped + 2) * slots - 1))
    ++looped;
  SmallVector<Value> sums(4 * accumulators(), b.f32(0.0));
  if (looped) {
    int64_t elements = getOffset(slots);
    sums = b.forCarry(b.i32(0), b.i32(looped), b.i32(1), sums,
                      [&](Value round, ValueRange carried) {
                        ownThread = hide(b, b.threadId());
                        return addRound(
                            {0, b.mul(round, elements)},
                            Round{0, b.mul(b.add(round, b.i32(1)), elements)},
                            carried);
                      });
    ownThread = hide(b, b.threadId());
  }
  for (int64_t round = looped; round < rounds; ++round) {
    std::optional<Round> next;
    if (round + 1 < rounds)
      next = Round{(round + 1) * slots, {}};
    sums = addRound({round * slots, {}}, next, sums);
  }
  SmallVector<Value> totals(ArrayRef(sums).take_front(4));
  for (size_t i = 4; i < sums.size(); ++i)
    totals[i % 4] = b.fadd(totals[i % 4], sums[i]);
  tile.storeTile(totals, shared);
}

std::unique_ptr<ProductSums>
dsv2::gpu::createRingSums(SimtBuilder &b, const ProductConfig &config,
                          ProductRows &rows, Value output, Value split,
                          Value ring) {
  return std::make_unique<RingSums>(b, config, rows, output, split, ring);
}
