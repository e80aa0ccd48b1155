//===- WeightPlan.cpp - formats and sizes of a model's weights ------------===//
//
// Part of dsv2, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "dsv2/Import/WeightPlan.h"

#include "dsv2/Import/CostModel.h"
#include "llvm/ADT/STLExtras.h"
#include "llvm/ADT/SmallVector.h"
#include "llvm/Support/ErrorHandling.h"

#include <numeric>

using namespace dsv2;
using namespace llvm;

static int64_t sum(const std::vector<PlannedWeight> &weights,
                   int64_t PlannedWeight::*member) {
  return std::accumulate(
      weights.begin(), weights.end(), int64_t(0),
      [&](int64_t total, const PlannedWeight &w) { return total + w.*member; });
}

int64_t WeightPlan::parameters() const {
  return sum(weights, &PlannedWeight::parameters);
}
int64_t WeightPlan::bytes() const {
  return sum(weights, &PlannedWeight::bytes);
}
int64_t WeightPlan::activeBytes() const {
  return sum(weights, &PlannedWeight::activeBytes);
}

int64_t WeightGroup::tensorBytes() const {
  return findWeightFormat(stringifyWeightFormat(format))->bytes(first);
}

void WeightPlan::add(WeightGroup group) {
  auto it = llvm::find_if(weights, [&](const PlannedWeight &w) {
    return w.name == group.name && w.format == group.format;
  });
  if (it == weights.end())
    it = weights.insert(it, {group.name, group.format});
  int64_t bytes = group.tensorBytes();
  it->parameters += group.count * group.first.numElements();
  it->bytes += group.count * bytes;
  if (group.first.role != TensorRole::Embedding)
    it->activeBytes += group.numActive * bytes;
  groups.push_back(std::move(group));
}

/// The op that ModelBuilder gives the tensor to.
static WeightUse getUse(const TensorSpec &spec) {
  switch (spec.role) {
  case TensorRole::Embedding:
    return WeightUse::Embed;
  case TensorRole::Head:
    return WeightUse::Logits;
  case TensorRole::Attention:
    return StringRef(spec.name).ends_with(".kv_b_proj.weight")
               ? WeightUse::LatentAttention
               : WeightUse::Linear;
  case TensorRole::Norm:
    return WeightUse::RMSNorm;
  case TensorRole::DenseFFN:
  case TensorRole::SharedExpert:
    return WeightUse::GatedFFN;
  case TensorRole::Router:
    return WeightUse::Route;
  case TensorRole::RoutedExpert:
    return WeightUse::ExpertFFN;
  }
  llvm_unreachable("unknown role");
}

/// `name` of the tensor of one layer and expert as the IR has it.
static std::string getSymbolicName(const TensorSpec &spec) {
  std::string name = spec.name;
  auto replace = [&](StringRef before, int64_t number, StringRef with) {
    std::string old = (before + Twine(number) + ".").str();
    size_t at = name.find(old);
    if (at != std::string::npos)
      name.replace(at, old.size(), (before + with + ".").str());
  };
  if (spec.layer >= 0)
    replace("model.layers.", spec.layer, "{layer}");
  if (spec.expert >= 0)
    replace(".experts.", spec.expert, "{expert}");
  return name;
}

Expected<WeightPlan> dsv2::planWeights(const ModelConfig &config,
                                       WeightPolicy &policy) {
  SmallVector<int64_t> layersOfKind[2];
  for (int64_t layer = 0; layer < config.numHiddenLayers; ++layer)
    layersOfKind[config.isMoELayer(layer)].push_back(layer);
  // The formats are not known yet.
  std::vector<WeightGroup> groups;
  config.forEachTensorGroup(
      [&](const TensorSpec &spec, int64_t count, int64_t numActive) {
        groups.push_back({spec, getSymbolicName(spec), policy.baseFormat(),
                          count, numActive});
      });
  auto getTensors = [&](const WeightGroup &group) {
    WeightTensors tensors;
    tensors.name = group.name;
    if (group.first.layer >= 0)
      tensors.layers = layersOfKind[config.isMoELayer(group.first.layer)];
    if (group.first.expert >= 0)
      tensors.experts = config.nRoutedExperts;
    return tensors;
  };

  WeightPlan plan;
  plan.baseFormat = policy.baseFormat();
  plan.hasRules = policy.hasRules();
  auto add = [&](WeightGroup &group, WeightFormat format) {
    group.format = format;
    plan.add(std::move(group));
  };
  for (size_t i = 0; i < groups.size(); ++i) {
    SmallVector<WeightTensors, 2> operand = {getTensors(groups[i])};
    // Gate and up, which follow each other, are stored together.
    bool isGate = StringRef(groups[i].name).ends_with(".gate_proj.weight");
    if (isGate)
      operand.push_back(getTensors(groups[i + 1]));
    Expected<WeightFormat> format =
        policy.select(getUse(groups[i].first), operand);
    if (!format)
      return format.takeError();
    add(groups[i], *format);
    if (isGate)
      add(groups[++i], *format);
  }
  if (Error error = policy.checkRulesUsed())
    return std::move(error);
  return plan;
}
