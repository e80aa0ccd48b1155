//===- MLACombine.cpp - Puts parts of absorbed attention together ---------===//
//
// Part of dsv2, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// Everything that this kernel reads is in the L2 cache: what counts is how many
// loads follow each other. Those of the work are spread over the block's
// threads; logarithms are read by the lanes of a warp, one part each; then each
// lane adds up four columns, with loads of several parts under way.
//
//===----------------------------------------------------------------------===//

#include "MLAParts.h"
#include "dsv2/CodeGen/GPU/KernelCosts.h"
#include "dsv2/CodeGen/GPU/SimtBuilder.h"

#include "llvm/Support/MathExtras.h"

using namespace mlir;
using namespace mlir::dsv2;
using namespace mlir::dsv2::gpu;

static constexpr int64_t kWarps = 4, kThreads = kWarps * kWarpSize;
/// Columns of a lane, 16 bytes, and of a warp.
static constexpr int64_t kLaneColumns = 4,
                         kWarpColumns = kLaneColumns * kWarpSize;
/// More parts than these are dealt to the warps of a block.
static constexpr int64_t kFewParts = 8;

/// What a warp has to do for one head: 128 columns of it.
static int64_t getUnits(const MLADecodeShape &shape) {
  return shape.heads * llvm::divideCeil(shape.latent, kWarpColumns);
}

std::pair<int64_t, int64_t>
gpu::getMLACombineBlocks(const MLADecodeShape &shape) {
  return {llvm::divideCeil(shape.heads, 16), getUnits(shape)};
}

namespace {

/// Largest logarithm, sum of exponentials and weighted sums of columns.
struct Sums {
  Value largest, sum;
  SmallVector<Value> columns;
};

class Combine {
public:
  Combine(SimtBuilder &b, const MLADecodeShape &shape, ValueRange arguments)
      : b(b), shape(shape), output(arguments[0]), partSums(arguments[1]),
        partLogs(arguments[2]), positions(arguments[3]), seqIds(arguments[4]),
        tokens(arguments[5]), blocks(arguments[6]), f32(b.getF32Type()),
        i32(b.getI32Type()) {}

  void emit() {
    token = b.blockId(0);
    lane = b.lane();
    warp = b.warp();
    // Positions and sequences are there before a step starts.
    findParts();
    b.awaitPredecessors();
    b.ifThen(b.less(b.i32(1), parts), [&] {
      b.ifElse(
          b.less(parts, b.i32(kFewParts + 1)), [&] { emitFew(); },
          [&] { emitMany(); });
    });
  }

private:
  /// Sets the first share of the token's run and the number of its parts.
  void findParts() {
    auto position = [&](Value i) {
      return b.load(i32, b.at(positions, i32, i));
    };
    auto sequence = [&](Value i) { return b.load(i32, b.at(seqIds, i32, i)); };
    Value zero = b.i32(0), one = b.i32(1);
    // Where the run starts that the token is of.
    Value start = token, joined;
    int64_t most = shape.getTileTokens();
    for (int64_t i = 1; i < most; ++i) {
      Value other = b.max(b.sub(token, b.i32(i)), zero);
      Value inside = b.logicalAnd(b.less(b.i32(i - 1), b.rem(token, most)),
                                  b.equal(sequence(other), sequence(token)));
      joined = joined ? b.logicalAnd(joined, inside) : inside;
      start = b.select(joined, other, start);
    }
    Value own =
        describeMLARun(b, shape, position, sequence, start, tokens).blocks;
    SmallVector<Value> counts = b.forCarry(
        b.threadId(), tokens, b.i32(kThreads), {zero, zero},
        [&](Value t, ValueRange carried) {
          Value work = countMLABlocks(b, shape, position, sequence, t, tokens);
          Value before = b.select(b.less(t, start), work, zero);
          return SmallVector<Value>{b.add(carried[0], work),
                                    b.add(carried[1], before)};
        });
    // Of the block's warps.
    Value shared = b.sharedArray("counts", i32, 2 * kWarps);
    auto plus = [&](Value x, Value y) { return b.add(x, y); };
    for (Value &count : counts)
      count = b.warpReduce(count, plus);
    b.ifThen(b.equal(lane, zero), [&] {
      for (int64_t i = 0; i < 2; ++i)
        b.store(counts[i], b.at(shared, i32, b.add(b.mul(warp, 2), i)));
    });
    b.barrier();
    for (int64_t i = 0; i < 2; ++i) {
      counts[i] = zero;
      for (int64_t w = 0; w < kWarps; ++w)
        counts[i] =
            b.add(counts[i], b.load(i32, b.at(shared, i32, b.i32(2 * w + i))));
    }
    MLAShares shares(b, shape, counts[0], blocks);
    first = shares.find(b, counts[1]);
    parts = b.add(
        b.sub(shares.find(b, b.sub(b.add(counts[1], own), one)), first), 1);
    // The token's rows in its tile.
    firstRow = b.mul(b.rem(token, most), kMLAHeads / most);
  }

