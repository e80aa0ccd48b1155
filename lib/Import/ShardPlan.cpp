//===- ShardPlan.cpp - what one of several ranks holds --------------------===//
//
// Part of dsv2, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "dsv2/Import/ShardPlan.h"

#include "llvm/ADT/StringRef.h"
#include "llvm/Support/ErrorHandling.h"
#include "llvm/Support/MathExtras.h"

#include <algorithm>
#include <cassert>

using namespace dsv2;
using namespace llvm;
using mlir::dsv2::MeshShape;

std::optional<unsigned> dsv2::getSplitDim(const TensorSpec &spec) {
  StringRef name = spec.name;
  constexpr unsigned rows = 0, columns = 1;
  switch (spec.role) {
  case TensorRole::Embedding:
  case TensorRole::Head:
    return rows;
  case TensorRole::Attention:
    if (name.ends_with(".o_proj.weight"))
      return columns;
    // The latents are of all heads, and so is what makes them.
    if (name.ends_with(".q_a_proj.weight") ||
        name.ends_with(".kv_a_proj_with_mqa.weight"))
      return std::nullopt;
    return rows;
  case TensorRole::Norm:
  case TensorRole::Router:
    return std::nullopt;
  case TensorRole::DenseFFN:
  case TensorRole::SharedExpert:
  case TensorRole::RoutedExpert:
    return name.ends_with(".down_proj.weight") ? columns : rows;
  }
  llvm_unreachable("unknown role");
}

TensorSpec dsv2::shardTensor(const TensorSpec &spec, int64_t tp) {
  TensorSpec part = spec;
  if (std::optional<unsigned> dim = getSplitDim(spec)) {
    assert(part.shape[*dim] % tp == 0 && "checkMesh looks at every extent");
    part.shape[*dim] /= tp;
  }
  return part;
}

int64_t dsv2::expertsPerRank(const ModelConfig &config, int64_t ep) {
  return divideCeil(config.nRoutedExperts, ep);
}

int64_t dsv2::expertsOfRank(const ModelConfig &config, int64_t ep,
                            int64_t epIndex) {
  int64_t each = expertsPerRank(config, ep);
  return std::clamp<int64_t>(config.nRoutedExperts - epIndex * each, 0, each);
}

WeightPlan dsv2::planRankWeights(const ModelConfig &config,
                                 const WeightPlan &whole, const MeshShape &mesh,
                                 int64_t epIndex) {
  WeightPlan plan;
  plan.baseFormat = whole.baseFormat;
  plan.hasRules = whole.hasRules;
  for (const WeightGroup &group : whole.groups) {
    WeightGroup part = group;
    part.first = shardTensor(group.first, mesh.tp);
    if (group.first.role == TensorRole::RoutedExpert) {
      int64_t experts = expertsOfRank(config, mesh.ep, epIndex);
      int64_t layers = group.count / config.nRoutedExperts;
      part.count = layers * experts;
      part.numActive = layers * std::min(experts, config.numExpertsPerTok);
    }
    plan.add(std::move(part));
  }
  return plan;
}

ModelConfig dsv2::shardConfig(const ModelConfig &config, int64_t tp) {
  ModelConfig part = config;
  part.numAttentionHeads /= tp;
  part.intermediateSize /= tp;
  part.moeIntermediateSize /= tp;
  return part;
}
