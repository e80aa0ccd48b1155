//===- Explain.h - The resolved configuration, for people and tools -------===//
//
// Part of dsv2, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// Prints what the compiler understood of a config.json and what follows from
// it: layers, router, rotary constants, sizes and costs, and every key that
// took a default or had no influence. The JSON form is a contract, described in
// docs/Explain.md; the text form is for reading and may change.
//
//===----------------------------------------------------------------------===//

#ifndef DSV2_IMPORT_EXPLAIN_H
#define DSV2_IMPORT_EXPLAIN_H

#include "dsv2/Import/CostModel.h"
#include "dsv2/Import/MachineDescription.h"
#include "dsv2/Import/ModelConfig.h"
#include "dsv2/Import/WeightPlan.h"
#include "dsv2/Support/MeshShape.h"
#include "llvm/Support/JSON.h"
#include "llvm/Support/raw_ostream.h"

#include <cstdint>
#include <optional>

namespace dsv2 {

/// For which run costs and memory are shown.
struct ExplainOptions {
  /// Version of the JSON layout, raised when a key changes meaning or goes.
  static constexpr int64_t schemaVersion = 1;

  /// Tokens per sequence, and sequences.
  int64_t context = 4096;
  int64_t batch = 1;
  /// Formats of the memory plan. Per-token figures are shown for all formats.
  const WeightFormatInfo *weightFormat = findWeightFormat("bf16");
  /// The weights as they will be stored; if absent, by the defaults of
  /// `weightFormat`.
  std::optional<WeightPlan> weights;
  const KVFormatInfo *kvFormat = findKVFormat("bf16");
  /// Most tokens of one step, for the workspace estimate.
  int64_t stepTokens = 512;
  /// Bytes of memory available, if the plan is to be compared with it.
  std::optional<int64_t> memoryBudget;
  /// Ranks to split the model over, and what each of them runs on. If either is
  /// given, the plan for one of them is shown too.
  std::optional<mlir::dsv2::MeshShape> mesh;
  std::optional<MachineDescription> machine;
  /// With several ranks, as in MeshRequest.
  int64_t dispatchCapacity = 0;
  bool forDevice = false;
};

/// Prints the explained configuration as text. What cannot be computed for the
/// options (a context that is not positive, sizes beyond 63 bits) is replaced
/// by the reason.
void printExplainText(llvm::raw_ostream &os, const ModelConfig &config,
                      const ExplainOptions &options);

/// Returns the explained configuration as JSON, see docs/Explain.md. What
/// cannot be computed for the options is an object with the one key "error".
llvm::json::Value explainJson(const ModelConfig &config,
                              const ExplainOptions &options);

} // namespace dsv2

#endif // DSV2_IMPORT_EXPLAIN_H
