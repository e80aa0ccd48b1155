//===- dsv2-kernel-cases.cpp - writes cases of kernels --------------------===//
//
// Part of dsv2, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "BenchCases.h"

#include "dsv2/InitAll.h"
#include "dsv2/Support/Version.h"
#include "dsv2/Target/Assembler.h"
#include "mlir/IR/BuiltinOps.h"
#include "mlir/IR/MLIRContext.h"
#include "llvm/ADT/StringExtras.h"
#include "llvm/ADT/StringSwitch.h"
#include "llvm/Support/CommandLine.h"
#include "llvm/Support/FileSystem.h"
#include "llvm/Support/InitLLVM.h"
#include "llvm/Support/WithColor.h"
#include "llvm/Support/raw_ostream.h"

using namespace mlir;
using namespace mlir::dsv2;
namespace cl = llvm::cl;

static cl::OptionCategory category("dsv2-kernel-cases options");

static cl::opt<std::string> outFlag("o", cl::Required, cl::cat(category),
                                    cl::value_desc("folder"),
                                    cl::desc("Where the files go"));
static cl::opt<std::string>
    chipFlag("gpu-chip", cl::cat(category), cl::init("sm_90a"),
             cl::value_desc("chip[,...]"),
             cl::desc("Chips to make code for (default: sm_90a)"));
static cl::opt<std::string> codeFlag(
    "gpu-code", cl::cat(category), cl::init("cubin"),
    cl::value_desc("kind[,...]"),
    cl::desc("Forms of code: cubin (default), ptx, bitcode for the emulator"));
static cl::opt<std::string> ptxasFlag("ptxas", cl::cat(category),
                                      cl::value_desc("file"),
                                      cl::desc("The program ptxas"));
static cl::opt<std::string>
    onlyFlag("only", cl::cat(category), cl::value_desc("text"),
             cl::desc("Only files whose name holds this"));
static cl::opt<bool>
    smallFlag("small", cl::cat(category),
              cl::desc("Sizes that the emulator runs in seconds"));

static cl::opt<bool>
    sweepFlag("sweep", cl::cat(category),
              cl::desc("Some products with every configuration of tiles"));

static llvm::Expected<cases::ImageKinds> parseKinds() {
  cases::ImageKinds kinds;
  for (StringRef kind : llvm::split(codeFlag.getValue(), ',')) {
    bool *flag = llvm::StringSwitch<bool *>(kind)
                     .Case("cubin", &kinds.cubin)
                     .Case("ptx", &kinds.ptx)
                     .Case("bitcode", &kinds.bitcode)
                     .Default(nullptr);
    if (!flag)
      return llvm::createStringError(
          "--gpu-code: expected some of cubin, ptx and bitcode, found '" +
          codeFlag + "'");
    *flag = true;
  }
  if (!kinds.cubin)
    return kinds;
  llvm::Expected<std::string> ptxas =
      findCUDAProgram("ptxas", ptxasFlag, "--ptxas");
  if (!ptxas)
    return ptxas.takeError();
  kinds.ptxas = *ptxas;
  return kinds;
}

static llvm::Error writeFile(MLIRContext &context, StringRef chip,
                             const cases::BenchFile &file,
                             const cases::ImageKinds &kinds) {
  llvm::Expected<DeviceCode> code =
      cases::compileKernels(context, chip, file.build);
  if (!code)
    return code.takeError();
  ::dsv2rt::KernelCases content;
  if (llvm::Error error = cases::addCode(content, *code, kinds))
    return error;
  file.addCases(content);
  ::dsv2rt::Status status =
      ::dsv2rt::checkKernelCases(content, "'" + file.name + "'");
  if (status.ok())
    status = ::dsv2rt::writeKernelCases(content,
                                        outFlag + "/" + file.name + ".cases");
  if (!status.ok())
    return llvm::createStringError(status.message());
  llvm::outs() << file.name << ": " << content.cases.size() << " cases\n";
  return llvm::Error::success();
}

static llvm::Error run() {
  auto targets = GPUTargetInfo::parseList(chipFlag);
  if (!targets)
    return targets.takeError();
  auto kinds = parseKinds();
  if (!kinds)
    return kinds.takeError();
  if (std::error_code error = llvm::sys::fs::create_directories(outFlag))
    return llvm::createStringError(error, "cannot make '" + outFlag + "'");
  DialectRegistry registry;
  registerAllDialects(registry);
  registerAllExtensions(registry);
  registerDeviceCodeDialects(registry);
  MLIRContext context(registry);
  context.loadAllAvailableDialects();
  auto size = smallFlag ? cases::BenchSize::Small : cases::BenchSize::Full;
  auto set = sweepFlag ? cases::BenchSet::Sweep : cases::BenchSet::Models;
  for (const GPUTargetInfo &target : *targets) {
    int64_t multiprocessors = smallFlag ? 4 : target.peak.multiprocessors;
    for (const cases::BenchFile &file : cases::listBenchFiles(
             context, target.chip, multiprocessors, size, set))
      if (StringRef(file.name).contains(onlyFlag))
        if (llvm::Error error = writeFile(context, target.chip, file, *kinds))
          return error;
  }
  return llvm::Error::success();
}

int main(int argc, char **argv) {
  llvm::InitLLVM init(argc, argv);
  cl::SetVersionPrinter([](llvm::raw_ostream &os) {
    os << "dsv2-kernel-cases " << getVersion() << "\n";
  });
  cl::HideUnrelatedOptions(category);
  cl::ParseCommandLineOptions(
      argc, argv,
      "writes cases of kernels, to be run by dsv2-gpu-check\n\n"
      "  dsv2-kernel-cases -o FOLDER                 what is worth timing\n"
      "  dsv2-kernel-cases -o FOLDER --small --gpu-code=bitcode\n"
      "                                              the same for the "
      "emulator\n");
  if (llvm::Error error = run()) {
    llvm::WithColor::error(llvm::errs(), "dsv2-kernel-cases")
        << llvm::toString(std::move(error)) << '\n';
    return 1;
  }
  return 0;
}
