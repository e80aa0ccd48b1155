//===- SimtRoute.cpp - choice of experts ----------------------------------===//
//
// Part of dsv2, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "SimtRoute.h"

#include "dsv2/CodeGen/GPU/KernelCosts.h"

#include "llvm/ADT/bit.h"
#include "llvm/Support/FormatVariadic.h"
#include "llvm/Support/MathExtras.h"

#include <limits>

using namespace mlir;
using namespace mlir::dsv2;
using namespace mlir::dsv2::gpu;

namespace {

/// Emits the choice for one token, by one warp. Lane l holds the candidates
/// l, l + 32, ... in registers.
class RouteToken {
public:
  RouteToken(SimtBuilder &b, const RouteConfig &config)
      : b(b), config(config), f32(b.getF32Type()), i32(b.getI32Type()),
        lane(b.lane()) {}

  /// The choice for `token`. Arguments are those of the kernel of a route.
  void emit(Value token, ValueRange args);

private:
  static constexpr float kInfinity = std::numeric_limits<float>::infinity();

  Value largest(Value value) {
    return b.warpReduce(value, [&](Value x, Value y) { return b.fmax(x, y); });
  }
  SmallVector<Value> softmax(Value scores, Value stride);
  /// The index of the largest of the warp's candidates, the lowest of equals;
  /// `held[i]` of lane l has index 32 i + l.
  std::pair<Value, Value> argMax(ArrayRef<Value> held);
  void dropLosingGroups(SmallVectorImpl<Value> &held);

  SimtBuilder &b;
  const RouteConfig &config;
  Type f32, i32;
  Value lane;
  Value token;
};

} // namespace

SmallVector<Value> RouteToken::softmax(Value scores, Value stride) {
  SmallVector<Value> held;
  int64_t count = llvm::divideCeil(config.experts, kWarpSize);
  Value maximum = b.f32(-kInfinity);
  for (int64_t i = 0; i < count; ++i) {
    Value index = b.add(lane, i * kWarpSize);
    Value isInside = b.less(index, b.i32(config.experts));
    Value safe = b.select(isInside, index, b.i32(0));
    Value score = b.load(f32, b.at(scores, f32, token, stride, safe));
    held.push_back(b.select(isInside, score, b.f32(-kInfinity)));
    maximum = b.fmax(maximum, held.back());
  }
  maximum = largest(maximum);
  Value sum = b.f32(0.0f);
  for (Value &value : held) {
    value = b.exp(b.fsub(value, maximum));
    sum = b.fadd(sum, value);
  }
  sum = b.warpReduce(sum, [&](Value x, Value y) { return b.fadd(x, y); });
  for (Value &value : held)
    value = b.fdiv(value, sum);
  return held;
}

std::pair<Value, Value> RouteToken::argMax(ArrayRef<Value> held) {
  Value best = held[0], bestIndex = lane;
  for (size_t i = 1; i < held.size(); ++i) {
    // Later ones have higher indices, so they win only if larger.
    Value wins =
        arith::CmpFOp::create(b, arith::CmpFPredicate::OGT, held[i], best);
    best = b.select(wins, held[i], best);
    bestIndex = b.select(wins, b.add(lane, i * kWarpSize), bestIndex);
  }
  for (int32_t mask = kWarpSize / 2; mask > 0; mask /= 2) {
    Value other = b.shuffleXor(best, mask);
    Value otherIndex = b.shuffleXor(bestIndex, mask);
    Value isLarger =
        arith::CmpFOp::create(b, arith::CmpFPredicate::OGT, other, best);
    Value isEqual =
        arith::CmpFOp::create(b, arith::CmpFPredicate::OEQ, other, best);
    Value wins = arith::OrIOp::create(
        b, isLarger, b.logicalAnd(isEqual, b.less(otherIndex, bestIndex)));
    best = b.select(wins, other, best);
    bestIndex = b.select(wins, otherIndex, bestIndex);
  }
  return {best, bestIndex};
}

