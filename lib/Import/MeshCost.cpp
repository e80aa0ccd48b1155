//===- MeshCost.cpp - memory, exchanges and time of several ranks ---------===//
//
// Part of dsv2, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "dsv2/Import/MeshCost.h"

#include "ExchangePlan.h"
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

/// Activations are f32 in memory.
static constexpr int64_t kElementBytes = 4;

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
  Error planFixedDispatch();
  RankStep getDecodeStep() const;
  RankStep getPrefillStep() const;
  Error costStep(const RankStep &step, DispatchKind dispatch,
                 StepCost &cost) const;
  Error costSteps();

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
  if (request.dispatchCapacity < 0)
    return createStringError("expected a capacity of at least 0 rows, got " +
                             Twine(request.dispatchCapacity));
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
  Count elements = 0, bytes = *own;
  if (tp > 1)
    // The rank's part of the logits, before all are put together.
    elements += Count(sequences) * (config.vocabSize / tp);
  if (ep > 1)
    // And those of all ranks.
    elements += Count(request.batch) * config.vocabSize;
  if (hasDispatch()) {
    int64_t topK = config.numExpertsPerTok;
    DispatchRows rows = getDispatchRows(config, request.forDevice);
    Count sent = Count(tokens) * std::min(topK, ep);
    if (result.fixed) {
      // Rows of fixed exchanges are there whether they are used or not.
      std::optional<int64_t> exact = sent.get();
      std::optional<int64_t> fixed = (Count(result.fixed->capacity) * ep).get();
      if (!exact || !fixed)
        return std::nullopt;
      sent = std::max(*exact, *fixed);
      arrivals = std::max(arrivals, *fixed);
    }
    bytes += sent * (rows.there + rows.back);
    bytes +=
        Count(arrivals) * (rows.there + 2 * topK * kElementBytes + rows.back);
    // Any token of any rank may have all its experts here; those of the rank's
    // own tokens are in the estimate already.
    elements += Count(arrivals - tokens) * topK *
                (2 * part.moeIntermediateSize + config.hiddenSize);
  }
  return (elements * kElementBytes + bytes).get();
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

/// Everything about exchanges of fixed size but what steps cost.
Error MeshPlanner::planFixedDispatch() {
  if (request.dispatchCapacity == 0 || !result.spread || !hasDispatch())
    return Error::success();
  FixedDispatch fixed;
  fixed.capacity = request.dispatchCapacity;
  DispatchRows rows = getDispatchRows(config, request.forDevice);
  std::optional<int64_t> there = (Count(fixed.capacity) * rows.there).get();
  std::optional<int64_t> back = (Count(fixed.capacity) * rows.back).get();
  std::optional<int64_t> mostTokens = mostFixedTokens(fixed.capacity);
  if (!there || !back || !mostTokens)
    return tooLarge();
  fixed.bytesThere = *there;
  fixed.bytesBack = *back;
  fixed.mostTokens = *mostTokens;
  fixed.mostRows = getDecodeStep().tokens;
  fixed.meanRows = double(fixed.mostRows) * result.spread->limited.mostHits();
  fixed.savedExchanges = config.numMoELayers();
  if (request.machine)
    fixed.savedSeconds =
        double(fixed.savedExchanges) * request.machine->ep.latencySeconds;
  result.fixed = std::move(fixed);
  return Error::success();
}

Error MeshPlanner::costStep(const RankStep &step, DispatchKind dispatch,
                            StepCost &cost) const {
  cost.step = step;
  cost.dispatch = dispatch;
  ComputeCost compute = computeStepCost(config, result.weights, request, step);
  Count most = 0;
  for (const Exchange &exchange : result.exchanges) {
    std::optional<ExchangeCost> found = ExchangeCost();
    if (exchange.steps.value_or(dispatch) == dispatch)
      found = costExchange(config, result, exchange, step);
    if (!found)
      return tooLarge();
    most += found->mostBytes;
    cost.bytesSent += found->bytes;
    cost.exchangeSeconds += found->seconds;
    // In each layer the shorter of the two passes beside the longer.
    if (isOverlapped(config, exchange))
      cost.overlappedSeconds += std::min(found->seconds, compute.sharedSeconds);
    cost.exchanges.push_back(*found);
  }
  if (!most.get())
    return tooLarge();
  cost.mostBytesSent = *most.get();
  cost.flops = compute.flops;
  cost.bytesRead = compute.bytesRead;
  cost.computeSeconds = compute.seconds;
  if (request.machine && cost.seconds() > 0)
    cost.tokensPerSecond = double(step.allTokens) / cost.seconds();
  return Error::success();
}

Error MeshPlanner::costSteps() {
  RankStep decode = getDecodeStep();
  bool isFixed = result.fixed && decode.tokens <= result.fixed->mostTokens;
  if (Error error =
          costStep(decode, isFixed ? DispatchKind::Fixed : DispatchKind::Exact,
                   result.decode))
    return error;
  if (result.fixed)
    if (Error error =
            costStep(decode, DispatchKind::Exact, result.fixed->exactDecode))
      return error;
  return costStep(getPrefillStep(), DispatchKind::Exact, result.prefill);
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
  if (Error error = planFixedDispatch())
    return std::move(error);
  if (Error error = planMemory())
    return std::move(error);
  std::optional<std::vector<Exchange>> exchanges =
      planExchanges(config, result);
  if (!exchanges)
    return tooLarge();
  result.exchanges = std::move(*exchanges);
  if (Error error = costSteps())
    return std::move(error);
  return std::move(result);
}

Expected<MeshPlan> dsv2::planMesh(const ModelConfig &config,
                                  const WeightPlan &weights,
                                  const MeshRequest &request) {
  return MeshPlanner(config, request).plan(weights);
}
