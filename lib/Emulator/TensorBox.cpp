//===- TensorBox.cpp - boxes of tensors in global and shared memory -------===//
//
// Part of dsv2, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "TensorBox.h"

#include "SoftFloat.h"

#include <algorithm>
#include <cstring>

using namespace dsv2::emulator;

uint32_t dsv2::emulator::boxRowBytes(const TensorMap &map) {
  return map.box[0] * elementBytes(map.type);
}

void dsv2::emulator::forBoxRows(const TensorMap &map,
                                const int32_t *coordinates,
                                llvm::function_ref<void(const BoxRow &)> each) {
  uint32_t bytes = elementBytes(map.type);
  int64_t start = coordinates[0], extent = map.dims[0];
  int64_t first = std::clamp<int64_t>(-start, 0, map.box[0]);
  int64_t last = std::clamp<int64_t>(extent - start, first, map.box[0]);
  uint32_t rows = 1;
  for (uint32_t i = 1; i < map.rank; ++i)
    rows *= map.box[i];
  for (uint32_t number = 0; number < rows; ++number) {
    BoxRow row;
    row.offset = number * boxRowBytes(map);
    bool inside = true;
    uint64_t address = map.address;
    uint32_t rest = number;
    for (uint32_t i = 1; i < map.rank; ++i) {
      int64_t position = int64_t(coordinates[i]) + rest % map.box[i];
      rest /= map.box[i];
      inside &= position >= 0 && position < int64_t(map.dims[i]);
      address += position * map.strides[i];
    }
    if (inside) {
      row.first = first * bytes;
      row.last = last * bytes;
      row.address = address + (start + first) * int64_t(bytes);
    }
    each(row);
  }
}

//===----------------------------------------------------------------------===//
// Reductions
//===----------------------------------------------------------------------===//

template <typename Type, typename Combine>
static void reduceAs(void *to, const void *from, uint32_t count,
                     Combine combine) {
  for (uint32_t i = 0; i < count; ++i) {
    Type a, b;
    std::memcpy(&a, static_cast<char *>(to) + i * sizeof(Type), sizeof(Type));
    std::memcpy(&b, static_cast<const char *>(from) + i * sizeof(Type),
                sizeof(Type));
    a = combine(a, b);
    std::memcpy(static_cast<char *>(to) + i * sizeof(Type), &a, sizeof(Type));
  }
}

template <typename Type>
static bool reduceIntegers(BoxReduction reduction, void *to, const void *from,
                           uint32_t count) {
  auto with = [&](auto combine) {
    reduceAs<Type>(to, from, count, combine);
    return true;
  };
  switch (reduction) {
  case BoxReduction::Add:
    return with([](Type a, Type b) { return Type(uint32_t(a) + uint32_t(b)); });
  case BoxReduction::Min:
    return with([](Type a, Type b) { return std::min(a, b); });
  case BoxReduction::Max:
    return with([](Type a, Type b) { return std::max(a, b); });
  case BoxReduction::Inc:
    return with([](Type a, Type b) { return a >= b ? Type(0) : Type(a + 1); });
  case BoxReduction::Dec:
    return with(
        [](Type a, Type b) { return a == 0 || a > b ? b : Type(a - 1); });
  case BoxReduction::And:
    return with([](Type a, Type b) { return Type(a & b); });
  case BoxReduction::Or:
    return with([](Type a, Type b) { return Type(a | b); });
  case BoxReduction::Xor:
    return with([](Type a, Type b) { return Type(a ^ b); });
  case BoxReduction::None:
    break;
  }
  return false;
}

template <float (*Widen)(uint16_t), uint16_t (*Narrow)(float)>
static bool reduceHalves(BoxReduction reduction, void *to, const void *from,
                         uint32_t count) {
  auto with = [&](auto combine) {
    reduceAs<uint16_t>(to, from, count, [&](uint16_t a, uint16_t b) {
      return Narrow(combine(Widen(a), Widen(b)));
    });
    return true;
  };
  switch (reduction) {
  case BoxReduction::Add:
    return with([](float a, float b) { return a + b; });
  case BoxReduction::Min:
    return with([](float a, float b) { return std::min(a, b); });
  case BoxReduction::Max:
    return with([](float a, float b) { return std::max(a, b); });
  default:
    return false;
  }
}

bool dsv2::emulator::reduceElements(CUtensorMapDataType type,
                                    BoxReduction reduction, void *to,
                                    const void *from, uint32_t count) {
  switch (type) {
  case CU_TENSOR_MAP_DATA_TYPE_UINT32:
    return reduceIntegers<uint32_t>(reduction, to, from, count);
  case CU_TENSOR_MAP_DATA_TYPE_INT32:
    return reduceIntegers<int32_t>(reduction, to, from, count);
  case CU_TENSOR_MAP_DATA_TYPE_FLOAT32:
    if (reduction != BoxReduction::Add)
      return false;
    reduceAs<float>(to, from, count, [](float a, float b) { return a + b; });
    return true;
  case CU_TENSOR_MAP_DATA_TYPE_BFLOAT16:
    return reduceHalves<fromBF16, toBF16>(reduction, to, from, count);
  case CU_TENSOR_MAP_DATA_TYPE_FLOAT16:
    return reduceHalves<fromF16, toF16>(reduction, to, from, count);
  default:
    return false;
  }
}
