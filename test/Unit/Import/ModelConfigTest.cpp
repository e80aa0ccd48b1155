//===- ModelConfigTest.cpp - Reading and checking config.json -------------===//
//
// Part of dsv2, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// Tests named F0xx stand for faults that users of other software have reported;
// each is about the kind of fault, so most run several variants.
//
//===----------------------------------------------------------------------===//

#include "ConfigFixtures.h"

#include "llvm/ADT/StringSet.h"
#include "llvm/Support/FileSystem.h"
#include "llvm/Support/Path.h"

using namespace dsv2;
using namespace dsv2::test;
using namespace llvm;

namespace {
/// A key set to a JSON value, and what the error must contain.
struct BadValue {
  StringRef key;
  StringRef json;
  std::initializer_list<StringRef> parts;
};
} // namespace

static void expectBadValues(StringRef fixture, ArrayRef<BadValue> values) {
  for (const BadValue &value : values) {
    Outcome outcome = Fixture(fixture).set(value.key, value.json).read();
    expectError(outcome, value.parts, (value.key + "=" + value.json).str());
  }
}

//===----------------------------------------------------------------------===//
// Whole files
//===----------------------------------------------------------------------===//

TEST(ModelConfigTest, ReadsEveryField) {
  Outcome outcome = Fixture("T1").read();
  ASSERT_TRUE(outcome.config) << outcome.error;
  const ModelConfig &config = *outcome.config;
  EXPECT_EQ(config.fileName, "config.json");
  EXPECT_EQ(config.vocabSize, 256);
  EXPECT_EQ(config.hiddenSize, 64);
  EXPECT_EQ(config.numHiddenLayers, 3);
  EXPECT_EQ(config.maxPositionEmbeddings, 2048);
  EXPECT_EQ(config.rmsNormEps, 1e-6);
  EXPECT_EQ(config.numAttentionHeads, 4);
  EXPECT_EQ(config.qLoraRank, 24);
  EXPECT_EQ(config.kvLoraRank, 32);
  EXPECT_EQ(config.qkNopeHeadDim, 16);
  EXPECT_EQ(config.qkRopeHeadDim, 8);
  EXPECT_EQ(config.vHeadDim, 16);
  EXPECT_EQ(config.qkHeadDim(), 24);
  EXPECT_EQ(config.latentDim(), 40);
  EXPECT_EQ(config.intermediateSize, 128);
  EXPECT_EQ(config.firstKDenseReplace, 1);
  EXPECT_EQ(config.moeLayerFreq, 1);
  EXPECT_EQ(config.nRoutedExperts, 8);
  EXPECT_EQ(config.nSharedExperts, 1);
  EXPECT_EQ(config.numExpertsPerTok, 2);
  EXPECT_EQ(config.moeIntermediateSize, 32);
  EXPECT_EQ(config.sharedIntermediateSize(), 32);
  EXPECT_EQ(config.topkMethod, TopKMethod::GroupLimitedGreedy);
  EXPECT_EQ(config.nGroup, 4);
  EXPECT_EQ(config.topkGroup, 2);
  EXPECT_FALSE(config.normTopkProb);
  EXPECT_EQ(config.routedScalingFactor, 16.0);
  EXPECT_EQ(config.dtype, CheckpointDType::BFloat16);
  EXPECT_EQ(config.bosTokenId, 0);
  ASSERT_EQ(config.eosTokenIds.size(), 1u);
  EXPECT_EQ(config.eosTokenIds[0], 1);
  EXPECT_FALSE(config.padTokenId);
  EXPECT_EQ(config.rope.theta, 10000.0);
  EXPECT_EQ(config.rope.dim, 8);
  ASSERT_TRUE(config.rope.yarn);
  EXPECT_EQ(config.rope.yarn->factor, 40.0);
  EXPECT_EQ(config.rope.yarn->originalMaxPositionEmbeddings, 64);
  EXPECT_EQ(config.rope.yarn->betaFast, 32.0);
  EXPECT_EQ(config.rope.yarn->betaSlow, 1.0);
  EXPECT_EQ(config.rope.yarn->mscale, 0.707);
  EXPECT_EQ(config.rope.yarn->mscaleAllDim, 0.707);
  EXPECT_TRUE(config.defaultedKeys.empty());
  EXPECT_TRUE(outcome.warnings.empty());
}

TEST(ModelConfigTest, AcceptsPublishedConfigurations) {
  for (StringRef name :
       {"deepseek_v2", "deepseek_v2_lite", "deepseek_v2_5", "deepseek_coder_v2",
        "deepseek_coder_v2_lite", "tiny"}) {
    Outcome outcome = Fixture(("models/" + name).str()).read();
    expectAccepted(outcome, name);
    EXPECT_TRUE(outcome.warnings.empty()) << name.str();
  }
}

TEST(ModelConfigTest, RefusesWhatIsNotOneObject) {
  struct {
    std::string text;
    StringRef part;
  } cases[] = {
      {"", "got an empty file"},
      {" \n\t", "got an empty file"},
      {"[]", "expected a JSON object, got a list"},
      {"3", "expected a JSON object, got 3"},
      {"null", "expected a JSON object, got null"},
      {"\"x\"", "expected a JSON object, got the string \"x\""},
      {"{", "malformed JSON"},
      {"{} {}", "malformed JSON"},
      {"{\"a\":1,}", "malformed JSON"},
      {"{\"a\xff\":1}", "invalid byte at 3"},
      {"{\"model_type\":\"deepseek_v2\",\"a\":NaN}", "found NaN"},
      {"{\"model_type\":\"deepseek_v2\",\"a\":-Infinity}", "found Infinity"},
      {std::string(100000, '['), "expected at most 64 levels"},
      {std::string(65, '['), "expected at most 64 levels"},
      {std::string(64, '['), "malformed JSON"},
      {std::string("{\"a\":\"") +
           std::string(size_t(ModelLimits::maxFileSize), 'x') + "\"}",
       "bytes of JSON"},
  };
  for (const auto &entry : cases)
    expectError(readText(entry.text), {entry.part},
                StringRef(entry.text).take_front(40));
}

TEST(ModelConfigTest, BracketsAndConstantsInStringsAreText) {
  std::string brackets = "\"" + std::string(200, '[') + "NaN \\\" Infinity\"";
  Outcome outcome = Fixture("T0").set("_name_or_path", brackets).read();
  expectAccepted(outcome);
}

