//===- Pipelines.h - the stages of a compilation ----------------*- C++ -*-===//
//
// Part of dsv2, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// A compilation is a row of stages. Each has a contract (docs/Architecture.md)
// that `dsv2-verify-stage` checks at its end.
//
//===----------------------------------------------------------------------===//

#ifndef DSV2_PIPELINES_PIPELINES_H
#define DSV2_PIPELINES_PIPELINES_H

#include "llvm/ADT/StringRef.h"

#include <cstdint>
#include <optional>
#include <string>

namespace mlir {
class OpPassManager;

namespace dsv2 {

/// The stages in order. `Artifact` is not IR: it is the linked file.
enum class Stage { Import, Plan, Structure, Buffer, Target, Artifact };

/// "import", "plan", ...
llvm::StringRef stringifyStage(Stage stage);
/// The stage of that name, or nothing.
std::optional<Stage> symbolizeStage(llvm::StringRef name);

/// What the pipeline decides by; see the passes of the same option names.
struct CPUPipelineOptions {
  std::string weightFormat = "bf16";
  /// A file of formats for single weights; empty: none.
  std::string weightRules;
  std::string kvFormat = "bf16";
  std::string attentionForm = "auto";
  int64_t prefillMinTokens = 0;
  int64_t pageSize = 64;
  bool deterministic = false;
  std::string targetCPU = "native";
  /// Builds the reference lowering of every op instead of kernels, for
  /// `dsv2-run --compare-reference`. Formats, page size and target stay what
  /// the options say; the attention form is the definition, `expanded`.
  bool reference = false;
  /// GPUs to generate kernels for, separated by commas; empty: none, the model
  /// runs on the processor. With them `targetCPU` is for what the host does:
  /// preparing weights and launching.
  std::string gpuChips;
  /// Kinds of device code and where ptxas is; see dsv2-emit-device-code.
  std::string gpuCode = "auto";
  std::string ptxas;

  /// Ranks that the model is split over, `tp=N,ep=N`; empty: one.
  std::string mesh;
  /// Rows that one rank has for another in exchanges of tokens while decoding,
  /// 0: exchanges are exact; see dsv2-select-dispatch.
  int64_t dispatchCapacity = 0;

  bool forDevice() const { return !gpuChips.empty(); }
};

/// Appends the passes that lead from the stage before `stage` to `stage`, its
/// contract check last. For `Import` that is the check alone; `Artifact` has
/// passes only for a device, which make the images that the manifest lists.
/// Fails without touching `pm` if `targetCPU`, `gpuChips` or `mesh` does not
/// parse or something has no kernels for GPUs, with the reason in `error`.
bool buildCPUStage(OpPassManager &pm, Stage stage,
                   const CPUPipelineOptions &options, std::string &error);

/// Registers `dsv2-to-plan`, `dsv2-to-structure`, `dsv2-to-buffer` and
/// `dsv2-to-target`, each from the import stage to the one it names, and
/// `dsv2-lower-to-llvm`, the part of the target stage that is not about models.
void registerPipelines();

} // namespace dsv2
} // namespace mlir

#endif // DSV2_PIPELINES_PIPELINES_H
