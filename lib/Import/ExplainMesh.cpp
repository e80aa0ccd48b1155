//===- ExplainMesh.cpp - the plan for several ranks, to be read -----------===//
//
// Part of dsv2, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "ExplainMesh.h"

#include "ExchangePlan.h"

#include "llvm/ADT/STLExtras.h"
#include "llvm/ADT/StringExtras.h"
#include "llvm/Support/Format.h"
#include "llvm/Support/MathExtras.h"

#include <algorithm>
#include <array>
#include <string>
#include <vector>

using namespace dsv2;
using namespace llvm;

namespace {
/// A step and its name.
struct NamedStep {
  StringLiteral name;
  const StepCost &cost;
};
} // namespace

static std::array<NamedStep, 2> getSteps(const MeshPlan &plan) {
  return {NamedStep{"decode", plan.decode}, NamedStep{"prefill", plan.prefill}};
}

/// The axes of which one group has ranks on several hosts.
static std::vector<StringRef> getAxesAcrossHosts(const MeshPlan &plan) {
  const MachineDescription &machine = *plan.request.machine;
  const auto &mesh = plan.request.mesh;
  std::vector<StringRef> axes;
  // Ranks of a group of `tp` follow each other; those of `ep` are `tp` apart,
  // so one group of it reaches from the first host to the last.
  if (machine.ranksPerHost && mesh.tp > 1 && *machine.ranksPerHost % mesh.tp &&
      *machine.ranksPerHost < mesh.ranks())
    axes.push_back("tp");
  if (machine.ranksPerHost && mesh.ep > 1 &&
      *machine.ranksPerHost < mesh.ranks())
    axes.push_back("ep");
  return axes;
}

/// Bytes that a rank sends in a layer, there and back, for each of the tokens
/// that it decodes, with exchanges of fixed size.
static double fixedBytesPerToken(const MeshPlan &plan) {
  const FixedDispatch &fixed = *plan.fixed;
  return double(plan.request.mesh.ep - 1) *
         (double(fixed.bytesThere) + double(fixed.bytesBack)) /
         double(fixed.exactDecode.step.tokens);
}

/// The same with exact exchanges, counts included, on average.
static double exactBytesPerToken(const MeshPlan &plan) {
  const StepCost &exact = plan.fixed->exactDecode;
  double bytes = 0;
  for (auto [exchange, cost] : llvm::zip(plan.exchanges, exact.exchanges))
    if (exchange.steps == DispatchKind::Exact)
      bytes += cost.bytes / double(exchange.times);
  return bytes / double(exact.step.tokens);
}

//===----------------------------------------------------------------------===//
// JSON
//===----------------------------------------------------------------------===//

static json::Object explainRank(const MeshPlan &plan) {
  json::Array tensors;
  for (const PlannedWeight &weight : plan.weights.weights)
    tensors.push_back(
        json::Object{{"name", weight.name},
                     {"format", stringifyWeightFormat(weight.format)},
                     {"parameters", weight.parameters},
                     {"bytes", weight.bytes}});
  return json::Object{
      {"parameters", plan.weights.parameters()},
      {"tensors", std::move(tensors)},
      {"experts", plan.expertsPerRank},
      {"fewest_experts", plan.fewestExperts},
      {"weight_bytes", plan.memory.weightBytes},
      {"cache_bytes_per_token", plan.memory.cacheBytesPerToken},
      {"cache_bytes", plan.memory.cacheBytes},
      {"workspace_bytes_estimate", plan.memory.workspaceBytes},
      {"total_bytes", plan.memory.totalBytes},
  };
}

/// `rowBytes` is what a rank sends of a token to each other one.
static json::Object explainSpread(const RoutingSpread &spread,
                                  int64_t rowBytes) {
  return json::Object{
      {"most_ranks", spread.mostRanks},
      {"mean_ranks", spread.meanRanks()},
      {"most_other_ranks", spread.mostOthers},
      {"mean_other_ranks", spread.meanOthers()},
      {"most_bytes", spread.mostOthers * rowBytes},
      {"mean_bytes", spread.meanOthers() * double(rowBytes)},
  };
}

static json::Value explainDispatch(const ModelConfig &config,
                                   const MeshPlan &plan) {
  if (!plan.spread)
    return nullptr;
  int64_t rowBytes = getDispatchRows(config, plan.request.forDevice).there;
  json::Object result{
      {"experts_per_token", config.numExpertsPerTok},
      {"without_limit", explainSpread(plan.spread->unlimited, rowBytes)},
      {"device_limited", nullptr},
  };
  if (plan.spread->hasLimit)
    result["device_limited"] = explainSpread(plan.spread->limited, rowBytes);
  return result;
}

