//===- Kernels.cpp - the kernels of a module ------------------------------===//
//
// Part of dsv2, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "Kernels.h"

#include "dsv2/Dialect/DSV2/IR/DSV2.h"
#include "dsv2/Dialect/Tile/IR/Tile.h"
#include "mlir/Dialect/LLVMIR/LLVMDialect.h"
#include "mlir/Dialect/LLVMIR/NVVMDialect.h"
#include "llvm/ADT/StringExtras.h"
#include "llvm/ADT/StringMap.h"

using namespace mlir;
using namespace mlir::dsv2;
using mlir::dsv2::gpu::KernelFacts;

llvm::Expected<std::optional<KernelFacts>>
mlir::dsv2::readFacts(StringRef name, Attribute value) {
  if (!value)
    return std::nullopt;
  if (std::optional<KernelFacts> facts = mlir::dsv2::gpu::getCostFacts(value))
    return facts;
  return llvm::createStringError(
      "kernel '" + name + "': attribute '" + kCostFactsAttr +
      "': expected a family of kernels and all sizes that its costs follow "
      "from");
}

bool mlir::dsv2::isFor(mlir::gpu::GPUModuleOp module, StringRef chip) {
  ArrayAttr targets = module.getTargetsAttr();
  return !targets || llvm::any_of(targets, [&](Attribute target) {
    auto nvvm = dyn_cast<NVVM::NVVMTargetAttr>(target);
    return nvvm && nvvm.getChip() == chip;
  });
}

/// Whether `op` is a kernel of a gpu.module.
static bool isDeviceKernel(Operation *op) {
  return isa<LLVM::LLVMFuncOp>(op) &&
         op->hasAttr(NVVM::NVVMDialect::getKernelFuncAttrName());
}

llvm::Expected<std::vector<NamedKernel>>
mlir::dsv2::listKernels(ModuleOp module) {
  std::vector<NamedKernel> kernels;
  std::string problem;
  module->walk([&](SymbolOpInterface op) {
    auto tile = dyn_cast<tile::KernelOp>(op.getOperation());
    if (!tile && !isDeviceKernel(op))
      return WalkResult::advance();
    NamedKernel &kernel = kernels.emplace_back();
    kernel.name = op.getName().str();
    kernel.op = op;
    if (tile)
      kernel.chip = tile.getChip().str();
    else if (auto chip = op->getAttrOfType<StringAttr>(kChipAttr))
      kernel.chip = chip.str();
    auto facts = readFacts(kernel.name, op->getAttr(kCostFactsAttr));
    if (!facts) {
      problem = llvm::toString(facts.takeError());
      return WalkResult::interrupt();
    }
    kernel.facts = std::move(*facts);
    return WalkResult::advance();
  });
  if (!problem.empty())
    return llvm::createStringError(problem);
  return kernels;
}

llvm::Expected<std::vector<NamedKernel>>
mlir::dsv2::chooseKernels(ArrayRef<NamedKernel> kernels, StringRef names,
                          ArrayRef<GPUTargetInfo> targets) {
  std::vector<NamedKernel> present;
  for (const NamedKernel &kernel : kernels)
    if (llvm::any_of(targets, [&](const GPUTargetInfo &target) {
          return kernel.isFor(target);
        }))
      present.push_back(kernel);
  if (names.empty())
    return present;
  auto hasName = [](const NamedKernel &kernel, StringRef name) {
    return kernel.name == name ||
           (kernel.facts && mlir::dsv2::gpu::getFamily(*kernel.facts) == name);
  };
  for (StringRef name : llvm::split(names, ',')) {
    if (llvm::any_of(present, [&](const NamedKernel &kernel) {
          return hasName(kernel, name);
        }))
      continue;
    std::string known, families;
    for (const NamedKernel &kernel : present) {
      known += (known.empty() ? "" : ", ") + kernel.name;
      if (!kernel.facts)
        continue;
      StringRef family = mlir::dsv2::gpu::getFamily(*kernel.facts);
      if (!llvm::is_contained(llvm::split(families, ", "), family))
        families += (families.empty() ? "" : ", ") + family.str();
    }
    return llvm::createStringError(
        "there is no kernel '" + name + "': expected " +
        (known.empty() ? "none, as there are no kernels" : "one of " + known) +
        (families.empty() ? "" : "; or a family, one of " + families));
  }
  std::vector<NamedKernel> chosen;
  for (const NamedKernel &kernel : present)
    if (llvm::any_of(llvm::split(names, ','),
                     [&](StringRef name) { return hasName(kernel, name); }))
      chosen.push_back(kernel);
  return chosen;
}

namespace {
/// Builds the tile kernel of each kind of facts, or nothing.
struct TileKernelBuilder {
  ModuleOp module;

