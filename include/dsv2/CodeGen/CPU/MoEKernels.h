//===- MoEKernels.h - Expert routing on the CPU ----------------*- C++ -*-===//
//
// Part of dsv2, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// Choice of experts, grouping of tokens by expert, and the weighted sum of what
// the experts return. KernelBuilder.h has the conventions of all kernels.
// `act2` is getActivationType(), `list` is getIndexListType(), `table` is
// getStridedType(i32, 2). Every kernel takes `part, parts` after the arguments
// shown.
//
//===----------------------------------------------------------------------===//

#ifndef DSV2_CODEGEN_CPU_MOEKERNELS_H
#define DSV2_CODEGEN_CPU_MOEKERNELS_H

#include "dsv2/CodeGen/CPU/KernelBuilder.h"

#include <cstdint>

namespace mlir::dsv2::cpu {

//===----------------------------------------------------------------------===//
// route
//===----------------------------------------------------------------------===//

struct RouteTopKConfig {
  /// Number of routed experts E, at least 1.
  int64_t experts = 0;
  /// Experts per token k.
  int64_t topK = 0;
  /// Number of contiguous groups of experts; 1 means no group limit. Divides
  /// `experts`.
  int64_t groups = 1;
  /// Groups that a token may use. topKGroups * (experts / groups) >= topK.
  int64_t topKGroups = 1;
  /// Divide the chosen weights by their sum (+ 1e-20).
  bool normalize = false;
  /// Factor on the weights, after normalisation.
  double routedScale = 1.0;
};

/// Chooses experts for each token, all in f32:
///   1. s = softmax(logits) over *all* experts;
///   2. with groups > 1: the score of a group is its largest s; the topKGroups
///      best groups stay, scores elsewhere become -inf (not 0: a kept expert
///      whose score underflows to 0 still beats one of a masked group);
///   3. k times: the largest remaining score; among equals the lower index, for
///      groups as for experts;
///   4. w = s of the chosen experts, optionally w / (sum + 1e-20) with the sum
///      in slot order, then times routedScale.
/// Slots are in the order of choice.
///
///   (logits: act2 [T, E], ids: table [T, k], weights: act2 [T, k])
///
/// Logits that are NaN give weights that are NaN and ids within range.
func::FuncOp getOrCreateRouteTopKKernel(ModuleOp module,
                                        const RouteTopKConfig &config,
                                        const CPUTargetInfo &target);

//===----------------------------------------------------------------------===//
// dispatch
//===----------------------------------------------------------------------===//

struct DispatchConfig {
  /// Number of experts E.
  int64_t experts = 0;
  /// Experts per token k.
  int64_t topK = 0;
  /// Whether ids may be -1, for an expert of another rank.
  bool partial = false;
};

/// Groups the T * k (token, slot) pairs by expert: rows are ordered by expert,
/// then token, then slot.
///   offsets[e]        first row of expert e; offsets[E] = T * k
///   rowToken[r]       token of row r
///   rowOfSlot[t, s]   row of slot s of token t
/// A pair whose id is -1 has no row, and -1 in rowOfSlot.
///
///   (ids: table [T, k], offsets: list [E + 1], rowToken: list [T * k],
///    rowOfSlot: table [T, k])
///
/// Part 0 does all the work, the others return at once.
func::FuncOp getOrCreateDispatchKernel(ModuleOp module,
                                       const DispatchConfig &config,
                                       const CPUTargetInfo &target);

//===----------------------------------------------------------------------===//
// combine
//===----------------------------------------------------------------------===//

struct CombineConfig {
  /// Row width D.
  int64_t width = 0;
  /// Experts per token k.
  int64_t topK = 0;
  /// Whether the output of the shared experts is added.
  bool hasShared = false;
  /// Whether the residual stream is added.
  bool hasResidual = false;
  /// Whether rows may be -1: such a slot counts nothing.
  bool partial = false;
};

/// y[t, :] = residual[t, :] + (shared[t, :] + routed[t, :]),
/// routed[t, :] = sum over slots s of w[t, s] * out[rowOfSlot[t, s], :]. The
/// routed sum starts with slot 0 and adds the others in slot order (fused
/// multiply-add where the target has it), then `shared` is added to it, then
/// `residual`.
///
///   (out: act2 [T * k, D], rowOfSlot: table [T, k], weights: act2 [T, k],
///    [shared: act2 [T, D],] [residual: act2 [T, D],] y: act2 [T, D])
///
/// Arguments in brackets are there if the config says so. `y` may be `shared`
/// or `residual` itself.
func::FuncOp getOrCreateCombineKernel(ModuleOp module,
                                      const CombineConfig &config,
                                      const CPUTargetInfo &target);

//===----------------------------------------------------------------------===//
// exchange between ranks
//===----------------------------------------------------------------------===//

struct ExchangeConfig {
  /// Row width D.
  int64_t width = 0;
  /// Experts per token k.
  int64_t topK = 0;
  /// Experts of one rank.
  int64_t experts = 0;
  /// Ranks that experts are spread over.
  int64_t ranks = 0;
  /// Rows that every rank has, used or not; 0: as many as needed.
  int64_t capacity = 0;
};

/// Gives every token a row for each rank that holds one of its experts, expert
/// e being on rank e / experts; rows are ordered by rank, then token.
///   counts[r]      rows wanted for rank r
///   places[t, r]   row of token t for rank r, or -1
/// With a capacity the rows of rank r start at r * capacity, and tokens beyond
/// it have no place.
///
///   (ids: table [T, k], counts: list [ranks], places: table [T, ranks])
///
/// Part 0 does all the work, the others return at once.
func::FuncOp getOrCreateExchangePlanKernel(ModuleOp module,
                                           const ExchangeConfig &config,
                                           const CPUTargetInfo &target);

/// Fills the rows: input, the rank's own numbers of the experts slot by slot
/// (the bits of an i32, -1 for those of other ranks), weights of all slots.
/// With a capacity, rows that are not used get -1 in all slots and weights of
/// 0.
///
///   (x: act2 [T, D], ids: table [T, k], weights: act2 [T, k],
///    places: table [T, ranks], counts: list [ranks], rows: act2 [N, D + 2 k])
func::FuncOp getOrCreateExchangePackKernel(ModuleOp module,
                                           const ExchangeConfig &config,
                                           const CPUTargetInfo &target);

/// Takes experts and weights out of rows that arrived.
///
///   (rows: act2 [N, D + 2 k], ids: table [N, k], weights: act2 [N, k])
func::FuncOp getOrCreateExchangeUnpackKernel(ModuleOp module,
                                             const ExchangeConfig &config,
                                             const CPUTargetInfo &target);

/// y[t, :] = sum over ranks r with a place of rows[places[t, r], :], in the
/// order of the ranks, starting from 0.
///
///   (rows: act2 [N, D], places: table [T, ranks], y: act2 [T, D])
func::FuncOp getOrCreateExchangeCombineKernel(ModuleOp module,
                                              const ExchangeConfig &config,
                                              const CPUTargetInfo &target);

} // namespace mlir::dsv2::cpu

#endif // DSV2_CODEGEN_CPU_MOEKERNELS_H