void RouteToken::dropLosingGroups(SmallVectorImpl<Value> &held) {
  int64_t groupSize = config.experts / config.groups;
  // Lane g holds the score of group g, g + 32, ...
  SmallVector<Value> groups(llvm::divideCeil(config.groups, kWarpSize),
                            b.f32(-kInfinity));
  for (int64_t group = 0; group < config.groups; ++group) {
    Value best = b.f32(-kInfinity);
    for (auto [i, value] : llvm::enumerate(held)) {
      Value own = b.div(b.add(lane, i * kWarpSize), groupSize);
      best = b.fmax(
          best, b.select(b.equal(own, b.i32(group)), value, b.f32(-kInfinity)));
    }
    best = largest(best);
    Value isHolder = b.equal(lane, b.i32(group % kWarpSize));
    Value &slot = groups[group / kWarpSize];
    slot = b.select(isHolder, best, slot);
  }
  SmallVector<Value> isKept(held.size(), b.i32(0));
  for (int64_t turn = 0; turn < config.topGroups; ++turn) {
    Value winner = argMax(groups).second;
    for (auto [i, kept] : llvm::enumerate(isKept)) {
      Value own = b.div(b.add(lane, i * kWarpSize), groupSize);
      kept = b.select(b.equal(own, winner), b.i32(1), kept);
    }
    for (auto [i, value] : llvm::enumerate(groups))
      value = b.select(b.equal(b.add(lane, i * kWarpSize), winner),
                       b.f32(-kInfinity), value);
  }
  for (auto [value, kept] : llvm::zip(held, isKept))
    value = b.select(b.equal(kept, b.i32(1)), value, b.f32(-kInfinity));
}

void RouteToken::emit(Value ofToken, ValueRange args) {
  token = ofToken;
  SmallVector<Value> held = softmax(args[0], args[1]);
  // Lanes past the last expert hold 0, which must not tie with an expert's.
  for (auto [i, value] : llvm::enumerate(held))
    value = b.select(b.less(b.add(lane, i * kWarpSize), b.i32(config.experts)),
                     value, b.f32(-kInfinity));
  if (config.groups > 1 && config.topGroups < config.groups)
    dropLosingGroups(held);
  SmallVector<Value> ids, weights;
  Value sum = b.f32(1e-20f);
  Value chosen = b.f32(0.0f);
  for (int64_t slot = 0; slot < config.topK; ++slot) {
    auto [weight, id] = argMax(held);
    ids.push_back(id);
    weights.push_back(weight);
    chosen = b.fadd(chosen, weight);
    for (auto [i, value] : llvm::enumerate(held))
      value = b.select(b.equal(b.add(lane, i * kWarpSize), id),
                       b.f32(-kInfinity), value);
  }
  sum = b.fadd(chosen, sum);
  b.ifThen(b.equal(lane, b.i32(0)), [&] {
    for (int64_t slot = 0; slot < config.topK; ++slot) {
      Value index = b.add(b.mul(token, config.topK), slot);
      b.store(ids[slot], b.at(args[2], i32, index));
      Value weight = weights[slot];
      if (config.normalize)
        weight = b.fdiv(weight, sum);
      b.store(b.fmul(weight, b.f32(config.scale)), b.at(args[3], f32, index));
    }
  });
}

std::string dsv2::gpu::getRouteName(const RouteConfig &config) {
  return llvm::formatv("route_{0}_top{1}_groups{2}of{3}_{4:x-}{5}",
                       config.experts, config.topK, config.topGroups,
                       config.groups, llvm::bit_cast<uint32_t>(config.scale),
                       config.normalize ? "_normalize" : "");
}

LLVM::LLVMFuncOp dsv2::gpu::getOrCreateRouteKernel(ModuleOp module,
                                                   const RouteConfig &config) {
  MLIRContext *c = module.getContext();
  auto kernel = getOrCreateKernel(
      module, getRouteName(config), kWarpSize,
      {pointerOf(c, 0), strideOf(c, 0, 0), pointerOf(c, 1), pointerOf(c, 2)},
      [&](SimtBuilder &b, ValueRange args) {
        RouteToken(b, config).emit(b.blockId(), args);
      });
  setCostFacts(kernel, config);
  return kernel;
}

//===----------------------------------------------------------------------===//
// Dispatch
//===----------------------------------------------------------------------===//

namespace {

/// Emits the sorting of (token, slot) pairs by expert, by one block: each warp
/// counts its stretch of the pairs, sums say where its rows of each expert
/// start, and it goes over its stretch again. Pairs of an expert stay in order.
/// With `partial` pairs may have the expert -1, which is none.
class DispatchPairs {
public:
  /// For a block of `warps` warps, at most getWarps().
  DispatchPairs(SimtBuilder &b, const DispatchConfig &config, int64_t warps)
      : b(b), i32(b.getI32Type()), experts(config.experts), topK(config.topK),
        partial(config.partial), warps(warps),
        counts(b.sharedArray("counts", i32, warps * experts)),
        starts(b.sharedArray("starts", i32, experts)), lane(b.lane()),
        lower(b.lowerLanes()) {}

