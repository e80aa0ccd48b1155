//===- FakeArtifact.cpp - a hand-written artifact for tests ---------------===//
//
// Part of dsv2, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// Implements the runtime ABI with a toy model, so that the runtime can be
// tested without the compiler. Every layer averages what the cache holds for
// all positions up to its own, so a wrong page, position or block table shows
// in the logits, and the summation order is that of the positions, so batching
// and chunking change nothing, to the bit.
//
// Written in plain loops: this is no example of how kernels are made.
//
//===----------------------------------------------------------------------===//

#include "dsv2rt/abi.h"

#include <cstring>

#define EXPORT extern "C" __attribute__((visibility("default")))

// Compiled artifacts run on LLVM's OpenMP runtime; the process has to have it.
// NOLINTNEXTLINE(bugprone-reserved-identifier)
extern "C" int32_t __kmpc_global_thread_num(void *location);

namespace {

constexpr int64_t vocabulary = 64, hidden = 8, layers = 2, page = 4;
constexpr int64_t experts = 4, intermediate = 3;

template <class T> T *base(const dsv2rt_memref1d *memory) {
  return static_cast<T *>(memory->aligned) + memory->offset;
}

float *slot(const dsv2rt_memref1d *weights, int index) {
  return static_cast<float *>(base<void *>(weights)[index]);
}

} // namespace

EXPORT const uint32_t dsv2_abi_version;
EXPORT const uint64_t dsv2_manifest_size;
EXPORT const char dsv2_manifest[];

const uint32_t dsv2_abi_version = DSV2RT_ABI_VERSION;

// The spaces in "features" are room for tests that patch the file.
const char dsv2_manifest[] = R"({
  "format": "dsv2-artifact", "version": 1,
  "compiler": "by hand", "pipeline": "none", "identity": "0123456789abcdef",
  "model": {"name": "fake", "vocab_size": 64, "hidden_size": 8,
    "num_layers": 2, "bos_token_id": 1, "eos_token_id": [63],
    "max_position_embeddings": 4096, "parameters": 1136,
    "active_parameters": 1088, "experts_per_token": 2},
  "flops": {"token": 1000, "logits": 1024, "absorbed_pair": 40,
    "expanded_pair": 20},
  "target": {"kind": "cpu", "cpu": "x86-64", "features": ["sse2"          ]},
  "numerics": {"weight_format": "f32", "kv_format": "f32",
    "deterministic": true},
  "limits": {"max_context": 64, "max_batch": 4},
  "cache": {"layers": 2, "latent": 6, "rope": 2, "page": 4, "format": "f32"},
  "entries": [
    {"name": "prefill", "symbol": "fake_prefill",
     "workspace": "fake_workspace", "form": "expanded"},
    {"name": "decode", "symbol": "fake_decode",
     "workspace": "fake_workspace", "form": "absorbed"}],
  "prefill_min_tokens": 4,
  "copy_pages": "fake_copy_pages",
  "convert": {"F32": "fake_convert_f32", "BF16": "fake_convert_bf16"},
  "sources": [
    {"name": "model.embed_tokens.weight", "shape": [64, 8], "layers": [],
     "experts": 0},
    {"name": "model.layers.{layer}.input_layernorm.weight", "shape": [8],
     "layers": [0, 1], "experts": 0},
    {"name": "model.layers.{layer}.mlp.experts.{expert}.up_proj.weight",
     "shape": [3, 8], "layers": [1], "experts": 4},
    {"name": "lm_head.weight", "shape": [64, 8], "layers": [], "experts": 0}],
  "slots": [
    {"name": "embed", "layout": "rows", "dtype": "f32", "shape": [64, 8],
     "instances": 1, "bytes": 2048, "experts": 0, "gather": true},
    {"name": "norm", "layout": "rows", "dtype": "f32", "shape": [8],
     "instances": 2, "bytes": 32, "experts": 0},
    {"name": "experts", "layout": "rows", "dtype": "f32", "shape": [4, 3, 8],
     "instances": 1, "bytes": 384, "experts": 4},
    {"name": "head", "layout": "columns", "dtype": "f32", "shape": [8, 64],
     "instances": 1, "bytes": 2048, "experts": 0}],
  "prepare": [
    {"symbol": "fake_prepare_embed", "sources": [0], "outputs": [0]},
    {"symbol": "fake_prepare_norm", "sources": [1], "outputs": [1]},
    {"symbol": "fake_prepare_experts", "sources": [2], "outputs": [2]},
    {"symbol": "fake_prepare_head", "sources": [3], "outputs": [3]}],
  "sites": [
    {"name": "layer_output", "op": "dsv2.layer", "level": 1},
    {"name": "attention", "op": "dsv2.latent_attention", "level": 2},
    {"name": "logits", "op": "dsv2.logits", "level": 2}]
})";

const uint64_t dsv2_manifest_size = sizeof(dsv2_manifest) - 1;

//===----------------------------------------------------------------------===//
// Weights
//===----------------------------------------------------------------------===//

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

//===----------------------------------------------------------------------===//
// Steps
//===----------------------------------------------------------------------===//

EXPORT int64_t fake_workspace(int64_t tokens, int64_t, int64_t) {
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
