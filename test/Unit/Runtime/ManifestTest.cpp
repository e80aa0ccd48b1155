//===- ManifestTest.cpp - what a manifest may say -------------------------===//
//
// Part of dsv2, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "TestUtils.h"

#include "dsv2rt/Manifest.h"

#include <nlohmann/json.hpp>

#include <limits>

using namespace dsv2rt;
using namespace dsv2test;
using nlohmann::json;

namespace {

/// The fake artifact's manifest as a JSON value.
json fakeManifest() {
  std::string bytes = readFile(fakeArtifactPath());
  size_t begin = bytes.find("{\n  \"format\": \"dsv2-artifact\"");
  size_t end = bytes.find('\0', begin);
  return json::parse(bytes.substr(begin, end - begin));
}

/// Sets the member at a JSON pointer; a discarded value removes it.
json changed(const std::string &pointer, const json &value) {
  json manifest = fakeManifest();
  json::json_pointer place(pointer);
  if (value.is_discarded())
    manifest[place.parent_pointer()].erase(place.back());
  else
    manifest[place] = value;
  return manifest;
}

const json removed(json::value_t::discarded);

void expectRefused(const std::string &pointer, const json &value,
                   const std::vector<std::string> &parts,
                   StatusCode code = StatusCode::CorruptData) {
  SCOPED_TRACE(pointer + " = " + (value.is_discarded() ? "" : value.dump()));
  expectFailure(parseManifest(changed(pointer, value).dump()).status(), code,
                parts);
}

} // namespace

TEST(ManifestTest, ReadsEverything) {
  Manifest m = take(parseManifest(fakeManifest().dump()));
  EXPECT_EQ(m.compiler, "by hand");
  EXPECT_EQ(m.model.vocabSize, 64);
  EXPECT_EQ(m.model.bosTokenId, 1);
  EXPECT_EQ(m.model.eosTokenIds, std::vector<int64_t>{63});
  EXPECT_EQ(m.model.expertsPerToken, 2);
  EXPECT_EQ(m.target.features, std::vector<std::string>{"sse2"});
  EXPECT_TRUE(m.numerics.deterministic);
  EXPECT_EQ(m.limits.maxContext, 64);
  EXPECT_EQ(m.cache.bytesPerToken(), 2 * 8 * 4);
  EXPECT_EQ(m.cache.bytesPerPage(), 4 * 2 * 8 * 4);
  EXPECT_EQ(m.entries.size(), 2u);
  EXPECT_EQ(m.prefillMinTokens, 4);
  EXPECT_FALSE(m.prefillKeyRows);
  EXPECT_EQ(m.convert(DType::BF16), "fake_convert_bf16");
  EXPECT_TRUE(m.convert(DType::F16).empty());
  EXPECT_EQ(m.tensors().size(), 1u + 2 + 4 + 1);
  EXPECT_EQ(m.tensors()[6].name, "model.layers.1.mlp.experts.3.up_proj.weight");
  EXPECT_EQ(m.slotOffsets(), (std::vector<int64_t>{0, 4096, 8192, 12288}));
  EXPECT_EQ(m.packedBytes(), 16384);
  EXPECT_EQ(m.sites[1].level, 2);
}

TEST(ManifestTest, ActiveBytesCountRowsAndExperts) {
  Manifest m = take(parseManifest(fakeManifest().dump()));
  // One row of the embedding, all norms, two of four experts, all of the head.
  EXPECT_EQ(m.activeWeightBytes(1), 32 + 64 + 192 + 2048);
  EXPECT_EQ(m.activeWeightBytes(2), 64 + 64 + 384 + 2048);
  EXPECT_EQ(m.activeWeightBytes(1000), 2048 + 64 + 384 + 2048);
}

