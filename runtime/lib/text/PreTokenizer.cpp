//===- PreTokenizer.cpp - cutting text into pieces ------------------------===//
//
// Part of dsv2, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "PreTokenizer.h"
#include "Json.h"
#include "dsv2rt/text/Utf8.h"

#include <array>

using namespace dsv2rt;
using namespace dsv2rt::text;

//===----------------------------------------------------------------------===//
// Byte-level symbols
//===----------------------------------------------------------------------===//

namespace {
/// The table of GPT-2's byte-level encoding: bytes whose Latin-1 character is
/// visible stand for themselves, the other 68 follow from U+0100 in order.
struct ByteSymbols {
  std::array<char32_t, 256> symbol;
  /// Indexed by code point; -1 where no byte is meant.
  std::array<int, 0x144> byte;

  ByteSymbols() {
    byte.fill(-1);
    char32_t next = 0x100;
    for (unsigned value = 0; value < 256; ++value) {
      bool visible =
          (value >= 0x21 && value <= 0x7E) || (value >= 0xA1 && value != 0xAD);
      symbol[value] = visible ? value : next++;
      byte[symbol[value]] = static_cast<int>(value);
    }
  }
};
} // namespace

static const ByteSymbols &byteSymbols() {
  static const ByteSymbols table;
  return table;
}

char32_t text::byteLevelSymbol(unsigned char byte) {
  return byteSymbols().symbol[byte];
}

std::string text::byteLevelDecode(std::string_view token) {
  const ByteSymbols &table = byteSymbols();
  std::string bytes;
  for (size_t position = 0; position < token.size();) {
    uint32_t codePoint = nextCodePoint(token, position);
    if (codePoint >= table.byte.size() || table.byte[codePoint] < 0)
      return std::string(token);
    bytes += static_cast<char>(table.byte[codePoint]);
  }
  return bytes;
}

//===----------------------------------------------------------------------===//
// Steps
//===----------------------------------------------------------------------===//

namespace {

/// What becomes of the matches of a Split.
enum class Behavior {
  Removed,
  Isolated,
  MergedWithPrevious,
  MergedWithNext,
  Contiguous,
};

/// Cuts at the matches of an expression.
class SplitStep final : public PreTokenizerStep {
public:
  SplitStep(Regex regex, Behavior behavior, bool invert)
      : regex(std::move(regex)), behavior(behavior), invert(invert) {}

  void apply(Pieces &pieces, RegexScratch &scratch) const override {
    std::vector<ByteRange> result;
    result.reserve(pieces.ranges.size());
    std::vector<Part> parts;
    for (ByteRange range : pieces.ranges) {
      std::string_view piece(pieces.text.data() + range.begin,
                             range.end - range.begin);
      findParts(piece, scratch, parts);
      merge(parts);
      for (const Part &part : parts)
        if (!part.dropped && part.range.begin != part.range.end)
          result.push_back(
              {range.begin + part.range.begin, range.begin + part.range.end});
    }
    pieces.ranges = std::move(result);
  }

private:
  struct Part {
    ByteRange range;
    bool isMatch;
    bool dropped;
  };

  Regex regex;
  Behavior behavior;
  bool invert;

  /// Lists matches and the text between them, in order.
  void findParts(std::string_view piece, RegexScratch &scratch,
                 std::vector<Part> &parts) const {
    parts.clear();
    size_t done = 0;
    auto push = [&](size_t begin, size_t end, bool isMatch) {
      isMatch ^= invert;
      parts.push_back(
          {{begin, end}, isMatch, behavior == Behavior::Removed && isMatch});
    };
    regex.forEachMatch(piece, scratch, [&](ByteRange match) {
      if (match.begin != done)
        push(done, match.begin, false);
      push(match.begin, match.end, true);
      done = match.end;
    });
    if (done != piece.size())
      push(done, piece.size(), false);
  }

  void merge(std::vector<Part> &parts) const {
    if (behavior == Behavior::Removed || behavior == Behavior::Isolated ||
        parts.empty())
      return;
    bool forward = behavior != Behavior::MergedWithNext;
    std::vector<Part> merged;
    bool previousMatch = false;
    for (size_t i = 0; i < parts.size(); ++i) {
      const Part &part = parts[forward ? i : parts.size() - 1 - i];
      bool join = behavior == Behavior::Contiguous
                      ? part.isMatch == previousMatch
                      : part.isMatch && !previousMatch;
      previousMatch = part.isMatch;
      if (!join || merged.empty())
        merged.push_back(part);
      else if (forward)
        merged.back().range.end = part.range.end;
      else
        merged.back().range.begin = part.range.begin;
    }
    if (!forward)
      parts.assign(merged.rbegin(), merged.rend());
    else
      parts = std::move(merged);
  }
};

/// Puts a space before every piece that does not start with one.
class PrefixSpaceStep final : public PreTokenizerStep {
public:
  void apply(Pieces &pieces, RegexScratch &) const override {
    std::string text;
    for (ByteRange &range : pieces.ranges) {
      size_t begin = text.size();
      if (pieces.text[range.begin] != ' ')
        text += ' ';
      text.append(pieces.text, range.begin, range.end - range.begin);
      range = {begin, text.size()};
    }
    pieces.text = std::move(text);
  }
};

/// Writes every byte as its byte-level symbol.
class ByteSymbolStep final : public PreTokenizerStep {
public:
  ByteSymbolStep() {
    for (unsigned value = 0; value < 256; ++value)
      appendUtf8(byteLevelSymbol(static_cast<unsigned char>(value)),
                 symbols[value]);
  }

