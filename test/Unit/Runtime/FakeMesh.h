//===- FakeMesh.h - what the fake artifacts for ranks share -----*- C++ -*-===//
//
// Part of dsv2, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef DSV2_TEST_UNIT_RUNTIME_FAKEMESH_H
#define DSV2_TEST_UNIT_RUNTIME_FAKEMESH_H

#include "FakeManifest.h"
#include "FakeModel.h"

#define TEXT_OF(X) #X
#define TEXT(X) TEXT_OF(X)

namespace fake {

constexpr int64_t tp = FAKE_TP, ep = FAKE_EP;
constexpr int64_t columns = FAKE_COLUMNS, headRows = FAKE_HEAD_ROWS;
constexpr int64_t localExperts = FAKE_LOCAL_EXPERTS;
static_assert(columns * tp == hidden && headRows * tp == vocabulary &&
                  localExperts == (experts + ep - 1) / ep &&
                  FAKE_NORM_BYTES == columns * 4 &&
                  FAKE_EXPERTS_BYTES ==
                      localExperts * intermediate * columns * 4 &&
                  FAKE_HEAD_BYTES == headRows * hidden * 4,
              "the build file divides the model as the runtime does");

/// Of the manifest's comm_sites.
enum CommSite { LayerSum, LogitsGather, MlpCounts, MlpDispatch, MlpCombine };

} // namespace fake

// clang-format off
/// The shape of the mesh, with a comma after it.
#define FAKE_MESH_SHAPE \
  R"(  "mesh": {"tp": )" TEXT(FAKE_TP) R"(, "ep": )" TEXT(FAKE_EP) R"(},
)"

/// From the conversions to the sites, with nothing after them.
#define FAKE_MESH_WEIGHTS \
  R"(  "convert": {"F32": "fake_convert_f32", "BF16": "fake_convert_bf16"},
  "sources": [
    {"name": "model.embed_tokens.weight", "shape": [64, 8], "layers": [],
     "experts": 0},
    {"name": "model.layers.{layer}.input_layernorm.weight", "shape": [8],
     "layers": [0, 1], "experts": 0, "shards": [{"dim": 0, "axis": "tp"}]},
    {"name": "model.layers.{layer}.mlp.experts.{expert}.up_proj.weight",
     "shape": [3, 8], "layers": [1], "experts": )" TEXT(FAKE_LOCAL_EXPERTS) R"(,
     "experts_total": 4, "expert_axis": "ep",
     "shards": [{"dim": 1, "axis": "tp"}]},
    {"name": "lm_head.weight", "shape": [64, 8], "layers": [], "experts": 0,
     "shards": [{"dim": 0, "axis": "tp"}]}],
  "slots": [
    {"name": "embed", "layout": "rows", "dtype": "f32", "shape": [64, 8],
     "instances": 1, "bytes": 2048, "experts": 0, "gather": true},
    {"name": "norm", "layout": "rows", "dtype": "f32",
     "shape": [)" TEXT(FAKE_COLUMNS) R"(], "instances": 2,
     "bytes": )" TEXT(FAKE_NORM_BYTES) R"(, "experts": 0},
    {"name": "experts", "layout": "rows", "dtype": "f32",
     "shape": [)" TEXT(FAKE_LOCAL_EXPERTS) ", 3, " TEXT(FAKE_COLUMNS) R"(],
     "instances": 1, "bytes": )" TEXT(FAKE_EXPERTS_BYTES) R"(,
     "experts": )" TEXT(FAKE_LOCAL_EXPERTS) R"(},
    {"name": "head", "layout": "rows", "dtype": "f32",
     "shape": [)" TEXT(FAKE_HEAD_ROWS) R"(, 8], "instances": 1,
     "bytes": )" TEXT(FAKE_HEAD_BYTES) R"(, "experts": 0}],
  "prepare": [
    {"symbol": "fake_prepare_embed", "sources": [0], "outputs": [0]},
    {"symbol": "mesh_prepare_norm", "sources": [1], "outputs": [1]},
    {"symbol": "mesh_prepare_experts", "sources": [2], "outputs": [2]},
    {"symbol": "mesh_prepare_head", "sources": [3], "outputs": [3]}],
  "sites": [
    {"name": "layer_output", "op": "dsv2.layer", "level": 1},
    {"name": "attention", "op": "dsv2.latent_attention", "level": 2},
    {"name": "logits", "op": "dsv2.logits", "level": 2},
    {"name": "mlp.received", "op": "dsv2.dispatch", "level": 2,
     "exchanged": true}],
  "comm_sites": [
    {"name": "layer.sum", "kind": "all_reduce"},
    {"name": "logits.gather", "kind": "all_gather"},
    {"name": "mlp.counts", "kind": "all_to_all"},
    {"name": "mlp.dispatch", "kind": "all_to_all_v"},
    {"name": "mlp.combine", "kind": "all_to_all_v"}]
)"
// clang-format on

#endif // DSV2_TEST_UNIT_RUNTIME_FAKEMESH_H
