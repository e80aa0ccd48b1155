//===- KernelReport.cpp - what is known of the kernels of an image --------===//
//
// Part of dsv2, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "dsv2/Target/StaticGate.h"

#include "dsv2/Target/NVPTX/RegisterHazards.h"

#include "llvm/ADT/STLExtras.h"
#include "llvm/ADT/StringSwitch.h"
#include "llvm/IR/InstIterator.h"
#include "llvm/IR/Instructions.h"
#include "llvm/IR/LLVMContext.h"
#include "llvm/IR/Module.h"
#include "llvm/Support/MathExtras.h"

#include <algorithm>

using namespace mlir::dsv2;

static llvm::StringRef getPTXOrder(llvm::AtomicOrdering order) {
  switch (order) {
  case llvm::AtomicOrdering::Acquire:
    return "acquire";
  case llvm::AtomicOrdering::Release:
    return "release";
  case llvm::AtomicOrdering::AcquireRelease:
    return "acq_rel";
  case llvm::AtomicOrdering::SequentiallyConsistent:
    return "seq_cst";
  default:
    return "relaxed";
  }
}

/// The scope that LLVM's NVPTX names by a sync scope; the default one, without
/// a name, is the whole system.
static std::string getPTXScope(const llvm::Module &module,
                               llvm::SyncScope::ID scope) {
  llvm::SmallVector<llvm::StringRef> names;
  module.getContext().getSyncScopeNames(names);
  llvm::StringRef name = scope < names.size() ? names[scope] : "";
  return llvm::StringSwitch<std::string>(name)
      .Case("", "sys")
      .Case("device", "gpu")
      .Case("block", "cta")
      .Default(name.str());
}

static llvm::StringRef getPTXOperation(llvm::AtomicRMWInst::BinOp operation) {
  using Inst = llvm::AtomicRMWInst;
  switch (operation) {
  case Inst::Xchg:
    return "exch";
  case Inst::Add:
  case Inst::Sub:
  case Inst::FAdd:
  case Inst::FSub:
    return "add";
  case Inst::And:
    return "and";
  case Inst::Or:
    return "or";
  case Inst::Xor:
    return "xor";
  case Inst::Max:
  case Inst::UMax:
  case Inst::FMax:
    return "max";
  case Inst::Min:
  case Inst::UMin:
  case Inst::FMin:
    return "min";
  case Inst::UIncWrap:
    return "inc";
  case Inst::UDecWrap:
    return "dec";
  default:
    // The rest is a loop around a compare-and-swap.
    return "cas";
  }
}

static llvm::StringRef getPTXSpace(unsigned addressSpace) {
  switch (addressSpace) {
  case 1:
    return "global";
  case 3:
  case 7:
    return "shared";
  default:
    return "";
  }
}

std::map<std::string, std::vector<AtomicAccess>>
mlir::dsv2::getIntendedAtomics(const llvm::Module &module) {
  std::map<std::string, std::vector<AtomicAccess>> result;
  for (const llvm::Function &function : module) {
    if (function.getCallingConv() != llvm::CallingConv::PTX_Kernel)
      continue;
    auto &atomics = result[function.getName().str()];
    for (const llvm::Instruction &instruction : llvm::instructions(function)) {
      AtomicAccess access;
      access.isResultUsed = !instruction.use_empty();
      if (auto *rmw = llvm::dyn_cast<llvm::AtomicRMWInst>(&instruction)) {
        access.operation = getPTXOperation(rmw->getOperation()).str();
        access.order = getPTXOrder(rmw->getOrdering()).str();
        access.scope = getPTXScope(module, rmw->getSyncScopeID());
        access.space = getPTXSpace(rmw->getPointerAddressSpace()).str();
        access.opcode = ("atomicrmw " + llvm::AtomicRMWInst::getOperationName(
                                            rmw->getOperation()))
                            .str();
      } else if (auto *cas =
                     llvm::dyn_cast<llvm::AtomicCmpXchgInst>(&instruction)) {
        access.operation = "cas";
        access.order = getPTXOrder(cas->getMergedOrdering()).str();
        access.scope = getPTXScope(module, cas->getSyncScopeID());
        access.space = getPTXSpace(cas->getPointerAddressSpace()).str();
        access.opcode = "cmpxchg";
      } else {
        continue;
      }
      atomics.push_back(std::move(access));
    }
  }
  return result;
}

