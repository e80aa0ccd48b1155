//===- Driver.cpp - the CUDA driver, loaded when needed -------------------===//
//
// Part of dsv2, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "Driver.h"

#include <cstdlib>
#include <filesystem>

#include <dlfcn.h>

using namespace dsv2rt;
using namespace dsv2rt::cuda;

/// CUDA 12.0: the first version with tensor maps and cuLaunchKernelEx.
static constexpr int oldestVersion = 12000;

std::string Driver::libraryFor(bool emulator) {
  const char *named =
      std::getenv(emulator ? "DSV2_EMULATOR_LIBRARY" : "DSV2_CUDA_LIBRARY");
  if (named && *named)
    return named;
  if (!emulator)
    return "libcuda.so.1";
  // By the program's place and not by a search path, so that it is the one that
  // was built with it.
  std::error_code code;
  std::filesystem::path program =
      std::filesystem::read_symlink("/proc/self/exe", code);
  std::filesystem::path prefix = program.parent_path().parent_path();
  const char *const name = "libdsv2-emulator.so";
  // Where an installation has libraries, else where the build has.
  std::filesystem::path installed = prefix / DSV2_LIBRARY_FOLDER / name;
  return std::filesystem::exists(installed, code)
             ? installed.string()
             : (prefix / "lib" / name).string();
}

Status Driver::load() {
  const char *kind = isEmulator ? "the emulator" : "the CUDA driver";
  void *handle = dlopen(path.c_str(), RTLD_NOW | RTLD_LOCAL);
  if (!handle) {
    const char *reason = dlerror();
    return makeError(StatusCode::NotFound, "cannot load ", kind, ", ",
                     quote(path), ": ", reason ? reason : "unknown");
  }
  // Never closed: a driver has threads and handlers of its own.
  Status status;
  auto bind = [&](auto &function, bool needed) {
    auto *address = dlsym(handle, function.name);
    function.address = reinterpret_cast<decltype(function.address)>(address);
    if (!address && needed && status.ok())
      status = makeError(StatusCode::NotFound, kind, ", ", quote(path),
                         ", has no function ", quote(function.name),
                         "; CUDA 12.0 or later is needed");
  };
#define DSV2_CUDA_FUNCTION(NAME, PARAMETERS) bind(NAME, /*needed=*/true);
#define DSV2_CUDA_FUNCTION_SINCE(VERSION, NAME, PARAMETERS)                    \
  bind(NAME, /*needed=*/false);
#include "dsv2rt/cuda/DriverApi.def"
  return status;
}

Expected<std::shared_ptr<const Driver>> Driver::open(bool emulator) {
  std::shared_ptr<Driver> driver(new Driver());
  driver->isEmulator = emulator;
  driver->path = libraryFor(emulator);
  Status status = driver->load();
  std::string where = " in " + quote(driver->path);
  if (status.ok())
    status = driver->call(driver->cuInit, where, "starting the driver", 0u);
  if (status.ok())
    status = driver->call(driver->cuDriverGetVersion, where,
                          "asking for the version", &driver->cudaVersion);
  if (status.ok() && driver->cudaVersion < oldestVersion)
    status = makeError(
        StatusCode::Unsupported, "the CUDA driver, ", quote(driver->path),
        ", is for CUDA ", driver->cudaVersion / 1000, ".",
        driver->cudaVersion % 1000 / 10, "; 12.0 or later is needed");
  if (!status.ok())
    return status;
  return std::shared_ptr<const Driver>(std::move(driver));
}

static StatusCode codeFor(CUresult result) {
  switch (result) {
  case CUDA_ERROR_OUT_OF_MEMORY:
    return StatusCode::OutOfMemory;
  case CUDA_ERROR_NO_DEVICE:
  case CUDA_ERROR_INVALID_DEVICE:
    return StatusCode::NotFound;
  case CUDA_ERROR_INVALID_IMAGE:
  case CUDA_ERROR_INVALID_PTX:
    return StatusCode::CorruptData;
  case CUDA_ERROR_NO_BINARY_FOR_GPU:
  case CUDA_ERROR_UNSUPPORTED_PTX_VERSION:
  case CUDA_ERROR_NOT_SUPPORTED:
    return StatusCode::Unsupported;
  default:
    return StatusCode::DeviceError;
  }
}

Status Driver::failure(CUresult result, const char *function,
                       const std::string &where,
                       const std::string &what) const {
  // These two explain the others and are explained by the number alone.
  const char *name = nullptr, *text = nullptr;
  if (cuGetErrorName.address(result, &name) != CUDA_SUCCESS || !name)
    name = "an error without a name (cuGetErrorName failed)";
  if (cuGetErrorString.address(result, &text) != CUDA_SUCCESS || !text)
    text = "no explanation (cuGetErrorString failed)";
  return makeError(codeFor(result), function, " failed", where, " while ", what,
                   ": ", name, " (", int(result), "), ", text);
}