TEST(ManifestTest, OperationsCountPairsByForm) {
  json manifest = fakeManifest();
  Manifest m = take(parseManifest(manifest.dump()));
  EXPECT_EQ(m.operations(3, 5, 2, "expanded"), 3000 + 2048 + (15 + 6) * 20);
  EXPECT_EQ(m.operations(3, 5, 2, "absorbed"), 3000 + 2048 + (15 + 6) * 40);
  manifest["flops"]["token"] = -1;
  expectFailure(parseManifest(manifest.dump()).status(),
                StatusCode::CorruptData, {"manifest.flops.token", "-1"});
  manifest["flops"] = 3;
  expectFailure(parseManifest(manifest.dump()).status(),
                StatusCode::CorruptData, {"manifest.flops"});
}

TEST(ManifestTest, PrefillForWholePrompts) {
  json manifest = fakeManifest();
  manifest["prefill_key_rows"] = true;
  EXPECT_TRUE(take(parseManifest(manifest.dump())).prefillKeyRows);
  manifest["prefill_key_rows"] = 1;
  expectFailure(parseManifest(manifest.dump()).status(),
                StatusCode::CorruptData, {"prefill_key_rows", "true or false"});
}

TEST(ManifestTest, OptionalMembers) {
  json manifest = fakeManifest();
  manifest.erase("flops");
  manifest.erase("prefill_min_tokens");
  manifest["model"]["eos_token_id"] = nullptr;
  manifest["model"].erase("bos_token_id");
  manifest["model"].erase("experts_per_token");
  manifest["slots"][0].erase("gather");
  manifest["convert"] = json::object();
  Manifest m = take(parseManifest(manifest.dump()));
  EXPECT_TRUE(m.model.eosTokenIds.empty());
  EXPECT_EQ(m.operations(3, 5, 2, "expanded"), 0);
  EXPECT_EQ(m.model.bosTokenId, -1);
  EXPECT_EQ(m.activeWeightBytes(1), 2048 + 64 + 384 + 2048);
  manifest["model"]["eos_token_id"] = 5;
  EXPECT_EQ(take(parseManifest(manifest.dump())).model.eosTokenIds,
            std::vector<int64_t>{5});
}

TEST(ManifestTest, RowsOfTheCache) {
  json manifest = fakeManifest();
  manifest["cache"]["row_bytes"] = 32;
  EXPECT_EQ(take(parseManifest(manifest.dump())).cache.rowBytes, 32);
  manifest["cache"]["format"] = "bf16";
  expectFailure(parseManifest(manifest.dump()).status(),
                StatusCode::CorruptData, {"cache.row_bytes", "16", "32"});
  manifest["cache"].erase("row_bytes");
  Manifest m = take(parseManifest(manifest.dump()));
  EXPECT_EQ(m.cache.elementBytes, 2);
  EXPECT_EQ(m.cache.bytesPerToken(), 2 * 16);

  // The compiler alone knows what rows in blocks take.
  for (const char *format : {"q8", "q6"}) {
    manifest = fakeManifest();
    manifest["cache"]["format"] = format;
    expectFailure(parseManifest(manifest.dump()).status(),
                  StatusCode::CorruptData, {"row_bytes", "no such key"});
    for (int64_t bytes : {int64_t(-1), int64_t(0), int64_t(1) << 40,
                          std::numeric_limits<int64_t>::max()}) {
      manifest["cache"]["row_bytes"] = bytes;
      expectFailure(parseManifest(manifest.dump()).status(),
                    StatusCode::CorruptData,
                    {"cache.row_bytes", std::to_string(bytes)});
    }
    manifest["cache"]["row_bytes"] = 68;
    m = take(parseManifest(manifest.dump()));
    EXPECT_EQ(m.cache.format, format);
    EXPECT_EQ(m.cache.elementBytes, 1);
    EXPECT_EQ(m.cache.bytesPerPage(), 4 * 2 * 68);
  }
}

