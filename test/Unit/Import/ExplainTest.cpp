//===- ExplainTest.cpp - The resolved configuration, for tools ------------===//
//
// Part of dsv2, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "dsv2/Import/Explain.h"
#include "ConfigFixtures.h"

#include "llvm/ADT/StringSet.h"

using namespace dsv2;
using namespace dsv2::test;
using namespace llvm;

/// Returns the value at a dotted path, or null with a test failure.
static json::Value at(const json::Value &root, StringRef path) {
  const json::Value *value = &root;
  SmallVector<StringRef> keys;
  path.split(keys, '.');
  for (StringRef key : keys) {
    const json::Object *object = value->getAsObject();
    value = object ? object->get(key) : nullptr;
    if (!value) {
      ADD_FAILURE() << "no key " << path.str();
      return nullptr;
    }
  }
  return *value;
}

static std::string explainText(const ModelConfig &config,
                               const ExplainOptions &options = {}) {
  std::string text;
  raw_string_ostream os(text);
  printExplainText(os, config, options);
  return text;
}

static bool hasLine(StringRef text, StringRef name, StringRef value) {
  SmallVector<StringRef> lines;
  text.split(lines, '\n');
  return llvm::any_of(lines, [&](StringRef line) {
    StringRef rest = line.ltrim();
    return rest.consume_front(name) && rest.starts_with("  ") &&
           rest.ltrim().starts_with(value);
  });
}

TEST(ExplainTest, PublishedNumbers) {
  struct {
    StringRef name;
    int64_t total, active, kv;
    double scale;
  } cases[] = {
      {"deepseek_v2", 235741434880, 20851512320, 69120, 0.114721387},
      {"deepseek_v2_lite", 15706484224, 2451435008, 31104, 0.114721387},
      {"deepseek_v2_5", 235741434880, 20851512320, 69120, 0.135233779},
      {"deepseek_coder_v2_lite", 15706484224, 2451435008, 31104, 0.114721387},
  };
  for (const auto &entry : cases) {
    Outcome outcome = Fixture(("models/" + entry.name).str()).read();
    ASSERT_TRUE(outcome.config) << outcome.error;
    json::Value value = explainJson(*outcome.config, {});
    EXPECT_EQ(at(value, "parameters.total"), json::Value(entry.total));
    EXPECT_EQ(at(value, "parameters.active_with_head"),
              json::Value(entry.active));
    EXPECT_EQ(at(value, "kv_cache.bytes_per_token.bf16"),
              json::Value(entry.kv));
    EXPECT_NEAR(*at(value, "attention.softmax_scale").getAsNumber(),
                entry.scale, 5e-10);

    std::string text = explainText(*outcome.config);
    EXPECT_TRUE(hasLine(text, "total", std::to_string(entry.total))) << text;
    EXPECT_TRUE(
        hasLine(text, "active, with head", std::to_string(entry.active)));
    EXPECT_TRUE(
        hasLine(text, "bytes per token, bf16", std::to_string(entry.kv)));
    EXPECT_TRUE(
        hasLine(text, "softmax scale", formatv("{0:f9}", entry.scale).str()));
  }
}

TEST(ExplainTest, F040_rotaryConstants) {
  Outcome outcome = Fixture("models/deepseek_v2").read();
  ASSERT_TRUE(outcome.config);
  json::Value value = explainJson(*outcome.config, {});
  EXPECT_EQ(at(value, "rope.type"), json::Value("yarn"));
  EXPECT_EQ(at(value, "rope.cos_sin_multiplier"), json::Value(1.0));
  EXPECT_EQ(at(value, "rope.yarn.low"), json::Value(10));
  EXPECT_EQ(at(value, "rope.yarn.high"), json::Value(23));
  const json::Value frequencies = at(value, "rope.inv_freq");
  ASSERT_TRUE(frequencies.getAsArray());
  ASSERT_EQ(frequencies.getAsArray()->size(), 32u);
  // Text and back gives the very float.
  std::string text = formatv("{0}", frequencies).str();
  Expected<json::Value> parsed = json::parse(text);
  ASSERT_TRUE(bool(parsed));
  std::vector<float> expected = outcome.config->rope.inverseFrequencies();
  for (size_t i = 0; i < 32; ++i)
    EXPECT_EQ(*(*parsed->getAsArray())[i].getAsNumber(), double(expected[i]));

  Outcome plain = Fixture("T0").set("rope_scaling", "null").read();
  ASSERT_TRUE(plain.config);
  value = explainJson(*plain.config, {});
  EXPECT_EQ(at(value, "rope.type"), json::Value("default"));
  EXPECT_EQ(at(value, "rope.yarn"), json::Value(nullptr));
}

