//===- WorkExports.cpp - memory, streams and graphs of the driver ---------===//
//
// Part of dsv2, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// As in DriverExports.cpp: what the CUDA Driver API reference says.
//
//===----------------------------------------------------------------------===//

#include "DriverCall.h"

#include <algorithm>
#include <cstring>

using namespace dsv2::emulator;

//===----------------------------------------------------------------------===//
// Memory
//===----------------------------------------------------------------------===//

DSV2_EXPORT CUresult cuMemGetInfo_v2(size_t *available, size_t *total) {
  DSV2_BEGIN();
  *total = device.options.memory << 20;
  *available = *total - std::min(*total, device.memory().deviceBytes());
  return CUDA_SUCCESS;
}

DSV2_EXPORT CUresult cuMemAlloc_v2(CUdeviceptr *address, size_t bytes) {
  DSV2_BEGIN();
  if (bytes == 0)
    return CUDA_ERROR_INVALID_VALUE;
  if (bytes > (device.options.memory << 20) - device.memory().deviceBytes())
    return CUDA_ERROR_OUT_OF_MEMORY;
  void *memory = device.memory().allocate(bytes, Memory::Use::Device);
  *address = reinterpret_cast<CUdeviceptr>(memory);
  return memory ? CUDA_SUCCESS : CUDA_ERROR_OUT_OF_MEMORY;
}

DSV2_EXPORT CUresult cuMemFree_v2(CUdeviceptr address) {
  DSV2_BEGIN();
  if (address == 0)
    return CUDA_SUCCESS;
  return device.memory().release(reinterpret_cast<void *>(address),
                                 Memory::Use::Device)
             ? CUDA_SUCCESS
             : CUDA_ERROR_INVALID_VALUE;
}

DSV2_EXPORT CUresult cuMemHostAlloc(void **address, size_t bytes, unsigned) {
  DSV2_BEGIN();
  if (bytes == 0)
    return CUDA_ERROR_INVALID_VALUE;
  *address = device.memory().allocate(bytes, Memory::Use::Host);
  return *address ? CUDA_SUCCESS : CUDA_ERROR_OUT_OF_MEMORY;
}

DSV2_EXPORT CUresult cuMemFreeHost(void *address) {
  DSV2_BEGIN();
  return device.memory().release(address, Memory::Use::Host)
             ? CUDA_SUCCESS
             : CUDA_ERROR_INVALID_VALUE;
}

/// A copy whose device sides have to be allocated memory.
static CUresult copy(Device &device, void *to, bool toDevice, const void *from,
                     bool fromDevice, size_t bytes, CUstream stream) {
  auto known = [&](const void *address) {
    return bytes == 0 ||
           device.memory().find(reinterpret_cast<uintptr_t>(address), bytes);
  };
  if ((toDevice && !known(to)) || (fromDevice && !known(from)))
    return CUDA_ERROR_INVALID_VALUE;
  return device.submit(stream, [=] {
    machine().forgetWrites();
    std::memmove(to, from, bytes);
    return CUDA_SUCCESS;
  });
}

DSV2_EXPORT CUresult cuMemcpyHtoDAsync_v2(CUdeviceptr to, const void *from,
                                          size_t bytes, CUstream stream) {
  DSV2_BEGIN();
  return copy(device, reinterpret_cast<void *>(to), true, from, false, bytes,
              stream);
}

DSV2_EXPORT CUresult cuMemcpyDtoHAsync_v2(void *to, CUdeviceptr from,
                                          size_t bytes, CUstream stream) {
  DSV2_BEGIN();
  return copy(device, to, false, reinterpret_cast<const void *>(from), true,
              bytes, stream);
}

DSV2_EXPORT CUresult cuMemcpyDtoDAsync_v2(CUdeviceptr to, CUdeviceptr from,
                                          size_t bytes, CUstream stream) {
  DSV2_BEGIN();
  return copy(device, reinterpret_cast<void *>(to), true,
              reinterpret_cast<const void *>(from), true, bytes, stream);
}

