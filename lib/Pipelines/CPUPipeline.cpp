//===- CPUPipeline.cpp - the stages for a CPU target ----------------------===//
//
// Part of dsv2, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "dsv2/Pipelines/Pipelines.h"

#include "dsv2/CodeGen/CPU/LowerToLLVM.h"
#include "dsv2/CodeGen/Passes.h"
#include "dsv2/Conversion/Passes.h"
#include "dsv2/Dialect/DSV2/Transforms/Passes.h"
#include "dsv2/Support/CanonicalizeOps.h"
#include "dsv2/Support/GPUTargetInfo.h"
#include "dsv2/Support/MeshShape.h"
#include "dsv2/Support/TargetInfo.h"
#include "dsv2/Target/DeviceCode.h"
#include "mlir/Conversion/Passes.h"
#include "mlir/Dialect/Arith/Transforms/Passes.h"
#include "mlir/Dialect/Bufferization/Pipelines/Passes.h"
#include "mlir/Dialect/Bufferization/Transforms/Passes.h"
#include "mlir/Dialect/Func/IR/FuncOps.h"
#include "mlir/Dialect/GPU/IR/GPUDialect.h"
#include "mlir/Dialect/Linalg/Passes.h"
#include "mlir/Dialect/Math/Transforms/Passes.h"
#include "mlir/Pass/PassManager.h"
#include "mlir/Pass/PassRegistry.h"
#include "mlir/Transforms/Passes.h"

using namespace mlir;
using namespace mlir::dsv2;

static constexpr StringLiteral kStageNames[] = {"import", "plan",   "structure",
                                                "buffer", "target", "artifact"};

StringRef mlir::dsv2::stringifyStage(Stage stage) {
  return kStageNames[static_cast<int>(stage)];
}

std::optional<Stage> mlir::dsv2::symbolizeStage(StringRef name) {
  for (auto [i, stageName] : llvm::enumerate(kStageNames))
    if (stageName == name)
      return static_cast<Stage>(i);
  return std::nullopt;
}

static void buildPlanStage(OpPassManager &pm, const CPUPipelineOptions &options,
                           const CPUTargetInfo &target) {
  if (!options.mesh.empty()) {
    AnnotateShardsPassOptions shards;
    shards.mesh = options.mesh;
    pm.addPass(createAnnotateShardsPass(shards));
    pm.addPass(createInsertCollectivesPass());
    pm.addPass(createFuseCollectivesPass());
  }
  SelectCacheFormatPassOptions cache;
  cache.format = options.kvFormat;
  cache.page = options.pageSize;
  pm.addPass(createSelectCacheFormatPass(cache));
  if (options.forDevice()) {
    DecideDeviceFormsPassOptions forms;
    forms.gpuChips = options.gpuChips;
    pm.addPass(createDecideDeviceFormsPass(forms));
  }
  // Forms come before layouts: the absorbed form reads w_uk transposed.
  SpecializeEntriesPassOptions entries;
  entries.attentionForm =
      options.reference ? "expanded" : options.attentionForm;
  entries.deterministic = options.deterministic;
  entries.prefillMinTokens = options.prefillMinTokens;
  pm.addPass(createSpecializeEntriesPass(entries));
  if (!options.mesh.empty()) {
    SelectDispatchPassOptions dispatch;
    dispatch.capacity = options.dispatchCapacity;
    pm.addPass(createSelectDispatchPass(dispatch));
    pm.addPass(createExpandDispatchPass());
    pm.addPass(createOverlapCollectivesPass());
  }
  SelectWeightLayoutsPassOptions layouts;
  layouts.format = options.weightFormat;
  layouts.rules = options.weightRules;
  // Panels of one column are rows, which is what kernels for GPUs read.
  layouts.panelWidth = options.forDevice() ? 1 : target.panelWidth();
  layouts.dense = options.reference;
  pm.addPass(createSelectWeightLayoutsPass(layouts));
  pm.addPass(createHoistWeightPreparationPass());
}

