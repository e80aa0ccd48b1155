//===- Cublas.cpp - a product of the vendor's library, timed --------------===//
//
// Part of dsv2, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "Cublas.h"
#include "DeviceImpl.h"
#include "Handles.h"
#include "dsv2rt/KernelCases.h"

#include <algorithm>
#include <vector>

#include <dlfcn.h>

using namespace dsv2rt;
using namespace dsv2rt::cuda;
using namespace dsv2check;

// The part of the library's interface that is used (cuBLAS reference,
// "cublasGemmEx"; library_types.h for the types of data).
namespace {
constexpr int opNone = 0, opTranspose = 1;
constexpr int typeBF16 = 14, compute32F = 68, defaultAlgorithm = -1;

using Create = int (*)(void **handle);
using SetStream = int (*)(void *handle, CUstream stream);
using GemmEx = int (*)(void *handle, int opA, int opB, int m, int n, int k,
                       const void *alpha, const void *a, int typeA, int lda,
                       const void *b, int typeB, int ldb, const void *beta,
                       void *c, int typeC, int ldc, int compute, int algorithm);
using GetVersion = int (*)(void *handle, int *version);

constexpr int size = 8192;
constexpr int runs = 12;
} // namespace

static Status openLibrary(const std::string &path, void *&library) {
  std::vector<std::string> names = {path};
  if (path.empty())
    names = {"libcublas.so.13", "libcublas.so.12"};
  std::string reasons;
  for (const std::string &name : names) {
    // Never closed: it has state of its own.
    library = dlopen(name.c_str(), RTLD_NOW | RTLD_LOCAL);
    if (library)
      return Status();
    const char *reason = dlerror();
    reasons +=
        (reasons.empty() ? "" : "; ") + std::string(reason ? reason : "");
  }
  return makeError(StatusCode::NotFound, "no cuBLAS: ", reasons);
}

/// Fills a matrix with random numbers: zeros would need less power.
static Status fillMatrix(const std::shared_ptr<Context> &context,
                         DeviceMemory &memory, uint64_t seed, CUstream stream) {
  constexpr size_t bytes = size_t(size) * size * 2;
  Status status = memory.reserve(context, bytes, "a product of cuBLAS");
  std::vector<uint16_t> values(kCasePeriod);
  for (size_t i = 0; i < values.size(); ++i)
    values[i] = toBFloat16(caseNumber(seed, 1, int64_t(i)));
  static_assert(bytes % (kCasePeriod * 2) == 0);
  for (size_t at = 0; status.ok() && at < bytes; at += values.size() * 2)
    status = context->call(context->driver().cuMemcpyHtoDAsync_v2,
                           "filling a matrix", memory.address() + at,
                           values.data(), values.size() * 2, stream);
  if (status.ok())
    status = context->call(context->driver().cuStreamSynchronize,
                           "filling a matrix", stream);
  return status;
}

Expected<ProductRate> dsv2check::measureCublas(const Device &device,
                                               const std::string &path) {
  void *library = nullptr;
  Status status = openLibrary(path, library);
  if (!status.ok())
    return status;
  auto create = reinterpret_cast<Create>(dlsym(library, "cublasCreate_v2"));
  auto setStream =
      reinterpret_cast<SetStream>(dlsym(library, "cublasSetStream_v2"));
  auto gemm = reinterpret_cast<GemmEx>(dlsym(library, "cublasGemmEx"));
  auto getVersion =
      reinterpret_cast<GetVersion>(dlsym(library, "cublasGetVersion_v2"));
  if (!create || !setStream || !gemm || !getVersion)
    return makeError(StatusCode::NotFound,
                     "no cuBLAS: the library lacks a function");
  const std::shared_ptr<Context> &context = device.implementation().context;
  const Driver &driver = context->driver();
  status = context->makeCurrent();
  Expected<StreamHandle> stream = makeStream(context);
  Expected<EventHandle> begin = makeEvent(context, /*timing=*/true);
  Expected<EventHandle> end = makeEvent(context, /*timing=*/true);
  for (const Status &made : {stream.status(), begin.status(), end.status()})
    if (!made.ok() && status.ok())
      status = made;
  if (!status.ok())
    return status;
  CUstream on = stream.value().get();
  DeviceMemory a, b, c;
  for (auto [memory, seed] :
       {std::pair<DeviceMemory *, uint64_t>{&a, 1}, {&b, 2}, {&c, 3}})
    if (status.ok())
      status = fillMatrix(context, *memory, seed, on);
  if (!status.ok())
    return status;
  auto require = [&](const char *what, int code) {
    if (code && status.ok())
      status = makeError(StatusCode::DeviceError, what, " failed with status ",
                         code);
    return status.ok();
  };
  // The handle stays with the process: destroying it can wait for the device.
  void *handle = nullptr;
  int version = 0;
  if (!require("cublasCreate", create(&handle)) ||
      !require("cublasGetVersion", getVersion(handle, &version)) ||
      !require("cublasSetStream", setStream(handle, on)))
    return status;
  const float one = 1, zero = 0;
  std::vector<double> times;
  for (int i = 0; status.ok() && i < runs + 2; ++i) {
    status =
        context->call(driver.cuEventRecord, "timing", begin.value().get(), on);
    // Row-major A times the transpose of row-major B, in its column-major
    // terms.
    if (status.ok())
      require("cublasGemmEx",
              gemm(handle, opTranspose, opNone, size, size, size, &one,
                   b.pointer(), typeBF16, size, a.pointer(), typeBF16, size,
                   &zero, c.pointer(), typeBF16, size, compute32F,
                   defaultAlgorithm));
    if (status.ok())
      status =
          context->call(driver.cuEventRecord, "timing", end.value().get(), on);
    if (status.ok())
      status = context->call(driver.cuStreamSynchronize, "timing", on);
    float milliseconds = 0;
    if (status.ok())
      status = context->call(driver.cuEventElapsedTime, "timing", &milliseconds,
                             begin.value().get(), end.value().get());
    // The first two choose kernels and wake the clocks.
    if (i >= 2)
      times.push_back(milliseconds * 1e-3);
  }
  if (!status.ok())
    return status;
  std::sort(times.begin(), times.end());
  ProductRate rate;
  rate.operationsPerSecond = 2.0 * size * size * size / times[times.size() / 2];
  rate.text = strCat("cuBLAS ", version, ", bf16 ", size, "^3");
  return rate;
}
