//===- CaseMemory.cpp - the buffers of a case on a device -----------------===//
//
// Part of dsv2, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "CaseMemory.h"

#include <algorithm>
#include <cstring>

using namespace dsv2rt;
using namespace dsv2rt::cuda;

Status CaseMemory::wait(const char *what) const {
  return context->call(context->driver().cuStreamSynchronize, what, stream);
}

Status CaseMemory::reserve(const KernelCase &item) {
  memory.clear();
  memory.resize(item.buffers.size());
  Status status;
  for (size_t i = 0; status.ok() && i < item.buffers.size(); ++i)
    status = memory[i].reserve(context, uint64_t(item.buffers[i].bytes),
                               "buffer " + quote(item.buffers[i].name));
  return status;
}

Status CaseMemory::put(const CaseBuffer &buffer, CUdeviceptr base,
                       const CaseFill &fill) {
  const Driver &driver = context->driver();
  auto what = [&] { return "filling buffer " + quote(buffer.name); };
  CUdeviceptr to = base + CUdeviceptr(fill.offset);
  // The first bytes from the host, the rest copied on the device: always from
  // the start, as much as there is, until the end.
  auto putAndRepeat = [&](const std::vector<uint8_t> &bytes) {
    int64_t made = int64_t(bytes.size()), all = fill.bytes();
    Status status = context->call(driver.cuMemcpyHtoDAsync_v2, what, to,
                                  bytes.data(), bytes.size(), stream);
    while (status.ok() && made < all) {
      int64_t more = std::min(made, all - made);
      status = context->call(driver.cuMemcpyDtoDAsync_v2, what,
                             to + CUdeviceptr(made), to, size_t(more), stream);
      made += more;
    }
    return status.ok() ? wait("filling a buffer") : status;
  };
  if (!fill.data.empty())
    return putAndRepeat(fill.data);
  // One period of random numbers.
  int64_t bytes = elementBytes(fill.element);
  int64_t first = fill.offset / bytes;
  std::vector<uint8_t> staging(
      size_t(std::min(fill.count, kCasePeriod) * bytes));
  for (size_t i = 0; i < staging.size() / size_t(bytes); ++i) {
    float value = caseNumber(fill.seed, fill.scale, first + int64_t(i));
    if (fill.element == CaseElement::BF16) {
      uint16_t half = toBFloat16(value);
      std::memcpy(&staging[i * 2], &half, 2);
    } else {
      std::memcpy(&staging[i * 4], &value, 4);
    }
  }
  return putAndRepeat(staging);
}

Status CaseMemory::fill(const KernelCase &item) {
  Status status = reserve(item);
  for (size_t i = 0; status.ok() && i < item.buffers.size(); ++i) {
    const CaseBuffer &buffer = item.buffers[i];
    CUdeviceptr base = memory[i].address();
    status = context->call(
        context->driver().cuMemsetD8Async,
        [&] { return "clearing buffer " + quote(buffer.name); }, base,
        buffer.background, size_t(buffer.bytes), stream);
    for (const CaseFill &fill : buffer.fills)
      if (status.ok())
        status = put(buffer, base, fill);
  }
  return status.ok() ? wait("filling the buffers") : status;
}

Status CaseMemory::copy(const KernelCase &item, const CaseMemory &other) {
  Status status = reserve(item);
  for (size_t i = 0; status.ok() && i < item.buffers.size(); ++i)
    status = context->call(
        context->driver().cuMemcpyDtoDAsync_v2,
        [&] { return "copying buffer " + quote(item.buffers[i].name); },
        memory[i].address(), other.memory[i].address(),
        size_t(item.buffers[i].bytes), stream);
  return status.ok() ? wait("copying the buffers") : status;
}

Status CaseMemory::download(const KernelCase &item, int64_t buffer,
                            std::vector<uint8_t> &bytes) const {
  const CaseBuffer &facts = item.buffers[size_t(buffer)];
  bytes.resize(size_t(facts.bytes));
  auto what = [&] { return "reading buffer " + quote(facts.name); };
  Status status =
      context->call(context->driver().cuMemcpyDtoHAsync_v2, what, bytes.data(),
                    address(buffer), bytes.size(), stream);
  return status.ok() ? wait("reading a buffer") : status;
}
