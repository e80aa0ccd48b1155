//===- FuseCollectives.cpp - sum once what is summed twice ----------------===//
//
// Part of dsv2, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "dsv2/Dialect/DSV2/Transforms/Passes.h"

#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/IR/Builders.h"

namespace mlir::dsv2 {
#define GEN_PASS_DEF_FUSECOLLECTIVESPASS
#include "dsv2/Dialect/DSV2/Transforms/Passes.h.inc"
} // namespace mlir::dsv2

using namespace mlir;
using namespace mlir::dsv2;

namespace {
struct FuseCollectives
    : public mlir::dsv2::impl::FuseCollectivesPassBase<FuseCollectives> {
  void runOnOperation() override {
    SmallVector<arith::AddFOp> sums;
    getOperation().walk([&](arith::AddFOp op) { sums.push_back(op); });
    for (arith::AddFOp sum : sums)
      fuse(sum);
  }

  void fuse(arith::AddFOp sum) {
    auto lhs = sum.getLhs().getDefiningOp<AllReduceOp>();
    auto rhs = sum.getRhs().getDefiningOp<AllReduceOp>();
    if (!lhs || !rhs || lhs == rhs || !lhs->hasOneUse() || !rhs->hasOneUse() ||
        lhs.getMesh() != rhs.getMesh() || lhs.getAxis() != rhs.getAxis() ||
        lhs.getLayer() != rhs.getLayer() ||
        lhs->getBlock() != sum->getBlock() ||
        rhs->getBlock() != sum->getBlock())
      return;
    OpBuilder b(&getContext());
    b.setInsertionPointAfter(sum);
    auto both =
        AllReduceOp::create(b, sum.getLoc(), sum.getType(), sum.getResult(),
                            lhs.getMesh(), lhs.getAxis(), lhs.getLayer());
    sum.getResult().replaceAllUsesExcept(both.getResult(), both);
    sum.getLhsMutable().assign(lhs.getOutput());
    sum.getRhsMutable().assign(rhs.getOutput());
    lhs.erase();
    rhs.erase();
    ++numFused;
  }
};
} // namespace
