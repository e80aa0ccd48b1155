//===- Ceilings.h - what a device can do at most ----------------*- C++ -*-===//
//
// Part of dsv2, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef DSV2_TOOLS_DSV2_GPU_CHECK_CEILINGS_H
#define DSV2_TOOLS_DSV2_GPU_CHECK_CEILINGS_H

#include "dsv2rt/Device.h"

#include <string>

namespace dsv2check {

/// Measured in the same run, as clocks and power limits differ from card to
/// card and from day to day.
struct Ceilings {
  /// Bytes a second that a copy within the device's memory reads and writes.
  double copyRate = 0;
  /// Operations a second of a large bf16 product of the vendor's library, or 0.
  double productRate = 0;
  /// Where productRate is from, or why there is none.
  std::string productText;
};

/// Measures them. `cublas` is a file, or empty: libcublas.so.13 or .12, where
/// the loader finds it. That there is none is no failure.
dsv2rt::Expected<Ceilings> measureCeilings(const dsv2rt::Device &device,
                                           const std::string &cublas);

} // namespace dsv2check

#endif // DSV2_TOOLS_DSV2_GPU_CHECK_CEILINGS_H
