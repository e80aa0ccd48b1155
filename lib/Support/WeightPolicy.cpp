//===- WeightPolicy.cpp - which weight is stored how ----------------------===//
//
// Part of dsv2, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "dsv2/Support/WeightPolicy.h"

#include "llvm/ADT/STLExtras.h"
#include "llvm/ADT/SmallVector.h"
#include "llvm/ADT/StringExtras.h"
#include "llvm/ADT/Twine.h"
#include "llvm/Support/ErrorHandling.h"
#include "llvm/Support/FileSystem.h"
#include "llvm/Support/MemoryBuffer.h"
#include "llvm/Support/raw_ostream.h"

using namespace dsv2;
using namespace llvm;

//===----------------------------------------------------------------------===//
// Formats
//===----------------------------------------------------------------------===//

static constexpr StringLiteral kFormatNames[] = {"f32", "bf16", "q8", "q4",
                                                 "fp8"};

StringRef dsv2::stringifyWeightFormat(WeightFormat format) {
  return kFormatNames[static_cast<int>(format)];
}

std::optional<WeightFormat> dsv2::symbolizeWeightFormat(StringRef name) {
  for (auto [i, formatName] : enumerate(kFormatNames))
    if (formatName == name)
      return static_cast<WeightFormat>(i);
  return std::nullopt;
}

//===----------------------------------------------------------------------===//
// Uses
//===----------------------------------------------------------------------===//

static constexpr WeightFormat kF32[] = {WeightFormat::F32};
static constexpr WeightFormat kPlain[] = {WeightFormat::F32,
                                          WeightFormat::BF16};
static constexpr WeightFormat kAll[] = {WeightFormat::F32, WeightFormat::BF16,
                                        WeightFormat::Q8, WeightFormat::Q4,
                                        WeightFormat::FP8};

namespace {
struct UseInfo {
  StringLiteral name;
  ArrayRef<WeightFormat> formats;
};
} // namespace

/// What each op reads: the only list of it.
static UseInfo getInfo(WeightUse use) {
  switch (use) {
  case WeightUse::Embed:
    return {"dsv2.embed", kPlain};
  case WeightUse::ExpertFFN:
    return {"dsv2.expert_ffn", kAll};
  case WeightUse::GatedFFN:
    return {"dsv2.gated_ffn", kAll};
  case WeightUse::LatentAttention:
    return {"dsv2.latent_attention", kAll};
  case WeightUse::Linear:
    return {"dsv2.linear", kAll};
  case WeightUse::Logits:
    return {"dsv2.logits", kAll};
  case WeightUse::RMSNorm:
    return {"dsv2.rms_norm", kF32};
  case WeightUse::Route:
    return {"dsv2.route", kAll};
  }
  llvm_unreachable("unknown use");
}

StringRef dsv2::stringifyWeightUse(WeightUse use) { return getInfo(use).name; }

ArrayRef<WeightFormat> dsv2::readableFormats(WeightUse use) {
  return getInfo(use).formats;
}

/// docs/NumericPolicy.md says why.
WeightFormat WeightPolicy::defaultFormat(WeightUse use, StringRef name) const {
  switch (use) {
  case WeightUse::RMSNorm:
  case WeightUse::Route:
    return WeightFormat::F32;
  case WeightUse::Embed:
    return base == WeightFormat::F32 ? base : WeightFormat::BF16;
  case WeightUse::LatentAttention:
  case WeightUse::Logits:
    return base == WeightFormat::Q4 ? WeightFormat::Q8 : base;
  case WeightUse::Linear:
    return base == WeightFormat::Q4 &&
                   name.ends_with(".kv_a_proj_with_mqa.weight")
               ? WeightFormat::Q8
               : base;
  case WeightUse::ExpertFFN:
  case WeightUse::GatedFFN:
    return base;
  }
  llvm_unreachable("unknown use");
}

//===----------------------------------------------------------------------===//
// Rules
//===----------------------------------------------------------------------===//

/// Text of a file fit for a message: no control characters, not too long.
static std::string escape(StringRef text) {
  constexpr size_t maxLength = 80;
  std::string result;
  raw_string_ostream os(result);
  printEscapedString(text.take_front(maxLength), os);
  if (text.size() > maxLength)
    os << "...";
  return result;
}

