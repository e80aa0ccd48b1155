//===- Staging.cpp - collectives by way of the host's memory --------------===//
//
// Part of dsv2, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "Staging.h"

using namespace dsv2rt;
using namespace dsv2rt::cuda;

static CUdeviceptr addressOf(const void *data) {
  return reinterpret_cast<CUdeviceptr>(data);
}

std::string Staging::at() const {
  return strCat("the exchange ", quote(site.name), " of layer ", site.layer);
}

Status Staging::reserve(Place place, int64_t bytes) {
  PinnedMemory &to = memoryOf(place);
  if (uint64_t(bytes) <= to.size())
    return Status();
  // A copy to the device may still read what is to be given back.
  Status status = Staging::wait();
  return status.ok() ? to.reserve(stream.context(), uint64_t(bytes), at())
                     : status;
}

Expected<void *> Staging::fetch(Place place, const void *data, int64_t bytes) {
  Status status = reserve(place, bytes);
  if (status.ok() && bytes)
    status = stream.context()->call(
        driver().cuMemcpyDtoHAsync_v2,
        [&] { return "copying to the host for " + at(); },
        memoryOf(place).data(), addressOf(data), size_t(bytes), stream.get());
  if (!status.ok())
    return status;
  return memoryOf(place).data();
}

Status Staging::wait() {
  return stream.wait([&] { return "waiting for what comes before " + at(); });
}

Expected<void *> Staging::prepare(Place place, void *, int64_t bytes) {
  Status status = reserve(place, bytes);
  if (!status.ok())
    return status;
  return memoryOf(place).data();
}

Status Staging::store(Place place, void *data, int64_t bytes) {
  if (!bytes)
    return Status();
  return stream.context()->call(
      driver().cuMemcpyHtoDAsync_v2,
      [&] { return "copying to the device after " + at(); }, addressOf(data),
      memoryOf(place).data(), size_t(bytes), stream.get());
}

void Staging::clear(void *data, int64_t bytes) {
  // The step has failed already, maybe because the device has.
  (void)stream.context()->call(driver().cuMemsetD8Async, "clearing memory",
                               addressOf(data), 0, size_t(bytes), stream.get());
}
