//===- AddDeviceSampling.cpp - the entry that chooses tokens --------------===//
//
// Part of dsv2, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "ManifestFacts.h"
#include "dsv2/CodeGen/GPU/SimtKernels.h"
#include "dsv2/CodeGen/Passes.h"

#include "dsv2rt/abi.h"
#include "mlir/Dialect/Func/IR/FuncOps.h"
#include "mlir/Dialect/GPU/IR/GPUDialect.h"
#include "mlir/Dialect/LLVMIR/NVVMDialect.h"
#include "mlir/Dialect/MemRef/IR/MemRef.h"

namespace mlir::dsv2 {
#define GEN_PASS_DEF_ADDDEVICESAMPLINGPASS
#include "dsv2/CodeGen/Passes.h.inc"
} // namespace mlir::dsv2

using namespace mlir;
using namespace mlir::dsv2;

/// The arguments of a dsv2rt_sample_fn (abi.h).
static SmallVector<Type> getArgumentTypes(Builder &b) {
  auto memref = [](unsigned rank, Type element) -> Type {
    return MemRefType::get(SmallVector<int64_t>(rank, ShapedType::kDynamic),
                           element);
  };
  Type i32 = b.getI32Type();
  return {memref(2, b.getF32Type()),
          memref(1, i32),
          memref(1, b.getI8Type()),
          memref(1, i32),
          memref(1, i32),
          memref(2, i32),
          memref(1, i32),
          memref(1, i32),
          LLVM::LLVMPointerType::get(b.getContext()),
          i32};
}

namespace {
struct AddDeviceSampling
    : public mlir::dsv2::impl::AddDeviceSamplingPassBase<AddDeviceSampling> {
  void runOnOperation() override {
    ModuleOp module = getOperation();
    auto b =
        ImplicitLocOpBuilder::atBlockEnd(module.getLoc(), module.getBody());
    auto function = func::FuncOp::create(
        b, kSampleEntry, b.getFunctionType(getArgumentTypes(b), {}));
    function->setAttr(kEntryAttr, b.getStringAttr(kSampleEntry));
    Block *entry = function.addEntryBlock();
    b.setInsertionPointToStart(entry);
    Value logits = entry->getArgument(0), rows = entry->getArgument(1),
          sampling = entry->getArgument(2), tokens = entry->getArgument(3),
          positions = entry->getArgument(4), seen = entry->getArgument(5),
          parts = entry->getArgument(6), chosen = entry->getArgument(7);
    Value numRows = memref::DimOp::create(b, rows, 0);
    Value numParts = arith::ConstantIndexOp::create(b, DSV2RT_SAMPLE_PARTS);
    auto launch = [&](LLVM::LLVMFuncOp kernel, ValueRange grid,
                      ValueRange inputs, ValueRange outputs) {
      auto symbol =
          SymbolRefAttr::get(b.getContext(), kDeviceModule,
                             {FlatSymbolRefAttr::get(kernel.getNameAttr())});
      DeviceLaunchOp::create(b, TypeRange(), symbol, grid, inputs, outputs,
                             b.getStringAttr("sampling"), /*layer=*/Value());
    };
    for (LLVM::LLVMFuncOp kernel :
         {dsv2::gpu::getOrCreateSampleScanKernel(module),
          dsv2::gpu::getOrCreateSampleWeighKernel(module)})
      launch(kernel, {numParts, numRows}, {logits, sampling, seen}, parts);
    launch(dsv2::gpu::getOrCreateSampleChooseKernel(module), numRows,
           {logits, rows, sampling, parts}, {tokens, positions, seen, chosen});
    func::ReturnOp::create(b);
  }
};
} // namespace
