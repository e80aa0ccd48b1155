//===- dsv2-kernel.cpp - device code, looked at and gated -----------------===//
//
// Part of dsv2, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "CostReport.h"
#include "Report.h"

#include "dsv2/Conversion/Passes.h"
#include "dsv2/InitAll.h"
#include "dsv2/Support/GPUTargetInfo.h"
#include "dsv2/Support/Version.h"
#include "dsv2/Target/Artifact.h"
#include "dsv2/Target/Assembler.h"
#include "dsv2/Target/DeviceCode.h"
#include "mlir/Dialect/GPU/IR/GPUDialect.h"
#include "mlir/Dialect/LLVMIR/NVVMDialect.h"
#include "mlir/IR/AsmState.h"
#include "mlir/IR/MLIRContext.h"
#include "mlir/Parser/Parser.h"
#include "mlir/Pass/PassManager.h"
#include "llvm/Support/CommandLine.h"
#include "llvm/Support/InitLLVM.h"
#include "llvm/Support/MemoryBuffer.h"
#include "llvm/Support/WithColor.h"
#include "llvm/Support/raw_ostream.h"

using namespace mlir;
using namespace mlir::dsv2;
namespace cl = llvm::cl;

static cl::OptionCategory category("dsv2-kernel options");

static cl::opt<std::string>
    inputFlag(cl::Positional, cl::Required, cl::cat(category),
              cl::desc("<.mlir with a gpu.module, or .ptx>"));
static cl::opt<std::string>
    chipFlag("gpu-chip", cl::cat(category), cl::init("sm_90a"),
             cl::value_desc("chip[+ptxNN][,...]"),
             cl::desc("Chips to make code for (default: sm_90a)"));
static cl::opt<bool> listFlag("list", cl::cat(category),
                              cl::desc("List the kernels and stop"));
static cl::opt<bool> gateFlag(
    "gate", cl::cat(category),
    cl::desc("Check every kernel; what is not as it should be is printed, and "
             "the exit code is then 2"));
static cl::opt<bool> costFlag(
    "cost", cl::cat(category),
    cl::desc("Print what kernels cost in a step on the chips' nominal cards; "
             "with --list and --json without making code"));
static cl::opt<int64_t> tokensFlag("tokens", cl::cat(category), cl::init(1),
                                   cl::value_desc("n"),
                                   cl::desc("With --cost: tokens of the step"));
static cl::opt<int64_t> sequencesFlag(
    "sequences", cl::cat(category), cl::init(0), cl::value_desc("n"),
    cl::desc("With --cost: sequences that the tokens are the last "
             "of (0: each of its own)"));
static cl::opt<int64_t> contextFlag(
    "context", cl::cat(category), cl::init(4096), cl::value_desc("n"),
    cl::desc("With --cost: positions of each sequence, those of the "
             "step included"));
static cl::opt<int64_t> topKFlag("top-k", cl::cat(category), cl::init(6),
                                 cl::value_desc("n"),
                                 cl::desc("With --cost: experts of a token"));
static cl::opt<int64_t>
    expertsFlag("experts", cl::cat(category), cl::init(0), cl::value_desc("n"),
                cl::desc("With --cost: experts that have a token (0: what "
                         "random choices touch)"));
static cl::opt<bool> jsonFlag("json", cl::cat(category),
                              cl::desc("Print the table as JSON"));
static cl::opt<bool> ptxFlag("ptx", cl::cat(category),
                             cl::desc("Print PTX, same as --emit-ptx=-"));
static cl::opt<std::string>
    emitPTXFlag("emit-ptx", cl::cat(category), cl::value_desc("file"),
                cl::desc("Write PTX. In the names of files, {chip} stands for "
                         "the chip; several chips need it"));
static cl::opt<std::string> emitCubinFlag("emit-cubin", cl::cat(category),
                                          cl::value_desc("file"),
                                          cl::desc("Write a cubin"));
static cl::opt<std::string>
    emitBitcodeFlag("emit-bitcode", cl::cat(category), cl::value_desc("file"),
                    cl::desc("Write LLVM bitcode, as the emulator runs it"));
static cl::opt<bool> lineInfoFlag(
    "line-info", cl::cat(category),
    cl::desc("Keep lines of the source in PTX and cubins, for profilers"));
static cl::opt<std::string>
    ptxasFlag("ptxas", cl::cat(category), cl::value_desc("file"),
              cl::desc("The program ptxas (default: searched in $PATH, "
                       "$CUDA_ROOT, $CUDA_HOME, $CUDA_PATH and "
                       "/usr/local/cuda*)"));