TEST(ManifestTest, RefusesEveryMissingMember) {
  for (const char *pointer : {"/format",
                              "/version",
                              "/identity",
                              "/model",
                              "/model/name",
                              "/model/vocab_size",
                              "/model/hidden_size",
                              "/model/num_layers",
                              "/model/max_position_embeddings",
                              "/model/parameters",
                              "/model/active_parameters",
                              "/target",
                              "/target/kind",
                              "/target/features",
                              "/numerics",
                              "/numerics/weight_format",
                              "/numerics/kv_format",
                              "/numerics/deterministic",
                              "/limits",
                              "/limits/max_context",
                              "/limits/max_batch",
                              "/cache",
                              "/cache/layers",
                              "/cache/latent",
                              "/cache/rope",
                              "/cache/page",
                              "/cache/format",
                              "/entries",
                              "/entries/0/name",
                              "/entries/0/symbol",
                              "/entries/1/workspace",
                              "/copy_pages",
                              "/convert",
                              "/sources",
                              "/sources/0/name",
                              "/sources/0/shape",
                              "/sources/0/layers",
                              "/sources/0/experts",
                              "/slots",
                              "/slots/0/name",
                              "/slots/0/shape",
                              "/slots/0/instances",
                              "/slots/0/bytes",
                              "/slots/0/experts",
                              "/prepare",
                              "/prepare/0/symbol",
                              "/prepare/0/sources",
                              "/prepare/0/outputs",
                              "/sites",
                              "/sites/0/name",
                              "/sites/0/level"}) {
    std::string key =
        std::string(pointer).substr(std::string(pointer).rfind('/') + 1);
    expectRefused(pointer, removed, {key, "no such key"});
    expectRefused(pointer, nullptr, {key, "found null"});
  }
}

TEST(ManifestTest, RefusesWrongValues) {
  expectRefused("/format", "other", {"'dsv2-artifact'", "'other'"});
  expectRefused("/version", 2, {"version 1", "found 2"},
                StatusCode::Unsupported);
  expectRefused("/identity", "xyz", {"manifest.identity", "hexadecimal"});
  expectRefused("/model/vocab_size", 0, {"manifest.model.vocab_size", "0"});
  expectRefused("/model/vocab_size", 1.5, {"1.5"});
  expectRefused("/model/vocab_size", uint64_t(1) << 63, {"vocab_size"});
  expectRefused("/model/bos_token_id", 64, {"0 to 63", "64"});
  expectRefused("/model/eos_token_id", json::array({63, -1}),
                {"eos_token_id[1]", "-1"});
  expectRefused("/model/eos_token_id", "x", {"'x'"});
  expectRefused("/target/kind", "cuda", {"'cpu'", "'cuda'"},
                StatusCode::Unsupported);
  expectRefused("/target/features", json::array({1}), {"features[0]"});
  expectRefused("/cache/format", "f16",
                {"'f32', 'bf16', 'q8' or 'q6'", "'f16'"});
  expectRefused("/cache/page", 0, {"manifest.cache.page"});
  expectRefused("/limits/max_context", int64_t(1) << 31, {"2147483648"});
  expectRefused("/entries", json::array(), {"at least one entry"});
  expectRefused("/entries/0/name", "other", {"'other'"});
  expectRefused("/entries/0/name", "decode", {"'decode' again"});
  expectRefused("/entries/0/symbol", "", {"name of a symbol"});
  expectRefused("/convert/F64", "f", {"'F64'"});
  expectRefused("/convert/F32", 1, {"manifest.convert.F32"});
  expectRefused("/sources/0/name", "x{layer}", {"layer"});
  expectRefused("/sources/1/layers", json::array(), {"layer"});
  expectRefused("/sources/1/layers", json::array({1, 1}), {"different"});
  expectRefused("/sources/2/experts", 0, {"expert"});
  expectRefused("/sources/0/experts", 2, {"expert"});
  expectRefused("/sources/0/shape", json::array({1 << 30, 1 << 30}), {"2^40"});
  expectRefused("/sources/0/shape", json::array({0}), {"shape[0]"});
  expectRefused("/slots/2/bytes", 383, {"multiple of 4", "383"});
  expectRefused("/slots/0/bytes", INT64_MAX, {"2^63"});
  expectRefused("/slots/0/gather", "yes", {"true or false", "'yes'"});
  expectRefused("/slots/1/instances", 3, {"'norm'", "3"});
  expectRefused("/prepare/0/sources", json::array({4}), {"0 to 3", "4"});
  expectRefused("/prepare/0/sources", json::array({-1}), {"-1"});
  expectRefused("/prepare/0/sources", json::array(), {"at least one source"});
  expectRefused("/prepare/0/outputs", json::array(), {"at least one slot"});
  expectRefused("/prepare/0/outputs", json::array({3}), {"'head'"});
  expectRefused("/prepare/0/sources", json::array({0, 1}), {"same layers"});
  json manifest = fakeManifest();
  manifest["prepare"].erase(3);
  expectFailure(parseManifest(manifest.dump()).status(),
                StatusCode::CorruptData,
                {"manifest.prepare", "none for 'head'"});
  expectRefused("/sites/0/level", 3, {"1 to 2"});
}

