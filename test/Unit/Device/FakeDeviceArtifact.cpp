//===- FakeDeviceArtifact.cpp - a hand-written artifact for a device ------===//
//
// Part of dsv2, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// The toy model of FakeSteps.cpp as kernels, which are host functions that the
// stub driver calls: its results are the same, to the bit. The CPU's functions
// are its reference lowering. FakeKernels.cpp has the same kernels for a
// device.
//
//===----------------------------------------------------------------------===//

#include "FakeDeviceKernels.h"
#include "FakeManifest.h"

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
  "compiler": "by hand", "pipeline": "none", "identity": "fedcba9876543210",
)" FAKE_MANIFEST_FACTS R"(
  "entries": [
    {"name": "prefill", "symbol": "device_prefill",
     "workspace": "device_prefill_workspace", "form": "expanded"},
    {"name": "decode", "symbol": "device_decode",
     "workspace": "fake_workspace", "form": "absorbed"}],
  "prefill_min_tokens": 4, "prefill_key_rows": true, "sample": "device_sample",
  "device": {
    "kind": "cuda",
    "kernels": [
      {"name": "embed", "block": [32, 1, 1], "shared_bytes": 0,
       "parameters": [{"kind": "pointer"}, {"kind": "pointer"},
         {"kind": "pointer"}, {"kind": "i64"}]},
      {"name": "append", "block": [32, 2, 1], "shared_bytes": 65536,
       "parameters": [{"kind": "pointer"}, {"kind": "pointer"},
         {"kind": "pointer"}, {"kind": "pointer"}, {"kind": "pointer"},
         {"kind": "i64"}, {"kind": "i64"}, {"kind": "i64"}, {"kind": "i32"}]},
      {"name": "attend", "block": [128, 1, 1], "shared_bytes": 0, "pdl": true,
       "parameters": [{"kind": "pointer"}, {"kind": "pointer"},
         {"kind": "pointer"}, {"kind": "pointer"}, {"kind": "pointer"},
         {"kind": "i64"}, {"kind": "i64"}, {"kind": "i64"}, {"kind": "i32"}]},
      {"name": "update", "block": [64, 1, 1], "cluster": [2, 1, 1],
       "shared_bytes": 0, "pdl": false,
       "parameters": [{"kind": "pointer"}, {"kind": "pointer"},
         {"kind": "pointer"}, {"kind": "pointer"}, {"kind": "pointer"},
         {"kind": "i64"}, {"kind": "i32"}, {"kind": "f32"}]},
      {"name": "logits", "block": [64, 1, 1], "shared_bytes": 1024,
       "parameters": [{"kind": "tensor_map", "dtype": "f32", "rank": 2,
         "box": [32, 8], "swizzle": 128}, {"kind": "pointer"},
         {"kind": "pointer"}, {"kind": "pointer"}, {"kind": "pointer"},
         {"kind": "i64"}]},
      {"name": "elsewhere", "chip": "sm_70", "block": [32, 1, 1],
       "shared_bytes": 0, "parameters": []},
      {"name": "sample", "block": [32, 1, 1], "shared_bytes": 0,
       "parameters": [{"kind": "pointer"}, {"kind": "pointer"},
         {"kind": "pointer"}, {"kind": "pointer"}, {"kind": "pointer"},
         {"kind": "pointer"}, {"kind": "i64"}]}],
    "images": [
      {"chip": "sm_90a", "kind": "cubin", "symbol": "fake_image_0",
       "size": 656},
      {"chip": "sm_80", "kind": "ptx", "symbol": "fake_image_1", "size": 656},
      {"chip": "sm_90a", "kind": "bitcode", "symbol": "fake_image_2",
       "size": 656}],
    "sites": ["embed_tokens", "self_attn", "mlp", "lm_head"]},
  "reference": {"format": "dsv2-artifact", "version": 1,
)" FAKE_MANIFEST_FACTS R"(
    "entries": [{"name": "decode", "symbol": "fake_decode",
      "workspace": "fake_workspace", "form": "absorbed"}],
    "copy_pages": "fake_copy_pages",
)" FAKE_MANIFEST_WEIGHTS R"(},
)" FAKE_MANIFEST_WEIGHTS R"(
})";

const uint64_t dsv2_manifest_size = sizeof(dsv2_manifest) - 1;

//===----------------------------------------------------------------------===//
// Kernels
//===----------------------------------------------------------------------===//

