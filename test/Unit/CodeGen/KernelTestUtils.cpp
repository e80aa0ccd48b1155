//===- KernelTestUtils.cpp - Compile a kernel and call it -----------------===//
//
// Part of dsv2, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "KernelTestUtils.h"

#include "TileEmulation.h"
#include "dsv2/CodeGen/CPU/LowerToLLVM.h"
#include "mlir/Dialect/Func/IR/FuncOps.h"
#include "mlir/Dialect/LLVMIR/LLVMDialect.h"
#include "mlir/ExecutionEngine/ExecutionEngine.h"
#include "mlir/ExecutionEngine/OptUtils.h"
#include "mlir/IR/Diagnostics.h"
#include "mlir/IR/Verifier.h"
#include "mlir/Parser/Parser.h"
#include "mlir/Pass/PassManager.h"
#include "llvm/ADT/StringExtras.h"
#include "llvm/ExecutionEngine/Orc/JITTargetMachineBuilder.h"
#include "llvm/IR/Module.h"
#include "llvm/Support/TargetSelect.h"
#include "llvm/Target/TargetMachine.h"
#include "llvm/TargetParser/Host.h"
#include "gtest/gtest.h"

#include <cmath>
#include <limits>
#include <tuple>

using namespace mlir;
using namespace mlir::dsv2;
using namespace mlir::dsv2::cpu::test;

Descriptor::Descriptor(void *data, int64_t offset, ArrayRef<int64_t> sizes,
                       ArrayRef<int64_t> strides) {
  words.push_back(reinterpret_cast<int64_t>(data));
  words.push_back(reinterpret_cast<int64_t>(data));
  words.push_back(offset);
  words.append(sizes.begin(), sizes.end());
  words.append(strides.begin(), strides.end());
}

std::string
dsv2::cpu::test::cpuName(const testing::TestParamInfo<std::string> &info) {
  std::string name = info.param;
  std::replace_if(
      name.begin(), name.end(), [](char c) { return !llvm::isAlnum(c); }, '_');
  return name;
}

std::vector<std::string> dsv2::cpu::test::testedCPUs() {
  std::vector<std::string> usable;
  // To the builders of kernels the host is often one of the levels again: they
  // make the same kernels for both.
  auto getFacts = [](const CPUTargetInfo &info) {
    return std::tuple(info.vectorBits, info.hasFMA, info.hasF16C, info.hasVNNI,
                      info.hasAVX512BF16);
  };
  std::vector<decltype(getFacts(CPUTargetInfo()))> known;
  for (StringRef cpu : {"x86-64-v2", "x86-64-v3", "x86-64-v4", "native"}) {
    llvm::Expected<CPUTargetInfo> info = CPUTargetInfo::parse(cpu);
    if (!info) {
      llvm::consumeError(info.takeError());
      continue;
    }
    if (!info->missingOnHost().empty() ||
        llvm::is_contained(known, getFacts(*info)))
      continue;
    known.push_back(getFacts(*info));
    usable.push_back(cpu.str());
  }
  return usable;
}

/// Whether `feature` belongs to the tile unit.
static bool isOfTileUnit(StringRef feature) {
  return feature.starts_with("amx-");
}

bool dsv2::cpu::test::canRun(StringRef cpu) {
  llvm::Expected<CPUTargetInfo> info = CPUTargetInfo::parse(cpu);
  if (!info) {
    ADD_FAILURE() << llvm::toString(info.takeError());
    return false;
  }
  return llvm::all_of(info->missingOnHost(), isOfTileUnit);
}

uint16_t dsv2::cpu::test::toBF16(float value) {
  uint32_t bits;
  std::memcpy(&bits, &value, sizeof bits);
  if ((bits & 0x7fffffffu) > 0x7f800000u)
    return static_cast<uint16_t>(bits >> 16 | 0x40);
  // Distance to the lower neighbour, in units of the last kept bit's 2^-16.
  uint32_t kept = bits >> 16, dropped = bits & 0xffff;
  if (dropped > 0x8000 || (dropped == 0x8000 && (kept & 1)))
    ++kept;
  return static_cast<uint16_t>(kept);
}

float dsv2::cpu::test::fromBF16(uint16_t bits) {
  uint32_t wide = static_cast<uint32_t>(bits) << 16;
  float value;
  std::memcpy(&value, &wide, sizeof value);
  return value;
}

static CPUTargetInfo parseOrDie(StringRef cpu) {
  llvm::Expected<CPUTargetInfo> info = CPUTargetInfo::parse(cpu);
  if (!info)
    llvm::report_fatal_error(info.takeError());
  return *info;
}

KernelModule::KernelModule(StringRef cpu) : info(parseOrDie(cpu)) {
  DialectRegistry registry;
  registerCPUCodeGenDialects(registry);
  ctx.appendDialectRegistry(registry);
  ctx.loadAllAvailableDialects();
  op = ModuleOp::create(UnknownLoc::get(&ctx));
  emulatesTiles = llvm::any_of(info.missingOnHost(), isOfTileUnit);
  if (!emulatesTiles && llvm::any_of(info.features, isOfTileUnit) &&
      !requestTileRegisters())
    llvm::report_fatal_error("the system does not grant the tile registers");
}

