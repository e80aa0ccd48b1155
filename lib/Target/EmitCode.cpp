//===- EmitCode.cpp - LLVM dialect to machine code ------------------------===//
//
// Part of dsv2, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "dsv2/Target/Artifact.h"

#include "dsv2rt/abi.h"
#include "mlir/Target/LLVMIR/Export.h"
#include "llvm/ADT/STLExtras.h"
#include "llvm/ADT/SmallString.h"
#include "llvm/Bitcode/BitcodeReader.h"
#include "llvm/Bitcode/BitcodeWriter.h"
#include "llvm/IR/Constants.h"
#include "llvm/IR/LLVMContext.h"
#include "llvm/IR/LegacyPassManager.h"
#include "llvm/IR/Module.h"
#include "llvm/MC/TargetRegistry.h"
#include "llvm/Passes/PassBuilder.h"
#include "llvm/Support/JSON.h"
#include "llvm/Support/TargetSelect.h"
#include "llvm/Support/ThreadPool.h"
#include "llvm/Support/raw_ostream.h"
#include "llvm/Target/TargetMachine.h"
#include "llvm/TargetParser/Host.h"
#include "llvm/TargetParser/Triple.h"
#include "llvm/Transforms/Utils/Cloning.h"
#include "llvm/Transforms/Utils/SplitModule.h"

using namespace mlir;
using namespace mlir::dsv2;

static llvm::Expected<std::unique_ptr<llvm::TargetMachine>> createTargetMachine(
    const CPUTargetInfo &target,
    llvm::CodeGenOptLevel level = llvm::CodeGenOptLevel::Default) {
  llvm::InitializeNativeTarget();
  llvm::InitializeNativeTargetAsmPrinter();
  llvm::Triple triple("x86_64-unknown-linux-gnu");
  std::string error;
  const llvm::Target *llvmTarget =
      llvm::TargetRegistry::lookupTarget(triple, error);
  if (!llvmTarget)
    return llvm::createStringError(error);
  std::string features = target.featureString();
  // Kernels choose their vector width; LLVM must not halve it.
  std::string preferred = target.vectorBits == 512 ? ",-prefer-256-bit" : "";
  llvm::TargetOptions options;
  return std::unique_ptr<llvm::TargetMachine>(llvmTarget->createTargetMachine(
      triple, target.cpu, features + preferred, options, llvm::Reloc::PIC_,
      std::nullopt, level));
}

/// Whether `value` is a function of the reference lowering.
static bool isReference(const llvm::GlobalValue &value) {
  auto *function = dyn_cast<llvm::Function>(&value);
  return function && function->hasFnAttribute(kReferenceCodeAttr);
}

/// Gives every function the vector width of the target, so that LLVM keeps
/// 512-bit vectors whole on processors it tunes for narrower ones.
/// Kernels are called: one is worth its call many times over, and a copy inside
/// of a step or layer would be compiled once more.
static void setFunctionAttributes(llvm::Module &module,
                                  const CPUTargetInfo &target) {
  for (llvm::Function &function : module) {
    if (function.isDeclaration())
      continue;
    if (isReference(function))
      function.addFnAttr(llvm::Attribute::OptimizeForSize);
    function.addFnAttr("target-cpu", target.cpu);
    function.addFnAttr("target-features", target.featureString());
    function.addFnAttr("prefer-vector-width",
                       std::to_string(target.vectorBits));
    function.addFnAttr("min-legal-vector-width",
                       std::to_string(target.vectorBits));
    function.addFnAttr("frame-pointer", "none");
    function.addFnAttr(llvm::Attribute::NoUnwind);
    function.addFnAttr(llvm::Attribute::NoInline);
  }
}

namespace {
/// A variant on its way from IR to an object; each has a context of its own, so
/// that all of them can be compiled at the same time.
struct Translated {
  std::unique_ptr<llvm::LLVMContext> context;
  std::unique_ptr<llvm::Module> module;
  std::unique_ptr<llvm::TargetMachine> machine;
  /// Whether little time is to be spent on the code.
  bool quick = false;
  CodeBuffer output;
  bool failed = false;
};
} // namespace

static llvm::Error translate(const CodeVariant &variant, Translated &result) {
  auto machine = createTargetMachine(variant.target);
  if (!machine)
    return machine.takeError();
  result.machine = std::move(*machine);
  result.context = std::make_unique<llvm::LLVMContext>();
  result.module =
      translateModuleToLLVMIR(variant.module, *result.context, "dsv2");
  if (!result.module)
    return llvm::createStringError("translation to LLVM IR failed");
  result.module->setTargetTriple(result.machine->getTargetTriple());
  result.module->setDataLayout(result.machine->createDataLayout());
  setFunctionAttributes(*result.module, variant.target);
  return llvm::Error::success();
}

