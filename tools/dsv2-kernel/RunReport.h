//===- RunReport.h - kernels run on the emulator ----------------*- C++ -*-===//
//
// Part of dsv2, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef DSV2_TOOLS_DSV2KERNEL_RUNREPORT_H
#define DSV2_TOOLS_DSV2KERNEL_RUNREPORT_H

#include "Kernels.h"

#include "dsv2rt/CaseRunner.h"

#include <functional>

namespace mlir::dsv2 {

/// Seeds from "1,2,5". An error for anything else.
llvm::Expected<std::vector<uint64_t>> parseSeeds(StringRef text);

/// What became of a kernel with a seed.
struct RunOutcome {
  std::string kernel;
  std::string chip;
  uint64_t seed = 0;
  /// What the emulator reports, or nothing.
  std::string failure;
  ::dsv2rt::CaseDeviation deviation;

  bool isRight() const { return failure.empty() && deviation.wrong == 0; }
};

/// Code of the kernels that are named, the first of them first, as bitcode.
using KernelCode =
    std::function<llvm::Expected<std::shared_ptr<::dsv2rt::KernelCases>>(
        llvm::ArrayRef<std::string> names)>;

/// Runs kernels alone on the emulator.
class KernelRunner {
public:
  /// An error if there is no emulator.
  static llvm::Expected<KernelRunner> open();

  /// Runs `kernel`, which has facts, in `step`, once for each seed, which gives
  /// both its numbers and the emulator's order, and compares it with plain
  /// loops. What is wrong with the kernel is no error, but an outcome.
  llvm::Error run(MLIRContext &context, const NamedKernel &kernel,
                  const GPUTargetInfo &target, const KernelCode &code,
                  const gpu::StepSize &step, llvm::ArrayRef<uint64_t> seeds,
                  std::vector<RunOutcome> &outcomes);

private:
  std::shared_ptr<::dsv2rt::Device> device;
  int (*setOptions)(const char *) = nullptr;
  void (*clearError)() = nullptr;
};

/// Prints a line for each outcome, the kernels in `skipped`, which could not be
/// compared with anything, and how many are right. Returns whether all are.
bool printRuns(llvm::raw_ostream &os, llvm::ArrayRef<RunOutcome> outcomes,
               llvm::ArrayRef<std::string> skipped);
/// The same as one JSON object, `{"runs": [...], "without_reference": [...]}`.
bool printRunsJSON(llvm::raw_ostream &os, llvm::ArrayRef<RunOutcome> outcomes,
                   llvm::ArrayRef<std::string> skipped);

} // namespace mlir::dsv2

#endif // DSV2_TOOLS_DSV2KERNEL_RUNREPORT_H
