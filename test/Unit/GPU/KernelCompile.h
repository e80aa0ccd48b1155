//===- KernelCompile.h - Tile kernels to LLVM IR and PTX --------*- C++ -*-===//
//
// Part of dsv2, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef DSV2_TEST_UNIT_GPU_KERNELCOMPILE_H
#define DSV2_TEST_UNIT_GPU_KERNELCOMPILE_H

#include "dsv2/Dialect/Tile/IR/Tile.h"
#include "mlir/IR/BuiltinOps.h"
#include "mlir/IR/MLIRContext.h"
#include "llvm/IR/LLVMContext.h"
#include "llvm/IR/Module.h"

#include <memory>
#include <string>

namespace mlir::dsv2::test {

/// A kernel on its way to a GPU. Failures are gtest failures.
class CompiledKernel {
public:
  /// Lowers the only kernel of `module`, which is consumed.
  explicit CompiledKernel(OwningOpRef<ModuleOp> module);

  const std::string &getName() const { return name; }
  int64_t getThreads() const { return threads; }
  int64_t getSharedBytes() const { return sharedBytes; }
  /// Bitcode as LLVM's optimiser leaves it for NVPTX.
  std::string getBitcode() const;
  std::string getPTX() const;

private:
  void compile(ModuleOp module);

  std::string name, chip;
  int64_t threads = 0, sharedBytes = 0;
  llvm::LLVMContext context;
  std::unique_ptr<llvm::Module> llvmModule;
};

/// A context with everything that kernels need.
MLIRContext &getContext();

/// What ptxas says of a kernel, or nothing if it is not installed.
struct AssemblerReport {
  int64_t registers = 0, spillBytes = 0, stackBytes = 0;
  /// Notes that say that products are waited for one by one, or registers not
  /// set (C75xx).
  std::string notes;
};
std::optional<AssemblerReport> runAssembler(const std::string &ptx,
                                            const std::string &chip);

} // namespace mlir::dsv2::test

#endif // DSV2_TEST_UNIT_GPU_KERNELCOMPILE_H