TEST(ModelConfigTest, RefusesDuplicateKeys) {
  std::string text = Fixture("T0").text();
  auto with = [&](StringRef extra) {
    return readText(
        (Twine("{") + extra + "," + StringRef(text).drop_front()).str());
  };
  expectError(with("\"hidden_size\":64"), {"'hidden_size' twice"});
  // The same key in another spelling, and in a nested object.
  expectError(with("\"hidden\\u005fsize\":64"), {"'hidden_size' twice"});
  expectError(with("\"x\":{\"a\":1,\"a\":1}"), {"'a' twice"});
  expectError(with("\"x\":[{\"a\":1,\"b\":[{}],\"a\":2}]"), {"'a' twice"});
  // Equal keys in different objects, and equal strings that are no keys.
  expectAccepted(with("\"x\":{\"a\":1},\"y\":{\"a\":[\"a\",\"a\"]}"));
}

TEST(ModelConfigTest, MissingRequiredKeysAreNamed) {
  for (StringRef key :
       {"vocab_size", "hidden_size", "num_hidden_layers",
        "max_position_embeddings", "num_attention_heads", "kv_lora_rank",
        "qk_nope_head_dim", "qk_rope_head_dim", "v_head_dim", "rms_norm_eps",
        "rope_theta", "intermediate_size", "moe_intermediate_size",
        "num_experts_per_tok", "n_routed_experts"}) {
    expectError(Fixture("T0").remove(key).read(),
                {("'" + key + "'").str(), "it is missing"}, key);
    if (key != "n_routed_experts")
      expectError(Fixture("T0").set(key, "null").read(),
                  {("'" + key + "'").str(), "it is null"}, key);
  }
}

TEST(ModelConfigTest, ReportsSeveralProblemsAtOnce) {
  Outcome outcome = Fixture("T0")
                        .remove("hidden_size")
                        .set("vocab_size", "\"many\"")
                        .set("hidden_act", "\"gelu\"")
                        .read();
  expectError(outcome, {"'hidden_size'", "'vocab_size'", "'hidden_act'"});
}

TEST(ModelConfigTest, HostileTextDoesNotReachTheTerminal) {
  for (StringRef value :
       {"\"\\u001b[2J\"", "\"\\u007f\"", "\"\\u009b2J\"", "\"a\\nb\""}) {
    Outcome outcome = Fixture("T0").set("topk_method", value).read();
    expectError(outcome, {"'topk_method'"});
    for (char c : outcome.error)
      EXPECT_FALSE(static_cast<unsigned char>(c) < 0x20 || c == 0x7f ||
                   static_cast<unsigned char>(c) == 0x9b);
  }
  // Long values are cut.
  std::string longText = "\"" + std::string(100000, 'x') + "\"";
  Outcome outcome = Fixture("T0").set("hidden_act", longText).read();
  expectError(outcome, {"xxx..."});
  EXPECT_LT(outcome.error.size(), 300u);
}

//===----------------------------------------------------------------------===//
// Numbers and limits
//===----------------------------------------------------------------------===//

TEST(ModelConfigTest, F034_numbersAreNumbersInRange) {
  expectBadValues(
      "T0",
      {{"vocab_size", "\"256\"", {"'vocab_size'", "integer", "the string"}},
       {"vocab_size", "256.5", {"'vocab_size'", "integer", "256.5"}},
       {"vocab_size", "true", {"'vocab_size'", "integer", "true"}},
       {"vocab_size", "[256]", {"'vocab_size'", "integer", "a list"}},
       {"vocab_size", "{}", {"'vocab_size'", "integer", "an object"}},
       {"vocab_size", "0", {"'vocab_size'", "from 1 to", "got 0"}},
       {"vocab_size", "-1", {"'vocab_size'", "from 1 to", "got -1"}},
       {"vocab_size", "1000000000000", {"'vocab_size'", "1000000000000"}},
       {"vocab_size", "1e12", {"'vocab_size'", "from 1 to 16777216"}},
       {"vocab_size", "1e30", {"'vocab_size'", "from 1 to 16777216"}},
       {"vocab_size", "18446744073709551615", {"'vocab_size'", "from 1 to"}},
       {"vocab_size", "99999999999999999999999", {"'vocab_size'", "from 1"}},
       {"hidden_size", "1e9", {"'hidden_size'", "from 1 to 1048576"}},
       {"num_hidden_layers", "1e6", {"'num_hidden_layers'", "to 4096"}},
       {"num_attention_heads", "0", {"'num_attention_heads'", "got 0"}},
       {"num_attention_heads", "1e9", {"'num_attention_heads'"}},
       {"v_head_dim", "0", {"'v_head_dim'", "got 0"}},
       {"n_routed_experts", "0", {"'n_routed_experts'", "got 0"}},
       {"n_routed_experts", "1e9", {"'n_routed_experts'"}},
       {"n_shared_experts", "-1", {"'n_shared_experts'", "got -1"}},
       {"intermediate_size", "1e10", {"'intermediate_size'"}},
       {"max_position_embeddings", "4294967296", {"'max_position_embeddings'"}},
       {"rms_norm_eps", "0", {"'rms_norm_eps'", "got 0"}},
       {"rms_norm_eps", "-1e-6", {"'rms_norm_eps'"}},
       {"rms_norm_eps", "\"1e-6\"", {"'rms_norm_eps'", "the string"}},
       {"rope_theta", "1", {"'rope_theta'", "greater than 1", "got 1"}},
       {"rope_theta", "0", {"'rope_theta'"}},
       {"rope_theta", "\"10000\"", {"'rope_theta'", "the string"}},
       {"routed_scaling_factor", "0", {"'routed_scaling_factor'", "got 0"}},
       {"routed_scaling_factor", "1e9", {"'routed_scaling_factor'"}},
       {"norm_topk_prob", "0", {"'norm_topk_prob'", "true or false"}},
       {"bos_token_id", "256", {"'bos_token_id'", "from 0 to 255"}},
       {"eos_token_id", "[1, 256]", {"'eos_token_id'", "from 0 to 255"}},
       {"eos_token_id", "[1, \"2\"]", {"'eos_token_id'", "integer"}}});
  // An overflowing literal becomes infinite in the JSON parser.
  std::string text = Fixture("T0").set("rope_theta", "12345678").text();
  size_t position = text.find("12345678");
  ASSERT_NE(position, std::string::npos);
  text.replace(position, 8, "1e999");
  expectError(readText(text), {"'rope_theta'", "finite"});
}

