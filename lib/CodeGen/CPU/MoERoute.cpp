//===- MoERoute.cpp - Choice of experts -----------------------------------===//
//
// Part of dsv2, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "dsv2/CodeGen/CPU/MoEKernels.h"
#include "dsv2/CodeGen/CPU/VectorMath.h"

#include "mlir/Dialect/Vector/IR/VectorOps.h"
#include "llvm/Support/FormatVariadic.h"
#include "llvm/Support/MathExtras.h"

#include <limits>

using namespace mlir;
using namespace mlir::dsv2;
using namespace mlir::dsv2::cpu;

static constexpr float kNegativeInfinity =
    -std::numeric_limits<float>::infinity();

namespace {

class RouteTopK {
public:
  RouteTopK(KernelBuilder &b, const RouteTopKConfig &config)
      : b(b), config(config), lanes(b.lanes()),
        groupSize(config.experts / config.groups),
        limited(config.groups > 1 && config.topKGroups < config.groups) {}

  void emit(ValueRange args, Value part, Value parts);

private:
  void emitToken(Value token);
  Value reduceRow(Value memref, ArrayRef<Value> prefix, Value start,
                  int64_t count, float identity,
                  llvm::function_ref<Value(Value, Value)> combine);
  void emitSoftmax(Value token);
  void limitGroups();
  Value emitArgMax(Value list, int64_t count);
  void fill(Value list, int64_t count, float value);
  int64_t padded(int64_t count) { return llvm::alignTo(count, lanes); }

  KernelBuilder &b;
  const RouteTopKConfig &config;
  int64_t lanes, groupSize;
  bool limited;

  // Arguments.
  Value logits, ids, weights;
  // Scratch: the scores of all experts; those that may still be chosen, padded
  // to whole vectors with -inf; the same for groups.
  Value scores, candidates, groupScores;
};

} // namespace

void RouteTopK::fill(Value list, int64_t count, float value) {
  b.forEach(b.index(0), b.index(padded(count)), b.index(lanes),
            [&](Value i) { b.store(b.splat(value), list, {i}); });
}

/// Combines `count` elements from `start` of a row lane by lane; what is
/// missing in the last vector is `identity`.
Value RouteTopK::reduceRow(Value memref, ArrayRef<Value> prefix, Value start,
                           int64_t count, float identity,
                           llvm::function_ref<Value(Value, Value)> combine) {
  auto at = [&](Value i) {
    SmallVector<Value> indices(prefix);
    indices.push_back(b.add(start, i));
    return indices;
  };
  int64_t whole = count / lanes * lanes;
  Value total = b.splat(identity);
  if (whole)
    total = b.forCarry(b.index(0), b.index(whole), b.index(lanes), {total},
                       [&](Value i, ValueRange carried) -> SmallVector<Value> {
                         return {combine(b.load(memref, at(i)), carried[0])};
                       })[0];
  if (count > whole)
    total = combine(
        emitLoad(b, memref, at(b.index(whole)), count - whole, lanes, identity),
        total);
  return total;
}

/// scores = softmax(logits[token]); candidates = scores, or -inf everywhere if
/// groups have to be chosen first.
void RouteTopK::emitSoftmax(Value token) {
  int64_t experts = config.experts;
  Value largest = emitReduceMax(
      b, reduceRow(logits, {token}, b.index(0), experts, kNegativeInfinity,
                   [&](Value x, Value y) { return emitMax(b, x, y); }));
  Value maximum = b.broadcast(largest);
  // The padding becomes exp(-inf) = 0.
  auto exponentials = [&](Value i, int64_t count) {
    Value x = emitLoad(b, logits, {token, i}, count, lanes, kNegativeInfinity);
    b.store(emitExp(b, b.fsub(x, maximum)), scores, {i});
  };
  int64_t whole = experts / lanes * lanes;
  b.forEach(b.index(0), b.index(whole), b.index(lanes),
            [&](Value i) { exponentials(i, lanes); });
  if (experts > whole)
    exponentials(b.index(whole), experts - whole);

  Value sum = b.broadcast(
      b.reduceAdd(reduceRow(scores, {}, b.index(0), padded(experts), 0.0f,
                            [&](Value x, Value y) { return b.fadd(y, x); })));
  b.forEach(b.index(0), b.index(padded(experts)), b.index(lanes), [&](Value i) {
    Value score = b.fdiv(b.load(scores, {i}), sum);
    b.store(score, scores, {i});
    if (!limited)
      b.store(score, candidates, {i});
  });
  if (limited)
    fill(candidates, experts, kNegativeInfinity);
  else if (experts > whole)
    // The padding must lose to an expert whose score is exactly 0.
    b.store(emitLoad(b, scores, {b.index(whole)}, experts - whole, lanes,
                     kNegativeInfinity),
            candidates, {b.index(whole)});
}

/// Copies the scores of the best groups to the candidates.
void RouteTopK::limitGroups() {
  fill(groupScores, config.groups, kNegativeInfinity);
  b.forEach(b.index(0), b.index(config.groups), [&](Value group) {
    Value best = emitReduceMax(
        b, reduceRow(scores, {}, b.mul(group, groupSize), groupSize,
                     kNegativeInfinity,
                     [&](Value x, Value y) { return emitMax(b, x, y); }));
    b.storeScalar(best, groupScores, {group});
  });
  b.forEach(b.index(0), b.index(config.topKGroups), [&](Value) {
    Value group = emitArgMax(groupScores, config.groups);
    Value start = b.mul(group, groupSize);
    b.forEach(b.index(0), b.index(groupSize), [&](Value i) {
      Value expert = b.add(start, i);
      b.storeScalar(b.loadScalar(scores, {expert}), candidates, {expert});
    });
  });
}

