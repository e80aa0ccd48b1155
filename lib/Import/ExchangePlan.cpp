//===- ExchangePlan.cpp - what ranks send each other in a step ------------===//
//
// Part of dsv2, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "ExchangePlan.h"

#include "dsv2/Support/Count.h"
#include "llvm/Support/MathExtras.h"

#include <algorithm>

using namespace dsv2;
using namespace llvm;

/// Sums and logits are f32 between ranks, counts i32.
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

StringRef dsv2::stringifyDispatchKind(DispatchKind kind) {
  switch (kind) {
  case DispatchKind::Exact:
    return "exact";
  case DispatchKind::Fixed:
    return "fixed";
  }
  llvm_unreachable("unknown kind of dispatch");
}

DispatchRows dsv2::getDispatchRows(const ModelConfig &config, bool forDevice) {
  int64_t width = config.hiddenSize;
  // Number and weight of each slot.
  int64_t slots = 2 * config.numExpertsPerTok * kElementBytes;
  DispatchRows rows;
  // gpu::ExchangeConfig has the input in bf16, and rows that are read 16 bytes
  // at a time.
  rows.there = forDevice ? int64_t(alignTo(alignTo(2 * width, 4) + slots, 16))
                         : width * kElementBytes + slots;
  rows.back = width * kElementBytes;
  return rows;
}

std::optional<int64_t> dsv2::mostFixedTokens(int64_t capacity) {
  return (Count(capacity) * 2).get();
}

bool dsv2::isOverlapped(const ModelConfig &config, const Exchange &exchange) {
  return config.nSharedExperts > 0 && exchange.site == "mlp.dispatch" &&
         exchange.kind == "all_to_all_v";
}

//===----------------------------------------------------------------------===//
// The exchanges
//===----------------------------------------------------------------------===//

namespace {
class ExchangePlanner {
public:
  ExchangePlanner(const ModelConfig &config, const MeshPlan &plan)
      : config(config), plan(plan), tp(plan.request.mesh.tp),
        ep(plan.request.mesh.ep) {}

  std::optional<std::vector<Exchange>> getExchanges();

private:
  void add(StringRef site, StringLiteral kind, StringLiteral axis,
           int64_t times, ExchangeUnit unit, double bytes, int64_t mostBytes,
           std::optional<DispatchKind> dispatch = std::nullopt);
  void addSum(StringRef site, int64_t times);
  void addGather(StringRef site, StringLiteral axis, int64_t ranks,
                 int64_t elements);
  void addExactDispatch();
  void addFixedDispatch();

  const ModelConfig &config;
  const MeshPlan &plan;
  int64_t tp, ep;
  std::vector<Exchange> result;
  bool overflow = false;
};
} // namespace

void ExchangePlanner::add(StringRef site, StringLiteral kind,
                          StringLiteral axis, int64_t times, ExchangeUnit unit,
                          double bytes, int64_t mostBytes,
                          std::optional<DispatchKind> dispatch) {
  result.push_back(
      {site.str(), kind, axis, times, unit, bytes, mostBytes, dispatch});
}

void ExchangePlanner::addSum(StringRef site, int64_t times) {
  if (tp == 1 || times == 0)
    return;
  int64_t bytes = allReduceBytesSent(config.hiddenSize * kElementBytes, tp);
  add(site, "all_reduce", "tp", times, ExchangeUnit::Token, bytes, bytes);
}

void ExchangePlanner::addGather(StringRef site, StringLiteral axis,
                                int64_t ranks, int64_t elements) {
  int64_t bytes = (ranks - 1) * elements * kElementBytes;
  if (ranks > 1)
    add(site, "all_gather", axis, 1, ExchangeUnit::LogitRow, bytes, bytes);
}

void ExchangePlanner::addExactDispatch() {
  const RoutingSpread &spread = plan.spread->limited;
  DispatchRows rows = getDispatchRows(config, plan.request.forDevice);
  int64_t times = config.numMoELayers();
  // In a plan without fixed exchanges these belong to all steps alike.
  std::optional<DispatchKind> kind;
  if (plan.fixed)
    kind = DispatchKind::Exact;
  add("mlp.dispatch", "all_to_all", "ep", times, ExchangeUnit::Step,
      (ep - 1) * kElementBytes, (ep - 1) * kElementBytes, kind);
  add("mlp.dispatch", "all_to_all_v", "ep", times, ExchangeUnit::Token,
      spread.meanOthers() * rows.there, spread.mostOthers * rows.there, kind);
  // Back goes what other ranks' tokens came for, of which there are as many on
  // each rank.
  add("mlp.combine", "all_to_all_v", "ep", times, ExchangeUnit::Token,
      (ep - 1) * spread.mostHits() * rows.back, (ep - 1) * rows.back, kind);
}

void ExchangePlanner::addFixedDispatch() {
  auto addRows = [&](StringRef site, int64_t linkBytes) {
    std::optional<int64_t> bytes = (Count(linkBytes) * (ep - 1)).get();
    overflow |= !bytes;
    if (bytes)
      add(site, "all_to_all", "ep", config.numMoELayers(), ExchangeUnit::Step,
          double(*bytes), *bytes, DispatchKind::Fixed);
  };
  addRows("mlp.dispatch", plan.fixed->bytesThere);
  addRows("mlp.combine", plan.fixed->bytesBack);
}

std::optional<std::vector<Exchange>> ExchangePlanner::getExchanges() {
  int64_t dense = config.numDenseLayers(), moe = config.numMoELayers();
  addSum("model.embed_tokens", 1);
  addSum("self_attn.o_proj", dense + moe);
  if (plan.spread && ep > 1)
    addExactDispatch();
  if (plan.fixed)
    addFixedDispatch();
  // Routed and shared experts have one sum.
  int64_t fused = config.nSharedExperts > 0 ? moe : 0;
  addSum("mlp", dense + fused);
  addSum("mlp.combine", moe - fused);
  addGather("lm_head", "tp", tp, config.vocabSize / tp);
  addGather("session.logits", "ep", ep, config.vocabSize);
  if (overflow)
    return std::nullopt;
  return std::move(result);
}

std::optional<std::vector<Exchange>>
dsv2::planExchanges(const ModelConfig &config, const MeshPlan &plan) {
  return ExchangePlanner(config, plan).getExchanges();
}

//===----------------------------------------------------------------------===//
// Their costs
//===----------------------------------------------------------------------===//

std::optional<ExchangeCost> dsv2::costExchange(const ModelConfig &config,
                                               const MeshPlan &plan,
                                               const Exchange &exchange,
                                               const RankStep &step) {
  const MeshRequest &request = plan.request;
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
    most = allReduceBytesSent(*bytes / 2, request.mesh.tp);
    cost.bytes = double(*most.get());
  } else if (exchange.kind == "all_to_all_v") {
    // Tokens that have rows for other ranks, and those of others for one.
    const RoutingSpread &spread = plan.spread->limited;
    double out = double(step.tokens) * spread.meanOthers();
    double in = double(step.allTokens - step.fewestTokens) * spread.mostHits();
    bool isBack = exchange.site == "mlp.combine";
    DispatchRows rows = getDispatchRows(config, request.forDevice);
    double rowBytes = double(isBack ? rows.back : rows.there);
    cost.bytes = (isBack ? in : out) * rowBytes;
    received = (isBack ? out : in) * rowBytes;
    if (isBack)
      most = Count(step.allTokens - step.fewestTokens) * rows.back;
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
