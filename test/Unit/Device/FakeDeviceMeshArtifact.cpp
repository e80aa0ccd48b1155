//===- FakeDeviceMeshArtifact.cpp - ranks' artifact for a device ----------===//
//
// Part of dsv2, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// The model of FakeMeshArtifact.cpp as kernels, which are host functions that
// the stub driver calls. What ranks exchange is in the memory of the device,
// tables of rows included.
//
//===----------------------------------------------------------------------===//

#include "FakeDeviceKernels.h"
#include "FakeMesh.h"

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
  "compiler": "by hand", "pipeline": "none", "identity": "fedcba",
)" FAKE_MESH_SHAPE FAKE_MANIFEST_FACTS R"(
  "entries": [
    {"name": "prefill", "symbol": "device_step",
     "workspace": "device_workspace", "form": "expanded"},
    {"name": "decode", "symbol": "device_step",
     "workspace": "device_workspace", "form": "absorbed"}],
  "prefill_min_tokens": 4,
  "device": {
    "kind": "cuda",
    "kernels": [
      {"name": "embed", "block": [32, 1, 1], "shared_bytes": 0,
       "parameters": [{"kind": "pointer"}, {"kind": "pointer"},
         {"kind": "pointer"}, {"kind": "i64"}]},
      {"name": "append", "block": [32, 1, 1], "shared_bytes": 0,
       "parameters": [{"kind": "pointer"}, {"kind": "pointer"},
         {"kind": "pointer"}, {"kind": "pointer"}, {"kind": "pointer"},
         {"kind": "i64"}, {"kind": "i64"}, {"kind": "i64"}, {"kind": "i32"}]},
      {"name": "attend", "block": [32, 1, 1], "shared_bytes": 0,
       "parameters": [{"kind": "pointer"}, {"kind": "pointer"},
         {"kind": "pointer"}, {"kind": "pointer"}, {"kind": "pointer"},
         {"kind": "i64"}, {"kind": "i64"}, {"kind": "i64"}, {"kind": "i32"}]},
      {"name": "route", "block": [32, 1, 1], "shared_bytes": 0,
       "parameters": [{"kind": "pointer"}, {"kind": "pointer"},
         {"kind": "pointer"}, {"kind": "pointer"}, {"kind": "i64"}]},
      {"name": "answer", "block": [32, 1, 1], "shared_bytes": 0,
       "parameters": [{"kind": "pointer"}, {"kind": "pointer"},
         {"kind": "pointer"}, {"kind": "i64"}]},
      {"name": "terms", "block": [32, 1, 1], "shared_bytes": 0,
       "parameters": [{"kind": "pointer"}, {"kind": "pointer"},
         {"kind": "pointer"}, {"kind": "pointer"}, {"kind": "pointer"},
         {"kind": "i64"}, {"kind": "i64"}, {"kind": "i32"}]},
      {"name": "update", "block": [32, 1, 1], "shared_bytes": 0,
       "parameters": [{"kind": "pointer"}, {"kind": "pointer"},
         {"kind": "i64"}, {"kind": "i32"}]},
      {"name": "logits", "block": [32, 1, 1], "shared_bytes": 0,
       "parameters": [{"kind": "pointer"}, {"kind": "pointer"},
         {"kind": "pointer"}, {"kind": "pointer"}, {"kind": "i64"}]}],
    "images": [
      {"chip": "sm_90a", "kind": "cubin", "symbol": "fake_image_0",
       "size": 656},
      {"chip": "sm_90a", "kind": "bitcode", "symbol": "fake_image_1",
       "size": 656}]},
)" FAKE_MESH_WEIGHTS R"(
})";

const uint64_t dsv2_manifest_size = sizeof(dsv2_manifest) - 1;

//===----------------------------------------------------------------------===//
// Kernels
//===----------------------------------------------------------------------===//

