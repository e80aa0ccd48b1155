//===- Cublas.h - a product of the vendor's library, timed ------*- C++ -*-===//
//
// Part of dsv2, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef DSV2_TOOLS_DSV2_GPU_CHECK_CUBLAS_H
#define DSV2_TOOLS_DSV2_GPU_CHECK_CUBLAS_H

#include "dsv2rt/Device.h"

#include <string>

namespace dsv2check {

struct ProductRate {
  double operationsPerSecond = 0;
  /// The library, and what it computed.
  std::string text;
};

/// Times a bf16 product of 8192 x 8192 x 8192 with sums in f32, of random
/// numbers, by cublasGemmEx of the library `path`, or of the first of
/// libcublas.so.13 and .12 that the loader finds. Errors: NotFound without a
/// library; DeviceError with the library's status.
dsv2rt::Expected<ProductRate> measureCublas(const dsv2rt::Device &device,
                                            const std::string &path);

} // namespace dsv2check

#endif // DSV2_TOOLS_DSV2_GPU_CHECK_CUBLAS_H
