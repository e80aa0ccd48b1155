//===- ConfigReader.cpp - config.json to ModelConfig ----------------------===//
//
// Part of dsv2, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "ConfigReader.h"
#include "ConfigMessages.h"

#include "llvm/ADT/StringExtras.h"
#include "llvm/ADT/Twine.h"

#include <cmath>

using namespace dsv2;
using namespace llvm;

std::optional<int64_t> ConfigReader::toInt(const json::Value &value,
                                           const std::string &path, int64_t min,
                                           int64_t max) {
  std::optional<double> number = value.getAsNumber();
  if (!number) {
    fail("expected " + quote(path) + " to be an integer, got " +
         describe(value));
    return std::nullopt;
  }
  std::optional<int64_t> integer = value.getAsInteger();
  if (!integer && std::isfinite(*number) && *number != std::floor(*number)) {
    fail("expected " + quote(path) + " to be an integer, got " +
         describe(value));
    return std::nullopt;
  }
  if (!integer || *integer < min || *integer > max) {
    fail("expected " + quote(path) + " to be from " + Twine(min) + " to " +
         Twine(max) + ", got " +
         (std::isfinite(*number) ? describe(value) : "a number out of range"));
    return std::nullopt;
  }
  return integer;
}

std::optional<double> ConfigReader::toNumber(const json::Value &value,
                                             const std::string &path) {
  std::optional<double> number = value.getAsNumber();
  if (!number) {
    fail("expected " + quote(path) + " to be a number, got " + describe(value));
    return std::nullopt;
  }
  if (!std::isfinite(*number)) {
    fail("expected " + quote(path) +
         " to be a finite number, got a number out of range");
    return std::nullopt;
  }
  return number;
}

std::optional<bool> ConfigReader::toBool(const json::Value &value,
                                         const std::string &path) {
  std::optional<bool> result = value.getAsBoolean();
  if (!result)
    fail("expected " + quote(path) + " to be true or false, got " +
         describe(value));
  return result;
}

std::optional<StringRef> ConfigReader::toString(const json::Value &value,
                                                const std::string &path) {
  std::optional<StringRef> result = value.getAsString();
  if (!result)
    fail("expected " + quote(path) + " to be a string, got " + describe(value));
  return result;
}

void ConfigReader::missing(Section &section, StringRef key, StringRef what) {
  const json::Value *value = section.findOrNull(key);
  fail("expected " + quote(section.path(key)) + ", " + what + ", but it is " +
       (value ? "null" : "missing"));
}

double ConfigReader::readNumber(Section &section, StringRef key,
                                double defaultValue, double min,
                                bool minIsAllowed, double max) {
  const json::Value *value = section.find(key);
  std::string path = section.path(key);
  if (!value) {
    setDefault(path, toJsonText(defaultValue));
    return defaultValue;
  }
  std::optional<double> number = toNumber(*value, path);
  if (!number)
    return defaultValue;
  if (*number < min || *number > max || (*number == min && !minIsAllowed)) {
    fail("expected " + quote(path) + " to be " +
         (minIsAllowed ? "from " : "greater than ") + toJsonText(min) +
         (minIsAllowed ? " to " : " and at most ") + toJsonText(max) +
         ", got " + describe(*value));
    return defaultValue;
  }
  return *number;
}

bool ConfigReader::readBool(StringRef key, bool defaultValue) {
  const json::Value *value = root.find(key);
  if (!value) {
    setDefault(key.str(), defaultValue ? "true" : "false");
    return defaultValue;
  }
  return toBool(*value, key.str()).value_or(defaultValue);
}

void ConfigReader::requireBool(StringRef key, bool wanted, StringRef feature) {
  if (const json::Value *value = root.find(key)) {
    std::optional<bool> found = toBool(*value, key.str());
    if (found && *found != wanted)
      fail(feature + Twine(" not supported: expected ") + quote(key) +
           " to be " + (wanted ? "true" : "false") + ", got " +
           (wanted ? "false" : "true"));
  }
}

void ConfigReader::readRequiredInt(const IntField &field) {
  const json::Value *value = root.find(field.key);
  if (!value)
    return missing(root, field.key, "an integer");
  if (std::optional<int64_t> integer =
          toInt(*value, field.key.str(), field.min, field.max))
    config.*field.member = *integer;
}

