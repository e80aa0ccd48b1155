//===- OverlapCollectives.cpp - compute while tokens travel ---------------===//
//
// Part of dsv2, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "dsv2/Dialect/DSV2/Transforms/Passes.h"

#include "mlir/Analysis/SliceAnalysis.h"
#include "mlir/IR/Builders.h"
#include "mlir/Interfaces/SideEffectInterfaces.h"

namespace mlir::dsv2 {
#define GEN_PASS_DEF_OVERLAPCOLLECTIVESPASS
#include "dsv2/Dialect/DSV2/Transforms/Passes.h.inc"
} // namespace mlir::dsv2

using namespace mlir;
using namespace mlir::dsv2;

/// The ops of the block of `exchange` behind it that `ffn` needs, in order and
/// itself last; nothing if it needs the exchange, or something that is more
/// than its operands.
static std::optional<SmallVector<Operation *>> getMovable(AllToAllVOp exchange,
                                                          GatedFFNOp ffn) {
  BackwardSliceOptions options;
  options.inclusive = true;
  options.filter = [&](Operation *op) {
    return op->getBlock() == exchange->getBlock() &&
           exchange->isBeforeInBlock(op);
  };
  SetVector<Operation *> slice;
  if (failed(getBackwardSlice(ffn.getOperation(), &slice, options)))
    return std::nullopt;
  for (Operation *op : slice) {
    if (!isPure(op))
      return std::nullopt;
    if (llvm::is_contained(op->getOperands(), exchange.getResult()) ||
        llvm::is_contained(op->getOperands(), exchange.getCount()))
      return std::nullopt;
  }
  SmallVector<Operation *> ops = slice.takeVector();
  llvm::sort(ops,
             [](Operation *a, Operation *b) { return a->isBeforeInBlock(b); });
  return ops;
}

namespace {
struct OverlapCollectives
    : public mlir::dsv2::impl::OverlapCollectivesPassBase<OverlapCollectives> {
  void runOnOperation() override {
    SmallVector<AllToAllVOp> exchanges;
    getOperation().walk([&](AllToAllVOp op) {
      if (!op.getAsync() && op.getResult() && !op.getResult().use_empty())
        exchanges.push_back(op);
    });
    for (AllToAllVOp exchange : exchanges)
      overlap(exchange);
  }

  void overlap(AllToAllVOp exchange) {
    SmallVector<Operation *> moved;
    for (Operation &op : *exchange->getBlock()) {
      auto ffn = dyn_cast<GatedFFNOp>(op);
      if (!ffn || !exchange->isBeforeInBlock(ffn))
        continue;
      if (auto ops = getMovable(exchange, ffn)) {
        moved = std::move(*ops);
        break;
      }
    }
    if (moved.empty())
      return;
    Operation *last = exchange;
    for (Operation *op : moved) {
      op->moveAfter(last);
      last = op;
    }
    OpBuilder b(&getContext());
    b.setInsertionPointAfter(last);
    Value received = exchange.getResult();
    auto wait = CommWaitOp::create(
        b, exchange.getLoc(), received.getType(), exchange.getInput(), received,
        exchange.getMesh(), exchange.getAxis(), exchange.getLayer());
    received.replaceAllUsesExcept(wait.getResult(), wait);
    exchange.setAsync(true);
    ++numOverlapped;
  }
};
} // namespace
