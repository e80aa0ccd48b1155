//===- BenchCases.h - cases that are worth timing ---------------*- C++ -*-===//
//
// Part of dsv2, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef DSV2_TOOLS_DSV2_KERNEL_CASES_BENCHCASES_H
#define DSV2_TOOLS_DSV2_KERNEL_CASES_BENCHCASES_H

#include "CaseBuilder.h"

#include <functional>

namespace mlir::dsv2::cases {

/// How large the cases are.
enum class BenchSize {
  /// The shapes of the published models.
  Full,
  /// The same kinds with sizes that the emulator runs in seconds.
  Small,
};

/// What is to be timed.
enum class BenchSet {
  /// Absorbed and expanded attention, and dense and grouped products, as they
  /// come in DeepSeek-V2 and V2-Lite.
  Models,
  /// Some of the products with every configuration of their kernel.
  Sweep,
};

/// Kernels of one file, and the cases to be made of them.
struct BenchFile {
  /// Name of the file, without an ending.
  std::string name;
  std::function<void(ModuleOp)> build;
  std::function<void(KernelCases &)> addCases;
};

/// The files of a set for `chip` with `multiprocessors`.
std::vector<BenchFile> listBenchFiles(MLIRContext &context,
                                      llvm::StringRef chip,
                                      int64_t multiprocessors, BenchSize size,
                                      BenchSet set);

} // namespace mlir::dsv2::cases

#endif // DSV2_TOOLS_DSV2_KERNEL_CASES_BENCHCASES_H
