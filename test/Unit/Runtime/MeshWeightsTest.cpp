//===- MeshWeightsTest.cpp - the weights of one rank of several -----------===//
//
// Part of dsv2, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "TestUtils.h"

#include "dsv2rt/Checkpoint.h"

#include <algorithm>
#include <cstring>
#include <filesystem>

using namespace dsv2rt;
using namespace dsv2test;

namespace {

/// The elements of a view that are the artifact's bfloat16 or f32 as bytes.
std::string bytesOf(const TensorView &view) {
  return {static_cast<const char *>(view.data),
          size_t(view.elements * dtypeBytes(view.dtype))};
}

/// What `slice` of a tensor of this shape holds, taken element by element.
std::string expectedSlice(const std::string &whole,
                          const std::vector<int64_t> &shape,
                          const TensorSlice &slice, int64_t bytes) {
  int64_t inner = 1;
  for (size_t dim = slice.dim + 1; dim < shape.size(); ++dim)
    inner *= shape[dim];
  std::string part;
  for (int64_t i = 0; i < int64_t(whole.size()) / bytes; ++i) {
    int64_t index = i / inner % shape[slice.dim];
    if (index >= slice.begin && index < slice.begin + slice.size)
      part += whole.substr(i * bytes, bytes);
  }
  return part;
}

const TensorSlice slices[] = {{0, 0, 3}, {0, 2, 4}, {0, 5, 1}, {0, 6, 0},
                              {1, 0, 5}, {1, 3, 2}, {1, 4, 1}, {1, 0, 0}};

const float *slot(const PackedWeights &weights, int index) {
  return static_cast<const float *>(weights.slots()[index]);
}

} // namespace

TEST(MeshWeightsTest, SlicesOfACheckpoint) {
  TempDir folder;
  std::vector<float> values(30);
  for (size_t i = 0; i < values.size(); ++i)
    values[i] = float(i);
  std::string data(reinterpret_cast<char *>(values.data()), 120);
  // The second tensor's data is aligned to nothing.
  std::string header =
      R"({"a":{"dtype":"F32","shape":[6,5],"data_offsets":[0,120]},)"
      R"("b":{"dtype":"U8","shape":[1],"data_offsets":[120,121]},)"
      R"("c":{"dtype":"F32","shape":[6,5],"data_offsets":[121,241]}})";
  writeFile(folder.file("m.safetensors"),
            safetensorsBytes(header, data + "x" + data));
  auto source = take(openCheckpoint(folder.path()));
  Buffer scratch;
  int64_t read = 0;
  for (const char *name : {"a", "c"})
    for (const TensorSlice &slice : slices) {
      TensorView view = take(source->read({name, {6, 5}}, slice, scratch));
      std::string expected = expectedSlice(data, {6, 5}, slice, 4);
      EXPECT_EQ(bytesOf(view), expected) << name << " " << slice.dim;
      EXPECT_EQ(uintptr_t(view.data) % 4, 0u);
      read += int64_t(expected.size());
      EXPECT_EQ(source->bytesRead(), read);
      source->release({name, {6, 5}}, slice);
    }
  (void)take(source->read({"a", {6, 5}}, scratch));
  EXPECT_EQ(source->bytesRead(), read + 120);
}

TEST(MeshWeightsTest, SlicesOfRandomWeights) {
  auto source = makeRandomWeights(3, /*threads=*/3);
  Buffer scratch;
  TensorSpec spec{"x", {6, 5}};
  std::string whole = bytesOf(take(source->read(spec, scratch)));
  for (const TensorSlice &slice : slices)
    EXPECT_EQ(bytesOf(take(source->read(spec, slice, scratch))),
              expectedSlice(whole, {6, 5}, slice, 2))
        << slice.dim << " " << slice.begin;
  EXPECT_EQ(source->bytesRead(), 60 + (15 + 20 + 5 + 30 + 12 + 6) * 2);
  // Large enough for several threads, whose shares begin inside rows.
  TensorSpec large{"y", {701, 300}};
  whole = bytesOf(take(source->read(large, scratch)));
  for (const TensorSlice &slice : {TensorSlice{0, 100, 500}, {1, 99, 151}})
    EXPECT_EQ(bytesOf(take(source->read(large, slice, scratch))),
              expectedSlice(whole, {701, 300}, slice, 2));
}

TEST(MeshWeightsTest, SlicesOutsideTheTensorAreRefused) {
  TempDir folder;
  writeCheckpoint(folder.path(),
                  {{"a", f32Tensor({2, 3}, {1, 2, 3, 4, 5, 6})}});
  std::unique_ptr<WeightSource> sources[] = {
      take(openCheckpoint(folder.path())), makeRandomWeights(1)};
  Buffer scratch;
  for (auto &source : sources)
    for (const TensorSlice &slice : {TensorSlice{2, 0, 1},
                                     {0, 0, 3},
                                     {0, 3, 0},
                                     {1, 2, 2},
                                     {1, -1, 1},
                                     {1, 0, -1},
                                     {0, 1, INT64_MAX},
                                     {0, INT64_MAX, INT64_MAX}})
      expectFailure(source->read({"a", {2, 3}}, slice, scratch).status(),
                    StatusCode::InvalidArgument, {"'a'", "[2, 3]"});
}

