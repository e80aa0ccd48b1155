//===- KernelInfo.cpp - what a kernel says of itself ----------------------===//
//
// Part of dsv2, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "dsv2/Target/KernelInfo.h"

#include "dsv2/Dialect/DSV2/IR/DSV2.h"
#include "mlir/Dialect/GPU/IR/GPUDialect.h"
#include "mlir/Dialect/LLVMIR/LLVMDialect.h"
#include "mlir/Dialect/LLVMIR/NVVMDialect.h"
#include "llvm/ADT/STLExtras.h"

using namespace mlir;
using namespace mlir::dsv2;

static llvm::Error makeError(LLVM::LLVMFuncOp function, StringRef attribute,
                             const Twine &expected) {
  return llvm::createStringError("kernel '" + function.getName() +
                                 "': attribute '" + attribute + "': expected " +
                                 expected);
}

/// Reads a size in up to three dimensions; absent dimensions stay as they are.
static llvm::Error readSize(LLVM::LLVMFuncOp function, StringRef attribute,
                            std::array<int64_t, 3> &size, bool isRequired) {
  Attribute value = function->getAttr(attribute);
  if (!value && !isRequired)
    return llvm::Error::success();
  auto array = dyn_cast_or_null<DenseI32ArrayAttr>(value);
  if (!array || array.empty() ||
      array.size() > static_cast<int64_t>(size.size()) ||
      llvm::any_of(array.asArrayRef(), [](int32_t n) { return n < 1; }))
    return makeError(function, attribute, "1 to 3 positive i32 numbers");
  llvm::copy(array.asArrayRef(), size.begin());
  return llvm::Error::success();
}

static llvm::Error readNumber(LLVM::LLVMFuncOp function, StringRef attribute,
                              int64_t minimum, int64_t &number) {
  Attribute value = function->getAttr(attribute);
  if (!value)
    return llvm::Error::success();
  auto integer = dyn_cast<IntegerAttr>(value);
  if (!integer || integer.getValue().getSignificantBits() > 32 ||
      integer.getInt() < minimum)
    return makeError(function, attribute,
                     "an integer of 32 bits, at least " + Twine(minimum));
  number = integer.getInt();
  return llvm::Error::success();
}

static llvm::Expected<KernelInfo> getKernel(LLVM::LLVMFuncOp function) {
  using NVVM::NVVMDialect;
  KernelInfo info;
  info.name = function.getName().str();
  if (llvm::Error error = readSize(function, NVVMDialect::getMaxntidAttrName(),
                                   info.block, /*isRequired=*/true))
    return std::move(error);
  if (llvm::Error error =
          readSize(function, NVVMDialect::getClusterDimAttrName(), info.cluster,
                   /*isRequired=*/false))
    return std::move(error);
  if (llvm::Error error =
          readNumber(function, NVVMDialect::getMinctasmAttrName(), 1,
                     info.blocksPerMultiprocessor))
    return std::move(error);
  if (llvm::Error error =
          readNumber(function, kSharedBytesAttr, 0, info.dynamicSharedBytes))
    return std::move(error);
  info.earlyStart = function->hasAttr(kEarlyStartAttr);
  info.relaxedAtomics = function->hasAttr(kRelaxedAtomicsAttr);
  if (Attribute value = function->getAttr(kExpectAttr)) {
    auto dictionary = dyn_cast<DictionaryAttr>(value);
    if (!dictionary)
      return makeError(function, kExpectAttr, "a dictionary of integers");
    for (NamedAttribute entry : dictionary) {
      auto count = dyn_cast<IntegerAttr>(entry.getValue());
      if (!count || count.getValue().getSignificantBits() > 32)
        return makeError(function, kExpectAttr, "a dictionary of integers");
      info.expect[entry.getName().str()] = count.getInt();
    }
  }
  return info;
}

llvm::Expected<std::vector<KernelInfo>>
mlir::dsv2::getKernels(mlir::gpu::GPUModuleOp module) {
  std::vector<KernelInfo> kernels;
  for (auto function : module.getOps<LLVM::LLVMFuncOp>()) {
    if (!function->hasAttr(NVVM::NVVMDialect::getKernelFuncAttrName()))
      continue;
    auto kernel = getKernel(function);
    if (!kernel)
      return kernel.takeError();
    kernels.push_back(std::move(*kernel));
  }
  return kernels;
}
