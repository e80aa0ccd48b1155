//===- SpecializeEntries.cpp - decide the attention form of each entry ----===//
//
// Part of dsv2, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "dsv2/Dialect/DSV2/Transforms/Passes.h"

#include "CloneEntry.h"

#include <cmath>

namespace mlir::dsv2 {
#define GEN_PASS_DEF_SPECIALIZEENTRIESPASS
#include "dsv2/Dialect/DSV2/Transforms/Passes.h.inc"
} // namespace mlir::dsv2

using namespace mlir;
using namespace mlir::dsv2;

/// Tokens of one sequence from which on the expanded form costs less, or 0 if
/// it never does. Both forms cost floating-point operations linear in the
/// tokens. Expansion starts higher and rises more slowly, if it does, so that
/// the lines cross at most once; at a long context, which is what counts.
static int64_t computeCrossover(LatentAttentionOp op) {
  constexpr int64_t longContext = int64_t(1) << 32;
  auto getFlops = [&](AttentionForm form, int64_t tokens) {
    auto copy = cast<LatentAttentionOp>(op->clone());
    copy.setForm(form);
    StepShape step;
    step.tokens = tokens;
    step.context = longContext;
    double flops = copy.getCost(step).flops;
    copy->destroy();
    return flops;
  };
  auto getSlope = [&](AttentionForm form) {
    return getFlops(form, 1) - getFlops(form, 0);
  };
  double saved =
      getSlope(AttentionForm::Absorbed) - getSlope(AttentionForm::Expanded);
  if (saved <= 0)
    return 0;
  double start = getFlops(AttentionForm::Expanded, 0) -
                 getFlops(AttentionForm::Absorbed, 0);
  return static_cast<int64_t>(std::ceil(start / saved));
}

/// Clones `entry` and the functions it calls, and sets the form of every
/// attention in them.
static void cloneWithForm(func::FuncOp entry, SymbolTable &symbols,
                          StringRef entryName, AttentionForm form) {
  StringRef name = stringifyAttentionForm(form);
  func::FuncOp clone =
      cloneEntry(entry, symbols, entryName, name, [&](func::FuncOp function) {
        function.walk([&](LatentAttentionOp op) { op.setForm(form); });
      });
  clone->setAttr(kFormAttr, StringAttr::get(entry.getContext(), name));
}

/// The form that every attention of `module` already has, if it is one.
static std::optional<AttentionForm> getDecidedForm(ModuleOp module) {
  std::optional<AttentionForm> form;
  WalkResult result = module.walk([&](LatentAttentionOp op) {
    bool isSame = !form || *form == op.getForm();
    form = op.getForm();
    return isSame ? WalkResult::advance() : WalkResult::interrupt();
  });
  if (result.wasInterrupted() || form == AttentionForm::Undecided)
    return std::nullopt;
  return form;
}

namespace {
struct SpecializeEntries
    : public mlir::dsv2::impl::SpecializeEntriesPassBase<SpecializeEntries> {
  using SpecializeEntriesPassBase::SpecializeEntriesPassBase;

  void runOnOperation() override {
    ModuleOp module = getOperation();
    std::optional<AttentionForm> given;
    if (attentionForm != "auto") {
      given = symbolizeAttentionForm(attentionForm);
      if (!given || *given == AttentionForm::Undecided) {
        module.emitError() << "attention form: expected auto, expanded or "
                              "absorbed, got '"
                           << attentionForm << "'";
        return signalPassFailure();
      }
    }
    if (!given)
      given = getDecidedForm(module);
    if (prefillMinTokens < 0) {
      module.emitError() << "prefill-min-tokens: expected a count, got "
                         << prefillMinTokens.getValue();
      return signalPassFailure();
    }

    SymbolTable symbols(module);
    auto entry = symbols.lookup<func::FuncOp>("step");
    if (!entry || !entry->hasAttr(kEntryAttr)) {
      module.emitError("expected an entry function 'step', found none");
      return signalPassFailure();
    }
    SmallVector<func::FuncOp> callees;
    entry.walk([&](func::CallOp call) {
      auto callee = symbols.lookup<func::FuncOp>(call.getCallee());
      if (callee && !llvm::is_contained(callees, callee))
        callees.push_back(callee);
    });

    if (given || deterministic) {
      cloneWithForm(entry, symbols, "decode",
                    given.value_or(AttentionForm::Absorbed));
    } else {
      int64_t crossover = 0;
      module.walk([&](LatentAttentionOp op) {
        crossover = std::max(crossover, computeCrossover(op));
      });
      if (prefillMinTokens > 0)
        crossover = prefillMinTokens;
      cloneWithForm(entry, symbols, "decode", AttentionForm::Absorbed);
      if (crossover > 0) {
        cloneWithForm(entry, symbols, "prefill", AttentionForm::Expanded);
        module->setAttr(kPrefillMinTokensAttr,
                        Builder(&getContext()).getI64IntegerAttr(crossover));
      }
    }
    setManifestEntry(module, "numerics", "deterministic",
                     BoolAttr::get(&getContext(), deterministic));
    symbols.erase(entry);
    for (func::FuncOp callee : callees)
      symbols.erase(callee);
  }
};
} // namespace