TEST(ModelConfigTest, F034_hugeProductsAreRefused) {
  // Every number is in range, and the whole is not.
  Fixture parameters("T0");
  parameters.set("num_hidden_layers", "4096")
      .set("hidden_size", "1048576")
      .set("n_routed_experts", "1024")
      .set("moe_intermediate_size", "4194304");
  expectError(parameters.read(), {"parameters", "got more"});

  Fixture tensors("T0");
  tensors.set("num_hidden_layers", "4096").set("n_routed_experts", "65536");
  expectError(tensors.read(), {"checkpoint tensors"});

  // The bound is not so low that a large model runs into it.
  Fixture large("models/deepseek_v2");
  large.set("num_hidden_layers", "600").set("n_routed_experts", "1600");
  expectAccepted(large.read());
}

TEST(ModelConfigTest, IntegersMayBeWrittenAsFloats) {
  Outcome outcome = Fixture("T0").set("vocab_size", "256.0").read();
  ASSERT_TRUE(outcome.config) << outcome.error;
  EXPECT_EQ(outcome.config->vocabSize, 256);
}

TEST(ModelConfigTest, OddRotaryWidth) {
  expectError(Fixture("T0").set("qk_rope_head_dim", "7").read(),
              {"'qk_rope_head_dim'", "even", "got 7"});
  expectError(Fixture("T0").set("qk_rope_head_dim", "1").read(),
              {"'qk_rope_head_dim'", "from 2"});
}

//===----------------------------------------------------------------------===//
// Attention
//===----------------------------------------------------------------------===//

TEST(ModelConfigTest, F017_queryLatentIsOptional) {
  for (bool isRemoved : {false, true}) {
    Fixture fixture("T1");
    if (isRemoved)
      fixture.remove("q_lora_rank");
    else
      fixture.set("q_lora_rank", "null");
    Outcome outcome = fixture.read();
    ASSERT_TRUE(outcome.config) << outcome.error;
    EXPECT_FALSE(outcome.config->qLoraRank);
    EXPECT_EQ(outcome.isDefaulted("q_lora_rank", "null"), isRemoved);
    StringSet<> names;
    outcome.config->forEachLayerTensor(
        0, [&](const TensorSpec &spec) { names.insert(spec.name); });
    EXPECT_TRUE(names.contains("model.layers.0.self_attn.q_proj.weight"));
    EXPECT_FALSE(names.contains("model.layers.0.self_attn.q_a_proj.weight"));
  }
  expectBadValues("T0",
                  {{"q_lora_rank", "0", {"'q_lora_rank'", "got 0; write null"}},
                   {"q_lora_rank", "-1", {"'q_lora_rank'", "got -1"}},
                   {"q_lora_rank", "\"none\"", {"'q_lora_rank'"}}});
}

TEST(ModelConfigTest, F017_queryLatentMustMatchTheCheckpoint) {
  Outcome without = Fixture("T0").read(), with = Fixture("T1").read();
  ASSERT_TRUE(without.config && with.config);
  auto check = [](const ModelConfig &config, const ModelConfig &checkpoint) {
    StringSet<> names;
    checkpoint.forEachTensor(
        [&](const TensorSpec &spec) { names.insert(spec.name); });
    Error error = config.checkTensorNames(
        [&](StringRef name) { return names.contains(name); });
    return toString(std::move(error));
  };
  EXPECT_EQ(check(*with.config, *with.config), "");
  EXPECT_EQ(check(*without.config, *without.config), "");
  std::string error = check(*without.config, *with.config);
  EXPECT_NE(error.find("'q_lora_rank'"), std::string::npos) << error;
  EXPECT_NE(error.find("q_a_proj"), std::string::npos) << error;
  error = check(*with.config, *without.config);
  EXPECT_NE(error.find("'q_lora_rank' to be null"), std::string::npos) << error;
  EXPECT_NE(error.find("q_proj"), std::string::npos) << error;
}

TEST(ModelConfigTest, F011_missingTensorsAreListed) {
  Outcome outcome = Fixture("T0").read();
  ASSERT_TRUE(outcome.config);
  std::string lost = "model.layers.2.mlp.experts.7.down_proj.weight";
  // A checkpoint without the tensors that hint at a wrong configuration.
  std::string error =
      toString(outcome.config->checkTensorNames([&](StringRef name) {
        return name != lost && !name.contains("q_a_proj") &&
               !name.contains("e_score_correction_bias");
      }));
  EXPECT_NE(error.find(lost), std::string::npos) << error;
  EXPECT_NE(error.find("expected 83 tensors"), std::string::npos) << error;
  EXPECT_NE(error.find("1 are missing"), std::string::npos) << error;

  error = toString(
      outcome.config->checkTensorNames([](StringRef) { return false; }));
  EXPECT_NE(error.find("83 are missing"), std::string::npos) << error;
  EXPECT_EQ(StringRef(error).count("model."), 20u) << error;
}

TEST(ModelConfigTest, F030_anyNumberOfHeads) {
  for (StringRef heads : {"1", "3", "5", "16", "127"}) {
    Outcome outcome = Fixture("T0")
                          .set("num_attention_heads", heads)
                          .set("num_key_value_heads", heads)
                          .read();
    expectAccepted(outcome, heads);
  }
}

TEST(ModelConfigTest, F032_latentRankIsRequired) {
  expectError(Fixture("T0").remove("kv_lora_rank").read(),
              {"'kv_lora_rank'", "missing"});
  expectBadValues("T0", {{"kv_lora_rank", "0", {"'kv_lora_rank'", "got 0"}},
                         {"kv_lora_rank", "null", {"'kv_lora_rank'", "null"}}});
}

