//===- ResidentWeights.cpp - packed weights on a device -------------------===//
//
// Part of dsv2, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "ResidentWeights.h"

#include <cstring>

using namespace dsv2rt;
using namespace dsv2rt::cuda;

namespace {

/// Copies through two pinned buffers: while the device reads one, the host
/// fills the other from the mapped file.
class Upload {
public:
  Upload(const std::shared_ptr<Context> &context, int64_t total,
         const std::function<void(int64_t, int64_t)> &progress)
      : context(context), progress(progress), total(total) {}

  Status begin();
  Status copy(CUdeviceptr to, const void *from, int64_t bytes,
              const std::string &slot);
  Status finish();

private:
  /// Large enough that the start of a copy does not count.
  static constexpr int64_t chunk = 16 << 20;

  struct Buffer {
    PinnedMemory memory;
    EventHandle free;
    bool used = false;
  };

  const std::shared_ptr<Context> &context;
  const std::function<void(int64_t, int64_t)> &progress;
  int64_t total, done = 0;
  StreamHandle stream;
  Buffer buffers[2];
  int next = 0;
};

} // namespace

Status Upload::begin() {
  Expected<StreamHandle> made = makeStream(context);
  if (!made.ok())
    return made.status();
  stream = std::move(made.value());
  for (Buffer &buffer : buffers) {
    Expected<EventHandle> event = makeEvent(context, /*timing=*/false);
    if (!event.ok())
      return event.status();
    buffer.free = std::move(event.value());
    Status status = buffer.memory.reserve(context, std::min(chunk, total),
                                          "copying the weights");
    if (!status.ok())
      return status;
  }
  return Status();
}

Status Upload::copy(CUdeviceptr to, const void *from, int64_t bytes,
                    const std::string &slot) {
  const Driver &driver = context->driver();
  auto what = [&] { return "copying weight slot " + quote(slot); };
  for (int64_t at = 0; at < bytes;) {
    int64_t now = std::min(chunk, bytes - at);
    Buffer &buffer = buffers[next];
    next = 1 - next;
    Status status;
    if (buffer.used)
      status =
          context->call(driver.cuEventSynchronize, what, buffer.free.get());
    if (!status.ok())
      return status;
    std::memcpy(buffer.memory.data(), static_cast<const char *>(from) + at,
                size_t(now));
    status =
        context->call(driver.cuMemcpyHtoDAsync_v2, what, to + CUdeviceptr(at),
                      buffer.memory.data(), size_t(now), stream.get());
    if (status.ok())
      status = context->call(driver.cuEventRecord, what, buffer.free.get(),
                             stream.get());
    if (!status.ok())
      return status;
    buffer.used = true;
    at += now;
    done += now;
    if (progress)
      progress(done, total);
  }
  return Status();
}

Status Upload::finish() {
  return context->call(context->driver().cuStreamSynchronize,
                       "waiting for the weights", stream.get());
}

Expected<std::shared_ptr<const ResidentWeights>> ResidentWeights::upload(
    const std::shared_ptr<Context> &context, const Manifest &manifest,
    const PackedWeights &weights,
    const std::function<void(int64_t done, int64_t total)> &progress) {
  std::shared_ptr<ResidentWeights> resident(new ResidentWeights());
  resident->digest = weights.key();
  int64_t total = 0;
  for (const Manifest::Slot &slot : manifest.slots)
    total += slot.totalBytes();
  Status status = resident->memory.reserve(
      context, uint64_t(manifest.packedBytes()), "the weights");
  Upload upload(context, total, progress);
  if (status.ok() && total)
    status = upload.begin();
  std::vector<int64_t> offsets = manifest.slotOffsets();
  for (size_t i = 0; status.ok() && i < manifest.slots.size(); ++i) {
    const Manifest::Slot &slot = manifest.slots[i];
    CUdeviceptr place = resident->memory.address() + CUdeviceptr(offsets[i]);
    resident->bases.push_back(reinterpret_cast<void *>(place));
    status =
        upload.copy(place, weights.slots()[i], slot.totalBytes(), slot.name);
  }
  if (status.ok() && total)
    status = upload.finish();
  if (!status.ok())
    return status;
  return std::shared_ptr<const ResidentWeights>(std::move(resident));
}
