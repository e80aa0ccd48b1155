//===- StubDriver.h - a CUDA driver for tests -------------------*- C++ -*-===//
//
// Part of dsv2, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// A shared library with the functions of DriverApi.def. It has no GPU: device
// memory is memory of the host, a module is a table of host functions, and a
// launch calls one. It is stricter than a driver where tests profit:
//
// - Device addresses are not host addresses, so that whoever mistakes one for
//   the other crashes; kernels call host() to get at their memory. What
//   cuMemHostAlloc gives out has one address for both.
// - New device memory is full of bytes that are NaNs as floats, and every copy
//   has to lie within one allocation.
// - Work on a stream is done when somebody waits for it or asks for it, not
//   before.
// - A call without a current context, with a handle that is no more, or of
//   anything but a launch while a stream is captured, is an error.
//
// Every call is counted, and any can be made to fail. A program that a test
// starts is set up by environment variables instead: DSV2_STUB_DEVICES,
// DSV2_STUB_CAPABILITY (90), DSV2_STUB_MEMORY (bytes), DSV2_STUB_VERSION
// (12040), DSV2_STUB_FAIL ("function:call:error").
//
//===----------------------------------------------------------------------===//

#ifndef DSV2_TEST_UNIT_DEVICE_STUBDRIVER_H
#define DSV2_TEST_UNIT_DEVICE_STUBDRIVER_H

#include "dsv2rt/cuda/DriverApi.h"

#include <cstdint>
#include <string>
#include <vector>

extern "C" {

/// For a fake of another library: puts work on a stream, in its order. `work`
/// is called with `data` until it returns other than 0, by the thread that made
/// the stream. Returns 0 for what is no stream.
int dsv2StubPut(void *stream, int (*work)(void *), void *data);
/// Where the host has memory of the device; null for other memory.
void *dsv2StubMemory(const void *address, size_t bytes);
}

namespace stub {

/// What a host function that stands for a kernel gets: the configuration of the
/// launch, and pointers to the parameters' values.
using KernelFunction = void (*)(const CUlaunchConfig &config,
                                void *const *parameters);

/// What stands for the image of a module: a header and entries after it.
struct KernelEntry {
  const char *name;
  KernelFunction function;
  /// Bytes of each parameter, ended by 0.
  uint32_t parameterBytes[16];
};
constexpr uint64_t imageMagic = 0x4255545332565344; // "DSV2STUB"
constexpr size_t maxKernels = 8;
struct Image {
  uint64_t magic;
  uint64_t count;
  KernelEntry kernels[maxKernels];
};

/// Device addresses are this much more than those of the memory, and can be
/// read by nobody.
constexpr uint64_t addressOffset = uint64_t(1) << 60;
template <class T> T *host(uint64_t address) {
  return reinterpret_cast<T *>(address - addressOffset);
}

/// What the stub puts into a tensor map.
struct TensorMapContents {
  uint64_t address;
  cuuint64_t dims[5];
  uint32_t type, rank, swizzle, box[5];
};
static_assert(sizeof(TensorMapContents) <= sizeof(CUtensorMap));

/// The machine that the stub pretends to be.
struct Config {
  int devices = 1;
  int version = 12040;
  int major = 9, minor = 0;
  std::string name = "Stub GPU";
  uint64_t memory = uint64_t(64) << 20;
  int sharedBytes = 232448;
  /// Threads that every kernel can have in a block.
  int kernelThreads = 1024;
  /// Bytes of a last parameter that kernels have besides their own; 0: none.
  uint32_t moreParameterBytes = 0;
  /// Whether all devices have the same UUID.
  bool oneUuid = false;
  /// Whether what is in other streams of a thread is done before what it waits
  /// for, where nothing holds it up; else only where that waits for it.
  bool othersFirst = false;
  /// What cuModuleLoadDataEx writes into the error log when it fails.
  std::string log;
};

/// Forgets all calls and failures and becomes this machine. Objects that are
/// still there stay.
void reset(const Config &config = {});

/// Makes the call number `call` (from 1) of `function` from now on return
/// `error`.
void fail(const std::string &function, int call, CUresult error);

/// Calls of `function` since reset(), failed ones too.
int calls(const std::string &function);

/// The functions that were called since reset(), in order.
std::vector<std::string> trace();

/// One launch, when it ran.
struct Launch {
  std::string kernel;
  unsigned grid[3], block[3], cluster[3];
  unsigned sharedBytes;
  bool programmatic;
  /// Whether it was part of a graph.
  bool replayed;
  std::vector<std::string> parameters;
};
std::vector<Launch> launches();

/// Objects that were not given back, as "2 streams, 1 memory"; empty when there
/// are none.
std::string leaks();

/// Uses of objects or memory that a driver does not promise to notice.
std::vector<std::string> misuse();

} // namespace stub

#endif // DSV2_TEST_UNIT_DEVICE_STUBDRIVER_H
