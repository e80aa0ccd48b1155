//===- Planning.h - how much memory a session takes -------------*- C++ -*-===//
//
// Part of dsv2, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef DSV2RT_LIB_CORE_PLANNING_H
#define DSV2RT_LIB_CORE_PLANNING_H

#include "dsv2rt/Artifact.h"
#include "dsv2rt/Session.h"
#include "dsv2rt/Status.h"

#include <cstdint>
#include <string>

namespace dsv2rt {

/// The memory that a session may take, in bytes.
struct MemoryLimits {
  /// Packed weights, and how many of their bytes count against the budget.
  int64_t weights = 0;
  int64_t chargedWeights = 0;
  /// For charged weights, cache, workspace and logits.
  int64_t budget = 0;
  /// Added to the available bytes in messages, as " on cuda:0 'NAME'".
  std::string where;
};

/// How large a step of one rank is.
struct StepSize {
  int64_t tokens = 0;
  int64_t sequences = 0;
  int64_t rows = 0;
  /// Tokens of the step over all ranks of the ep axis.
  int64_t arrivals = 0;
  /// As of dsv2rt_key_rows.
  int64_t keyRows = 0;
};

/// Bytes of workspace for a step of this size, in which one sequence gives at
/// most `longest` tokens. Errors: Internal when the code asks for a negative
/// number.
Expected<int64_t> workspaceBytes(const Artifact &code, const StepSize &size,
                                 int64_t longest);

/// Checks `options` and replaces its zeroes for limits by the artifact's.
/// Errors: InvalidArgument.
Status completeOptions(const Artifact &artifact, SessionOptions &options);

/// Divides the memory among what a session with these complete options needs.
/// Errors: OutOfMemory with the bytes required and available and the largest
/// context that fits.
Expected<MemoryPlan> planMemory(const Artifact &artifact,
                                const SessionOptions &options,
                                const MemoryLimits &limits);

} // namespace dsv2rt

#endif // DSV2RT_LIB_CORE_PLANNING_H