static void buildStructureStage(OpPassManager &pm,
                                const CPUPipelineOptions &options) {
  OutlineKernelsPassOptions outline;
  outline.targetCPU = options.targetCPU;
  outline.reference = options.reference;
  outline.gpuChips = options.gpuChips;
  pm.addPass(createOutlineKernelsPass(outline));
  if (!options.reference && !options.forDevice())
    pm.addPass(createFuseLaunchesPass());
  // Kernels of the tile dialect, while launches name them.
  if (options.forDevice()) {
    pm.addPass(createConvertTileToNVVMPass());
    // Ranks choose on the host, which has the logits of all of them.
    if (options.mesh.empty())
      pm.addPass(createAddDeviceSamplingPass());
    auto &kernels = pm.nest<mlir::gpu::GPUModuleOp>().nest<LLVM::LLVMFuncOp>();
    kernels.addPass(createCanonicalizeOpsPass());
    kernels.addPass(createCSEPass());
  }
  if (options.reference) {
    pm.addPass(createConvertDSV2ToLinalgPass());
    pm.addNestedPass<func::FuncOp>(createConvertElementwiseToLinalgPass());
  }
  pm.addNestedPass<func::FuncOp>(createCanonicalizeOpsPass());
  pm.addNestedPass<func::FuncOp>(createCSEPass());
}

static void buildBufferStage(OpPassManager &pm,
                             const CPUPipelineOptions &options) {
  bufferization::OneShotBufferizePassOptions bufferize;
  bufferize.bufferizeFunctionBoundaries = true;
  bufferize.functionBoundaryTypeConversion =
      bufferization::LayoutMapOption::IdentityLayoutMap;
  pm.addPass(bufferization::createOneShotBufferizePass(bufferize));
  // Logits and hidden states were computed in the caller's buffer, which the
  // results merely repeat.
  pm.addNestedPass<func::FuncOp>(createCanonicalizeOpsPass());
  pm.addPass(bufferization::createDropEquivalentBufferResultsPass());
  pm.addNestedPass<func::FuncOp>(createCanonicalizeOpsPass());
  pm.addNestedPass<func::FuncOp>(createCSEPass());
  pm.addPass(createPlanWorkspacePass());
  if (options.reference) {
    bufferization::buildBufferDeallocationPipeline(pm);
    pm.addPass(createConvertBufferizationToMemRefPass());
  }
  pm.addNestedPass<func::FuncOp>(createCanonicalizeOpsPass());
  pm.addNestedPass<func::FuncOp>(createCSEPass());
}

static void buildTargetStage(OpPassManager &pm,
                             const CPUPipelineOptions &options,
                             const CPUTargetInfo &target) {
  cpu::LowerToLLVMOptions lowering;
  lowering.useFMA = target.hasFMA;
  if (options.reference) {
    pm.addPass(createExpandCopiesPass());
    pm.addPass(createConvertLinalgToLoopsPass());
    // Without it, rounding to bf16 is a call into the compiler's library.
    arith::ArithExpandOpsPassOptions expand;
    expand.includeBf16 = true;
    pm.addPass(arith::createArithExpandOpsPass(expand));
    // Not this project's own functions: those are what is being checked.
    lowering.expandMath = [](OpPassManager &pm) {
      math::MathExpandOpsPassOptions expand;
      expand.opMnemonics = {"rsqrt"};
      pm.addPass(math::createMathExpandOpsPass(expand));
      pm.addPass(createConvertMathToLibmPass());
    };
  }
  if (options.forDevice()) {
    buildLowerDeviceToLLVMPipeline(pm.nest<mlir::gpu::GPUModuleOp>());
    pm.addPass(createLowerDeviceLaunchesPass());
  }
  pm.addPass(createLowerCollectivesPass());
  pm.addPass(createLowerLaunchesPass());
  cpu::buildLowerToLLVMPipeline(pm, lowering);
  if (options.reference)
    return;
  pm.addPass(createLinkReferencePass());
  // The manifest lists the images of a device, which are not made yet.
  if (!options.forDevice())
    pm.addPass(createEmbedManifestPass());
}

