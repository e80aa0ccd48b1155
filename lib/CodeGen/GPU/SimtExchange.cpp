//===- SimtExchange.cpp - tokens on their way to other ranks and back -----===//
//
// Part of dsv2, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "SimtColumns.h"
#include "SimtNames.h"
#include "dsv2/CodeGen/GPU/KernelCosts.h"
#include "dsv2/CodeGen/GPU/SimtKernels.h"

#include "llvm/Support/FormatVariadic.h"
#include "llvm/Support/MathExtras.h"

using namespace mlir;
using namespace mlir::dsv2;
using namespace mlir::dsv2::gpu;

/// Elements in `bytes`.
static int64_t countElements(Type element, int64_t bytes) {
  return bytes * 8 / element.getIntOrFloatBitWidth();
}

int64_t ExchangeConfig::slotColumn() const {
  return llvm::alignTo(width, countElements(element, 4));
}

int64_t ExchangeConfig::columns() const {
  return llvm::alignTo(slotColumn() + countElements(element, 8 * topK),
                       countElements(element, 16));
}

static std::string capacityName(const ExchangeConfig &config) {
  return config.capacity ? "_room" + std::to_string(config.capacity) : "";
}

//===----------------------------------------------------------------------===//
// Plan
//===----------------------------------------------------------------------===//

namespace {

/// Emits the ordering of tokens by rank, by one block. The tokens of a rank are
/// cut into stretches, and each stretch of each rank is a warp's: it counts
/// its tokens, sums up the counts of those before it, and places its own.
class PlanTokens {
public:
  PlanTokens(SimtBuilder &b, const ExchangeConfig &config, ValueRange args)
      : b(b), config(config), i32(b.getI32Type()), ids(args[0]),
        tokens(args[1]), counts(args[2]), places(args[3]),
        stretches(getStretches(config.ranks)),
        sent(b.sharedArray("sent", i32, config.ranks * stretches)),
        lane(b.lane()) {}

  static int64_t getThreads(int64_t ranks) {
    return std::min<int64_t>(ranks * getStretches(ranks), kMaxWarps) *
           kWarpSize;
  }

  void emit();

private:
  static constexpr int64_t kMaxWarps = 16;
  static int64_t getStretches(int64_t ranks) {
    return std::max<int64_t>(kMaxWarps / ranks, 1);
  }

  /// Calls `body` for each of the warp's entries: stretch s of rank r is entry
  /// r * stretches + s.
  void forEntries(llvm::function_ref<void(Value)> body) {
    int64_t entries = config.ranks * stretches;
    b.forEach(b.warp(), b.i32(entries),
              b.i32(std::min<int64_t>(entries, kMaxWarps)), body);
  }
  /// Goes over the tokens of `entry` in order, 32 at a time. Returns `before`
  /// and how many have a row; `body`, if there is one, is given a lane's token,
  /// whether there is one, and its row or -1.
  Value forTokens(Value entry, Value before,
                  llvm::function_ref<void(Value, Value, Value)> body);
  /// Whether any expert of the lane's token is the rank's.
  Value isSentTo(Value rank, Value token);
  /// The sum of what the entries from `begin` on and before `end` have sent.
  Value sumSent(Value begin, Value end);

  SimtBuilder &b;
  const ExchangeConfig &config;
  Type i32;
  Value ids, tokens, counts, places;
  int64_t stretches;
  Value sent, lane;
};

} // namespace

Value PlanTokens::isSentTo(Value rank, Value token) {
  Value isSent;
  for (int64_t slot = 0; slot < config.topK; ++slot) {
    Value id =
        b.load(i32, b.at(ids, i32, b.add(b.mul(token, config.topK), slot)));
    Value isOwner = b.equal(b.div(id, config.experts), rank);
    isSent = isSent ? arith::OrIOp::create(b, isSent, isOwner) : isOwner;
  }
  return isSent;
}

