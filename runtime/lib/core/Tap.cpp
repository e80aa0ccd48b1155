//===- Tap.cpp - the entry points that compiled code calls ----------------===//
//
// Part of dsv2, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "StepContext.h"

using namespace dsv2rt;

/// A float is NaN or infinite exactly when its exponent bits are all ones, so
/// this needs no arithmetic on the values.
template <class Word>
static bool noneHasAllOnes(const void *data, int64_t count, Word exponent) {
  auto *words = static_cast<const Word *>(data);
  Word found = 0;
  for (int64_t i = 0; i < count; ++i)
    found |= Word((words[i] & exponent) == exponent);
  return !found;
}

bool dsv2rt::allFinite(const void *data, int64_t count, int32_t dtype) {
  switch (dtype) {
  case DSV2RT_F32:
    return noneHasAllOnes<uint32_t>(data, count, 0x7f800000);
  case DSV2RT_BF16:
    return noneHasAllOnes<uint16_t>(data, count, 0x7f80);
  case DSV2RT_F16:
    return noneHasAllOnes<uint16_t>(data, count, 0x7c00);
  default:
    return true;
  }
}

extern "C" __attribute__((visibility("default"))) void
dsv2rt_tap(void *context, int32_t site, int64_t layer, void *data, int64_t rows,
           int64_t columns, int64_t row_stride, int32_t dtype) {
  if (context)
    static_cast<StepContext *>(context)->tap(site, layer, data, rows, columns,
                                             row_stride, dtype);
}

extern "C" __attribute__((visibility("default"))) void
dsv2rt_launch(void *context, int32_t kernel, int32_t grid_x, int32_t grid_y,
              int32_t grid_z, void **parameters, int32_t site, int64_t layer) {
  if (context)
    static_cast<StepContext *>(context)->launch(kernel, grid_x, grid_y, grid_z,
                                                parameters, {site, layer});
}

extern "C" __attribute__((visibility("default"))) int64_t
dsv2rt_device_info(void *context, int32_t property) {
  return context ? static_cast<StepContext *>(context)->deviceInfo(property)
                 : 0;
}

extern "C" __attribute__((visibility("default"))) int64_t
dsv2rt_key_rows(void *context) {
  return context ? static_cast<StepContext *>(context)->keyRows() : 0;
}