TEST(ModelConfigTest, F032_otherArchitecturesAreNamed) {
  expectError(readText("{\"architectures\":[\"Qwen2ForCausalLM\"],"
                       "\"model_type\":\"qwen2\",\"hidden_size\":8}"),
              {"'deepseek_v2'", "\"qwen2\"", "Qwen2ForCausalLM"});
  expectBadValues(
      "T0", {{"model_type", "\"deepseek_v3\"", {"\"deepseek_v3\""}},
             {"model_type", "\"DeepSeek_V2\"", {"'deepseek_v2'"}},
             {"model_type", "3", {"'model_type'", "got 3"}},
             {"architectures",
              "[\"DeepseekV3ForCausalLM\"]",
              {"DeepseekV2ForCausalLM", "DeepseekV3ForCausalLM"}},
             {"architectures", "[]", {"'architectures'", "a list of 0"}},
             {"architectures", "\"x\"", {"'architectures'", "the string"}},
             {"architectures", "[3]", {"'architectures'", "got 3"}},
             {"architectures",
              "[\"DeepseekV2ForCausalLM\",\"LlamaForCausalLM\"]",
              {"a list of 2"}}});
  expectError(readText("{}"), {"'model_type'", "missing"});
  expectAccepted(Fixture("T0").remove("architectures").read());
  Outcome outcome = Fixture("T0").remove("model_type").read();
  EXPECT_TRUE(outcome.isDefaulted("model_type", "\"deepseek_v2\""));
}

//===----------------------------------------------------------------------===//
// Rotary embedding
//===----------------------------------------------------------------------===//

TEST(ModelConfigTest, F018_scalingMayBeNullOrAbsent) {
  Fixture null("T0"), absent("T0"), plain("T0");
  null.set("rope_scaling", "null");
  absent.remove("rope_scaling");
  plain.set("rope_scaling", "{\"rope_type\":\"default\"}");
  for (const Fixture &fixture : {null, absent, plain}) {
    Outcome outcome = fixture.read();
    ASSERT_TRUE(outcome.config) << outcome.error;
    EXPECT_FALSE(outcome.config->rope.yarn);
    EXPECT_EQ(outcome.config->rope.cosSinMultiplier(), 1.0);
    EXPECT_EQ(outcome.config->softmaxScale(), std::pow(24.0, -0.5));
  }
  EXPECT_TRUE(absent.read().isDefaulted("rope_scaling", "null"));
  expectError(Fixture("T0").set("rope_scaling", "[]").read(),
              {"'rope_scaling'", "object or null", "a list"});
}

TEST(ModelConfigTest, F019_bothSpellingsOfTheType) {
  RopeConfig expected = Fixture("T0").read().config->rope;

  Fixture renamed("T0");
  renamed.remove("rope_scaling.type").set("rope_scaling.rope_type", "\"yarn\"");
  Fixture both("T0");
  both.set("rope_scaling.rope_type", "\"yarn\"");
  Fixture nested("T0");
  nested.remove("rope_scaling")
      .remove("rope_theta")
      .set("rope_parameters",
           "{\"rope_type\":\"yarn\",\"rope_theta\":10000,\"factor\":40,"
           "\"original_max_position_embeddings\":64,\"beta_fast\":32,"
           "\"beta_slow\":1,\"mscale\":0.707,\"mscale_all_dim\":0.707}");
  for (const Fixture &fixture : {renamed, both, nested}) {
    Outcome outcome = fixture.read();
    ASSERT_TRUE(outcome.config) << outcome.error;
    EXPECT_TRUE(outcome.config->rope == expected);
  }

  expectError(Fixture("T0").set("rope_scaling.rope_type", "\"linear\"").read(),
              {"'rope_scaling.type' 'yarn'", "'linear'", "equal"});
  expectError(Fixture("T0").remove("rope_scaling.type").read(),
              {"'rope_scaling.type'", "missing"});
  expectError(Fixture("T0").set("rope_scaling.type", "3").read(),
              {"'rope_scaling.type'", "string", "got 3"});
}

TEST(ModelConfigTest, F019_requiredAndDefaultedYarnKeys) {
  expectError(Fixture("T0").remove("rope_scaling.factor").read(),
              {"'rope_scaling.factor'", "missing"});
  expectError(Fixture("T0").set("rope_scaling.factor", "null").read(),
              {"'rope_scaling.factor'", "null"});
  expectError(Fixture("T0")
                  .remove("rope_scaling.original_max_position_embeddings")
                  .read(),
              {"'rope_scaling.original_max_position_embeddings'", "missing"});

  Outcome outcome = Fixture("T0")
                        .remove("rope_scaling.mscale")
                        .remove("rope_scaling.mscale_all_dim")
                        .remove("rope_scaling.beta_fast")
                        .set("rope_scaling.beta_slow", "null")
                        .read();
  ASSERT_TRUE(outcome.config) << outcome.error;
  EXPECT_EQ(outcome.config->rope.yarn->mscale, 1.0);
  EXPECT_EQ(outcome.config->rope.yarn->mscaleAllDim, 0.0);
  EXPECT_EQ(outcome.config->rope.yarn->betaFast, 32.0);
  EXPECT_EQ(outcome.config->rope.yarn->betaSlow, 1.0);
  EXPECT_TRUE(outcome.isDefaulted("rope_scaling.mscale", "1"));
  EXPECT_TRUE(outcome.isDefaulted("rope_scaling.mscale_all_dim", "0"));
  EXPECT_TRUE(outcome.isDefaulted("rope_scaling.beta_fast", "32"));
  EXPECT_TRUE(outcome.isDefaulted("rope_scaling.beta_slow", "1"));
}