/// Rows of the device's memory alone.
DSV2_EXPORT CUresult cuMemcpy2DAsync_v2(const CUDA_MEMCPY2D *copy,
                                        CUstream stream) {
  DSV2_BEGIN();
  if (copy->srcMemoryType != CU_MEMORYTYPE_DEVICE ||
      copy->dstMemoryType != CU_MEMORYTYPE_DEVICE)
    return CUDA_ERROR_NOT_SUPPORTED;
  size_t width = copy->WidthInBytes, height = copy->Height;
  if (width == 0 || height == 0)
    return CUDA_SUCCESS;
  if (copy->srcPitch < copy->srcXInBytes + width ||
      copy->dstPitch < copy->dstXInBytes + width)
    return CUDA_ERROR_INVALID_VALUE;
  CUdeviceptr from =
      copy->srcDevice + copy->srcY * copy->srcPitch + copy->srcXInBytes;
  CUdeviceptr to =
      copy->dstDevice + copy->dstY * copy->dstPitch + copy->dstXInBytes;
  if (!device.memory().find(from, (height - 1) * copy->srcPitch + width) ||
      !device.memory().find(to, (height - 1) * copy->dstPitch + width))
    return CUDA_ERROR_INVALID_VALUE;
  return device.submit(
      stream, [=, fromPitch = copy->srcPitch, toPitch = copy->dstPitch] {
        machine().forgetWrites();
        for (size_t row = 0; row < height; ++row)
          std::memmove(reinterpret_cast<void *>(to + row * toPitch),
                       reinterpret_cast<const void *>(from + row * fromPitch),
                       width);
        return CUDA_SUCCESS;
      });
}

DSV2_EXPORT CUresult cuMemsetD8Async(CUdeviceptr to, unsigned char value,
                                     size_t bytes, CUstream stream) {
  DSV2_BEGIN();
  if (bytes && !device.memory().find(to, bytes))
    return CUDA_ERROR_INVALID_VALUE;
  return device.submit(stream, [=] {
    machine().forgetWrites();
    std::memset(reinterpret_cast<void *>(to), value, bytes);
    return CUDA_SUCCESS;
  });
}

//===----------------------------------------------------------------------===//
// Streams and events
//===----------------------------------------------------------------------===//

DSV2_EXPORT CUresult cuStreamCreate(CUstream *stream, unsigned) {
  DSV2_BEGIN();
  auto *created = new Stream;
  device.streams.insert(created);
  *stream = reinterpret_cast<CUstream>(created);
  return CUDA_SUCCESS;
}

DSV2_EXPORT CUresult cuStreamDestroy_v2(CUstream handle) {
  DSV2_BEGIN();
  auto *stream = reinterpret_cast<Stream *>(handle);
  if (!device.streams.erase(stream))
    return CUDA_ERROR_INVALID_HANDLE;
  delete stream;
  return CUDA_SUCCESS;
}

DSV2_EXPORT CUresult cuStreamSynchronize(CUstream handle) {
  DSV2_BEGIN();
  Stream *stream = device.find(handle);
  if (!stream)
    return CUDA_ERROR_INVALID_HANDLE;
  if (stream->capture) {
    stream->captureBroken = true;
    return CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED;
  }
  return CUDA_SUCCESS;
}

/// All work is done when it is submitted.
DSV2_EXPORT CUresult cuStreamQuery(CUstream handle) {
  return cuStreamSynchronize(handle);
}

DSV2_EXPORT CUresult cuEventCreate(CUevent *event, unsigned flags) {
  DSV2_BEGIN();
  auto *created = new Event;
  created->timing = !(flags & CU_EVENT_DISABLE_TIMING);
  device.events.insert(created);
  *event = reinterpret_cast<CUevent>(created);
  return CUDA_SUCCESS;
}

static Event *findEvent(Device &device, CUevent handle) {
  auto it = device.events.find(reinterpret_cast<Event *>(handle));
  return it == device.events.end() ? nullptr : *it;
}

DSV2_EXPORT CUresult cuEventDestroy_v2(CUevent handle) {
  DSV2_BEGIN();
  Event *event = findEvent(device, handle);
  if (!event)
    return CUDA_ERROR_INVALID_HANDLE;
  device.events.erase(event);
  delete event;
  return CUDA_SUCCESS;
}

DSV2_EXPORT CUresult cuEventRecord(CUevent handle, CUstream stream) {
  DSV2_BEGIN();
  Event *event = findEvent(device, handle);
  if (!event)
    return CUDA_ERROR_INVALID_HANDLE;
  // In a graph an event has no time of its own.
  Stream *on = device.find(stream);
  if (!on)
    return CUDA_ERROR_INVALID_HANDLE;
  if (on->capture)
    return CUDA_SUCCESS;
  event->recorded = true;
  event->time = std::chrono::steady_clock::now();
  return CUDA_SUCCESS;
}

