//===- Driver.cpp - a compilation as a function ---------------------------===//
//
// Part of dsv2, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "dsv2/Driver/Driver.h"

#include "dsv2/CodeGen/Passes.h"
#include "dsv2/Dialect/DSV2/IR/DSV2.h"
#include "dsv2/Import/CheckMesh.h"
#include "dsv2/Import/ModelBuilder.h"
#include "dsv2/Support/MeshShape.h"
#include "mlir/IR/BuiltinOps.h"
#include "mlir/IR/Verifier.h"
#include "mlir/Parser/Parser.h"
#include "mlir/Pass/PassManager.h"
#include "mlir/Support/FileUtilities.h"
#include "llvm/Support/FileSystem.h"
#include "llvm/Support/Path.h"
#include "llvm/Support/SourceMgr.h"

#include <tuple>

using namespace mlir;
using namespace mlir::dsv2;

static constexpr int64_t kDefaultMaxBatch = 64;

/// Builds or parses the import stage.
static llvm::Expected<OwningOpRef<ModuleOp>>
importModule(MLIRContext &context, const CompileOptions &options) {
  if (StringRef(options.input).ends_with(".mlir") || options.input == "-") {
    std::string error;
    auto file = openInputFile(options.input, &error);
    if (!file)
      return llvm::createStringError(error);
    llvm::SourceMgr sources;
    sources.AddNewSourceBuffer(std::move(file), SMLoc());
    OwningOpRef<ModuleOp> module =
        parseSourceFile<ModuleOp>(sources, ParserConfig(&context));
    if (!module)
      return llvm::createStringError("'" + options.input + "' is not valid IR");
    return module;
  }
  auto config = loadConfig(options.input, options.warn);
  if (!config)
    return config.takeError();
  auto mesh = MeshShape::parse(options.pipeline.mesh);
  if (!mesh)
    return llvm::createStringError("mesh: " + llvm::toString(mesh.takeError()));
  if (llvm::Error error = ::dsv2::checkMesh(*config, *mesh))
    return error;
  OwningOpRef<ModuleOp> module = buildModel(&context, *config);
  int64_t maxContext = config->maxPositionEmbeddings;
  if (options.maxContext > maxContext)
    return llvm::createStringError(
        "max-context: expected at most max_position_embeddings " +
        Twine(maxContext) + ", got " + Twine(options.maxContext));
  if (options.maxContext > 0)
    maxContext = options.maxContext;
  Builder b(&context);
  setManifestEntry(*module, "limits", "max_context",
                   b.getI64IntegerAttr(maxContext));
  setManifestEntry(*module, "limits", "max_batch",
                   b.getI64IntegerAttr(options.maxBatch > 0
                                           ? options.maxBatch
                                           : kDefaultMaxBatch));
  return module;
}

static std::string printModule(ModuleOp module) {
  std::string text;
  llvm::raw_string_ostream os(text);
  OpPrintingFlags flags;
  flags.enableDebugInfo(true, /*prettyForm=*/false);
  module.print(os, flags);
  os << '\n';
  return text;
}

static llvm::Error dump(ModuleOp module, Stage stage,
                        const CompileOptions &options, StringRef suffix) {
  if (options.dumpDir.empty())
    return llvm::Error::success();
  if (std::error_code code = llvm::sys::fs::create_directories(options.dumpDir))
    return llvm::createStringError(code,
                                   "cannot create '" + options.dumpDir + "'");
  llvm::SmallString<128> path(options.dumpDir);
  llvm::sys::path::append(path, Twine(static_cast<int>(stage)) + "-" +
                                    stringifyStage(stage) + suffix + ".mlir");
  std::string text = printModule(module);
  return writeFileAtomically(path, ArrayRef<char>(text.data(), text.size()));
}

/// Only what can be run has something to compare.
static bool carriesReference(const CompileOptions &options) {
  // The reference is for one rank; a mesh that does not parse is reported where
  // it is used.
  auto mesh = MeshShape::parse(options.pipeline.mesh);
  bool isSplit = !mesh || mesh->ranks() > 1;
  if (!mesh)
    llvm::consumeError(mesh.takeError());
  return options.withReference && !isSplit &&
         options.lastStage == Stage::Artifact &&
         (options.emit == EmitKind::Artifact ||
          options.emit == EmitKind::Executable);
}

/// Takes `module` from the stage before `stage` to `stage`.
static llvm::Error runStage(ModuleOp module, Stage stage,
                            const CompileOptions &options, bool reference) {
  PassManager passes(module.getContext(), ModuleOp::getOperationName());
  CPUPipelineOptions pipeline = options.pipeline;
  pipeline.reference = reference;
  // The reference runs on the host, whatever it is compared with.
  if (reference)
    pipeline.gpuChips.clear();
  // Verifying after every pass takes long, see docs/Performance.md. The IR of
  // each stage is verified below; dsv2-opt verifies after each pass.
  passes.enableVerifier(false);
  std::string error;
  if (!buildCPUStage(passes, stage, pipeline, error))
    return llvm::createStringError(error);
  if (options.configurePasses && failed(options.configurePasses(passes)))
    return llvm::createStringError("cannot configure the pass manager");
  if (failed(passes.run(module)))
    return llvm::createStringError("the " + stringifyStage(stage) +
                                   " stage failed" +
                                   (reference ? " for the reference" : ""));
  // The last stage is a file.
  if (stage == Stage::Artifact)
    return llvm::Error::success();
  if (failed(verify(module)))
    return llvm::createStringError("the " + stringifyStage(stage) +
                                   " stage made IR that is not valid");
  return dump(module, stage, options, reference ? "-reference" : "");
}