TEST(ModelConfigTest, RefusesOtherRotaryScalings) {
  for (StringRef type :
       {"linear", "dynamic", "longrope", "llama3", "mrope", "YARN", ""}) {
    std::string json = ("\"" + type + "\"").str();
    expectError(Fixture("T0").set("rope_scaling.type", json).read(),
                {"'rope_scaling.type'", "'yarn'", ("'" + type + "'").str()},
                type);
  }
  expectBadValues(
      "T0",
      {{"rope_scaling.factor", "0.5", {"'rope_scaling.factor'", "from 1"}},
       {"rope_scaling.factor", "\"40\"", {"'rope_scaling.factor'", "number"}},
       {"rope_scaling.beta_fast", "0", {"'rope_scaling.beta_fast'"}},
       {"rope_scaling.beta_fast",
        "0.5",
        {"'rope_scaling.beta_fast' 0.5", "'rope_scaling.beta_slow' 1"}},
       {"rope_scaling.mscale", "-1", {"'rope_scaling.mscale'"}},
       {"rope_scaling.original_max_position_embeddings",
        "0",
        {"'rope_scaling.original_max_position_embeddings'", "from 1"}},
       {"rope_scaling.original_max_position_embeddings",
        "64.5",
        {"'rope_scaling.original_max_position_embeddings'", "integer"}},
       {"rope_scaling.attention_factor", "1.5", {"attention_factor", "1.5"}},
       {"rope_scaling.truncate", "false", {"truncate", "true"}},
       {"rope_scaling.partial_rotary_factor", "0.5", {"partial_rotary_factor"}},
       {"partial_rotary_factor", "0.5", {"'partial_rotary_factor'"}},
       {"rope_interleave", "false", {"'rope_interleave'", "true"}},
       {"rope_parameters",
        "{\"full_attention\":{\"rope_type\":\"default\"}}",
        {"'rope_parameters.full_attention'", "per layer type"}}});
  // The same extras with values that change nothing.
  Outcome outcome = Fixture("T0")
                        .set("rope_scaling.attention_factor", "1.0")
                        .set("rope_scaling.truncate", "true")
                        .set("rope_scaling.partial_rotary_factor", "1.0")
                        .set("rope_interleave", "true")
                        .read();
  expectAccepted(outcome);
  EXPECT_TRUE(outcome.isIgnored("rope_scaling.attention_factor",
                                IgnoredReason::Derived));
}

TEST(ModelConfigTest, ContradictoryRotaryKeys) {
  expectError(Fixture("T0").set("rope_scaling.rope_theta", "5000").read(),
              {"'rope_theta' 10000", "'rope_scaling.rope_theta' 5000"});
  expectError(Fixture("T0")
                  .set("rope_parameters", "{\"rope_type\":\"default\"}")
                  .read(),
              {"'rope_scaling'", "'rope_parameters'", "same"});
}

//===----------------------------------------------------------------------===//
// Layers and router
//===----------------------------------------------------------------------===//

TEST(ModelConfigTest, F021_impossibleExpertGroups) {
  // The message shows all the numbers, whichever is wrong.
  expectBadValues(
      "T1",
      {{"n_group",
        "3",
        {"'n_group'", "n_routed_experts 8", "n_group 3", "topk_group 2"}},
       {"topk_group",
        "5",
        {"'topk_group'", "n_routed_experts 8", "n_group 4", "topk_group 5"}},
       {"topk_group", "0", {"'topk_group'", "n_group 4", "topk_group 0"}},
       {"n_group", "0", {"'n_group'", "n_group 0"}},
       {"n_group", "16", {"'n_group'", "n_group 16"}},
       {"num_experts_per_tok", "9", {"num_experts_per_tok 9", "8"}},
       {"num_experts_per_tok", "0", {"'num_experts_per_tok'", "got 0"}},
       {"n_group", "null", {"'n_group'", "null"}},
       {"topk_group", "null", {"'topk_group'", "null"}}});
  // Two groups of two cannot give five experts.
  expectError(Fixture("T1").set("num_experts_per_tok", "5").read(),
              {"chosen groups", "num_experts_per_tok 5", "topk_group 2"});
  expectAccepted(Fixture("T1").set("num_experts_per_tok", "4").read());
}

TEST(ModelConfigTest, F022_groupsOfOneExpert) {
  Outcome outcome = Fixture("T1").set("n_group", "8").read();
  ASSERT_TRUE(outcome.config) << outcome.error;
  EXPECT_EQ(outcome.config->nGroup, 8);
}

TEST(ModelConfigTest, F024_layerFrequency) {
  Fixture fixture("T0");
  fixture.set("num_hidden_layers", "6").set("moe_layer_freq", "2");
  Outcome outcome = fixture.read();
  ASSERT_TRUE(outcome.config) << outcome.error;
  const ModelConfig &config = *outcome.config;
  for (int64_t layer = 0; layer < 6; ++layer)
    EXPECT_EQ(config.isMoELayer(layer), layer == 2 || layer == 4) << layer;
  EXPECT_EQ(config.numMoELayers(), 2);
  EXPECT_EQ(config.numDenseLayers(), 4);
  std::vector<LayerRun> runs = config.layerRuns();
  ASSERT_EQ(runs.size(), 5u);
  EXPECT_EQ(runs[0].kind, LayerKind::Dense);
  EXPECT_EQ(runs[0].first, 0);
  EXPECT_EQ(runs[0].last, 1);
  EXPECT_EQ(runs[1].kind, LayerKind::MoE);
  EXPECT_EQ(runs[1].first, 2);
  EXPECT_EQ(runs[1].size(), 1);
  EXPECT_EQ(runs[4].last, 5);

  expectBadValues(
      "T0", {{"moe_layer_freq", "0", {"'moe_layer_freq'", "got 0"}},
             {"moe_layer_freq", "-2", {"'moe_layer_freq'", "got -2"}},
             {"moe_layer_freq", "1.5", {"'moe_layer_freq'", "1.5"}},
             {"moe_layer_freq", "[0, 1, 1]", {"'moe_layer_freq'", "a list"}}});
  EXPECT_TRUE(Fixture("T0")
                  .remove("moe_layer_freq")
                  .read()
                  .isDefaulted("moe_layer_freq", "1"));
}

TEST(ModelConfigTest, PublishedLayerRuns) {
  Outcome outcome = Fixture("models/deepseek_v2").read();
  ASSERT_TRUE(outcome.config) << outcome.error;
  std::vector<LayerRun> runs = outcome.config->layerRuns();
  ASSERT_EQ(runs.size(), 2u);
  EXPECT_EQ(runs[0].kind, LayerKind::Dense);
  EXPECT_EQ(runs[0].size(), 1);
  EXPECT_EQ(runs[1].kind, LayerKind::MoE);
  EXPECT_EQ(runs[1].first, 1);
  EXPECT_EQ(runs[1].last, 59);
}

