//===- DeviceCode.h - from a gpu.module to code for a GPU -------*- C++ -*-===//
//
// Part of dsv2, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// One LLVM module for each chip, optimised once, has two consumers: NVPTX makes
// PTX of it, which ptxas makes a cubin of, and the emulator runs it as bitcode.
// So what the emulator tests is what the GPU gets.
//
//===----------------------------------------------------------------------===//

#ifndef DSV2_TARGET_DEVICECODE_H
#define DSV2_TARGET_DEVICECODE_H

#include "dsv2/Support/GPUTargetInfo.h"
#include "dsv2/Target/KernelInfo.h"
#include "llvm/ADT/SmallVector.h"
#include "llvm/Support/Error.h"

#include <memory>
#include <string>
#include <vector>

namespace llvm {
class LLVMContext;
class Module;
} // namespace llvm

namespace mlir {
class DialectRegistry;
class OpPassManager;

namespace dsv2 {

/// Registers the dialects of device code, and the interfaces that lower and
/// translate them.
void registerDeviceCodeDialects(DialectRegistry &registry);

/// Appends the passes that lower what is inside of a `gpu.module` to the LLVM
/// and NVVM dialects: from `scf`, `cf`, `arith`, `index`, `vector` (without
/// memory references), `ub` and those ops of `math` that have an instruction.
/// `pm` is anchored on `gpu.module` or on an op around it. The last pass checks
/// that nothing else is left.
void buildLowerDeviceToLLVMPipeline(OpPassManager &pm);

/// Registers that pipeline as `dsv2-lower-device-to-llvm`.
void registerDeviceCodePipelines();

/// Optimised LLVM IR of one gpu.module for one chip.
class DeviceCode {
public:
  /// Translates a module of the LLVM and NVVM dialects and optimises it for
  /// `target`. `module` is not changed. Errors: other ops, ops that the chip
  /// does not have, attributes of kernels as getKernels says; details go to the
  /// context's diagnostic handler.
  static llvm::Expected<DeviceCode> create(::mlir::gpu::GPUModuleOp module,
                                           const GPUTargetInfo &target);
  DeviceCode(DeviceCode &&);
  DeviceCode &operator=(DeviceCode &&);
  ~DeviceCode();

  const GPUTargetInfo &getTarget() const { return target; }
  llvm::ArrayRef<KernelInfo> getKernels() const { return kernels; }
  const llvm::Module &getModule() const { return *module; }

  /// LLVM bitcode, with the locations of the source as debug information.
  llvm::SmallVector<char, 0> getBitcode() const;

  /// PTX text. With `withLines` it says which line of the source an
  /// instruction is from; without, it does not depend on names of files. An
  /// error if LLVM has no instruction for something in the module.
  llvm::Expected<std::string> getPTX(bool withLines = false) const;

private:
  DeviceCode() = default;
  GPUTargetInfo target;
  std::vector<KernelInfo> kernels;
  // The context outlives its module.
  std::unique_ptr<llvm::LLVMContext> context;
  std::unique_ptr<llvm::Module> module;
};

} // namespace dsv2
} // namespace mlir

#endif // DSV2_TARGET_DEVICECODE_H