static void buildArtifactStage(OpPassManager &pm,
                               const CPUPipelineOptions &options) {
  if (!options.forDevice())
    return;
  EmitDeviceCodePassOptions emit;
  emit.gpuChips = options.gpuChips;
  emit.gpuCode = options.gpuCode;
  emit.ptxas = options.ptxas;
  pm.addPass(createEmitDeviceCodePass(emit));
  pm.addPass(createEmbedManifestPass());
}

/// What is wrong with the options for several ranks, or an empty text.
static std::string checkMesh(const CPUPipelineOptions &options) {
  auto mesh = MeshShape::parse(options.mesh);
  if (!mesh)
    return "mesh: " + llvm::toString(mesh.takeError());
  if (mesh->ranks() > 1 && options.reference)
    return "mesh: expected one rank for the reference lowering, got " +
           mesh->str();
  return "";
}

/// What is wrong with the options for a device, or an empty text.
static std::string checkDeviceOptions(const CPUPipelineOptions &options) {
  if (!options.forDevice())
    return "";
  auto chips = GPUTargetInfo::parseList(options.gpuChips);
  if (!chips)
    return "gpu-chip: " + llvm::toString(chips.takeError());
  if (options.kvFormat != "f32" && options.kvFormat != "bf16")
    return "kv-format: expected f32 or bf16 for a GPU, got '" +
           options.kvFormat + "'";
  if (options.attentionForm == "expanded")
    return "attention-form: expected auto or absorbed for a GPU, got "
           "'expanded'";
  return "";
}

bool mlir::dsv2::buildCPUStage(OpPassManager &pm, Stage stage,
                               const CPUPipelineOptions &options,
                               std::string &error) {
  auto target = CPUTargetInfo::parse(options.targetCPU);
  if (!target) {
    error = "target-cpu: " + llvm::toString(target.takeError());
    return false;
  }
  error = checkMesh(options);
  if (error.empty())
    error = checkDeviceOptions(options);
  if (!error.empty())
    return false;
  switch (stage) {
  case Stage::Import:
    break;
  case Stage::Plan:
    buildPlanStage(pm, options, *target);
    break;
  case Stage::Structure:
    buildStructureStage(pm, options);
    break;
  case Stage::Buffer:
    buildBufferStage(pm, options);
    break;
  case Stage::Target:
    buildTargetStage(pm, options, *target);
    break;
  case Stage::Artifact:
    buildArtifactStage(pm, options);
    return true;
  }
  VerifyStagePassOptions verify;
  verify.stage = stringifyStage(stage).str();
  pm.addPass(createVerifyStagePass(verify));
  return true;
}

