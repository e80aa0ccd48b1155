//===- ReadCase.h - a kernel that only reads --------------------*- C++ -*-===//
//
// Part of dsv2, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// Kernels that are bound by memory read far more than they write, and a device
// may do that faster or slower than it copies. This is what it does at best.
//
//===----------------------------------------------------------------------===//

#ifndef DSV2_TOOLS_DSV2_KERNEL_CASES_READCASE_H
#define DSV2_TOOLS_DSV2_KERNEL_CASES_READCASE_H

#include "CaseBuilder.h"

namespace mlir::dsv2::cases {

/// Adds the kernel: every thread sums the f32 numbers that it reads, 16 bytes a
/// load.
void addReadKernel(ModuleOp module);

/// Adds a case that reads `rounds` times 64 KiB in each of `blocks` blocks.
KernelCase &addReadCase(KernelCases &cases, int64_t blocks, int64_t rounds);

} // namespace mlir::dsv2::cases

#endif // DSV2_TOOLS_DSV2_KERNEL_CASES_READCASE_H
