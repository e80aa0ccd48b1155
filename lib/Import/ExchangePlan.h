//===- ExchangePlan.h - what ranks send each other in a step ----*- C++ -*-===//
//
// Part of dsv2, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// The exchanges that dsv2-insert-collectives and dsv2-expand-dispatch put into
// the IR, and the bytes that the runtime counts for them.
//
//===----------------------------------------------------------------------===//

#ifndef DSV2_LIB_IMPORT_EXCHANGEPLAN_H
#define DSV2_LIB_IMPORT_EXCHANGEPLAN_H

#include "dsv2/Import/MeshCost.h"

namespace dsv2 {

/// Bytes of a row that travels to a token's experts, and of one back.
struct DispatchRows {
  int64_t there = 0;
  int64_t back = 0;
};

/// The rows of a model with routed experts, as code for CPUs or for GPUs has
/// them.
DispatchRows getDispatchRows(const ModelConfig &config, bool forDevice);

/// The most tokens that a rank may have in a step with exchanges of fixed size,
/// as sessions choose (docs/Distributed.md); nothing beyond 63 bits.
std::optional<int64_t> mostFixedTokens(int64_t capacity);

/// The exchanges of all steps in their order. Nothing if one of them has more
/// bytes than 63 bits hold.
std::optional<std::vector<Exchange>> planExchanges(const ModelConfig &config,
                                                   const MeshPlan &plan);

/// Whether dsv2-overlap-collectives has shared experts computed meanwhile.
bool isOverlapped(const ModelConfig &config, const Exchange &exchange);

/// What `exchange` costs in a step, all times together; nothing if the bytes
/// are beyond 63 bits.
std::optional<ExchangeCost> costExchange(const ModelConfig &config,
                                         const MeshPlan &plan,
                                         const Exchange &exchange,
                                         const RankStep &step);

} // namespace dsv2

#endif // DSV2_LIB_IMPORT_EXCHANGEPLAN_H
