//===- CheckMesh.cpp - whether a model can be split over ranks ------------===//
//
// Part of dsv2, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "dsv2/Import/CheckMesh.h"

#include <numeric>
#include <string>
#include <utility>
#include <vector>

using namespace dsv2;
using mlir::dsv2::MeshShape;

/// What tensor parallelism cuts into equal parts.
static std::vector<std::pair<const char *, int64_t>>
getSplitExtents(const ModelConfig &config) {
  std::vector<std::pair<const char *, int64_t>> extents = {
      {"num_attention_heads", config.numAttentionHeads},
      {"vocab_size", config.vocabSize}};
  bool hasDense = false, hasExperts = false;
  for (const LayerRun &run : config.layerRuns())
    (run.kind == LayerKind::Dense ? hasDense : hasExperts) = true;
  if (hasDense)
    extents.push_back({"intermediate_size", config.intermediateSize});
  if (hasExperts)
    extents.push_back({"moe_intermediate_size", config.moeIntermediateSize});
  return extents;
}

llvm::Error dsv2::checkMesh(const ModelConfig &config, const MeshShape &mesh) {
  int64_t common = 0;
  for (auto [name, extent] : getSplitExtents(config))
    common = std::gcd(common, extent);
  for (auto [name, extent] : getSplitExtents(config))
    if (extent % mesh.tp != 0)
      return llvm::createStringError(
          "mesh: expected tp to divide " + std::string(name) + " " +
          std::to_string(extent) + ", got " + std::to_string(mesh.tp) +
          "; this model can be split over tp of " +
          mlir::dsv2::listDivisors(common));
  int64_t most = 1;
  for (const LayerRun &run : config.layerRuns())
    if (run.kind == LayerKind::MoE)
      most = config.nRoutedExperts;
  if (mesh.ep > most)
    return llvm::createStringError(
        "mesh: expected ep of at most the " + std::to_string(most) +
        " routed experts, got " + std::to_string(mesh.ep) +
        "; any number from 1 to " + std::to_string(most) + " is valid");
  return llvm::Error::success();
}
