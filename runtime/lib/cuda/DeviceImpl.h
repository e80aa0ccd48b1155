//===- DeviceImpl.h - what an open device holds -----------------*- C++ -*-===//
//
// Part of dsv2, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef DSV2RT_LIB_CUDA_DEVICEIMPL_H
#define DSV2RT_LIB_CUDA_DEVICEIMPL_H

#include "ResidentWeights.h"
#include "dsv2rt/Device.h"

#include <functional>
#include <memory>
#include <mutex>

namespace dsv2rt {

struct Device::Impl {
  std::shared_ptr<cuda::Context> context;

  /// True when a session would find these weights here; others that no session
  /// uses make room.
  bool holds(const PackedWeights &weights);

  /// The weights here, copied when they are not; see ResidentWeights::upload.
  Expected<std::shared_ptr<const cuda::ResidentWeights>>
  weightsFor(const Manifest &manifest, const PackedWeights &weights,
             const std::function<void(int64_t, int64_t)> &progress);

  void forgetWeights() {
    std::lock_guard<std::mutex> lock(mutex);
    resident.reset();
  }

private:
  std::mutex mutex;
  /// What was copied last.
  std::shared_ptr<const cuda::ResidentWeights> resident;
};

} // namespace dsv2rt

#endif // DSV2RT_LIB_CUDA_DEVICEIMPL_H
