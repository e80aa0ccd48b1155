//===- MeshCost.cpp - memory, exchanges and time of several ranks ---------===//
//
// Part of dsv2, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "dsv2/Import/MeshCost.h"

#include "StepTime.h"
#include "dsv2/Import/CheckMesh.h"
#include "dsv2/Support/Count.h"
#include "llvm/ADT/STLExtras.h"
#include "llvm/ADT/Twine.h"
#include "llvm/Support/MathExtras.h"

#include <algorithm>

using namespace dsv2;
using namespace llvm;
using mlir::dsv2::MeshShape;

/// Activations are f32 between ranks.
static constexpr int64_t kElementBytes = 4;

int64_t dsv2::allReduceBytesSent(int64_t bytes, int64_t ranks) {
  return 2 * (bytes / ranks) * (ranks - 1) +
         2 * (bytes % ranks) * (ranks - 1) / ranks;
}

StringRef dsv2::stringifyExchangeUnit(ExchangeUnit unit) {
  switch (unit) {
  case ExchangeUnit::Token:
    return "token";
  case ExchangeUnit::LogitRow:
    return "logit_row";
  case ExchangeUnit::Step:
    return "step";
  }
  llvm_unreachable("unknown unit");
}

namespace {
class MeshPlanner {
public:
  MeshPlanner(const ModelConfig &config, const MeshRequest &request)
      : config(config), request(request), tp(request.mesh.tp),
        ep(request.mesh.ep) {}

  Expected<MeshPlan> plan(const WeightPlan &weights);

private:
  Error check() const;
  Error tooLarge() const;
  Error planMemory();
  std::optional<int64_t> estimateWorkspace(int64_t tokens, int64_t sequences,
                                           int64_t arrivals) const;
  void addExchanges();
  void addExchange(StringRef site, StringLiteral kind, StringLiteral axis,
                   int64_t times, ExchangeUnit unit, double bytes,
                   int64_t mostBytes);
  void addExpertExchanges(const RoutingSpread &spread);
  RankStep getDecodeStep() const;
  RankStep getPrefillStep() const;
  std::optional<ExchangeCost> costExchange(const Exchange &exchange,
                                           const RankStep &step) const;
  Error costStep(const RankStep &step, StepCost &cost) const;

  /// Width of the rows that go to the experts: the input, and number and
  /// weight of each slot.
  int64_t sentWidth() const {
    return config.hiddenSize + 2 * config.numExpertsPerTok;
  }
  bool hasDispatch() const { return ep > 1; }

  const ModelConfig &config;
  const MeshRequest &request;
  int64_t tp, ep;
  MeshPlan result;
};
} // namespace

Error MeshPlanner::check() const {
  for (auto [what, value] :
       {std::pair<StringRef, int64_t>("context", request.context),
        {"batch", request.batch},
        {"step", request.stepTokens}})
    if (value < 1)
      return createStringError("expected a " + what + " of at least 1, got " +
                               Twine(value));
  return checkMesh(config, request.mesh);
}

Error MeshPlanner::tooLarge() const {
  return createStringError(
      "expected sizes of several ranks below 2^63, got more for context " +
      Twine(request.context) + ", batch " + Twine(request.batch) +
      " and steps of " + Twine(request.stepTokens) + " tokens");
}

//===----------------------------------------------------------------------===//
// Memory
//===----------------------------------------------------------------------===//

/// As estimateWorkspaceBytes, with what goes to experts and back.
std::optional<int64_t> MeshPlanner::estimateWorkspace(int64_t tokens,
                                                      int64_t sequences,
                                                      int64_t arrivals) const {
  ModelConfig part = shardConfig(config, tp);
  std::optional<int64_t> own = estimateWorkspaceBytes(part, tokens, sequences);
  if (!own)
    return std::nullopt;
  Count elements = 0;
  if (tp > 1)
    // The rank's part of the logits, before all are put together.
    elements += Count(sequences) * (config.vocabSize / tp);
  if (ep > 1)
    // And those of all ranks.
    elements += Count(request.batch) * config.vocabSize;
  if (hasDispatch()) {
    int64_t topK = config.numExpertsPerTok;
    int64_t copies = std::min(topK, ep);
    Count sent = Count(tokens) * copies * (sentWidth() + config.hiddenSize);
    Count arrived =
        Count(arrivals) * (sentWidth() + 2 * topK + config.hiddenSize);
    // Any token of any rank may have all its experts here; those of the rank's
    // own tokens are in the estimate already.
    Count rows = Count(arrivals - tokens) * topK *
                 (2 * part.moeIntermediateSize + config.hiddenSize);
    elements += sent + arrived + rows;
  }
  return (elements * kElementBytes + *own).get();
}

