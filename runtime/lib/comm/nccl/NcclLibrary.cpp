//===- NcclLibrary.cpp - NCCL, loaded when needed -------------------------===//
//
// Part of dsv2, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "NcclLibrary.h"

#include "Support.h"

#include <cstdlib>

#include <dlfcn.h>

using namespace dsv2rt;
using namespace dsv2rt::comm;

/// 2.18: the version whose configuration NcclApi.h declares.
static constexpr int oldestVersion = 21800;

static std::string libraryName(const std::string &wanted) {
  if (!wanted.empty())
    return wanted;
  const char *named = std::getenv("DSV2_NCCL_LIBRARY");
  return named && *named ? named : "libnccl.so.2";
}

Expected<std::shared_ptr<const NcclLibrary>>
NcclLibrary::open(const std::string &wanted) {
  const std::string name = libraryName(wanted);
  void *handle = dlopen(name.c_str(), RTLD_NOW | RTLD_LOCAL);
  if (!handle) {
    const char *reason = dlerror();
    return makeError(StatusCode::NotFound, "cannot load NCCL, '", name,
                     "': ", reason ? reason : "unknown");
  }
  // Never closed: it has threads of its own.
  std::shared_ptr<NcclLibrary> library(new NcclLibrary());
  const char *missing = nullptr;
  auto bind = [&](auto &function, const char *symbol) {
    function = reinterpret_cast<std::decay_t<decltype(function)>>(
        dlsym(handle, symbol));
    if (!function && !missing)
      missing = symbol;
  };
#define DSV2_NCCL_FUNCTION(RESULT, NAME, PARAMETERS) bind(library->NAME, #NAME);
#include "dsv2rt/comm/NcclApi.def"
  if (missing)
    return makeError(StatusCode::NotFound, "NCCL, '", name,
                     "', has no function '", missing,
                     "'; version 2.18 or later is needed");
  int &version = library->ncclVersion;
  if (library->ncclGetVersion(&version) != ncclSuccess ||
      version < oldestVersion)
    return makeError(StatusCode::Unsupported, "NCCL, '", name,
                     "', is of version ", version / 10000, ".",
                     version / 100 % 100, "; 2.18 or later is needed");
  return std::shared_ptr<const NcclLibrary>(std::move(library));
}
