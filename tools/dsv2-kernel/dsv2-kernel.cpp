//===- dsv2-kernel.cpp - device code, looked at and gated -----------------===//
//
// Part of dsv2, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "ArtifactImages.h"
#include "CaseBuilder.h"
#include "CostReport.h"
#include "Kernels.h"
#include "Report.h"
#include "RunReport.h"
#include "ScheduleReport.h"
#include "StepFlags.h"

#include "dsv2/CodeGen/CPU/LowerToLLVM.h"
#include "dsv2/Conversion/Passes.h"
#include "dsv2/Dialect/DSV2/IR/DSV2.h"
#include "dsv2/Driver/Driver.h"
#include "dsv2/InitAll.h"
#include "dsv2/Support/GPUTargetInfo.h"
#include "dsv2/Support/Version.h"
#include "dsv2/Target/Artifact.h"
#include "dsv2/Target/Assembler.h"
#include "dsv2/Target/DeviceCode.h"
#include "mlir/Dialect/GPU/IR/GPUDialect.h"
#include "mlir/Dialect/LLVMIR/LLVMDialect.h"
#include "mlir/IR/AsmState.h"
#include "mlir/IR/MLIRContext.h"
#include "mlir/Parser/Parser.h"
#include "llvm/ADT/StringExtras.h"
#include "llvm/Support/CommandLine.h"
#include "llvm/Support/FileSystem.h"
#include "llvm/Support/InitLLVM.h"
#include "llvm/Support/MemoryBuffer.h"
#include "llvm/Support/WithColor.h"
#include "llvm/Support/raw_ostream.h"

using namespace mlir;
using namespace mlir::dsv2;
namespace cl = llvm::cl;

static cl::list<std::string>
    inputsFlag(cl::Positional, cl::OneOrMore, cl::cat(kernelOptions),
               cl::desc("<checkpoint folders, config.json or .mlir with "
                        "kernels; or an artifact, or .ptx>"));
static cl::opt<std::string>
    chipFlag("gpu-chip", cl::cat(kernelOptions), cl::init("sm_90a"),
             cl::value_desc("chip[+ptxNN][,...]"),
             cl::desc("Chips to make code for (default: sm_90a; of an "
                      "artifact, those that it is for)"));
static cl::opt<std::string> kernelFlag(
    "kernel", cl::cat(kernelOptions), cl::value_desc("name[,...]"),
    cl::desc(
        "Only these kernels, or families of them, such as gemm, "
        "mla_decode, products, rms_norm and route; what there is, an error "
        "about a name that is not says"));
static cl::opt<std::string> weightFormatFlag(
    "weight-format", cl::cat(kernelOptions), cl::init("bf16"),
    cl::value_desc("format[,...]"),
    cl::desc("Of a configuration, as of dsv2-compile (default: bf16); of "
             "several, the kernels of all"));
static cl::opt<std::string> kvFormatFlag(
    "kv-format", cl::cat(kernelOptions), cl::init("auto"),
    cl::desc("Of a configuration: auto is f32 for f32 weights, else bf16"));
static cl::opt<std::string>
    meshFlag("mesh", cl::cat(kernelOptions), cl::value_desc("tp=N,ep=N"),
             cl::desc("Of a configuration: kernels of one of several ranks"));
static cl::opt<bool> runFlag(
    "run", cl::cat(kernelOptions),
    cl::desc("Run each kernel alone on the emulator, in the step that --tokens "
             "and others describe, and compare it with plain loops; the exit "
             "code is 2 if one is wrong"));
static cl::opt<std::string> seedFlag(
    "seed", cl::cat(kernelOptions), cl::init("1"), cl::value_desc("n[,...]"),
    cl::desc("With --run: seeds of numbers and of the emulator's order, a run "
             "for each (default: 1)"));
static cl::opt<bool> scheduleFlag(
    "schedule", cl::cat(kernelOptions),
    cl::desc("Print the schedules of kernels of the tile dialect: roles, "
             "rings, barriers, copies and products"));
static cl::opt<bool> listFlag("list", cl::cat(kernelOptions),
                              cl::desc("List the kernels and stop"));