TEST(ModelConfigTest, F026_firstDenseLayersDefaultIsReported) {
  for (bool isRemoved : {false, true}) {
    Fixture fixture("T0");
    if (isRemoved)
      fixture.remove("first_k_dense_replace");
    else
      fixture.set("first_k_dense_replace", "null");
    Outcome outcome = fixture.read();
    ASSERT_TRUE(outcome.config) << outcome.error;
    EXPECT_EQ(outcome.config->firstKDenseReplace, 0);
    EXPECT_TRUE(outcome.config->isMoELayer(0));
    EXPECT_TRUE(outcome.isDefaulted("first_k_dense_replace", "0"));

    // A checkpoint with a dense layer 0 shows what is wrong.
    std::string error =
        toString(outcome.config->checkTensorNames([](StringRef name) {
          return name == "model.layers.0.mlp.gate_proj.weight";
        }));
    EXPECT_NE(error.find("'first_k_dense_replace'"), std::string::npos);
    EXPECT_NE(error.find("layers.0.mlp.gate_proj"), std::string::npos);
  }
  expectError(Fixture("T0").set("first_k_dense_replace", "-1").read(),
              {"'first_k_dense_replace'", "got -1"});
}

TEST(ModelConfigTest, F027_sharedExpertsAreOptional) {
  for (StringRef value : {"null", "0"}) {
    Outcome outcome = Fixture("T0").set("n_shared_experts", value).read();
    ASSERT_TRUE(outcome.config) << outcome.error;
    EXPECT_EQ(outcome.config->nSharedExperts, 0);
    outcome.config->forEachTensor([](const TensorSpec &spec) {
      EXPECT_NE(spec.role, TensorRole::SharedExpert) << spec.name;
    });
  }
  EXPECT_TRUE(Fixture("T0")
                  .remove("n_shared_experts")
                  .read()
                  .isDefaulted("n_shared_experts", "0"));
}

TEST(ModelConfigTest, F027_noRoutedExpertsMeansDense) {
  Outcome outcome = Fixture("T0")
                        .set("n_routed_experts", "null")
                        .remove("num_experts_per_tok")
                        .remove("moe_intermediate_size")
                        .remove("topk_method")
                        .read();
  ASSERT_TRUE(outcome.config) << outcome.error;
  EXPECT_EQ(outcome.config->numMoELayers(), 0);
  EXPECT_EQ(outcome.config->nSharedExperts, 0);
  EXPECT_TRUE(outcome.isIgnored("n_shared_experts",
                                IgnoredReason::NotUsedByArchitecture));
  outcome.config->forEachTensor([](const TensorSpec &spec) {
    EXPECT_NE(spec.role, TensorRole::Router) << spec.name;
  });
}

TEST(ModelConfigTest, WidthsAreRequiredWhereTheyAreUsed) {
  // Without a dense layer the dense width may be absent, and the other way.
  Fixture sparse("T0");
  sparse.set("first_k_dense_replace", "0").remove("intermediate_size");
  expectAccepted(sparse.read());
  Fixture dense("T0");
  dense.set("first_k_dense_replace", "3").remove("moe_intermediate_size");
  Outcome outcome = dense.read();
  ASSERT_TRUE(outcome.config) << outcome.error;
  EXPECT_EQ(outcome.config->nRoutedExperts, 0);
}

TEST(ModelConfigTest, F028_topkMethodSpellings) {
  Outcome gready = Fixture("T0").set("topk_method", "\"gready\"").read();
  ASSERT_TRUE(gready.config) << gready.error;
  EXPECT_EQ(gready.config->topkMethod, TopKMethod::Greedy);
  EXPECT_TRUE(gready.hasWarning("'gready'"));
  Outcome greedy = Fixture("T0").set("topk_method", "\"greedy\"").read();
  EXPECT_TRUE(greedy.warnings.empty());

  expectBadValues(
      "T0",
      {{"topk_method",
        "\"Greedy\"",
        {"'greedy'", "'group_limited_greedy'", "\"Greedy\""}},
       {"topk_method", "\"\"", {"'greedy'", "'group_limited_greedy'"}},
       {"topk_method", "3", {"'greedy'", "'group_limited_greedy'", "got 3"}}});

  // The default holds where it cannot matter, and nowhere else.
  EXPECT_TRUE(Fixture("T0")
                  .remove("topk_method")
                  .read()
                  .isDefaulted("topk_method", "\"greedy\""));
  expectError(Fixture("T1").remove("topk_method").read(),
              {"'topk_method'", "missing"});
}

TEST(ModelConfigTest, F029_laterRouterIsRefusedByName) {
  expectBadValues("T1", {{"topk_method",
                          "\"noaux_tc\"",
                          {"DeepSeek-V3 router not supported", "noaux_tc"}},
                         {"scoring_func",
                          "\"sigmoid\"",
                          {"DeepSeek-V3 router not supported", "sigmoid"}},
                         {"scoring_func", "\"tanh\"", {"'softmax'", "tanh"}},
                         {"scoring_func", "1", {"'softmax'", "got 1"}}});
  Outcome outcome = Fixture("T0").read();
  ASSERT_TRUE(outcome.config);
  std::string error =
      toString(outcome.config->checkTensorNames([](StringRef name) {
        return name == "model.layers.1.mlp.gate.e_score_correction_bias";
      }));
  EXPECT_NE(error.find("DeepSeek-V3 router not supported"), std::string::npos)
      << error;
}

TEST(ModelConfigTest, NormalisedAndScaledIsWarnedAbout) {
  Outcome outcome = Fixture("T1").set("norm_topk_prob", "true").read();
  ASSERT_TRUE(outcome.config) << outcome.error;
  EXPECT_TRUE(outcome.config->normTopkProb);
  EXPECT_TRUE(outcome.hasWarning("'norm_topk_prob'"));
  EXPECT_TRUE(
      Fixture("T0").set("norm_topk_prob", "true").read().warnings.empty());
}

//===----------------------------------------------------------------------===//
// Other switches
//===----------------------------------------------------------------------===//

// Block-quantised checkpoints, whose last blocks are ragged for this family,
// are refused until their scales are read.
TEST(ModelConfigTest, F016_quantisedCheckpointsAreRefused) {
  expectBadValues(
      "T0", {{"quantization_config",
              R"({"quant_method": "fp8", "weight_block_size": [128, 128]})",
              {"quantised checkpoints not supported", "'quantization_config'",
               "'fp8'"}},
             {"compression_config",
              R"({"quant_method": "compressed-tensors"})",
              {"'compression_config'", "'compressed-tensors'"}}});
}

