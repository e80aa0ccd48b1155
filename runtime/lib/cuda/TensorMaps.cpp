//===- TensorMaps.cpp - encoded tensor maps, kept -------------------------===//
//
// Part of dsv2, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "TensorMaps.h"
#include "dsv2rt/cuda/TensorMapRules.h"

using namespace dsv2rt;
using namespace dsv2rt::cuda;

/// 5 MiB of maps: far more than the operands of one model's kernels, so that
/// only the sizes of many different steps reach it.
static constexpr size_t maxMaps = 1 << 15;

static CUtensorMapDataType dataType(DeviceManifest::Element element) {
  switch (element) {
  case DeviceManifest::Element::U8:
    return CU_TENSOR_MAP_DATA_TYPE_UINT8;
  case DeviceManifest::Element::U16:
    return CU_TENSOR_MAP_DATA_TYPE_UINT16;
  case DeviceManifest::Element::U32:
    return CU_TENSOR_MAP_DATA_TYPE_UINT32;
  case DeviceManifest::Element::I32:
    return CU_TENSOR_MAP_DATA_TYPE_INT32;
  case DeviceManifest::Element::F16:
    return CU_TENSOR_MAP_DATA_TYPE_FLOAT16;
  case DeviceManifest::Element::F32:
    return CU_TENSOR_MAP_DATA_TYPE_FLOAT32;
  case DeviceManifest::Element::BF16:
    return CU_TENSOR_MAP_DATA_TYPE_BFLOAT16;
  }
  return CU_TENSOR_MAP_DATA_TYPE_UINT8;
}

static CUtensorMapSwizzle swizzleOf(int64_t span) {
  return span == 32    ? CU_TENSOR_MAP_SWIZZLE_32B
         : span == 64  ? CU_TENSOR_MAP_SWIZZLE_64B
         : span == 128 ? CU_TENSOR_MAP_SWIZZLE_128B
                       : CU_TENSOR_MAP_SWIZZLE_NONE;
}

size_t TensorMaps::Hash::operator()(const Key &key) const {
  // FNV-1a by words, mixed at the end as only low bits choose the bucket.
  uint64_t hash = 0xcbf29ce484222325;
  for (uint64_t word : key)
    hash = (hash ^ word) * 0x100000001b3;
  return size_t(hash ^ hash >> 32);
}

Expected<const CUtensorMap *>
TensorMaps::get(const DeviceManifest::Kernel &kernel, int32_t index,
                size_t parameter, const dsv2rt_tensor &tensor) {
  const DeviceManifest::TensorMap &facts = kernel.parameters[parameter].map;
  Key key = {};
  key[0] = uint64_t(index) << 32 | parameter;
  key[1] = reinterpret_cast<uintptr_t>(tensor.address);
  for (int64_t i = 0; i < facts.rank; ++i) {
    key[2 + i] = uint64_t(tensor.dims[i]);
    key[2 + DSV2RT_MAX_TENSOR_RANK + i] = uint64_t(tensor.strides[i]);
  }
  auto it = maps.find(key);
  if (it != maps.end())
    return &it->second;

  constexpr int64_t most = DSV2RT_MAX_TENSOR_RANK;
  cuuint64_t dims[most] = {}, strides[most] = {};
  cuuint32_t box[most] = {}, ones[most] = {};
  for (int64_t i = 0; i < facts.rank; ++i) {
    dims[i] = cuuint64_t(tensor.dims[i]);
    // The innermost stride is not passed on; it has to be an element's size.
    if (i)
      strides[i - 1] = cuuint64_t(tensor.strides[i]);
    box[i] = cuuint32_t(facts.box[i]);
    ones[i] = 1;
  }
  auto what = [&] {
    return strCat("parameter ", parameter, " of kernel ", quote(kernel.name));
  };
  std::string problem = tensorMapProblem(
      dataType(facts.element), cuuint32_t(facts.rank), tensor.address, dims,
      strides, box, swizzleOf(facts.swizzle));
  if (problem.empty() && tensor.strides[0] != elementBytes(facts.element))
    problem =
        strCat("the innermost stride: expected ", elementBytes(facts.element),
               ", found ", tensor.strides[0]);
  if (!problem.empty())
    return makeError(StatusCode::Internal, "the tensor for ", what(),
                     " fits no tensor map: ", problem);
  CUtensorMap map;
  Status status = context.call(
      context.driver().cuTensorMapEncodeTiled,
      [&] { return strCat("encoding the tensor map for ", what()); }, &map,
      dataType(facts.element), cuuint32_t(facts.rank), tensor.address, dims,
      strides, box, ones, CU_TENSOR_MAP_INTERLEAVE_NONE,
      swizzleOf(facts.swizzle), CU_TENSOR_MAP_L2_PROMOTION_L2_256B,
      CU_TENSOR_MAP_FLOAT_OOB_FILL_NONE);
  if (!status.ok())
    return status;
  return &maps.emplace(key, map).first->second;
}

void TensorMaps::trim() {
  if (maps.size() > maxMaps)
    maps.clear();
}
