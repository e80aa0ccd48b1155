//===- RandomWeightsTest.cpp - the generator against its twin -------------===//
//
// Part of dsv2, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "TestUtils.h"

#include "dsv2rt/Checkpoint.h"

#include <nlohmann/json.hpp>

#include <cstring>

using namespace dsv2rt;
using namespace dsv2test;

/// The hash by which test/Oracle/random_weights.py sums up a tensor.
static uint64_t fnv1a(const void *data, size_t size) {
  uint64_t hash = 0xcbf29ce484222325;
  for (size_t i = 0; i < size; ++i)
    hash = (hash ^ static_cast<const uint8_t *>(data)[i]) * 0x100000001b3;
  return hash;
}

TEST(RandomWeightsTest, EqualsTheOracle) {
  auto samples = nlohmann::json::parse(
      readFile(DSV2_TEST_SOURCE_DIR "/test/Fixtures/random_weights.json"));
  ASSERT_FALSE(samples.at("tensors").empty());
  for (const auto &sample : samples.at("tensors")) {
    TensorSpec spec{sample.at("name"), sample.at("shape")};
    SCOPED_TRACE(spec.name);
    auto source =
        take(openWeightSource("random:" + sample.at("seed").get<std::string>(),
                              /*threads=*/3));
    ASSERT_TRUE(source->require({spec}).ok());
    Buffer scratch;
    TensorView view = take(source->read(spec, scratch));
    EXPECT_EQ(view.dtype, DType::BF16);
    auto *bits = static_cast<const uint16_t *>(view.data);
    const auto &first = sample.at("first_bf16_bits");
    for (size_t i = 0; i < first.size(); ++i)
      EXPECT_EQ(bits[i], std::stoul(first[i].get<std::string>(), nullptr, 16));
    EXPECT_EQ(fnv1a(bits, size_t(view.elements) * 2),
              std::stoull(sample.at("fnv1a64_of_bytes").get<std::string>(),
                          nullptr, 16));
  }
}

TEST(RandomWeightsTest, AnyPartEqualsTheWhole) {
  TensorSpec spec{"model.layers.3.mlp.up_proj.weight", {300, 1000}};
  std::vector<uint16_t> whole(300 * 1000), part(12345);
  ASSERT_TRUE(fillRandomWeights(7, spec, 0, 300000, whole.data()).ok());
  ASSERT_TRUE(
      fillRandomWeights(7, spec, 77777, 77777 + 12345, part.data()).ok());
  EXPECT_EQ(std::memcmp(part.data(), whole.data() + 77777, 12345 * 2), 0);
  Buffer scratch;
  for (int threads : {1, 2, 7}) {
    auto source = makeRandomWeights(7, threads);
    TensorView view = take(source->read(spec, scratch));
    EXPECT_EQ(std::memcmp(view.data, whole.data(), whole.size() * 2), 0);
  }
}

TEST(RandomWeightsTest, SeedAndNameMatter) {
  std::vector<uint16_t> a(64), b(64), c(64);
  ASSERT_TRUE(fillRandomWeights(0, {"x", {8, 8}}, 0, 64, a.data()).ok());
  ASSERT_TRUE(fillRandomWeights(1, {"x", {8, 8}}, 0, 64, b.data()).ok());
  ASSERT_TRUE(fillRandomWeights(0, {"y", {8, 8}}, 0, 64, c.data()).ok());
  EXPECT_NE(a, b);
  EXPECT_NE(a, c);
  auto identity = [](const char *text) {
    return take(take(openWeightSource(text))->identity({}));
  };
  EXPECT_NE(identity("random:0"), identity("random:1"));
  EXPECT_EQ(identity("random:1"), identity("random:01"));
}

TEST(RandomWeightsTest, OtherRanksAreRefused) {
  auto source = makeRandomWeights(1);
  for (const std::vector<int64_t> &shape :
       {std::vector<int64_t>{}, std::vector<int64_t>{2, 2, 2}})
    expectFailure(source->require({{"x", shape}}), StatusCode::Unsupported,
                  {"'x'", "one or two dimensions"});
}