  static int64_t getWarps(int64_t experts) {
    // A counter for each warp and expert, in less than the 48 KiB that a kernel
    // can have statically.
    constexpr int64_t kCounters = 10 * 1024;
    return std::clamp<int64_t>(llvm::bit_floor(uint64_t(kCounters / experts)),
                               1, 32);
  }
  static int64_t getThreads(int64_t experts) {
    return getWarps(experts) * kWarpSize;
  }

  /// `numPairs` pairs have the experts at `ids`; the others are results.
  void emit(Value ids, Value numPairs, Value offsets, Value tokens, Value rows);

private:
  /// Loads of ids that are under way at once.
  static constexpr int64_t kUnroll = 4;

  /// Address of the warp's counter of an expert.
  Value counterOf(Value expert) {
    return b.at(counts, i32, b.add(b.mul(b.warp(), experts), expert));
  }
  Value startOf(Value expert) { return b.at(starts, i32, expert); }
  /// Goes over the warp's pairs, 32 at a time, in order. `body` is given a
  /// lane's pair, its expert, the lanes whose pair is of the same expert, and
  /// whether there is a pair; afterwards those that have an expert are counted.
  void forPairs(llvm::function_ref<void(Value, Value, Value, Value)> body);
  Value hasExpert(Value expert) { return b.less(b.i32(-1), expert); }
  /// Turns counts of warps into sums of those before, and totals of experts
  /// into rows where they start.
  void sumUp();

  SimtBuilder &b;
  Type i32;
  int64_t experts, topK;
  bool partial;
  int64_t warps;
  Value counts, starts, lane, lower;
  Value ids, numPairs, offsets;
};

} // namespace

void DispatchPairs::forPairs(
    llvm::function_ref<void(Value, Value, Value, Value)> body) {
  // Whole warps' worth of pairs to each warp.
  Value each = b.mul(b.ceilDiv(numPairs, warps * kWarpSize), kWarpSize);
  Value begin = b.mul(b.warp(), each);
  Value end = b.min(b.add(begin, each), numPairs);
  b.forEach(begin, end, b.i32(kUnroll * kWarpSize), [&](Value first) {
    SmallVector<Value> pairs, loaded;
    for (int64_t i = 0; i < kUnroll; ++i) {
      pairs.push_back(b.add(b.add(first, i * kWarpSize), lane));
      loaded.push_back(b.load(
          i32, b.at(ids, i32, b.min(pairs[i], b.sub(numPairs, b.i32(1))))));
    }
    for (int64_t i = 0; i < kUnroll; ++i) {
      Value isPair = b.less(pairs[i], end);
      Value same = b.matchAny(b.select(isPair, loaded[i], b.i32(-1)));
      if (body)
        body(pairs[i], loaded[i], same, isPair);
      // One lane counts for all of the same expert, after all have read.
      b.warpBarrier();
      Value isFirst = b.equal(arith::AndIOp::create(b, same, lower), b.i32(0));
      Value isCounted = b.logicalAnd(isPair, isFirst);
      if (partial)
        isCounted = b.logicalAnd(isCounted, hasExpert(loaded[i]));
      b.ifThen(isCounted, [&] {
        Value counter = counterOf(loaded[i]);
        b.store(b.add(b.load(i32, counter), b.countBits(same)), counter);
      });
      b.warpBarrier();
    }
  });
}

void DispatchPairs::sumUp() {
  b.forEach(b.threadId(), b.i32(experts), b.i32(warps * kWarpSize),
            [&](Value expert) {
              Value total =
                  b.forCarry(
                       b.i32(0), b.i32(warps), b.i32(1), b.i32(0),
                       [&](Value warp, ValueRange before) {
                         Value counter = b.at(
                             counts, i32, b.add(b.mul(warp, experts), expert));
                         Value count = b.load(i32, counter);
                         b.store(before[0], counter);
                         return SmallVector<Value>{b.add(before[0], count)};
                       })
                      .front();
              b.store(total, startOf(expert));
            });
  b.barrier();
  // Lanes of the first warp have some adjacent experts each.
  b.ifThen(b.equal(b.warp(), b.i32(0)), [&] {
    int64_t each = llvm::divideCeil(experts, kWarpSize);
    Value begin = b.min(b.mul(lane, each), b.i32(experts));
    Value end = b.min(b.add(begin, each), b.i32(experts));
    Value own = b.forCarry(begin, end, b.i32(1), b.i32(0),
                           [&](Value expert, ValueRange sum) {
                             return SmallVector<Value>{
                                 b.add(sum[0], b.load(i32, startOf(expert)))};
                           })
                    .front();
    Value upTo = own;
    for (int32_t delta = 1; delta < kWarpSize; delta *= 2) {
      Value other = b.shuffleUp(upTo, delta);
      upTo = b.select(b.less(lane, b.i32(delta)), upTo, b.add(upTo, other));
    }
    // LLVM may let lanes read the totals of others.
    b.warpBarrier();
    b.forCarry(begin, end, b.i32(1), b.sub(upTo, own),
               [&](Value expert, ValueRange before) {
                 Value total = b.load(i32, startOf(expert));
                 b.store(before[0], startOf(expert));
                 b.store(before[0], b.at(offsets, i32, expert));
                 return SmallVector<Value>{b.add(before[0], total)};
               });
    // The last lane has summed up all experts.
    b.ifThen(b.equal(lane, b.i32(kWarpSize - 1)),
             [&] { b.store(upTo, b.at(offsets, i32, b.i32(experts))); });
  });
}

