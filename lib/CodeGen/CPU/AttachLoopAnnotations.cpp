//===- AttachLoopAnnotations.cpp - annotations survive translation --------===//
//
// Part of dsv2, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "dsv2/CodeGen/CPU/Passes.h"

#include "mlir/Dialect/LLVMIR/LLVMDialect.h"

namespace mlir::dsv2::cpu {
#define GEN_PASS_DEF_ATTACHLOOPANNOTATIONSPASS
#include "dsv2/CodeGen/CPU/Passes.h.inc"
} // namespace mlir::dsv2::cpu

using namespace mlir;

namespace {
struct AttachLoopAnnotations
    : public dsv2::cpu::impl::AttachLoopAnnotationsPassBase<
          AttachLoopAnnotations> {
  void runOnOperation() override {
    constexpr StringLiteral kName = "llvm.loop_annotation";
    getOperation().walk([&](LLVM::BrOp branch) {
      auto annotation = branch->getDiscardableAttr(kName);
      if (!annotation)
        return;
      branch->removeDiscardableAttr(kName);
      branch.setLoopAnnotationAttr(cast<LLVM::LoopAnnotationAttr>(annotation));
    });
  }
};
} // namespace
