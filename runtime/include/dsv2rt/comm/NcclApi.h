//===- NcclApi.h - types of NCCL --------------------------------*- C++ -*-===//
//
// Part of dsv2, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// The part of NCCL's binary interface that this project uses, under the names
// of its documentation, so that dsv2 builds on machines without it. Where
// <nccl.h> is found, a test compares every number and layout.
//
// Never included together with <nccl.h> but in that test, which wraps this one
// into the namespace that DSV2_NCCL_NAMESPACE names.
//
//===----------------------------------------------------------------------===//

#ifndef DSV2RT_COMM_NCCLAPI_H
#define DSV2RT_COMM_NCCLAPI_H

#include <climits>
#include <cstddef>

#ifdef DSV2_NCCL_NAMESPACE
namespace DSV2_NCCL_NAMESPACE {
#endif

using ncclComm_t = struct ncclComm *;
/// A cudaStream_t, which is the driver's CUstream.
using ncclStream_t = struct CUstream_st *;

struct ncclUniqueId {
  char internal[128];
};

enum ncclResult_t : int {
  ncclSuccess = 0,
  ncclUnhandledCudaError = 1,
  ncclSystemError = 2,
  ncclInternalError = 3,
  ncclInvalidArgument = 4,
  ncclInvalidUsage = 5,
  ncclRemoteError = 6,
  ncclInProgress = 7
};

enum ncclRedOp_t : int { ncclSum = 0 };

enum ncclDataType_t : int { ncclInt8 = 0, ncclFloat32 = 7 };

/// The configuration as of version 2.18. Later versions of the library take
/// what they know in addition from their defaults.
struct ncclConfig_t {
  size_t size = sizeof(ncclConfig_t);
  unsigned magic = 0xcafebeef;
  unsigned version = 21800;
  int blocking = INT_MIN;
  int cgaClusterSize = INT_MIN;
  int minCTAs = INT_MIN;
  int maxCTAs = INT_MIN;
  const char *netName = nullptr;
  int splitShare = INT_MIN;
  /// Where later versions have a member: undefined.
  int undefined = INT_MIN;
};

#ifdef DSV2_NCCL_NAMESPACE
} // namespace DSV2_NCCL_NAMESPACE
#endif

#endif // DSV2RT_COMM_NCCLAPI_H