/// The fake manifest on a mesh, with shards of three of its sources.
static json meshManifest() {
  json manifest = fakeManifest();
  manifest["mesh"] = {{"tp", 2}, {"ep", 3}};
  json shard = json::array({{{"dim", 0}, {"axis", "tp"}}});
  manifest["sources"][1]["shards"] = shard;
  manifest["sources"][3]["shards"] = shard;
  shard[0]["dim"] = 1;
  manifest["sources"][2]["shards"] = shard;
  manifest["sources"][2]["experts"] = 2;
  manifest["sources"][2]["experts_total"] = 4;
  manifest["sources"][2]["expert_axis"] = "ep";
  manifest["slots"][2]["experts"] = 2;
  manifest["slots"][2]["bytes"] = 2 * 3 * 4 * 4;
  manifest["comm_sites"] =
      json::array({{{"name", "mlp.dispatch"}, {"kind", "all_to_all_v"}}});
  manifest["sites"][1]["exchanged"] = true;
  return manifest;
}

TEST(ManifestTest, SharesOfAMesh) {
  EXPECT_EQ(take(parseManifest(fakeManifest().dump())).mesh.size(), 1);
  Manifest m = take(parseManifest(meshManifest().dump()));
  EXPECT_EQ(m.mesh.size(), 6);
  EXPECT_EQ(m.mesh.text(), "tp=2, ep=3");
  EXPECT_EQ(m.mesh.tpIndex(3), 1);
  EXPECT_EQ(m.mesh.epIndex(3), 1);
  ASSERT_EQ(m.commSites.size(), 1u);
  EXPECT_EQ(m.commSites[0].kind, "all_to_all_v");
  EXPECT_FALSE(m.sites[0].exchanged);
  EXPECT_TRUE(m.sites[1].exchanged);

  // Every rank has all of the embedding, and a half of the others.
  for (int64_t rank = 0; rank < 6; ++rank) {
    EXPECT_EQ(m.sources[0].sliceOf(m.mesh, rank).dim, -1);
    TensorSlice slice = m.sources[3].sliceOf(m.mesh, rank);
    EXPECT_EQ(slice.dim, 0);
    EXPECT_EQ(slice.begin, rank % 2 * 32);
    EXPECT_EQ(slice.size, 32);
  }
  EXPECT_EQ(m.sources[2].sliceOf(m.mesh, 5).begin, 4);

  // Four experts on three: two, two and none.
  auto names = [&](int64_t rank) {
    std::vector<std::string> list;
    for (const TensorSpec &spec : m.tensors(rank))
      if (spec.name.find("experts") != std::string::npos)
        list.push_back(spec.name.substr(spec.name.find("experts.") + 8, 1));
    return list;
  };
  EXPECT_EQ(names(0), (std::vector<std::string>{"0", "1"}));
  EXPECT_EQ(names(3), (std::vector<std::string>{"2", "3"}));
  EXPECT_EQ(names(4), std::vector<std::string>{});
  EXPECT_EQ(m.tensors(4).size(), 1u + 2 + 1);
  EXPECT_EQ(m.tensors(4)[0].shape, (std::vector<int64_t>{64, 8}));

  // Of the two ranks that have the token: its row, norms and head; and of two
  // experts each half, wherever they are.
  EXPECT_EQ(m.activeWeightBytes(1), 2 * 32 + 2 * 64 + 2 * 2 * 48 + 2 * 2048);
  EXPECT_EQ(m.activeWeightBytes(2), 4 * 32 + 4 * 64 + 2 * 4 * 48 + 4 * 2048);
  EXPECT_EQ(m.activeWeightBytes(9), 18 * 32 + 6 * 64 + 2 * 6 * 48 + 6 * 2048);
}

