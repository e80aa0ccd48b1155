//===- PtxTest.cpp - test kernels are what the real tools accept ----------===//
//
// Part of dsv2, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "EmulatorTest.h"

#include "llvm/AsmParser/Parser.h"
#include "llvm/IR/LLVMContext.h"
#include "llvm/IR/LegacyPassManager.h"
#include "llvm/IR/Module.h"
#include "llvm/MC/TargetRegistry.h"
#include "llvm/Passes/PassBuilder.h"
#include "llvm/Support/FileSystem.h"
#include "llvm/Support/Program.h"
#include "llvm/Support/SourceMgr.h"
#include "llvm/Support/TargetSelect.h"
#include "llvm/Support/raw_ostream.h"
#include "llvm/Target/TargetMachine.h"
#include "llvm/Transforms/IPO/AlwaysInliner.h"

using namespace dsv2::test;

/// PTX of LLVM IR for sm_90a.
static std::string toPtx(const std::string &text) {
  LLVMInitializeNVPTXTargetInfo();
  LLVMInitializeNVPTXTarget();
  LLVMInitializeNVPTXTargetMC();
  LLVMInitializeNVPTXAsmPrinter();
  llvm::LLVMContext context;
  llvm::SMDiagnostic diagnostic;
  auto module = llvm::parseAssemblyString(text, diagnostic, context);
  if (!module)
    return "";
  std::string error;
  llvm::Triple triple = module->getTargetTriple();
  const llvm::Target *target =
      llvm::TargetRegistry::lookupTarget(triple, error);
  if (!target)
    return "";
  std::unique_ptr<llvm::TargetMachine> machine(target->createTargetMachine(
      triple, "sm_90a", "+ptx80", {}, std::nullopt));
  module->setDataLayout(machine->createDataLayout());
  // Products of a warpgroup across calls make ptxas run for minutes.
  llvm::PassBuilder builder;
  llvm::ModuleAnalysisManager analyses;
  llvm::FunctionAnalysisManager functionAnalyses;
  llvm::CGSCCAnalysisManager graphAnalyses;
  llvm::LoopAnalysisManager loopAnalyses;
  builder.registerModuleAnalyses(analyses);
  builder.registerCGSCCAnalyses(graphAnalyses);
  builder.registerFunctionAnalyses(functionAnalyses);
  builder.registerLoopAnalyses(loopAnalyses);
  builder.crossRegisterProxies(loopAnalyses, functionAnalyses, graphAnalyses,
                               analyses);
  llvm::ModulePassManager inlining;
  inlining.addPass(llvm::AlwaysInlinerPass());
  inlining.run(*module, analyses);
  llvm::SmallString<0> ptx;
  llvm::raw_svector_ostream os(ptx);
  llvm::legacy::PassManager passes;
  machine->addPassesToEmitFile(passes, os, nullptr,
                               llvm::CodeGenFileType::AssemblyFile);
  passes.run(*module);
  return ptx.str().str();
}

// What the emulator runs is no fantasy: LLVM makes PTX of it, and ptxas, where
// there is one, machine code.
TEST(PtxTest, KernelsAssemble) {
  auto ptxas = llvm::sys::findProgramByName(
      "ptxas", {"/usr/local/cuda/bin", "/usr/local/cuda-13.0/bin"});
  if (!ptxas)
    ptxas = llvm::sys::findProgramByName("ptxas");
  for (const char *name :
       {"simt.ll", "mma.ll", "wgmma.ll", "store.ll", "cluster.ll"}) {
    std::string ptx = toPtx(readInput(name));
    ASSERT_NE(ptx.find(".entry"), std::string::npos) << name;
    if (!ptxas)
      continue;
    llvm::SmallString<64> input, output;
    int descriptor;
    ASSERT_FALSE(llvm::sys::fs::createTemporaryFile("emulator", "ptx",
                                                    descriptor, input));
    ASSERT_FALSE(
        llvm::sys::fs::createTemporaryFile("emulator", "cubin", output));
    {
      llvm::raw_fd_ostream file(descriptor, /*shouldClose=*/true);
      file << ptx;
    }
    std::string message;
    EXPECT_EQ(llvm::sys::ExecuteAndWait(
                  *ptxas, {*ptxas, "-arch=sm_90a", input, "-o", output},
                  std::nullopt, {}, 60, 0, &message),
              0)
        << name << ": " << message;
    llvm::sys::fs::remove(input);
    llvm::sys::fs::remove(output);
  }
}
