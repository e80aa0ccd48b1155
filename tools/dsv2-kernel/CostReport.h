//===- CostReport.h - tables of what kernels cost ---------------*- C++ -*-===//
//
// Part of dsv2, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef DSV2_TOOLS_DSV2KERNEL_COSTREPORT_H
#define DSV2_TOOLS_DSV2KERNEL_COSTREPORT_H

#include "Kernels.h"

#include "dsv2/Target/StaticGate.h"

namespace mlir::dsv2 {

/// Prints what the kernels for `target`, which have facts, cost in a step, on
/// the chip's nominal card. What only the code tells, registers and shared
/// memory, is taken from `image`; null: it is left open.
void printCosts(llvm::raw_ostream &os, llvm::ArrayRef<NamedKernel> kernels,
                const gpu::StepSize &step, const GPUTargetInfo &target,
                const ImageReport *image);

/// Prints the costs for each target as one JSON object, `{"costs": [...]}`.
void printCostsJSON(llvm::raw_ostream &os, llvm::ArrayRef<NamedKernel> kernels,
                    const gpu::StepSize &step,
                    llvm::ArrayRef<GPUTargetInfo> targets);

} // namespace mlir::dsv2

#endif // DSV2_TOOLS_DSV2KERNEL_COSTREPORT_H
