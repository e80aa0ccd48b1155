//===- LowerToLLVM.cpp - From kernels to the LLVM dialect -----------------===//
//
// Part of dsv2, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "dsv2/CodeGen/CPU/LowerToLLVM.h"

#include "dsv2/CodeGen/CPU/Passes.h"
#include "dsv2/Support/CanonicalizeOps.h"
#include "mlir/Conversion/Passes.h"
#include "mlir/Dialect/AMX/AMXDialect.h"
#include "mlir/Dialect/Affine/IR/AffineOps.h"
#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/ControlFlow/IR/ControlFlow.h"
#include "mlir/Dialect/Func/IR/FuncOps.h"
#include "mlir/Dialect/Index/IR/IndexDialect.h"
#include "mlir/Dialect/LLVMIR/LLVMDialect.h"
#include "mlir/Dialect/Math/IR/Math.h"
#include "mlir/Dialect/MemRef/IR/MemRef.h"
#include "mlir/Dialect/MemRef/Transforms/Passes.h"
#include "mlir/Dialect/OpenMP/OpenMPDialect.h"
#include "mlir/Dialect/SCF/IR/SCF.h"
#include "mlir/Dialect/UB/IR/UBOps.h"
#include "mlir/Dialect/Vector/IR/VectorOps.h"
#include "mlir/IR/DialectRegistry.h"
#include "mlir/Pass/Pass.h"
#include "mlir/Pass/PassManager.h"
#include "mlir/Target/LLVMIR/Dialect/Builtin/BuiltinToLLVMIRTranslation.h"
#include "mlir/Target/LLVMIR/Dialect/LLVMIR/LLVMToLLVMIRTranslation.h"
#include "mlir/Target/LLVMIR/Dialect/OpenMP/OpenMPToLLVMIRTranslation.h"
#include "mlir/Transforms/Passes.h"

using namespace mlir;

void dsv2::cpu::registerCPUCodeGenDialects(DialectRegistry &registry) {
  registry.insert<affine::AffineDialect, amx::AMXDialect, arith::ArithDialect,
                  cf::ControlFlowDialect, func::FuncDialect,
                  index::IndexDialect, LLVM::LLVMDialect, math::MathDialect,
                  memref::MemRefDialect, omp::OpenMPDialect, scf::SCFDialect,
                  ub::UBDialect, vector::VectorDialect>();
  registerBuiltinDialectTranslation(registry);
  registerLLVMDialectTranslation(registry);
  registerOpenMPDialectTranslation(registry);
}

void dsv2::cpu::buildLowerToLLVMPipeline(OpPassManager &pm,
                                         const LowerToLLVMOptions &options) {
  constexpr unsigned kIndexBits = 64;

  // First, while vectors still have their own type: what is left of `math`
  // after this has an instruction (fma, sqrt, abs, round, ...).
  if (options.expandMath)
    options.expandMath(pm);
  else
    pm.addNestedPass<func::FuncOp>(
        createExpandVectorMathPass({options.useFMA}));

  // Function by function where a pass allows it: on several at the same time,
  // and past the device code of the module, which is in the LLVM dialect
  // already.
  OpPassManager &functions = pm.nest<func::FuncOp>();
  // Views become arithmetic on the strides, which the clean-up below can share
  // between loads and hoist out of loops.
  functions.addPass(memref::createExpandStridedMetadataPass());
  functions.addPass(createLowerAffinePass());
  functions.addPass(dsv2::createCanonicalizeOpsPass());
  functions.addPass(createCSEPass());
  functions.addPass(createLoopInvariantCodeMotionPass());

  functions.addPass(createSCFToControlFlowPass());

  // reassociateFPReductions stays off: sums keep the order they were written
  // in. Mask lanes are compared in 32 bits, which is enough for lane numbers.
  ConvertVectorToLLVMPassOptions vectorOptions;
  vectorOptions.amx = true;
  functions.addPass(createConvertVectorToLLVMPass(vectorOptions));
  functions.addPass(createConvertMathToLLVMPass());
  functions.addPass(createConvertIndexToLLVMPass({kIndexBits}));
  functions.addPass(createArithToLLVMConversionPass({kIndexBits}));
  FinalizeMemRefToLLVMConversionPassOptions memrefOptions;
  memrefOptions.indexBitwidth = kIndexBits;
  pm.addPass(createFinalizeMemRefToLLVMConversionPass(memrefOptions));
  ConvertFuncToLLVMPassOptions funcOptions;
  funcOptions.indexBitwidth = kIndexBits;
  pm.addPass(createConvertFuncToLLVMPass(funcOptions));
  pm.addPass(createConvertControlFlowToLLVMPass({kIndexBits}));
  // Operands and block arguments of omp ops.
  pm.addPass(createConvertOpenMPToLLVMPass());
  OpPassManager &lowered = pm.nest<LLVM::LLVMFuncOp>();
  lowered.addPass(createUBToLLVMConversionPass({kIndexBits}));
  lowered.addPass(createReconcileUnrealizedCastsPass());
  lowered.addPass(dsv2::createCanonicalizeOpsPass());
  lowered.addPass(createCSEPass());
  pm.addPass(createAttachLoopAnnotationsPass());
}
