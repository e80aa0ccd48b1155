//===- KernelRun.cpp - Kernels on the emulator ----------------------------===//
//
// Part of dsv2, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "KernelRun.h"

#include <cmath>

using namespace mlir::dsv2;

test::KernelRun::Loaded test::KernelRun::loadKernel(const DeviceCode &code) {
  Loaded result;
  llvm::SmallVector<char, 0> bitcode = code.getBitcode();
  CUmodule module = nullptr;
  CUresult error =
      emulator.cuModuleLoadDataEx(&module, bitcode.data(), 0, nullptr, nullptr);
  EXPECT_EQ(error, CUDA_SUCCESS) << report();
  if (error != CUDA_SUCCESS)
    return result;
  const KernelInfo &info = code.getKernels().front();
  result.function = function(module, info.name);
  result.threads = info.getThreads();
  result.sharedBytes = info.dynamicSharedBytes;
  if (result.sharedBytes > 48 * 1024)
    EXPECT_EQ(emulator.cuFuncSetAttribute(
                  result.function,
                  CU_FUNC_ATTRIBUTE_MAX_DYNAMIC_SHARED_SIZE_BYTES,
                  result.sharedBytes),
              CUDA_SUCCESS)
        << report();
  return result;
}

CUtensorMap test::KernelRun::tensorMap(CUdeviceptr address,
                                       std::vector<uint64_t> sizes,
                                       std::vector<uint32_t> box,
                                       int64_t swizzle) {
  CUtensorMap map;
  size_t rank = sizes.size();
  std::vector<uint64_t> dims(sizes.rbegin(), sizes.rend()), strides;
  std::vector<uint32_t> boxDims(box.rbegin(), box.rend()), ones(rank, 1);
  CUtensorMapSwizzle mode = swizzle == 128  ? CU_TENSOR_MAP_SWIZZLE_128B
                            : swizzle == 64 ? CU_TENSOR_MAP_SWIZZLE_64B
                                            : CU_TENSOR_MAP_SWIZZLE_32B;
  uint64_t stride = 2;
  for (size_t i = 0; i + 1 < rank; ++i)
    strides.push_back(stride *= dims[i]);
  // A tensor of no elements cannot be described; a launch on none reads none.
  for (uint64_t &dim : dims)
    dim = std::max<uint64_t>(dim, 1);
  EXPECT_EQ(emulator.cuTensorMapEncodeTiled(
                &map, CU_TENSOR_MAP_DATA_TYPE_BFLOAT16, rank,
                reinterpret_cast<void *>(address), dims.data(), strides.data(),
                boxDims.data(), ones.data(), CU_TENSOR_MAP_INTERLEAVE_NONE,
                mode, CU_TENSOR_MAP_L2_PROMOTION_NONE,
                CU_TENSOR_MAP_FLOAT_OOB_FILL_NONE),
            CUDA_SUCCESS)
      << report();
  return map;
}

std::vector<float> test::randomBF16(size_t count, uint32_t seed, float scale) {
  std::mt19937 random(seed);
  std::normal_distribution<float> normal(0, scale);
  std::vector<float> values(count);
  for (float &value : values)
    value = ::dsv2::test::fromBf16(::dsv2::test::bf16(normal(random)));
  return values;
}

std::vector<uint16_t> test::toBF16(const std::vector<float> &values) {
  std::vector<uint16_t> bits;
  for (float value : values)
    bits.push_back(::dsv2::test::bf16(value));
  return bits;
}

std::vector<float> test::fromBF16(const std::vector<uint16_t> &bits) {
  std::vector<float> values;
  for (uint16_t value : bits)
    values.push_back(::dsv2::test::fromBf16(value));
  return values;
}

void test::expectClose(const std::vector<float> &actual,
                       const std::vector<float> &expected, float absolute,
                       float relative, const std::string &what) {
  ASSERT_EQ(actual.size(), expected.size()) << what;
  size_t worst = 0, wrong = 0;
  double worstExcess = 0;
  for (size_t i = 0; i < actual.size(); ++i) {
    double difference = std::fabs(double(actual[i]) - expected[i]);
    double allowed = absolute + relative * std::fabs(expected[i]);
    if (difference <= allowed)
      continue;
    ++wrong;
    if (!(difference / allowed <= worstExcess)) {
      worstExcess = difference / allowed;
      worst = i;
    }
  }
  EXPECT_EQ(wrong, 0u) << what << ": of " << actual.size()
                       << " elements; the worst is number " << worst << ": "
                       << actual[worst] << " instead of " << expected[worst];
}