/// Which steps have an exchange.
static StringRef stepsText(const Exchange &exchange) {
  return exchange.steps ? stringifyDispatchKind(*exchange.steps) : "all";
}

static json::Array explainExchanges(const MeshPlan &plan) {
  json::Array result;
  for (auto [i, exchange] : llvm::enumerate(plan.exchanges)) {
    json::Object entry{
        {"site", exchange.site},
        {"kind", exchange.kind},
        {"axis", exchange.axis},
        {"times", exchange.times},
        {"unit", stringifyExchangeUnit(exchange.unit)},
        {"bytes_per_unit", exchange.bytesPerUnit},
        {"most_bytes_per_unit", exchange.mostBytesPerUnit},
        {"steps", stepsText(exchange)},
    };
    for (const NamedStep &step : getSteps(plan)) {
      const ExchangeCost &cost = step.cost.exchanges[i];
      json::Object costs{{"bytes_sent", cost.bytes},
                         {"most_bytes_sent", cost.mostBytes}};
      if (plan.request.machine)
        costs["seconds"] = cost.seconds;
      entry[step.name] = std::move(costs);
    }
    result.push_back(std::move(entry));
  }
  return result;
}

/// Whether tokens travel to ranks of their experts.
static bool hasDispatch(const MeshPlan &plan) {
  return plan.spread && plan.request.mesh.ep > 1;
}

static json::Object explainStep(const MeshPlan &plan, const StepCost &cost) {
  json::Object result{
      {"context", cost.step.context},
      {"sequences", cost.step.sequences},
      {"tokens", cost.step.tokens},
      {"logit_rows", cost.step.logitRows},
      {"tokens_of_all_ranks", cost.step.allTokens},
      {"bytes_sent", cost.bytesSent},
      {"most_bytes_sent", cost.mostBytesSent},
      {"flops", cost.flops},
      {"bytes_read", cost.bytesRead},
      {"dispatch", nullptr},
  };
  if (hasDispatch(plan))
    result["dispatch"] = stringifyDispatchKind(cost.dispatch);
  if (plan.request.machine) {
    result["compute_seconds"] = cost.computeSeconds;
    result["exchange_seconds"] = cost.exchangeSeconds;
    result["overlapped_seconds"] = cost.overlappedSeconds;
    result["seconds_without_overlap"] = cost.secondsWithoutOverlap();
    result["seconds"] = cost.seconds();
    result["tokens_per_second"] = cost.tokensPerSecond;
  }
  return result;
}

static json::Value explainFixed(const MeshPlan &plan) {
  if (!plan.fixed)
    return nullptr;
  const FixedDispatch &fixed = *plan.fixed;
  json::Object result{
      {"capacity", fixed.capacity},
      {"bytes_per_link", fixed.bytesThere},
      {"bytes_per_link_back", fixed.bytesBack},
      {"bytes_per_token_and_layer", fixedBytesPerToken(plan)},
      {"exact_bytes_per_token_and_layer", exactBytesPerToken(plan)},
      {"most_tokens", fixed.mostTokens},
      {"mean_rows", fixed.meanRows},
      {"most_rows", fixed.mostRows},
      {"saved_exchanges", fixed.savedExchanges},
      {"exact_decode", explainStep(plan, fixed.exactDecode)},
  };
  if (plan.request.machine)
    result["saved_latency_seconds"] = fixed.savedSeconds;
  return result;
}

static json::Value explainMachine(const MeshPlan &plan) {
  if (!plan.request.machine)
    return nullptr;
  const MachineDescription &machine = *plan.request.machine;
  auto explainLink = [](const LinkDescription &link) {
    return json::Object{{"bytes_per_second", link.bytesPerSecond},
                        {"latency_seconds", link.latencySeconds}};
  };
  json::Object result{
      {"name", json::fixUTF8(machine.name)},
      {"memory_bytes", machine.memoryBytes},
      {"memory_bytes_per_second", machine.memoryBytesPerSecond},
      {"flops_per_second", machine.flopsPerSecond},
      {"tp", explainLink(machine.tp)},
      {"ep", explainLink(machine.ep)},
      {"ranks_per_host", nullptr},
      {"fits", plan.memory.totalBytes <= machine.memoryBytes},
      {"cache_tokens_per_rank", *plan.memory.cacheTokens},
  };
  if (machine.ranksPerHost) {
    json::Array axes;
    for (StringRef axis : getAxesAcrossHosts(plan))
      axes.push_back(axis);
    result["ranks_per_host"] = *machine.ranksPerHost;
    result["hosts"] =
        int64_t(divideCeil(plan.request.mesh.ranks(), *machine.ranksPerHost));
    result["axes_across_hosts"] = std::move(axes);
  }
  return result;
}

