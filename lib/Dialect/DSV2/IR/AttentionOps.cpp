//===- AttentionOps.cpp - rotary embedding and latent attention -----------===//
//
// Part of dsv2, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "VerifyUtils.h"

#include <cmath>

using namespace mlir;
using namespace mlir::dsv2;

//===----------------------------------------------------------------------===//
// RopeOp
//===----------------------------------------------------------------------===//

LogicalResult RopeOp::verify() {
  // rope_c1
  if (failed(checkShape(*this, getPositions(), "positions",
                        {getExtent(getInput(), 0)})))
    return failure();
  // rope_c2
  if (getExtent(getInput(), -1) != getRope().getDim())
    return emitOpError("expected 'input' rows of ")
           << getRope().getDim() << " elements, got "
           << getExtent(getInput(), -1);
  return success();
}

OpCost RopeOp::getCost(const StepShape &step) {
  // Two products and a sum an element.
  double elements = step.tokens;
  auto shape = cast<ShapedType>(getInput().getType()).getShape();
  for (int64_t extent : shape.drop_front())
    elements *= extent;
  OpCost cost;
  cost.flops = 3.0 * elements;
  cost.activationBytes = 2.0 * elements * getElementBytes(getInput());
  return cost;
}

//===----------------------------------------------------------------------===//
// LatentAttentionOp
//===----------------------------------------------------------------------===//

LogicalResult LatentAttentionOp::verify() {
  int64_t tokens = getTokens(
      {getQNope(), getQRope(), getResult(), getPositions(), getSeqIds()});
  int64_t heads = getExtent(getQNope(), 1);
  int64_t nope = getExtent(getQNope(), 2), value = getExtent(getWUv(), 1);
  LatentCacheType cache = getCache().getType();
  // latent_attention_c1, latent_attention_c3
  if (failed(checkShape(*this, getQRope(), "q_rope",
                        {tokens, heads, cache.getRope()})) ||
      failed(checkShape(*this, getResult(), "result", {tokens, heads, value})))
    return failure();
  // latent_attention_c2, latent_attention_c3
  if (failed(checkShape(*this, getWUk(), "w_uk",
                        {heads, nope, cache.getLatent()})) ||
      failed(checkShape(*this, getWUv(), "w_uv",
                        {heads, value, cache.getLatent()})))
    return failure();
  // latent_attention_c4
  if (failed(checkShape(*this, getPositions(), "positions", {tokens})) ||
      failed(checkShape(*this, getSeqIds(), "seq_ids", {tokens})))
    return failure();
  int64_t starts = getExtent(getSeqStarts(), 0);
  if (starts == 0)
    return emitOpError("expected 'seq_starts' to end with the number of "
                       "tokens, got no elements");
  int64_t sequences = getExtent(getBlockTables(), 0);
  if (!ShapedType::isDynamic(starts) && !ShapedType::isDynamic(sequences) &&
      starts - 1 != sequences)
    return emitOpError("expected 'seq_starts' to have one element more than "
                       "the ")
           << sequences << " rows of 'block_tables', got " << starts;
  // latent_attention_c5
  double scale = getScale().convertToDouble();
  if (!std::isfinite(scale) || scale <= 0)
    return emitOpError("expected 'scale' to be finite and positive, got ")
           << scale;
  return success();
}

OpCost LatentAttentionOp::getCost(const StepShape &step) {
  LatentCacheType cache = getCache().getType();
  double heads = getExtent(getQNope(), 1), nope = getExtent(getQNope(), 2);
  double value = getExtent(getWUv(), 1);
  double latent = cache.getLatent(), rope = cache.getRope();
  double pairs = double(step.tokens) * step.context;
  OpCost cost;
  if (getForm() == AttentionForm::Expanded) {
    // Keys and values of a sequence's context are computed once; then every
    // pair costs a product of N + R and one of V.
    double expanded = double(step.sequences) * step.context;
    cost.flops =
        2.0 * heads *
        (expanded * latent * (nope + value) + pairs * (nope + rope + value));
  } else {
    // w_uk and w_uv once a token; every pair costs L + R and L.
    cost.flops = 2.0 * heads *
                 (double(step.tokens) * latent * (nope + value) +
                  pairs * (latent + rope + latent));
  }
  cost.weightBytes = getBytes(getWUk()) + getBytes(getWUv());
  cost.activationBytes = step.tokens * heads *
                         ((nope + rope) * getElementBytes(getQNope()) +
                          value * getElementBytes(getResult()));
  // A sequence's rows are read once for all its tokens and heads.
  cost.cacheBytes =
      double(step.sequences) * step.context * cache.getRow().bytes;
  return cost;
}
