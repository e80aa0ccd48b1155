//===- NcclApiTest.cpp - the interface of NCCL as NCCL declares it --------===//
//
// Part of dsv2, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include <gtest/gtest.h>

#ifdef DSV2_NCCL_HEADER
#include <cstddef>
#include <type_traits>

#include <nccl.h>

#define DSV2_NCCL_NAMESPACE ours
#include "dsv2rt/comm/NcclApi.h"

// Numbers.
#define SAME(NAME) static_assert(int(ours::NAME) == int(::NAME))
SAME(ncclSuccess);
SAME(ncclUnhandledCudaError);
SAME(ncclSystemError);
SAME(ncclInternalError);
SAME(ncclInvalidArgument);
SAME(ncclInvalidUsage);
SAME(ncclRemoteError);
SAME(ncclInProgress);
SAME(ncclSum);
SAME(ncclInt8);
SAME(ncclFloat32);
static_assert(sizeof(ours::ncclResult_t) == sizeof(::ncclResult_t));
static_assert(sizeof(ours::ncclRedOp_t) == sizeof(::ncclRedOp_t));
static_assert(sizeof(ours::ncclDataType_t) == sizeof(::ncclDataType_t));
static_assert(sizeof(ours::ncclUniqueId) == sizeof(::ncclUniqueId));

// Layout: ours is the beginning of theirs.
#define SAME_PLACE(NAME)                                                       \
  static_assert(offsetof(ours::ncclConfig_t, NAME) ==                          \
                offsetof(::ncclConfig_t, NAME));                               \
  static_assert(std::is_same_v<decltype(ours::ncclConfig_t::NAME),             \
                               decltype(::ncclConfig_t::NAME)>)
SAME_PLACE(size);
SAME_PLACE(magic);
SAME_PLACE(version);
SAME_PLACE(blocking);
SAME_PLACE(cgaClusterSize);
SAME_PLACE(minCTAs);
SAME_PLACE(maxCTAs);
SAME_PLACE(netName);
SAME_PLACE(splitShare);
static_assert(sizeof(ours::ncclConfig_t) <= sizeof(::ncclConfig_t));

// Functions, by what their types become when ours are replaced by theirs.
template <class T> struct Theirs {
  using type = T;
};
#define BECOMES(NAME)                                                          \
  template <> struct Theirs<ours::NAME> {                                      \
    using type = ::NAME;                                                       \
  }
BECOMES(ncclResult_t);
BECOMES(ncclRedOp_t);
BECOMES(ncclDataType_t);
BECOMES(ncclUniqueId);
BECOMES(ncclComm_t);
BECOMES(ncclConfig_t);
template <> struct Theirs<ours::ncclStream_t> {
  using type = cudaStream_t;
};
template <class T> struct Theirs<T *> {
  using type = typename Theirs<T>::type *;
};
template <> struct Theirs<ours::ncclComm_t *> {
  using type = ::ncclComm_t *;
};
template <class R, class... As> struct Theirs<R(As...)> {
  using type = typename Theirs<R>::type(typename Theirs<As>::type...);
};

namespace ours {
#define DSV2_NCCL_FUNCTION(RESULT, NAME, PARAMETERS)                           \
  using NAME##_type = RESULT PARAMETERS;
#include "dsv2rt/comm/NcclApi.def"
} // namespace ours
#define DSV2_NCCL_FUNCTION(RESULT, NAME, PARAMETERS)                           \
  static_assert(                                                               \
      std::is_same_v<Theirs<ours::NAME##_type>::type, decltype(::NAME)>,       \
      #NAME);
#include "dsv2rt/comm/NcclApi.def"

TEST(NcclApi, IsThatOfTheHeader) {
  // All of it was checked above. What can be seen at run time:
  ::ncclConfig_t theirs = NCCL_CONFIG_INITIALIZER;
  ours::ncclConfig_t own;
  EXPECT_EQ(own.magic, theirs.magic);
  EXPECT_EQ(own.blocking, theirs.blocking);
  EXPECT_EQ(own.splitShare, theirs.splitShare);
  EXPECT_EQ(own.netName, theirs.netName);
}
#else
TEST(NcclApi, IsThatOfTheHeader) {
  GTEST_SKIP() << "nccl.h was not found when this was configured";
}
#endif