TEST(ModelConfigTest, F034_unsupportedSwitchesAreRefusedByName) {
  expectBadValues(
      "T0",
      {{"attention_bias", "true", {"'attention_bias'", "false", "got true"}},
       {"attention_bias", "\"no\"", {"'attention_bias'", "the string"}},
       {"mlp_bias", "true", {"'mlp_bias'"}},
       {"tie_word_embeddings", "true", {"'tie_word_embeddings'"}},
       {"hidden_act", "\"gelu\"", {"'hidden_act'", "'silu'", "'gelu'"}},
       {"hidden_act", "1", {"'hidden_act'", "string"}},
       {"quantization_config",
        "{\"quant_method\":\"fp8\"}",
        {"'quantization_config'", "'fp8'"}},
       {"quantization_config", "{}", {"'quantization_config'"}},
       {"num_nextn_predict_layers", "1", {"'num_nextn_predict_layers'"}},
       {"sliding_window", "4096", {"'sliding_window'"}},
       {"torch_dtype", "\"int8\"", {"'torch_dtype'", "'int8'"}},
       {"torch_dtype", "\"float8_e4m3fn\"", {"float8_e4m3fn"}},
       {"dtype", "\"float32\"", {"'torch_dtype'", "'dtype'", "equal"}}});
  Outcome outcome = Fixture("T0")
                        .set("quantization_config", "null")
                        .set("mlp_bias", "false")
                        .set("sliding_window", "null")
                        .set("num_nextn_predict_layers", "0")
                        .set("pretraining_tp", "2")
                        .read();
  expectAccepted(outcome);
  EXPECT_TRUE(
      outcome.isIgnored("pretraining_tp", IgnoredReason::RuntimeSwitch));
}

TEST(ModelConfigTest, BothSpellingsOfTheDType) {
  for (StringRef key : {"torch_dtype", "dtype"}) {
    Outcome outcome =
        Fixture("T0").remove("torch_dtype").set(key, "\"float32\"").read();
    ASSERT_TRUE(outcome.config) << outcome.error;
    EXPECT_EQ(outcome.config->dtype, CheckpointDType::Float32);
  }
  EXPECT_TRUE(Fixture("T0")
                  .remove("torch_dtype")
                  .read()
                  .isDefaulted("torch_dtype", "\"bfloat16\""));
}

TEST(ModelConfigTest, EveryKeyWithoutInfluenceIsRecorded) {
  Outcome outcome = Fixture("T0")
                        .set("head_dim", "8")
                        .set("auto_map", "{\"AutoConfig\":\"x.Y\"}")
                        .set("transformers_version", "\"5.0.0\"")
                        .set("aux_loss_alpha", "0.5")
                        .set("id2label", "{}")
                        .set("no_such_key", "1")
                        .set("rope_scaling.no_such_key", "1")
                        .read();
  ASSERT_TRUE(outcome.config) << outcome.error;
  EXPECT_TRUE(outcome.isIgnored("head_dim", IgnoredReason::Derived));
  EXPECT_TRUE(outcome.isIgnored("auto_map", IgnoredReason::Provenance));
  EXPECT_TRUE(
      outcome.isIgnored("transformers_version", IgnoredReason::Provenance));
  EXPECT_TRUE(outcome.isIgnored("aux_loss_alpha", IgnoredReason::TrainingOnly));
  EXPECT_TRUE(outcome.isIgnored("num_key_value_heads",
                                IgnoredReason::NotUsedByArchitecture));
  EXPECT_TRUE(outcome.isIgnored("use_cache", IgnoredReason::RuntimeSwitch));
  EXPECT_TRUE(outcome.isIgnored("id2label", IgnoredReason::TaskHead));
  EXPECT_TRUE(outcome.isIgnored("no_such_key", IgnoredReason::Unknown));
  EXPECT_TRUE(
      outcome.isIgnored("rope_scaling.no_such_key", IgnoredReason::Unknown));
  EXPECT_TRUE(outcome.hasWarning("'no_such_key' is unknown"));
  EXPECT_TRUE(outcome.hasWarning("'rope_scaling.no_such_key' is unknown"));
  EXPECT_EQ(outcome.warnings.size(), 2u);

  EXPECT_TRUE(llvm::is_sorted(
      outcome.config->ignoredKeys,
      [](const IgnoredKey &a, const IgnoredKey &b) { return a.key < b.key; }));

  EXPECT_TRUE(Fixture("T0")
                  .set("head_dim", "64")
                  .read()
                  .hasWarning("'head_dim' to be 8"));
}

TEST(ModelConfigTest, TokenIds) {
  Outcome outcome = Fixture("T0")
                        .set("eos_token_id", "[1, 7]")
                        .set("bos_token_id", "null")
                        .set("pad_token_id", "-1")
                        .read();
  ASSERT_TRUE(outcome.config) << outcome.error;
  EXPECT_FALSE(outcome.config->bosTokenId);
  EXPECT_FALSE(outcome.config->padTokenId);
  ASSERT_EQ(outcome.config->eosTokenIds.size(), 2u);
  EXPECT_EQ(outcome.config->eosTokenIds[1], 7);
  EXPECT_TRUE(outcome.hasWarning("'pad_token_id'"));
}

//===----------------------------------------------------------------------===//
// Tensors
//===----------------------------------------------------------------------===//

TEST(ModelConfigTest, TensorsOfALayerInOrder) {
  Outcome outcome = Fixture("T1").set("n_routed_experts", "4").read();
  ASSERT_TRUE(outcome.config) << outcome.error;
  std::vector<std::string> lines;
  outcome.config->forEachTensor([&](const TensorSpec &spec) {
    if (spec.layer > 1)
      return;
    std::string line = spec.name;
    for (int64_t extent : spec.shape)
      line += " " + std::to_string(extent);
    lines.push_back(line);
  });
  std::vector<std::string> expected = {"model.embed_tokens.weight 256 64"};
  for (StringRef layer : {"0", "1"}) {
    std::string prefix = ("model.layers." + layer + ".").str();
    for (StringRef line :
         {"input_layernorm.weight 64", "self_attn.q_a_proj.weight 24 64",
          "self_attn.q_a_layernorm.weight 24",
          "self_attn.q_b_proj.weight 96 24",
          "self_attn.kv_a_proj_with_mqa.weight 40 64",
          "self_attn.kv_a_layernorm.weight 32",
          "self_attn.kv_b_proj.weight 128 32", "self_attn.o_proj.weight 64 64",
          "post_attention_layernorm.weight 64"})
      expected.push_back(prefix + line.str());
    auto gated = [&](const std::string &name, int64_t width) {
      std::string w = std::to_string(width);
      expected.push_back(prefix + name + "gate_proj.weight " + w + " 64");
      expected.push_back(prefix + name + "up_proj.weight " + w + " 64");
      expected.push_back(prefix + name + "down_proj.weight 64 " + w);
    };
    if (layer == "0") {
      gated("mlp.", 128);
      continue;
    }
    expected.push_back(prefix + "mlp.gate.weight 4 64");
    for (int expert = 0; expert < 4; ++expert)
      gated("mlp.experts." + std::to_string(expert) + ".", 32);
    gated("mlp.shared_experts.", 32);
  }
  expected.push_back("model.norm.weight 64");
  expected.push_back("lm_head.weight 256 64");
  EXPECT_EQ(lines, expected);
}

