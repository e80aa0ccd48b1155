//===- ModelConfig.cpp - Resolved model configuration ---------------------===//
//
// Part of dsv2, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "dsv2/Import/ModelConfig.h"

#include "llvm/ADT/STLExtras.h"
#include "llvm/ADT/StringExtras.h"
#include "llvm/ADT/StringSet.h"
#include "llvm/ADT/Twine.h"
#include "llvm/Support/CheckedArithmetic.h"
#include "llvm/Support/FileSystem.h"
#include "llvm/Support/FormatVariadic.h"
#include "llvm/Support/JSON.h"
#include "llvm/Support/MemoryBuffer.h"
#include "llvm/Support/Path.h"

#include <cmath>
#include <utility>

using namespace dsv2;
using namespace llvm;

//===----------------------------------------------------------------------===//
// Names
//===----------------------------------------------------------------------===//

StringRef dsv2::stringifyTopKMethod(TopKMethod method) {
  switch (method) {
  case TopKMethod::Greedy:
    return "greedy";
  case TopKMethod::GroupLimitedGreedy:
    return "group_limited_greedy";
  }
  llvm_unreachable("unknown top-k method");
}

StringRef dsv2::stringifyLayerKind(LayerKind kind) {
  switch (kind) {
  case LayerKind::Dense:
    return "dense";
  case LayerKind::MoE:
    return "moe";
  }
  llvm_unreachable("unknown layer kind");
}

StringRef dsv2::stringifyCheckpointDType(CheckpointDType type) {
  switch (type) {
  case CheckpointDType::Float32:
    return "float32";
  case CheckpointDType::Float16:
    return "float16";
  case CheckpointDType::BFloat16:
    return "bfloat16";
  }
  llvm_unreachable("unknown checkpoint dtype");
}

StringRef dsv2::stringifyTensorRole(TensorRole role) {
  switch (role) {
  case TensorRole::Embedding:
    return "embedding";
  case TensorRole::Head:
    return "head";
  case TensorRole::Attention:
    return "attention projections";
  case TensorRole::Norm:
    return "norms";
  case TensorRole::DenseFFN:
    return "dense ffn";
  case TensorRole::Router:
    return "router";
  case TensorRole::SharedExpert:
    return "shared experts";
  case TensorRole::RoutedExpert:
    return "routed experts";
  }
  llvm_unreachable("unknown tensor role");
}

StringRef dsv2::stringifyIgnoredReason(IgnoredReason reason) {
  switch (reason) {
  case IgnoredReason::Provenance:
    return "provenance";
  case IgnoredReason::TrainingOnly:
    return "training only";
  case IgnoredReason::RuntimeSwitch:
    return "runtime switch";
  case IgnoredReason::GenerationDefault:
    return "generation default";
  case IgnoredReason::Tokenizer:
    return "tokenizer";
  case IgnoredReason::NotUsedByArchitecture:
    return "not used by this architecture";
  case IgnoredReason::Derived:
    return "derived from other keys";
  case IgnoredReason::TaskHead:
    return "task head";
  case IgnoredReason::Unknown:
    return "unknown key";
  }
  llvm_unreachable("unknown reason");
}

//===----------------------------------------------------------------------===//
// Keys without influence
//===----------------------------------------------------------------------===//

namespace {
struct KnownIgnoredKey {
  StringLiteral key;
  IgnoredReason reason;
};
} // namespace