Error MeshPlanner::planMemory() {
  RankMemory &memory = result.memory;
  int64_t sequences = divideCeil(request.batch, ep);
  // A step holds at least one token of every sequence. A chunk of a prompt is
  // one rank's alone, so that each may have all tokens of a step.
  std::optional<int64_t> cache, total;
  std::optional<int64_t> workspace =
      estimateWorkspace(std::max(request.stepTokens, sequences), sequences,
                        std::max(request.stepTokens, request.batch));
  memory.weightBytes = result.weights.bytes();
  memory.cacheBytesPerToken = kvBytesPerToken(config, *request.kvFormat);
  cache =
      (Count(memory.cacheBytesPerToken) * request.context * sequences).get();
  if (workspace && cache)
    total = (Count(memory.weightBytes) + *workspace + *cache).get();
  if (!total)
    return tooLarge();
  memory.cacheBytes = *cache;
  memory.workspaceBytes = *workspace;
  memory.totalBytes = *total;
  if (request.machine) {
    // The regions add up without overflow, so the difference is in range.
    int64_t room = request.machine->memoryBytes - memory.weightBytes -
                   memory.workspaceBytes;
    memory.cacheTokens = std::max<int64_t>(room, 0) / memory.cacheBytesPerToken;
  }
  return Error::success();
}

//===----------------------------------------------------------------------===//
// Exchanges
//===----------------------------------------------------------------------===//

void MeshPlanner::addExchange(StringRef site, StringLiteral kind,
                              StringLiteral axis, int64_t times,
                              ExchangeUnit unit, double bytes,
                              int64_t mostBytes) {
  Exchange exchange{site.str(), kind, axis, times, unit, bytes, mostBytes};
  result.exchanges.push_back(std::move(exchange));
}

void MeshPlanner::addExchanges() {
  int64_t dense = config.numDenseLayers(), moe = config.numMoELayers();
  auto addSum = [&](StringRef site, int64_t times) {
    if (tp == 1 || times == 0)
      return;
    int64_t bytes = allReduceBytesSent(config.hiddenSize * kElementBytes, tp);
    addExchange(site, "all_reduce", "tp", times, ExchangeUnit::Token, bytes,
                bytes);
  };
  auto addGather = [&](StringRef site, StringLiteral axis, int64_t ranks,
                       int64_t elements) {
    int64_t bytes = (ranks - 1) * elements * kElementBytes;
    if (ranks > 1)
      addExchange(site, "all_gather", axis, 1, ExchangeUnit::LogitRow, bytes,
                  bytes);
  };
  addSum("model.embed_tokens", 1);
  addSum("self_attn.o_proj", dense + moe);
  if (result.spread && hasDispatch())
    addExpertExchanges(result.spread->limited);
  // Routed and shared experts have one sum.
  int64_t fused = config.nSharedExperts > 0 ? moe : 0;
  addSum("mlp", dense + fused);
  addSum("mlp.combine", moe - fused);
  addGather("lm_head", "tp", tp, config.vocabSize / tp);
  addGather("session.logits", "ep", ep, config.vocabSize);
}

void MeshPlanner::addExpertExchanges(const RoutingSpread &spread) {
  int64_t times = config.numMoELayers();
  int64_t there = sentWidth() * kElementBytes;
  int64_t back = config.hiddenSize * kElementBytes;
  addExchange("mlp.dispatch", "all_to_all", "ep", times, ExchangeUnit::Step,
              (ep - 1) * kElementBytes, (ep - 1) * kElementBytes);
  addExchange("mlp.dispatch", "all_to_all_v", "ep", times, ExchangeUnit::Token,
              spread.meanOthers() * there, spread.mostOthers * there);
  // Back goes what other ranks' tokens came for, of which there are as many on
  // each rank.
  addExchange("mlp.combine", "all_to_all_v", "ep", times, ExchangeUnit::Token,
              (ep - 1) * spread.mostHits() * back, (ep - 1) * back);
}

//===----------------------------------------------------------------------===//
// Steps
//===----------------------------------------------------------------------===//

RankStep MeshPlanner::getDecodeStep() const {
  RankStep step;
  step.sequences = divideCeil(request.batch, ep);
  step.tokens = step.logitRows = step.sequences;
  step.allTokens = request.batch;
  step.fewestTokens = request.batch / ep;
  step.context = request.context;
  return step;
}

RankStep MeshPlanner::getPrefillStep() const {
  RankStep step;
  step.sequences = step.logitRows = 1;
  step.tokens = std::min(request.stepTokens, request.context);
  step.allTokens = step.tokens;
  step.fewestTokens = ep > 1 ? 0 : step.tokens;
  step.context = request.context;
  return step;
}