int64_t mlir::dsv2::getBlocksPerMultiprocessor(const KernelReport &kernel,
                                               const GPUTargetInfo &target) {
  // Registers are handed out to warps in units of 256, and to as many warps of
  // each of the four parts of a multiprocessor (CUDA's occupancy calculator).
  constexpr int64_t kLanes = 32, kRegisterUnit = 256, kParts = 4;
  int64_t warps = llvm::divideCeil(kernel.info.getThreads(), kLanes);
  int64_t perWarp =
      llvm::alignTo(std::max<int64_t>(kernel.resources->registers, 1) * kLanes,
                    kRegisterUnit);
  int64_t byRegisters =
      llvm::alignDown(target.registersPerBlock / perWarp, kParts) / warps;
  int64_t byShared = target.sharedBytesPerMultiprocessor /
                     (kernel.getSharedBytes() + target.reservedSharedBytes);
  int64_t byThreads =
      target.threadsPerMultiprocessor / kernel.info.getThreads();
  return std::min<int64_t>(
      {byRegisters, byShared, byThreads, target.blocksPerMultiprocessor});
}

llvm::Expected<ImageReport>
mlir::dsv2::reportImage(const GPUTargetInfo &target,
                        const ImageSources &sources) {
  auto ptx = parsePTX(sources.ptx);
  if (!ptx)
    return ptx.takeError();
  std::vector<KernelInfo> kernels = sources.kernels;
  if (kernels.empty())
    for (const PTXKernel &kernel : *ptx) {
      KernelInfo &info = kernels.emplace_back();
      info.name = kernel.name;
      if (kernel.block[0] > 0)
        info.block = kernel.block;
      info.cluster = kernel.cluster;
      info.blocksPerMultiprocessor = kernel.blocksPerMultiprocessor;
    }

  ImageReport report;
  report.target = target;
  std::map<std::string, std::vector<AtomicAccess>> atomics;
  std::map<std::string, std::string> hazards;
  if (sources.module) {
    atomics = getIntendedAtomics(*sources.module);
    hazards = getRegisterHazards(*sources.module);
  }
  std::vector<SassCensus> census;
  if (sources.cubin) {
    report.notes = sources.cubin->notes;
    report.isDisassembled = !sources.nvdisasm.empty();
    auto counted = report.isDisassembled
                       ? disassemble(sources.cubin->image, sources.nvdisasm)
                       : countInstructions(sources.cubin->image);
    if (!counted)
      return counted.takeError();
    census = std::move(*counted);
  }

  for (KernelInfo &info : kernels) {
    auto missing = [&](llvm::StringRef where) {
      return llvm::createStringError("kernel '" + info.name + "' for " +
                                     target.chip + " is not in " + where);
    };
    KernelReport kernel;
    auto text = llvm::find_if(
        *ptx, [&](const PTXKernel &other) { return other.name == info.name; });
    if (text == ptx->end())
      return missing("the PTX");
    kernel.ptx = std::move(*text);
    if (sources.module) {
      kernel.intended = atomics[info.name];
      kernel.registerHazard = hazards[info.name];
    }
    if (sources.cubin) {
      auto resources = llvm::find_if(sources.cubin->kernels,
                                     [&](const KernelResources &other) {
                                       return other.name == info.name;
                                     });
      if (resources == sources.cubin->kernels.end())
        return missing("what ptxas reports");
      kernel.resources = *resources;
      auto code = llvm::find_if(census, [&](const SassCensus &other) {
        return other.kernel == info.name;
      });
      if (code == census.end())
        return missing("the cubin");
      kernel.sass = *code;
    }
    kernel.info = std::move(info);
    report.kernels.push_back(std::move(kernel));
  }
  return report;
}