static cl::opt<bool> gateFlag(
    "gate", cl::cat(kernelOptions),
    cl::desc("Check every kernel; what is not as it should be is printed, and "
             "the exit code is then 2"));
static cl::opt<bool> costFlag(
    "cost", cl::cat(kernelOptions),
    cl::desc("Print what kernels cost in a step on the chips' nominal cards; "
             "with --list and --json without making code"));
static cl::opt<bool> jsonFlag("json", cl::cat(kernelOptions),
                              cl::desc("Print the table as JSON"));
static cl::opt<bool> ptxFlag("ptx", cl::cat(kernelOptions),
                             cl::desc("Print PTX, same as --emit-ptx=-"));
static cl::opt<std::string>
    emitPTXFlag("emit-ptx", cl::cat(kernelOptions), cl::value_desc("file"),
                cl::desc("Write PTX. In the names of files, {chip} stands for "
                         "the chip; several chips need it"));
static cl::opt<std::string> emitCubinFlag("emit-cubin", cl::cat(kernelOptions),
                                          cl::value_desc("file"),
                                          cl::desc("Write a cubin"));
static cl::opt<std::string>
    emitBitcodeFlag("emit-bitcode", cl::cat(kernelOptions),
                    cl::value_desc("file"),
                    cl::desc("Write LLVM bitcode, as the emulator runs it"));
static cl::opt<bool> lineInfoFlag(
    "line-info", cl::cat(kernelOptions),
    cl::desc("Keep lines of the source in PTX and cubins, for profilers"));
static cl::opt<std::string>
    ptxasFlag("ptxas", cl::cat(kernelOptions), cl::value_desc("file"),
              cl::desc("The program ptxas (default: searched in $PATH, "
                       "$CUDA_ROOT, $CUDA_HOME, $CUDA_PATH and "
                       "/usr/local/cuda*)"));

static cl::opt<std::string> nvdisasmFlag(
    "nvdisasm", cl::cat(kernelOptions), cl::value_desc("file"),
    cl::desc("The program nvdisasm, to count instructions with (default: "
             "searched like ptxas; without it a table of opcodes counts)"));

/// What messages call the input.
static std::string inputName() { return llvm::join(inputsFlag, "', '"); }

static int fail(llvm::Error error) {
  llvm::handleAllErrors(std::move(error), [](const llvm::ErrorInfoBase &info) {
    llvm::WithColor::error(llvm::errs(), "dsv2-kernel")
        << info.message() << '\n';
  });
  return 1;
}

/// The one gpu.module for `chip`.
static llvm::Expected<mlir::gpu::GPUModuleOp> findDeviceModule(ModuleOp module,
                                                               StringRef chip) {
  mlir::gpu::GPUModuleOp found;
  for (auto candidate : module.getOps<mlir::gpu::GPUModuleOp>()) {
    if (!isFor(candidate, chip))
      continue;
    if (found)
      return llvm::createStringError(
          "'" + inputName() + "' has two modules for " + chip + ": '" +
          found.getName() + "' and '" + candidate.getName() + "'");
    found = candidate;
  }
  if (!found)
    return llvm::createStringError("'" + inputName() +
                                   "' has no gpu.module for " + chip);
  return found;
}

/// Writes what a flag asks for; `pattern` is the flag's value.
static llvm::Error writeFor(StringRef chip, StringRef pattern,
                            llvm::ArrayRef<char> data) {
  if (pattern.empty())
    return llvm::Error::success();
  std::string path = pattern.str();
  if (size_t at = path.find("{chip}"); at != std::string::npos)
    path.replace(at, strlen("{chip}"), chip);
  return writeFileAtomically(path, data);
}

/// Whether the table is to be printed: always, unless something else was asked
/// for.
static bool wantsReport() {
  return gateFlag || jsonFlag || costFlag ||
         (!ptxFlag && emitPTXFlag.empty() && emitCubinFlag.empty() &&
          emitBitcodeFlag.empty());
}

/// PTX, and what is known of it beside.
struct PTXSource {
  StringRef text;
  /// What it was made of, or null.
  const DeviceCode *code = nullptr;
  /// Whether it comes from an artifact, which has its own cubin or none.
  bool isCarried = false;
};

