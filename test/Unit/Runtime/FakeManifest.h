//===- FakeManifest.h - what the fake artifacts' manifests share -*- C++
//-*-===//
//
// Part of dsv2, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef DSV2_TEST_UNIT_RUNTIME_FAKEMANIFEST_H
#define DSV2_TEST_UNIT_RUNTIME_FAKEMANIFEST_H

/// From the model to the cache. The spaces in "features" are room for tests
/// that patch the file.
#define FAKE_MANIFEST_FACTS                                                    \
  R"(  "model": {"name": "fake", "vocab_size": 64, "hidden_size": 8,
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
)"

/// From the conversions to the sites, with nothing after them.
#define FAKE_MANIFEST_WEIGHTS                                                  \
  R"(  "convert": {"F32": "fake_convert_f32", "BF16": "fake_convert_bf16"},
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
)"

#endif // DSV2_TEST_UNIT_RUNTIME_FAKEMANIFEST_H