KernelModule::~KernelModule() = default;

bool KernelModule::addSource(StringRef source) {
  OwningOpRef<ModuleOp> parsed = parseSourceString<ModuleOp>(source, &ctx);
  if (!parsed) {
    ADD_FAILURE() << "source does not parse";
    return false;
  }
  op->getBody()->getOperations().splice(op->getBody()->end(),
                                        parsed->getBody()->getOperations());
  return true;
}

std::string KernelModule::print() {
  std::string text;
  llvm::raw_string_ostream os(text);
  op->print(os);
  return text;
}

bool KernelModule::compile() {
  std::string diagnostics;
  ScopedDiagnosticHandler handler(&ctx, [&](Diagnostic &diagnostic) {
    llvm::raw_string_ostream(diagnostics) << diagnostic << "\n";
    return success();
  });

  // Kernels are private; make them callable by a C signature that takes one
  // pointer per descriptor.
  for (func::FuncOp func : op->getOps<func::FuncOp>()) {
    if (func.isDeclaration())
      continue;
    func.setPublic();
    func->setAttr(LLVM::LLVMDialect::getEmitCWrapperAttrName(),
                  UnitAttr::get(&ctx));
  }
  if (failed(verify(*op))) {
    ADD_FAILURE() << "kernel does not verify:\n" << diagnostics;
    return false;
  }
  if (emulatesTiles)
    emulateTiles(*op);
  PassManager pm(&ctx);
  // As in the driver: once, after the last pass.
  pm.enableVerifier(false);
  LowerToLLVMOptions lowering;
  lowering.useFMA = info.hasFMA;
  buildLowerToLLVMPipeline(pm, lowering);
  if (failed(pm.run(*op)) || failed(verify(*op))) {
    ADD_FAILURE() << "lowering failed:\n" << diagnostics;
    return false;
  }

  llvm::InitializeNativeTarget();
  llvm::InitializeNativeTargetAsmPrinter();
  llvm::Triple triple(llvm::sys::getProcessTriple());
  llvm::orc::JITTargetMachineBuilder builder(triple);
  builder.setCPU(info.cpu);
  std::vector<std::string> flags;
  for (const std::string &feature : info.features)
    if (!emulatesTiles || !isOfTileUnit(feature))
      flags.push_back("+" + feature);
  for (const std::string &feature : info.disabledFeatures)
    flags.push_back("-" + feature);
  builder.addFeatures(flags);
  builder.setCodeGenOptLevel(llvm::CodeGenOptLevel::Aggressive);
  auto machine = builder.createTargetMachine();
  auto optimizerMachine = builder.createTargetMachine();
  if (!machine || !optimizerMachine) {
    ADD_FAILURE() << llvm::toString(machine ? optimizerMachine.takeError()
                                            : machine.takeError());
    return false;
  }
  auto optimize = makeOptimizingTransformer(3, 0, optimizerMachine->get());
  auto transformer = [&](llvm::Module *m) -> llvm::Error {
    llvm::Error error = optimize(m);
    llvmText.clear();
    llvm::raw_string_ostream os(llvmText);
    m->print(os, nullptr);
    return error;
  };
  ExecutionEngineOptions options;
  options.transformer = transformer;
  options.jitCodeGenOptLevel = llvm::CodeGenOptLevel::Aggressive;
  auto created = ExecutionEngine::create(*op, options, std::move(*machine));
  if (!created) {
    ADD_FAILURE() << llvm::toString(created.takeError());
    return false;
  }
  engine = std::move(*created);
  if (emulatesTiles)
    engine->registerSymbols(emulatedTileSymbols);
  engine->initialize();
  return true;
}

void *KernelModule::lookup(StringRef name) {
  auto symbol = engine->lookup(("_mlir_ciface_" + name).str());
  if (!symbol) {
    ADD_FAILURE() << llvm::toString(symbol.takeError());
    return nullptr;
  }
  return *symbol;
}

void KernelModule::call(StringRef name, ArrayRef<void *> memrefs, int64_t part,
                        int64_t parts) {
  // The packed form takes pointers to the arguments.
  SmallVector<void *> arguments(memrefs.begin(), memrefs.end());
  SmallVector<void *> packed;
  for (void *&argument : arguments)
    packed.push_back(&argument);
  packed.push_back(&part);
  packed.push_back(&parts);
  if (llvm::Error error =
          engine->invokePacked(("_mlir_ciface_" + name).str(), packed))
    ADD_FAILURE() << llvm::toString(std::move(error));
}

void dsv2::cpu::test::expectLargest(const Array<float> &y,
                                    const Array<float> &m, int64_t width) {
  for (int64_t t = 0; t < y.dim(0); ++t)
    for (int64_t p = 0; p < m.dim(1); ++p) {
      bool finite = true;
      float expected = -std::numeric_limits<float>::infinity();
      for (int64_t i = p * width; i < std::min(y.dim(1), (p + 1) * width);
           ++i) {
        finite &= std::isfinite(y(t, i));
        expected = std::max(expected, y(t, i));
      }
      if (finite)
        ASSERT_EQ(m(t, p), expected) << "row " << t << " panel " << p;
      else
        ASSERT_TRUE(std::isnan(m(t, p))) << "row " << t << " panel " << p;
    }
}