  void apply(Pieces &pieces, RegexScratch &) const override {
    std::string text;
    text.reserve(pieces.text.size() + pieces.text.size() / 2);
    for (ByteRange &range : pieces.ranges) {
      size_t begin = text.size();
      for (size_t i = range.begin; i < range.end; ++i)
        text += symbols[static_cast<unsigned char>(pieces.text[i])];
      range = {begin, text.size()};
    }
    pieces.text = std::move(text);
  }

private:
  std::array<std::string, 256> symbols;
};

/// The expression that a ByteLevel step with use_regex applies.
constexpr std::string_view byteLevelPattern =
    "'s|'t|'re|'ve|'m|'ll|'d| ?\\p{L}+| ?\\p{N}+| ?[^\\s\\p{L}\\p{N}]+|"
    "\\s+(?!\\S)|\\s+";

/// ASCII punctuation, symbols included, and everything of category P.
constexpr std::string_view punctuationPattern =
    "[\\x21-\\x2F\\x3A-\\x40\\x5B-\\x60\\x7B-\\x7E\\p{P}]";

} // namespace

//===----------------------------------------------------------------------===//
// Reading the member
//===----------------------------------------------------------------------===//

static Behavior parseBehavior(const std::string &name) {
  if (name == "Removed")
    return Behavior::Removed;
  if (name == "Isolated")
    return Behavior::Isolated;
  if (name == "MergedWithPrevious")
    return Behavior::MergedWithPrevious;
  if (name == "MergedWithNext")
    return Behavior::MergedWithNext;
  if (name == "Contiguous")
    return Behavior::Contiguous;
  fail(StatusCode::CorruptData,
       "pre_tokenizer: expected a behavior out of Removed, Isolated, "
       "MergedWithPrevious, MergedWithNext and Contiguous, found " +
           inQuotes(name));
}

static Regex parsePattern(const nlohmann::json &step) {
  const nlohmann::json *pattern = findMember(step, "pattern");
  if (!pattern || !pattern->is_object() || pattern->size() != 1)
    fail(StatusCode::CorruptData,
         "pre_tokenizer: expected the pattern of Split to be an object with "
         "one member, 'Regex' or 'String'");
  if (findMember(*pattern, "Regex"))
    return Regex(getString(*pattern, "Regex"));
  const std::string &literal = getString(*pattern, "String");
  if (literal.empty())
    fail(StatusCode::Unsupported,
         "pre_tokenizer: a Split at the empty string is not supported");
  return Regex::literal(literal);
}

void PreTokenizer::add(const nlohmann::json &member, unsigned depth) {
  expectObject(member, "pre_tokenizer");
  const std::string &type = getString(member, "type");
  auto split = [&](Regex regex, Behavior behavior, bool invert = false) {
    steps.push_back(
        std::make_unique<SplitStep>(std::move(regex), behavior, invert));
  };
  if (type == "Sequence") {
    const nlohmann::json *list = findMember(member, "pretokenizers");
    if (!list || !list->is_array())
      fail(StatusCode::CorruptData,
           "pre_tokenizer: expected a Sequence with a list 'pretokenizers'");
    if (depth >= 8)
      fail(StatusCode::Unsupported,
           "pre_tokenizer: sequences nested deeper than 8 are not supported");
    for (const nlohmann::json &step : *list)
      add(step, depth + 1);
  } else if (type == "Split") {
    split(parsePattern(member), parseBehavior(getString(member, "behavior")),
          getBool(member, "invert", false));
  } else if (type == "Digits") {
    bool individual = getBool(member, "individual_digits", false);
    split(Regex("\\p{N}"),
          individual ? Behavior::Isolated : Behavior::Contiguous);
  } else if (type == "Punctuation") {
    const nlohmann::json *behavior = findNonNull(member, "behavior");
    split(Regex(punctuationPattern),
          behavior ? parseBehavior(asString(*behavior, "behavior"))
                   : Behavior::Isolated);
  } else if (type == "Whitespace") {
    split(Regex("\\w+|[^\\w\\s]+"), Behavior::Removed, /*invert=*/true);
  } else if (type == "WhitespaceSplit") {
    split(Regex("\\s"), Behavior::Removed);
  } else if (type == "ByteLevel") {
    // The reference's default is true for both, as are old files without them.
    if (getBool(member, "add_prefix_space", true))
      steps.push_back(std::make_unique<PrefixSpaceStep>());
    if (getBool(member, "use_regex", true))
      split(Regex(byteLevelPattern), Behavior::Isolated);
    steps.push_back(std::make_unique<ByteSymbolStep>());
    ++byteLevelSteps;
  } else {
    fail(StatusCode::Unsupported,
         "pre_tokenizer: type " + inQuotes(type) + " is not supported");
  }
}

PreTokenizer PreTokenizer::fromJson(const nlohmann::json &member) {
  PreTokenizer result;
  result.add(member, /*depth=*/0);
  if (result.byteLevelSteps != 1)
    fail(StatusCode::Unsupported,
         "pre_tokenizer: expected exactly one ByteLevel step, found " +
             std::to_string(result.byteLevelSteps));
  return result;
}

Pieces PreTokenizer::run(std::string_view text, RegexScratch &scratch) const {
  Pieces pieces;
  pieces.text = text;
  if (!text.empty())
    pieces.ranges.push_back({0, text.size()});
  for (const auto &step : steps)
    step->apply(pieces, scratch);
  return pieces;
}
