//===- StepTime.cpp - arithmetic and memory of a rank's step --------------===//
//
// Part of dsv2, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "StepTime.h"

#include "llvm/ADT/StringRef.h"

#include <algorithm>
#include <cmath>

using namespace dsv2;
using namespace llvm;

namespace {
/// What has to be done before something else can start.
struct Stage {
  double flops = 0;
  double bytes = 0;

  double seconds(const MachineDescription &machine) const {
    return std::max(bytes / machine.memoryBytesPerSecond,
                    flops / machine.flopsPerSecond);
  }
};

class StepCoster {
public:
  StepCoster(const ModelConfig &config, const MeshRequest &request,
             const RankStep &step)
      : config(config), part(shardConfig(config, request.mesh.tp)),
        request(request), step(step) {}

  ComputeCost compute(const WeightPlan &weights) const;

private:
  void addWeights(const WeightGroup &group, Stage &stage) const;
  void addAttention(Stage &stage) const;

  const ModelConfig &config;
  ModelConfig part;
  const MeshRequest &request;
  const RankStep &step;
};
} // namespace

/// Adds reading the tensors of a group, and their products, in one layer.
void StepCoster::addWeights(const WeightGroup &group, Stage &stage) const {
  const TensorSpec &spec = group.first;
  double bytes = double(group.tensorBytes());
  double elements = double(spec.numElements());
  switch (spec.role) {
  case TensorRole::Embedding:
    // A look-up of few rows.
    return;
  case TensorRole::Norm:
    stage.bytes += bytes;
    return;
  case TensorRole::Head:
    stage.bytes += bytes;
    stage.flops += 2 * elements * double(step.logitRows);
    return;
  case TensorRole::RoutedExpert: {
    double experts = double(config.nRoutedExperts);
    double share = double(config.numExpertsPerTok) / experts;
    double here = double(expertsPerRank(config, request.mesh.ep));
    double tokens = double(step.allTokens);
    // An expert is read if any token has chosen it.
    stage.bytes += bytes * here * (1 - std::pow(1 - share, tokens));
    stage.flops += 2 * elements * here * share * tokens;
    return;
  }
  default:
    stage.bytes += bytes;
    // Attention counts the products with its up-projections itself.
    if (!StringRef(spec.name).ends_with(".kv_b_proj.weight"))
      stage.flops += 2 * elements * double(step.tokens);
  }
}

void StepCoster::addAttention(Stage &stage) const {
  AttentionCost cost = attentionCost(part);
  double sequences = double(step.sequences), context = double(step.context);
  double perSequence = double(step.tokens) / sequences;
  // The last tokens of a sequence see all positions but those behind them.
  double pairs = double(step.tokens) * (context - (perSequence - 1) / 2);
  double absorbed = double(step.tokens) * double(cost.kvUp) +
                    pairs * double(cost.absorbedPair);
  double expanded = sequences * context * double(cost.kvUp) +
                    pairs * double(cost.expandedPair);
  stage.flops += std::min(absorbed, expanded);
  stage.bytes +=
      sequences * context * double(request.kvFormat->entryBytes(config));
}

ComputeCost StepCoster::compute(const WeightPlan &weights) const {
  // Indexed by LayerKind; what is in no layer comes behind.
  Stage stages[3], withoutShared;
  double counts[3] = {double(config.numDenseLayers()),
                      double(config.numMoELayers()), 1};
  for (LayerKind kind : {LayerKind::Dense, LayerKind::MoE})
    if (counts[int(kind)] > 0)
      addAttention(stages[int(kind)]);
  withoutShared = stages[int(LayerKind::MoE)];
  for (const WeightGroup &group : weights.groups) {
    int stage =
        group.first.layer < 0 ? 2 : int(config.layerKind(group.first.layer));
    addWeights(group, stages[stage]);
    if (stage == int(LayerKind::MoE) &&
        group.first.role != TensorRole::SharedExpert)
      addWeights(group, withoutShared);
  }
  ComputeCost cost;
  for (size_t i = 0; i < std::size(stages); ++i) {
    cost.flops += counts[i] * stages[i].flops;
    cost.bytesRead += counts[i] * stages[i].bytes;
    if (request.machine)
      cost.seconds += counts[i] * stages[i].seconds(*request.machine);
  }
  if (request.machine)
    cost.sharedSeconds =
        counts[int(LayerKind::MoE)] *
        (stages[int(LayerKind::MoE)].seconds(*request.machine) -
         withoutShared.seconds(*request.machine));
  return cost;
}

ComputeCost dsv2::computeStepCost(const ModelConfig &config,
                                  const WeightPlan &weights,
                                  const MeshRequest &request,
                                  const RankStep &step) {
  return StepCoster(config, request, step).compute(weights);
}
