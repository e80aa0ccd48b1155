//===- DriverCall.h - what the functions of the driver share ----*- C++ -*-===//
//
// Part of dsv2, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef DSV2_LIB_EMULATOR_DRIVERCALL_H
#define DSV2_LIB_EMULATOR_DRIVERCALL_H

#include "Device.h"

#define DSV2_EXPORT extern "C" __attribute__((visibility("default")))

// The declarations, so that a definition that differs does not compile.
#define DSV2_CUDA_FUNCTION(symbol, parameters)                                 \
  DSV2_EXPORT CUresult symbol parameters;
#include "dsv2rt/cuda/DriverApi.def"

namespace dsv2::emulator {

/// What every function starts with: the device, locked.
struct Call {
  Device &device = Device::get();
  std::lock_guard<std::recursive_mutex> guard{device.lock};

  /// An error that makes the call pointless.
  CUresult error(bool needsContext = true) const {
    if (!device.initialised)
      return CUDA_ERROR_NOT_INITIALIZED;
    if (needsContext && device.contextUses == 0)
      return CUDA_ERROR_INVALID_CONTEXT;
    return device.sticky;
  }
};

} // namespace dsv2::emulator

#define DSV2_BEGIN(...)                                                        \
  Call call;                                                                   \
  Device &device = call.device;                                                \
  (void)device;                                                                \
  if (CUresult error = call.error(__VA_ARGS__))                                \
  return error

#endif // DSV2_LIB_EMULATOR_DRIVERCALL_H
