//===- TensorMap.cpp - descriptions of tensors for the memory accelerator -===//
//
// Part of dsv2, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "TensorMap.h"

#include "llvm/Support/FormatVariadic.h"

#include <cstring>

using namespace dsv2::emulator;

namespace {
/// What a map holds: its 128 bytes are the driver's own business.
struct Encoded {
  uint64_t magic;
  uint64_t address;
  uint64_t strides[4];
  /// Less one, as 2^32 is a valid extent.
  uint32_t dims[5];
  uint16_t box[5];
  uint8_t type, rank, swizzle, fill;
};
static_assert(sizeof(Encoded) <= sizeof(CUtensorMap), "a map has 128 bytes");
} // namespace

static constexpr uint64_t mapMagic = 0x70616d3276736400; // "\0dsv2map"

uint32_t dsv2::emulator::elementBytes(CUtensorMapDataType type) {
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

uint64_t TensorMap::boxBytes() const {
  uint64_t bytes = elementBytes(type);
  for (uint32_t i = 0; i < rank; ++i)
    bytes *= box[i];
  return bytes;
}

std::string dsv2::emulator::encodeTensorMap(
    CUtensorMap &map, CUtensorMapDataType type, uint32_t rank, void *address,
    const uint64_t *dims, const uint64_t *strides, const uint32_t *box,
    const uint32_t *elementStrides, CUtensorMapInterleave interleave,
    CUtensorMapSwizzle swizzle, CUtensorMapL2promotion promotion,
    CUtensorMapFloatOOBfill fill) {
  uint32_t bytes = elementBytes(type);
  if (bytes == 0)
    return llvm::formatv("data type {0} is not known", int(type));
  if (rank < 1 || rank > 5)
    return llvm::formatv("rank {0} is not from 1 to 5", rank);
  if (interleave != CU_TENSOR_MAP_INTERLEAVE_NONE)
    return "interleaved layouts are not known";
  if (int(swizzle) < 0 || swizzle > CU_TENSOR_MAP_SWIZZLE_128B)
    return llvm::formatv("swizzle {0} is not known", int(swizzle));
  if (int(promotion) < 0 || promotion > CU_TENSOR_MAP_L2_PROMOTION_L2_256B)
    return llvm::formatv("L2 promotion {0} is not known", int(promotion));
  bool isFloat = type == CU_TENSOR_MAP_DATA_TYPE_FLOAT16 ||
                 type == CU_TENSOR_MAP_DATA_TYPE_FLOAT32 ||
                 type == CU_TENSOR_MAP_DATA_TYPE_BFLOAT16;
  if (fill != CU_TENSOR_MAP_FLOAT_OOB_FILL_NONE && !isFloat)
    return "only floating-point tensors can be filled with NaN";
  auto base = reinterpret_cast<uintptr_t>(address);
  if (base == 0 || base % 16 != 0)
    return llvm::formatv("the address {0:x} is not a multiple of 16", base);

  Encoded encoded = {};
  encoded.magic = mapMagic;
  encoded.address = base;
  encoded.type = type;
  encoded.rank = rank;
  encoded.swizzle = swizzle;
  encoded.fill = fill;
  uint64_t boxBytes = bytes;
  for (uint32_t i = 0; i < rank; ++i) {
    if (dims[i] == 0 || dims[i] > (1ull << 32))
      return llvm::formatv("dimension {0} of {1} elements is not from 1 to "
                           "2^32",
                           i, dims[i]);
    if (box[i] == 0 || box[i] > 256)
      return llvm::formatv("the box has {0} elements in dimension {1}, not "
                           "from 1 to 256",
                           box[i], i);
    if (elementStrides[i] != 1)
      return llvm::formatv("element stride {0} in dimension {1}; only 1 is "
                           "known",
                           elementStrides[i], i);
    encoded.dims[i] = uint32_t(dims[i] - 1);
    encoded.box[i] = uint16_t(box[i]);
    boxBytes *= box[i];
  }
  for (uint32_t i = 0; i + 1 < rank; ++i) {
    if (strides[i] % 16 != 0 || strides[i] >= (1ull << 40))
      return llvm::formatv("stride {0} of {1} bytes is not a multiple of 16 "
                           "below 2^40",
                           i + 1, strides[i]);
    encoded.strides[i] = strides[i];
  }
  uint64_t inner = uint64_t(box[0]) * bytes;
  if (inner % 16 != 0)
    return llvm::formatv("the box is {0} bytes wide, not a multiple of 16",
                         inner);
  if (swizzle != CU_TENSOR_MAP_SWIZZLE_NONE && inner > (16u << swizzle))
    return llvm::formatv("the box is {0} bytes wide, more than the {1} of its "
                         "swizzle",
                         inner, 16u << swizzle);
  if (boxBytes > (227 << 10))
    return llvm::formatv("the box of {0} bytes does not fit shared memory",
                         boxBytes);
  std::memset(&map, 0, sizeof(map));
  std::memcpy(&map, &encoded, sizeof(encoded));
  return {};
}

bool dsv2::emulator::decodeTensorMap(const void *address, TensorMap &result) {
  Encoded encoded;
  std::memcpy(&encoded, address, sizeof(encoded));
  if (encoded.magic != mapMagic)
    return false;
  result.address = encoded.address;
  result.type = CUtensorMapDataType(encoded.type);
  result.rank = encoded.rank;
  result.swizzle = encoded.swizzle;
  result.fillNan = encoded.fill != CU_TENSOR_MAP_FLOAT_OOB_FILL_NONE;
  result.strides[0] = elementBytes(result.type);
  for (uint32_t i = 0; i < result.rank; ++i) {
    result.dims[i] = uint64_t(encoded.dims[i]) + 1;
    result.box[i] = encoded.box[i];
    if (i > 0)
      result.strides[i] = encoded.strides[i - 1];
  }
  return true;
}
