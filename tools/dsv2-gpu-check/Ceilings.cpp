//===- Ceilings.cpp - what a device can do at most ------------------------===//
//
// Part of dsv2, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "Ceilings.h"
#include "Cublas.h"

#include <algorithm>

using namespace dsv2rt;
using namespace dsv2check;

Expected<Ceilings> dsv2check::measureCeilings(const Device &device,
                                              const std::string &cublas) {
  Ceilings result;
  Expected<int64_t> available = device.availableMemory();
  if (!available.ok())
    return available.status();
  int64_t most = int64_t(1) << (device.info().emulated ? 24 : 30);
  Expected<double> rate =
      device.measureCopyRate(std::min(most, available.value() / 4));
  if (!rate.ok())
    return rate.status();
  // Bytes that are read and bytes that are written.
  result.copyRate = 2 * rate.value();
  if (device.info().emulated) {
    result.productText = "not measured on the emulator";
    return result;
  }
  Expected<ProductRate> product = measureCublas(device, cublas);
  if (!product.ok()) {
    result.productText = product.status().message();
    return result;
  }
  result.productRate = product.value().operationsPerSecond;
  result.productText = product.value().text;
  return result;
}
