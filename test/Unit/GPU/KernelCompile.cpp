//===- KernelCompile.cpp - Tile kernels to LLVM IR and PTX ----------------===//
//
// Part of dsv2, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "KernelCompile.h"

#include "dsv2/Conversion/TileToNVVM/TileToNVVM.h"
#include "dsv2/InitAll.h"
#include "mlir/Dialect/GPU/IR/GPUDialect.h"
#include "mlir/Dialect/LLVMIR/LLVMDialect.h"
#include "mlir/Dialect/LLVMIR/NVVMDialect.h"
#include "mlir/IR/Verifier.h"
#include "mlir/Pass/PassManager.h"
#include "mlir/Target/LLVMIR/Dialect/All.h"
#include "mlir/Target/LLVMIR/Export.h"
#include "llvm/Bitcode/BitcodeWriter.h"
#include "llvm/IR/LegacyPassManager.h"
#include "llvm/MC/TargetRegistry.h"
#include "llvm/Passes/PassBuilder.h"
#include "llvm/Support/FileSystem.h"
#include "llvm/Support/MemoryBuffer.h"
#include "llvm/Support/Program.h"
#include "llvm/Support/Regex.h"
#include "llvm/Support/TargetSelect.h"
#include "llvm/Target/TargetMachine.h"
#include "llvm/Transforms/Utils/Cloning.h"

#include <gtest/gtest.h>

using namespace mlir;
using namespace mlir::dsv2;

MLIRContext &test::getContext() {
  static MLIRContext *context = [] {
    DialectRegistry registry;
    registerAllDialects(registry);
    registerAllExtensions(registry);
    registerAllGPUToLLVMIRTranslations(registry);
    auto *result = new MLIRContext(registry);
    result->loadAllAvailableDialects();
    return result;
  }();
  return *context;
}

static std::unique_ptr<llvm::TargetMachine> getMachine(StringRef chip) {
  static bool initialized = [] {
    LLVMInitializeNVPTXTargetInfo();
    LLVMInitializeNVPTXTarget();
    LLVMInitializeNVPTXTargetMC();
    LLVMInitializeNVPTXAsmPrinter();
    return true;
  }();
  (void)initialized;
  llvm::Triple triple("nvptx64-nvidia-cuda");
  std::string error;
  const llvm::Target *target =
      llvm::TargetRegistry::lookupTarget(triple, error);
  EXPECT_NE(target, nullptr) << error;
  return std::unique_ptr<llvm::TargetMachine>(target->createTargetMachine(
      triple, chip, chip == "sm_90a" ? "+ptx80" : "+ptx70", {}, std::nullopt,
      std::nullopt, llvm::CodeGenOptLevel::Aggressive));
}

test::CompiledKernel::CompiledKernel(OwningOpRef<ModuleOp> module) {
  compile(*module);
}

void test::CompiledKernel::compile(ModuleOp module) {
  auto kernels = llvm::to_vector(module.getOps<tile::KernelOp>());
  ASSERT_EQ(kernels.size(), 1u);
  name = kernels.front().getSymName().str();
  chip = kernels.front().getChip().str();
  threads = kernels.front().getThreads();
  sharedBytes = tile::getSharedLayout(kernels.front()).size;
  ASSERT_TRUE(succeeded(verify(module))) << name;
  // For a look at a kernel with other tools.
  if (const char *folder = std::getenv("DSV2_DUMP_KERNELS")) {
    std::error_code error;
    llvm::raw_fd_ostream file(std::string(folder) + "/" + name + ".mlir",
                              error);
    module.print(file);
  }
  PassManager passes(module.getContext());
  addTileToLLVMPasses(passes);
  ASSERT_TRUE(succeeded(passes.run(module))) << name;
  auto gpuModules = llvm::to_vector(module.getOps<mlir::gpu::GPUModuleOp>());
  ASSERT_EQ(gpuModules.size(), 1u);
  llvmModule = translateModuleToLLVMIR(gpuModules.front(), context, name);
  ASSERT_NE(llvmModule, nullptr);
  std::unique_ptr<llvm::TargetMachine> machine = getMachine(chip);
  llvmModule->setTargetTriple(machine->getTargetTriple());
  llvmModule->setDataLayout(machine->createDataLayout());
  llvm::LoopAnalysisManager lam;
  llvm::FunctionAnalysisManager fam;
  llvm::CGSCCAnalysisManager cgam;
  llvm::ModuleAnalysisManager mam;
  llvm::PassBuilder builder(machine.get());
  builder.registerModuleAnalyses(mam);
  builder.registerCGSCCAnalyses(cgam);
  builder.registerFunctionAnalyses(fam);
  builder.registerLoopAnalyses(lam);
  builder.crossRegisterProxies(lam, fam, cgam, mam);
  builder.buildPerModuleDefaultPipeline(llvm::OptimizationLevel::O2)
      .run(*llvmModule, mam);
}

