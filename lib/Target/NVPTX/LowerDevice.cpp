//===- LowerDevice.cpp - a gpu.module to the LLVM and NVVM dialects -------===//
//
// Part of dsv2, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "dsv2/Support/CanonicalizeOps.h"
#include "dsv2/Target/DeviceCode.h"
#include "dsv2/Target/Passes.h"

#include "mlir/Conversion/ControlFlowToLLVM/ControlFlowToLLVM.h"
#include "mlir/Conversion/Passes.h"
#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/Arith/Transforms/Passes.h"
#include "mlir/Dialect/ControlFlow/IR/ControlFlow.h"
#include "mlir/Dialect/Index/IR/IndexDialect.h"
#include "mlir/Dialect/LLVMIR/LLVMDialect.h"
#include "mlir/Dialect/LLVMIR/NVVMDialect.h"
#include "mlir/Dialect/Math/IR/Math.h"
#include "mlir/Dialect/SCF/IR/SCF.h"
#include "mlir/Dialect/UB/IR/UBOps.h"
#include "mlir/Dialect/Vector/IR/VectorOps.h"
#include "mlir/IR/DialectRegistry.h"
#include "mlir/Pass/PassManager.h"
#include "mlir/Pass/PassRegistry.h"
#include "mlir/Target/LLVMIR/Dialect/Builtin/BuiltinToLLVMIRTranslation.h"
#include "mlir/Target/LLVMIR/Dialect/GPU/GPUToLLVMIRTranslation.h"
#include "mlir/Target/LLVMIR/Dialect/LLVMIR/LLVMToLLVMIRTranslation.h"
#include "mlir/Target/LLVMIR/Dialect/NVVM/NVVMToLLVMIRTranslation.h"
#include "mlir/Transforms/Passes.h"

using namespace mlir;

namespace mlir::dsv2 {
#define GEN_PASS_DEF_VERIFYDEVICECODEPASS
#include "dsv2/Target/Passes.h.inc"
} // namespace mlir::dsv2

namespace {
class VerifyDeviceCode
    : public dsv2::impl::VerifyDeviceCodePassBase<VerifyDeviceCode> {
public:
  void runOnOperation() override {
    bool valid = true;
    getOperation()->walk([&](Operation *op) {
      if (op == getOperation())
        return;
      if (!isa<LLVM::LLVMDialect, NVVM::NVVMDialect>(op->getDialect())) {
        op->emitOpError("is left in device code, which has ops of the LLVM and "
                        "NVVM dialects alone");
        valid = false;
      } else if (isa<LLVM::ExpOp, LLVM::Exp2Op, LLVM::Exp10Op, LLVM::LogOp,
                     LLVM::Log2Op, LLVM::Log10Op, LLVM::SinOp, LLVM::CosOp,
                     LLVM::TanOp, LLVM::SinhOp, LLVM::CoshOp, LLVM::TanhOp,
                     LLVM::ASinOp, LLVM::ACosOp, LLVM::ATanOp, LLVM::ATan2Op,
                     LLVM::PowOp, LLVM::FRemOp>(op)) {
        op->emitOpError("has no instruction on the GPU; use an approximation "
                        "of the NVVM dialect, such as ex2.approx");
        valid = false;
      }
    });
    if (!valid)
      signalPassFailure();
  }
};
} // namespace

void dsv2::registerDeviceCodeDialects(DialectRegistry &registry) {
  registry.insert<arith::ArithDialect, cf::ControlFlowDialect,
                  mlir::gpu::GPUDialect, index::IndexDialect, LLVM::LLVMDialect,
                  math::MathDialect, NVVM::NVVMDialect, scf::SCFDialect,
                  ub::UBDialect, vector::VectorDialect>();
  // For the conversion of `cf` below.
  cf::registerConvertControlFlowToLLVMInterface(registry);
  registerBuiltinDialectTranslation(registry);
  registerGPUDialectTranslation(registry);
  registerLLVMDialectTranslation(registry);
  registerNVVMDialectTranslation(registry);
}

static void addLowering(OpPassManager &pm) {
  // Kernels do not need each other to be lowered. Whatever else there is, is
  // taken along as far as it goes: what is left of it is reported at the end.
  OpPassManager &kernels = pm.nestAny();
  kernels.addPass(dsv2::createCanonicalizeOpsPass());
  kernels.addPass(createCSEPass());
  kernels.addPass(createSCFToControlFlowPass());
  kernels.addPass(arith::createArithExpandOpsPass());
  kernels.addPass(createConvertVectorToLLVMPass());
  kernels.addPass(createConvertMathToLLVMPass());
  kernels.addPass(createConvertIndexToLLVMPass());
  kernels.addPass(createArithToLLVMConversionPass());
  // The pass for `cf` alone runs on builtin.module only.
  ConvertToLLVMPassOptions options;
  options.filterDialects = {
      cf::ControlFlowDialect::getDialectNamespace().str()};
  kernels.addPass(createConvertToLLVMPass(options));
  kernels.addPass(createUBToLLVMConversionPass());
  // Ops that are printed as PTX.
  kernels.addPass(createConvertNVVMToLLVMPass());
  kernels.addPass(createReconcileUnrealizedCastsPass());
  kernels.addPass(dsv2::createCanonicalizeOpsPass());
  kernels.addPass(createCSEPass());
  pm.addPass(dsv2::createVerifyDeviceCodePass());
}

void dsv2::buildLowerDeviceToLLVMPipeline(OpPassManager &pm) {
  if (pm.getOpAnchorName() == mlir::gpu::GPUModuleOp::getOperationName())
    addLowering(pm);
  else
    addLowering(pm.nest<mlir::gpu::GPUModuleOp>());
}

void dsv2::registerDeviceCodePipelines() {
  PassPipelineRegistration<>("dsv2-lower-device-to-llvm",
                             "Lower the inside of each gpu.module to the LLVM "
                             "and NVVM dialects",
                             buildLowerDeviceToLLVMPipeline);
}