void DispatchPairs::emit(Value idsOfPairs, Value count, Value toOffsets,
                         Value tokens, Value rows) {
  ids = idsOfPairs;
  numPairs = count;
  offsets = toOffsets;
  b.forEach(b.threadId(), b.i32(warps * experts), b.i32(warps * kWarpSize),
            [&](Value i) { b.store(b.i32(0), b.at(counts, i32, i)); });
  b.barrier();
  forPairs(nullptr);
  b.barrier();
  sumUp();
  b.barrier();
  forPairs([&](Value pair, Value expert, Value same, Value isPair) {
    auto place = [&] {
      Value start =
          b.add(b.load(i32, startOf(expert)), b.load(i32, counterOf(expert)));
      Value row =
          b.add(start, b.countBits(arith::AndIOp::create(b, same, lower)));
      b.store(b.div(pair, topK), b.at(tokens, i32, row));
      b.store(row, b.at(rows, i32, pair));
    };
    b.ifThen(isPair, [&] {
      if (!partial)
        return place();
      b.ifElse(hasExpert(expert), place,
               [&] { b.store(b.i32(-1), b.at(rows, i32, pair)); });
    });
  });
}

LLVM::LLVMFuncOp
dsv2::gpu::getOrCreateDispatchKernel(ModuleOp module,
                                     const DispatchConfig &config) {
  auto [experts, topK, partial] = config;
  std::string name = llvm::formatv("dispatch_{0}_top{1}{2}", experts, topK,
                                   partial ? "_partial" : "");
  MLIRContext *c = module.getContext();
  auto kernel = getOrCreateKernel(
      module, name, DispatchPairs::getThreads(experts),
      {pointerOf(c, 0), sizeOf(c, 0, 0), pointerOf(c, 1), pointerOf(c, 2),
       pointerOf(c, 3)},
      [&config](SimtBuilder &b, ValueRange args) {
        DispatchPairs(b, config, DispatchPairs::getWarps(config.experts))
            .emit(args[0], b.mul(args[1], config.topK), args[2], args[3],
                  args[4]);
      });
  setCostFacts(kernel, config);
  return kernel;
}

SmallVector<KernelParameter>
dsv2::gpu::listRouteDispatch(MLIRContext *c, int64_t scores, int64_t output) {
  return {pointerOf(c, scores),     strideOf(c, scores, 0),
          pointerOf(c, output),     pointerOf(c, output + 1),
          sizeOf(c, scores, 0),     pointerOf(c, output + 2),
          pointerOf(c, output + 3), pointerOf(c, output + 4)};
}

int64_t dsv2::gpu::getMostDispatchWarps(int64_t experts) {
  return DispatchPairs::getWarps(experts);
}

void dsv2::gpu::emitRouteDispatch(SimtBuilder &b, const RouteConfig &config,
                                  ValueRange args, int64_t warps) {
  DispatchPairs pairs(b, {config.experts, config.topK}, warps);
  b.forEach(b.warp(), args[4], b.i32(warps), [&](Value token) {
    RouteToken(b, config).emit(token, args.take_front(4));
  });
  // The ids are in global memory, where all of the block see them.
  b.barrier();
  pairs.emit(args[2], b.mul(args[4], config.topK), args[5], args[6], args[7]);
}

LLVM::LLVMFuncOp
dsv2::gpu::getOrCreateRouteDispatchKernel(ModuleOp module,
                                          const RouteConfig &config) {
  int64_t warps = DispatchPairs::getWarps(config.experts);
  auto kernel = getOrCreateKernel(module, getRouteName(config) + "_dispatch",
                                  warps * kWarpSize,
                                  listRouteDispatch(module.getContext(), 0, 1),
                                  [&](SimtBuilder &b, ValueRange args) {
                                    emitRouteDispatch(b, config, args, warps);
                                  });
  setCostFacts(kernel, RouteDispatchFacts{config});
  return kernel;
}
