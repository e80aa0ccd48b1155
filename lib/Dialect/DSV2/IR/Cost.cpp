//===- Cost.cpp - what a whole step costs ---------------------------------===//
//
// Part of dsv2, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "dsv2/Dialect/DSV2/IR/DSV2.h"
#include "mlir/Dialect/Func/IR/FuncOps.h"
#include "mlir/Interfaces/LoopLikeInterface.h"

using namespace mlir;
using namespace mlir::dsv2;

namespace {
class CostSum {
public:
  explicit CostSum(const StepShape &step) : step(step) {}

  /// Adds `factor` times the cost of everything in `region`.
  bool add(Region &region, double factor);

  OpCost total;

private:
  bool add(Operation &op, double factor);

  const StepShape &step;
  /// Functions being summed.
  SmallPtrSet<Operation *, 4> active;
};
} // namespace

bool CostSum::add(Region &region, double factor) {
  for (Operation &op : region.getOps())
    if (!add(op, factor))
      return false;
  return true;
}

bool CostSum::add(Operation &op, double factor) {
  if (auto costly = dyn_cast<CostOpInterface>(op))
    total += costly.getCost(step) * factor;
  if (auto call = dyn_cast<func::CallOp>(op)) {
    auto callee = SymbolTable::lookupNearestSymbolFrom<func::FuncOp>(
        call, call.getCalleeAttr());
    if (!callee || !active.insert(callee).second)
      return false;
    bool known = add(callee.getBody(), factor);
    active.erase(callee);
    return known;
  }
  if (auto loop = dyn_cast<LoopLikeOpInterface>(op)) {
    std::optional<APInt> trips = loop.getStaticTripCount();
    if (!trips)
      return false;
    factor *= trips->getSExtValue();
  }
  for (Region &region : op.getRegions())
    if (!add(region, factor))
      return false;
  return true;
}

std::optional<OpCost> mlir::dsv2::getTotalCost(FunctionOpInterface entry,
                                               const StepShape &step) {
  CostSum sum(step);
  if (!sum.add(entry.getFunctionBody(), 1))
    return std::nullopt;
  return sum.total;
}
