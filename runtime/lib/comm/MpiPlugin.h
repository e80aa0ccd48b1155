//===- MpiPlugin.h - MPI, loaded when needed --------------------*- C++ -*-===//
//
// Part of dsv2, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// Implementations of MPI have binary interfaces of their own. So what uses MPI
// is a library for each of them, libdsv2-mpi-NAME.so, which is built where the
// implementation is found and loaded where its launcher is found to have
// started the process.
//
//===----------------------------------------------------------------------===//

#ifndef DSV2RT_LIB_COMM_MPIPLUGIN_H
#define DSV2RT_LIB_COMM_MPIPLUGIN_H

#include "dsv2rt/comm/Communicator.h"

namespace dsv2rt::comm {

/// The communicator of all processes that mpirun has started.
class MpiWorld : public Communicator {
public:
  /// Whether this rank is the one to say why the job was ended.
  virtual bool endedHere() const = 0;

  /// To be called last: waits for all ranks and leaves MPI. Fails when the job
  /// was ended.
  virtual Status leave() = 0;

  /// Ends all processes, this one included, with `exitCode`.
  [[noreturn]] virtual void abandon(int exitCode) = 0;
};

/// Starts MPI; to be called once. Failures are returned through `status`, with
/// a null pointer.
using OpenMpiFunction = MpiWorld *(const CommOptions &options, Status &status);

/// The name under which a library exports its OpenMpiFunction.
inline constexpr const char *openMpiSymbol = "dsv2rt_open_mpi";

} // namespace dsv2rt::comm

#endif // DSV2RT_LIB_COMM_MPIPLUGIN_H