// Exchanges of fixed size need an entry that repeats what does not fit.
TEST(ManifestTest, EntriesOfFixedExchanges) {
  json manifest = fakeManifest();
  json fixed = manifest["entries"][0];
  fixed["name"] = "decode_fixed";
  fixed["capacity"] = 8;
  json both = manifest["entries"];
  both.push_back(fixed);
  Manifest m = take(parseManifest(changed("/entries", both).dump()));
  EXPECT_EQ(m.entries.back().capacity, 8);
  EXPECT_EQ(m.entries.front().capacity, 0);
  expectRefused("/entries", json::array({fixed}),
                {"manifest.entries", "'prefill' or 'decode'"});
  for (json capacity : {json(0), json(-1), json(1.5), json("8"), json()}) {
    both.back()["capacity"] = capacity;
    expectRefused("/entries", both, {"capacity"});
  }
  both.back().erase("capacity");
  expectRefused("/entries", both, {"capacity"});
  both.back()["name"] = "decode_exact";
  expectRefused("/entries", both, {"'decode_exact'"});
}

TEST(ManifestTest, RefusesAWrongMesh) {
  auto refuse = [](const std::string &pointer, const json &value,
                   const std::vector<std::string> &parts) {
    SCOPED_TRACE(pointer + " = " + (value.is_discarded() ? "" : value.dump()));
    json manifest = meshManifest();
    json::json_pointer place(pointer);
    if (value.is_discarded())
      manifest[place.parent_pointer()].erase(place.back());
    else
      manifest[place] = value;
    expectFailure(parseManifest(manifest.dump()).status(),
                  StatusCode::CorruptData, parts);
  };
  refuse("/mesh", 3, {"manifest.mesh", "an object"});
  refuse("/mesh/tp", 0, {"manifest.mesh.tp", "0"});
  refuse("/mesh/ep", -1, {"manifest.mesh.ep", "-1"});
  refuse("/mesh/ep", removed, {"manifest.mesh.ep", "no such key"});
  refuse("/mesh", {{"tp", 65536}, {"ep", 2}}, {"65536", "tp=65536, ep=2"});
  refuse("/mesh/tp", 3, {"shards[0].dim", "3 ranks", "[8]"});
  refuse("/sources/1/shards", 1, {"sources[1].shards", "an array"});
  refuse("/sources/1/shards/0", 1, {"sources[1].shards[0]"});
  refuse("/sources/1/shards/0/dim", 1, {"shards[0].dim", "1"});
  refuse("/sources/1/shards/0/dim", -1, {"shards[0].dim", "-1"});
  refuse("/sources/1/shards/0/axis", "ep", {"'tp'", "'ep'"});
  refuse(
      "/sources/3/shards",
      json::array({{{"dim", 0}, {"axis", "tp"}}, {{"dim", 1}, {"axis", "tp"}}}),
      {"shards[1].axis", "'tp' again"});
  refuse("/sources/2/experts", 4, {"sources[2].experts", "expected 2", "4"});
  refuse("/sources/2/experts_total", 7, {"expected 3", "found 2"});
  refuse("/sources/2/experts_total", 0, {"experts_total", "0"});
  refuse("/sources/2/experts_total", removed, {"experts_total", "no such key"});
  refuse("/sources/2/expert_axis", "tp", {"'ep'", "'tp'"});
  refuse("/sources/2/expert_axis", removed, {"expert_axis", "no such key"});
  refuse("/sources/0/experts_total", 4, {"expert_axis"});
  refuse("/comm_sites", 1, {"manifest.comm_sites", "an array"});
  refuse("/comm_sites/0/kind", "broadcast", {"'all_reduce'", "'broadcast'"});
  refuse("/comm_sites/0/name", removed, {"comm_sites[0].name"});
  refuse("/sites/1/exchanged", 1, {"exchanged", "true or false"});
  refuse("/sites/1/largest", 0, {"sites[1].largest", "0"});
  refuse("/sites/1/largest", 1 << 20, {"sites[1].largest", "1048576"});
  // The largest of several are shown at every level.
  refuse("/sites/1/largest", 16, {"sites[1].level", "0"});
  refuse("/sites/1/level", 0, {"sites[1].level", "1 to 2"});
  // All ranks' slots together, and not one rank's, have to fit.
  refuse("/slots/0/bytes", INT64_MAX / 4, {"2^63"});
}

