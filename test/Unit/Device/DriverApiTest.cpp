//===- DriverApiTest.cpp - DriverApi.h against the toolkit's header -------===//
//
// Part of dsv2, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// Compared when this file is compiled: every number, the size and the members
// of every structure, and the type of every function. DSV2_CUDA_HEADER is
// defined where <cuda.h> was found.
//
//===----------------------------------------------------------------------===//

#include "gtest/gtest.h"

#ifndef DSV2_CUDA_HEADER

TEST(DriverApiTest, IsTheToolkits) {
  GTEST_SKIP() << "unsupported: no cuda.h of CUDA 12 or later was found";
}

#else

#include <cuda.h>

#define DSV2_CUDA_NAMESPACE ours
#include "dsv2rt/cuda/DriverApi.h"

#include <cstddef>
#include <type_traits>

namespace {

/// Whether two types are passed and laid out alike, although ours are declared
/// in another namespace.
template <class A, class B> constexpr bool alike() {
  if constexpr (std::is_const_v<A> != std::is_const_v<B>) {
    return false;
  } else if constexpr (std::is_pointer_v<A> && std::is_pointer_v<B>) {
    using PointeeA = std::remove_pointer_t<A>;
    using PointeeB = std::remove_pointer_t<B>;
    return alike<PointeeA, PointeeB>();
  } else if constexpr (std::is_enum_v<A> || std::is_enum_v<B>) {
    if constexpr (std::is_enum_v<A> && std::is_enum_v<B>)
      return sizeof(A) == sizeof(B);
    else
      return false;
  } else if constexpr (std::is_class_v<A> && std::is_class_v<B>) {
    // Handles are pointers to types that are never complete; the others are
    // compared member by member below.
    return true;
  } else if constexpr (std::is_integral_v<A> && std::is_integral_v<B>) {
    return sizeof(A) == sizeof(B) && std::is_signed_v<A> == std::is_signed_v<B>;
  } else {
    return std::is_same_v<A, B>;
  }
}

template <class A, class B> struct AlikeFunctions : std::false_type {};
template <class ResultA, class... As, class ResultB, class... Bs>
struct AlikeFunctions<ResultA(As...), ResultB(Bs...)>
    : std::bool_constant<alike<ResultA, ResultB>() &&
                         (alike<As, Bs>() && ...)> {};

// A trait that finds nothing would prove nothing.
static_assert(!alike<int *, const int *>() && !alike<int, unsigned>() &&
              !alike<int, long>() && !alike<void **, void *>() &&
              !alike<::CUresult, int>() && !alike<float, int>());
static_assert(!AlikeFunctions<int(int), int(float)>::value);

/// Ours may be aligned more strictly.
template <class Theirs, class Ours>
constexpr bool sameSize =
    sizeof(Theirs) == sizeof(Ours) && alignof(Ours) % alignof(Theirs) == 0;

} // namespace

// Numbers: the enumerators and constants of DriverApi.h.
#define DSV2_CUDA_VALUE(NAME)                                                  \
  static_assert(int64_t(::NAME) == int64_t(ours::NAME), #NAME);
#include "DriverApiValues.inc"
#undef DSV2_CUDA_VALUE

// Functions, under the names that the library exports. The namespace's types
// are those of DriverApi.def's parameters. The toolkit's header renames some by
// macros, to versions with the same parameters.
namespace ours {
#define DSV2_CUDA_FUNCTION(NAME, PARAMETERS)                                   \
  using Type_##NAME = CUresult PARAMETERS;
#include "dsv2rt/cuda/DriverApi.def"
} // namespace ours
#define DSV2_CUDA_FUNCTION(NAME, PARAMETERS)                                   \
  static_assert(AlikeFunctions<ours::Type_##NAME, decltype(::NAME)>::value,    \
                #NAME);
#include "dsv2rt/cuda/DriverApi.def"

// Structures.
#define SAME_STRUCTURE(NAME) static_assert(sameSize<::NAME, ours::NAME>, #NAME)
#define SAME_MEMBER(NAME, MEMBER)                                              \
  static_assert(offsetof(::NAME, MEMBER) == offsetof(ours::NAME, MEMBER) &&    \
                    sizeof(::NAME::MEMBER) == sizeof(ours::NAME::MEMBER),      \
                #NAME "::" #MEMBER)

SAME_STRUCTURE(CUuuid);
SAME_MEMBER(CUuuid, bytes);
SAME_STRUCTURE(CUDA_MEMCPY2D);
SAME_MEMBER(CUDA_MEMCPY2D, srcXInBytes);
SAME_MEMBER(CUDA_MEMCPY2D, srcY);
SAME_MEMBER(CUDA_MEMCPY2D, srcMemoryType);
SAME_MEMBER(CUDA_MEMCPY2D, srcHost);
SAME_MEMBER(CUDA_MEMCPY2D, srcDevice);
SAME_MEMBER(CUDA_MEMCPY2D, srcArray);
SAME_MEMBER(CUDA_MEMCPY2D, srcPitch);
SAME_MEMBER(CUDA_MEMCPY2D, dstXInBytes);
SAME_MEMBER(CUDA_MEMCPY2D, dstY);
SAME_MEMBER(CUDA_MEMCPY2D, dstMemoryType);
SAME_MEMBER(CUDA_MEMCPY2D, dstHost);
SAME_MEMBER(CUDA_MEMCPY2D, dstDevice);
SAME_MEMBER(CUDA_MEMCPY2D, dstArray);
SAME_MEMBER(CUDA_MEMCPY2D, dstPitch);
SAME_MEMBER(CUDA_MEMCPY2D, WidthInBytes);
SAME_MEMBER(CUDA_MEMCPY2D, Height);
SAME_STRUCTURE(CUlaunchConfig);
SAME_MEMBER(CUlaunchConfig, gridDimX);
SAME_MEMBER(CUlaunchConfig, gridDimY);
SAME_MEMBER(CUlaunchConfig, gridDimZ);
SAME_MEMBER(CUlaunchConfig, blockDimX);
SAME_MEMBER(CUlaunchConfig, blockDimY);
SAME_MEMBER(CUlaunchConfig, blockDimZ);
SAME_MEMBER(CUlaunchConfig, sharedMemBytes);
SAME_MEMBER(CUlaunchConfig, hStream);
SAME_MEMBER(CUlaunchConfig, attrs);
SAME_MEMBER(CUlaunchConfig, numAttrs);
SAME_STRUCTURE(CUlaunchAttribute);
SAME_MEMBER(CUlaunchAttribute, id);
SAME_MEMBER(CUlaunchAttribute, value);
SAME_STRUCTURE(CUlaunchAttributeValue);
SAME_MEMBER(CUlaunchAttributeValue, cooperative);
SAME_MEMBER(CUlaunchAttributeValue, clusterDim);
SAME_MEMBER(CUlaunchAttributeValue, clusterDim.x);
SAME_MEMBER(CUlaunchAttributeValue, clusterDim.y);
SAME_MEMBER(CUlaunchAttributeValue, clusterDim.z);
SAME_MEMBER(CUlaunchAttributeValue, programmaticStreamSerializationAllowed);
SAME_STRUCTURE(CUtensorMap);
SAME_MEMBER(CUtensorMap, opaque);

static_assert(alike<ours::CUdevice, ::CUdevice>());
static_assert(alike<ours::CUdeviceptr, ::CUdeviceptr>());

TEST(DriverApiTest, IsTheToolkits) {
  // Reached only if all of the above holds.
  EXPECT_GE(CUDA_VERSION, 12000);
}

#endif // DSV2_CUDA_HEADER
