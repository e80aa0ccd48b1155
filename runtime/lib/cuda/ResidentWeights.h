//===- ResidentWeights.h - packed weights on a device -----------*- C++ -*-===//
//
// Part of dsv2, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef DSV2RT_LIB_CUDA_RESIDENTWEIGHTS_H
#define DSV2RT_LIB_CUDA_RESIDENTWEIGHTS_H

#include "Handles.h"
#include "dsv2rt/PackedWeights.h"

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

namespace dsv2rt::cuda {

/// A copy of packed weights in a device's memory.
class ResidentWeights {
public:
  /// Copies the slots, which lie as in the packed file. `progress` is called
  /// with the bytes copied so far and in total. Errors: OutOfMemory with the
  /// bytes required and available; those of the driver.
  static Expected<std::shared_ptr<const ResidentWeights>>
  upload(const std::shared_ptr<Context> &context, const Manifest &manifest,
         const PackedWeights &weights,
         const std::function<void(int64_t done, int64_t total)> &progress);

  /// Device address of each slot of the manifest.
  const std::vector<void *> &slots() const { return bases; }

  /// The key of what was copied.
  const std::string &key() const { return digest; }

private:
  ResidentWeights() = default;

  DeviceMemory memory;
  std::vector<void *> bases;
  std::string digest;
};

} // namespace dsv2rt::cuda

#endif // DSV2RT_LIB_CUDA_RESIDENTWEIGHTS_H