/// Keys that files of this family carry, or that the common base class of the
/// published readers writes, and that do not change the logits.
static constexpr KnownIgnoredKey knownIgnoredKeys[] = {
    {"_commit_hash", IgnoredReason::Provenance},
    {"_name_or_path", IgnoredReason::Provenance},
    {"auto_map", IgnoredReason::Provenance},
    {"model_name", IgnoredReason::Provenance},
    {"name_or_path", IgnoredReason::Provenance},
    {"transformers_version", IgnoredReason::Provenance},

    {"attention_dropout", IgnoredReason::TrainingOnly},
    {"aux_loss_alpha", IgnoredReason::TrainingOnly},
    {"gradient_checkpointing", IgnoredReason::TrainingOnly},
    {"initializer_range", IgnoredReason::TrainingOnly},
    {"router_aux_loss_coef", IgnoredReason::TrainingOnly},
    {"seq_aux", IgnoredReason::TrainingOnly},

    {"_attn_implementation", IgnoredReason::RuntimeSwitch},
    {"_attn_implementation_autoset", IgnoredReason::RuntimeSwitch},
    {"attn_implementation", IgnoredReason::RuntimeSwitch},
    {"chunk_size_feed_forward", IgnoredReason::RuntimeSwitch},
    {"ep_size", IgnoredReason::RuntimeSwitch},
    {"output_attentions", IgnoredReason::RuntimeSwitch},
    {"output_hidden_states", IgnoredReason::RuntimeSwitch},
    {"output_router_logits", IgnoredReason::RuntimeSwitch},
    // Published readers with a value above 1 split the same matrix products;
    // the results agree up to rounding.
    {"pretraining_tp", IgnoredReason::RuntimeSwitch},
    {"return_dict", IgnoredReason::RuntimeSwitch},
    {"tf_legacy_loss", IgnoredReason::RuntimeSwitch},
    {"torchscript", IgnoredReason::RuntimeSwitch},
    {"use_bfloat16", IgnoredReason::RuntimeSwitch},
    {"use_cache", IgnoredReason::RuntimeSwitch},

    {"bad_words_ids", IgnoredReason::GenerationDefault},
    {"begin_suppress_tokens", IgnoredReason::GenerationDefault},
    {"diversity_penalty", IgnoredReason::GenerationDefault},
    {"do_sample", IgnoredReason::GenerationDefault},
    {"early_stopping", IgnoredReason::GenerationDefault},
    {"encoder_no_repeat_ngram_size", IgnoredReason::GenerationDefault},
    {"exponential_decay_length_penalty", IgnoredReason::GenerationDefault},
    {"forced_bos_token_id", IgnoredReason::GenerationDefault},
    {"forced_eos_token_id", IgnoredReason::GenerationDefault},
    {"length_penalty", IgnoredReason::GenerationDefault},
    {"max_length", IgnoredReason::GenerationDefault},
    {"min_length", IgnoredReason::GenerationDefault},
    {"no_repeat_ngram_size", IgnoredReason::GenerationDefault},
    {"num_beam_groups", IgnoredReason::GenerationDefault},
    {"num_beams", IgnoredReason::GenerationDefault},
    {"num_return_sequences", IgnoredReason::GenerationDefault},
    {"output_scores", IgnoredReason::GenerationDefault},
    {"remove_invalid_values", IgnoredReason::GenerationDefault},
    {"repetition_penalty", IgnoredReason::GenerationDefault},
    {"return_dict_in_generate", IgnoredReason::GenerationDefault},
    {"suppress_tokens", IgnoredReason::GenerationDefault},
    {"temperature", IgnoredReason::GenerationDefault},
    {"top_k", IgnoredReason::GenerationDefault},
    {"top_p", IgnoredReason::GenerationDefault},
    {"typical_p", IgnoredReason::GenerationDefault},

    {"prefix", IgnoredReason::Tokenizer},
    {"sep_token_id", IgnoredReason::Tokenizer},
    {"tokenizer_class", IgnoredReason::Tokenizer},

    {"add_cross_attention", IgnoredReason::NotUsedByArchitecture},
    {"cross_attention_hidden_size", IgnoredReason::NotUsedByArchitecture},
    {"decoder_start_token_id", IgnoredReason::NotUsedByArchitecture},
    {"is_decoder", IgnoredReason::NotUsedByArchitecture},
    {"is_encoder_decoder", IgnoredReason::NotUsedByArchitecture},
    // Every head has its own key and value, made from the shared latent.
    {"num_key_value_heads", IgnoredReason::NotUsedByArchitecture},
    {"pruned_heads", IgnoredReason::NotUsedByArchitecture},
    {"tie_encoder_decoder", IgnoredReason::NotUsedByArchitecture},

    {"head_dim", IgnoredReason::Derived},
    {"qk_head_dim", IgnoredReason::Derived},

    {"finetuning_task", IgnoredReason::TaskHead},
    {"id2label", IgnoredReason::TaskHead},
    {"label2id", IgnoredReason::TaskHead},
    {"num_labels", IgnoredReason::TaskHead},
    {"problem_type", IgnoredReason::TaskHead},
    {"task_specific_params", IgnoredReason::TaskHead},
};

//===----------------------------------------------------------------------===//
// Messages
//===----------------------------------------------------------------------===//

static Error makeError(StringRef fileName, const Twine &message) {
  return createStringError(inconvertibleErrorCode(),
                           (fileName.empty() ? Twine() : fileName + ": ") +
                               message);
}

std::string dsv2::escapeText(StringRef text) {
  // JSON escapes the control characters below U+0020, but not U+007F nor those
  // of U+0080 .. U+009F, which terminals act on too.
  std::string quoted = formatv("{0}", json::Value(json::fixUTF8(text))).str();
  StringRef rest = StringRef(quoted).drop_front().drop_back();
  std::string escaped;
  escaped.reserve(rest.size());
  for (size_t i = 0; i < rest.size(); ++i) {
    unsigned char c = rest[i];
    unsigned char next = i + 1 < rest.size() ? rest[i + 1] : 0;
    if (c == 0x7f) {
      escaped += "\\u007f";
    } else if (c == 0xC2 && next < 0xA0) {
      escaped += "\\u00" + utohexstr(next, /*LowerCase=*/true);
      ++i;
    } else {
      escaped += c;
    }
  }
  return escaped;
}

/// Shortens escaped text to something that fits a message, at a character
/// boundary.
static std::string clip(std::string text) {
  constexpr size_t limit = 60;
  if (text.size() <= limit)
    return text;
  size_t end = limit;
  while (end > 0 && (static_cast<unsigned char>(text[end]) & 0xC0) == 0x80)
    --end;
  text.resize(end);
  return text + "...";
}

/// Returns `value` in words or as JSON text, short enough for a message.
static std::string describe(const json::Value &value) {
  switch (value.kind()) {
  case json::Value::Array:
    return "a list";
  case json::Value::Object:
    return "an object";
  case json::Value::String:
    return "the string \"" + clip(escapeText(*value.getAsString())) + "\"";
  default:
    return formatv("{0}", value).str();
  }
}

/// Returns `text`, a key or a value, quoted for a message.
static std::string quote(StringRef text) {
  return "'" + clip(escapeText(text)) + "'";
}

/// Returns a number as JSON text.
static std::string toJsonText(double value) {
  return formatv("{0}", json::Value(value)).str();
}

//===----------------------------------------------------------------------===//
// Checks on the raw text
//===----------------------------------------------------------------------===//

