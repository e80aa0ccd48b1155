//===- Expectations.cpp - the instructions of a tile kernel ---------------===//
//
// Part of dsv2, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// From the ops and their types alone, not from what the lowering makes of them:
// so that one that drops something does not drop the expectation too.
//
//===----------------------------------------------------------------------===//

#include "KernelEmitter.h"

#include "dsv2/Target/ExpectedInstructions.h"
#include "llvm/ADT/TypeSwitch.h"

using namespace mlir;
using namespace mlir::dsv2;
using namespace mlir::dsv2::tile;

/// Steps of 16 in the depth of a product.
template <typename Op> static int64_t countSteps(Op product) {
  Type a = product.getA().getType();
  auto shared = dyn_cast<SharedType>(a);
  return (shared ? shared.getColumns() : cast<OperandType>(a).getColumns()) /
         16;
}

/// Columns of a product that may be stored: where the output has fewer than a
/// tile, products of the others are dropped.
static int64_t countStoredColumns(MmaOp product) {
  int64_t columns = product.getType().getColumns();
  auto facts =
      product->getParentOfType<KernelOp>()->getAttrOfType<DictionaryAttr>(
          kCostFactsAttr);
  auto n = facts ? facts.getAs<IntegerAttr>("n") : IntegerAttr();
  return n ? std::min<int64_t>(columns, llvm::alignTo(n.getInt(), 8)) : columns;
}

/// Whether a product before `product` loads the same right operand for the same
/// steps, which are loaded once then.
static bool sharesRightOperand(MmaOp product) {
  return llvm::any_of(product.getB().getUsers(), [&](Operation *user) {
    auto other = dyn_cast<MmaOp>(user);
    return other && other != product &&
           other->getBlock() == product->getBlock() &&
           other->isBeforeInBlock(product) && other.getB() == product.getB() &&
           other.getTransposedB() == product.getTransposedB();
  });
}

static void countOp(Operation &op, ExpectedInstructions &expected) {
  llvm::TypeSwitch<Operation *>(&op)
      .Case(
          [&](WgmmaOp product) { expected.add("wgmma", countSteps(product)); })
      .Case([&](MmaOp product) {
        // Products of 16 x 8 x 16 by each warp; ldmatrix loads 16 x 16.
        FragmentType type = product.getType();
        int64_t steps = countSteps(product);
        expected.add("mma",
                     steps * type.getSlabs() * countStoredColumns(product) / 8);
        if (!sharesRightOperand(product))
          expected.add("ldmatrix", steps * type.getColumns() / 16);
      })
      .Case([&](TmaLoadOp load) {
        expected.add("tma_load", load.getTile().getType().getPanels());
      })
      .Case([&](CpAsyncOp copy) {
        SharedType type = copy.getTile().getType();
        auto role = copy->getParentOfType<RoleOp>();
        expected.add("cp_async",
                     type.getTileBytes() / 16 / role.getActiveThreads());
      })
      .Case([&](RingOp ring) {
        // A full and an empty barrier for each stage are made.
        expected.add("mbarrier", 2 * ring.getType().getStages());
      })
      .Case([&](RingAcquireOp) {
        // One waits for the empty barrier, one expects bytes at the full one.
        expected.add("mbarrier", 2);
      })
      .Case<RingWaitOp, RingReleaseOp>(
          [&](auto) { expected.add("mbarrier", 1); })
      .Case([&](RoleOp role) {
        auto kernel = role->getParentOfType<KernelOp>();
        if (role.getRegisters() &&
            *role.getRegisters() != getInitialRegisters(kernel))
          expected.add("setmaxnreg", 1);
      });
}

void tile::setExpectations(KernelOp kernel, Operation *function) {
  ExpectedInstructions::of(kernel.getBody(), countOp).setOn(function);
}
