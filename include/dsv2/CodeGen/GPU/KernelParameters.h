//===- KernelParameters.h - where parameters come from ----------*- C++ -*-===//
//
// Part of dsv2, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef DSV2_CODEGEN_GPU_KERNELPARAMETERS_H
#define DSV2_CODEGEN_GPU_KERNELPARAMETERS_H

#include "dsv2/Dialect/DSV2/IR/DSV2.h"
#include "mlir/IR/Builders.h"

namespace mlir::dsv2::gpu {

/// One parameter of a kernel: its type and where it comes from. The type of a
/// tensor map is null: the kernel says it itself.
struct KernelParameter {
  ParameterAttr source;
  Type type;
};

/// Parameters, for lists of them; operands of a launch are numbered inputs
/// first.
KernelParameter pointerOf(MLIRContext *context, int64_t operand);
KernelParameter sizeOf(MLIRContext *context, int64_t operand, int64_t dim);
KernelParameter strideOf(MLIRContext *context, int64_t operand, int64_t dim);
KernelParameter valueOf(MLIRContext *context, int64_t operand);
KernelParameter tensorMapOf(MLIRContext *context, int64_t operand,
                            llvm::ArrayRef<int64_t> box, int64_t swizzle = 128);

/// The attribute that tells a launch of `kernel` where its parameters come from
/// (kParametersAttr), which it has to have one each of.
void setParameters(Operation *kernel,
                   llvm::ArrayRef<KernelParameter> parameters);

} // namespace mlir::dsv2::gpu

#endif // DSV2_CODEGEN_GPU_KERNELPARAMETERS_H
