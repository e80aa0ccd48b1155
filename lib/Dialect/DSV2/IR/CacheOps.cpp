//===- CacheOps.cpp - latent cache ----------------------------------------===//
//
// Part of dsv2, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "VerifyUtils.h"

using namespace mlir;
using namespace mlir::dsv2;

static double getRowBytes(LatentCacheType cache) {
  return cache.getRow().bytes;
}

LogicalResult LatentAppendOp::verify() {
  int64_t tokens =
      getTokens({getLatent(), getKey(), getPositions(), getSeqIds()});
  LatentCacheType cache = getCache().getType();
  // latent_append_c1
  if (failed(checkShape(*this, getLatent(), "latent",
                        {tokens, cache.getLatent()})) ||
      failed(checkShape(*this, getKey(), "key", {tokens, cache.getRope()})))
    return failure();
  // latent_append_c2
  if (failed(checkShape(*this, getPositions(), "positions", {tokens})))
    return failure();
  return checkShape(*this, getSeqIds(), "seq_ids", {tokens});
}

OpCost LatentAppendOp::getCost(const StepShape &step) {
  LatentCacheType cache = getCache().getType();
  OpCost cost;
  cost.activationBytes =
      double(step.tokens) * cache.getRowSize() * getElementBytes(getLatent());
  cost.cacheBytes = step.tokens * getRowBytes(cache);
  return cost;
}

LogicalResult LatentGatherOp::verify() {
  // latent_gather_c1
  return checkShape(
      *this, getResult(), "result",
      {getExtent(getResult(), 0), getCache().getType().getRowSize()});
}

OpCost LatentGatherOp::getCost(const StepShape &step) {
  LatentCacheType cache = getCache().getType();
  OpCost cost;
  cost.cacheBytes = step.context * getRowBytes(cache);
  cost.activationBytes =
      double(step.context) * cache.getRowSize() * getElementBytes(getResult());
  return cost;
}

LogicalResult CopyPagesOp::verify() {
  // copy_pages_c1
  return checkShape(*this, getTo(), "to", {getExtent(getFrom(), 0)});
}

OpCost CopyPagesOp::getCost(const StepShape &) {
  // Only happens when sequences part ways: no part of a step's cost.
  return {};
}
