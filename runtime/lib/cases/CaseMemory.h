//===- CaseMemory.h - the buffers of a case on a device ---------*- C++ -*-===//
//
// Part of dsv2, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef DSV2RT_LIB_CASES_CASEMEMORY_H
#define DSV2RT_LIB_CASES_CASEMEMORY_H

#include "Handles.h"
#include "dsv2rt/KernelCases.h"

#include <memory>
#include <vector>

namespace dsv2rt {

/// The buffers of a case, in device memory. All functions wait for the device.
class CaseMemory {
public:
  CaseMemory(std::shared_ptr<cuda::Context> context, CUstream stream)
      : context(std::move(context)), stream(stream) {}

  /// Makes room for all buffers and puts into them what they hold at first.
  Status fill(const KernelCase &item);

  /// Makes room for all buffers and copies what is in those of `other`, which
  /// belong to the same case.
  Status copy(const KernelCase &item, const CaseMemory &other);

  CUdeviceptr address(int64_t buffer) const {
    return memory[size_t(buffer)].address();
  }

  /// Copies a buffer to the host.
  Status download(const KernelCase &item, int64_t buffer,
                  std::vector<uint8_t> &bytes) const;

private:
  Status reserve(const KernelCase &item);
  Status put(const CaseBuffer &buffer, CUdeviceptr base, const CaseFill &fill);
  Status wait(const char *what) const;

  std::shared_ptr<cuda::Context> context;
  CUstream stream;
  std::vector<cuda::DeviceMemory> memory;
};

} // namespace dsv2rt

#endif // DSV2RT_LIB_CASES_CASEMEMORY_H
