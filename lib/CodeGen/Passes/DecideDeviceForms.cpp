//===- DecideDeviceForms.cpp - attention that kernels leave no choice -----===//
//
// Part of dsv2, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "DeviceShapes.h"
#include "dsv2/CodeGen/Passes.h"

namespace mlir::dsv2 {
#define GEN_PASS_DEF_DECIDEDEVICEFORMSPASS
#include "dsv2/CodeGen/Passes.h.inc"
} // namespace mlir::dsv2

using namespace mlir;
using namespace mlir::dsv2;

namespace {
struct DecideDeviceForms
    : public mlir::dsv2::impl::DecideDeviceFormsPassBase<DecideDeviceForms> {
  using DecideDeviceFormsPassBase::DecideDeviceFormsPassBase;

  void runOnOperation() override {
    auto chips = GPUTargetInfo::parseList(gpuChips);
    if (!chips) {
      getOperation().emitError()
          << "gpu-chip: " << llvm::toString(chips.takeError());
      return signalPassFailure();
    }
    getOperation().walk([&](LatentAttentionOp op) {
      if (op.getForm() == AttentionForm::Undecided &&
          !getPrefillShape(op, *chips))
        op.setForm(AttentionForm::Absorbed);
    });
  }
};
} // namespace