/// Refuses files of other architectures before anything else, so that the
/// message is about that and not about some key they lack.
Error ConfigReader::checkArchitecture() {
  constexpr StringLiteral wantedType = "deepseek_v2";
  constexpr StringLiteral wantedClass = "DeepseekV2ForCausalLM";

  const json::Value *architectures = root.find("architectures");
  std::string found;
  if (architectures) {
    const json::Array *list = architectures->getAsArray();
    if (!list || list->size() != 1 || !list->front().getAsString())
      return makeError(
          fileName,
          "expected 'architectures' to be a list of one string, "
          "got " +
              (list && list->size() != 1
                   ? "a list of " + std::to_string(list->size())
                   : describe(list ? list->front() : *architectures)));
    found = list->front().getAsString()->str();
  }

  const json::Value *modelType = root.find("model_type");
  if (!modelType && found.empty())
    return makeError(fileName, "expected 'model_type' to be '" + wantedType +
                                   "', but it is missing");
  if (modelType && modelType->getAsString() != wantedType) {
    std::string message = ("expected 'model_type' to be '" + wantedType +
                           "', got " + describe(*modelType))
                              .str();
    if (!found.empty())
      message += " (architecture " + quote(found) + ")";
    return makeError(fileName, message);
  }
  if (architectures && found != wantedClass)
    return makeError(fileName, "expected architecture '" + wantedClass +
                                   "', got " + quote(found));
  if (!modelType)
    setDefault("model_type", "\"deepseek_v2\"");
  return Error::success();
}

void ConfigReader::readAttention() {
  // Both absent and null mean the single projection of V2-Lite; 0 is what some
  // converters write for "none" and what others would divide by.
  if (const json::Value *value = root.find("q_lora_rank")) {
    if (value->getAsNumber() == 0.0)
      fail("expected 'q_lora_rank' to be null or from 1 to " +
           Twine(ModelLimits::maxRank) +
           ", got 0; write null for a model with a single q_proj");
    else
      config.qLoraRank = toInt(*value, "q_lora_rank", 1, ModelLimits::maxRank);
  } else if (!root.findOrNull("q_lora_rank")) {
    setDefault("q_lora_rank", "null");
  }

  if (const json::Value *value = root.find("rms_norm_eps")) {
    if (std::optional<double> eps = toNumber(*value, "rms_norm_eps")) {
      // The norms are computed in float32; an epsilon that vanishes there would
      // divide by zero.
      if (*eps < 1e-30 || *eps > 1.0)
        fail("expected 'rms_norm_eps' to be from 1e-30 to 1, got " +
             describe(*value));
      else
        config.rmsNormEps = *eps;
    }
  } else {
    missing(root, "rms_norm_eps", "a number");
  }
}

void ConfigReader::readLayers() {
  if (const json::Value *value = root.find("first_k_dense_replace"))
    config.firstKDenseReplace =
        toInt(*value, "first_k_dense_replace", 0, ModelLimits::maxLayers)
            .value_or(0);
  else
    setDefault("first_k_dense_replace", "0");

  if (const json::Value *value = root.find("moe_layer_freq")) {
    if (value->getAsArray())
      fail("a list of layers not supported: expected 'moe_layer_freq' to be an "
           "integer, got a list");
    else
      config.moeLayerFreq =
          toInt(*value, "moe_layer_freq", 1, ModelLimits::maxLayers)
              .value_or(1);
  } else {
    setDefault("moe_layer_freq", "1");
  }

  if (const json::Value *value = root.find("n_routed_experts"))
    config.nRoutedExperts =
        toInt(*value, "n_routed_experts", 1, ModelLimits::maxExperts)
            .value_or(0);
  else if (!root.findOrNull("n_routed_experts"))
    missing(root, "n_routed_experts",
            "an integer, or null for a model without experts");

  if (const json::Value *value = root.find("n_shared_experts"))
    config.nSharedExperts =
        toInt(*value, "n_shared_experts", 0, ModelLimits::maxExperts)
            .value_or(0);
  else if (!root.findOrNull("n_shared_experts"))
    setDefault("n_shared_experts", "0");

  bool hasMoE = config.numMoELayers() > 0;
  bool hasDense = config.numDenseLayers() > 0;
  for (const IntField &field : intFields) {
    if (field.need == Need::Always)
      continue;
    bool isNeeded = field.need == Need::WithMoELayers ? hasMoE : hasDense;
    if (isNeeded || root.find(field.key))
      readRequiredInt(field);
    if (!isNeeded && root.findOrNull(field.key))
      ignore(field.key.str(), IgnoredReason::NotUsedByArchitecture);
  }
}

