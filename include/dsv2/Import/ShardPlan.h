//===- ShardPlan.h - what one of several ranks holds ------------*- C++ -*-===//
//
// Part of dsv2, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// The shapes and sizes of a rank's part of a model, by the rules that
// dsv2-annotate-shards follows in the IR (docs/Distributed.md).
//
//===----------------------------------------------------------------------===//

#ifndef DSV2_IMPORT_SHARDPLAN_H
#define DSV2_IMPORT_SHARDPLAN_H

#include "dsv2/Import/ModelConfig.h"
#include "dsv2/Import/WeightPlan.h"
#include "dsv2/Support/MeshShape.h"

#include <cstdint>
#include <optional>

namespace dsv2 {

/// The dimension of a tensor that tensor parallelism splits: 0 for rows, 1 for
/// columns, nothing for what every rank holds whole.
std::optional<unsigned> getSplitDim(const TensorSpec &spec);

/// The part of a tensor that each rank of the axis `tp` holds. `tp` divides the
/// split dimension (checkMesh).
TensorSpec shardTensor(const TensorSpec &spec, int64_t tp);

/// Routed experts of each MoE layer planned for a rank of the axis `ep`: those
/// of a layer over `ep`, rounded up.
int64_t expertsPerRank(const ModelConfig &config, int64_t ep);

/// Routed experts that the rank with index `epIndex` holds: `expertsPerRank`,
/// or what the ranks before it leave.
int64_t expertsOfRank(const ModelConfig &config, int64_t ep, int64_t epIndex);

/// The weights of `whole`, a plan for the whole model, that a rank with index
/// `epIndex` on the axis `ep` holds. Ranks that differ in their index on `tp`
/// alone hold as much. What one decoded token reads of routed experts is the
/// most it can read on this rank.
WeightPlan planRankWeights(const ModelConfig &config, const WeightPlan &whole,
                           const mlir::dsv2::MeshShape &mesh, int64_t epIndex);

/// The model with the number of heads and the widths that one rank of the axis
/// `tp` computes; everything else, the vocabulary and the experts too, as in
/// `config`.
ModelConfig shardConfig(const ModelConfig &config, int64_t tp);

} // namespace dsv2

#endif // DSV2_IMPORT_SHARDPLAN_H