/// Adds `suffix` to the name of everything that `module` defines. Not only of
/// what it defines for others: split() makes local names visible.
static void addSuffix(llvm::Module &module, StringRef suffix) {
  for (llvm::GlobalValue &value : module.global_values())
    if (!value.isDeclaration())
      value.setName(value.getName() + suffix);
}

/// Makes what is local to a module visible to the other parts of it, and to
/// nothing else.
static void shareLocals(llvm::Module &module) {
  for (llvm::GlobalValue &value : module.global_values()) {
    if (!value.hasLocalLinkage())
      continue;
    value.setLinkage(llvm::GlobalValue::ExternalLinkage);
    value.setVisibility(llvm::GlobalValue::HiddenVisibility);
    if (!value.hasName())
      value.setName("dsv2_local");
  }
}

/// Adds a job for `module`, which may be part of another one's context.
static llvm::Error addPart(const llvm::Module &module, bool quick,
                           const CPUTargetInfo &target,
                           std::vector<Translated> &parts) {
  llvm::SmallString<0> bitcode;
  llvm::raw_svector_ostream stream(bitcode);
  llvm::WriteBitcodeToFile(module, stream);
  Translated part;
  part.quick = quick;
  auto machine =
      createTargetMachine(target, quick ? llvm::CodeGenOptLevel::Less
                                        : llvm::CodeGenOptLevel::Default);
  if (!machine)
    return machine.takeError();
  part.machine = std::move(*machine);
  part.context = std::make_unique<llvm::LLVMContext>();
  auto parsed = llvm::parseBitcodeFile(
      llvm::MemoryBufferRef(bitcode.str(), "dsv2"), *part.context);
  if (!parsed)
    return parsed.takeError();
  part.module = std::move(*parsed);
  parts.push_back(std::move(part));
  return llvm::Error::success();
}

/// Cuts a job into the reference and `kParts` of the rest, to be compiled side
/// by side. The number is fixed, so that the code does not depend on how many
/// processors compile it.
static llvm::Error split(Translated job, std::vector<Translated> &parts,
                         const CPUTargetInfo &target) {
  constexpr unsigned kParts = 8;
  llvm::Module &module = *job.module;
  shareLocals(module);
  std::unique_ptr<llvm::Module> reference;
  if (llvm::any_of(module, isReference)) {
    llvm::ValueToValueMapTy copies;
    reference =
        llvm::CloneModule(module, copies, [](const llvm::GlobalValue *value) {
          return isReference(*value);
        });
    for (llvm::Function &function : module)
      if (isReference(function))
        function.deleteBody();
  }
  if (reference)
    if (llvm::Error error = addPart(*reference, /*quick=*/true, target, parts))
      return error;
  llvm::Error error = llvm::Error::success();
  llvm::SplitModule(module, kParts, [&](std::unique_ptr<llvm::Module> part) {
    if (!error)
      error = addPart(*part, /*quick=*/false, target, parts);
  });
  return error;
}

/// The passes of code that is compiled quickly: what the translation of memory
/// references and loops leaves to clean up, without which it would be slow to
/// compile too.
static constexpr llvm::StringLiteral kQuickPasses =
    "function(sroa,early-cse,instcombine<no-verify-fixpoint>,simplifycfg,"
    "loop-mssa(licm),instcombine<no-verify-fixpoint>,adce)";

/// Optimises a module and turns it into text or code.
static void compileModule(Translated &job, EmitKind kind) {
  llvm::LoopAnalysisManager lam;
  llvm::FunctionAnalysisManager fam;
  llvm::CGSCCAnalysisManager cgam;
  llvm::ModuleAnalysisManager mam;
  // Kernels are written in vectors already: vectorising their scalar tails
  // again costs compile time and gains nothing.
  llvm::PipelineTuningOptions tuning;
  tuning.LoopVectorization = false;
  tuning.SLPVectorization = false;
  tuning.LoopUnrolling = true;
  llvm::PassBuilder passes(job.machine.get(), tuning);
  passes.registerModuleAnalyses(mam);
  passes.registerCGSCCAnalyses(cgam);
  passes.registerFunctionAnalyses(fam);
  passes.registerLoopAnalyses(lam);
  passes.crossRegisterProxies(lam, fam, cgam, mam);
  llvm::ModulePassManager pipeline;
  if (!job.quick)
    pipeline =
        passes.buildPerModuleDefaultPipeline(llvm::OptimizationLevel::O2);
  else
    llvm::cantFail(passes.parsePassPipeline(pipeline, kQuickPasses));
  pipeline.run(*job.module, mam);

  llvm::raw_svector_ostream stream(job.output);
  if (kind == EmitKind::LLVMIR) {
    job.module->print(stream, nullptr);
    return;
  }
  llvm::legacy::PassManager codegen;
  auto fileType = kind == EmitKind::Assembly
                      ? llvm::CodeGenFileType::AssemblyFile
                      : llvm::CodeGenFileType::ObjectFile;
  job.failed =
      job.machine->addPassesToEmitFile(codegen, stream, nullptr, fileType);
  if (!job.failed)
    codegen.run(*job.module);
}