TEST(MeshWeightsTest, EveryRankReadsItsOwnPartAlone) {
  TempDir folder;
  TensorMap tensors = fakeTensors();
  writeShardedCheckpoint(folder.path(), tensors);
  auto whole = fakeWeights(folder.path());
  for (auto [tp, ep] : {std::pair(1, 3), {2, 1}, {2, 2}}) {
    auto artifact = fakeMeshArtifact(tp, ep);
    for (int rank = 0; rank < tp * ep; ++rank) {
      SCOPED_TRACE(std::to_string(tp) + "x" + std::to_string(ep) + " rank " +
                   std::to_string(rank));
      int64_t tpIndex = rank % tp, epIndex = rank / tp, columns = 8 / tp;
      int64_t local = (4 + ep - 1) / ep, first = epIndex * local;
      int64_t present = std::clamp<int64_t>(4 - first, 0, local);
      auto source = take(openWeightSource(folder.path()));
      PackOptions options;
      options.inMemory = true;
      options.rank = rank;
      auto weights = take(PackedWeights::open(artifact, *source, options));
      EXPECT_EQ(weights->rank(), rank);
      EXPECT_EQ(source->bytesRead(), 4 * (64 * 8 + 2 * columns +
                                          present * 3 * columns + 64 / tp * 8));
      EXPECT_EQ(std::memcmp(slot(*weights, 0), slot(*whole, 0), 2048), 0);
      for (int layer : {0, 1})
        EXPECT_EQ(std::memcmp(slot(*weights, 1) + layer * columns,
                              slot(*whole, 1) + layer * 8 + tpIndex * columns,
                              columns * 4),
                  0);
      for (int64_t expert = 0; expert < local; ++expert)
        for (int64_t i = 0; i < 3 * columns; ++i) {
          float found = slot(*weights, 2)[expert * 3 * columns + i];
          int64_t at = (first + expert) * 24 + i / columns * 8 +
                       tpIndex * columns + i % columns;
          EXPECT_EQ(found, expert < present ? slot(*whole, 2)[at] : 0.0f);
        }
      for (int64_t i = 0; i < 64 / tp * 8; ++i)
        EXPECT_EQ(slot(*weights, 3)[i],
                  slot(*whole, 3)[i % 8 * 64 + tpIndex * (64 / tp) + i / 8]);
    }
  }
}

TEST(MeshWeightsTest, OnlyTheOwnTensorsHaveToBeThere) {
  TempDir folder;
  TensorMap tensors = fakeTensors();
  for (const char *expert : {"2", "3"})
    tensors.erase("model.layers.1.mlp.experts." + std::string(expert) +
                  ".up_proj.weight");
  writeCheckpoint(folder.path(), tensors);
  auto open = [&](int64_t rank) {
    auto source = take(openWeightSource(folder.path()));
    PackOptions options;
    options.inMemory = true;
    options.rank = rank;
    return PackedWeights::open(fakeMeshArtifact(2, 2), *source, options)
        .status();
  };
  EXPECT_TRUE(open(0).ok());
  EXPECT_TRUE(open(1).ok());
  expectFailure(open(2), StatusCode::NotFound, {"2 of 6", "experts.3"});
  expectFailure(open(4), StatusCode::InvalidArgument, {"0 to 3", "found 4"});
  expectFailure(open(-1), StatusCode::InvalidArgument, {"found -1"});
}

TEST(MeshWeightsTest, RanksHaveFilesOfTheirOwn) {
  TempDir folder;
  std::string path = folder.file("m.dsv2");
  std::filesystem::copy_file(fakeMeshPath(2, 2), path);
  auto artifact = take(Artifact::load(path));
  std::vector<std::string> keys;
  for (int round = 0; round < 2; ++round)
    for (int64_t rank = 0; rank < 4; ++rank)
      for (const std::string &named : {std::string(), folder.file("named")}) {
        auto source = take(openWeightSource("random:1"));
        PackOptions options;
        options.rank = rank;
        options.path = named;
        auto weights = take(PackedWeights::open(artifact, *source, options));
        std::string suffix = ".rank" + std::to_string(rank) + "of4";
        EXPECT_EQ(weights->path(),
                  named.empty() ? path + suffix + ".weights" : named + suffix);
        EXPECT_EQ(weights->reused(), round == 1);
        keys.push_back(weights->key());
      }
  std::sort(keys.begin(), keys.end());
  keys.erase(std::unique(keys.begin(), keys.end()), keys.end());
  EXPECT_EQ(keys.size(), 4u);
  EXPECT_EQ(folder.names().size(), 9u);
}