/// Assembles PTX if something needs that. No cubin is no error where it would
/// only have made the table longer.
static llvm::Error assemble(const PTXSource &ptx, const GPUTargetInfo &target,
                            std::optional<Cubin> &cubin) {
  bool isWritten = !ptx.isCarried && !emitCubinFlag.empty();
  bool isNeeded = gateFlag || isWritten;
  if (!isNeeded && !wantsReport())
    return llvm::Error::success();
  auto ptxas = findCUDAProgram("ptxas", ptxasFlag, "--ptxas");
  if (!ptxas && isNeeded)
    return ptxas.takeError();
  if (!ptxas) {
    llvm::WithColor::warning(llvm::errs(), "dsv2-kernel")
        << llvm::toString(ptxas.takeError())
        << "; registers, spills and machine code stay unknown\n";
    return llvm::Error::success();
  }
  auto assembled = assemblePTX(ptx.text, target, *ptxas, lineInfoFlag);
  if (!assembled)
    return assembled.takeError();
  cubin = std::move(*assembled);
  return isWritten ? writeFor(target.chip, emitCubinFlag, cubin->image)
                   : llvm::Error::success();
}

/// The disassembler, or nothing if there is none. One that was named and is
/// not there is an error.
static llvm::Expected<std::string> findDisassembler() {
  auto found = findCUDAProgram("nvdisasm", nvdisasmFlag, "--nvdisasm");
  if (found || !nvdisasmFlag.empty())
    return found;
  llvm::consumeError(found.takeError());
  return std::string();
}

/// Does everything that was asked for with the code of one chip.
static llvm::Error processPTX(const PTXSource &ptx, const GPUTargetInfo &target,
                              std::vector<ImageReport> &reports) {
  if (ptxFlag)
    llvm::outs() << ptx.text;
  if (llvm::Error error = writeFor(target.chip, emitPTXFlag, ptx.text))
    return error;
  std::optional<Cubin> cubin;
  if (llvm::Error error = assemble(ptx, target, cubin))
    return error;
  if (!wantsReport())
    return llvm::Error::success();
  ImageSources sources;
  sources.ptx = ptx.text;
  if (ptx.code) {
    sources.kernels = ptx.code->getKernels();
    sources.module = &ptx.code->getModule();
  }
  std::string nvdisasm;
  if (cubin) {
    sources.cubin = &*cubin;
    auto found = findDisassembler();
    if (!found)
      return found.takeError();
    nvdisasm = std::move(*found);
    sources.nvdisasm = nvdisasm;
  }
  auto report = reportImage(target, sources);
  if (!report)
    return report.takeError();
  reports.push_back(std::move(*report));
  return llvm::Error::success();
}

static llvm::Error processModule(ModuleOp module, const GPUTargetInfo &target,
                                 std::vector<ImageReport> &reports) {
  auto device = findDeviceModule(module, target.chip);
  if (!device)
    return device.takeError();
  if (listFlag) {
    auto kernels = getKernels(*device);
    if (!kernels)
      return kernels.takeError();
    for (const KernelInfo &kernel : *kernels) {
      auto only = device->lookupSymbol(kernel.name)
                      ->getAttrOfType<StringAttr>(kChipAttr);
      if (!only || only.getValue() == target.chip)
        llvm::outs() << target.chip << ' ' << kernel.name << '\n';
    }
    return llvm::Error::success();
  }
  auto code = DeviceCode::create(*device, target);
  if (!code)
    return code.takeError();
  if (!emitBitcodeFlag.empty())
    if (llvm::Error error =
            writeFor(target.chip, emitBitcodeFlag, code->getBitcode()))
      return error;
  auto ptx = code->getPTX(lineInfoFlag);
  if (!ptx)
    return ptx.takeError();
  return processPTX({*ptx, &*code}, target, reports);
}

