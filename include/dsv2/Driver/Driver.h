//===- Driver.h - a compilation as a function -------------------*- C++ -*-===//
//
// Part of dsv2, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef DSV2_DRIVER_DRIVER_H
#define DSV2_DRIVER_DRIVER_H

#include "dsv2/Import/ModelConfig.h"
#include "dsv2/Pipelines/Pipelines.h"
#include "dsv2/Target/Artifact.h"
#include "mlir/IR/BuiltinOps.h"
#include "mlir/IR/OwningOpRef.h"
#include "llvm/Support/Error.h"

#include <functional>
#include <string>
#include <vector>

namespace mlir {
class MLIRContext;
class PassManager;

namespace dsv2 {

/// Everything a compilation is told.
struct CompileOptions {
  /// A checkpoint folder, a config.json, or IR (.mlir) of the import stage.
  std::string input;
  /// File to write; "-" is standard output (not for linked files).
  std::string output;
  CPUPipelineOptions pipeline;
  /// Processors to compile for; empty: `pipeline.targetCPU` alone. An artifact
  /// of several holds code for each, in the order of preference that
  /// `sortTargets` gives them, and the runtime takes the first that its host
  /// can run. Only artifacts and programs can hold several.
  std::vector<std::string> targetCPUs;
  /// Whether an artifact or program carries the reference lowering beside its
  /// kernels.
  bool withReference = true;
  /// Stage to stop after. Before `Artifact` the output is that stage's IR.
  Stage lastStage = Stage::Artifact;
  EmitKind emit = EmitKind::Artifact;
  /// Positions of one sequence and sequences of one step the artifact is for;
  /// 0: the model's own maximum, and 64.
  int64_t maxContext = 0;
  int64_t maxBatch = 0;
  /// Directory for `N-<stage>.mlir`, one file a stage, and
  /// `N-<stage>-reference.mlir`; empty: none. With several processors each
  /// has a folder of its own in it, named as the processor.
  std::string dumpDir;
  LinkerPaths linker;
  /// Called for each pass manager before it runs: timing, printing and
  /// reproducers are the tool's business.
  std::function<LogicalResult(PassManager &)> configurePasses;
  /// Receives warnings, one sentence each.
  std::function<void(llvm::StringRef)> warn;
};

/// Reads the configuration behind `input`; if the folder also has weights or an
/// index, checks the tensor names against it.
llvm::Expected<::dsv2::ModelConfig>
loadConfig(llvm::StringRef input,
           const std::function<void(llvm::StringRef)> &warn);

/// Parses names of processors and sorts them, the best first: wider vectors,
/// then more of the product instructions that kernels are written for, then
/// more features; equals stay in the order given. An error for a name that is
/// unknown or occurs twice.
llvm::Expected<std::vector<CodeVariant>>
sortTargets(llvm::ArrayRef<std::string> names);

/// Runs a compilation. Diagnostics of passes go to the context's handler; the
/// error returned says which stage failed. Nothing is left at the output path
/// unless it succeeds.
llvm::Error compile(MLIRContext &context, const CompileOptions &options);

/// The part of a compilation that is IR: runs the stages up to
/// `options.lastStage`, one before `Artifact`, for `options.pipeline.targetCPU`
/// and returns what they leave. Errors as of compile().
llvm::Expected<OwningOpRef<ModuleOp>>
compileToIR(MLIRContext &context, const CompileOptions &options);

} // namespace dsv2
} // namespace mlir

#endif // DSV2_DRIVER_DRIVER_H
