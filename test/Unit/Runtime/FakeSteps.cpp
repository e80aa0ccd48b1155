//===- FakeSteps.cpp - the fake artifacts' model, on the CPU --------------===//
//
// Part of dsv2, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// Every layer averages what the cache holds for all positions up to its own, so
// a wrong page, position or block table shows in the logits, and the summation
// order is that of the positions, so batching and chunking change nothing, to
// the bit.
//
// Written in plain loops: this is no example of how kernels are made.
//
//===----------------------------------------------------------------------===//

#include "FakeModel.h"

#include <cstring>

using namespace fake;

// Compiled artifacts run on LLVM's OpenMP runtime; the process has to have it.
// NOLINTNEXTLINE(bugprone-reserved-identifier)
extern "C" int32_t __kmpc_global_thread_num(void *location);

static float *slot(const dsv2rt_memref1d *weights, int index) {
  return static_cast<float *>(base<void *>(weights)[index]);
}

EXPORT int64_t fake_workspace(int64_t tokens, int64_t, int64_t, int64_t,
                              int64_t) {
  return 2 * tokens * hidden * 4;
}

EXPORT void fake_copy_pages(dsv2rt_memref4d *cache, dsv2rt_memref1d *from,
                            dsv2rt_memref1d *to) {
  auto *data = static_cast<float *>(cache->aligned);
  for (int64_t layer = 0; layer < cache->sizes[0]; ++layer)
    for (int64_t i = 0; i < from->sizes[0]; ++i)
      std::memcpy(data + layer * cache->strides[0] +
                      base<int32_t>(to)[i] * cache->strides[1],
                  data + layer * cache->strides[0] +
                      base<int32_t>(from)[i] * cache->strides[1],
                  cache->strides[1] * 4);
}

static void step(dsv2rt_memref1d *tokens, dsv2rt_memref1d *positions,
                 dsv2rt_memref1d *seqIds, dsv2rt_memref2d *tables,
                 dsv2rt_memref1d *logitRows, dsv2rt_memref4d *cache,
                 dsv2rt_memref1d *weights, dsv2rt_memref1d *workspace,
                 dsv2rt_memref2d *logits, void *context, int32_t tapLevel) {
  (void)__kmpc_global_thread_num(nullptr);
  int64_t count = tokens->sizes[0];
  auto *state = base<float>(workspace);
  float *mean = state + count * hidden;
  auto *table = static_cast<int32_t *>(tables->aligned);
  auto *pages = static_cast<float *>(cache->aligned);
  auto place = [&](int64_t layer, int64_t token, int64_t position) {
    int32_t number = table[base<int32_t>(seqIds)[token] * tables->strides[0] +
                           position / page];
    return pages + layer * cache->strides[0] + number * cache->strides[1] +
           position % page * cache->strides[2];
  };

  for (int64_t t = 0; t < count; ++t)
    std::memcpy(state + t * hidden,
                slot(weights, 0) + base<int32_t>(tokens)[t] * hidden,
                hidden * 4);
  for (int64_t layer = 0; layer < layers; ++layer) {
    for (int64_t t = 0; t < count; ++t)
      std::memcpy(place(layer, t, base<int32_t>(positions)[t]),
                  state + t * hidden, hidden * 4);
    for (int64_t t = 0; t < count; ++t) {
      int64_t position = base<int32_t>(positions)[t];
      for (int64_t i = 0; i < hidden; ++i) {
        float sum = 0;
        for (int64_t p = 0; p <= position; ++p)
          sum += place(layer, t, p)[i];
        mean[t * hidden + i] = sum / float(position + 1);
      }
    }
    if (tapLevel >= 2)
      dsv2rt_tap(context, 1, layer, mean, count, hidden, hidden, DSV2RT_F32);
    for (int64_t t = 0; t < count; ++t) {
      int64_t expert = base<int32_t>(tokens)[t] % experts;
      const float *up = slot(weights, 2) + expert * intermediate * hidden;
      for (int64_t i = 0; i < hidden; ++i) {
        float &value = state[t * hidden + i];
        value += mean[t * hidden + i] * slot(weights, 1)[layer * hidden + i];
        if (layer == 1)
          value += 0.5f * up[i];
      }
    }
    if (tapLevel >= 1)
      dsv2rt_tap(context, 0, layer, state, count, hidden, hidden, DSV2RT_F32);
  }
  auto *out = static_cast<float *>(logits->aligned);
  for (int64_t r = 0; r < logitRows->sizes[0]; ++r) {
    const float *row = state + base<int32_t>(logitRows)[r] * hidden;
    for (int64_t v = 0; v < vocabulary; ++v) {
      float sum = 0;
      for (int64_t i = 0; i < hidden; ++i)
        sum += row[i] * slot(weights, 3)[i * vocabulary + v];
      out[r * logits->strides[0] + v] = sum;
    }
  }
  if (tapLevel >= 2)
    dsv2rt_tap(context, 2, -1, out, logits->sizes[0], vocabulary,
               logits->strides[0], DSV2RT_F32);
}

EXPORT void fake_prefill(dsv2rt_memref1d *tokens, dsv2rt_memref1d *positions,
                         dsv2rt_memref1d *seqIds, dsv2rt_memref1d *,
                         dsv2rt_memref2d *tables, dsv2rt_memref1d *logitRows,
                         dsv2rt_memref4d *cache, dsv2rt_memref1d *weights,
                         dsv2rt_memref1d *workspace, dsv2rt_memref2d *logits,
                         void *context, int32_t tapLevel) {
  step(tokens, positions, seqIds, tables, logitRows, cache, weights, workspace,
       logits, context, tapLevel);
}

EXPORT void fake_decode(dsv2rt_memref1d *tokens, dsv2rt_memref1d *positions,
                        dsv2rt_memref1d *seqIds, dsv2rt_memref1d *,
                        dsv2rt_memref2d *tables, dsv2rt_memref1d *logitRows,
                        dsv2rt_memref4d *cache, dsv2rt_memref1d *weights,
                        dsv2rt_memref1d *workspace, dsv2rt_memref2d *logits,
                        void *context, int32_t tapLevel) {
  step(tokens, positions, seqIds, tables, logitRows, cache, weights, workspace,
       logits, context, tapLevel);
}
