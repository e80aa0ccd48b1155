//===- StepFlags.h - The step that kernels are looked at in ----*- C++ -*-===//
//
// Part of dsv2, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef DSV2_TOOLS_DSV2KERNEL_STEPFLAGS_H
#define DSV2_TOOLS_DSV2KERNEL_STEPFLAGS_H

#include "dsv2/CodeGen/GPU/KernelCosts.h"
#include "llvm/Support/CommandLine.h"
#include "llvm/Support/Error.h"

namespace mlir::dsv2 {

/// The flags of dsv2-kernel.
extern llvm::cl::OptionCategory kernelOptions;

/// The step that --tokens and its like describe, or an error that names the
/// flag. What they leave open is chosen for costs, or `forRun` so that the
/// emulator takes no long time.
llvm::Expected<gpu::StepSize> getStepSize(bool forRun);

} // namespace mlir::dsv2

#endif // DSV2_TOOLS_DSV2KERNEL_STEPFLAGS_H
