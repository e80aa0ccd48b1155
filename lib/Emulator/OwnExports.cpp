//===- OwnExports.cpp - what the driver's interface has no room for -------===//
//
// Part of dsv2, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "Device.h"
#include "dsv2/Emulator/Emulator.h"

using namespace dsv2::emulator;

#define DSV2_EXPORT extern "C" __attribute__((visibility("default")))

DSV2_EXPORT int dsv2_emulator_set_options(const char *options) {
  Device &device = Device::get();
  std::lock_guard<std::recursive_mutex> guard(device.lock);
  std::string problem = parseOptions(options, device.options);
  if (problem.empty())
    return 0;
  device.report = reportLine(Kind::Option, problem);
  return -1;
}

DSV2_EXPORT const char *dsv2_emulator_report(void) {
  Device &device = Device::get();
  std::lock_guard<std::recursive_mutex> guard(device.lock);
  return device.report.c_str();
}

DSV2_EXPORT void dsv2_emulator_clear_error(void) {
  Device &device = Device::get();
  std::lock_guard<std::recursive_mutex> guard(device.lock);
  device.sticky = CUDA_SUCCESS;
  device.report.clear();
}

DSV2_EXPORT void dsv2_emulator_get_counters(dsv2_emulator_counters *counters) {
  Device &device = Device::get();
  std::lock_guard<std::recursive_mutex> guard(device.lock);
  *counters = machine().counters;
}

DSV2_EXPORT void dsv2_emulator_reset_counters(void) {
  Device &device = Device::get();
  std::lock_guard<std::recursive_mutex> guard(device.lock);
  machine().counters = {};
}
