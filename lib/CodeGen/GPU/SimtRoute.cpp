//===- SimtRoute.cpp - choice of experts ----------------------------------===//
//
// Part of dsv2, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "dsv2/CodeGen/GPU/SimtKernels.h"

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

  void emit(ValueRange args);

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

void RouteToken::emit(ValueRange args) {
  token = b.blockId();
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

LLVM::LLVMFuncOp dsv2::gpu::getOrCreateRouteKernel(ModuleOp module,
                                                   const RouteConfig &config) {
  MLIRContext *c = module.getContext();
  std::string name = llvm::formatv(
      "route_{0}_top{1}_groups{2}of{3}_{4:x-}{5}", config.experts, config.topK,
      config.topGroups, config.groups, llvm::bit_cast<uint32_t>(config.scale),
      config.normalize ? "_normalize" : "");
  return getOrCreateKernel(
      module, name, kWarpSize,
      {pointerOf(c, 0), strideOf(c, 0, 0), pointerOf(c, 1), pointerOf(c, 2)},
      [&](SimtBuilder &b, ValueRange args) {
        RouteToken(b, config).emit(args);
      });
}

LLVM::LLVMFuncOp dsv2::gpu::getOrCreateDispatchKernel(ModuleOp module,
                                                      int64_t experts,
                                                      int64_t topK) {
  // Thread e looks for the pairs of the experts e, e + threads, ...; every
  // pair is read by all of them at once.
  int64_t threads = std::min<int64_t>(llvm::alignTo(experts, kWarpSize), 1024);
  MLIRContext *c = module.getContext();
  return getOrCreateKernel(
      module, llvm::formatv("dispatch_{0}_top{1}", experts, topK).str(),
      threads,
      {pointerOf(c, 0), sizeOf(c, 0, 0), pointerOf(c, 1), pointerOf(c, 2),
       pointerOf(c, 3)},
      [&](SimtBuilder &b, ValueRange args) {
        Type i32 = b.getI32Type();
        Value ids = args[0], offsets = args[2], tokens = args[3];
        Value rows = args[4];
        Value pairs = b.mul(args[1], topK);
        Value counts = b.sharedArray("counts", i32, experts);
        auto forExperts = [&](llvm::function_ref<void(Value)> body) {
          b.forEach(b.threadId(), b.i32(experts), b.i32(threads), body);
        };
        /// Calls `found(pair, carried)` for every pair of the expert in order.
        auto forPairs = [&](Value expert, Value init,
                            llvm::function_ref<void(Value, Value)> found) {
          return b
              .forCarry(b.i32(0), pairs, b.i32(1), init,
                        [&](Value pair, ValueRange carried) {
                          Value id = b.load(i32, b.at(ids, i32, pair));
                          Value isOwn = b.equal(id, expert);
                          if (found)
                            b.ifThen(isOwn, [&] { found(pair, carried[0]); });
                          return SmallVector<Value>{b.select(
                              isOwn, b.add(carried[0], 1), carried[0])};
                        })
              .front();
        };
        forExperts([&](Value expert) {
          b.store(forPairs(expert, b.i32(0), nullptr),
                  b.at(counts, i32, expert));
        });
        b.barrier();
        forExperts([&](Value expert) {
          Value first =
              b.forCarry(b.i32(0), expert, b.i32(1), b.i32(0),
                         [&](Value i, ValueRange carried) {
                           return SmallVector<Value>{b.add(
                               carried[0], b.load(i32, b.at(counts, i32, i)))};
                         })
                  .front();
          b.store(first, b.at(offsets, i32, expert));
          forPairs(expert, first, [&](Value pair, Value row) {
            b.store(b.div(pair, topK), b.at(tokens, i32, row));
            b.store(row, b.at(rows, i32, pair));
          });
        });
        b.ifThen(b.equal(b.threadId(), b.i32(0)),
                 [&] { b.store(pairs, b.at(offsets, i32, b.i32(experts))); });
      });
}
