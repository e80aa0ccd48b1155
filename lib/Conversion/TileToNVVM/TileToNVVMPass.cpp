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
#include "dsv2/Target/KernelInfo.h"
#include "mlir/Dialect/GPU/IR/GPUDialect.h"
#include "mlir/Dialect/Math/IR/Math.h"
#include "llvm/ADT/StringSet.h"

namespace mlir::dsv2 {
#define GEN_PASS_DEF_CONVERTTILETONVVMPASS
#include "dsv2/Conversion/Passes.h.inc"
} // namespace mlir::dsv2

using namespace mlir;
using namespace mlir::dsv2;
using namespace mlir::dsv2::tile;

/// The GPU module for `kernel`, made if there is none.
static FailureOr<mlir::gpu::GPUModuleOp> getKernelModule(KernelOp kernel) {
  Operation *table = SymbolTable::getNearestSymbolTable(kernel);
  MLIRContext *context = kernel.getContext();
  OpBuilder builder(context);
  auto module = dyn_cast_or_null<mlir::gpu::GPUModuleOp>(
      SymbolTable::lookupSymbolIn(table, kDeviceModule));
  if (!module) {
    builder.setInsertionPointToEnd(&table->getRegion(0).front());
    module =
        mlir::gpu::GPUModuleOp::create(builder, kernel.getLoc(), kDeviceModule);
  } else if (ArrayAttr targets = module.getTargetsAttr()) {
    // A module without targets is for every chip.
    if (llvm::none_of(targets, [&](Attribute target) {
          auto nvvm = dyn_cast<NVVM::NVVMTargetAttr>(target);
          return nvvm && nvvm.getChip() == kernel.getChip();
        }))
      return kernel.emitOpError("expected a GPU module for ")
             << kernel.getChip() << ", got one for " << targets;
  }
  return module;
}

LogicalResult mlir::dsv2::lowerTileKernel(KernelOp kernel) {
  FailureOr<mlir::gpu::GPUModuleOp> module = getKernelModule(kernel);
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
  function->setAttr(kChipAttr, kernel.getChipAttr());
  function->setAttr(kEarlyStartAttr, builder.getUnitAttr());
  for (NamedAttribute attribute : kernel->getDiscardableAttrs())
    function->setDiscardableAttr(attribute.getName(), attribute.getValue());
  setExpectations(kernel, function);
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
  return KernelEmitter(kernel, function,
                       dsv2::gpu::getOrCreateDynamicShared(*module))
      .emit();
}

namespace {
class ConvertTileToNVVMPass
    : public dsv2::impl::ConvertTileToNVVMPassBase<ConvertTileToNVVMPass> {
public:
  void runOnOperation() override {
    SmallVector<KernelOp> kernels(getOperation().getOps<KernelOp>());
    llvm::StringSet<> moved;
    for (KernelOp kernel : kernels) {
      if (failed(lowerTileKernel(kernel)))
        return signalPassFailure();
      moved.insert(kernel.getSymName());
      kernel.erase();
    }
    // Launches follow their kernels into the GPU module.
    getOperation()->walk([&](DeviceLaunchOp launch) {
      SymbolRefAttr name = launch.getKernelAttr();
      if (name.getNestedReferences().empty() &&
          moved.contains(name.getRootReference()))
        launch.setKernelAttr(SymbolRefAttr::get(
            &getContext(), kDeviceModule,
            {FlatSymbolRefAttr::get(name.getRootReference())}));
    });
  }
};
} // namespace