std::string test::CompiledKernel::getBitcode() const {
  std::string bitcode;
  llvm::raw_string_ostream os(bitcode);
  llvm::WriteBitcodeToFile(*llvmModule, os);
  return bitcode;
}

std::string test::CompiledKernel::getPTX() const {
  std::unique_ptr<llvm::TargetMachine> machine = getMachine(chip);
  llvm::SmallString<0> ptx;
  llvm::raw_svector_ostream os(ptx);
  llvm::legacy::PassManager passes;
  EXPECT_FALSE(machine->addPassesToEmitFile(
      passes, os, nullptr, llvm::CodeGenFileType::AssemblyFile));
  std::unique_ptr<llvm::Module> clone(llvm::CloneModule(*llvmModule));
  passes.run(*clone);
  return ptx.str().str();
}

std::optional<test::AssemblerReport>
test::runAssembler(const std::string &ptx, const std::string &chip) {
  auto ptxas = llvm::sys::findProgramByName(
      "ptxas", {"/usr/local/cuda/bin", "/usr/local/cuda-13.0/bin"});
  if (!ptxas)
    ptxas = llvm::sys::findProgramByName("ptxas");
  if (!ptxas)
    return std::nullopt;
  llvm::SmallString<64> input, output, cubin;
  int fd;
  EXPECT_FALSE(llvm::sys::fs::createTemporaryFile("kernel", "ptx", fd, input));
  llvm::raw_fd_ostream(fd, /*shouldClose=*/true) << ptx;
  EXPECT_FALSE(llvm::sys::fs::createTemporaryFile("kernel", "txt", output));
  EXPECT_FALSE(llvm::sys::fs::createTemporaryFile("kernel", "cubin", cubin));
  std::string arch = "-arch=" + chip;
  std::optional<StringRef> redirects[] = {std::nullopt, output.str(),
                                          output.str()};
  int rc = llvm::sys::ExecuteAndWait(*ptxas,
                                     {*ptxas, "-v", arch, input, "-o", cubin},
                                     std::nullopt, redirects);
  AssemblerReport report;
  auto buffer = llvm::MemoryBuffer::getFile(output);
  EXPECT_TRUE(buffer) << output.str().str();
  StringRef text = (*buffer)->getBuffer();
  EXPECT_EQ(rc, 0) << text.str();
  auto number = [&](const char *pattern) -> int64_t {
    SmallVector<StringRef> matches;
    int64_t value = -1;
    if (llvm::Regex(pattern).match(text, &matches))
      matches[1].getAsInteger(10, value);
    return value;
  };
  report.registers = number("Used ([0-9]+) registers");
  report.stackBytes = number("([0-9]+) bytes stack frame");
  report.spillBytes = number("([0-9]+) bytes spill stores");
  SmallVector<StringRef> lines;
  text.split(lines, '\n');
  for (StringRef line : lines)
    if (line.contains("(C75"))
      report.notes += line.str() + "\n";
  for (StringRef file : {input.str(), output.str(), cubin.str()})
    (void)llvm::sys::fs::remove(file);
  return report;
}
