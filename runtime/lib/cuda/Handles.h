//===- Handles.h - what the driver gives out --------------------*- C++ -*-===//
//
// Part of dsv2, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef DSV2RT_LIB_CUDA_HANDLES_H
#define DSV2RT_LIB_CUDA_HANDLES_H

#include "Context.h"

#include <memory>
#include <string>
#include <utility>

namespace dsv2rt::cuda {

/// Owns one object of the driver, which `destroy` gives back.
template <class T, DriverFunction<CUresult(T)> Driver::*destroy> class Handle {
public:
  Handle() = default;
  Handle(std::shared_ptr<Context> context, T value)
      : context(std::move(context)), value(value) {}
  Handle(Handle &&other) noexcept { swap(other); }
  Handle &operator=(Handle &&other) noexcept {
    swap(other);
    return *this;
  }
  ~Handle() { reset(); }

  T get() const { return value; }
  explicit operator bool() const { return value != T(); }

  void reset() {
    if (value != T())
      context->release(context->driver().*destroy, "giving it back", value);
    value = T();
    context.reset();
  }

private:
  void swap(Handle &other) {
    std::swap(context, other.context);
    std::swap(value, other.value);
  }

  std::shared_ptr<Context> context;
  T value = T();
};

using StreamHandle = Handle<CUstream, &Driver::cuStreamDestroy_v2>;
using EventHandle = Handle<CUevent, &Driver::cuEventDestroy_v2>;
using GraphHandle = Handle<CUgraph, &Driver::cuGraphDestroy>;
using GraphExecHandle = Handle<CUgraphExec, &Driver::cuGraphExecDestroy>;
using ModuleHandle = Handle<CUmodule, &Driver::cuModuleUnload>;

/// A stream that does not wait for the default stream.
Expected<StreamHandle> makeStream(const std::shared_ptr<Context> &context);

/// An event; with `timing` it can be measured from.
Expected<EventHandle> makeEvent(const std::shared_ptr<Context> &context,
                                bool timing);

/// Memory of the device.
class DeviceMemory {
public:
  /// Makes room for at least `bytes`; what was there before is lost if it had
  /// to grow. `purpose` names the memory in errors, which are OutOfMemory with
  /// the bytes required and available, and those of the driver.
  Status reserve(const std::shared_ptr<Context> &context, uint64_t bytes,
                 const std::string &purpose);

  CUdeviceptr address() const { return memory.get(); }
  /// The address as step functions take it.
  void *pointer() const { return reinterpret_cast<void *>(memory.get()); }
  uint64_t size() const { return bytes; }

private:
  Handle<CUdeviceptr, &Driver::cuMemFree_v2> memory;
  uint64_t bytes = 0;
};

/// Memory of the host that the device can copy from and to by itself.
class PinnedMemory {
public:
  /// As of DeviceMemory.
  Status reserve(const std::shared_ptr<Context> &context, uint64_t bytes,
                 const std::string &purpose);

  void *data() const { return memory.get(); }
  uint64_t size() const { return bytes; }

private:
  Handle<void *, &Driver::cuMemFreeHost> memory;
  uint64_t bytes = 0;
};

} // namespace dsv2rt::cuda

#endif // DSV2RT_LIB_CUDA_HANDLES_H
