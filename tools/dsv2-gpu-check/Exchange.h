//===- Exchange.h - one rank exchanges with itself --------------*- C++ -*-===//
//
// Part of dsv2, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef DSV2_TOOLS_DSV2_GPU_CHECK_EXCHANGE_H
#define DSV2_TOOLS_DSV2_GPU_CHECK_EXCHANGE_H

#include "dsv2rt/Device.h"

#include <cstdint>
#include <string>

namespace dsv2check {

struct ExchangeReport {
  int64_t operations = 0;
  int64_t bytes = 0;
};

/// Calls every operation of a communicator of one rank, by NCCL, with buffers
/// in the device's memory and sizes from nothing to 16 MiB, and compares what
/// comes back. Needs a single device. Errors: those of
/// NcclCommunicator::create(); Mismatch, which names operation and size;
/// DeviceError.
dsv2rt::Expected<ExchangeReport> checkExchange(const dsv2rt::Device &device);

} // namespace dsv2check

#endif // DSV2_TOOLS_DSV2_GPU_CHECK_EXCHANGE_H