json::Value dsv2::explainMesh(const ModelConfig &config, const MeshPlan &plan) {
  return json::Object{
      {"tp", plan.request.mesh.tp},
      {"ep", plan.request.mesh.ep},
      {"ranks", plan.request.mesh.ranks()},
      {"machine", explainMachine(plan)},
      {"rank", explainRank(plan)},
      {"target", plan.request.forDevice ? "cuda" : "cpu"},
      {"dispatch", explainDispatch(config, plan)},
      {"fixed_dispatch", explainFixed(plan)},
      {"exchanges", explainExchanges(plan)},
      {"decode", explainStep(plan, plan.decode)},
      {"prefill", explainStep(plan, plan.prefill)},
  };
}

//===----------------------------------------------------------------------===//
// Text
//===----------------------------------------------------------------------===//

/// Bytes that may be an average, and beyond 63 bits.
static std::string bytesText(double bytes) {
  return formatBytes(static_cast<int64_t>(std::min(bytes, 9e18)));
}

/// "1.25 ms".
static std::string secondsText(double seconds) {
  std::string text;
  raw_string_ostream os(text);
  if (seconds < 1e-3)
    os << format("%.1f us", seconds * 1e6);
  else if (seconds < 1)
    os << format("%.2f ms", seconds * 1e3);
  else
    os << format("%.2f s", seconds);
  return text;
}

static void printRank(TextWriter &writer, const ModelConfig &config,
                      const MeshPlan &plan) {
  const RankMemory &memory = plan.memory;
  writer.heading(formatv("the fullest of {0} ranks ({1})",
                         plan.request.mesh.ranks(), plan.request.mesh.str())
                     .str());
  writer.count("parameters", plan.weights.parameters());
  if (plan.expertsPerRank) {
    raw_ostream &os = writer.line("routed experts")
                      << plan.expertsPerRank << " of " << config.nRoutedExperts;
    if (plan.fewestExperts < plan.expertsPerRank)
      os << ", " << plan.fewestExperts << " on the last rank";
    os << "\n";
  }
  writer.bytes("weights", memory.weightBytes);
  writer.bytes("cache bytes per token", memory.cacheBytesPerToken);
  writer.bytes(formatv("latent cache, {0} of {1} sequences",
                       plan.decode.step.sequences, plan.request.batch)
                   .str(),
               memory.cacheBytes);
  writer.bytes("workspace, estimate", memory.workspaceBytes);
  writer.bytes("total", memory.totalBytes);
  if (!plan.request.machine)
    return;
  const MachineDescription &machine = *plan.request.machine;
  writer.bytes("available", machine.memoryBytes);
  writer.value("verdict", memory.totalBytes <= machine.memoryBytes
                              ? "fits"
                              : "does not fit");
  writer.line("room for cache")
      << *memory.cacheTokens << " tokens, over ep "
      << formatv("{0:f0}",
                 double(*memory.cacheTokens) * double(plan.request.mesh.ep))
      << "\n";
  if (machine.ranksPerHost) {
    raw_ostream &os =
        writer.line("hosts")
        << divideCeil(plan.request.mesh.ranks(), *machine.ranksPerHost);
    std::vector<StringRef> axes = getAxesAcrossHosts(plan);
    if (!axes.empty())
      os << ", with exchanges of " << join(axes, " and ") << " between them";
    os << "\n";
  }
}

static void printDispatch(TextWriter &writer, const ModelConfig &config,
                          const MeshPlan &plan) {
  if (!plan.spread || plan.request.mesh.ep == 1)
    return;
  writer.heading(formatv("ranks that a token is sent to in a layer, for its "
                         "{0} experts, and bytes",
                         config.numExpertsPerTok)
                     .str());
  int64_t rowBytes = getDispatchRows(config, plan.request.forDevice).there;
  auto print = [&](StringRef name, const RoutingSpread &spread) {
    writer.line(name) << formatv(
        "{0} at most, {1:f4} on average; {2} and {3:f4} other than its own: "
        "{4} and {5:f1} bytes\n",
        spread.mostRanks, spread.meanRanks(), spread.mostOthers,
        spread.meanOthers(), spread.mostOthers * rowBytes,
        spread.meanOthers() * double(rowBytes));
  };
  if (plan.spread->hasLimit)
    print("device-limited routing", plan.spread->limited);
  print(plan.spread->hasLimit ? "without the limit" : "free routing",
        plan.spread->unlimited);
}

