//===- DirectMemory.h - collectives where the data is -----------*- C++ -*-===//
//
// Part of dsv2, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef DSV2RT_LIB_CUDA_DIRECTMEMORY_H
#define DSV2RT_LIB_CUDA_DIRECTMEMORY_H

#include "Staging.h"

namespace dsv2rt::cuda {

/// For collectives of NCCL, which take addresses of the device and are put into
/// the stream: what is exchanged stays where it is. Only numbers of rows are
/// brought to the host, which has to know them.
class DirectMemory final : public Staging {
public:
  using Staging::Staging;

  Expected<void *> fetch(Place place, const void *data, int64_t bytes) override;
  Status wait() override;
  Expected<void *> prepare(Place place, void *data, int64_t bytes) override;
  Status store(Place place, void *data, int64_t bytes) override;
  Expected<void *> scratch(int64_t bytes) override;
  Status copyRows(void *to, int64_t toStride, const void *from, int64_t rows,
                  int64_t rowBytes) override;
  Status fork(const Communicator &group) override { return stream.fork(group); }
  Status rejoin(const Communicator &group) override {
    return stream.rejoin(group);
  }
  Status exchanged(const Communicator &group) override;

private:
  static bool isForHost(Place place) {
    return place == Place::SendRows || place == Place::ReceiveRows;
  }

  /// Whether something is on its way to the host.
  bool fetching = false;
  DeviceMemory gathered;
};

} // namespace dsv2rt::cuda

#endif // DSV2RT_LIB_CUDA_DIRECTMEMORY_H
