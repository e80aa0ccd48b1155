//===- dsv2-kernel.cpp - device code, looked at and gated -----------------===//
//
// Part of dsv2, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

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
#include "llvm/Support/WithColor.h"
#include "llvm/Support/raw_ostream.h"

using namespace mlir;
using namespace mlir::dsv2;
namespace cl = llvm::cl;

static cl::OptionCategory category("dsv2-kernel options");

static cl::opt<std::string> inputFlag(cl::Positional, cl::Required,
                                      cl::cat(category),
                                      cl::desc("<.mlir with a gpu.module>"));
static cl::opt<std::string>
    chipFlag("gpu-chip", cl::cat(category), cl::init("sm_90a"),
             cl::value_desc("chip[+ptxNN][,...]"),
             cl::desc("Chips to make code for (default: sm_90a)"));
static cl::opt<bool> listFlag("list", cl::cat(category),
                              cl::desc("List the kernels and stop"));
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

static int fail(llvm::Error error) {
  llvm::handleAllErrors(std::move(error), [](const llvm::ErrorInfoBase &info) {
    llvm::WithColor::error(llvm::errs(), "dsv2-kernel")
        << info.message() << '\n';
  });
  return 1;
}

/// Whether `module` is for `chip`: a module with targets is for those alone.
static bool isFor(gpu::GPUModuleOp module, StringRef chip) {
  ArrayAttr targets = module.getTargetsAttr();
  return !targets || llvm::any_of(targets, [&](Attribute target) {
    auto nvvm = dyn_cast<NVVM::NVVMTargetAttr>(target);
    return nvvm && nvvm.getChip() == chip;
  });
}

/// The one gpu.module for `chip`.
static llvm::Expected<gpu::GPUModuleOp> findDeviceModule(ModuleOp module,
                                                         StringRef chip) {
  gpu::GPUModuleOp found;
  for (auto candidate : module.getOps<gpu::GPUModuleOp>()) {
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

static llvm::Error emitFor(ModuleOp module, const GPUTargetInfo &target) {
  auto device = findDeviceModule(module, target.chip);
  if (!device)
    return device.takeError();
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
  if (ptxFlag)
    llvm::outs() << *ptx;
  if (llvm::Error error = writeFor(target.chip, emitPTXFlag, *ptx))
    return error;
  if (emitCubinFlag.empty())
    return llvm::Error::success();
  auto ptxas = findCUDAProgram("ptxas", ptxasFlag, "--ptxas");
  if (!ptxas)
    return ptxas.takeError();
  auto cubin = assemblePTX(*ptx, target, *ptxas, lineInfoFlag);
  if (!cubin)
    return cubin.takeError();
  return writeFor(target.chip, emitCubinFlag, cubin->image);
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
  cl::ParseCommandLineOptions(argc, argv, "makes device code and checks it\n");

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

  DialectRegistry registry;
  registerDeviceCodeDialects(registry);
  MLIRContext context(registry);
  OwningOpRef<ModuleOp> module =
      parseSourceFile<ModuleOp>(inputFlag, ParserConfig(&context));
  if (!module)
    return fail(llvm::createStringError("cannot read '" + inputFlag + "'"));
  PassManager passes(&context);
  buildLowerDeviceToLLVMPipeline(passes);
  if (failed(passes.run(*module)))
    return fail(llvm::createStringError("cannot lower '" + inputFlag + "'"));

  for (const GPUTargetInfo &target : *targets)
    if (llvm::Error error = emitFor(*module, target))
      return fail(std::move(error));
  return 0;
}
