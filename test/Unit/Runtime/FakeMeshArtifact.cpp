//===- FakeMeshArtifact.cpp - a hand-written artifact for several ranks ---===//
//
// Part of dsv2, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// The toy model of FakeSteps.cpp on a mesh of FAKE_TP * FAKE_EP ranks. What a
// rank of the tp axis computes of a sum is zero outside its own columns, and
// what it gets from experts is a copy, so that results are those of one rank,
// to the bit.
//
//===----------------------------------------------------------------------===//

#include "FakeMesh.h"

#include <cstdlib>
#include <cstring>

using namespace fake;

//===----------------------------------------------------------------------===//
// Manifest
//===----------------------------------------------------------------------===//

EXPORT const uint32_t dsv2_abi_version;
EXPORT const uint64_t dsv2_manifest_size;
EXPORT const char dsv2_manifest[];

const uint32_t dsv2_abi_version = DSV2RT_ABI_VERSION;

const char dsv2_manifest[] = R"({
  "format": "dsv2-artifact", "version": 1,
  "compiler": "by hand", "pipeline": "none", "identity": "abcdef",
)" FAKE_MESH_SHAPE FAKE_MANIFEST_FACTS R"(  "entries": [
    {"name": "prefill", "symbol": "mesh_prefill",
     "workspace": "mesh_workspace", "form": "expanded"},
    {"name": "decode", "symbol": "mesh_decode",
     "workspace": "mesh_workspace", "form": "absorbed"}],
  "prefill_min_tokens": 4,
  "copy_pages": "fake_copy_pages",
)" FAKE_MESH_WEIGHTS R"(
})";

const uint64_t dsv2_manifest_size = sizeof(dsv2_manifest) - 1;

//===----------------------------------------------------------------------===//
// Steps
//===----------------------------------------------------------------------===//

namespace {

/// What the workspace holds, in order.
struct Workspace {
  float *state, *mean, *terms, *fromExperts, *toTokens, *logits;
  int32_t *sentIds, *receivedIds, *order;

  /// At a null pointer, only to see where it ends.
  Workspace(const void *memory, int64_t tokens, int64_t rows, int64_t arrivals)
      : end(reinterpret_cast<uintptr_t>(memory)) {
    state = take<float>(tokens * hidden);
    mean = take<float>(tokens * hidden);
    terms = take<float>(2 * tokens * hidden);
    fromExperts = take<float>(tokens * columns);
    toTokens = take<float>(arrivals * columns);
    logits = take<float>(rows * headRows);
    sentIds = take<int32_t>(tokens);
    receivedIds = take<int32_t>(arrivals);
    order = take<int32_t>(tokens);
  }

