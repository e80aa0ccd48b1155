//===- KernelParameters.cpp - where parameters come from ------------------===//
//
// Part of dsv2, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "dsv2/CodeGen/GPU/KernelParameters.h"

#include "mlir/Dialect/LLVMIR/LLVMTypes.h"
#include "mlir/Interfaces/FunctionInterfaces.h"

using namespace mlir;
using namespace mlir::dsv2;
using namespace mlir::dsv2::gpu;

/// Address space of global memory on NVPTX.
static constexpr unsigned kGlobal = 1;

KernelParameter dsv2::gpu::pointerOf(MLIRContext *context, int64_t operand) {
  return {
      ParameterAttr::get(context, ParameterKind::Pointer, operand, 0, {}, 0),
      LLVM::LLVMPointerType::get(context, kGlobal)};
}

static KernelParameter number(MLIRContext *context, ParameterKind kind,
                              int64_t operand, int64_t dim) {
  return {ParameterAttr::get(context, kind, operand, dim, {}, 0),
          IntegerType::get(context, 32)};
}

KernelParameter dsv2::gpu::sizeOf(MLIRContext *context, int64_t operand,
                                  int64_t dim) {
  return number(context, ParameterKind::Size, operand, dim);
}

KernelParameter dsv2::gpu::strideOf(MLIRContext *context, int64_t operand,
                                    int64_t dim) {
  return number(context, ParameterKind::Stride, operand, dim);
}

KernelParameter dsv2::gpu::valueOf(MLIRContext *context, int64_t operand) {
  return number(context, ParameterKind::Value, operand, 0);
}

KernelParameter dsv2::gpu::tensorMapOf(MLIRContext *context, int64_t operand,
                                       ArrayRef<int64_t> box, int64_t swizzle) {
  return {ParameterAttr::get(context, ParameterKind::TensorMap, operand, 0, box,
                             swizzle),
          Type()};
}

void dsv2::gpu::setParameters(Operation *kernel,
                              ArrayRef<KernelParameter> parameters) {
  assert(cast<FunctionOpInterface>(kernel).getNumArguments() ==
             parameters.size() &&
         "expected one entry for each argument");
  SmallVector<Attribute> sources;
  for (const KernelParameter &parameter : parameters)
    sources.push_back(parameter.source);
  kernel->setAttr(kParametersAttr,
                  ArrayAttr::get(kernel->getContext(), sources));
}