/// Returns the index of the largest element of a padded list, the lowest one
/// among equals, and sets that element to -inf.
Value RouteTopK::emitArgMax(Value list, int64_t count) {
  VectorType intVector = b.vecType(b.getI32Type());
  SmallVector<int32_t> numbers;
  for (int64_t lane = 0; lane < lanes; ++lane)
    numbers.push_back(lane);
  Value number = arith::ConstantOp::create(
      b, DenseElementsAttr::get(intVector, ArrayRef<int32_t>(numbers)));
  // Each lane keeps the first of its largest elements. Lane i starts with index
  // i, so that a list of nothing but -inf or NaN still gives a valid index:
  // lane 0 wins.
  SmallVector<Value> best = b.forCarry(
      b.index(0), b.index(padded(count)), b.index(lanes),
      {b.splat(kNegativeInfinity), number},
      [&](Value i, ValueRange carried) -> SmallVector<Value> {
        Value score = b.load(list, {i});
        Value better = b.fcmp(arith::CmpFPredicate::OGT, score, carried[0]);
        Value indices =
            b.add(number, b.broadcast(b.fromIndex(i, b.getI32Type())));
        return {b.select(better, score, carried[0]),
                b.select(better, indices, carried[1])};
      });
  // Across lanes: the larger score, then the lower index.
  Value score = best[0], index = best[1];
  for (int64_t size = lanes; size > 1; size /= 2) {
    int64_t half = size / 2;
    Value scoreLow = emitSlice(b, score, 0, half);
    Value scoreHigh = emitSlice(b, score, half, half);
    Value indexLow = emitSlice(b, index, 0, half);
    Value indexHigh = emitSlice(b, index, half, half);
    Value larger = b.fcmp(arith::CmpFPredicate::OGT, scoreHigh, scoreLow);
    Value equal = b.fcmp(arith::CmpFPredicate::OEQ, scoreHigh, scoreLow);
    Value takeHigh =
        b.logicalOr(larger, b.logicalAnd(equal, b.lt(indexHigh, indexLow)));
    score = b.select(takeHigh, scoreHigh, scoreLow);
    index = b.select(takeHigh, indexHigh, indexLow);
  }
  Value chosen =
      b.toIndex(vector::ExtractOp::create(b, index, ArrayRef<int64_t>{0}));
  b.storeScalar(b.f32(kNegativeInfinity), list, {chosen});
  return chosen;
}

void RouteTopK::emitToken(Value token) {
  emitSoftmax(token);
  if (limited)
    limitGroups();
  Value sum = b.forCarry(
      b.index(0), b.index(config.topK), b.index(1), {b.f32(0.0f)},
      [&](Value slot, ValueRange carried) -> SmallVector<Value> {
        Value expert = emitArgMax(candidates, config.experts);
        Value weight = b.loadScalar(scores, {expert});
        b.storeScalar(b.fromIndex(expert, b.getI32Type()), ids, {token, slot});
        b.storeScalar(weight, weights, {token, slot});
        return {b.fadd(carried[0], weight)};
      })[0];
  float scale = static_cast<float>(config.routedScale);
  if (!config.normalize && scale == 1.0f)
    return;
  Value divisor = b.fadd(sum, b.f32(1e-20f));
  b.forEach(b.index(0), b.index(config.topK), [&](Value slot) {
    Value weight = b.loadScalar(weights, {token, slot});
    if (config.normalize)
      weight = b.fdiv(weight, divisor);
    if (scale != 1.0f)
      weight = b.fmul(weight, b.f32(scale));
    b.storeScalar(weight, weights, {token, slot});
  });
}

void RouteTopK::emit(ValueRange args, Value part, Value parts) {
  logits = args[0], ids = args[1], weights = args[2];
  scores = b.scratch({padded(config.experts)}, b.getF32Type());
  candidates = b.scratch({padded(config.experts)}, b.getF32Type());
  if (limited)
    groupScores = b.scratch({padded(config.groups)}, b.getF32Type());
  auto [first, last] = b.share(b.dim(ids, 0), part, parts);
  b.forEach(first, last, [&](Value token) { emitToken(token); });
}

func::FuncOp
dsv2::cpu::getOrCreateRouteTopKKernel(ModuleOp module,
                                      const RouteTopKConfig &config,
                                      const CPUTargetInfo &target) {
  assert(config.experts >= 1 && config.experts % config.groups == 0 &&
         config.topKGroups >= 1 && config.topKGroups <= config.groups &&
         config.topKGroups * (config.experts / config.groups) >= config.topK &&
         "impossible routing");
  std::string name = llvm::formatv(
      "route_topk_e{0}_k{1}_g{2}_kg{3}{4}_s{5:x-}", config.experts, config.topK,
      config.groups, config.topKGroups, config.normalize ? "_norm" : "",
      llvm::bit_cast<uint32_t>(static_cast<float>(config.routedScale)));
  MLIRContext *ctx = module.getContext();
  Type act = getActivationType(ctx);
  return getOrCreateRowKernel(
      module, name, target,
      {act, getStridedType(IntegerType::get(ctx, 32), 2), act},
      [&](KernelBuilder &b, ValueRange args, Value part, Value parts) {
        RouteTopK(b, config).emit(args, part, parts);
      });
}
