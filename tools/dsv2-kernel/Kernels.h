//===- Kernels.h - the kernels of a module ----------------------*- C++ -*-===//
//
// Part of dsv2, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// Kernels are ops of the tile dialect beside a gpu.module, functions in it, or
// functions of bitcode. Here they are found, chosen by name, and taken out of a
// module that has others.
//
//===----------------------------------------------------------------------===//

#ifndef DSV2_TOOLS_DSV2KERNEL_KERNELS_H
#define DSV2_TOOLS_DSV2KERNEL_KERNELS_H

#include "dsv2/CodeGen/GPU/KernelCosts.h"
#include "dsv2/Dialect/Tile/IR/Tile.h"
#include "mlir/Dialect/GPU/IR/GPUDialect.h"
#include "mlir/IR/BuiltinOps.h"
#include "mlir/IR/OwningOpRef.h"

namespace mlir::dsv2 {

/// A kernel and what it says of itself.
struct NamedKernel {
  std::string name;
  /// The only chip that it is for; empty: any.
  std::string chip;
  /// Absent if it does not say what it computes.
  std::optional<gpu::KernelFacts> facts;
  /// In a module; null for one of bitcode.
  Operation *op = nullptr;

  bool isFor(const GPUTargetInfo &target) const {
    return chip.empty() || chip == target.chip;
  }
};

/// The facts in `value`, the attribute of kernel `name`, which may be null. An
/// error if they are not valid.
llvm::Expected<std::optional<gpu::KernelFacts>> readFacts(StringRef name,
                                                          Attribute value);

/// Whether `module` is for `chip`: a module with targets is for those alone.
bool isFor(::mlir::gpu::GPUModuleOp module, StringRef chip);

/// The kernels of `module`, lowered or not. An error as of readFacts.
llvm::Expected<std::vector<NamedKernel>> listKernels(ModuleOp module);

/// Those of `kernels` for one of `targets` that `names` names, separated by
/// commas: kernels, or families of them; all, if it is empty. An error, with
/// the names that there are, for one that is none of these.
llvm::Expected<std::vector<NamedKernel>>
chooseKernels(llvm::ArrayRef<NamedKernel> kernels, StringRef names,
              llvm::ArrayRef<GPUTargetInfo> targets);

/// The kernel of the tile dialect that `kernel` is, or that it was lowered
/// from: that is built again in `scratch` by its facts. Null if there is none.
tile::KernelOp getTileKernel(const NamedKernel &kernel, ModuleOp scratch);

/// A module with the kernels of `module` that `names` holds and nothing else
/// but what they use; of those in a gpu.module, from those for one of
/// `targets`.
OwningOpRef<ModuleOp> extractKernels(ModuleOp module,
                                     llvm::ArrayRef<std::string> names,
                                     llvm::ArrayRef<GPUTargetInfo> targets);

/// Moves the kernels of `from` that `into` lacks, and what they use, there. An
/// error if the two have different ones of one name.
llvm::Error mergeKernels(ModuleOp into, ModuleOp from);

} // namespace mlir::dsv2

#endif // DSV2_TOOLS_DSV2KERNEL_KERNELS_H