static void printExchanges(TextWriter &writer, const MeshPlan &plan) {
  writer.heading(
      "exchanges: bytes that a rank sends, for one of its units each "
      "time, and in steps");
  if (plan.exchanges.empty())
    return writer.value("exchanges", "none");
  auto printRow = [&](StringRef site, StringRef kind, StringRef axis,
                      StringRef times, StringRef unit, StringRef steps,
                      ArrayRef<std::string> bytes) {
    raw_ostream &os = writer.line(site, /*width=*/18);
    os << left_justify(kind, 14) << left_justify(axis, 5)
       << right_justify(times, 5) << "  " << left_justify(unit, 9);
    if (plan.fixed)
      os << "  " << left_justify(steps, 5);
    for (const std::string &text : bytes)
      os << right_justify(text, 12);
    os << "\n";
  };
  printRow("site", "kind", "axis", "times", "unit", "steps",
           {"a unit", "at most", "decode", "at most", "prefill", "at most"});
  for (auto [i, exchange] : llvm::enumerate(plan.exchanges)) {
    SmallVector<std::string> bytes = {
        formatv("{0:f1}", exchange.bytesPerUnit).str(),
        std::to_string(exchange.mostBytesPerUnit)};
    for (const NamedStep &step : getSteps(plan)) {
      bytes.push_back(bytesText(step.cost.exchanges[i].bytes));
      bytes.push_back(formatBytes(step.cost.exchanges[i].mostBytes));
    }
    printRow(exchange.site, exchange.kind, exchange.axis,
             std::to_string(exchange.times),
             stringifyExchangeUnit(exchange.unit), stepsText(exchange), bytes);
  }
}

static void printFixed(TextWriter &writer, const MeshPlan &plan) {
  const FixedDispatch &fixed = *plan.fixed;
  writer.heading(formatv("exchanges of fixed size: {0} rows for each of {1} "
                         "other ranks",
                         fixed.capacity, plan.request.mesh.ep - 1)
                     .str());
  writer.bytes("a link and layer, there", fixed.bytesThere);
  writer.bytes("a link and layer, back", fixed.bytesBack);
  writer.line("a token and layer")
      << bytesText(fixedBytesPerToken(plan)) << " when decoding, exact "
      << bytesText(exactBytesPerToken(plan)) << " on average\n";
  raw_ostream &saved = writer.line("saved")
                       << fixed.savedExchanges << " exchanges of counts";
  if (plan.request.machine)
    saved << ", " << secondsText(fixed.savedSeconds) << " of latency";
  saved << "\n";
  raw_ostream &limit = writer.line("exact from the start")
                       << "beyond " << fixed.mostTokens << " tokens of a rank";
  if (plan.decode.dispatch == DispatchKind::Exact)
    limit << ", as with the " << fixed.mostRows << " of this plan";
  limit << "\n";
  writer.line("rows wanted of a link")
      << formatv("{0:f1}", fixed.meanRows) << " on average, " << fixed.mostRows
      << " at most; "
      << (fixed.mostRows <= fixed.capacity
              ? "no step is repeated\n"
              : "a step that wants more than there are is repeated exactly\n");
  const StepCost &exact = fixed.exactDecode;
  raw_ostream &os = writer.line("decoding with exact ones")
                    << bytesText(exact.bytesSent) << " sent on average";
  if (plan.request.machine)
    os << ", " << secondsText(exact.seconds());
  os << "\n";
}

static void printStep(TextWriter &writer, const MeshPlan &plan,
                      const NamedStep &named) {
  const StepCost &cost = named.cost;
  writer.heading(formatv("a {0} step at context {1}: {2} of {3} tokens on the "
                         "busiest rank",
                         named.name, cost.step.context, cost.step.tokens,
                         cost.step.allTokens)
                     .str());
  writer.line("sent") << bytesText(cost.bytesSent) << " on average, "
                      << formatBytes(cost.mostBytesSent) << " at most\n";
  writer.line("read from memory") << bytesText(cost.bytesRead) << "\n";
  writer.line("FLOPs") << format("%.4g\n", cost.flops);
  if (!plan.request.machine)
    return;
  raw_ostream &os = writer.line("predicted time")
                    << secondsText(cost.seconds()) << ": "
                    << secondsText(cost.computeSeconds) << " computing, "
                    << secondsText(cost.exchangeSeconds) << " exchanging";
  if (cost.overlappedSeconds > 0)
    os << ", " << secondsText(cost.overlappedSeconds)
       << " of both at the same time; "
       << secondsText(cost.secondsWithoutOverlap()) << " without overlap";
  os << "\n";
  writer.line("tokens per second, all ranks")
      << format("%.1f\n", cost.tokensPerSecond);
}

void dsv2::printMesh(TextWriter &writer, const ModelConfig &config,
                     const MeshPlan &plan) {
  printRank(writer, config, plan);
  if (plan.request.machine && !plan.request.machine->name.empty())
    writer.value("machine", escapeText(plan.request.machine->name));
  printDispatch(writer, config, plan);
  printExchanges(writer, plan);
  if (plan.fixed)
    printFixed(writer, plan);
  for (const NamedStep &step : getSteps(plan))
    printStep(writer, plan, step);
}
