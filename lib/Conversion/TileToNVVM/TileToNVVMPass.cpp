//===- TileToNVVMPass.cpp - Tile kernels to the NVVM dialect -------------===//
//
// Part of dsv2, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "KernelEmitter.h"

#include "dsv2/Conversion/Passes.h"
#include "dsv2/Conversion/TileToNVVM/TileToNVVM.h"
#include "dsv2/Dialect/DSV2/IR/DSV2.h"
#include "mlir/Conversion/ConvertToLLVM/ToLLVMPass.h"
#include "mlir/Conversion/Passes.h"
#include "mlir/Conversion/SCFToControlFlow/SCFToControlFlow.h"
#include "mlir/Dialect/ControlFlow/IR/ControlFlow.h"
#include "mlir/Dialect/GPU/IR/GPUDialect.h"
#include "mlir/Dialect/Math/IR/Math.h"
#include "mlir/Pass/PassManager.h"
#include "mlir/Pass/PassRegistry.h"

namespace mlir::dsv2 {
#define GEN_PASS_DEF_CONVERTTILETONVVMPASS
#include "dsv2/Conversion/Passes.h.inc"
} // namespace mlir::dsv2

using namespace mlir;
using namespace mlir::dsv2;
using namespace mlir::dsv2::tile;

/// The GPU module for `kernel`, made if there is none.
static FailureOr<gpu::GPUModuleOp> getKernelModule(KernelOp kernel) {
  Operation *table = SymbolTable::getNearestSymbolTable(kernel);
  MLIRContext *context = kernel.getContext();
  // The lowest version of PTX with every instruction used.
  auto target = NVVM::NVVMTargetAttr::get(
      context, /*optLevel=*/2, "nvptx64-nvidia-cuda", kernel.getChip(),
      kernel.isHopper() ? "+ptx80" : "+ptx70");
  if (auto module = dyn_cast_or_null<gpu::GPUModuleOp>(
          SymbolTable::lookupSymbolIn(table, kDeviceModule))) {
    if (!llvm::is_contained(module.getTargetsAttr().getValue(), target))
      return kernel.emitOpError(
          "expected all kernels of a module to be for one "
          "chip");
    return module;
  }
  OpBuilder builder(context);
  builder.setInsertionPointToEnd(&table->getRegion(0).front());
  auto module =
      gpu::GPUModuleOp::create(builder, kernel.getLoc(), kDeviceModule);
  module.setTargetsAttr(builder.getArrayAttr(target));
  builder.setInsertionPointToStart(module.getBody());
  LLVM::GlobalOp::create(builder, kernel.getLoc(),
                         LLVM::LLVMArrayType::get(builder.getI8Type(), 0),
                         /*isConstant=*/false, LLVM::Linkage::External,
                         kSharedMemory, Attribute(), /*alignment=*/1024,
                         /*addrSpace=*/3);
  return module;
}

LogicalResult mlir::dsv2::lowerTileKernel(KernelOp kernel) {
  FailureOr<gpu::GPUModuleOp> module = getKernelModule(kernel);
  if (failed(module))
    return failure();
  if (SymbolTable::lookupSymbolIn(*module, kernel.getSymNameAttr()))
    return kernel.emitOpError("expected a name that no other kernel has");
  OpBuilder builder = OpBuilder::atBlockEnd(module->getBody());
  MLIRContext *context = kernel.getContext();
  SmallVector<Type> types;
  for (Type type : kernel.getArgumentTypes())
    types.push_back(
        isa<GlobalType>(type) ? Type(LLVM::LLVMPointerType::get(context, 1))
        : isa<TensorMapType>(type) ? Type(LLVM::LLVMPointerType::get(context))
                                   : type);
  auto function = LLVM::LLVMFuncOp::create(
      builder, kernel.getLoc(), kernel.getSymName(),
      LLVM::LLVMFunctionType::get(LLVM::LLVMVoidType::get(context), types));
  function->setAttr(NVVM::NVVMDialect::getKernelFuncAttrName(),
                    builder.getUnitAttr());
  function->setAttr(NVVM::NVVMDialect::getMaxntidAttrName(),
                    builder.getDenseI32ArrayAttr(
                        {static_cast<int32_t>(kernel.getThreads())}));
  function->setAttr(NVVM::NVVMDialect::getMinctasmAttrName(),
                    builder.getI32IntegerAttr(1));
  function->setAttr(kSharedBytesAttr,
                    builder.getI64IntegerAttr(getSharedLayout(kernel).size));
  // A descriptor of 128 bytes in the constant bank of the parameters (PTX ISA,
  // "cp.async.bulk.tensor"), never copied.
  for (auto [index, type] : llvm::enumerate(kernel.getArgumentTypes()))
    if (isa<TensorMapType>(type)) {
      function.setArgAttr(
          index, "llvm.byval",
          TypeAttr::get(LLVM::LLVMArrayType::get(builder.getI8Type(), 128)));
      function.setArgAttr(index, "llvm.align", builder.getI64IntegerAttr(64));
      function.setArgAttr(index, "nvvm.grid_constant", builder.getUnitAttr());
    }
  auto shared = module->lookupSymbol<LLVM::GlobalOp>(kSharedMemory);
  return KernelEmitter(kernel, function, shared).emit();
}

namespace {
class ConvertTileToNVVMPass
    : public dsv2::impl::ConvertTileToNVVMPassBase<ConvertTileToNVVMPass> {
public:
  void runOnOperation() override {
    SmallVector<KernelOp> kernels(getOperation().getOps<KernelOp>());
    for (KernelOp kernel : kernels) {
      if (failed(lowerTileKernel(kernel)))
        return signalPassFailure();
      kernel.erase();
    }
  }
};
} // namespace

void mlir::dsv2::addTileToLLVMPasses(OpPassManager &pm) {
  pm.addPass(createConvertTileToNVVMPass());
  OpPassManager &kernels = pm.nest<gpu::GPUModuleOp>();
  kernels.addPass(createSCFToControlFlowPass());
  ConvertToLLVMPassOptions options;
  options.filterDialects = {"arith", "cf"};
  kernels.addPass(createConvertToLLVMPass(options));
}

void mlir::dsv2::registerTileToLLVMPipeline() {
  PassPipelineRegistration<>(
      "dsv2-tile-to-llvm", "Tile kernels to what translates to LLVM IR",
      [](OpPassManager &pm) { addTileToLLVMPasses(pm); });
}
