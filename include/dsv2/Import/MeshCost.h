//===- MeshCost.h - memory, exchanges and time of several ranks -*- C++ -*-===//
//
// Part of dsv2, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// What a model that is split over a mesh needs of every rank, what its ranks
// send each other in a step, and how long steps take on a described machine.
// The exchanges are those that dsv2-insert-collectives and
// dsv2-expand-dispatch put into the IR. docs/Distributed.md holds the formulas.
//
//===----------------------------------------------------------------------===//

#ifndef DSV2_IMPORT_MESHCOST_H
#define DSV2_IMPORT_MESHCOST_H

#include "dsv2/Import/CostModel.h"
#include "dsv2/Import/MachineDescription.h"
#include "dsv2/Import/RoutingSpread.h"
#include "dsv2/Import/ShardPlan.h"
#include "dsv2/Support/MeshShape.h"
#include "llvm/ADT/StringRef.h"
#include "llvm/Support/Error.h"

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

namespace dsv2 {

/// Bytes that a rank sends in an all-reduce of `bytes` bytes: the least it can,
/// 2 * (ranks - 1) / ranks of them, rounded as the runtime's counters do.
int64_t allReduceBytesSent(int64_t bytes, int64_t ranks);

//===----------------------------------------------------------------------===//
// Memory
//===----------------------------------------------------------------------===//

/// Memory of the rank that needs most, in bytes.
struct RankMemory {
  int64_t weightBytes = 0;
  /// For one token of one of its own sequences, all layers.
  int64_t cacheBytesPerToken = 0;
  int64_t cacheBytes = 0;
  int64_t workspaceBytes = 0;
  int64_t totalBytes = 0;
  /// Tokens of cache that a rank has room for beside weights and workspace, if
  /// its memory is known.
  std::optional<int64_t> cacheTokens;
};

//===----------------------------------------------------------------------===//
// Exchanges
//===----------------------------------------------------------------------===//

/// What an exchange's bytes grow with.
enum class ExchangeUnit { Token, LogitRow, Step };

/// "token", "logit_row" or "step".
llvm::StringRef stringifyExchangeUnit(ExchangeUnit unit);

/// How a step sends tokens to the ranks of their experts: as many rows as there
/// are, or always as many as `--dispatch-capacity` says.
enum class DispatchKind { Exact, Fixed };

/// "exact" or "fixed".
llvm::StringRef stringifyDispatchKind(DispatchKind kind);

/// An exchange of every step, or of every step of one kind.
struct Exchange {
  /// Site and kind as the runtime's messages have them.
  std::string site;
  llvm::StringLiteral kind;
  /// "tp" or "ep".
  llvm::StringLiteral axis;
  /// How often a step has it.
  int64_t times = 1;
  ExchangeUnit unit = ExchangeUnit::Token;
  /// Bytes a rank sends for one unit of its own, each time: on average for the
  /// rank that sends most, and at most.
  double bytesPerUnit = 0;
  int64_t mostBytesPerUnit = 0;
  /// The steps that have it; nothing: all.
  std::optional<DispatchKind> steps;
};

/// A token's experts on ranks, with the router's limit on groups and without.
struct DispatchSpread {
  RoutingSpread limited, unlimited;
  /// Whether the router has a limit; else the two are the same.
  bool hasLimit = false;
};

//===----------------------------------------------------------------------===//
// Steps
//===----------------------------------------------------------------------===//

/// The part of a step that the rank with the most work has.
struct RankStep {
  int64_t sequences = 0;
  int64_t tokens = 0;
  int64_t logitRows = 0;
  /// Tokens of the step on all ranks.
  int64_t allTokens = 0;
  /// The fewest tokens that any rank has.
  int64_t fewestTokens = 0;
  /// Positions of a sequence after the step.
  int64_t context = 0;
};

/// One exchange of one step; 0 if the step does not have it.
struct ExchangeCost {
  /// Bytes sent by the rank that sends most: on average, and at most.
  double bytes = 0;
  int64_t mostBytes = 0;
  /// Of all times together, on average, if the machine is known: for the bytes
  /// that the busiest rank sends or receives.
  double seconds = 0;
};

/// Costs of one step, of the rank with the most work.
struct StepCost {
  RankStep step;
  DispatchKind dispatch = DispatchKind::Exact;
  /// In the order of MeshPlan::exchanges.
  std::vector<ExchangeCost> exchanges;
  double bytesSent = 0;
  int64_t mostBytesSent = 0;
  /// FLOPs and bytes read from memory, on average over routings.
  double flops = 0;
  double bytesRead = 0;
  /// With a machine: time of layers and head, of exchanges, and tokens of all
  /// ranks in a second.
  double computeSeconds = 0;
  double exchangeSeconds = 0;
  /// Of both, what passes at the same time: tokens travel while a rank computes
  /// its shared experts.
  double overlappedSeconds = 0;
  double tokensPerSecond = 0;