static std::string quote(StringRef text) { return "'" + escape(text) + "'"; }

Error WeightPolicy::makeError(unsigned line, const Twine &message) const {
  return createStringError(fileName + ":" + Twine(line) + ": " + message);
}

static void replaceAll(std::string &text, StringRef from, StringRef to) {
  for (size_t at = 0; (at = text.find(from, at)) != std::string::npos;
       at += to.size())
    text.replace(at, from.size(), to);
}

/// The patterns that the braces of a glob stand for, or more.
static size_t countPatterns(StringRef glob) {
  size_t patterns = 1, alternatives = 1;
  for (size_t i = 0; i < glob.size(); ++i) {
    if (glob[i] == '\\')
      ++i;
    else if (glob[i] == '{')
      alternatives = 1;
    else if (glob[i] == ',')
      ++alternatives;
    else if (glob[i] == '}')
      patterns *= alternatives;
  }
  return patterns;
}

Error WeightPolicy::parseRules(StringRef text) {
  // Each could multiply the number of patterns, and each pattern meets the
  // names of all tensors.
  constexpr size_t maxBraceExpansions = 64;
  size_t patterns = 0;
  unsigned number = 0;
  for (StringRef line : split(text, '\n')) {
    ++number;
    SmallVector<StringRef> words;
    SplitString(line.split('#').first, words, " \t\r");
    if (words.empty())
      continue;
    if (words.size() != 2)
      return makeError(number, "expected a glob and a format, got " +
                                   quote(line.split('#').first.trim()));
    std::optional<WeightFormat> format = symbolizeWeightFormat(words[1]);
    if (!format)
      return makeError(number,
                       "expected the format f32, bf16, q8, q4 or fp8, got " +
                           quote(words[1]));
    Rule &rule = rules.emplace_back(words[0].str(), *format, number);
    // Names as the IR has them stand for all layers and experts.
    rule.text = rule.glob;
    replaceAll(rule.text, "{layer}", "*");
    replaceAll(rule.text, "{expert}", "*");
    Expected<GlobPattern> pattern =
        GlobPattern::create(rule.text, maxBraceExpansions);
    if (!pattern)
      return makeError(number, quote(rule.glob) + " is not a glob: " +
                                   // Which may quote the glob as it is.
                                   escape(toString(pattern.takeError())));
    rule.pattern = std::move(*pattern);
    patterns += countPatterns(rule.text);
    if (patterns > maxPatterns)
      return makeError(number, "expected at most " + Twine(maxPatterns) +
                                   " globs in all, each choice of braces "
                                   "counted; got " +
                                   Twine(patterns) + " up to here");
  }
  return Error::success();
}

Expected<WeightPolicy> WeightPolicy::parse(StringRef format, StringRef rules,
                                           StringRef fileName) {
  std::optional<WeightFormat> base = symbolizeWeightFormat(format);
  if (!base)
    return createStringError(
        "weight format: expected f32, bf16, q8, q4 or fp8, got " +
        quote(format));
  WeightPolicy policy(*base);
  policy.fileName = fileName.str();
  if (Error error = policy.parseRules(rules))
    return std::move(error);
  return policy;
}

Expected<WeightPolicy> WeightPolicy::create(StringRef format,
                                            StringRef rulesFile) {
  if (rulesFile.empty())
    return parse(format, "", "");
  auto fail = [&](const Twine &message) {
    return createStringError("weight rules '" + rulesFile + "': " + message);
  };
  sys::fs::file_status status;
  if (std::error_code code = sys::fs::status(rulesFile, status))
    return fail(code.message());
  // A pipe or a device could deliver without end.
  if (!sys::fs::is_regular_file(status))
    return fail("expected a regular file");
  if (status.getSize() > static_cast<uint64_t>(maxFileSize))
    return fail("expected at most " + Twine(maxFileSize) + " bytes, got " +
                Twine(status.getSize()));
  ErrorOr<std::unique_ptr<MemoryBuffer>> buffer =
      MemoryBuffer::getFile(rulesFile);
  if (!buffer)
    return fail(buffer.getError().message());
  return parse(format, (*buffer)->getBuffer(), rulesFile);
}