  uintptr_t end;

private:
  template <class T> T *take(int64_t count) {
    auto *place = reinterpret_cast<T *>(end);
    end += uintptr_t(count) * sizeof(T);
    return place;
  }
};

float *slot(const dsv2rt_memref1d *weights, int index) {
  return static_cast<float *>(base<void *>(weights)[index]);
}

/// Gets the row of its token's expert for every token, this rank's columns.
void askExperts(const int32_t *ids, int64_t count, int64_t layer,
                const float *up, Workspace &w, int64_t arrivals, void *context,
                int32_t tapLevel) {
  int32_t sendRows[ep] = {}, receiveRows[ep] = {};
  for (int64_t t = 0; t < count; ++t)
    ++sendRows[ids[t] % experts / localExperts];
  int64_t at = 0;
  for (int64_t rank = 0; rank < ep; ++rank)
    for (int64_t t = 0; t < count; ++t)
      if (ids[t] % experts / localExperts == rank) {
        w.order[at] = int32_t(t);
        w.sentIds[at++] = int32_t(ids[t] % experts % localExperts);
      }
  dsv2rt_all_to_all(context, DSV2RT_AXIS_EP, MlpCounts, layer, sendRows,
                    receiveRows, 4);
  int64_t received = dsv2rt_all_to_all_v(context, DSV2RT_AXIS_EP, MlpDispatch,
                                         layer, w.sentIds, w.receivedIds, 4,
                                         sendRows, receiveRows, arrivals);
  for (int64_t i = 0; i < received; ++i)
    std::memcpy(w.toTokens + i * columns,
                up + w.receivedIds[i] * intermediate * columns, columns * 4);
  if (tapLevel >= 2)
    dsv2rt_tap(context, 3, layer, w.toTokens, received, columns, columns,
               DSV2RT_F32);
  dsv2rt_all_to_all_v(context, DSV2RT_AXIS_EP, MlpCombine, layer, w.toTokens,
                      w.fromExperts, columns * 4, receiveRows, sendRows, count);
}

void step(dsv2rt_memref1d *tokens, dsv2rt_memref1d *positions,
          dsv2rt_memref1d *seqIds, dsv2rt_memref2d *tables,
          dsv2rt_memref1d *logitRows, dsv2rt_memref4d *cache,
          dsv2rt_memref1d *weights, dsv2rt_memref1d *workspace,
          dsv2rt_memref2d *logits, void *context, int32_t tapLevel) {
  int64_t count = tokens->sizes[0], rows = logitRows->sizes[0];
  int64_t arrivals = dsv2rt_arrivals(context);
  int64_t first = dsv2rt_mesh_index(context, DSV2RT_AXIS_TP) * columns;
  Workspace w(base<char>(workspace), count, rows, arrivals);
  // A runtime that plans too little fails here and not in somebody's memory.
  if (w.end >
      reinterpret_cast<uintptr_t>(base<char>(workspace)) + workspace->sizes[0])
    std::abort();
  auto *table = static_cast<int32_t *>(tables->aligned);
  auto *pages = static_cast<float *>(cache->aligned);
  auto place = [&](int64_t layer, int64_t token, int64_t position) {
    int32_t number = table[base<int32_t>(seqIds)[token] * tables->strides[0] +
                           position / page];
    return pages + layer * cache->strides[0] + number * cache->strides[1] +
           position % page * cache->strides[2];
  };

  for (int64_t t = 0; t < count; ++t)
    std::memcpy(w.state + t * hidden,
                slot(weights, 0) + base<int32_t>(tokens)[t] * hidden,
                hidden * 4);
  for (int64_t layer = 0; layer < layers; ++layer) {
    for (int64_t t = 0; t < count; ++t)
      std::memcpy(place(layer, t, base<int32_t>(positions)[t]),
                  w.state + t * hidden, hidden * 4);
    for (int64_t t = 0; t < count; ++t) {
      int64_t position = base<int32_t>(positions)[t];
      for (int64_t i = 0; i < hidden; ++i) {
        float sum = 0;
        for (int64_t p = 0; p <= position; ++p)
          sum += place(layer, t, p)[i];
        w.mean[t * hidden + i] = sum / float(position + 1);
      }
    }
    if (tapLevel >= 2)
      dsv2rt_tap(context, 1, layer, w.mean, count, hidden, hidden, DSV2RT_F32);
    if (layer == 1)
      askExperts(base<int32_t>(tokens), count, layer, slot(weights, 2), w,
                 arrivals, context, tapLevel);
    // Both terms, apart, so that they are added in the order of one rank.
    float *product = w.terms, *expert = w.terms + count * hidden;
    for (int64_t i = 0; i < 2 * count * hidden; ++i)
      w.terms[i] = 0;
    for (int64_t t = 0; t < count; ++t)
      for (int64_t i = 0; i < columns; ++i)
        product[t * hidden + first + i] = w.mean[t * hidden + first + i] *
                                          slot(weights, 1)[layer * columns + i];
    for (int64_t i = 0; layer == 1 && i < count * columns; ++i)
      expert[w.order[i / columns] * hidden + first + i % columns] =
          0.5f * w.fromExperts[i];
    dsv2rt_all_reduce(context, DSV2RT_AXIS_TP, LayerSum, layer, w.terms,
                      2 * count * hidden);
    for (int64_t i = 0; i < count * hidden; ++i) {
      w.state[i] += product[i];
      if (layer == 1)
        w.state[i] += expert[i];
    }
    if (tapLevel >= 1)
      dsv2rt_tap(context, 0, layer, w.state, count, hidden, hidden, DSV2RT_F32);
  }
  auto *out = static_cast<float *>(logits->aligned);
  for (int64_t r = 0; r < rows; ++r) {
    const float *row = w.state + base<int32_t>(logitRows)[r] * hidden;
    for (int64_t v = 0; v < headRows; ++v) {
      float sum = 0;
      for (int64_t i = 0; i < hidden; ++i)
        sum += row[i] * slot(weights, 3)[v * hidden + i];
      w.logits[r * headRows + v] = sum;
    }
  }
  dsv2rt_all_gather(context, DSV2RT_AXIS_TP, LogitsGather, -1, w.logits, out,
                    rows, headRows * 4, vocabulary * 4);
  if (tapLevel >= 2)
    dsv2rt_tap(context, 2, -1, out, rows, vocabulary, vocabulary, DSV2RT_F32);
}

} // namespace

EXPORT int64_t mesh_workspace(int64_t tokens, int64_t, int64_t rows,
                              int64_t arrivals, int64_t) {
  Workspace w(nullptr, tokens, rows, arrivals);
  return int64_t(w.end);
}

EXPORT void mesh_prefill(dsv2rt_memref1d *tokens, dsv2rt_memref1d *positions,
                         dsv2rt_memref1d *seqIds, dsv2rt_memref1d *,
                         dsv2rt_memref2d *tables, dsv2rt_memref1d *logitRows,
                         dsv2rt_memref4d *cache, dsv2rt_memref1d *weights,
                         dsv2rt_memref1d *workspace, dsv2rt_memref2d *logits,
                         void *context, int32_t tapLevel) {
  step(tokens, positions, seqIds, tables, logitRows, cache, weights, workspace,
       logits, context, tapLevel);
}

EXPORT void mesh_decode(dsv2rt_memref1d *tokens, dsv2rt_memref1d *positions,
                        dsv2rt_memref1d *seqIds, dsv2rt_memref1d *,
                        dsv2rt_memref2d *tables, dsv2rt_memref1d *logitRows,
                        dsv2rt_memref4d *cache, dsv2rt_memref1d *weights,
                        dsv2rt_memref1d *workspace, dsv2rt_memref2d *logits,
                        void *context, int32_t tapLevel) {
  step(tokens, positions, seqIds, tables, logitRows, cache, weights, workspace,
       logits, context, tapLevel);
}