  /// Head and first column of a unit of work.
  Value headOf(Value unit) {
    return b.div(unit, llvm::divideCeil(shape.latent, kWarpColumns));
  }
  Value columnOf(Value unit) {
    return b.mul(b.rem(unit, llvm::divideCeil(shape.latent, kWarpColumns)),
                 kWarpColumns);
  }

  /// The row of the workspace that has a head of part `part`.
  Value rowOf(Value head, Value part) {
    Value number = b.add(b.mul(b.add(first, part), shape.getHeadTiles()),
                         b.div(head, kMLAHeads));
    Value slot = b.add(b.mul(number, 2),
                       b.select(b.equal(part, b.i32(0)), b.i32(1), b.i32(0)));
    return b.add(b.mul(slot, kMLAHeads),
                 b.add(firstRow, b.rem(head, kMLAHeads)));
  }

  /// Adds up `count` parts, 1 or more, from `from` on, `step` apart.
  Sums addParts(Value head, Value column, Value from, Value step, Value count) {
    // Lanes without columns repeat the last.
    column = b.min(column, b.i32(shape.latent - kLaneColumns));
    Value zero = b.i32(0), last = b.sub(count, b.i32(1));
    auto rowAt = [&](Value index) {
      return rowOf(head, b.add(from, b.mul(index, step)));
    };
    SmallVector<Value> state(2 + kLaneColumns, b.f32(0));
    state[0] = b.f32(kLowestScore);
    // A part for each lane.
    state = b.forCarry(
        zero, count, b.i32(kWarpSize), state,
        [&](Value base, ValueRange before) {
          Value own = b.add(base, lane);
          Value log = b.load(f32, b.at(partLogs, f32, rowAt(b.min(own, last))));
          auto larger = [&](Value x, Value y) { return b.fmax(x, y); };
          Value largest = b.fmax(before[0], b.warpReduce(log, larger));
          Value correction = b.exp2(b.fsub(before[0], largest));
          Value weight = b.select(b.less(own, count),
                                  b.exp2(b.fsub(log, largest)), b.f32(0));
          Value sum = b.warpReduce(
              weight, [&](Value x, Value y) { return b.fadd(x, y); });
          SmallVector<Value> next{largest,
                                  b.fadd(b.fmul(before[1], correction), sum)};
          SmallVector<Value> columns;
          for (Value value : before.drop_front(2))
            columns.push_back(b.fmul(value, correction));
          Value here = b.min(b.sub(count, base), b.i32(kWarpSize));
          // So many at a time; behind the last, its weight being 0, again the
          // last.
          auto add = [&](int64_t together, Value index, ValueRange sums) {
            SmallVector<SmallVector<Value>> loaded;
            for (int64_t i = 0; i < together; ++i)
              loaded.push_back(b.loadFloats(
                  f32, kLaneColumns,
                  b.at(partSums, f32,
                       rowAt(b.min(b.add(base, b.add(index, i)), last)),
                       b.i32(shape.latent), column)));
            SmallVector<Value> result(sums);
            for (int64_t i = 0; i < together; ++i) {
              Value factor = b.shuffleFrom(weight, b.add(index, i));
              for (int64_t c = 0; c < kLaneColumns; ++c)
                result[c] = b.fma(factor, loaded[i][c], result[c]);
            }
            return result;
          };
          constexpr int64_t many = 8, few = 4;
          Value whole = b.mul(b.div(here, many), many);
          columns = b.forCarry(zero, whole, b.i32(many), columns,
                               [&](Value index, ValueRange sums) {
                                 return add(many, index, sums);
                               });
          columns = b.forCarry(whole, here, b.i32(few), columns,
                               [&](Value index, ValueRange sums) {
                                 return add(few, index, sums);
                               });
          llvm::append_range(next, columns);
          return next;
        });
    return {state[0], state[1],
            SmallVector<Value>(ArrayRef(state).drop_front(2))};
  }

  Type element() { return shape.f32Output ? f32 : Type(b.getBF16Type()); }
  Value outputAddress(Value head, Value column) {
    return b.at(output, element(), b.add(b.mul(token, shape.heads), head),
                b.i32(shape.latent), column);
  }