/// Prints the costs of the kernels, with what `reports` tells.
static llvm::Error processCosts(ArrayRef<NamedKernel> kernels,
                                ArrayRef<GPUTargetInfo> targets,
                                ArrayRef<ImageReport> reports) {
  auto step = getStepSize(runFlag);
  if (!step)
    return step.takeError();
  std::vector<NamedKernel> costed;
  llvm::copy_if(kernels, std::back_inserter(costed),
                [](const NamedKernel &kernel) { return kernel.facts; });
  if (costed.empty())
    return llvm::createStringError("'" + inputName() +
                                   "' has no kernel that says what it costs");
  if (jsonFlag) {
    printCostsJSON(llvm::outs(), costed, *step, targets);
    return llvm::Error::success();
  }
  for (auto [i, target] : llvm::enumerate(targets))
    printCosts(llvm::outs(), costed, *step, target,
               i < reports.size() ? &reports[i] : nullptr);
  return llvm::Error::success();
}

/// Runs the kernels that say what they compute, and prints what became of them;
/// `isRight` says whether all are as they should be.
static llvm::Error
processRuns(MLIRContext &context, ArrayRef<NamedKernel> kernels,
            ArrayRef<GPUTargetInfo> targets,
            llvm::function_ref<KernelCode(const GPUTargetInfo &)> getCode,
            bool &isRight) {
  auto step = getStepSize(runFlag);
  if (!step)
    return step.takeError();
  auto seeds = parseSeeds(seedFlag);
  if (!seeds)
    return seeds.takeError();
  std::vector<std::string> skipped;
  for (const NamedKernel &kernel : kernels)
    if (!kernel.facts)
      skipped.push_back(kernel.name);
  if (skipped.size() == kernels.size())
    return llvm::createStringError(
        "there is nothing to compare " +
        (skipped.empty() ? "" : "'" + llvm::join(skipped, "', '") + "'") +
        " with: expected kernels of the families " +
        llvm::join(mlir::dsv2::gpu::getFamilies(), ", ") +
        ", which say what they compute");
  auto runner = KernelRunner::open();
  if (!runner)
    return runner.takeError();
  std::vector<RunOutcome> outcomes;
  for (const GPUTargetInfo &target : targets)
    for (const NamedKernel &kernel : kernels)
      if (kernel.facts && kernel.isFor(target))
        if (llvm::Error error =
                runner->run(context, kernel, target, getCode(target), *step,
                            *seeds, outcomes))
          return error;
  isRight =
      (jsonFlag ? printRunsJSON : printRuns)(llvm::outs(), outcomes, skipped);
  return llvm::Error::success();
}

static llvm::Error processSchedules(MLIRContext &context,
                                    ArrayRef<NamedKernel> kernels) {
  context.loadAllAvailableDialects();
  bool isFirst = true;
  std::string others;
  for (const NamedKernel &kernel : kernels) {
    OwningOpRef<ModuleOp> scratch = ModuleOp::create(UnknownLoc::get(&context));
    tile::KernelOp tile = getTileKernel(kernel, *scratch);
    if (!tile) {
      others += (others.empty() ? "'" : ", '") + kernel.name + "'";
      continue;
    }
    if (!isFirst)
      llvm::outs() << '\n';
    isFirst = false;
    printSchedule(llvm::outs(), tile);
  }
  if (!isFirst)
    return llvm::Error::success();
  return llvm::createStringError(
      "there is no schedule: expected kernels of the tile dialect, found " +
      (others.empty() ? "none"
                      : others + ", which are written for one thread"));
}

/// Compiles the configuration `input` to the stage that has kernels.
static llvm::Expected<OwningOpRef<ModuleOp>>
compileKernelsOf(MLIRContext &context, StringRef input, StringRef format) {
  CompileOptions options;
  options.input = input;
  options.lastStage = Stage::Structure;
  options.withReference = false;
  options.pipeline.gpuChips = chipFlag;
  options.pipeline.weightFormat = format;
  options.pipeline.kvFormat = kvFormatFlag;
  if (kvFormatFlag == "auto")
    options.pipeline.kvFormat = format == "f32" ? "f32" : "bf16";
  options.pipeline.mesh = meshFlag;
  options.warn = [](StringRef message) {
    llvm::WithColor::warning(llvm::errs(), "dsv2-kernel") << message << '\n';
  };
  return compileToIR(context, options);
}

