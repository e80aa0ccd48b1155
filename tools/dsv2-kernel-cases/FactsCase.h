//===- FactsCase.h - cases of the kernels of models -------------*- C++ -*-===//
//
// Part of dsv2, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// A kernel that says what it computes (KernelCosts.h) can be run in any step:
// what it gets and has to give follows from both.
//
//===----------------------------------------------------------------------===//

#ifndef DSV2_TOOLS_DSV2_KERNEL_CASES_FACTSCASE_H
#define DSV2_TOOLS_DSV2_KERNEL_CASES_FACTSCASE_H

#include "CaseBuilder.h"

#include "dsv2/CodeGen/GPU/KernelCosts.h"

namespace mlir::dsv2::cases {

/// Rows of each of `experts` experts when `tokens` tokens choose `topK`
/// different ones each at random, out of the first `touched` (0: all).
std::vector<int64_t> chooseExpertRows(int64_t experts, int64_t tokens,
                                      int64_t topK, uint64_t seed,
                                      int64_t touched = 0);

/// The kernels that a case of `facts` launches, by name, beside the kernel
/// itself, which is called `name`: absorbed attention leaves parts that another
/// kernel combines.
std::vector<std::string> listPartners(const gpu::KernelFacts &facts,
                                      llvm::StringRef name);

/// Adds a case of the kernel that `facts` are of to `cases`, whose first kernel
/// it is and which has its partners. It is launched as in a step of `step` on
/// a device with `multiprocessors`, with numbers of `seed`, and compared with
/// plain loops: all of the result, or samples of one that would take long.
/// Errors: facts of another chip than `target`, a step that the kernel is not
/// for.
llvm::Error addCaseOf(MLIRContext &context, KernelCases &cases,
                      const gpu::KernelFacts &facts,
                      const GPUTargetInfo &target, const gpu::StepSize &step,
                      int64_t multiprocessors, uint64_t seed);

} // namespace mlir::dsv2::cases

#endif // DSV2_TOOLS_DSV2_KERNEL_CASES_FACTSCASE_H