  /// Each warp has units of its own.
  void emitFew() {
    Value unit = b.add(b.mul(b.blockId(1), kWarps), warp);
    b.forEach(unit, b.i32(getUnits(shape)), b.mul(b.gridSize(1), kWarps),
              [&](Value unit) {
                Value head = headOf(unit);
                Value column = b.add(columnOf(unit), b.mul(lane, kLaneColumns));
                Sums sums = addParts(head, column, b.i32(0), b.i32(1), parts);
                Value inverse = b.fdiv(b.f32(1), sums.sum);
                for (Value &value : sums.columns)
                  value = b.fmul(value, inverse);
                auto store = [&] {
                  b.storeFloats(sums.columns, element(),
                                outputAddress(head, column));
                };
                if (shape.latent % kWarpColumns == 0)
                  return store();
                b.ifThen(b.less(column, b.i32(shape.latent)), store);
              });
  }

  /// The warps of a block share the parts of a unit.
  void emitMany() {
    Value columnsOf = b.sharedArray("columns", f32, kWarps * kWarpColumns);
    Value scalarsOf = b.sharedArray("scalars", f32, 2 * kWarps);
    b.forEach(
        b.blockId(1), b.i32(getUnits(shape)), b.gridSize(1), [&](Value unit) {
          Value head = headOf(unit);
          Value column = b.add(columnOf(unit), b.mul(lane, kLaneColumns));
          Value count = b.ceilDiv(b.sub(parts, warp), kWarps);
          Sums sums = addParts(head, column, warp, b.i32(kWarps), count);
          // The unit before has been read.
          b.barrier();
          b.storeFloats(sums.columns, f32,
                        b.at(columnsOf, f32,
                             b.add(b.mul(warp, kWarpColumns),
                                   b.mul(lane, kLaneColumns))));
          b.ifThen(b.equal(lane, b.i32(0)), [&] {
            b.storeFloats({sums.largest, sums.sum}, f32,
                          b.at(scalarsOf, f32, b.mul(warp, 2)));
          });
          b.barrier();
          SmallVector<Value> largests, warpSums;
          for (int64_t w = 0; w < kWarps; ++w) {
            SmallVector<Value> pair =
                b.loadFloats(f32, 2, b.at(scalarsOf, f32, b.i32(2 * w)));
            largests.push_back(pair[0]);
            warpSums.push_back(pair[1]);
          }
          Value largest = largests[0];
          for (int64_t w = 1; w < kWarps; ++w)
            largest = b.fmax(largest, largests[w]);
          // A column for each thread.
          Value thread = b.threadId(), sum = b.f32(0), value = b.f32(0);
          for (int64_t w = 0; w < kWarps; ++w) {
            Value factor = b.exp2(b.fsub(largests[w], largest));
            sum = b.fma(factor, warpSums[w], sum);
            value = b.fma(factor,
                          b.load(f32, b.at(columnsOf, f32,
                                           b.add(thread, w * kWarpColumns))),
                          value);
          }
          Value mine = b.add(columnOf(unit), thread);
          b.ifThen(b.less(mine, b.i32(shape.latent)), [&] {
            b.storeFloat(b.fdiv(value, sum), element(),
                         outputAddress(head, mine));
          });
        });
  }

  SimtBuilder &b;
  const MLADecodeShape &shape;
  Value output, partSums, partLogs, positions, seqIds, tokens, blocks;
  Type f32, i32;
  Value token, lane, warp;
  Value first, parts, firstRow;
};

} // namespace

LLVM::LLVMFuncOp gpu::getOrCreateMLACombine(ModuleOp module,
                                            const MLADecodeShape &shape,
                                            StringRef chip) {
  static_assert(kWarpColumns == kThreads, "a column for each thread");
  MLIRContext *c = module.getContext();
  LLVM::LLVMFuncOp kernel = getOrCreateKernel(
      module, getMLACombineName(shape, chip), kThreads,
      {pointerOf(c, 5), pointerOf(c, 0), pointerOf(c, 1), pointerOf(c, 2),
       pointerOf(c, 3), sizeOf(c, 2, 0), valueOf(c, 4)},
      [&](SimtBuilder &b, ValueRange arguments) {
        Combine(b, shape, arguments).emit();
      },
      Waiting::Inside);
  kernel->setAttr(kChipAttr, StringAttr::get(c, chip));
  setCostFacts(kernel, MLACombineFacts{shape, chip.str()});
  return kernel;
}