WeightPolicy::Rule *WeightPolicy::findRule(StringRef tensor) {
  Rule *first = nullptr;
  for (Rule &rule : rules) {
    if (!rule.pattern->match(tensor))
      continue;
    rule.matches = true;
    if (!first)
      first = &rule;
  }
  if (first)
    first->decides = true;
  return first;
}

/// Calls `callback` with the name of every tensor of `weight`.
static void forEachName(const WeightTensors &weight,
                        function_ref<void(StringRef)> callback) {
  auto withExperts = [&](const std::string &name) {
    if (weight.experts == 0)
      return callback(name);
    for (int64_t expert = 0; expert < weight.experts; ++expert) {
      std::string full = name;
      replaceAll(full, "{expert}", std::to_string(expert));
      callback(full);
    }
  };
  if (weight.layers.empty())
    return withExperts(weight.name.str());
  for (int64_t layer : weight.layers) {
    std::string name = weight.name.str();
    replaceAll(name, "{layer}", std::to_string(layer));
    withExperts(name);
  }
}

/// "layers 1 to 3, 5".
static std::string stringifyLayers(ArrayRef<int64_t> layers) {
  std::string text = layers.size() == 1 ? "layer " : "layers ";
  for (size_t first = 0; first < layers.size();) {
    size_t last = first;
    while (last + 1 < layers.size() && layers[last + 1] == layers[last] + 1)
      ++last;
    if (first > 0)
      text += ", ";
    text += std::to_string(layers[first]);
    if (last > first)
      text += " to " + std::to_string(layers[last]);
    first = last + 1;
  }
  return text;
}

/// What has to have one format and has two, and why it has to.
static std::string describe(const WeightTensors &first,
                            const WeightTensors &second) {
  std::string text = "'" + first.name.str() + "'";
  if (first.name != second.name)
    return text + " and '" + second.name.str() + "', which are stored together";
  SmallVector<std::string> stacks;
  if (!first.layers.empty())
    stacks.push_back(stringifyLayers(first.layers));
  if (first.experts > 0)
    stacks.push_back("experts 0 to " + std::to_string(first.experts - 1));
  return text + " of the stack of " + join(stacks, " and ") +
         ", which shares its code";
}

Expected<WeightFormat> WeightPolicy::select(WeightUse use,
                                            ArrayRef<WeightTensors> weights) {
  struct Choice {
    std::string tensor;
    const WeightTensors *weight;
    const Rule *rule;
    WeightFormat format;
  };
  std::optional<Choice> first, other;
  for (const WeightTensors &weight : weights)
    forEachName(weight, [&](StringRef name) {
      const Rule *rule = findRule(name);
      Choice choice = {name.str(), &weight, rule,
                       rule ? rule->format : defaultFormat(use, weight.name)};
      if (!first)
        first = std::move(choice);
      else if (!other && choice.format != first->format)
        other = std::move(choice);
    });
  auto stringify = [](const Choice &choice) {
    return (stringifyWeightFormat(choice.format) + " for '" + choice.tensor +
            "'")
        .str();
  };
  // Defaults neither split a weight nor name a format that cannot be read, so
  // that there is a rule to blame.
  if (other)
    return makeError((other->rule ? other->rule : first->rule)->line,
                     "expected one format for " +
                         describe(*first->weight, *other->weight) + "; got " +
                         stringify(*first) + " and " + stringify(*other));
  if (is_contained(readableFormats(use), first->format))
    return first->format;
  auto readable = map_range(readableFormats(use), stringifyWeightFormat);
  return makeError(first->rule->line, "expected a format that " +
                                          stringifyWeightUse(use) + " reads (" +
                                          join(readable, ", ") + "), got " +
                                          stringify(*first));
}

Error WeightPolicy::checkRulesUsed() const {
  for (const Rule &rule : rules) {
    if (!rule.matches)
      return makeError(rule.line, "expected a glob that matches weights of the "
                                  "model, got " +
                                      quote(rule.glob) +
                                      ", which matches none");
    if (!rule.decides)
      return makeError(rule.line,
                       "expected a rule that decides on a weight, got " +
                           quote(rule.glob) +
                           ", all of whose weights match rules before it");
  }
  return Error::success();
}
