//===- Context.h - one device of a driver -----------------------*- C++ -*-===//
//
// Part of dsv2, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef DSV2RT_LIB_CUDA_CONTEXT_H
#define DSV2RT_LIB_CUDA_CONTEXT_H

#include "Driver.h"
#include "dsv2rt/Device.h"

#include <memory>
#include <mutex>
#include <string>
#include <utility>

namespace dsv2rt::cuda {

/// The primary context of a device. What is made in it keeps it alive.
class Context {
public:
  /// Opens the device with this number; `name` is how messages call it. Errors:
  /// NotFound with the numbers that there are; those of the driver.
  static Expected<std::shared_ptr<Context>>
  open(std::shared_ptr<const Driver> driver, int ordinal,
       const std::string &name);
  ~Context();
  Context(const Context &) = delete;
  Context &operator=(const Context &) = delete;

  const Driver &driver() const { return *functions; }
  const Device::Info &info() const { return facts; }

  /// "cuda:0 'NAME'".
  std::string text() const { return facts.name + " " + quote(facts.model); }

  /// Makes this context the calling thread's, as every other call needs.
  Status makeCurrent() const;

  /// Calls a function of the driver; see Driver::call.
  template <class F, class What, class... Us>
  Status call(const DriverFunction<F> &function, const What &what,
              Us &&...arguments) const {
    return functions->call(function, where, what,
                           std::forward<Us>(arguments)...);
  }

  /// Calls a function that asks whether something is so; see Driver::query.
  template <class F, class What, class... Us>
  Expected<bool> query(const DriverFunction<F> &function, CUresult no,
                       const What &what, Us &&...arguments) const {
    return functions->query(function, no, where, what,
                            std::forward<Us>(arguments)...);
  }

  /// Calls a function that gives something back, from any thread, and
  /// remembers its failure.
  template <class F, class What, class... Us>
  void release(const DriverFunction<F> &function, const What &what,
               Us &&...arguments) {
    noteReleaseFailure(makeCurrent());
    noteReleaseFailure(call(function, what, std::forward<Us>(arguments)...));
  }

  /// The first failure of release(), or Ok.
  Status releaseFailure() const;

  /// Remembers an image that the driver refused while another one runs; see
  /// Device::refusedImages().
  void noteRefusal(const std::string &sentence);
  std::string refusals() const;

  /// Bytes that can be allocated, and all bytes.
  Status memory(size_t &available, size_t &total) const;

private:
  Context() = default;
  Status readInfo();
  void noteReleaseFailure(const Status &status);

  std::shared_ptr<const Driver> functions;
  CUdevice device = 0;
  /// Null until it is retained.
  CUcontext context = nullptr;
  Device::Info facts;
  /// " on cuda:0".
  std::string where;
  mutable std::mutex mutex;
  Status firstReleaseFailure;
  std::string refusedImages;
};

} // namespace dsv2rt::cuda

#endif // DSV2RT_LIB_CUDA_CONTEXT_H
