//===- MoEOps.cpp - routing, dispatch, experts, combine -------------------===//
//
// Part of dsv2, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "VerifyUtils.h"

#include "mlir/IR/PatternMatch.h"

#include <algorithm>
#include <cmath>

using namespace mlir;
using namespace mlir::dsv2;

//===----------------------------------------------------------------------===//
// RouteOp
//===----------------------------------------------------------------------===//

LogicalResult RouteOp::verify() {
  int64_t experts = getExtent(getGate(), 0);
  // route_c1
  if (failed(checkShape(*this, getGate(), "gate",
                        {experts, getExtent(getInput(), 1)})))
    return failure();
  // route_c3
  int64_t topK = getTopKAttr().getInt();
  if (topK < 1 || topK > experts)
    return emitOpError("expected 'top_k' from 1 to the ")
           << experts << " experts, got " << topK;
  // route_c4
  int64_t groups = getNumGroupsAttr().getInt();
  if (groups < 1 || experts % groups != 0)
    return emitOpError("expected 'num_groups' to divide the ")
           << experts << " experts, got " << groups;
  // route_c5
  int64_t kept = getTopGroupsAttr().getInt();
  if (kept < 1 || kept > groups)
    return emitOpError("expected 'top_groups' from 1 to the ")
           << groups << " groups, got " << kept;
  // route_c6
  if (topK > kept * (experts / groups))
    return emitOpError("expected 'top_k' of at most the ")
           << kept * (experts / groups) << " experts of " << kept
           << " groups, got " << topK;
  // route_c7
  double scale = getScale().convertToDouble();
  if (!std::isfinite(scale) || scale <= 0)
    return emitOpError("expected 'scale' to be finite and positive, got ")
           << scale;
  // route_c2; ODS fixes the element types: a kernel writes these and no others.
  int64_t tokens = getTokens({getInput(), getIds(), getWeights()});
  if (failed(checkShape(*this, getIds(), "ids", {tokens, topK})))
    return failure();
  return checkShape(*this, getWeights(), "weights", {tokens, topK});
}

LogicalResult RouteOp::canonicalize(RouteOp op, PatternRewriter &rewriter) {
  // Keeping every group limits nothing.
  if (op.getNumGroups() <= 1 || op.getTopGroups() != op.getNumGroups())
    return failure();
  rewriter.modifyOpInPlace(op, [&] {
    op.setTopGroups(1);
    op.setNumGroups(1);
  });
  return success();
}

OpCost RouteOp::getCost(const StepShape &step) {
  // The product dominates; softmax and choice are a few operations an expert.
  OpCost cost;
  cost.flops = 2.0 * step.tokens * getNumElements(getGate());
  cost.weightBytes = getBytes(getGate());
  cost.activationBytes = double(step.tokens) * getExtent(getInput(), 1) *
                         getElementBytes(getInput());
  return cost;
}

//===----------------------------------------------------------------------===//
// DispatchOp
//===----------------------------------------------------------------------===//

LogicalResult DispatchOp::verify() {
  // dispatch_c1
  int64_t tokens = getTokens({getInput(), getIds(), getRows()});
  int64_t topK = getExtent(getIds(), 1);
  if (failed(checkShape(*this, getIds(), "ids", {tokens, topK})))
    return failure();
  // dispatch_c2
  if (failed(checkShape(*this, getResult(), "result",
                        {ShapedType::kDynamic, getExtent(getInput(), 1)})) ||
      failed(checkShape(*this, getRows(), "rows", {tokens, topK})))
    return failure();
  // dispatch_c3
  int64_t rows = getExtent(getResult(), 0);
  if (!getPartial() && !ShapedType::isDynamic(tokens) &&
      !ShapedType::isDynamic(rows) &&
      (rows % topK != 0 || rows / topK != tokens))
    return emitOpError("expected 'result' to have ")
           << tokens << " * " << topK << " rows, got " << rows;
  // dispatch_c2
  int64_t offsets = getExtent(getOffsets(), 0);
  if (ShapedType::isDynamic(offsets))
    return emitOpError("expected 'offsets' of static size, one more than the "
                       "number of experts, got ")
           << getOffsets().getType();
  if (offsets < 2)
    return emitOpError("expected 'offsets' for at least one expert, got ")
           << offsets << " elements";
  return success();
}

OpCost DispatchOp::getCost(const StepShape &step) {
  // Each token's row is read once and written once for each of its experts.
  double width = getExtent(getInput(), 1), topK = getExtent(getIds(), 1);
  OpCost cost;
  cost.activationBytes =
      step.tokens * (1 + topK) * width * getElementBytes(getInput());
  return cost;
}

//===----------------------------------------------------------------------===//
// ExpertFFNOp
//===----------------------------------------------------------------------===//

LogicalResult ExpertFFNOp::verify() {
  int64_t experts = getExtent(getDown(), 0), width = getExtent(getInput(), 1);
  int64_t inner = getExtent(getDown(), 2);
  // expert_ffn_c1
  if (failed(checkShape(*this, getDown(), "down", {experts, width, inner})))
    return failure();
  int64_t offsets = getExtent(getOffsets(), 0);
  if (offsets - 1 != experts)
    return emitOpError("expected 'offsets' to have one element more than the ")
           << experts << " experts, got " << getOffsets().getType();
  // expert_ffn_c3
  if (!getUp())
    return checkShape(*this, getGate(), "gate", {experts, 2, inner, width});
  // expert_ffn_c2
  if (failed(checkShape(*this, getGate(), "gate", {experts, inner, width})))
    return failure();
  return checkShape(*this, getUp(), "up", {experts, inner, width});
}

OpCost ExpertFFNOp::getCost(const StepShape &step) {
  // `rows` in all, one for each pair of a token and one of its experts. The
  // weights of an expert are read once however many of its rows there are.
  double experts = getExtent(getDown(), 0), width = getExtent(getDown(), 1);
  double inner = getExtent(getDown(), 2);
  int64_t topK = 1;
  if (auto dispatch = getInput().getDefiningOp<DispatchOp>())
    topK = getExtent(dispatch.getIds(), 1);
  double rows = double(step.tokens) * topK;
  double perExpert =
      inner * width *
      (2.0 * getElementBytes(getGate()) + getElementBytes(getDown()));
  OpCost cost;
  cost.flops = 6.0 * rows * inner * width;
  cost.weightBytes = std::min(rows, experts) * perExpert;
  cost.activationBytes = 2.0 * rows * width * getElementBytes(getInput());
  return cost;
}

//===----------------------------------------------------------------------===//
// CombineOp
//===----------------------------------------------------------------------===//

LogicalResult CombineOp::verify() {
  // combine_c1
  int64_t tokens = getTokens({getRows(), getWeights(), getResult()});
  int64_t topK = getExtent(getRows(), 1);
  if (failed(checkShape(*this, getWeights(), "weights", {tokens, topK})))
    return failure();
  return checkShape(*this, getResult(), "result",
                    {tokens, getExtent(getInput(), 1)});
}

OpCost CombineOp::getCost(const StepShape &step) {
  double width = getExtent(getInput(), 1), topK = getExtent(getRows(), 1);
  OpCost cost;
  cost.flops = 2.0 * step.tokens * topK * width;
  cost.activationBytes =
      step.tokens * (topK + 1) * width * getElementBytes(getInput());
  return cost;
}