Value PlanTokens::forTokens(
    Value entry, Value before,
    llvm::function_ref<void(Value, Value, Value)> body) {
  Value rank = b.div(entry, stretches);
  // Whole warps' worth of tokens to each stretch.
  Value each = b.mul(b.ceilDiv(tokens, stretches * kWarpSize), kWarpSize);
  Value begin = b.mul(b.rem(entry, stretches), each);
  Value end = b.min(b.add(begin, each), tokens);
  return b
      .forCarry(begin, end, b.i32(kWarpSize), before,
                [&](Value first, ValueRange carried) -> SmallVector<Value> {
                  Value token = b.add(first, lane);
                  Value isToken = b.less(token, end);
                  Value safe = b.min(token, b.sub(tokens, b.i32(1)));
                  Value isSent = b.logicalAnd(isToken, isSentTo(rank, safe));
                  Value lanes = b.ballot(isSent);
                  if (body) {
                    Value lower = b.countBits(
                        arith::AndIOp::create(b, lanes, b.lowerLanes()));
                    Value row = b.add(carried[0], lower);
                    if (config.capacity)
                      isSent = b.logicalAnd(
                          isSent,
                          b.less(row, b.mul(b.add(rank, 1), config.capacity)));
                    body(token, isToken, b.select(isSent, row, b.i32(-1)));
                  }
                  return {b.add(carried[0], b.countBits(lanes))};
                })
      .front();
}

Value PlanTokens::sumSent(Value begin, Value end) {
  Value own = b.forCarry(b.add(begin, lane), end, b.i32(kWarpSize), b.i32(0),
                         [&](Value entry, ValueRange sum) {
                           return SmallVector<Value>{b.add(
                               sum[0], b.load(i32, b.at(sent, i32, entry)))};
                         })
                  .front();
  return b.warpReduce(own, [&](Value x, Value y) { return b.add(x, y); });
}

void PlanTokens::emit() {
  Value isFirstLane = b.equal(lane, b.i32(0));
  forEntries([&](Value entry) {
    Value count = forTokens(entry, b.i32(0), nullptr);
    b.ifThen(isFirstLane, [&] { b.store(count, b.at(sent, i32, entry)); });
  });
  b.barrier();
  forEntries([&](Value entry) {
    Value rank = b.div(entry, stretches);
    Value start = b.mul(rank, stretches);
    Value total = sumSent(start, b.add(start, stretches));
    b.ifThen(b.logicalAnd(isFirstLane, b.equal(entry, start)),
             [&] { b.store(total, b.at(counts, i32, rank)); });
    Value before = config.capacity ? b.add(b.mul(rank, config.capacity),
                                           sumSent(start, entry))
                                   : sumSent(b.i32(0), entry);
    forTokens(entry, before, [&](Value token, Value isToken, Value row) {
      b.ifThen(isToken, [&] {
        b.store(row,
                b.at(places, i32, b.add(b.mul(token, config.ranks), rank)));
      });
    });
  });
}

LLVM::LLVMFuncOp
dsv2::gpu::getOrCreateExchangePlanKernel(ModuleOp module,
                                         const ExchangeConfig &config) {
  MLIRContext *c = module.getContext();
  std::string name =
      llvm::formatv("exchange_plan_e{0}_top{1}_ranks{2}{3}", config.experts,
                    config.topK, config.ranks, capacityName(config));
  auto kernel = getOrCreateKernel(
      module, name, PlanTokens::getThreads(config.ranks),
      {pointerOf(c, 0), sizeOf(c, 0, 0), pointerOf(c, 1), pointerOf(c, 2)},
      [&](SimtBuilder &b, ValueRange args) {
        PlanTokens(b, config, args).emit();
      });
  setCostFacts(kernel, ExchangePlanFacts{config});
  return kernel;
}

//===----------------------------------------------------------------------===//
// Rows
//===----------------------------------------------------------------------===//

namespace {
/// Emits what one block puts into rows.
class PackRow {
public:
  /// `args` are the kernel's.
  PackRow(SimtBuilder &b, const ExchangeConfig &config, ValueRange args)
      : b(b), config(config), i32(b.getI32Type()), x(args[0]), stride(args[1]),
        ids(args[2]), weights(args[4]), places(args[5]), counts(args[6]),
        rows(args[7]), rowStride(args[8]) {}

  /// All rows of a token.
  void packToken(Value token);
  /// The slots of row `row` if no token has it.
  void markUnused(Value row);

private:
  /// Calls `body` with the ranks that the token is sent to, and its row.
  void forRanks(Value token, llvm::function_ref<void(Value, Value)> body);
  /// Writes the words of 4 bytes behind the input of `row`; `body` gives one by
  /// its number.
  void writeSlots(Value row, llvm::function_ref<Value(Value)> body);

  SimtBuilder &b;
  const ExchangeConfig &config;
  Type i32;
  Value x, stride, ids, weights, places, counts, rows, rowStride;
};
} // namespace