TEST(ExplainTest, TopLevelKeysAreTheContract) {
  json::Value value = explainJson(*Fixture("T1").read().config, {});
  StringSet<> keys;
  for (const auto &entry : *value.getAsObject())
    keys.insert(StringRef(entry.first));
  for (StringRef key :
       {"schema_version", "file", "model", "layers", "attention", "router",
        "rope", "parameters", "weight_bytes", "weights", "kv_cache", "decode",
        "memory", "defaulted_keys", "ignored_keys"})
    EXPECT_TRUE(keys.erase(key)) << key.str();
  EXPECT_TRUE(keys.empty());
  EXPECT_EQ(at(value, "schema_version"), json::Value(1));
}

// What an artifact holds: matrices by format, the router and norms in f32.
TEST(ExplainTest, WeightsByName) {
  ModelConfig config = *Fixture("models/deepseek_v2").read().config;
  ParameterCounts counts = countParameters(config);
  int64_t precise = counts.of(TensorRole::Norm) + counts.of(TensorRole::Router);
  json::Value value = explainJson(config, {});
  EXPECT_EQ(at(value, "weights.bytes"),
            json::Value(2 * counts.total + 2 * precise));
  EXPECT_EQ(at(value, "weights.active_bytes"),
            json::Value(2 * counts.activeWithHead + 2 * precise));
  EXPECT_EQ(at(value, "weights.bytes"), at(value, "memory.weight_bytes"));
  EXPECT_EQ(at(value, "weights.has_rules"), json::Value(false));
  int64_t bytes = 0, parameters = 0;
  StringSet<> names;
  for (const json::Value &tensor :
       *value.getAsObject()->getObject("weights")->getArray("tensors")) {
    names.insert(*at(tensor, "name").getAsString());
    bytes += *at(tensor, "bytes").getAsInteger();
    parameters += *at(tensor, "parameters").getAsInteger();
  }
  EXPECT_EQ(json::Value(bytes), at(value, "weights.bytes"));
  EXPECT_EQ(parameters, counts.total);
  // Layers of both kinds have attention, and one line for it.
  EXPECT_EQ(names.size(), 22u);
  EXPECT_TRUE(names.contains(
      "model.layers.{layer}.mlp.experts.{expert}.down_proj.weight"));

  ExplainOptions options;
  options.weightFormat = findWeightFormat("f32");
  WeightPolicy policy = cantFail(
      WeightPolicy::parse("q8", "*.kv_a_proj_with_mqa.weight bf16", "rules"));
  options.weights = cantFail(planWeights(config, policy));
  value = explainJson(config, options);
  EXPECT_EQ(at(value, "weights.format"), json::Value("q8"));
  EXPECT_EQ(at(value, "weights.has_rules"), json::Value(true));
  EXPECT_TRUE(
      hasLine(explainText(config, options),
              "model.layers.{layer}.self_attn.kv_a_proj_with_mqa.weight",
              "bf16  " + std::to_string(60 * 576 * 5120 * 2)));
}

TEST(ExplainTest, RouterAndLayers) {
  json::Value value = explainJson(*Fixture("T1").read().config, {});
  EXPECT_EQ(at(value, "router.topk_method"),
            json::Value("group_limited_greedy"));
  EXPECT_EQ(at(value, "router.n_group"), json::Value(4));
  EXPECT_EQ(at(value, "router.routed_scaling_factor"), json::Value(16.0));
  json::Value runs =
      json::Array{json::Object{{"kind", "dense"}, {"first", 0}, {"last", 0}},
                  json::Object{{"kind", "moe"}, {"first", 1}, {"last", 2}}};
  EXPECT_EQ(at(value, "layers.runs"), runs);

  Outcome dense = Fixture("T0").set("n_routed_experts", "null").read();
  ASSERT_TRUE(dense.config);
  EXPECT_EQ(at(explainJson(*dense.config, {}), "router"), json::Value(nullptr));
  EXPECT_TRUE(hasLine(explainText(*dense.config), "experts", "none"));

  std::string text = explainText(*Fixture("models/deepseek_v2").read().config);
  EXPECT_TRUE(hasLine(text, "kinds", "dense [0], moe [1..59]"));
  EXPECT_TRUE(
      hasLine(text, "selection", "group_limited_greedy, 3 of 8 groups of 20"));
}