void ConfigReader::readRouter() {
  constexpr StringLiteral v3Router = "DeepSeek-V3 router not supported";
  bool hasMoE = config.numMoELayers() > 0;

  // Refused whether or not a layer would use it.
  if (const json::Value *value = root.find("scoring_func")) {
    std::optional<StringRef> name = value->getAsString();
    if (name == StringRef("sigmoid"))
      fail(v3Router + ": expected 'scoring_func' to be 'softmax', got " +
           describe(*value));
    else if (name != StringRef("softmax"))
      fail("expected 'scoring_func' to be 'softmax', got " + describe(*value));
  } else if (hasMoE) {
    setDefault("scoring_func", "\"softmax\"");
  }

  bool hasMethod = false;
  if (const json::Value *value = root.find("topk_method")) {
    constexpr StringLiteral expectation =
        "expected 'topk_method' to be 'greedy' or 'group_limited_greedy', got ";
    hasMethod = true;
    std::optional<StringRef> name = value->getAsString();
    if (name == StringRef("gready")) {
      // The spelling of the first published reader.
      warn("'topk_method' is spelled 'gready' and read as 'greedy'");
    } else if (name == StringRef("group_limited_greedy")) {
      config.topkMethod = TopKMethod::GroupLimitedGreedy;
    } else if (name == StringRef("noaux_tc")) {
      fail(v3Router + ": " + expectation + describe(*value));
    } else if (name != StringRef("greedy")) {
      fail(expectation + describe(*value));
    }
  }

  bool isGrouped = config.topkMethod == TopKMethod::GroupLimitedGreedy;
  auto readGroups = [&](StringRef key, int64_t &result) {
    // Zero reaches `verify`, whose message shows all the numbers involved.
    if (const json::Value *value = root.find(key))
      result = toInt(*value, key.str(), 0, ModelLimits::maxExperts).value_or(1);
    else if (hasMoE && isGrouped)
      missing(root, key, "an integer, for 'topk_method' group_limited_greedy");
    else if (hasMoE)
      setDefault(key.str(), "1");
  };
  readGroups("n_group", config.nGroup);
  readGroups("topk_group", config.topkGroup);

  if (hasMoE && !hasMethod) {
    if (config.nGroup > 1)
      missing(root, "topk_method",
              "'greedy' or 'group_limited_greedy' for more than one group");
    else
      setDefault("topk_method", "\"greedy\"");
  }

  if (hasMoE || root.find("norm_topk_prob"))
    config.normTopkProb = readBool("norm_topk_prob", false);
  if (hasMoE || root.find("routed_scaling_factor"))
    config.routedScalingFactor =
        readNumber(root, "routed_scaling_factor", 1.0, 0.0,
                   /*minIsAllowed=*/false, maxRoutedScale);

  if (!hasMoE) {
    for (StringRef key :
         {"n_routed_experts", "n_shared_experts", "scoring_func", "topk_method",
          "n_group", "topk_group", "norm_topk_prob", "routed_scaling_factor"})
      if (root.find(key))
        ignore(key.str(), IgnoredReason::NotUsedByArchitecture);
    config.nRoutedExperts = config.nSharedExperts = 0;
    config.numExpertsPerTok = config.moeIntermediateSize = 0;
    config.topkMethod = TopKMethod::Greedy;
    config.nGroup = config.topkGroup = 1;
    config.normTopkProb = false;
    config.routedScalingFactor = 1.0;
    return;
  }
  if (config.normTopkProb && config.routedScalingFactor != 1.0)
    warn("published readers disagree on 'norm_topk_prob' true with "
         "'routed_scaling_factor' " +
         toJsonText(config.routedScalingFactor) +
         "; the weights are normalised, then scaled");
}

void ConfigReader::readTokens() {
  // Without a usable vocabulary size only that is worth a message.
  int64_t maxId =
      (config.vocabSize ? config.vocabSize : ModelLimits::maxVocabSize) - 1;
  if (const json::Value *value = root.find("bos_token_id"))
    config.bosTokenId = toInt(*value, "bos_token_id", 0, maxId);
  if (const json::Value *value = root.find("eos_token_id")) {
    if (const json::Array *list = value->getAsArray()) {
      for (const json::Value &element : *list) {
        std::optional<int64_t> id = toInt(element, "eos_token_id", 0, maxId);
        if (!id)
          break;
        config.eosTokenIds.push_back(*id);
      }
    } else if (std::optional<int64_t> id =
                   toInt(*value, "eos_token_id", 0, maxId)) {
      config.eosTokenIds.push_back(*id);
    }
  }
  if (const json::Value *value = root.find("pad_token_id")) {
    // Some writers put -1 for "none".
    if (value->getAsInteger() == int64_t(-1))
      warn("'pad_token_id' is -1 and read as null");
    else
      config.padTokenId = toInt(*value, "pad_token_id", 0, maxId);
  }
}

