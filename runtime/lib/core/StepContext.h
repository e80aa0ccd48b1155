//===- StepContext.h - what compiled code calls back ------------*- C++ -*-===//
//
// Part of dsv2, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef DSV2RT_LIB_CORE_STEPCONTEXT_H
#define DSV2RT_LIB_CORE_STEPCONTEXT_H

#include "TapSink.h"

#include <cstdint>

namespace dsv2rt {

class StepCollectives;

/// The op of a model that a launch is of: an index into
/// DeviceManifest::sites, and a layer. -1: not known, or of no layer.
struct LaunchSite {
  int32_t site = -1;
  int64_t layer = -1;
};

/// What the `context` of a step points to: the receiver of the calls of
/// abi.def.
class StepContext : public TapSink {
public:
  /// Starts a kernel; the arguments are those of dsv2rt_launch.
  virtual void launch(int32_t kernel, int32_t gridX, int32_t gridY,
                      int32_t gridZ, void **parameters, LaunchSite site) = 0;
  /// A fact about the device, as of dsv2rt_device_info.
  virtual int64_t deviceInfo(int32_t property) const = 0;
  /// Rows of keys, as of dsv2rt_key_rows; the host's attention has none.
  virtual int64_t keyRows() const { return 0; }
  /// What exchanges data with other ranks. Null, and remembered as a failure of
  /// the step, where that is not possible.
  virtual StepCollectives *collectives() = 0;
};

} // namespace dsv2rt

#endif // DSV2RT_LIB_CORE_STEPCONTEXT_H