void PackRow::forRanks(Value token,
                       llvm::function_ref<void(Value, Value)> body) {
  b.forEach(b.i32(0), b.i32(config.ranks), b.i32(1), [&](Value rank) {
    Value index = b.add(b.mul(token, config.ranks), rank);
    Value row = b.load(i32, b.at(places, i32, index));
    b.ifThen(b.less(b.i32(-1), row), [&] { body(rank, row); });
  });
}

void PackRow::writeSlots(Value row, llvm::function_ref<Value(Value)> body) {
  int64_t words = (config.columns() - config.slotColumn()) /
                  countElements(config.element, 4);
  Value slots =
      b.at(rows, config.element, row, rowStride, b.i32(config.slotColumn()));
  b.forEach(b.threadId(), b.i32(words), b.i32(getRowThreads(config.width)),
            [&](Value word) { b.store(body(word), b.at(slots, i32, word)); });
}

void PackRow::packToken(Value token) {
  Type element = config.element;
  emitByVector(b, config.width, {x, rows},
               {{stride, element}, {rowStride, element}}, [&](int64_t vector) {
                 forRanks(token, [&](Value, Value row) {
                   forColumns(b, config.width, vector, [&](Value column) {
                     SmallVector<Value> values =
                         b.loadFloats(element, vector,
                                      b.at(x, element, token, stride, column));
                     b.storeFloats(values, element,
                                   b.at(rows, element, row, rowStride, column));
                   });
                 });
               });
  Value first = b.mul(token, config.topK), zero = b.i32(0);
  Value last = b.i32(config.topK - 1);
  forRanks(token, [&](Value rank, Value row) {
    writeSlots(row, [&](Value word) {
      Value slot = b.min(word, last);
      Value id = b.load(i32, b.at(ids, i32, b.add(first, slot)));
      Value number = b.select(b.equal(b.div(id, config.experts), rank),
                              b.rem(id, config.experts), b.i32(-1));
      slot = b.min(b.max(b.sub(word, b.i32(config.topK)), zero), last);
      Value weight = b.load(i32, b.at(weights, i32, b.add(first, slot)));
      Value isWeight = b.less(word, b.i32(2 * config.topK));
      return b.select(b.less(word, b.i32(config.topK)), number,
                      b.select(isWeight, weight, zero));
    });
  });
}

void PackRow::markUnused(Value row) {
  Value rank = b.div(row, config.capacity);
  Value wanted = b.load(i32, b.at(counts, i32, rank));
  Value isUnused = b.less(b.sub(wanted, b.i32(1)), b.rem(row, config.capacity));
  b.ifThen(isUnused, [&] {
    writeSlots(row, [&](Value word) {
      return b.select(b.less(word, b.i32(config.topK)), b.i32(-1), b.i32(0));
    });
  });
}

LLVM::LLVMFuncOp
dsv2::gpu::getOrCreateExchangePackKernel(ModuleOp module,
                                         const ExchangeConfig &config) {
  MLIRContext *c = module.getContext();
  std::string name =
      llvm::formatv("exchange_pack_{0}_{1}_e{2}_top{3}_ranks{4}{5}",
                    config.width, elementName(config.element), config.experts,
                    config.topK, config.ranks, capacityName(config));
  auto kernel = getOrCreateKernel(
      module, name, getRowThreads(config.width),
      {pointerOf(c, 0), strideOf(c, 0, 0), pointerOf(c, 1), sizeOf(c, 1, 0),
       pointerOf(c, 2), pointerOf(c, 3), pointerOf(c, 4), pointerOf(c, 5),
       strideOf(c, 5, 0)},
      [&](SimtBuilder &b, ValueRange args) {
        PackRow row(b, config, args);
        if (!config.capacity)
          return row.packToken(b.blockId());
        // Blocks behind those of tokens have a row each that may be used.
        b.ifElse(
            b.less(b.blockId(), args[3]), [&] { row.packToken(b.blockId()); },
            [&] { row.markUnused(b.sub(b.blockId(), args[3])); });
      });
  setCostFacts(kernel, ExchangePackFacts{config});
  return kernel;
}

Value dsv2::gpu::getExchangePackBlocks(ImplicitLocOpBuilder &b,
                                       const ExchangeConfig &config,
                                       Value tokens) {
  if (!config.capacity)
    return tokens;
  return arith::AddIOp::create(
      b, tokens,
      arith::ConstantIndexOp::create(b, config.ranks * config.capacity));
}

/// Threads of a block that takes rows apart.
static constexpr int64_t kUnpackThreads = 128;

