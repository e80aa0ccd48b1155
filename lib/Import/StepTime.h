//===- StepTime.h - arithmetic and memory of a rank's step ------*- C++ -*-===//
//
// Part of dsv2, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef DSV2_LIB_IMPORT_STEPTIME_H
#define DSV2_LIB_IMPORT_STEPTIME_H

#include "dsv2/Import/MeshCost.h"

namespace dsv2 {

/// What one rank computes and reads in a step. Averages over routings, so
/// floating point, which cannot overflow here.
struct ComputeCost {
  double flops = 0;
  double bytesRead = 0;
  /// Of the layers and the head one after the other, each bound by its bytes or
  /// by its FLOPs; 0 without a machine.
  double seconds = 0;
  /// What shared experts add to that.
  double sharedSeconds = 0;
};

/// Computes the cost of `step` for a rank that holds `weights`.
ComputeCost computeStepCost(const ModelConfig &config,
                            const WeightPlan &weights,
                            const MeshRequest &request, const RankStep &step);

} // namespace dsv2

#endif // DSV2_LIB_IMPORT_STEPTIME_H