namespace {

/// (tokens, mean, norm, experts, state, count, layer, scale of the experts)
void update(const CUlaunchConfig &, void *const *p) {
  int32_t layer = value<int32_t>(p, 6);
  for (int64_t t = 0; t < value<int64_t>(p, 5); ++t) {
    int64_t expert = memory<int32_t>(p, 0)[t] % experts;
    const float *up = memory<float>(p, 3) + expert * intermediate * hidden;
    for (int64_t i = 0; i < hidden; ++i) {
      float &state = memory<float>(p, 4)[t * hidden + i];
      state += memory<float>(p, 1)[t * hidden + i] *
               memory<float>(p, 2)[layer * hidden + i];
      if (layer == 1)
        state += value<float>(p, 7) * up[i];
    }
  }
}

/// (map of the head, head, state, rows, logits, count)
void logits(const CUlaunchConfig &, void *const *p) {
  auto map = value<stub::TensorMapContents>(p, 0);
  const auto *head = stub::host<float>(map.address);
  for (int64_t r = 0; r < value<int64_t>(p, 5); ++r) {
    const float *row = memory<float>(p, 2) + memory<int32_t>(p, 3)[r] * hidden;
    for (int64_t v = 0; v < vocabulary; ++v) {
      float sum = 0;
      for (int64_t i = 0; i < hidden; ++i)
        sum += row[i] * head[i * int64_t(map.dims[0]) + v];
      memory<float>(p, 4)[r * vocabulary + v] = sum;
    }
  }
}

/// (logits, rows, sampling, tokens, positions, chosen, count): the largest, if
/// all are finite.
void sample(const CUlaunchConfig &, void *const *p) {
  int64_t rows = value<int64_t>(p, 6);
  for (int64_t r = 0; r < rows; ++r) {
    const float *row = memory<float>(p, 0) + r * vocabulary;
    int32_t count = memory<dsv2rt_sampling_row>(p, 2)[r].vocabulary;
    int32_t best = 0;
    for (int32_t id = 0; best >= 0 && id < count; ++id)
      best = row[id] - row[id] != 0 ? -1 : row[id] > row[best] ? id : best;
    int32_t token = memory<int32_t>(p, 1)[r];
    memory<int32_t>(p, 3)[token] = best < 0 ? 0 : best;
    int64_t position = ++memory<int32_t>(p, 4)[token];
    // The host's memory, at its address.
    auto *chosen = value<int32_t *>(p, 5);
    chosen[position % DSV2RT_SAMPLE_STEPS * rows + r] = best;
  }
}

constexpr stub::Image image = {stub::imageMagic,
                               6,
                               {{"embed", embed, {8, 8, 8, 8}},
                                {"append", append, {8, 8, 8, 8, 8, 8, 8, 8, 4}},
                                {"attend", attend, {8, 8, 8, 8, 8, 8, 8, 8, 4}},
                                {"update", update, {8, 8, 8, 8, 8, 8, 4, 4}},
                                {"logits", logits, {128, 8, 8, 8, 8, 8}},
                                {"sample", sample, {8, 8, 8, 8, 8, 8, 8}}}};
static_assert(sizeof(stub::Image) == 656, "as the manifest says");

} // namespace

EXPORT const stub::Image fake_image_0, fake_image_1, fake_image_2;
const stub::Image fake_image_0 = image;
const stub::Image fake_image_1 = image;
const stub::Image fake_image_2 = image;

//===----------------------------------------------------------------------===//
// Steps
//===----------------------------------------------------------------------===//