/// The module that says which variants there are, for a processor of any age.
static llvm::Error makeVariantTable(ArrayRef<CodeVariant> variants,
                                    Translated &result) {
  auto baseline = CPUTargetInfo::parse("x86-64");
  if (!baseline)
    return baseline.takeError();
  auto machine = createTargetMachine(*baseline);
  if (!machine)
    return machine.takeError();
  result.machine = std::move(*machine);

  llvm::json::Array list;
  for (auto [i, variant] : llvm::enumerate(variants))
    list.push_back(llvm::json::Object{{"name", variant.name},
                                      {"suffix", variantSuffix(i)}});
  llvm::json::Value manifest =
      llvm::json::Object{{"format", "dsv2-artifact"},
                         {"version", 1},
                         {"variants", std::move(list)}};
  std::string text;
  llvm::raw_string_ostream(text) << manifest;

  result.context = std::make_unique<llvm::LLVMContext>();
  llvm::LLVMContext &context = *result.context;
  result.module = std::make_unique<llvm::Module>("dsv2-variants", context);
  result.module->setTargetTriple(result.machine->getTargetTriple());
  result.module->setDataLayout(result.machine->createDataLayout());
  auto define = [&](StringRef name, llvm::Constant *value) {
    // The module owns it.
    new llvm::GlobalVariable(*result.module, value->getType(),
                             /*isConstant=*/true,
                             llvm::GlobalValue::ExternalLinkage, value, name);
  };
  define(DSV2RT_SYMBOL_ABI_VERSION,
         llvm::ConstantInt::get(llvm::Type::getInt32Ty(context),
                                DSV2RT_ABI_VERSION));
  define(DSV2RT_SYMBOL_MANIFEST_SIZE,
         llvm::ConstantInt::get(llvm::Type::getInt64Ty(context), text.size()));
  define(DSV2RT_SYMBOL_MANIFEST,
         llvm::ConstantDataArray::getString(context, text, /*AddNull=*/false));
  return llvm::Error::success();
}

std::string mlir::dsv2::variantSuffix(size_t index) {
  return ".v" + std::to_string(index);
}

llvm::Expected<std::vector<CodeBuffer>>
mlir::dsv2::emitCode(llvm::ArrayRef<CodeVariant> variants, EmitKind kind) {
  bool several = variants.size() > 1;
  // Text and single objects stay in one piece.
  bool linked = kind == EmitKind::Artifact || kind == EmitKind::Executable;
  std::vector<Translated> jobs;
  for (auto [i, variant] : llvm::enumerate(variants)) {
    Translated job;
    if (llvm::Error error = translate(variant, job))
      return std::move(error);
    if (several)
      addSuffix(*job.module, variantSuffix(i));
    if (!linked)
      jobs.push_back(std::move(job));
    else if (llvm::Error error = split(std::move(job), jobs, variant.target))
      return std::move(error);
  }
  if (several)
    if (llvm::Error error = makeVariantTable(variants, jobs.emplace_back()))
      return std::move(error);

  // Large ones first, so that no processor has one alone in the end.
  std::vector<std::pair<size_t, size_t>> bySize;
  for (auto [i, job] : llvm::enumerate(jobs))
    bySize.emplace_back(job.module->getInstructionCount(), i);
  llvm::sort(bySize, std::greater<>());
  llvm::DefaultThreadPool pool;
  for (auto [size, i] : bySize)
    pool.async([&job = jobs[i], kind] { compileModule(job, kind); });
  pool.wait();
  std::vector<CodeBuffer> outputs;
  for (Translated &job : jobs) {
    if (job.failed)
      return llvm::createStringError(
          "the target cannot emit this kind of file");
    outputs.push_back(std::move(job.output));
  }
  return outputs;
}
