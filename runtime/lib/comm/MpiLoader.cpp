//===- MpiLoader.cpp - finding the library for an MPI ---------------------===//
//
// Part of dsv2, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "MpiLoader.h"

#include "Support.h"

#include <cstdlib>
#include <filesystem>

#include <dlfcn.h>

using namespace dsv2rt;
using namespace dsv2rt::comm;

OuterLauncher dsv2rt::findOuterLauncher() {
  auto number = [](const char *name, int otherwise) {
    const char *text = std::getenv(name);
    return text && *text ? std::atoi(text) : otherwise;
  };
  OuterLauncher launcher;
  if (std::getenv("OMPI_COMM_WORLD_SIZE") || std::getenv("PMIX_RANK")) {
    launcher.name = "Open MPI";
    launcher.ranks = number("OMPI_COMM_WORLD_SIZE", 0);
    launcher.rank = number("OMPI_COMM_WORLD_RANK", number("PMIX_RANK", -1));
  } else if (std::getenv("PMI_RANK") && std::getenv("PMI_SIZE")) {
    launcher.name = "MPICH";
    launcher.ranks = number("PMI_SIZE", 0);
    launcher.rank = number("PMI_RANK", -1);
  }
  return launcher;
}

/// Where an installation has libraries, else where the build has, by the place
/// of the program.
static std::string libraryFor(const std::string &name) {
  std::error_code code;
  std::filesystem::path program =
      std::filesystem::read_symlink("/proc/self/exe", code);
  std::filesystem::path prefix = program.parent_path().parent_path();
  std::filesystem::path installed = prefix / DSV2_LIBRARY_FOLDER / name;
  return std::filesystem::exists(installed, code)
             ? installed.string()
             : (prefix / "lib" / name).string();
}

Expected<std::unique_ptr<MpiWorld>> comm::openMpi(const OuterLauncher &launcher,
                                                  const CommOptions &options) {
  const bool open = launcher.name == "Open MPI";
  const char *named = std::getenv("DSV2_MPI_LIBRARY");
  const std::string path = named && *named
                               ? named
                               : libraryFor(open ? "libdsv2-mpi-openmpi.so"
                                                 : "libdsv2-mpi-mpich.so");
  // Parts of MPI that it loads itself look for its functions.
  void *handle = dlopen(path.c_str(), RTLD_NOW | RTLD_GLOBAL);
  if (!handle) {
    const char *reason = dlerror();
    return makeError(StatusCode::Unsupported, "the launcher of ", launcher.name,
                     " has started this program, and its library for it cannot "
                     "be loaded: ",
                     reason ? reason : path.c_str(),
                     "; it is built where the Debian package ",
                     open ? "libopenmpi-dev" : "libmpich-dev", " is installed");
  }
  auto *function =
      reinterpret_cast<OpenMpiFunction *>(dlsym(handle, openMpiSymbol));
  if (!function)
    return makeError(StatusCode::Unsupported, "'", path, "' has no function '",
                     openMpiSymbol, "'");
  Status status;
  std::unique_ptr<MpiWorld> world(function(options, status));
  if (!world)
    return status;
  return world;
}