  double secondsWithoutOverlap() const {
    return computeSeconds + exchangeSeconds;
  }
  double seconds() const { return secondsWithoutOverlap() - overlappedSeconds; }
};

/// Exchanges of fixed size, which steps of decoding have in place of exact
/// ones.
struct FixedDispatch {
  /// Rows that a rank sends to every other, used or not.
  int64_t capacity = 0;
  /// Bytes from one rank to another in a layer: of inputs, and of results.
  int64_t bytesThere = 0;
  int64_t bytesBack = 0;
  /// Most tokens of a rank: a step with more of them is exact from the start.
  int64_t mostTokens = 0;
  /// Rows that a rank wants for another in the decode step of the plan: on
  /// average for the rank that is wanted most, and at most. With more than the
  /// capacity the step is repeated with exact exchanges.
  double meanRows = 0;
  int64_t mostRows = 0;
  /// Exchanges of counts that the step does not have, and with a machine their
  /// latency.
  int64_t savedExchanges = 0;
  double savedSeconds = 0;
  /// The decode step of the plan with exact exchanges.
  StepCost exactDecode;
};

//===----------------------------------------------------------------------===//
// The plan
//===----------------------------------------------------------------------===//

/// For which run the plan is made.
struct MeshRequest {
  mlir::dsv2::MeshShape mesh;
  /// Tokens per sequence, and sequences of all ranks together.
  int64_t context = 4096;
  int64_t batch = 1;
  /// Most tokens of one step, all of which may be one rank's.
  int64_t stepTokens = 512;
  /// Rows that a rank has for another while decoding; 0: exchanges are exact.
  int64_t dispatchCapacity = 0;
  /// Whether the code is for GPUs, whose rows for experts are narrower.
  bool forDevice = false;
  const KVFormatInfo *kvFormat = findKVFormat("bf16");
  std::optional<MachineDescription> machine;
};

/// All of it.
struct MeshPlan {
  MeshRequest request;
  /// Of the rank that holds most.
  WeightPlan weights;
  /// Experts that a rank has memory for, and the fewest that any holds; 0
  /// without routed experts.
  int64_t expertsPerRank = 0;
  int64_t fewestExperts = 0;
  RankMemory memory;
  std::optional<DispatchSpread> spread;
  /// If there is a capacity, and tokens are exchanged.
  std::optional<FixedDispatch> fixed;
  std::vector<Exchange> exchanges;
  /// A step that decodes one token of every sequence, and one with the last
  /// chunk of one prompt, all of which is on one index on `ep`.
  StepCost decode, prefill;
};

/// Makes the plan for a model with the given weights. Errors: a mesh that does
/// not fit the model (checkMesh); a context, batch or step that is not
/// positive, or a negative capacity; sizes beyond 63 bits; routing that is too
/// large to average (computeSpread).
llvm::Expected<MeshPlan> planMesh(const ModelConfig &config,
                                  const WeightPlan &weights,
                                  const MeshRequest &request);

} // namespace dsv2

#endif // DSV2_IMPORT_MESHCOST_H