/// Finds what the JSON parser accepts but this reader refuses: nesting that
/// would exhaust its stack, and repeated keys, of which it keeps one silently.
/// Also gives the constants NaN and Infinity, which some writers emit, a
/// message of their own. Anything else malformed is left to the parser.
static Error scanJsonText(StringRef text, StringRef fileName) {
  struct Frame {
    bool isObject;
    bool expectsKey;
    StringSet<> keys;
  };
  std::vector<Frame> frames;

  for (size_t i = 0, size = text.size(); i < size; ++i) {
    switch (text[i]) {
    case '{':
    case '[':
      if (frames.size() == ModelLimits::maxJsonDepth)
        return makeError(fileName, "expected at most " +
                                       Twine(ModelLimits::maxJsonDepth) +
                                       " levels of nesting, found more");
      frames.push_back({text[i] == '{', text[i] == '{', {}});
      break;
    case '}':
    case ']':
      if (!frames.empty())
        frames.pop_back();
      break;
    case ',':
      if (!frames.empty())
        frames.back().expectsKey = frames.back().isObject;
      break;
    case 'N':
    case 'I':
      for (StringRef word : {"NaN", "Infinity"})
        if (text.substr(i).starts_with(word))
          return makeError(fileName, "expected finite numbers, found " + word);
      break;
    case '"': {
      size_t begin = i++;
      bool isEscaped = false;
      while (i < size && text[i] != '"') {
        isEscaped |= text[i] == '\\';
        i += text[i] == '\\' ? 2 : 1;
      }
      if (i >= size || frames.empty() || !frames.back().expectsKey)
        break;
      frames.back().expectsKey = false;
      StringRef literal = text.slice(begin, i + 1);
      std::string key = literal.drop_front().drop_back().str();
      if (isEscaped) {
        Expected<json::Value> decoded = json::parse(literal);
        if (!decoded) {
          consumeError(decoded.takeError());
          break;
        }
        key = decoded->getAsString()->str();
      }
      if (!frames.back().keys.insert(key).second)
        return makeError(fileName, "expected every key once, found " +
                                       quote(key) + " twice in one object");
      break;
    }
    default:
      break;
    }
  }
  return Error::success();
}

//===----------------------------------------------------------------------===//
// Field table
//===----------------------------------------------------------------------===//

namespace {
/// When the file must give a field.
enum class Need { Always, WithDenseLayers, WithMoELayers };

/// An integer field without a default.
struct IntField {
  StringLiteral key;
  int64_t ModelConfig::*member;
  int64_t min;
  int64_t max;
  Need need;
};
} // namespace

static constexpr IntField intFields[] = {
    {"vocab_size", &ModelConfig::vocabSize, 1, ModelLimits::maxVocabSize,
     Need::Always},
    {"hidden_size", &ModelConfig::hiddenSize, 1, ModelLimits::maxHiddenSize,
     Need::Always},
    {"num_hidden_layers", &ModelConfig::numHiddenLayers, 1,
     ModelLimits::maxLayers, Need::Always},
    {"max_position_embeddings", &ModelConfig::maxPositionEmbeddings, 1,
     ModelLimits::maxPositions, Need::Always},
    {"num_attention_heads", &ModelConfig::numAttentionHeads, 1,
     ModelLimits::maxHeads, Need::Always},
    {"kv_lora_rank", &ModelConfig::kvLoraRank, 1, ModelLimits::maxRank,
     Need::Always},
    {"qk_nope_head_dim", &ModelConfig::qkNopeHeadDim, 1,
     ModelLimits::maxHeadDim, Need::Always},
    {"qk_rope_head_dim", &ModelConfig::qkRopeHeadDim, 2,
     ModelLimits::maxHeadDim, Need::Always},
    {"v_head_dim", &ModelConfig::vHeadDim, 1, ModelLimits::maxHeadDim,
     Need::Always},
    {"intermediate_size", &ModelConfig::intermediateSize, 1,
     ModelLimits::maxIntermediateSize, Need::WithDenseLayers},
    {"moe_intermediate_size", &ModelConfig::moeIntermediateSize, 1,
     ModelLimits::maxIntermediateSize, Need::WithMoELayers},
    {"num_experts_per_tok", &ModelConfig::numExpertsPerTok, 1,
     ModelLimits::maxExperts, Need::WithMoELayers},
};

static constexpr double maxRopeTheta = 1e15;
static constexpr double maxYarnFactor = 1e6;
static constexpr double maxYarnBeta = 1e6;
static constexpr double maxYarnMscale = 1e3;
static constexpr double maxRoutedScale = 1e6;

//===----------------------------------------------------------------------===//
// Reader
//===----------------------------------------------------------------------===//

namespace {

/// One JSON object under reading. Remembers which keys have been looked at, so
/// that the rest can be reported.
class Section {
public:
  Section(const json::Object &object, std::string prefix)
      : object(object), prefix(std::move(prefix)) {}

  /// Returns the value of `key`, or null if it is absent or JSON null.
  const json::Value *find(StringRef key) {
    const json::Value *value = findOrNull(key);
    return value && value->kind() != json::Value::Null ? value : nullptr;
  }

  /// Returns the value of `key`, JSON null included, or null if it is absent.
  const json::Value *findOrNull(StringRef key) {
    seen.insert(key);
    return object.get(key);
  }

  /// Returns the dotted path of `key`.
  std::string path(StringRef key) const { return prefix + key.str(); }

  /// Returns the keys never asked for, sorted.
  std::vector<std::string> unseenKeys() const {
    std::vector<std::string> keys;
    for (const auto &entry : object)
      if (!seen.contains(entry.first))
        keys.push_back(entry.first.str());
    llvm::sort(keys);
    return keys;
  }

private:
  const json::Object &object;
  std::string prefix;
  StringSet<> seen;
};

/// What one of `rope_scaling` and `rope_parameters` says.
struct RopeSection {
  std::string key;
  std::optional<double> theta;
  std::optional<YarnConfig> yarn;
};

/// Reads the object into a ModelConfig. Problems are collected; a field with a
/// problem keeps a harmless value and the checks across fields do not run.
class ConfigReader {
public:
  ConfigReader(const json::Object &object, StringRef fileName,
               SmallVectorImpl<std::string> *warnings)
      : root(object, ""), fileName(fileName), warnings(warnings) {
    config.fileName = fileName.str();
  }