TEST(ModelConfigTest, PublishedTensorCounts) {
  struct {
    StringRef name;
    int64_t tensors;
    int64_t parameters;
  } cases[] = {{"models/deepseek_v2", 29102, 235741434880},
               {"models/deepseek_v2_lite", 5291, 15706484224},
               {"T0", 83, 220192},
               {"T1", 89, 213352}};
  for (const auto &entry : cases) {
    Outcome outcome = Fixture(entry.name).read();
    ASSERT_TRUE(outcome.config) << outcome.error;
    int64_t tensors = 0, parameters = 0;
    StringSet<> names;
    outcome.config->forEachTensor([&](const TensorSpec &spec) {
      ++tensors;
      parameters += spec.numElements();
      EXPECT_TRUE(names.insert(spec.name).second) << spec.name;
    });
    EXPECT_EQ(tensors, entry.tensors) << entry.name.str();
    EXPECT_EQ(parameters, entry.parameters) << entry.name.str();
    EXPECT_EQ(outcome.config->numTensors(), entry.tensors);
  }
}

TEST(ModelConfigTest, GroupsAgreeWithTheEnumeration) {
  Fixture fixture("T1");
  fixture.set("num_hidden_layers", "7").set("moe_layer_freq", "3");
  Outcome outcome = fixture.read();
  ASSERT_TRUE(outcome.config) << outcome.error;
  std::array<int64_t, 8> enumerated = {}, grouped = {};
  outcome.config->forEachTensor([&](const TensorSpec &spec) {
    enumerated[static_cast<size_t>(spec.role)] += spec.numElements();
  });
  outcome.config->forEachTensorGroup(
      [&](const TensorSpec &spec, int64_t count, int64_t numActive) {
        grouped[static_cast<size_t>(spec.role)] += count * spec.numElements();
        if (spec.role == TensorRole::RoutedExpert) {
          EXPECT_EQ(count, 2 * 8);
          EXPECT_EQ(numActive, 2 * 2);
        } else {
          EXPECT_EQ(count, numActive);
        }
      });
  EXPECT_EQ(enumerated, grouped);
}

//===----------------------------------------------------------------------===//
// Hand-made configurations and files
//===----------------------------------------------------------------------===//

TEST(ModelConfigTest, VerifyChecksHandMadeConfigurations) {
  ModelConfig good = *Fixture("T1").read().config;
  EXPECT_EQ(toString(good.verify()), "");
  auto expectBad = [&](StringRef part, auto change) {
    ModelConfig bad = good;
    change(bad);
    std::string error = toString(bad.verify());
    EXPECT_NE(error.find(part.str()), std::string::npos)
        << part.str() << " not in: " << error;
  };
  expectBad("'vocab_size'", [](ModelConfig &c) { c.vocabSize = 0; });
  expectBad("'q_lora_rank'", [](ModelConfig &c) { c.qLoraRank = 0; });
  expectBad("'moe_layer_freq'", [](ModelConfig &c) { c.moeLayerFreq = 0; });
  expectBad("'intermediate_size'",
            [](ModelConfig &c) { c.intermediateSize = 0; });
  expectBad("'moe_intermediate_size'",
            [](ModelConfig &c) { c.moeIntermediateSize = 0; });
  expectBad("'num_experts_per_tok'",
            [](ModelConfig &c) { c.numExpertsPerTok = 0; });
  expectBad("rotary width", [](ModelConfig &c) { c.rope.dim = 4; });
  expectBad("'rope_theta'", [](ModelConfig &c) { c.rope.theta = 1.0; });
  expectBad("'rms_norm_eps'", [](ModelConfig &c) { c.rmsNormEps = 0.0; });
  expectBad("'routed_scaling_factor'",
            [](ModelConfig &c) { c.routedScalingFactor = 0.0; });
  expectBad("even", [](ModelConfig &c) { c.qkRopeHeadDim = c.rope.dim = 9; });
}

TEST(ModelConfigTest, ReadsFoldersAndFiles) {
  std::string folder = std::string(DSV2_TEST_SOURCE_DIR) + "/test/Fixtures/T0";
  for (const std::string &path : {folder, folder + "/config.json"}) {
    Expected<ModelConfig> config = ModelConfig::fromPath(path);
    ASSERT_TRUE(bool(config)) << toString(config.takeError());
    EXPECT_TRUE(StringRef(config->fileName).ends_with("config.json"));
  }
  auto errorOf = [](StringRef path) {
    Expected<ModelConfig> config = ModelConfig::fromPath(path);
    return config ? std::string() : toString(config.takeError());
  };
  std::string missing = folder + "/no-such-file";
  EXPECT_EQ(errorOf(missing),
            missing + ": cannot be opened: No such file or directory");

  SmallString<128> empty;
  ASSERT_FALSE(sys::fs::createUniqueDirectory("dsv2-config", empty));
  EXPECT_TRUE(StringRef(errorOf(empty)).contains("folder with a config.json"));
  EXPECT_TRUE(StringRef(errorOf("/dev/zero")).contains("a regular file"));

  // Errors inside name the file that was opened, not the folder.
  SmallString<128> file(empty);
  sys::path::append(file, "config.json");
  {
    std::error_code code;
    raw_fd_ostream os(file, code);
    ASSERT_FALSE(code);
    os << "[]";
  }
  EXPECT_EQ(errorOf(empty),
            (file + ": expected a JSON object, got a list").str());
  EXPECT_FALSE(sys::fs::remove(file));
  EXPECT_FALSE(sys::fs::remove(empty));
}