namespace {

/// (tokens, order, ids at the expert's rank, rows for every rank, count)
void route(const CUlaunchConfig &, void *const *p) {
  const auto *ids = memory<int32_t>(p, 0);
  int64_t count = value<int64_t>(p, 4), at = 0;
  for (int64_t rank = 0; rank < ep; ++rank) {
    int64_t before = at;
    for (int64_t t = 0; t < count; ++t)
      if (int32_t expert = ids[t] % experts; expert / localExperts == rank) {
        memory<int32_t>(p, 1)[at] = int32_t(t);
        memory<int32_t>(p, 2)[at++] = int32_t(expert % localExperts);
      }
    memory<int32_t>(p, 3)[rank] = int32_t(at - before);
  }
}

/// (ids of experts, experts, rows back, count)
void answer(const CUlaunchConfig &, void *const *p) {
  for (int64_t i = 0; i < value<int64_t>(p, 3); ++i)
    std::memcpy(memory<float>(p, 2) + i * columns,
                memory<float>(p, 1) +
                    memory<int32_t>(p, 0)[i] * intermediate * columns,
                columns * 4);
}

/// (mean, norm, rows from experts, order, terms, count, first column, layer):
/// both terms, apart, so that they are added in the order of one rank.
void terms(const CUlaunchConfig &, void *const *p) {
  int64_t count = value<int64_t>(p, 5), first = value<int64_t>(p, 6);
  int32_t layer = value<int32_t>(p, 7);
  auto *product = memory<float>(p, 4), *expert = product + count * hidden;
  for (int64_t i = 0; i < 2 * count * hidden; ++i)
    product[i] = 0;
  for (int64_t t = 0; t < count; ++t)
    for (int64_t i = first; i < first + columns; ++i)
      product[t * hidden + i] =
          memory<float>(p, 0)[t * hidden + i] *
          memory<float>(p, 1)[layer * columns + i - first];
  for (int64_t i = 0; layer == 1 && i < count * columns; ++i)
    expert[memory<int32_t>(p, 3)[i / columns] * hidden + first + i % columns] =
        0.5f * memory<float>(p, 2)[i];
}

/// (terms, state, count, layer)
void update(const CUlaunchConfig &, void *const *p) {
  int64_t elements = value<int64_t>(p, 2) * hidden;
  auto *state = memory<float>(p, 1);
  const auto *product = memory<float>(p, 0), *expert = product + elements;
  for (int64_t i = 0; i < elements; ++i) {
    state[i] += product[i];
    if (value<int32_t>(p, 3) == 1)
      state[i] += expert[i];
  }
}

/// (head, state, rows, this rank's logits, count)
void logits(const CUlaunchConfig &, void *const *p) {
  for (int64_t r = 0; r < value<int64_t>(p, 4); ++r) {
    const float *row = memory<float>(p, 1) + memory<int32_t>(p, 2)[r] * hidden;
    for (int64_t v = 0; v < headRows; ++v) {
      float sum = 0;
      for (int64_t i = 0; i < hidden; ++i)
        sum += row[i] * memory<float>(p, 0)[v * hidden + i];
      memory<float>(p, 3)[r * headRows + v] = sum;
    }
  }
}

constexpr stub::Image image = {stub::imageMagic,
                               8,
                               {{"embed", embed, {8, 8, 8, 8}},
                                {"append", append, {8, 8, 8, 8, 8, 8, 8, 8, 4}},
                                {"attend", attend, {8, 8, 8, 8, 8, 8, 8, 8, 4}},
                                {"route", route, {8, 8, 8, 8, 8}},
                                {"answer", answer, {8, 8, 8, 8}},
                                {"terms", terms, {8, 8, 8, 8, 8, 8, 8, 4}},
                                {"update", update, {8, 8, 8, 4}},
                                {"logits", logits, {8, 8, 8, 8, 8}}}};
static_assert(sizeof(stub::Image) == 656, "as the manifest says");

} // namespace

EXPORT const stub::Image fake_image_0, fake_image_1;
const stub::Image fake_image_0 = image;
const stub::Image fake_image_1 = image;

//===----------------------------------------------------------------------===//
// Steps
//===----------------------------------------------------------------------===//

namespace {

/// What the workspace holds, in order, as addresses of the device.
struct Workspace {
  char *state, *mean, *terms, *fromExperts, *toTokens, *logits;
  char *sentIds, *receivedIds, *order, *sendRows, *receiveRows;

  /// At a null pointer, only to see where it ends.
  Workspace(const void *memory, int64_t tokens, int64_t rows, int64_t arrivals)
      : end(reinterpret_cast<uintptr_t>(memory)) {
    state = take(tokens * hidden);
    mean = take(tokens * hidden);
    terms = take(2 * tokens * hidden);
    fromExperts = take(tokens * columns);
    toTokens = take(arrivals * columns);
    logits = take(rows * headRows);
    sentIds = take(tokens);
    receivedIds = take(arrivals);
    order = take(tokens);
    sendRows = take(ep);
    receiveRows = take(ep);
  }