  Expected<ModelConfig> read();

private:
  //===--------------------------------------------------------------------===//
  // Typed access
  //===--------------------------------------------------------------------===//

  void fail(const Twine &message) { problems.push_back(message.str()); }
  void warn(const Twine &message) {
    if (warnings)
      warnings->push_back((fileName + ": " + message).str());
  }
  void setDefault(const std::string &path, std::string value) {
    config.defaultedKeys.push_back({path, std::move(value)});
  }
  void ignore(const std::string &path, IgnoredReason reason) {
    config.ignoredKeys.push_back({path, reason});
  }

  std::optional<int64_t> toInt(const json::Value &value,
                               const std::string &path, int64_t min,
                               int64_t max);
  std::optional<double> toNumber(const json::Value &value,
                                 const std::string &path);
  std::optional<bool> toBool(const json::Value &value, const std::string &path);
  std::optional<StringRef> toString(const json::Value &value,
                                    const std::string &path);

  /// Reads an optional number of `section` in (or from) `min` to `max`.
  double readNumber(Section &section, StringRef key, double defaultValue,
                    double min, bool minIsAllowed, double max);
  bool readBool(StringRef key, bool defaultValue);
  /// Refuses the boolean `key` when it is not `wanted`.
  void requireBool(StringRef key, bool wanted, StringRef feature);
  void readRequiredInt(const IntField &field);
  void missing(Section &section, StringRef key, StringRef what);

  //===--------------------------------------------------------------------===//
  // Parts of the file
  //===--------------------------------------------------------------------===//

  Error checkArchitecture();
  void readAttention();
  void readRope();
  RopeSection readRopeSection(StringRef key, const json::Object &object);
  std::optional<YarnConfig> readYarn(Section &section);
  void checkRopeExtras(Section &section, const std::optional<YarnConfig> &yarn);
  void readLayers();
  void readRouter();
  void readTokens();
  void readDType();
  void checkUnsupported();
  void recordIgnored();

  Section root;
  StringRef fileName;
  SmallVectorImpl<std::string> *warnings;
  ModelConfig config;
  std::vector<std::string> problems;
};

} // namespace

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

std::optional<YarnConfig> ConfigReader::readYarn(Section &section) {
  size_t problemsBefore = problems.size();
  YarnConfig yarn;
  if (section.find("factor"))
    yarn.factor = readNumber(section, "factor", 1.0, 1.0,
                             /*minIsAllowed=*/true, maxYarnFactor);
  else
    missing(section, "factor", "the context extension of yarn");

  // Not defaulted: published readers disagree (4096, or the extended length).
  if (const json::Value *value =
          section.find("original_max_position_embeddings"))
    yarn.originalMaxPositionEmbeddings =
        toInt(*value, section.path("original_max_position_embeddings"), 1,
              ModelLimits::maxPositions)
            .value_or(1);
  else
    missing(section, "original_max_position_embeddings",
            "the context length before yarn");

  yarn.betaFast = readNumber(section, "beta_fast", 32.0, 0.0,
                             /*minIsAllowed=*/false, maxYarnBeta);
  yarn.betaSlow = readNumber(section, "beta_slow", 1.0, 0.0,
                             /*minIsAllowed=*/false, maxYarnBeta);
  yarn.mscale = readNumber(section, "mscale", 1.0, 0.0,
                           /*minIsAllowed=*/true, maxYarnMscale);
  yarn.mscaleAllDim = readNumber(section, "mscale_all_dim", 0.0, 0.0,
                                 /*minIsAllowed=*/true, maxYarnMscale);
  if (problems.size() != problemsBefore)
    return std::nullopt;
  if (yarn.betaFast < yarn.betaSlow) {
    fail("expected " + quote(section.path("beta_fast")) + " " +
         toJsonText(yarn.betaFast) + " to be at least " +
         quote(section.path("beta_slow")) + " " + toJsonText(yarn.betaSlow));
    return std::nullopt;
  }
  return yarn;
}

/// Refuses rotary options of other families that would change the result.
void ConfigReader::checkRopeExtras(Section &section,
                                   const std::optional<YarnConfig> &yarn) {
  if (const json::Value *value = section.find("partial_rotary_factor")) {
    std::string path = section.path("partial_rotary_factor");
    std::optional<double> number = toNumber(*value, path);
    if (number && *number != 1.0)
      fail("expected " + quote(path) + " to be 1, got " + describe(*value));
    ignore(path, IgnoredReason::Derived);
  }
  if (const json::Value *value = section.find("attention_factor")) {
    std::string path = section.path("attention_factor");
    RopeConfig rope;
    rope.yarn = yarn;
    double derived = rope.cosSinMultiplier();
    std::optional<double> number = toNumber(*value, path);
    if (number && std::fabs(*number - derived) > 1e-6 * derived)
      fail("expected " + quote(path) + " to be absent or " +
           toJsonText(derived) + ", as mscale and mscale_all_dim say, got " +
           describe(*value));
    ignore(path, IgnoredReason::Derived);
  }
  if (const json::Value *value = section.find("truncate")) {
    std::string path = section.path("truncate");
    std::optional<bool> truncate = toBool(*value, path);
    if (truncate && !*truncate)
      fail("expected " + quote(path) + " to be true, got false");
    ignore(path, IgnoredReason::Derived);
  }
}