/// What an event marks is over when it is recorded.
DSV2_EXPORT CUresult cuStreamWaitEvent(CUstream stream, CUevent handle,
                                       unsigned) {
  DSV2_BEGIN();
  return device.find(stream) && findEvent(device, handle)
             ? CUDA_SUCCESS
             : CUDA_ERROR_INVALID_HANDLE;
}

DSV2_EXPORT CUresult cuEventSynchronize(CUevent handle) {
  DSV2_BEGIN();
  return findEvent(device, handle) ? CUDA_SUCCESS : CUDA_ERROR_INVALID_HANDLE;
}

DSV2_EXPORT CUresult cuEventQuery(CUevent handle) {
  return cuEventSynchronize(handle);
}

DSV2_EXPORT CUresult cuEventElapsedTime(float *milliseconds, CUevent start,
                                        CUevent end) {
  DSV2_BEGIN();
  Event *first = findEvent(device, start), *last = findEvent(device, end);
  if (!first || !last || !first->timing || !last->timing || !first->recorded ||
      !last->recorded)
    return CUDA_ERROR_INVALID_HANDLE;
  *milliseconds =
      std::chrono::duration<float, std::milli>(last->time - first->time)
          .count();
  return CUDA_SUCCESS;
}

//===----------------------------------------------------------------------===//
// Graphs
//===----------------------------------------------------------------------===//

DSV2_EXPORT CUresult cuStreamBeginCapture_v2(CUstream handle,
                                             CUstreamCaptureMode) {
  DSV2_BEGIN();
  Stream *stream = device.find(handle);
  if (!stream)
    return CUDA_ERROR_INVALID_HANDLE;
  // The default stream cannot capture.
  if (!handle)
    return CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED;
  if (stream->capture)
    return CUDA_ERROR_INVALID_VALUE;
  stream->capture = std::make_unique<Graph>();
  stream->captureBroken = false;
  return CUDA_SUCCESS;
}

DSV2_EXPORT CUresult cuStreamEndCapture(CUstream handle, CUgraph *graph) {
  DSV2_BEGIN();
  Stream *stream = device.find(handle);
  if (!stream || !stream->capture)
    return CUDA_ERROR_INVALID_VALUE;
  std::unique_ptr<Graph> captured = std::move(stream->capture);
  if (stream->captureBroken) {
    *graph = nullptr;
    return CUDA_ERROR_STREAM_CAPTURE_INVALIDATED;
  }
  device.graphs.insert(captured.get());
  *graph = reinterpret_cast<CUgraph>(captured.release());
  return CUDA_SUCCESS;
}

DSV2_EXPORT CUresult cuGraphInstantiateWithFlags(CUgraphExec *executable,
                                                 CUgraph handle,
                                                 unsigned long long) {
  DSV2_BEGIN();
  auto *graph = reinterpret_cast<Graph *>(handle);
  if (!device.graphs.count(graph))
    return CUDA_ERROR_INVALID_VALUE;
  auto *created = new Graph(*graph);
  device.executables.insert(created);
  *executable = reinterpret_cast<CUgraphExec>(created);
  return CUDA_SUCCESS;
}

DSV2_EXPORT CUresult cuGraphDestroy(CUgraph handle) {
  DSV2_BEGIN();
  auto *graph = reinterpret_cast<Graph *>(handle);
  if (!device.graphs.erase(graph))
    return CUDA_ERROR_INVALID_VALUE;
  delete graph;
  return CUDA_SUCCESS;
}

DSV2_EXPORT CUresult cuGraphExecDestroy(CUgraphExec handle) {
  DSV2_BEGIN();
  auto *graph = reinterpret_cast<Graph *>(handle);
  if (!device.executables.erase(graph))
    return CUDA_ERROR_INVALID_VALUE;
  delete graph;
  return CUDA_SUCCESS;
}

DSV2_EXPORT CUresult cuGraphLaunch(CUgraphExec handle, CUstream stream) {
  DSV2_BEGIN();
  auto *graph = reinterpret_cast<Graph *>(handle);
  if (!device.executables.count(graph) || !device.find(stream))
    return CUDA_ERROR_INVALID_VALUE;
  for (const Work &node : graph->nodes)
    if (CUresult error = device.submit(stream, node))
      return error;
  return CUDA_SUCCESS;
}
