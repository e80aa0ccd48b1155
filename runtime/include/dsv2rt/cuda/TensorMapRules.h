//===- TensorMapRules.h - what a tensor map may be --------------*- C++ -*-===//
//
// Part of dsv2, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// The requirements of cuTensorMapEncodeTiled (CUDA Driver API, "Tensor Map
// Object Management"), in one place for the runtime, which names the parameter
// that breaks one, and the emulator, which has to refuse what a driver refuses.
//
//===----------------------------------------------------------------------===//

#ifndef DSV2RT_CUDA_TENSORMAPRULES_H
#define DSV2RT_CUDA_TENSORMAPRULES_H

#include "dsv2rt/cuda/DriverApi.h"

#include <string>

namespace dsv2rt::cuda {

/// Bytes of an element, 0 for a type that this project does not use.
inline uint64_t tensorElementBytes(CUtensorMapDataType type) {
  switch (type) {
  case CU_TENSOR_MAP_DATA_TYPE_UINT8:
    return 1;
  case CU_TENSOR_MAP_DATA_TYPE_UINT16:
  case CU_TENSOR_MAP_DATA_TYPE_FLOAT16:
  case CU_TENSOR_MAP_DATA_TYPE_BFLOAT16:
    return 2;
  case CU_TENSOR_MAP_DATA_TYPE_UINT32:
  case CU_TENSOR_MAP_DATA_TYPE_INT32:
  case CU_TENSOR_MAP_DATA_TYPE_FLOAT32:
    return 4;
  }
  return 0;
}

/// Bytes of the span of a swizzle, 0 for none.
inline uint64_t swizzleSpan(CUtensorMapSwizzle swizzle) {
  switch (swizzle) {
  case CU_TENSOR_MAP_SWIZZLE_NONE:
    return 0;
  case CU_TENSOR_MAP_SWIZZLE_32B:
    return 32;
  case CU_TENSOR_MAP_SWIZZLE_64B:
    return 64;
  case CU_TENSOR_MAP_SWIZZLE_128B:
    return 128;
  }
  return 0;
}

/// Why cuTensorMapEncodeTiled refuses these arguments, which are named as its
/// own, without interleaving and with element strides of 1: "expected ...,
/// found
/// ..."; empty when it takes them. `strides` has rank - 1 entries.
inline std::string tensorMapProblem(CUtensorMapDataType type, cuuint32_t rank,
                                    const void *address, const cuuint64_t *dims,
                                    const cuuint64_t *strides,
                                    const cuuint32_t *box,
                                    CUtensorMapSwizzle swizzle) {
  auto wrong = [](const std::string &what, const std::string &expected,
                  uint64_t found) {
    return what + ": expected " + expected + ", found " + std::to_string(found);
  };
  auto at = [](const char *name, cuuint32_t index) {
    return std::string(name) + "[" + std::to_string(index) + "]";
  };
  uint64_t bytes = tensorElementBytes(type);
  if (!bytes)
    return wrong("type", "one of those of this project", uint64_t(type));
  if (rank < 1 || rank > 5)
    return wrong("rank", "1 to 5", rank);
  auto place = reinterpret_cast<uintptr_t>(address);
  if (!place || place % 16)
    return wrong("address", "a multiple of 16 other than 0", place);
  for (cuuint32_t i = 0; i < rank; ++i) {
    if (dims[i] < 1 || dims[i] > uint64_t(1) << 32)
      return wrong(at("dims", i), "1 to 2^32", dims[i]);
    if (box[i] < 1 || box[i] > 256)
      return wrong(at("box", i), "1 to 256", box[i]);
  }
  for (cuuint32_t i = 0; i + 1 < rank; ++i)
    if (strides[i] % 16 || strides[i] >= uint64_t(1) << 40)
      return wrong(at("strides", i), "a multiple of 16 below 2^40", strides[i]);
  uint64_t inner = box[0] * bytes;
  if (inner % 16)
    return wrong("box[0]", "a multiple of 16 bytes", inner);
  if (uint64_t span = swizzleSpan(swizzle); span && inner > span)
    return wrong(
        "box[0]",
        "at most the " + std::to_string(span) + " bytes of the swizzle", inner);
  return {};
}

} // namespace dsv2rt::cuda

#endif // DSV2RT_CUDA_TENSORMAPRULES_H
