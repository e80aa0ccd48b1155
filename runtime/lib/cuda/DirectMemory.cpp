//===- DirectMemory.cpp - collectives where the data is -------------------===//
//
// Part of dsv2, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "DirectMemory.h"

using namespace dsv2rt;
using namespace dsv2rt::cuda;

Expected<void *> DirectMemory::fetch(Place place, const void *data,
                                     int64_t bytes) {
  if (!isForHost(place))
    return const_cast<void *>(data);
  fetching = true;
  return Staging::fetch(place, data, bytes);
}

Status DirectMemory::wait() {
  if (!fetching)
    return Status();
  fetching = false;
  return Staging::wait();
}

Expected<void *> DirectMemory::prepare(Place, void *data, int64_t) {
  return data;
}

Status DirectMemory::store(Place, void *, int64_t) { return Status(); }

Expected<void *> DirectMemory::scratch(int64_t bytes) {
  if (uint64_t(bytes) > gathered.size()) {
    // An exchange may still use what is to be given back, and the driver would
    // wait for it without a deadline.
    Status status = Staging::wait();
    if (status.ok())
      status = gathered.reserve(stream.context(), uint64_t(bytes), at());
    if (!status.ok())
      return status;
  }
  return gathered.pointer();
}

Status DirectMemory::copyRows(void *to, int64_t toStride, const void *from,
                              int64_t rows, int64_t rowBytes) {
  if (!rows || !rowBytes)
    return Status();
  CUDA_MEMCPY2D copy = {};
  copy.srcMemoryType = copy.dstMemoryType = CU_MEMORYTYPE_DEVICE;
  copy.srcDevice = reinterpret_cast<CUdeviceptr>(from);
  copy.srcPitch = size_t(rowBytes);
  copy.dstDevice = reinterpret_cast<CUdeviceptr>(to);
  copy.dstPitch = size_t(toStride);
  copy.WidthInBytes = size_t(rowBytes);
  copy.Height = size_t(rows);
  const std::shared_ptr<Context> &context = stream.context();
  return context->call(
      context->driver().cuMemcpy2DAsync_v2,
      [&] { return "laying out what has come by " + at(); }, &copy,
      stream.get());
}

Status DirectMemory::exchanged(const Communicator &group) {
  return stream.exchanged(group);
}