namespace {
/// The pipeline options as `dsv2-opt` spells them.
struct CPUPipelineFlags : public PassPipelineOptions<CPUPipelineFlags> {
  Option<std::string> weightFormat{
      *this, "weight-format",
      llvm::cl::desc("f32, bf16, q8, q4 or, for GPUs, fp8"),
      llvm::cl::init("bf16")};
  Option<std::string> weightRules{
      *this, "weight-rules",
      llvm::cl::desc("File of formats for single weights")};
  Option<std::string> kvFormat{*this, "kv-format",
                               llvm::cl::desc("f32, bf16, q8 or q6"),
                               llvm::cl::init("bf16")};
  Option<std::string> attentionForm{
      *this, "attention-form", llvm::cl::desc("auto, expanded or absorbed"),
      llvm::cl::init("auto")};
  Option<int64_t> prefillMinTokens{
      *this, "prefill-min-tokens",
      llvm::cl::desc("Crossover to the expanded form; 0 computes it"),
      llvm::cl::init(0)};
  Option<int64_t> pageSize{*this, "page",
                           llvm::cl::desc("Positions in a cache page"),
                           llvm::cl::init(64)};
  Option<bool> deterministic{
      *this, "deterministic",
      llvm::cl::desc("Results independent of batch, chunks and threads"),
      llvm::cl::init(false)};
  Option<std::string> targetCPU{*this, "target-cpu",
                                llvm::cl::desc("Processor to generate for"),
                                llvm::cl::init("native")};
  Option<std::string> gpuChips{
      *this, "gpu-chip",
      llvm::cl::desc("GPUs to generate kernels for, separated by commas")};
  Option<std::string> mesh{
      *this, "mesh",
      llvm::cl::desc("Ranks to split the model over: tp=N,ep=N")};
  Option<int64_t> dispatchCapacity{
      *this, "dispatch-capacity",
      llvm::cl::desc("Rows that a rank has for another while decoding; 0: as "
                     "many as needed"),
      llvm::cl::init(0)};
  Option<bool> reference{
      *this, "reference",
      llvm::cl::desc("Reference lowering instead of kernels"),
      llvm::cl::init(false)};

  CPUPipelineOptions get() const {
    CPUPipelineOptions options;
    options.weightFormat = weightFormat;
    options.weightRules = weightRules;
    options.kvFormat = kvFormat;
    options.attentionForm = attentionForm;
    options.prefillMinTokens = prefillMinTokens;
    options.pageSize = pageSize;
    options.deterministic = deterministic;
    options.targetCPU = targetCPU;
    options.reference = reference;
    options.gpuChips = gpuChips;
    options.mesh = mesh;
    options.dispatchCapacity = dispatchCapacity;
    return options;
  }
};
} // namespace

namespace {
struct LowerToLLVMFlags : public PassPipelineOptions<LowerToLLVMFlags> {
  Option<bool> useFMA{*this, "fma",
                      llvm::cl::desc("The processor has fused multiply-add"),
                      llvm::cl::init(false)};
};
} // namespace

template <Stage last>
static void buildTo(OpPassManager &pm, const CPUPipelineFlags &flags) {
  for (Stage stage : {Stage::Import, Stage::Plan, Stage::Structure,
                      Stage::Buffer, Stage::Target}) {
    std::string error;
    if (!buildCPUStage(pm, stage, flags.get(), error)) {
      // A pipeline builder has no way to fail; the pass that reads the same
      // option reports it when it runs.
      AnnotateShardsPassOptions shards;
      shards.mesh = flags.mesh;
      pm.addPass(createAnnotateShardsPass(shards));
      OutlineKernelsPassOptions outline;
      outline.targetCPU = flags.targetCPU;
      outline.gpuChips = flags.gpuChips;
      pm.addPass(createOutlineKernelsPass(outline));
      return;
    }
    if (stage == last)
      return;
  }
}

void mlir::dsv2::registerPipelines() {
  PassPipelineRegistration<LowerToLLVMFlags>(
      "dsv2-lower-to-llvm", "Kernels and what calls them to the LLVM dialect",
      [](OpPassManager &pm, const LowerToLLVMFlags &flags) {
        cpu::LowerToLLVMOptions options;
        options.useFMA = flags.useFMA;
        cpu::buildLowerToLLVMPipeline(pm, options);
      });
  PassPipelineRegistration<CPUPipelineFlags>(
      "dsv2-to-plan", "Import stage to plan stage", buildTo<Stage::Plan>);
  PassPipelineRegistration<CPUPipelineFlags>("dsv2-to-structure",
                                             "Import stage to structure stage",
                                             buildTo<Stage::Structure>);
  PassPipelineRegistration<CPUPipelineFlags>(
      "dsv2-to-buffer", "Import stage to buffer stage", buildTo<Stage::Buffer>);
  PassPipelineRegistration<CPUPipelineFlags>(
      "dsv2-to-target", "Import stage to target stage", buildTo<Stage::Target>);
}
