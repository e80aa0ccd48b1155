//===- KernelRun.h - Kernels on the emulator --------------------*- C++ -*-===//
//
// Part of dsv2, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef DSV2_TEST_UNIT_GPU_KERNELRUN_H
#define DSV2_TEST_UNIT_GPU_KERNELRUN_H

#include "../Emulator/EmulatorTest.h"
#include "CaseBuilder.h"
#include "KernelCompile.h"

#include "dsv2rt/CaseRunner.h"

#include <memory>
#include <random>

namespace mlir::dsv2::test {

/// Cases of kernels on the emulator, whose checks are on: races, bounds,
/// lifetimes. With DSV2_DUMP_CASES=FOLDER in the environment they are written
/// there too, to be run on a device, with machine code, for which there has to
/// be a ptxas, or as DSV2_DUMP_CASES_CODE=bitcode for the emulator.
class KernelRun : public ::dsv2::test::EmulatorTest {
protected:
  void SetUp() override;

  /// Kernels for `chip`, as compileKernel makes them, without cases; nothing,
  /// and failures of the test, if that does not work.
  std::shared_ptr<::dsv2rt::KernelCases>
  compileCases(const std::string &chip,
               const std::function<void(ModuleOp)> &build);

  /// Runs all cases with so many seeds each, and records them. Every seed has
  /// to give the same, bit by bit, with `sameBits`.
  void runCases(const std::shared_ptr<::dsv2rt::KernelCases> &cases,
                int seeds = 1, bool sameBits = false);

  /// Runs the first case with so many seeds and returns why each run failed, ""
  /// for one that did not. For kernels that something was done to.
  std::vector<std::string>
  getFailures(const std::shared_ptr<::dsv2rt::KernelCases> &cases, int seeds);

  // What is not worth a case, step by step.

  /// A kernel of an image in the emulator.
  struct Loaded {
    CUfunction function = nullptr;
    unsigned threads = 0, sharedBytes = 0;
  };
  Loaded loadKernel(const DeviceCode &code);

  /// Launches and expects no report.
  template <typename... Values>
  void run(const Loaded &kernel, unsigned x, unsigned y, Values... values) {
    Shape shape;
    shape.grid[0] = x;
    shape.grid[1] = y;
    shape.block[0] = kernel.threads;
    shape.shared = kernel.sharedBytes;
    CUresult error = launch(kernel.function, shape, values...);
    EXPECT_EQ(error, CUDA_SUCCESS) << report();
    if (error != CUDA_SUCCESS)
      clear();
  }

private:
  std::shared_ptr<::dsv2rt::Device> device;
};

/// bf16 numbers as f32, normally distributed.
std::vector<float> randomBF16(size_t count, uint32_t seed, float scale = 1);
std::vector<uint16_t> toBF16(const std::vector<float> &values);
std::vector<float> fromBF16(const std::vector<uint16_t> &bits);

/// Expects that each element differs by at most `absolute` plus `relative`
/// times its magnitude. Reports the worst.
void expectClose(const std::vector<float> &actual,
                 const std::vector<float> &expected, float absolute,
                 float relative, const std::string &what);

} // namespace mlir::dsv2::test

#endif // DSV2_TEST_UNIT_GPU_KERNELRUN_H
