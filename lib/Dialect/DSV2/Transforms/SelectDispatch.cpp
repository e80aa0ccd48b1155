//===- SelectDispatch.cpp - exact and fixed exchanges ---------------------===//
//
// Part of dsv2, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "dsv2/Dialect/DSV2/Transforms/Passes.h"

#include "CloneEntry.h"
#include "mlir/IR/Builders.h"

namespace mlir::dsv2 {
#define GEN_PASS_DEF_SELECTDISPATCHPASS
#include "dsv2/Dialect/DSV2/Transforms/Passes.h.inc"
} // namespace mlir::dsv2

using namespace mlir;
using namespace mlir::dsv2;

namespace {
struct SelectDispatch
    : public mlir::dsv2::impl::SelectDispatchPassBase<SelectDispatch> {
  using SelectDispatchPassBase::SelectDispatchPassBase;

  void runOnOperation() override {
    ModuleOp module = getOperation();
    if (capacity < 0 || capacity > std::numeric_limits<int32_t>::max()) {
      module.emitError() << "capacity: expected a number of rows from 0, got "
                         << capacity.getValue();
      return signalPassFailure();
    }
    auto meshes = llvm::to_vector(module.getOps<MeshOp>());
    bool hasExchange = !meshes.empty() && meshes.front().getEp() > 1;
    if (capacity == 0 || !hasExchange)
      return;
    SymbolTable symbols(module);
    auto entry = symbols.lookup<func::FuncOp>("step_decode");
    if (!entry || !entry->hasAttr(kEntryAttr)) {
      module.emitError("expected an entry function 'step_decode', found none");
      return signalPassFailure();
    }
    Builder b(&getContext());
    cloneEntry(
        entry, symbols, "decode_fixed", "fixed", [&](func::FuncOp function) {
          function->setAttr(kCapacityAttr, b.getI64IntegerAttr(capacity));
        });
  }
};
} // namespace