/// The kernels of all inputs, in every format that is asked for.
static llvm::Expected<OwningOpRef<ModuleOp>> readModules(MLIRContext &context) {
  auto isConfiguration = [](StringRef input) {
    return llvm::sys::fs::is_directory(input) || input.ends_with(".json");
  };
  for (const cl::Option *flag : std::initializer_list<const cl::Option *>{
           &weightFormatFlag, &kvFormatFlag, &meshFlag})
    if (flag->getNumOccurrences() && llvm::none_of(inputsFlag, isConfiguration))
      return llvm::createStringError("--" + flag->ArgStr +
                                     " is for configurations, got '" +
                                     inputName() + "'");
  OwningOpRef<ModuleOp> all;
  auto add = [&](llvm::Expected<OwningOpRef<ModuleOp>> module) -> llvm::Error {
    if (!module)
      return module.takeError();
    if (all)
      return mergeKernels(*all, **module);
    all = std::move(*module);
    return llvm::Error::success();
  };
  for (StringRef input : inputsFlag) {
    if (isConfiguration(input)) {
      for (StringRef format : llvm::split(weightFormatFlag, ','))
        if (llvm::Error error =
                add(compileKernelsOf(context, input, format.trim())))
          return error;
      continue;
    }
    auto module = parseSourceFile<ModuleOp>(input, ParserConfig(&context));
    if (!module)
      return llvm::createStringError("cannot read '" + input + "'");
    if (llvm::Error error = add(std::move(module)))
      return error;
  }
  return all;
}

/// Takes the kernels of IR as far as is asked for.
static llvm::Error processIR(MLIRContext &context,
                             ArrayRef<GPUTargetInfo> targets,
                             std::vector<ImageReport> &reports, bool &isRight) {
  auto module = readModules(context);
  if (!module)
    return module.takeError();
  auto all = listKernels(**module);
  if (!all)
    return all.takeError();
  auto kernels = chooseKernels(*all, kernelFlag, targets);
  if (!kernels)
    return kernels.takeError();
  if (scheduleFlag)
    return processSchedules(context, *kernels);
  if (runFlag) {
    auto getCode = [&](const GPUTargetInfo &target) -> KernelCode {
      return [&module, &target](ArrayRef<std::string> names)
                 -> llvm::Expected<std::shared_ptr<::dsv2rt::KernelCases>> {
        auto code = cases::compileKernels(
            *extractKernels(**module, names, target), target);
        if (!code)
          return code.takeError();
        cases::ImageKinds kinds;
        kinds.bitcode = true;
        auto content = std::make_shared<::dsv2rt::KernelCases>();
        if (llvm::Error error = cases::addCode(*content, *code, kinds))
          return error;
        return content;
      };
    };
    return processRuns(context, *kernels, targets, getCode, isRight);
  }
  if (costFlag && (listFlag || jsonFlag))
    return processCosts(*kernels, targets, {});
  OwningOpRef<ModuleOp> part;
  ModuleOp source = **module;
  if (!kernelFlag.empty()) {
    std::vector<std::string> names;
    for (const NamedKernel &kernel : *kernels)
      names.push_back(kernel.name);
    part = extractKernels(source, names, targets);
    source = *part;
  }
  if (failed(cases::lowerKernels(source)))
    return llvm::createStringError("cannot lower '" + inputName() + "'");
  for (const GPUTargetInfo &target : targets)
    if (llvm::Error error = processModule(source, target, reports))
      return error;
  return costFlag ? processCosts(*kernels, targets, reports)
                  : llvm::Error::success();
}

