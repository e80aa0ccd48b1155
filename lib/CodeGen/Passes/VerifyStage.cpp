//===- VerifyStage.cpp - contracts between stages -------------------------===//
//
// Part of dsv2, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "dsv2/CodeGen/Passes.h"

#include "mlir/Dialect/Bufferization/IR/Bufferization.h"
#include "mlir/Dialect/GPU/IR/GPUDialect.h"
#include "mlir/Dialect/LLVMIR/LLVMDialect.h"
#include "mlir/Dialect/LLVMIR/NVVMDialect.h"
#include "mlir/Dialect/MemRef/IR/MemRef.h"
#include "mlir/Dialect/OpenMP/OpenMPDialect.h"
#include "mlir/Dialect/Tensor/IR/Tensor.h"
#include "llvm/ADT/StringSwitch.h"

namespace mlir::dsv2 {
#define GEN_PASS_DEF_VERIFYSTAGEPASS
#include "dsv2/CodeGen/Passes.h.inc"
} // namespace mlir::dsv2

using namespace mlir;
using namespace mlir::dsv2;

/// Largest constant that may stand in the IR, in bytes.
static constexpr int64_t kMaxConstantBytes = 64 * 1024;

static bool isKernelLevel(Operation *op) {
  return isa<LaunchOp, DeviceLaunchOp, DeviceInfoOp, KeyRowsOp, WeightViewOp,
             TapOp>(op);
}

/// Ranks stay visible until their exchanges become calls.
static bool isBetweenRanks(Operation *op) {
  return isa<MeshOp, MeshIndexOp, ArrivalsOp, CheckCapacityOp,
             CollectiveOpInterface>(op);
}

static bool hasTensor(Operation *op) {
  auto isTensor = [](Type type) { return isa<TensorType>(type); };
  return llvm::any_of(op->getOperandTypes(), isTensor) ||
         llvm::any_of(op->getResultTypes(), isTensor);
}

/// Each check returns what is wrong with `op`, or an empty text.
static StringRef checkImport(Operation *op) {
  if (isKernelLevel(op) || isa<PackOp, PackedWeightOp>(op))
    return "decides how to compute, which belongs to a later stage";
  if (isa<memref::MemRefDialect, LLVM::LLVMDialect>(op->getDialect()))
    return "is below the import stage";
  return "";
}

static StringRef checkPlan(Operation *op) {
  if (isKernelLevel(op))
    return "belongs to a later stage";
  if (isa<WeightOp>(op))
    return "must have been moved into a prepare function";
  if (auto attention = dyn_cast<LatentAttentionOp>(op))
    if (attention.getForm() == AttentionForm::Undecided)
      return "has an undecided attention form";
  return "";
}

static StringRef checkStructure(Operation *op) {
  if (isa<DSV2Dialect>(op->getDialect()) && !isKernelLevel(op) &&
      !isBetweenRanks(op))
    return "is a model op and must have become kernels";
  return "";
}

static StringRef checkBuffer(Operation *op) {
  if (StringRef text = checkStructure(op); !text.empty())
    return text;
  if (hasTensor(op))
    return "has a tensor";
  auto function = op->getParentOfType<func::FuncOp>();
  bool isReference = function && function->hasAttr(kReferenceAttr);
  if (isa<memref::AllocOp, memref::DeallocOp, memref::ReallocOp>(op) &&
      !isReference)
    return "allocates on the step path";
  if (isa<bufferization::BufferizationDialect>(op->getDialect()))
    return "is left over from bufferisation";
  return "";
}

static StringRef checkTarget(Operation *op) {
  if (isa<LLVM::LLVMDialect, omp::OpenMPDialect>(op->getDialect()) ||
      isa<ModuleOp, mlir::gpu::GPUModuleOp>(op))
    return "";
  if (isa<NVVM::NVVMDialect>(op->getDialect()) &&
      op->getParentOfType<mlir::gpu::GPUModuleOp>())
    return "";
  return "is not in the LLVM or OpenMP dialect, nor a kernel in NVVM";
}

namespace {
struct VerifyStage : public mlir::dsv2::impl::VerifyStagePassBase<VerifyStage> {
  using VerifyStagePassBase::VerifyStagePassBase;

  void runOnOperation() override {
    using Check = StringRef (*)(Operation *);
    Check check = llvm::StringSwitch<Check>(stage)
                      .Case("import", checkImport)
                      .Case("plan", checkPlan)
                      .Case("structure", checkStructure)
                      .Case("buffer", checkBuffer)
                      .Case("target", checkTarget)
                      .Default(nullptr);
    if (!check) {
      getOperation().emitError()
          << "stage: expected import, plan, structure, buffer or target, got '"
          << stage << "'";
      return signalPassFailure();
    }
    WalkResult result = getOperation().walk([&](Operation *op) {
      // Upstream ops of unregistered dialects have no Dialect object.
      if (!op->getDialect()) {
        op->emitOpError() << "at the end of the " << stage
                          << " stage: is of an unknown dialect";
        return WalkResult::interrupt();
      }
      StringRef wrong = check(op);
      if (!wrong.empty()) {
        op->emitOpError() << "at the end of the " << stage
                          << " stage: " << wrong;
        return WalkResult::interrupt();
      }
      for (NamedAttribute attr : op->getAttrs()) {
        auto elements = dyn_cast<ElementsAttr>(attr.getValue());
        if (!elements || elements.isSplat() ||
            !elements.getElementType().isIntOrFloat())
          continue;
        int64_t bytes = elements.getNumElements() *
                        elements.getElementType().getIntOrFloatBitWidth() / 8;
        if (bytes > kMaxConstantBytes) {
          op->emitOpError()
              << "at the end of the " << stage << " stage: holds a constant of "
              << bytes << " bytes, expected at most " << kMaxConstantBytes;
          return WalkResult::interrupt();
        }
      }
      return WalkResult::advance();
    });
    if (result.wasInterrupted())
      signalPassFailure();
    markAllAnalysesPreserved();
  }
};
} // namespace
