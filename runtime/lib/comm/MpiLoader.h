//===- MpiLoader.h - finding the library for an MPI -------------*- C++ -*-===//
//
// Part of dsv2, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef DSV2RT_LIB_COMM_MPILOADER_H
#define DSV2RT_LIB_COMM_MPILOADER_H

#include "MpiPlugin.h"
#include "dsv2rt/comm/Launch.h"

namespace dsv2rt::comm {

/// Starts MPI with the library for `launcher`, or the one that the environment
/// variable DSV2_MPI_LIBRARY names. Errors: Unsupported with the Debian package
/// that is missing when there is none; what the library says.
Expected<std::unique_ptr<MpiWorld>> openMpi(const OuterLauncher &launcher,
                                            const CommOptions &options);

} // namespace dsv2rt::comm

#endif // DSV2RT_LIB_COMM_MPILOADER_H
