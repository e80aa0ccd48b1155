//===- FakeWeights.cpp - weight preparation of the fake artifacts ---------===//
//
// Part of dsv2, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "FakeModel.h"

#include <cstring>

using namespace fake;

EXPORT void fake_convert_f32(dsv2rt_memref1d *source, dsv2rt_memref1d *output) {
  std::memcpy(base<float>(output), base<float>(source), source->sizes[0] * 4);
}

EXPORT void fake_convert_bf16(dsv2rt_memref1d *source,
                              dsv2rt_memref1d *output) {
  for (int64_t i = 0; i < source->sizes[0]; ++i) {
    uint32_t bits = uint32_t(base<uint16_t>(source)[i]) << 16;
    std::memcpy(base<float>(output) + i, &bits, 4);
  }
}

static void copyTensor(dsv2rt_memref1d *sources, dsv2rt_memref1d *outputs,
                       int64_t elements) {
  std::memcpy(base<void *>(outputs)[0], base<void *>(sources)[0], elements * 4);
}

EXPORT void fake_prepare_embed(dsv2rt_memref1d *sources,
                               dsv2rt_memref1d *outputs) {
  copyTensor(sources, outputs, vocabulary * hidden);
}

EXPORT void fake_prepare_norm(dsv2rt_memref1d *sources,
                              dsv2rt_memref1d *outputs) {
  copyTensor(sources, outputs, hidden);
}

EXPORT void fake_prepare_experts(dsv2rt_memref1d *sources,
                                 dsv2rt_memref1d *outputs) {
  copyTensor(sources, outputs, intermediate * hidden);
}

EXPORT void fake_prepare_head(dsv2rt_memref1d *sources,
                              dsv2rt_memref1d *outputs) {
  auto *from = static_cast<float *>(base<void *>(sources)[0]);
  auto *to = static_cast<float *>(base<void *>(outputs)[0]);
  for (int64_t row = 0; row < vocabulary; ++row)
    for (int64_t column = 0; column < hidden; ++column)
      to[column * vocabulary + row] = from[row * hidden + column];
}