/// Prints and writes what an artifact has.
static llvm::Error processArtifact(MLIRContext &context,
                                   const ArtifactImages &artifact,
                                   ArrayRef<GPUTargetInfo> targets,
                                   std::vector<ImageReport> &reports,
                                   bool &isRight) {
  using Kind = ::dsv2rt::DeviceManifest::ImageKind;
  auto all = artifact.listKernels(context, targets);
  if (!all)
    return all.takeError();
  auto kernels = chooseKernels(*all, kernelFlag, targets);
  if (!kernels)
    return kernels.takeError();
  if (runFlag || costFlag || scheduleFlag) {
    // What kernels compute is said by bitcode alone.
    for (const GPUTargetInfo &target : targets)
      if (auto bitcode = artifact.getImage(target.chip, Kind::Bitcode);
          !bitcode)
        return bitcode.takeError();
    if (costFlag)
      return processCosts(*kernels, targets, {});
    if (scheduleFlag)
      return processSchedules(context, *kernels);
    auto getCode = [&](const GPUTargetInfo &target) -> KernelCode {
      return [&artifact, &target](ArrayRef<std::string> names) {
        return artifact.getCases(target.chip, names);
      };
    };
    return processRuns(context, *kernels, targets, getCode, isRight);
  }
  for (const GPUTargetInfo &target : targets) {
    if (listFlag) {
      for (const NamedKernel &kernel : *kernels)
        if (kernel.isFor(target))
          llvm::outs() << target.chip << ' ' << kernel.name << '\n';
      continue;
    }
    if (ptxFlag || !emitPTXFlag.empty() || wantsReport()) {
      auto ptx = artifact.getImage(target.chip, Kind::Ptx);
      if (!ptx)
        return ptx.takeError();
      // It ends in a zero, as drivers want it.
      PTXSource source{ptx->rtrim('\0'), nullptr, /*isCarried=*/true};
      if (llvm::Error error = processPTX(source, target, reports))
        return error;
    }
    for (auto [kind, pattern] :
         {std::pair(Kind::Bitcode, emitBitcodeFlag.getValue()),
          std::pair(Kind::Cubin, emitCubinFlag.getValue())}) {
      if (pattern.empty())
        continue;
      auto image = artifact.getImage(target.chip, kind);
      if (!image)
        return image.takeError();
      if (llvm::Error error = writeFor(target.chip, pattern,
                                       ArrayRef(image->data(), image->size())))
        return error;
    }
  }
  for (ImageReport &report : reports)
    llvm::erase_if(report.kernels, [&](const KernelReport &kernel) {
      return llvm::none_of(*kernels, [&](const NamedKernel &chosen) {
        return chosen.name == kernel.info.name;
      });
    });
  return llvm::Error::success();
}

/// Looks at PTX from anywhere, such as a probe written by hand.
static llvm::Error processPTXFile(ArrayRef<GPUTargetInfo> targets,
                                  std::vector<ImageReport> &reports) {
  if (!emitBitcodeFlag.empty())
    return llvm::createStringError("PTX cannot be made into bitcode");
  auto buffer = llvm::MemoryBuffer::getFile(inputName(), /*IsText=*/true);
  if (!buffer)
    return llvm::createStringError(buffer.getError(),
                                   "cannot read '" + inputName() + "'");
  StringRef text = (*buffer)->getBuffer();
  for (const GPUTargetInfo &target : targets) {
    if (listFlag) {
      auto kernels = parsePTX(text);
      if (!kernels)
        return kernels.takeError();
      for (const PTXKernel &kernel : *kernels)
        llvm::outs() << target.chip << ' ' << kernel.name << '\n';
    } else if (llvm::Error error = processPTX({text}, target, reports)) {
      return error;
    }
  }
  return llvm::Error::success();
}

static bool isPTX() {
  return llvm::any_of(inputsFlag,
                      [](StringRef input) { return input.ends_with(".ptx"); });
}

