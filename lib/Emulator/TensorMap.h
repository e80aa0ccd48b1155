//===- TensorMap.h - descriptions of tensors for the memory accelerator -*- C++
//-*-===//
//
// Part of dsv2, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef DSV2_LIB_EMULATOR_TENSORMAP_H
#define DSV2_LIB_EMULATOR_TENSORMAP_H

#include "dsv2rt/cuda/DriverApi.h"

#include <string>

namespace dsv2::emulator {

/// A tensor map in the clear. Dimension 0 is the innermost; strides are in
/// bytes, strides[0] the size of an element.
struct TensorMap {
  uint64_t address = 0;
  CUtensorMapDataType type = CU_TENSOR_MAP_DATA_TYPE_UINT8;
  uint32_t rank = 0;
  uint64_t dims[5] = {1, 1, 1, 1, 1};
  uint64_t strides[5] = {};
  uint32_t box[5] = {1, 1, 1, 1, 1};
  uint32_t swizzle = 0;
  /// Elements out of bounds read as NaN instead of zero.
  bool fillNan = false;

  /// Bytes of the box in shared memory.
  uint64_t boxBytes() const;
};

/// Bytes of an element.
uint32_t elementBytes(CUtensorMapDataType type);

/// What cuTensorMapEncodeTiled does: checks the limits of its reference and
/// fills `map`. Returns an empty string or the limit that is exceeded.
std::string
encodeTensorMap(CUtensorMap &map, CUtensorMapDataType type, uint32_t rank,
                void *address, const uint64_t *dims, const uint64_t *strides,
                const uint32_t *box, const uint32_t *elementStrides,
                CUtensorMapInterleave interleave, CUtensorMapSwizzle swizzle,
                CUtensorMapL2promotion promotion, CUtensorMapFloatOOBfill fill);

/// Reads what encodeTensorMap wrote at `address`; false when it is no such
/// thing.
bool decodeTensorMap(const void *address, TensorMap &result);

} // namespace dsv2::emulator

#endif // DSV2_LIB_EMULATOR_TENSORMAP_H