  uintptr_t end;

private:
  char *take(int64_t words) {
    auto *place = reinterpret_cast<char *>(end);
    end += uintptr_t(words) * 4;
    return place;
  }
};

/// Gets the row of its token's expert for every token, this rank's columns.
/// `meanwhile` launches what does not need them.
template <class Launch, class Meanwhile>
void askExperts(const Launch &launch, void *ids, int64_t count, int32_t layer,
                void *up, Workspace &w, int64_t arrivals, void *context,
                int32_t tapLevel, const Meanwhile &meanwhile) {
  launch(3, 1, ids, w.order, w.sentIds, w.sendRows, count);
  dsv2rt_all_to_all(context, DSV2RT_AXIS_EP, MlpCounts, layer, w.sendRows,
                    w.receiveRows, 4);
  int64_t received = dsv2rt_all_to_all_v_start(
      context, DSV2RT_AXIS_EP, MlpDispatch, layer, w.sentIds, w.receivedIds, 4,
      w.sendRows, w.receiveRows, arrivals);
  meanwhile();
  dsv2rt_comm_wait(context, DSV2RT_AXIS_EP, MlpDispatch, layer, w.receivedIds,
                   4, arrivals);
  launch(4, received, w.receivedIds, up, w.toTokens, received);
  if (tapLevel >= 2)
    dsv2rt_tap(context, 3, layer, w.toTokens, received, columns, columns,
               DSV2RT_F32);
  dsv2rt_all_to_all_v(context, DSV2RT_AXIS_EP, MlpCombine, layer, w.toTokens,
                      w.fromExperts, columns * 4, w.receiveRows, w.sendRows,
                      count);
}

void step(dsv2rt_memref1d *tokens, dsv2rt_memref1d *positions,
          dsv2rt_memref1d *seqIds, dsv2rt_memref2d *tables,
          dsv2rt_memref1d *logitRows, dsv2rt_memref4d *cache,
          dsv2rt_memref1d *weights, dsv2rt_memref1d *workspace,
          dsv2rt_memref2d *logits, void *context, int32_t tapLevel) {
  int64_t count = tokens->sizes[0], rows = logitRows->sizes[0];
  int64_t arrivals = dsv2rt_arrivals(context);
  int64_t first = dsv2rt_mesh_index(context, DSV2RT_AXIS_TP) * columns;
  int64_t width = tables->strides[0], pages = cache->sizes[1];
  void **slots = base<void *>(weights);
  Workspace w(workspace->aligned, count, rows, arrivals);
  auto launch = [&](int32_t kernel, int64_t blocks, auto... values) {
    void *parameters[] = {&values...};
    dsv2rt_launch(context, kernel, int32_t(blocks), 1, 1, parameters, -1, -1);
  };

  launch(0, count, tokens->aligned, slots[0], w.state, count);
  for (int32_t layer = 0; layer < layers; ++layer) {
    launch(1, count, positions->aligned, seqIds->aligned, tables->aligned,
           cache->aligned, w.state, count, width, pages, layer);
    auto attend = [&] {
      launch(2, count, positions->aligned, seqIds->aligned, tables->aligned,
             cache->aligned, w.mean, count, width, pages, layer);
      if (tapLevel >= 2)
        dsv2rt_tap(context, 1, layer, w.mean, count, hidden, hidden,
                   DSV2RT_F32);
    };
    if (layer == 1)
      askExperts(launch, tokens->aligned, count, layer, slots[2], w, arrivals,
                 context, tapLevel, attend);
    else
      attend();
    launch(5, count, w.mean, slots[1], w.fromExperts, w.order, w.terms, count,
           first, layer);
    dsv2rt_all_reduce(context, DSV2RT_AXIS_TP, LayerSum, layer, w.terms,
                      2 * count * hidden);
    launch(6, count, w.terms, w.state, count, layer);
    if (tapLevel >= 1)
      dsv2rt_tap(context, 0, layer, w.state, count, hidden, hidden, DSV2RT_F32);
  }
  launch(7, rows, slots[3], w.state, logitRows->aligned, w.logits, rows);
  dsv2rt_all_gather(context, DSV2RT_AXIS_TP, LogitsGather, -1, w.logits,
                    logits->aligned, rows, headRows * 4, vocabulary * 4);
  if (tapLevel >= 2)
    dsv2rt_tap(context, 2, -1, logits->aligned, rows, vocabulary,
               logits->strides[0], DSV2RT_F32);
}

} // namespace

EXPORT int64_t device_workspace(int64_t tokens, int64_t, int64_t rows,
                                int64_t arrivals, int64_t) {
  return int64_t(Workspace(nullptr, tokens, rows, arrivals).end);
}

EXPORT void device_step(dsv2rt_memref1d *tokens, dsv2rt_memref1d *positions,
                        dsv2rt_memref1d *seqIds, dsv2rt_memref1d *,
                        dsv2rt_memref2d *tables, dsv2rt_memref1d *logitRows,
                        dsv2rt_memref4d *cache, dsv2rt_memref1d *weights,
                        dsv2rt_memref1d *workspace, dsv2rt_memref2d *logits,
                        void *context, int32_t tapLevel) {
  step(tokens, positions, seqIds, tables, logitRows, cache, weights, workspace,
       logits, context, tapLevel);
}