/// Refuses flags that do not go together.
static llvm::Error checkFlags(ArrayRef<GPUTargetInfo> targets) {
  for (StringRef pattern : {emitPTXFlag.getValue(), emitCubinFlag.getValue(),
                            emitBitcodeFlag.getValue()})
    if (targets.size() > 1 && !pattern.empty() && !pattern.contains("{chip}"))
      return llvm::createStringError(
          "'" + pattern +
          "' would hold code of several chips: expected "
          "{chip} in the name");
  if (isPTX() && costFlag)
    return llvm::createStringError("PTX does not say what it costs");
  for (const cl::Option *flag : std::initializer_list<const cl::Option *>{
           &kernelFlag, &runFlag, &scheduleFlag})
    if (isPTX() && flag->getNumOccurrences())
      return llvm::createStringError(
          "--" + flag->ArgStr +
          ": expected a configuration, an artifact or IR, got PTX");
  if (seedFlag.getNumOccurrences() && !runFlag)
    return llvm::createStringError("--seed needs --run");
  // Each of these is all that is printed.
  const cl::opt<bool> *modes[] = {&runFlag, &scheduleFlag, &costFlag,
                                  &gateFlag};
  for (const cl::opt<bool> *mode : {&runFlag, &scheduleFlag})
    for (const cl::opt<bool> *other : modes)
      if (*mode && *other && mode != other)
        return llvm::createStringError("--" + mode->ArgStr + " and --" +
                                       other->ArgStr + " do not go together");
  if (scheduleFlag && jsonFlag)
    return llvm::createStringError("--schedule prints no JSON");
  return llvm::Error::success();
}

int main(int argc, char **argv) {
  llvm::InitLLVM init(argc, argv);
  llvm::setBugReportMsg("please report this, with the command line and the "
                        "input, to the dsv2 project\n");
  registerMLIRContextCLOptions();
  cl::SetVersionPrinter([](llvm::raw_ostream &os) {
    os << "dsv2-kernel " << getVersion() << " (LLVM " << LLVM_VERSION_STRING
       << ")\n";
  });
  cl::HideUnrelatedOptions(kernelOptions);
  cl::ParseCommandLineOptions(
      argc, argv,
      "makes device code of kernels, and says what is in it\n\n"
      "  dsv2-kernel DIR                         table of a model's kernels\n"
      "  dsv2-kernel DIR --gate                  is each as it should be?\n"
      "  dsv2-kernel DIR --emit-cubin=OUT        code for the driver\n"
      "  dsv2-kernel DIR --cost --tokens=8       bytes, FLOP, time at best\n"
      "  dsv2-kernel DIR --schedule --kernel=K   what its blocks do\n"
      "  dsv2-kernel DIR --run --kernel=K        does it compute what it "
      "should?\n");

  // An artifact says itself which chips it is for.
  std::optional<ArtifactImages> artifact;
  bool isArtifact = llvm::any_of(inputsFlag, ArtifactImages::isArtifact);
  if (inputsFlag.size() > 1 && (isArtifact || isPTX()))
    return fail(llvm::createStringError(
        "'" + inputName() +
        "': expected one artifact or .ptx, or any number of configurations and "
        ".mlir"));
  if (isArtifact) {
    auto opened = ArtifactImages::open(inputName());
    if (!opened)
      return fail(opened.takeError());
    artifact = std::move(*opened);
    if (!chipFlag.getNumOccurrences())
      chipFlag = llvm::join(artifact->getChips(), ",");
  }
  auto targets = GPUTargetInfo::parseList(chipFlag);
  if (!targets)
    return fail(targets.takeError());
  if (llvm::Error error = checkFlags(*targets))
    return fail(std::move(error));

  DialectRegistry registry;
  registerAllDialects(registry);
  registerAllExtensions(registry);
  registerDeviceCodeDialects(registry);
  cpu::registerCPUCodeGenDialects(registry);
  MLIRContext context(registry);
  std::vector<ImageReport> reports;
  bool isRight = true;
  llvm::Error error =
      artifact ? processArtifact(context, *artifact, *targets, reports, isRight)
      : isPTX() ? processPTXFile(*targets, reports)
                : processIR(context, *targets, reports, isRight);
  if (error)
    return fail(std::move(error));
  // Exit codes: 1 is an error, 2 a verdict.
  constexpr int kRefused = 2;
  if (!isRight)
    return kRefused;
  if (reports.empty() || (costFlag && !gateFlag))
    return 0;
  if (jsonFlag)
    return printJSON(llvm::outs(), reports, gateFlag) ? 0 : kRefused;
  printText(llvm::outs(), reports);
  if (gateFlag)
    return printVerdict(llvm::outs(), reports) ? 0 : kRefused;
  return 0;
}
