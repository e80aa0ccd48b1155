//===- Handles.cpp - what the driver gives out ----------------------------===//
//
// Part of dsv2, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "Handles.h"

using namespace dsv2rt;
using namespace dsv2rt::cuda;

Expected<StreamHandle>
cuda::makeStream(const std::shared_ptr<Context> &context) {
  CUstream stream = nullptr;
  Status status =
      context->call(context->driver().cuStreamCreate, "making a stream",
                    &stream, CU_STREAM_NON_BLOCKING);
  if (!status.ok())
    return status;
  return StreamHandle(context, stream);
}

Expected<EventHandle> cuda::makeEvent(const std::shared_ptr<Context> &context,
                                      bool timing) {
  CUevent event = nullptr;
  Status status =
      context->call(context->driver().cuEventCreate, "making an event", &event,
                    timing ? CU_EVENT_DEFAULT : CU_EVENT_DISABLE_TIMING);
  if (!status.ok())
    return status;
  return EventHandle(context, event);
}

Status DeviceMemory::reserve(const std::shared_ptr<Context> &context,
                             uint64_t wanted, const std::string &purpose) {
  if (wanted <= bytes)
    return Status();
  // The old memory first, so that both need not fit.
  memory.reset();
  bytes = 0;
  CUdeviceptr address = 0;
  Status status = context->call(
      context->driver().cuMemAlloc_v2,
      [&] { return strCat("reserving memory for ", purpose); }, &address,
      size_t(wanted));
  if (status.ok()) {
    memory = {context, address};
    bytes = wanted;
    return status;
  }
  size_t available = 0, total = 0;
  if (!context->memory(available, total).ok())
    return makeError(status.code(), status.message(), "; required ",
                     bytesText(wanted));
  return makeError(status.code(), status.message(), "; required ",
                   bytesText(wanted), ", available ", bytesText(available),
                   " of ", bytesText(total));
}

Status PinnedMemory::reserve(const std::shared_ptr<Context> &context,
                             uint64_t wanted, const std::string &purpose) {
  if (wanted <= bytes)
    return Status();
  memory.reset();
  bytes = 0;
  void *address = nullptr;
  Status status = context->call(
      context->driver().cuMemHostAlloc,
      [&] {
        return strCat("reserving ", bytesText(wanted), " of the host's memory ",
                      "for ", purpose);
      },
      &address, size_t(wanted), 0u);
  if (status.ok()) {
    memory = {context, address};
    bytes = wanted;
  }
  return status;
}
