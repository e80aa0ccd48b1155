//===- SimtCase.h - cases of kernels without products -----------*- C++ -*-===//
//
// Part of dsv2, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// Kernels that move bytes or choose (SimtKernels.h), launched as in a step and
// compared with plain loops. Rows of inputs lie apart, those of outputs do not,
// so that all of an output can be checked for what was not written.
//
//===----------------------------------------------------------------------===//

#ifndef DSV2_TOOLS_DSV2_KERNEL_CASES_SIMTCASE_H
#define DSV2_TOOLS_DSV2_KERNEL_CASES_SIMTCASE_H

#include "CaseBuilder.h"

#include "dsv2/CodeGen/GPU/KernelCosts.h"

namespace mlir::dsv2::cases {

/// Where the tokens of a step are: positions and sequences, one of each a
/// token.
struct TokenPlaces {
  std::vector<int32_t> positions, sequences;

  int64_t tokens() const { return int64_t(positions.size()); }
};

/// The numbers of a case, one that no other case of the step has for each of
/// its buffers.
struct CaseSeed {
  uint64_t seed;

  uint64_t of(uint64_t buffer) const { return 16 * seed + buffer; }
};

/// Adds the case of the first kernel of `cases`, which has to be of `config`,
/// for so many tokens.
void addSimtCase(KernelCases &cases, const gpu::GatherRowsConfig &config,
                 int64_t tokens, CaseSeed seed);
void addSimtCase(KernelCases &cases, const gpu::RMSNormConfig &config,
                 int64_t tokens, CaseSeed seed);
void addSimtCase(KernelCases &cases, const gpu::AddConfig &config,
                 int64_t tokens, CaseSeed seed);
void addSimtCase(KernelCases &cases, const gpu::CombineConfig &config,
                 int64_t tokens, CaseSeed seed);
void addSimtCase(KernelCases &cases, const gpu::ApplyRopeConfig &config,
                 int64_t tokens, CaseSeed seed);
void addSimtCase(KernelCases &cases, const gpu::RouteConfig &config,
                 int64_t tokens, CaseSeed seed);
void addSimtCase(KernelCases &cases, const gpu::DispatchConfig &config,
                 int64_t tokens, CaseSeed seed);
void addSimtCase(KernelCases &cases, const gpu::RouteDispatchFacts &facts,
                 int64_t tokens, CaseSeed seed);
void addSimtCase(KernelCases &cases, const gpu::ExchangePlanFacts &facts,
                 int64_t tokens, CaseSeed seed);
void addSimtCase(KernelCases &cases, const gpu::ExchangePackFacts &facts,
                 int64_t tokens, CaseSeed seed);
/// As many rows arrive as there are tokens.
void addSimtCase(KernelCases &cases, const gpu::ExchangeUnpackFacts &facts,
                 int64_t tokens, CaseSeed seed);
void addSimtCase(KernelCases &cases, const gpu::ExchangeCombineFacts &facts,
                 int64_t tokens, CaseSeed seed);

/// The kernels that choose tokens, both of which are in `cases`: rows take the
/// largest logit and draw, with limits and a penalty of repetition, in turn.
/// Tokens are those that the runtime's Sampler chooses.
void addSampleCase(KernelCases &cases, int64_t rows, int64_t vocabulary,
                   CaseSeed seed);

/// The same for kernels that also need to know where the tokens are.
void addSimtCase(KernelCases &cases, const gpu::RopeTableConfig &config,
                 const TokenPlaces &places, CaseSeed seed);
void addSimtCase(KernelCases &cases, const gpu::LatentAppendConfig &config,
                 const TokenPlaces &places, CaseSeed seed);
void addSimtCase(KernelCases &cases, const gpu::ContextRowsConfig &config,
                 const TokenPlaces &places, CaseSeed seed);
void addSimtCase(KernelCases &cases, const gpu::LatentInputConfig &config,
                 const TokenPlaces &places, CaseSeed seed);
/// Compares about `mostOperations` operations' worth of the heads of tokens.
void addSimtCase(KernelCases &cases, const gpu::AttentionConfig &config,
                 const TokenPlaces &places, CaseSeed seed,
                 double mostOperations);

} // namespace mlir::dsv2::cases

#endif // DSV2_TOOLS_DSV2_KERNEL_CASES_SIMTCASE_H