static cl::opt<std::string> nvdisasmFlag(
    "nvdisasm", cl::cat(category), cl::value_desc("file"),
    cl::desc("The program nvdisasm, to count instructions with (default: "
             "searched like ptxas; without it a table of opcodes counts)"));

static int fail(llvm::Error error) {
  llvm::handleAllErrors(std::move(error), [](const llvm::ErrorInfoBase &info) {
    llvm::WithColor::error(llvm::errs(), "dsv2-kernel")
        << info.message() << '\n';
  });
  return 1;
}

/// Whether `module` is for `chip`: a module with targets is for those alone.
static bool isFor(mlir::gpu::GPUModuleOp module, StringRef chip) {
  ArrayAttr targets = module.getTargetsAttr();
  return !targets || llvm::any_of(targets, [&](Attribute target) {
    auto nvvm = dyn_cast<NVVM::NVVMTargetAttr>(target);
    return nvvm && nvvm.getChip() == chip;
  });
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
          "'" + inputFlag + "' has two modules for " + chip + ": '" +
          found.getName() + "' and '" + candidate.getName() + "'");
    found = candidate;
  }
  if (!found)
    return llvm::createStringError("'" + inputFlag +
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

/// Assembles `ptx` if something needs that. No cubin is no error where it
/// would only have made the table longer.
static llvm::Error assemble(StringRef ptx, const GPUTargetInfo &target,
                            std::optional<Cubin> &cubin) {
  bool isNeeded = gateFlag || !emitCubinFlag.empty();
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
  auto assembled = assemblePTX(ptx, target, *ptxas, lineInfoFlag);
  if (!assembled)
    return assembled.takeError();
  cubin = std::move(*assembled);
  return writeFor(target.chip, emitCubinFlag, cubin->image);
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

/// Does everything that was asked for with the code of one chip. `code` is
/// absent if the PTX is all there is.
static llvm::Error processPTX(StringRef ptx, const GPUTargetInfo &target,
                              const DeviceCode *code,
                              std::vector<ImageReport> &reports) {
  if (ptxFlag)
    llvm::outs() << ptx;
  if (llvm::Error error = writeFor(target.chip, emitPTXFlag, ptx))
    return error;
  std::optional<Cubin> cubin;
  if (llvm::Error error = assemble(ptx, target, cubin))
    return error;
  if (!wantsReport())
    return llvm::Error::success();
  ImageSources sources;
  sources.ptx = ptx;
  if (code) {
    sources.kernels = code->getKernels();
    sources.module = &code->getModule();
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
    for (const KernelInfo &kernel : *kernels)
      llvm::outs() << target.chip << ' ' << kernel.name << '\n';
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
  return processPTX(*ptx, target, &*code, reports);
}

/// The step that costs are of, or an error.
static llvm::Expected<mlir::dsv2::gpu::StepSize> getStepSize() {
  // What is computed from these fits a double.
  constexpr int64_t largest = int64_t(1) << 31;
  struct Flag {
    StringRef name;
    int64_t value, least;
  };
  for (const Flag &flag :
       {Flag{"tokens", tokensFlag, 1}, Flag{"sequences", sequencesFlag, 0},
        Flag{"context", contextFlag, 1}, Flag{"top-k", topKFlag, 1},
        Flag{"experts", expertsFlag, 0}})
    if (flag.value < flag.least || flag.value > largest)
      return llvm::createStringError(
          "--" + flag.name + ": expected " + Twine(flag.least) + " to " +
          Twine(largest) + ", got " + Twine(flag.value));
  mlir::dsv2::gpu::StepSize step;
  step.tokens = tokensFlag;
  step.sequences = sequencesFlag ? sequencesFlag : tokensFlag;
  if (step.sequences > step.tokens)
    return llvm::createStringError(
        "--sequences: expected at most the tokens, " + Twine(step.tokens) +
        ", got " + Twine(step.sequences));
  step.context = contextFlag;
  step.topK = topKFlag;
  step.touchedExperts = expertsFlag;
  return step;
}

/// Prints the costs of the kernels of `module`, with what `reports` tells.
static llvm::Error processCosts(ModuleOp module,
                                ArrayRef<GPUTargetInfo> targets,
                                ArrayRef<ImageReport> reports) {
  auto step = getStepSize();
  if (!step)
    return step.takeError();
  auto kernels = findCostedKernels(module);
  if (!kernels)
    return kernels.takeError();
  if (kernels->empty())
    return llvm::createStringError("'" + inputFlag +
                                   "' has no kernel that says what it costs");
  if (jsonFlag) {
    printCostsJSON(llvm::outs(), *kernels, *step, targets);
    return llvm::Error::success();
  }
  for (auto [i, target] : llvm::enumerate(targets))
    printCosts(llvm::outs(), *kernels, *step, target,
               i < reports.size() ? &reports[i] : nullptr);
  return llvm::Error::success();
}

/// Reads, lowers and makes code of a .mlir file.
static llvm::Error processMLIR(ArrayRef<GPUTargetInfo> targets,
                               std::vector<ImageReport> &reports) {
  DialectRegistry registry;
  registerAllDialects(registry);
  registerAllExtensions(registry);
  registerDeviceCodeDialects(registry);
  MLIRContext context(registry);
  OwningOpRef<ModuleOp> module =
      parseSourceFile<ModuleOp>(inputFlag, ParserConfig(&context));
  if (!module)
    return llvm::createStringError("cannot read '" + inputFlag + "'");
  if (costFlag && (listFlag || jsonFlag))
    return processCosts(*module, targets, {});
  PassManager passes(&context);
  passes.addPass(createConvertTileToNVVMPass());
  buildLowerDeviceToLLVMPipeline(passes);
  if (failed(passes.run(*module)))
    return llvm::createStringError("cannot lower '" + inputFlag + "'");
  for (const GPUTargetInfo &target : targets)
    if (llvm::Error error = processModule(*module, target, reports))
      return error;
  return costFlag ? processCosts(*module, targets, reports)
                  : llvm::Error::success();
}

/// Looks at PTX from anywhere, such as a probe written by hand.
static llvm::Error processPTXFile(ArrayRef<GPUTargetInfo> targets,
                                  std::vector<ImageReport> &reports) {
  if (!emitBitcodeFlag.empty())
    return llvm::createStringError("PTX cannot be made into bitcode");
  auto buffer = llvm::MemoryBuffer::getFile(inputFlag, /*IsText=*/true);
  if (!buffer)
    return llvm::createStringError(buffer.getError(),
                                   "cannot read '" + inputFlag + "'");
  StringRef text = (*buffer)->getBuffer();
  for (const GPUTargetInfo &target : targets) {
    if (listFlag) {
      auto kernels = parsePTX(text);
      if (!kernels)
        return kernels.takeError();
      for (const PTXKernel &kernel : *kernels)
        llvm::outs() << target.chip << ' ' << kernel.name << '\n';
    } else if (llvm::Error error =
                   processPTX(text, target, /*code=*/nullptr, reports)) {
      return error;
    }
  }
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
  cl::HideUnrelatedOptions(category);
  cl::ParseCommandLineOptions(
      argc, argv,
      "makes device code of kernels, and says what is in it\n\n"
      "  dsv2-kernel FILE.mlir                      table of its kernels\n"
      "  dsv2-kernel FILE.mlir --gate               is each as it should be?\n"
      "  dsv2-kernel FILE.mlir --emit-cubin=OUT     code for the driver\n"
      "  dsv2-kernel FILE.mlir --cost --tokens=8    bytes, FLOP, time at "
      "best\n");

  auto targets = GPUTargetInfo::parseList(chipFlag);
  if (!targets)
    return fail(targets.takeError());
  for (StringRef pattern : {emitPTXFlag.getValue(), emitCubinFlag.getValue(),
                            emitBitcodeFlag.getValue()})
    if (targets->size() > 1 && !pattern.empty() && !pattern.contains("{chip}"))
      return fail(llvm::createStringError(
          "'" + pattern +
          "' would hold code of several chips: expected "
          "{chip} in the name"));

  std::vector<ImageReport> reports;
  bool isPTX = StringRef(inputFlag).ends_with(".ptx");
  if (isPTX && costFlag)
    return fail(llvm::createStringError("PTX does not say what it costs"));
  if (llvm::Error error = isPTX ? processPTXFile(*targets, reports)
                                : processMLIR(*targets, reports))
    return fail(std::move(error));
  if (reports.empty() || (costFlag && !gateFlag))
    return 0;
  // Exit codes: 1 is an error, 2 a verdict.
  constexpr int kRefused = 2;
  if (jsonFlag)
    return printJSON(llvm::outs(), reports, gateFlag) ? 0 : kRefused;
  printText(llvm::outs(), reports);
  if (gateFlag)
    return printVerdict(llvm::outs(), reports) ? 0 : kRefused;
  return 0;
}