static void step(dsv2rt_memref1d *tokens, dsv2rt_memref1d *positions,
                 dsv2rt_memref1d *seqIds, dsv2rt_memref2d *tables,
                 dsv2rt_memref1d *logitRows, dsv2rt_memref4d *cache,
                 dsv2rt_memref1d *weights, dsv2rt_memref1d *workspace,
                 dsv2rt_memref2d *logits, void *context, int32_t tapLevel) {
  int64_t count = tokens->sizes[0], rows = logitRows->sizes[0];
  void **slots = base<void *>(weights);
  void *state = workspace->aligned;
  void *mean = static_cast<float *>(state) + count * hidden;
  // What is launched is the manifest's site `site` of the layer.
  int32_t site = 0;
  int64_t place = -1;
  auto launch = [&](int32_t kernel, int64_t blocks, auto... values) {
    void *parameters[] = {&values...};
    dsv2rt_launch(context, kernel, int32_t(blocks), 1, 1, parameters, site,
                  place);
  };
  int64_t width = tables->strides[0], pages = cache->sizes[1];

  launch(0, count, tokens->aligned, slots[0], state, count);
  for (int32_t layer = 0; layer < layers; ++layer) {
    site = 1, place = layer;
    launch(1, count, positions->aligned, seqIds->aligned, tables->aligned,
           cache->aligned, state, count, width, pages, layer);
    launch(2, count, positions->aligned, seqIds->aligned, tables->aligned,
           cache->aligned, mean, count, width, pages, layer);
    if (tapLevel >= 2)
      dsv2rt_tap(context, 1, layer, mean, count, hidden, hidden, DSV2RT_F32);
    site = 2;
    launch(3, (count + 1) / 2 * 2, tokens->aligned, mean, slots[1], slots[2],
           state, count, layer, 0.5f);
    if (tapLevel >= 1)
      dsv2rt_tap(context, 0, layer, state, count, hidden, hidden, DSV2RT_F32);
  }
  site = 3, place = -1;
  dsv2rt_tensor head = {slots[3], {vocabulary, hidden}, {4, vocabulary * 4}};
  launch(4, rows, head, slots[3], state, logitRows->aligned, logits->aligned,
         rows);
  if (tapLevel >= 2)
    dsv2rt_tap(context, 2, -1, logits->aligned, rows, vocabulary,
               logits->strides[0], DSV2RT_F32);
}

/// Of FakeSteps.cpp.
EXPORT int64_t fake_workspace(int64_t tokens, int64_t, int64_t, int64_t,
                              int64_t);

/// 16 bytes for each row of keys behind what any entry has.
EXPORT int64_t device_prefill_workspace(int64_t tokens, int64_t sequences,
                                        int64_t rows, int64_t arrivals,
                                        int64_t keyRows) {
  return fake_workspace(tokens, sequences, rows, arrivals, keyRows) +
         16 * keyRows;
}

EXPORT void device_prefill(dsv2rt_memref1d *tokens, dsv2rt_memref1d *positions,
                           dsv2rt_memref1d *seqIds, dsv2rt_memref1d *,
                           dsv2rt_memref2d *tables, dsv2rt_memref1d *logitRows,
                           dsv2rt_memref4d *cache, dsv2rt_memref1d *weights,
                           dsv2rt_memref1d *workspace, dsv2rt_memref2d *logits,
                           void *context, int32_t tapLevel) {
  // A workspace for other rows of keys than the step has: no such kernel.
  if (workspace->sizes[0] !=
      device_prefill_workspace(tokens->sizes[0], tables->sizes[0],
                               logitRows->sizes[0], tokens->sizes[0],
                               dsv2rt_key_rows(context)))
    dsv2rt_launch(context, -1, 1, 1, 1, nullptr, -1, -1);
  step(tokens, positions, seqIds, tables, logitRows, cache, weights, workspace,
       logits, context, tapLevel);
}

EXPORT void device_decode(dsv2rt_memref1d *tokens, dsv2rt_memref1d *positions,
                          dsv2rt_memref1d *seqIds, dsv2rt_memref1d *,
                          dsv2rt_memref2d *tables, dsv2rt_memref1d *logitRows,
                          dsv2rt_memref4d *cache, dsv2rt_memref1d *weights,
                          dsv2rt_memref1d *workspace, dsv2rt_memref2d *logits,
                          void *context, int32_t tapLevel) {
  step(tokens, positions, seqIds, tables, logitRows, cache, weights, workspace,
       logits, context, tapLevel);
}

EXPORT void device_sample(dsv2rt_memref2d *logits, dsv2rt_memref1d *rows,
                          dsv2rt_memref1d *sampling, dsv2rt_memref1d *tokens,
                          dsv2rt_memref1d *positions, dsv2rt_memref2d *,
                          dsv2rt_memref1d *, dsv2rt_memref1d *chosen,
                          void *context, int32_t) {
  int64_t count = rows->sizes[0];
  void *parameters[] = {&logits->aligned,
                        &rows->aligned,
                        &sampling->aligned,
                        &tokens->aligned,
                        &positions->aligned,
                        &chosen->aligned,
                        &count};
  dsv2rt_launch(context, 6, int32_t(count), 1, 1, parameters, -1, -1);
}