void ConfigReader::readDType() {
  std::optional<CheckpointDType> dtype;
  for (StringRef key : {"torch_dtype", "dtype"}) {
    const json::Value *value = root.find(key);
    if (!value)
      continue;
    std::optional<StringRef> name = toString(*value, key.str());
    if (!name)
      return;
    StringRef plain = *name;
    plain.consume_front("torch.");
    std::optional<CheckpointDType> found;
    for (CheckpointDType type :
         {CheckpointDType::Float32, CheckpointDType::Float16,
          CheckpointDType::BFloat16})
      if (plain == stringifyCheckpointDType(type))
        found = type;
    if (!found)
      return fail("expected " + quote(key) +
                  " to be 'bfloat16', 'float16' or 'float32', got " +
                  quote(*name));
    if (dtype && *dtype != *found)
      return fail("expected 'torch_dtype' '" +
                  stringifyCheckpointDType(*dtype) + "' and 'dtype' '" +
                  stringifyCheckpointDType(*found) + "' to be equal");
    dtype = found;
  }
  if (!dtype)
    setDefault("torch_dtype", "\"bfloat16\"");
  config.dtype = dtype.value_or(CheckpointDType::BFloat16);
}

void ConfigReader::checkUnsupported() {
  requireBool("attention_bias", false, "attention biases");
  requireBool("mlp_bias", false, "feed-forward biases");
  requireBool("tie_word_embeddings", false, "tied embedding and head");
  // The pair layout of the checkpoints; false is what some V3 readers write for
  // weights that were permuted to the half-rotation layout.
  requireBool("rope_interleave", true, "permuted rotary weights");
  for (StringRef key : {"attention_bias", "tie_word_embeddings"})
    if (!root.find(key))
      setDefault(key.str(), "false");

  if (const json::Value *value = root.find("hidden_act")) {
    if (std::optional<StringRef> name = toString(*value, "hidden_act"))
      if (*name != "silu" && *name != "swish")
        fail("activation not supported: expected 'hidden_act' to be 'silu', "
             "got " +
             quote(*name));
  } else {
    setDefault("hidden_act", "\"silu\"");
  }

  for (StringRef key : {"quantization_config", "compression_config"}) {
    const json::Value *value = root.find(key);
    if (!value)
      continue;
    std::string method = "without a quant_method";
    if (const json::Object *object = value->getAsObject())
      if (std::optional<StringRef> name = object->getString("quant_method"))
        method = "with quant_method " + quote(*name);
    fail("quantised checkpoints not supported: expected no " + quote(key) +
         ", got one " + method);
  }

  // Features of later or other families that would change the logits.
  for (StringRef key :
       {"num_nextn_predict_layers", "sliding_window", "attn_logit_softcapping",
        "final_logit_softcapping", "index_topk"})
    if (const json::Value *value = root.find(key)) {
      if (value->getAsNumber() == 0.0)
        ignore(key.str(), IgnoredReason::NotUsedByArchitecture);
      else
        fail(quote(key) + " not supported: expected it to be absent, got " +
             describe(*value));
    }
  if (const json::Value *value = root.find("partial_rotary_factor")) {
    std::optional<double> number = toNumber(*value, "partial_rotary_factor");
    if (number && *number != 1.0)
      fail("expected 'partial_rotary_factor' to be 1, got " + describe(*value));
    ignore("partial_rotary_factor", IgnoredReason::Derived);
  }
}

Expected<ModelConfig> ConfigReader::read() {
  if (Error error = checkArchitecture())
    return std::move(error);

  for (const IntField &field : intFields)
    if (field.need == Need::Always)
      readRequiredInt(field);
  readAttention();
  readRope();
  readLayers();
  readRouter();
  readTokens();
  readDType();
  checkUnsupported();
  recordIgnored();

  if (!problems.empty()) {
    // A hostile file could have one problem per token; a person reads a few.
    constexpr size_t maxProblems = 16;
    Error errors = Error::success();
    for (const std::string &problem :
         ArrayRef(problems).take_front(maxProblems))
      errors = joinErrors(std::move(errors), makeError(fileName, problem));
    if (problems.size() > maxProblems)
      errors =
          joinErrors(std::move(errors),
                     makeError(fileName, Twine(problems.size() - maxProblems) +
                                             " more problems not shown"));
    return std::move(errors);
  }

  llvm::sort(config.defaultedKeys,
             [](const DefaultedKey &a, const DefaultedKey &b) {
               return a.key < b.key;
             });
  llvm::sort(config.ignoredKeys, [](const IgnoredKey &a, const IgnoredKey &b) {
    return a.key < b.key;
  });
  if (Error error = config.verify())
    return std::move(error);
  return std::move(config);
}