TEST(ExplainTest, F026_defaultsAndIgnoredKeysAreShown) {
  Outcome outcome = Fixture("T0")
                        .remove("first_k_dense_replace")
                        .set("no_such_key", "1")
                        .read();
  ASSERT_TRUE(outcome.config);
  json::Value value = explainJson(*outcome.config, {});
  json::Value defaulted = json::Array{
      json::Object{{"key", "first_k_dense_replace"}, {"value", "0"}}};
  EXPECT_EQ(at(value, "defaulted_keys"), defaulted);
  bool isFound = false;
  const json::Value ignored = at(value, "ignored_keys");
  for (const json::Value &entry : *ignored.getAsArray())
    isFound |= at(entry, "key") == json::Value("no_such_key") &&
               at(entry, "reason") == json::Value("unknown key");
  EXPECT_TRUE(isFound);

  std::string text = explainText(*outcome.config);
  EXPECT_TRUE(hasLine(text, "first_k_dense_replace", "0"));
  EXPECT_TRUE(hasLine(text, "no_such_key", "unknown key"));
  EXPECT_TRUE(hasLine(text, "use_cache", "runtime switch"));
}

TEST(ExplainTest, OptionsChangeCostsAndPlan) {
  ModelConfig config = *Fixture("models/deepseek_v2_lite").read().config;
  ExplainOptions options;
  options.context = 163840;
  options.batch = 2;
  options.weightFormat = findWeightFormat("f32");
  options.kvFormat = findKVFormat("q8");
  json::Value value = explainJson(config, options);
  EXPECT_EQ(at(value, "decode.context"), json::Value(163840));
  EXPECT_EQ(at(value, "decode.flops.absorbed"),
            json::Value(int64_t(158917459968)));
  EXPECT_EQ(at(value, "memory.weight_format"), json::Value("f32"));
  EXPECT_EQ(at(value, "memory.weight_bytes"),
            json::Value(int64_t(62825936896)));
  EXPECT_EQ(at(value, "memory.cache_bytes"),
            json::Value(int64_t(16524) * 163840 * 2));
  EXPECT_EQ(value.getAsObject()->getObject("memory")->get("fits"), nullptr);

  options.memoryBudget = int64_t(8) << 30;
  value = explainJson(config, options);
  EXPECT_EQ(at(value, "memory.fits"), json::Value(false));
  EXPECT_EQ(at(value, "memory.largest_context"), json::Value(0));
  EXPECT_TRUE(at(value, "memory.message")
                  .getAsString()
                  ->contains("weights alone exceed"));
  options.memoryBudget = int64_t(1) << 40;
  value = explainJson(config, options);
  EXPECT_EQ(at(value, "memory.fits"), json::Value(true));
  EXPECT_EQ(value.getAsObject()->getObject("memory")->get("message"), nullptr);
  EXPECT_TRUE(hasLine(explainText(config, options), "verdict", "fits"));
}

TEST(ExplainTest, ImpossibleOptionsAreExplainedToo) {
  ModelConfig config = *Fixture("T0").read().config;
  ExplainOptions options;
  options.context = 0;
  json::Value value = explainJson(config, options);
  EXPECT_EQ(at(value, "memory.error"),
            json::Value("expected a context of at least 1, got 0"));
  EXPECT_EQ(at(value, "decode.flops.error"),
            json::Value("expected a context of at least 1 token, got 0"));
  EXPECT_TRUE(hasLine(explainText(config, options), "plan", "expected a"));
}

TEST(ExplainTest, HostileKeysStayText) {
  Outcome outcome = Fixture("T0").set("\x1b[2J\xc2\x9b", "1").read();
  ASSERT_TRUE(outcome.config) << outcome.error;
  std::string text = explainText(*outcome.config);
  EXPECT_EQ(text.find('\x1b'), std::string::npos);
  EXPECT_EQ(text.find("\xc2\x9b"), std::string::npos);
  EXPECT_NE(text.find("\\u001b[2J\\u009b"), std::string::npos);
}
