//===- KernelRun.h - Kernels on the emulator --------------------*- C++ -*-===//
//
// Part of dsv2, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef DSV2_TEST_UNIT_GPU_KERNELRUN_H
#define DSV2_TEST_UNIT_GPU_KERNELRUN_H

#include "../Emulator/EmulatorTest.h"
#include "KernelCompile.h"

#include <random>

namespace mlir::dsv2::test {

/// Kernels on the emulator, whose checks are on: races, bounds, lifetimes.
class KernelRun : public ::dsv2::test::EmulatorTest {
protected:
  /// A kernel of an image in the emulator.
  struct Loaded {
    CUfunction function = nullptr;
    unsigned threads = 0, sharedBytes = 0;
  };
  Loaded loadKernel(const DeviceCode &code);

  /// A bf16 tensor, dimensions outermost first, as boxes with a swizzle of 32,
  /// 64 or 128 bytes.
  CUtensorMap tensorMap(CUdeviceptr address, std::vector<uint64_t> sizes,
                        std::vector<uint32_t> box, int64_t swizzle = 128);

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