  tile::KernelOp operator()(const mlir::dsv2::gpu::GemmFacts &facts) const {
    if (mlir::dsv2::gpu::explainUnsupported(facts.shape, facts.config.chip))
      return {};
    return mlir::dsv2::gpu::getOrCreateGemm(module, facts.shape, facts.config);
  }
  tile::KernelOp
  operator()(const mlir::dsv2::gpu::MLADecodeFacts &facts) const {
    if (mlir::dsv2::gpu::explainUnsupported(facts.shape, facts.chip))
      return {};
    return mlir::dsv2::gpu::getOrCreateMLADecode(module, facts.shape,
                                                 facts.chip);
  }
  tile::KernelOp
  operator()(const mlir::dsv2::gpu::MLAPrefillFacts &facts) const {
    if (mlir::dsv2::gpu::explainUnsupported(facts.shape, facts.chip))
      return {};
    return mlir::dsv2::gpu::getOrCreateMLAPrefill(module, facts.shape,
                                                  facts.chip);
  }
  template <typename Facts> tile::KernelOp operator()(const Facts &) const {
    return {};
  }
};
} // namespace

tile::KernelOp mlir::dsv2::getTileKernel(const NamedKernel &kernel,
                                         ModuleOp scratch) {
  if (auto tile = dyn_cast_or_null<tile::KernelOp>(kernel.op))
    return tile;
  if (!kernel.facts)
    return {};
  tile::KernelOp built = std::visit(TileKernelBuilder{scratch}, *kernel.facts);
  return built && built.getSymName() == kernel.name ? built : tile::KernelOp();
}

OwningOpRef<ModuleOp>
mlir::dsv2::extractKernels(ModuleOp module, ArrayRef<std::string> names,
                           ArrayRef<GPUTargetInfo> targets) {
  OwningOpRef<ModuleOp> result = ModuleOp::create(module.getLoc());
  auto isWanted = [&](Operation *op) {
    return llvm::is_contained(names, cast<SymbolOpInterface>(op).getName());
  };
  for (Operation &op : *module.getBody()) {
    if (isa<tile::KernelOp>(op) && isWanted(&op)) {
      result->push_back(op.clone());
      continue;
    }
    auto device = dyn_cast<mlir::gpu::GPUModuleOp>(op);
    if (!device || llvm::none_of(targets, [&](const GPUTargetInfo &target) {
          return isFor(device, target.chip);
        }))
      continue;
    Operation *copy = device->clone();
    for (Operation &inner :
         llvm::make_early_inc_range(copy->getRegion(0).front()))
      if (isDeviceKernel(&inner) && !isWanted(&inner))
        inner.erase();
    result->push_back(copy);
  }
  return result;
}

/// Whether two ops are the same but for locations.
static bool isSame(Operation *a, Operation *b) {
  if (OperationEquivalence::isEquivalentTo(
          a, b, OperationEquivalence::IgnoreLocations))
    return true;
  // What was parsed has some defaults as attributes.
  auto print = [](Operation *op) {
    std::string text;
    llvm::raw_string_ostream stream(text);
    op->print(stream, OpPrintingFlags().useLocalScope());
    return text;
  };
  return print(a) == print(b);
}

/// mergeKernels() for what is in the body of two modules, or of two
/// gpu.modules.
static llvm::Error mergeSymbols(Block &into, Block &from) {
  llvm::StringMap<Operation *> present;
  for (Operation &op : into)
    if (auto symbol = dyn_cast<SymbolOpInterface>(op))
      present[symbol.getName()] = &op;
  for (Operation &op : llvm::make_early_inc_range(from)) {
    if (!isa<tile::KernelOp, mlir::gpu::GPUModuleOp>(op) &&
        !isa<mlir::gpu::GPUModuleOp>(op.getParentOp()))
      continue;
    auto symbol = dyn_cast<SymbolOpInterface>(op);
    if (!symbol)
      continue;
    Operation *other = present.lookup(symbol.getName());
    if (!other) {
      op.moveBefore(&into, into.end());
      continue;
    }
    auto device = dyn_cast<mlir::gpu::GPUModuleOp>(op);
    if (device && other->getAttrDictionary() == op.getAttrDictionary()) {
      if (llvm::Error error =
              mergeSymbols(other->getRegion(0).front(), *device.getBody()))
        return error;
    } else if (!isSame(other, &op)) {
      return llvm::createStringError("two inputs have different kernels '" +
                                     symbol.getName() + "'");
    }
  }
  return llvm::Error::success();
}

llvm::Error mlir::dsv2::mergeKernels(ModuleOp into, ModuleOp from) {
  return mergeSymbols(*into.getBody(), *from.getBody());
}
