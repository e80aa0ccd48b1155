//===- CanonicalizeOps.h - The canonicaliser, without blocks ----*- C++ -*-===//
//
// Part of dsv2, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef DSV2_SUPPORT_CANONICALIZEOPS_H
#define DSV2_SUPPORT_CANONICALIZEOPS_H

#include "mlir/Pass/Pass.h"
#include "mlir/Transforms/GreedyPatternRewriteDriver.h"
#include "mlir/Transforms/Passes.h"

namespace mlir::dsv2 {

/// A pass that canonicalises ops and leaves blocks as they are. To go through
/// the blocks of all regions after every round, as MLIR's own pass does, takes
/// long in kernels with many blocks; LLVM does that again, and better.
inline std::unique_ptr<Pass> createCanonicalizeOpsPass() {
  GreedyRewriteConfig config;
  config.setRegionSimplificationLevel(GreedySimplifyRegionLevel::Disabled);
  return createCanonicalizerPass(config);
}

} // namespace mlir::dsv2

#endif // DSV2_SUPPORT_CANONICALIZEOPS_H
