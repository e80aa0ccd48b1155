//===- WeightPlan.h - formats and sizes of a model's weights ----*- C++ -*-===//
//
// Part of dsv2, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// What a weight policy comes to for a model: the format of every kind of
// tensor and how many bytes that takes. A compilation asks the same policy
// (dsv2-select-weight-layouts), so the two agree.
//
//===----------------------------------------------------------------------===//

#ifndef DSV2_IMPORT_WEIGHTPLAN_H
#define DSV2_IMPORT_WEIGHTPLAN_H

#include "dsv2/Import/ModelConfig.h"
#include "dsv2/Support/WeightPolicy.h"
#include "llvm/Support/Error.h"

#include <cstdint>
#include <string>
#include <vector>

namespace dsv2 {

/// Tensors of one name in one format, over all layers and experts.
struct PlannedWeight {
  /// `model.layers.{layer}.mlp.experts.{expert}.up_proj.weight`
  std::string name;
  WeightFormat format;
  int64_t parameters = 0;
  int64_t bytes = 0;
  /// Of these, what one decoded token reads; 0 for the embedding.
  int64_t activeBytes = 0;
};

/// Tensors of one format that differ in their layer and expert only.
struct WeightGroup {
  TensorSpec first;
  /// As in PlannedWeight.
  std::string name;
  WeightFormat format;
  /// How many there are, over all layers of one kind and all experts.
  int64_t count = 0;
  /// Of these, how many one decoded token reads.
  int64_t numActive = 0;

  /// Bytes of one of them.
  int64_t tensorBytes() const;
};

/// The formats and sizes of all weights. Bytes are payload: what the panels of
/// a particular processor pad, and second copies in another order, are not
/// counted.
struct WeightPlan {
  WeightFormat baseFormat;
  bool hasRules = false;
  /// In the order of the checkpoint.
  std::vector<PlannedWeight> weights;
  /// The same, apart for layers of either kind.
  std::vector<WeightGroup> groups;

  /// Adds a group, to `weights` too.
  void add(WeightGroup group);

  int64_t parameters() const;
  int64_t bytes() const;
  int64_t activeBytes() const;
  double bitsPerWeight() const { return 8.0 * bytes() / parameters(); }
};

/// Applies `policy` to the tensors of a model. Errors: those of the policy.
llvm::Expected<WeightPlan> planWeights(const ModelConfig &config,
                                       WeightPolicy &policy);

} // namespace dsv2

#endif // DSV2_IMPORT_WEIGHTPLAN_H