/// Takes `module` from the import stage to the last one that is IR; with the
/// reference in it, if what is made carries one.
static llvm::Error runStages(ModuleOp module, const CompileOptions &options) {
  OwningOpRef<ModuleOp> reference;
  for (Stage stage : {Stage::Import, Stage::Plan, Stage::Structure,
                      Stage::Buffer, Stage::Target}) {
    if (reference)
      if (llvm::Error failure = runStage(*reference, stage, options, true))
        return failure;
    // The last passes of the target stage merge it into the module.
    if (reference && stage == Stage::Target) {
      reference->setName(kReferenceModule);
      module.push_back(reference.release());
    }
    if (llvm::Error failure = runStage(module, stage, options, false))
      return failure;
    if (stage == Stage::Import && carriesReference(options))
      reference = cast<ModuleOp>(module->clone());
    if (stage == options.lastStage)
      break;
  }
  return llvm::Error::success();
}

llvm::Expected<OwningOpRef<ModuleOp>>
mlir::dsv2::compileToIR(MLIRContext &context, const CompileOptions &options) {
  auto imported = importModule(context, options);
  if (!imported)
    return imported.takeError();
  OwningOpRef<ModuleOp> module = std::move(*imported);
  if (llvm::Error error = runStages(*module, options))
    return error;
  return module;
}

llvm::Expected<std::vector<CodeVariant>>
mlir::dsv2::sortTargets(llvm::ArrayRef<std::string> names) {
  auto rank = [](const CPUTargetInfo &target) {
    return std::tuple(target.vectorBits,
                      target.hasVNNI + target.hasAVX512BF16 +
                          target.hasAMXBF16 + target.hasAMXInt8,
                      target.features.size());
  };
  std::vector<CodeVariant> variants;
  for (const std::string &name : names) {
    for (const CodeVariant &other : variants)
      if (other.name == name)
        return llvm::createStringError(
            "target-cpu: expected different processors, got '" + name +
            "' twice");
    auto target = CPUTargetInfo::parse(name);
    if (!target)
      return llvm::createStringError("target-cpu: " +
                                     llvm::toString(target.takeError()));
    auto place = llvm::find_if(variants, [&](const CodeVariant &other) {
      return rank(other.target) < rank(*target);
    });
    variants.insert(place, {name, ModuleOp(), std::move(*target)});
  }
  return variants;
}

llvm::Error mlir::dsv2::compile(MLIRContext &context,
                                const CompileOptions &options) {
  bool linked = options.lastStage == Stage::Artifact &&
                (options.emit == EmitKind::Artifact ||
                 options.emit == EmitKind::Executable);
  std::vector<std::string> names = options.targetCPUs;
  if (names.empty())
    names = {options.pipeline.targetCPU};
  if (names.size() > 1 && !linked)
    return llvm::createStringError(
        "target-cpu: expected one processor for this kind of output, got " +
        Twine(names.size()));
  auto variants = sortTargets(names);
  if (!variants)
    return variants.takeError();

  auto imported = importModule(context, options);
  if (!imported)
    return imported.takeError();
  std::vector<OwningOpRef<ModuleOp>> modules;
  for (CodeVariant &variant : *variants) {
    bool last = &variant == &variants->back();
    modules.push_back(last ? std::move(*imported)
                           : OwningOpRef<ModuleOp>((*imported)->clone()));
    variant.module = *modules.back();
    CompileOptions own = options;
    own.pipeline.targetCPU = variant.name;
    if (variants->size() > 1 && !options.dumpDir.empty()) {
      llvm::SmallString<128> folder(options.dumpDir);
      llvm::sys::path::append(folder, variant.name);
      own.dumpDir = folder.str().str();
    }
    if (llvm::Error error = runStages(variant.module, own)) {
      if (variants->size() == 1)
        return error;
      return llvm::createStringError("for '" + variant.name +
                                     "': " + llvm::toString(std::move(error)));
    }
  }
  if (options.lastStage == Stage::Artifact && options.pipeline.forDevice())
    for (CodeVariant &variant : *variants)
      if (llvm::Error error =
              runStage(variant.module, Stage::Artifact, options, false))
        return error;
  if (options.lastStage != Stage::Artifact) {
    std::string text = printModule(*modules.front());
    return writeFileAtomically(options.output,
                               ArrayRef<char>(text.data(), text.size()));
  }
  auto code = emitCode(*variants, options.emit);
  if (!code)
    return code.takeError();
  if (linked)
    return linkArtifact(*code, options.emit, options.linker, options.output);
  return writeFileAtomically(options.output, code->front());
}
