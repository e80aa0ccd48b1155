//===- Device.h - a GPU, or what stands in for one --------------*- C++ -*-===//
//
// Part of dsv2, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef DSV2RT_DEVICE_H
#define DSV2RT_DEVICE_H

#include "dsv2rt/Artifact.h"
#include "dsv2rt/Status.h"

#include <array>
#include <cstdint>
#include <memory>
#include <string>

namespace dsv2rt {

/// A device that is open. Sessions on it share it, and with it the weights that
/// were copied there last. May be used by any number of threads.
class Device {
public:
  ~Device();
  Device(const Device &) = delete;
  Device &operator=(const Device &) = delete;

  /// Opens "cuda:N", the N-th device of the CUDA driver; "cuda" is the one
  /// whose number is `rank` modulo how many there are. "emulator" is the CPU,
  /// which interprets the same kernels: a library with the driver's functions,
  /// `../lib/libdsv2-emulator.so` from the program or what
  /// DSV2_EMULATOR_LIBRARY names. DSV2_CUDA_LIBRARY names another driver than
  /// libcuda.so.1. A device that is open already is shared. Errors:
  /// InvalidArgument for another name; NotFound for a missing library, function
  /// or device; Unsupported for a driver that is too old; DeviceError.
  static Expected<std::shared_ptr<Device>> open(const std::string &name,
                                                int rank = 0);

  struct Info {
    /// As open() takes it, "cuda:0".
    std::string name;
    /// What the maker calls it.
    std::string model;
    /// The library of the driver, and the CUDA version that it knows, as 13000
    /// for 13.0.
    std::string library;
    int driverVersion = 0;
    /// Whether it runs bitcode instead of machine code.
    bool emulated = false;
    /// Compute capability.
    int major = 0, minor = 0;
    int multiprocessors = 0;
    int64_t memoryBytes = 0;
    /// Bytes of shared memory that one block can have, and of the L2 cache.
    int64_t sharedBytes = 0;
    int64_t cacheBytes = 0;
    /// What tells the device, or the part of one, from all others.
    std::array<char, 16> uuid = {};
    /// Where the device is on the host's buses.
    int pciDomain = 0, pciBus = 0, pciDevice = 0;
  };
  const Info &info() const;

  /// "cuda:0 'NAME'", for messages.
  std::string text() const;

  /// A number that programs of one host have in common if they were given the
  /// same device. Every process has emulators of its own.
  uint64_t memoryNumber() const;

  /// Bytes that can still be allocated.
  Expected<int64_t> availableMemory() const;

  /// Gives the memory of weights back that no session uses. Without this they
  /// stay for the next session, as long as the device is open.
  void forgetWeights();

  /// Bytes a second that copying within the device's memory reads, and writes
  /// as many: the median of several copies of `bytes` bytes.
  Expected<double> measureCopyRate(int64_t bytes) const;

  /// Which images of programs the driver refused, why, and what runs instead,
  /// one sentence a program; empty when there are none.
  std::string refusedImages() const;

  /// The first failure to give something back to the driver, which happens
  /// where no call can return it; Ok when there was none.
  Status releaseFailure() const;

  struct Impl;
  Impl &implementation() const { return *impl; }

private:
  explicit Device(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl;
};

/// Index of the image that a session on the device would load, or -1: of those
/// it can run machine code before PTX, and then the newest architecture.
/// Machine code for sm_XY runs on devices of major version X and a minor
/// version of at least Y, PTX on all of at least X.Y, and either of sm_XYa on
/// X.Y alone (CUDA C++ Programming Guide, "Binary Compatibility", "Feature Set
/// Compiler Targets"). The family sm_XYf is taken as machine code of sm_XY is.
/// The emulator runs bitcode, as PTX.
int64_t suitableImage(const DeviceManifest &code, const Device::Info &device);

/// Opens what `artifact` is to run on: "cpu", a name of Device::open, or with
/// "" what it was compiled for, of devices the `rank`-th as of "cuda". Null:
/// the CPU. Errors: those of Device::open() and checkTarget(); an artifact for
/// the other is refused before anything is opened.
Expected<std::shared_ptr<Device>>
openDeviceFor(const Artifact &artifact, const std::string &name, int rank = 0);

/// Ok when `artifact` can run on `device`, or with null on the CPU. Errors:
/// InvalidArgument when it was compiled for the other, Unsupported when it has
/// no code for this device; both name what the artifact is for and what was
/// asked for.
Status checkTarget(const Artifact &artifact, const Device *device);

} // namespace dsv2rt

#endif // DSV2RT_DEVICE_H
