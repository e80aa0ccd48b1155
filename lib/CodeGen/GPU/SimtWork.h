//===- SimtWork.h - What kernels without products have to do ----*- C++ -*-===//
//
// Part of dsv2, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef DSV2_LIB_CODEGEN_GPU_SIMTWORK_H
#define DSV2_LIB_CODEGEN_GPU_SIMTWORK_H

#include "dsv2/CodeGen/GPU/KernelCosts.h"

namespace mlir::dsv2::gpu {

inline int64_t getElementBytes(Type element) {
  return element.getIntOrFloatBitWidth() / 8;
}

/// What a launch has to do in a step: each operand once, tables as far as the
/// tokens need them.
KernelWork getSimtWork(const GatherRowsConfig &config, const StepSize &step);
KernelWork getSimtWork(const RMSNormConfig &config, const StepSize &step);
KernelWork getSimtWork(const AddConfig &config, const StepSize &step);
KernelWork getSimtWork(const CombineConfig &config, const StepSize &step);
KernelWork getSimtWork(const RopeTableConfig &config, const StepSize &step);
KernelWork getSimtWork(const ApplyRopeConfig &config, const StepSize &step);
KernelWork getSimtWork(const LatentAppendConfig &config, const StepSize &step);
KernelWork getSimtWork(const ContextRowsConfig &config, const StepSize &step);
KernelWork getSimtWork(const LatentInputConfig &config, const StepSize &step);
KernelWork getSimtWork(const AttentionConfig &config, const StepSize &step);
KernelWork getSimtWork(const RouteConfig &config, const StepSize &step);
KernelWork getSimtWork(const DispatchConfig &config, const StepSize &step);
KernelWork getSimtWork(const RouteDispatchFacts &facts, const StepSize &step);
KernelWork getSimtWork(const ExchangePlanFacts &facts, const StepSize &step);
KernelWork getSimtWork(const ExchangePackFacts &facts, const StepSize &step);
KernelWork getSimtWork(const ExchangeUnpackFacts &facts, const StepSize &step);
KernelWork getSimtWork(const ExchangeCombineFacts &facts, const StepSize &step);
KernelWork getSimtWork(const SampleScanFacts &facts, const StepSize &step);
KernelWork getSimtWork(const SampleWeighFacts &facts, const StepSize &step);
KernelWork getSimtWork(const SampleChooseFacts &facts, const StepSize &step);

} // namespace mlir::dsv2::gpu

#endif // DSV2_LIB_CODEGEN_GPU_SIMTWORK_H