/// Nothing if the bytes are beyond 63 bits.
std::optional<ExchangeCost>
MeshPlanner::costExchange(const Exchange &exchange,
                          const RankStep &step) const {
  ExchangeCost cost;
  // As far as it may be more than what is sent.
  double received = 0;
  Count units = exchange.unit == ExchangeUnit::Token      ? step.tokens
                : exchange.unit == ExchangeUnit::LogitRow ? step.logitRows
                                                          : 1;
  Count most = units * exchange.mostBytesPerUnit;
  cost.bytes = double(units.get().value_or(0)) * exchange.bytesPerUnit;
  if (exchange.kind == "all_reduce") {
    // Rounded once, for all tokens together.
    std::optional<int64_t> bytes =
        (units * config.hiddenSize * kElementBytes * 2).get();
    if (!bytes)
      return std::nullopt;
    most = allReduceBytesSent(*bytes / 2, tp);
    cost.bytes = double(*most.get());
  } else if (exchange.kind == "all_to_all_v") {
    // Tokens that have rows for other ranks, and those of others for one.
    const RoutingSpread &spread = result.spread->limited;
    double out = double(step.tokens) * spread.meanOthers();
    double in = double(step.allTokens - step.fewestTokens) * spread.mostHits();
    bool isBack = exchange.site == "mlp.combine";
    double rowBytes = double(isBack ? config.hiddenSize : sentWidth()) *
                      double(kElementBytes);
    cost.bytes = (isBack ? in : out) * rowBytes;
    received = (isBack ? out : in) * rowBytes;
    if (isBack)
      most = Count(step.allTokens - step.fewestTokens) *
             (exchange.mostBytesPerUnit / (ep - 1));
  }
  most = most * exchange.times;
  if (!most.get())
    return std::nullopt;
  cost.mostBytes = *most.get();
  cost.bytes *= double(exchange.times);
  received *= double(exchange.times);
  if (request.machine) {
    const LinkDescription &link =
        exchange.axis == "tp" ? request.machine->tp : request.machine->ep;
    cost.seconds = double(exchange.times) * link.latencySeconds +
                   std::max(cost.bytes, received) / link.bytesPerSecond;
  }
  return cost;
}

Error MeshPlanner::costStep(const RankStep &step, StepCost &cost) const {
  cost.step = step;
  Count most = 0;
  for (const Exchange &exchange : result.exchanges) {
    std::optional<ExchangeCost> found = costExchange(exchange, step);
    if (!found)
      return tooLarge();
    most += found->mostBytes;
    cost.bytesSent += found->bytes;
    cost.exchangeSeconds += found->seconds;
    cost.exchanges.push_back(*found);
  }
  if (!most.get())
    return tooLarge();
  cost.mostBytesSent = *most.get();

  ComputeCost compute = computeStepCost(config, result.weights, request, step);
  cost.flops = compute.flops;
  cost.bytesRead = compute.bytesRead;
  cost.computeSeconds = compute.seconds;
  if (request.machine && cost.seconds() > 0)
    cost.tokensPerSecond = double(step.allTokens) / cost.seconds();
  return Error::success();
}

Expected<MeshPlan> MeshPlanner::plan(const WeightPlan &weights) {
  if (Error error = check())
    return std::move(error);
  result.request = request;
  result.weights = planRankWeights(config, weights, request.mesh,
                                   /*epIndex=*/0);
  if (config.numMoELayers() > 0) {
    result.expertsPerRank = expertsPerRank(config, ep);
    result.fewestExperts = expertsOfRank(config, ep, ep - 1);
    Expected<RoutingSpread> limited =
        computeSpread(ExpertPlacement::of(config, ep));
    if (!limited)
      return limited.takeError();
    Expected<RoutingSpread> unlimited =
        computeSpread(ExpertPlacement::withoutLimit(config, ep));
    if (!unlimited)
      return unlimited.takeError();
    bool hasLimit = config.topkMethod == TopKMethod::GroupLimitedGreedy &&
                    config.topkGroup < config.nGroup;
    result.spread = {std::move(*limited), std::move(*unlimited), hasLimit};
  }
  if (Error error = planMemory())
    return std::move(error);
  addExchanges();
  if (Error error = costStep(getDecodeStep(), result.decode))
    return std::move(error);
  if (Error error = costStep(getPrefillStep(), result.prefill))
    return std::move(error);
  return std::move(result);
}

Expected<MeshPlan> dsv2::planMesh(const ModelConfig &config,
                                  const WeightPlan &weights,
                                  const MeshRequest &request) {
  return MeshPlanner(config, request).plan(weights);
}
