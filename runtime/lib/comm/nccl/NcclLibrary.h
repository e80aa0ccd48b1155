//===- NcclLibrary.h - NCCL, loaded when needed -----------------*- C++ -*-===//
//
// Part of dsv2, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef DSV2RT_LIB_COMM_NCCL_NCCLLIBRARY_H
#define DSV2RT_LIB_COMM_NCCL_NCCLLIBRARY_H

#include "dsv2rt/Status.h"
#include "dsv2rt/comm/NcclApi.h"

#include <memory>
#include <string>

namespace dsv2rt::comm {

/// The functions of NcclApi.def in one library.
class NcclLibrary {
public:
  /// Opens NCCL: `wanted`, or else what DSV2_NCCL_LIBRARY names, or else
  /// libnccl.so.2. Errors: NotFound with the name that was tried or the
  /// function that is missing, Unsupported for a version that is too old.
  static Expected<std::shared_ptr<const NcclLibrary>>
  open(const std::string &wanted = "");

  int version() const { return ncclVersion; }

#define DSV2_NCCL_FUNCTION(RESULT, NAME, PARAMETERS)                           \
  RESULT(*NAME) PARAMETERS = nullptr;
#include "dsv2rt/comm/NcclApi.def"

private:
  NcclLibrary() = default;
  int ncclVersion = 0;
};

} // namespace dsv2rt::comm

#endif // DSV2RT_LIB_COMM_NCCL_NCCLLIBRARY_H