LLVM::LLVMFuncOp
dsv2::gpu::getOrCreateExchangeUnpackKernel(ModuleOp module,
                                           const ExchangeConfig &config) {
  MLIRContext *c = module.getContext();
  std::string name =
      llvm::formatv("exchange_unpack_{0}_{1}_top{2}", config.width,
                    elementName(config.element), config.topK);
  auto kernel = getOrCreateKernel(
      module, name, kUnpackThreads,
      {pointerOf(c, 0), strideOf(c, 0, 0), sizeOf(c, 0, 0), pointerOf(c, 1),
       pointerOf(c, 2)},
      [&](SimtBuilder &b, ValueRange args) {
        Type i32 = b.getI32Type();
        Value index = b.add(b.mul(b.blockId(), kUnpackThreads), b.threadId());
        b.ifThen(b.less(index, b.mul(args[2], config.topK)), [&] {
          Value slots = b.at(args[0], config.element, b.div(index, config.topK),
                             args[1], b.i32(config.slotColumn()));
          Value slot = b.rem(index, config.topK);
          Value id = b.load(i32, b.at(slots, i32, slot));
          Value weight =
              b.load(i32, b.at(slots, i32, b.add(slot, config.topK)));
          b.store(id, b.at(args[3], i32, index));
          b.store(weight, b.at(args[4], i32, index));
        });
      });
  setCostFacts(kernel, ExchangeUnpackFacts{config});
  return kernel;
}

Value dsv2::gpu::getExchangeUnpackBlocks(ImplicitLocOpBuilder &b, int64_t topK,
                                         Value rows) {
  Value slots =
      arith::MulIOp::create(b, rows, arith::ConstantIndexOp::create(b, topK));
  return arith::CeilDivUIOp::create(
      b, slots, arith::ConstantIndexOp::create(b, kUnpackThreads));
}

LLVM::LLVMFuncOp
dsv2::gpu::getOrCreateExchangeCombineKernel(ModuleOp module,
                                            const ExchangeConfig &config) {
  MLIRContext *c = module.getContext();
  std::string name = llvm::formatv("exchange_combine_{0}_ranks{1}",
                                   config.width, config.ranks);
  auto kernel = getOrCreateKernel(
      module, name, getRowThreads(config.width),
      {pointerOf(c, 0), strideOf(c, 0, 0), pointerOf(c, 1), pointerOf(c, 2),
       strideOf(c, 2, 0)},
      [&](SimtBuilder &b, ValueRange args) {
        Value token = b.blockId();
        Type f32 = b.getF32Type(), i32 = b.getI32Type();
        // So many rows are under way at once; there is a row 0 to read for
        // ranks without a place.
        int64_t each = std::min<int64_t>(config.ranks, 8);
        emitByVector(
            b, config.width, {args[0], args[3]},
            {{args[1], f32}, {args[4], f32}}, [&](int64_t vector) {
              forColumns(b, config.width, vector, [&](Value column) {
                auto addRows = [&](Value first, ValueRange before) {
                  SmallVector<SmallVector<Value>> loaded;
                  SmallVector<Value> isThere;
                  for (int64_t i = 0; i < each; ++i) {
                    Value rank = b.add(first, i);
                    Value safe = b.min(rank, b.i32(config.ranks - 1));
                    Value row = b.load(
                        i32, b.at(args[2], i32,
                                  b.add(b.mul(token, config.ranks), safe)));
                    isThere.push_back(
                        b.logicalAnd(b.less(rank, b.i32(config.ranks)),
                                     b.less(b.i32(-1), row)));
                    loaded.push_back(
                        b.loadFloats(f32, vector,
                                     b.at(args[0], f32, b.max(row, b.i32(0)),
                                          args[1], column)));
                  }
                  SmallVector<Value> sums(before);
                  for (int64_t i = 0; i < each; ++i)
                    for (auto [sum, value] : llvm::zip(sums, loaded[i]))
                      sum = b.select(isThere[i], b.fadd(sum, value), sum);
                  return sums;
                };
                SmallVector<Value> zeros(vector, b.f32(0.0));
                SmallVector<Value> sums = b.forCarry(
                    b.i32(0), b.i32(config.ranks), b.i32(each), zeros, addRows);
                b.storeFloats(sums, f32,
                              b.at(args[3], f32, token, args[4], column));
              });
            });
      });
  setCostFacts(kernel, ExchangeCombineFacts{config});
  return kernel;
}