RopeSection ConfigReader::readRopeSection(StringRef key,
                                          const json::Object &object) {
  RopeSection result;
  result.key = key.str();
  Section section(object, (key + ".").str());

  std::optional<StringRef> type;
  StringRef typeKey;
  for (StringRef spelling : {"type", "rope_type"}) {
    const json::Value *value = section.find(spelling);
    if (!value)
      continue;
    std::optional<StringRef> found = toString(*value, section.path(spelling));
    if (!found)
      return result;
    if (type && *type != *found) {
      fail("expected " + quote(section.path("type")) + " " + quote(*type) +
           " and " + quote(section.path("rope_type")) + " " + quote(*found) +
           " to be equal");
      return result;
    }
    type = found;
    typeKey = spelling;
  }

  if (const json::Value *value = section.find("rope_theta"))
    result.theta = toNumber(*value, section.path("rope_theta"));

  if (!type) {
    // An object that gives nothing but the base is plain; one that gives
    // scaling parameters without saying of what is not.
    for (StringRef parameter :
         {"factor", "original_max_position_embeddings", "mscale",
          "mscale_all_dim", "beta_fast", "beta_slow"})
      if (object.get(parameter)) {
        fail("expected " + quote(section.path("type")) + " beside " +
             quote(section.path(parameter)) + ", but it is missing");
        return result;
      }
  } else if (*type == "yarn") {
    result.yarn = readYarn(section);
    if (!result.yarn)
      return result;
  } else if (*type != "default" && *type != "none") {
    fail("rotary scaling not supported: expected " +
         quote(section.path(typeKey)) + " to be 'yarn' or 'default', got " +
         quote(*type));
    return result;
  }
  checkRopeExtras(section, result.yarn);

  for (const std::string &unseen : section.unseenKeys()) {
    bool isYarnKey =
        is_contained({"factor", "original_max_position_embeddings", "mscale",
                      "mscale_all_dim", "beta_fast", "beta_slow"},
                     StringRef(unseen));
    // Readers that fill defaults write per-layer parameters as nested objects.
    if (object.get(unseen)->getAsObject()) {
      fail("rotary parameters per layer type not supported: expected " +
           quote(section.path(unseen)) + " to be absent, got an object");
      continue;
    }
    ignore(section.path(unseen), isYarnKey
                                     ? IgnoredReason::NotUsedByArchitecture
                                     : IgnoredReason::Unknown);
    if (!isYarnKey)
      warn("key " + quote(section.path(unseen)) + " is unknown and ignored");
  }
  return result;
}

