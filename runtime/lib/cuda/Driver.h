//===- Driver.h - the CUDA driver, loaded when needed -----------*- C++ -*-===//
//
// Part of dsv2, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef DSV2RT_LIB_CUDA_DRIVER_H
#define DSV2RT_LIB_CUDA_DRIVER_H

#include "Support.h"
#include "dsv2rt/Status.h"
#include "dsv2rt/cuda/DriverApi.h"

#include <memory>
#include <string>
#include <type_traits>

namespace dsv2rt::cuda {

/// A function of the driver and the name by which messages call it.
template <class F> struct DriverFunction;
template <class... Ts> struct DriverFunction<CUresult(Ts...)> {
  const char *name;
  CUresult (*address)(Ts...) = nullptr;

  /// Drivers may lack those that came later.
  explicit operator bool() const { return address; }
};

/// The functions of DriverApi.def in one library.
class Driver {
public:
  /// Opens the CUDA driver, or the emulator. Errors: NotFound with the names
  /// that were tried, or the function that is missing and its library;
  /// Unsupported for a driver that is too old; NotFound or DeviceError when it
  /// cannot start.
  static Expected<std::shared_ptr<const Driver>> open(bool emulator);

  /// The library that open() would load.
  static std::string libraryFor(bool emulator);

  const std::string &library() const { return path; }
  int version() const { return cudaVersion; }
  bool emulated() const { return isEmulator; }

  /// Calls a function. `what` completes "while ...": a text, or something that
  /// returns one and is called only after a failure. `where` is put after the
  /// function's name, as " on cuda:0".
  template <class... Ts, class What, class... Us>
  Status call(const DriverFunction<CUresult(Ts...)> &function,
              const std::string &where, const What &what,
              Us &&...arguments) const {
    CUresult result = function.address(arguments...);
    if (result == CUDA_SUCCESS)
      return Status();
    return failureOf(result, function.name, where, what);
  }

  /// Calls a function that asks whether something is so, and that says `no`
  /// where it is not.
  template <class... Ts, class What, class... Us>
  Expected<bool> query(const DriverFunction<CUresult(Ts...)> &function,
                       CUresult no, const std::string &where, const What &what,
                       Us &&...arguments) const {
    CUresult result = function.address(arguments...);
    if (result == CUDA_SUCCESS || result == no)
      return result == CUDA_SUCCESS;
    return failureOf(result, function.name, where, what);
  }

#define DSV2_CUDA_FUNCTION(NAME, PARAMETERS)                                   \
  DriverFunction<CUresult PARAMETERS> NAME{#NAME};
#include "dsv2rt/cuda/DriverApi.def"

private:
  Driver() = default;
  Status load();
  template <class What>
  Status failureOf(CUresult result, const char *function,
                   const std::string &where, const What &what) const {
    if constexpr (std::is_invocable_v<What>)
      return failure(result, function, where, what());
    else
      return failure(result, function, where, what);
  }
  Status failure(CUresult result, const char *function,
                 const std::string &where, const std::string &what) const;

  std::string path;
  bool isEmulator = false;
  int cudaVersion = 0;
};

} // namespace dsv2rt::cuda

#endif // DSV2RT_LIB_CUDA_DRIVER_H