TEST(ManifestTest, AnyValueAnywhereIsReadOrRefused) {
  const json values[] = {nullptr,  -1,        0,   1,   3,    65536,
                         1u << 31, INT64_MAX, 1.5, "x", "tp", json::array(),
                         true,     removed};
  json manifest = meshManifest();
  int read = 0, refused = 0;
  const json leaves = manifest.flatten();
  for (const auto &[pointer, before] : leaves.items())
    for (const json &value : values) {
      json changed = manifest;
      json::json_pointer place(pointer);
      if (!value.is_discarded())
        changed[place] = value;
      else if (changed[place.parent_pointer()].is_object())
        changed[place.parent_pointer()].erase(place.back());
      SCOPED_TRACE(pointer + " = " +
                   (value.is_discarded() ? "" : value.dump()));
      auto parsed = parseManifest(changed.dump());
      if (!parsed.ok()) {
        EXPECT_FALSE(parsed.status().message().empty());
        ++refused;
        continue;
      }
      ++read;
      const Manifest &m = parsed.value();
      for (int64_t rank : {int64_t(0), m.mesh.size() - 1})
        for (const Manifest::Source &source : m.sources) {
          TensorSlice slice = source.sliceOf(m.mesh, rank);
          EXPECT_LE(slice.begin + slice.size,
                    slice.dim < 0 ? 0 : source.shape[slice.dim]);
          EXPECT_LE(source.expertsOf(m.mesh, rank).count, source.experts);
          EXPECT_GE(source.expertsOf(m.mesh, rank).count, 0);
        }
      EXPECT_GT(m.activeWeightBytes(1), 0);
    }
  EXPECT_GT(read, 100);
  EXPECT_GT(refused, 500);
}

TEST(ManifestTest, RefusesOtherText) {
  expectFailure(parseManifest("").status(), StatusCode::CorruptData,
                {"manifest"});
  expectFailure(parseManifest("[]").status(), StatusCode::CorruptData,
                {"expected an object", "an array"});
  expectFailure(parseManifest(R"({"format":"a","format":"b"})").status(),
                StatusCode::CorruptData, {"duplicate key 'format'"});
  expectFailure(parseManifest(std::string(100, '[')).status(),
                StatusCode::CorruptData, {"nesting deeper than 32"});
}

TEST(ManifestTest, ReadsTheReference) {
  EXPECT_EQ(take(parseManifest(fakeManifest().dump())).reference, nullptr);
  json manifest = fakeManifest();
  manifest["reference"] = fakeManifest();
  manifest["reference"].erase("identity");
  manifest["reference"]["copy_pages"] = "other_copy";
  Manifest m = take(parseManifest(manifest.dump()));
  ASSERT_NE(m.reference, nullptr);
  EXPECT_EQ(m.reference->identity, m.identity);
  EXPECT_EQ(m.reference->copyPages, "other_copy");
  EXPECT_EQ(m.reference->slots.size(), m.slots.size());
}

TEST(ManifestTest, RefusesAWrongReference) {
  expectRefused("/reference", 3, {"manifest.reference", "object"});
  expectRefused("/reference", json::object(), {"reference:", "format"});
  json other = fakeManifest();
  other["cache"]["page"] = -1;
  expectRefused("/reference", other, {"reference:", "manifest.cache.page"});
}