void ConfigReader::readRope() {
  size_t problemsBefore = problems.size();
  std::vector<RopeSection> sections;
  bool isPresent = false;
  for (StringRef key : {"rope_scaling", "rope_parameters"}) {
    isPresent |= root.findOrNull(key) != nullptr;
    const json::Value *value = root.find(key);
    if (!value)
      continue;
    if (const json::Object *object = value->getAsObject())
      sections.push_back(readRopeSection(key, *object));
    else
      fail("expected " + quote(key) + " to be an object or null, got " +
           describe(*value));
  }
  if (!isPresent)
    setDefault("rope_scaling", "null");

  std::optional<double> theta;
  std::string thetaPath;
  auto mergeTheta = [&](std::optional<double> found, const std::string &path) {
    if (!found)
      return;
    if (theta && *theta != *found)
      fail("expected " + quote(thetaPath) + " " + toJsonText(*theta) + " and " +
           quote(path) + " " + toJsonText(*found) + " to be equal");
    theta = found;
    thetaPath = path;
  };
  if (const json::Value *value = root.find("rope_theta")) {
    mergeTheta(toNumber(*value, "rope_theta"), "rope_theta");
  }
  for (const RopeSection &section : sections)
    mergeTheta(section.theta, section.key + ".rope_theta");
  if (!theta) {
    if (problems.size() == problemsBefore)
      missing(root, "rope_theta", "the base of the rotary embedding");
    return;
  }
  if (*theta <= 1.0 || *theta > maxRopeTheta) {
    fail("expected " + quote(thetaPath) + " to be greater than 1 and at most " +
         toJsonText(maxRopeTheta) + ", got " + toJsonText(*theta));
    return;
  }

  if (sections.size() == 2 && sections[0].yarn != sections[1].yarn)
    fail("expected 'rope_scaling' and 'rope_parameters' to describe the same "
         "scaling");
  config.rope.theta = *theta;
  config.rope.dim = config.qkRopeHeadDim;
  if (!sections.empty())
    config.rope.yarn = sections.back().yarn;
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

void ConfigReader::recordIgnored() {
  // A derived width that contradicts its source hints at a file for other code.
  auto checkDerived = [&](StringRef key, int64_t expected) {
    const json::Value *value = root.find(key);
    if (!value)
      return;
    if (value->getAsInteger() != expected)
      warn("expected " + quote(key) + " to be " + Twine(expected) +
           " or absent, got " + describe(*value) + "; it is ignored");
    ignore(key.str(), IgnoredReason::Derived);
  };
  checkDerived("head_dim", config.qkRopeHeadDim);
  checkDerived("qk_head_dim", config.qkHeadDim());

  constexpr size_t maxWarnings = 20;
  size_t numUnknown = 0;
  for (const std::string &key : root.unseenKeys()) {
    const KnownIgnoredKey *known =
        find_if(knownIgnoredKeys,
                [&](const KnownIgnoredKey &entry) { return entry.key == key; });
    if (known != std::end(knownIgnoredKeys)) {
      ignore(key, known->reason);
      continue;
    }
    ignore(key, IgnoredReason::Unknown);
    if (++numUnknown <= maxWarnings)
      warn("key " + quote(key) + " is unknown and ignored");
  }
  if (numUnknown > maxWarnings)
    warn(Twine(numUnknown - maxWarnings) + " more unknown keys are ignored");
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

Expected<ModelConfig>
dsv2::parseModelConfig(StringRef json, StringRef fileName,
                       SmallVectorImpl<std::string> *warnings) {
  if (json.size() > static_cast<size_t>(ModelLimits::maxFileSize))
    return makeError(fileName, "expected at most " +
                                   Twine(ModelLimits::maxFileSize) +
                                   " bytes of JSON, got " + Twine(json.size()));
  if (json.trim().empty())
    return makeError(fileName, "expected a JSON object, got an empty file");
  // First of all, since offsets in the scan rely on whole characters.
  size_t badByte = 0;
  if (!json::isUTF8(json, &badByte))
    return makeError(fileName, "expected UTF-8, found an invalid byte at " +
                                   Twine(badByte));
  if (Error error = scanJsonText(json, fileName))
    return std::move(error);
  Expected<json::Value> value = json::parse(json);
  if (!value)
    return makeError(fileName, "expected a JSON object, got malformed JSON: " +
                                   llvm::toString(value.takeError()));
  const json::Object *object = value->getAsObject();
  if (!object)
    return makeError(fileName,
                     "expected a JSON object, got " + describe(*value));
  return ConfigReader(*object, fileName, warnings).read();
}

Expected<ModelConfig>
ModelConfig::fromPath(StringRef path, SmallVectorImpl<std::string> *warnings) {
  SmallString<128> file(path);
  sys::fs::file_status status;
  if (std::error_code code = sys::fs::status(path, status))
    return makeError(path, "cannot be opened: " + code.message());
  if (sys::fs::is_directory(status)) {
    sys::path::append(file, "config.json");
    if (std::error_code code = sys::fs::status(file, status))
      return makeError(path, "expected a folder with a config.json: " +
                                 code.message());
  }
  // A pipe or a device could deliver without end.
  if (!sys::fs::is_regular_file(status))
    return makeError(file, "expected a regular file");
  if (status.getSize() > static_cast<uint64_t>(ModelLimits::maxFileSize))
    return makeError(file, "expected a config.json of at most " +
                               Twine(ModelLimits::maxFileSize) +
                               " bytes, got " + Twine(status.getSize()));
  ErrorOr<std::unique_ptr<MemoryBuffer>> buffer = MemoryBuffer::getFile(file);
  if (!buffer)
    return makeError(file, "cannot be read: " + buffer.getError().message());
  return parseModelConfig((*buffer)->getBuffer(), file, warnings);
}

//===----------------------------------------------------------------------===//
// Checks across fields
//===----------------------------------------------------------------------===//

Error ModelConfig::verify() const {
  auto fail = [&](const Twine &message) {
    return makeError(fileName, message);
  };

  auto checkRange = [&](StringRef key, int64_t value, int64_t min,
                        int64_t max) -> Error {
    if (value >= min && value <= max)
      return Error::success();
    return fail("expected " + quote(key) + " to be from " + Twine(min) +
                " to " + Twine(max) + ", got " + Twine(value));
  };

  // Ranges first: the arithmetic below relies on them.
  for (const IntField &field : intFields) {
    if (field.need != Need::Always)
      continue;
    if (Error error =
            checkRange(field.key, this->*field.member, field.min, field.max))
      return error;
  }
  if (qLoraRank)
    if (Error error =
            checkRange("q_lora_rank", *qLoraRank, 1, ModelLimits::maxRank))
      return error;
  if (Error error = checkRange("first_k_dense_replace", firstKDenseReplace, 0,
                               ModelLimits::maxLayers))
    return error;
  if (Error error =
          checkRange("moe_layer_freq", moeLayerFreq, 1, ModelLimits::maxLayers))
    return error;
  if (Error error = checkRange("n_routed_experts", nRoutedExperts, 0,
                               ModelLimits::maxExperts))
    return error;
  if (Error error = checkRange("n_shared_experts", nSharedExperts, 0,
                               ModelLimits::maxExperts))
    return error;
  bool hasMoE = numMoELayers() > 0;
  bool hasDense = numDenseLayers() > 0;
  for (const IntField &field : intFields) {
    bool isNeeded = field.need == Need::WithMoELayers     ? hasMoE
                    : field.need == Need::WithDenseLayers ? hasDense
                                                          : true;
    // A field that is not needed may hold zero or any accepted value.
    int64_t min = isNeeded ? field.min : 0;
    if (field.key == "num_experts_per_tok" && hasMoE)
      continue;
    if (Error error =
            checkRange(field.key, this->*field.member, min, field.max))
      return error;
  }
  if (!(rmsNormEps >= 1e-30 && rmsNormEps <= 1.0))
    return fail("expected 'rms_norm_eps' to be from 1e-30 to 1, got " +
                formatv("{0}", rmsNormEps).str());

  if (qkRopeHeadDim % 2 != 0)
    return fail("expected 'qk_rope_head_dim' to be even, got " +
                Twine(qkRopeHeadDim));
  if (rope.dim != qkRopeHeadDim)
    return fail("expected a rotary width of 'qk_rope_head_dim' " +
                Twine(qkRopeHeadDim) + ", got " + Twine(rope.dim));
  if (!(rope.theta > 1.0 && rope.theta <= maxRopeTheta))
    return fail("expected 'rope_theta' to be greater than 1 and at most 1e15, "
                "got " +
                formatv("{0}", rope.theta).str());

  if (hasMoE) {
    // One text for all of these: whoever edits one of the numbers needs to see
    // the others.
    std::string found =
        formatv("got n_routed_experts {0}, num_experts_per_tok {1}, n_group "
                "{2}, topk_group {3}",
                nRoutedExperts, numExpertsPerTok, nGroup, topkGroup)
            .str();
    if (numExpertsPerTok < 1 || numExpertsPerTok > nRoutedExperts)
      return fail("expected 'num_experts_per_tok' to be from 1 to "
                  "'n_routed_experts', " +
                  found);
    if (nGroup < 1 || nRoutedExperts % nGroup != 0)
      return fail("expected 'n_group' to divide 'n_routed_experts', " + found);
    if (topkGroup < 1 || topkGroup > nGroup)
      return fail("expected 'topk_group' to be from 1 to 'n_group', " + found);
    if (topkMethod == TopKMethod::GroupLimitedGreedy &&
        numExpertsPerTok > topkGroup * (nRoutedExperts / nGroup))
      return fail("expected the chosen groups to hold at least "
                  "'num_experts_per_tok' experts, " +
                  found);
    if (!(routedScalingFactor > 0.0 && routedScalingFactor <= maxRoutedScale))
      return fail("expected 'routed_scaling_factor' to be greater than 0 and "
                  "at most 1e6, got " +
                  formatv("{0}", routedScalingFactor).str());
  }

  // Sizes of the whole. Each single tensor is bounded by the ranges above.
  if (int64_t tensors = numTensors(); tensors > ModelLimits::maxTensors)
    return fail("expected at most " + Twine(ModelLimits::maxTensors) +
                " checkpoint tensors, got " + Twine(tensors));
  std::optional<int64_t> total = 0;
  forEachTensorGroup([&](const TensorSpec &spec, int64_t count, int64_t) {
    if (total)
      total = checkedMulAdd(spec.numElements(), count, *total);
  });
  if (!total || *total > ModelLimits::maxParameters)
    return fail("expected at most " + Twine(ModelLimits::maxParameters) +
                " parameters, got more");
  return Error::success();
}

//===----------------------------------------------------------------------===//
// Layers and tensors
//===----------------------------------------------------------------------===//

bool ModelConfig::isMoELayer(int64_t layer) const {
  return nRoutedExperts > 0 && layer >= firstKDenseReplace &&
         layer % moeLayerFreq == 0;
}

LayerKind ModelConfig::layerKind(int64_t layer) const {
  return isMoELayer(layer) ? LayerKind::MoE : LayerKind::Dense;
}

std::vector<LayerRun> ModelConfig::layerRuns() const {
  std::vector<LayerRun> runs;
  for (int64_t layer = 0; layer < numHiddenLayers; ++layer) {
    LayerKind kind = layerKind(layer);
    if (!runs.empty() && runs.back().kind == kind)
      runs.back().last = layer;
    else
      runs.push_back({kind, layer, layer});
  }
  return runs;
}

int64_t ModelConfig::numMoELayers() const {
  int64_t count = 0;
  for (int64_t layer = 0; layer < numHiddenLayers; ++layer)
    count += isMoELayer(layer);
  return count;
}

int64_t ModelConfig::numDenseLayers() const {
  return numHiddenLayers - numMoELayers();
}

int64_t TensorSpec::numElements() const {
  int64_t product = 1;
  for (int64_t extent : shape)
    product *= extent;
  return product;
}

/// Visits the tensors of one layer. With `firstExpertOnly` only expert 0 of the
/// routed experts is visited.
static void visitLayer(const ModelConfig &config, int64_t layer,
                       bool firstExpertOnly,
                       function_ref<void(const TensorSpec &)> callback) {
  int64_t d = config.hiddenSize;
  int64_t heads = config.numAttentionHeads;
  std::string prefix = "model.layers." + std::to_string(layer) + ".";
  int64_t expert = -1;
  auto visit = [&](const Twine &name, ArrayRef<int64_t> shape,
                   TensorRole role) {
    TensorSpec spec;
    spec.name = (prefix + name + ".weight").str();
    spec.shape.assign(shape.begin(), shape.end());
    spec.role = role;
    spec.layer = layer;
    spec.expert = expert;
    callback(spec);
  };
  auto visitGated = [&](const Twine &name, int64_t width, TensorRole role) {
    visit(name + ".gate_proj", {width, d}, role);
    visit(name + ".up_proj", {width, d}, role);
    visit(name + ".down_proj", {d, width}, role);
  };

  visit("input_layernorm", {d}, TensorRole::Norm);
  int64_t queryWidth = heads * config.qkHeadDim();
  if (config.qLoraRank) {
    int64_t rank = *config.qLoraRank;
    visit("self_attn.q_a_proj", {rank, d}, TensorRole::Attention);
    visit("self_attn.q_a_layernorm", {rank}, TensorRole::Norm);
    visit("self_attn.q_b_proj", {queryWidth, rank}, TensorRole::Attention);
  } else {
    visit("self_attn.q_proj", {queryWidth, d}, TensorRole::Attention);
  }
  visit("self_attn.kv_a_proj_with_mqa", {config.latentDim(), d},
        TensorRole::Attention);
  visit("self_attn.kv_a_layernorm", {config.kvLoraRank}, TensorRole::Norm);
  visit("self_attn.kv_b_proj",
        {heads * (config.qkNopeHeadDim + config.vHeadDim), config.kvLoraRank},
        TensorRole::Attention);
  visit("self_attn.o_proj", {d, heads * config.vHeadDim},
        TensorRole::Attention);
  visit("post_attention_layernorm", {d}, TensorRole::Norm);

  if (!config.isMoELayer(layer)) {
    visitGated("mlp", config.intermediateSize, TensorRole::DenseFFN);
    return;
  }
  visit("mlp.gate", {config.nRoutedExperts, d}, TensorRole::Router);
  int64_t numVisited = firstExpertOnly ? 1 : config.nRoutedExperts;
  for (expert = 0; expert < numVisited; ++expert)
    visitGated("mlp.experts." + Twine(expert), config.moeIntermediateSize,
               TensorRole::RoutedExpert);
  expert = -1;
  if (config.nSharedExperts > 0)
    visitGated("mlp.shared_experts", config.sharedIntermediateSize(),
               TensorRole::SharedExpert);
}

static TensorSpec makeGlobalSpec(StringRef name, ArrayRef<int64_t> shape,
                                 TensorRole role) {
  TensorSpec spec;
  spec.name = name.str();
  spec.shape.assign(shape.begin(), shape.end());
  spec.role = role;
  spec.layer = -1;
  spec.expert = -1;
  return spec;
}

static TensorSpec embeddingSpec(const ModelConfig &config) {
  return makeGlobalSpec("model.embed_tokens.weight",
                        {config.vocabSize, config.hiddenSize},
                        TensorRole::Embedding);
}

static TensorSpec finalNormSpec(const ModelConfig &config) {
  return makeGlobalSpec("model.norm.weight", {config.hiddenSize},
                        TensorRole::Norm);
}

static TensorSpec headSpec(const ModelConfig &config) {
  return makeGlobalSpec("lm_head.weight", {config.vocabSize, config.hiddenSize},
                        TensorRole::Head);
}

void ModelConfig::forEachLayerTensor(
    int64_t layer, function_ref<void(const TensorSpec &)> callback) const {
  visitLayer(*this, layer, /*firstExpertOnly=*/false, callback);
}

void ModelConfig::forEachTensor(
    function_ref<void(const TensorSpec &)> callback) const {
  callback(embeddingSpec(*this));
  for (int64_t layer = 0; layer < numHiddenLayers; ++layer)
    forEachLayerTensor(layer, callback);
  callback(finalNormSpec(*this));
  callback(headSpec(*this));
}

void ModelConfig::forEachTensorGroup(
    function_ref<void(const TensorSpec &, int64_t, int64_t)> callback) const {
  callback(embeddingSpec(*this), 1, 1);
  int64_t counts[] = {numDenseLayers(), numMoELayers()};
  bool seen[] = {false, false};
  for (const LayerRun &run : layerRuns()) {
    size_t kind = run.kind == LayerKind::MoE;
    if (std::exchange(seen[kind], true))
      continue;
    visitLayer(*this, run.first, /*firstExpertOnly=*/true,
               [&](const TensorSpec &spec) {
                 int64_t count = counts[kind], numActive = counts[kind];
                 if (spec.role == TensorRole::RoutedExpert) {
                   count *= nRoutedExperts;
                   numActive *= numExpertsPerTok;
                 }
                 callback(spec, count, numActive);
               });
  }
  callback(finalNormSpec(*this), 1, 1);
  callback(headSpec(*this), 1, 1);
}

Error ModelConfig::checkTensorNames(
    function_ref<bool(StringRef)> hasTensor) const {
  // Names that tell more about the mistake than the list of missing tensors.
  std::string layer0 = "model.layers.0.";
  if (!qLoraRank && hasTensor(layer0 + "self_attn.q_a_proj.weight"))
    return makeError(fileName,
                     "expected 'q_lora_rank' to be the width of the tensor '" +
                         layer0 + "self_attn.q_a_proj.weight', got null");
  if (qLoraRank && hasTensor(layer0 + "self_attn.q_proj.weight"))
    return makeError(fileName, "expected 'q_lora_rank' to be null for the "
                               "tensor '" +
                                   layer0 + "self_attn.q_proj.weight', got " +
                                   Twine(*qLoraRank));
  if (isMoELayer(0) && hasTensor(layer0 + "mlp.gate_proj.weight"))
    return makeError(fileName,
                     "expected 'first_k_dense_replace' to be at least 1 for "
                     "the tensor '" +
                         layer0 + "mlp.gate_proj.weight', got " +
                         Twine(firstKDenseReplace) + "; set it in config.json");
  for (const LayerRun &run : layerRuns()) {
    std::string bias = "model.layers." + std::to_string(run.first) +
                       ".mlp.gate.e_score_correction_bias";
    if (run.kind == LayerKind::MoE && hasTensor(bias))
      return makeError(fileName, "DeepSeek-V3 router not supported: expected "
                                 "no tensor '" +
                                     Twine(bias) + "', found one");
  }

  constexpr size_t maxNames = 20;
  std::vector<std::string> names;
  int64_t numMissing = 0;
  forEachTensor([&](const TensorSpec &spec) {
    if (hasTensor(spec.name))
      return;
    ++numMissing;
    if (names.size() < maxNames)
      names.push_back("'" + spec.name + "'");
  });
  if (numMissing == 0)
    return Error::success();
  return makeError(fileName,
                   "expected " + Twine(numTensors()) +
                       " tensors in the checkpoint, " + Twine(numMissing) +
                       " are missing: " + join(names, ", ") +
                       (numMissing > int64_t(maxNames) ? ", ..." : ""));
}

int64_t ModelConfig::numTensors() const {
  int64_t numTensors = 0;
  forEachTensorGroup(
      [&](const TensorSpec &, int64_t count, int64_t) { numTensors += count; });
  return numTensors;
}
