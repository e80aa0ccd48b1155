//===- RegexTranslation.cpp - Oniguruma to PCRE2 syntax -------------------===//
//
// Part of dsv2, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "Internal.h"
#include "Regex.h"
#include "dsv2rt/text/Utf8.h"

#include <algorithm>
#include <cstdint>
#include <cstdio>
#include <vector>

using namespace dsv2rt;
using namespace dsv2rt::text;

namespace {

using CodePoints = std::vector<std::pair<uint32_t, uint32_t>>;

/// The code points with property White_Space, which is what `\s` means to
/// Oniguruma. PCRE2 adds U+180E.
const CodePoints whiteSpace = {
    {0x09, 0x0D},     {0x20, 0x20},     {0x85, 0x85},     {0xA0, 0xA0},
    {0x1680, 0x1680}, {0x2000, 0x200A}, {0x2028, 0x2029}, {0x202F, 0x202F},
    {0x205F, 0x205F}, {0x3000, 0x3000}};

/// What `\w` means to Oniguruma, as the inside of a PCRE2 class.
constexpr const char *wordProperties = "\\p{Alphabetic}\\p{M}\\p{Nd}\\p{Pc}";

constexpr uint32_t lastCodePoint = 0x10FFFF;

/// Deepest nesting of groups; PCRE2 and this parser both recurse.
constexpr unsigned maxDepth = 50;

/// Largest size after writing repetitions out. It bounds the memory that a
/// hostile file can make the compiler of the expression use.
constexpr uint64_t maxExpandedSize = 10000;

class Translator {
public:
  explicit Translator(std::string_view source) : source(source) {}

  std::string run() {
    parseAlternatives(/*depth=*/0);
    if (!atEnd())
      refuse("an unmatched ')'");
    return std::move(out);
  }

private:
  std::string_view source;
  size_t position = 0;
  std::string out;

  bool atEnd() const { return position == source.size(); }
  char peek() const { return source[position]; }
  bool consume(std::string_view token) {
    if (source.substr(position, token.size()) != token)
      return false;
    position += token.size();
    return true;
  }

  [[noreturn]] void refuse(const std::string &what) const {
    fail(StatusCode::Unsupported, "regular expression: " + what +
                                      " is not supported (at byte " +
                                      std::to_string(position) + ")");
  }

  //===--------------------------------------------------------------------===//
  // Output
  //===--------------------------------------------------------------------===//

  static std::string escaped(uint32_t codePoint) {
    char text[16];
    std::snprintf(text, sizeof(text), "\\x{%X}",
                  static_cast<unsigned>(codePoint));
    return text;
  }

  static std::string members(const CodePoints &ranges) {
    std::string text;
    for (auto [first, last] : ranges) {
      text += escaped(first);
      if (last != first)
        text += "-" + escaped(last);
    }
    return text;
  }

  static CodePoints complement(const CodePoints &sorted) {
    CodePoints result;
    uint32_t next = 0;
    for (auto [first, last] : sorted) {
      if (first > next)
        result.push_back({next, first - 1});
      next = last + 1;
    }
    result.push_back({next, lastCodePoint});
    return result;
  }

  //===--------------------------------------------------------------------===//
  // Grammar
  //===--------------------------------------------------------------------===//

  /// Each parse function returns the size of what it read with repetitions
  /// written out.
  uint64_t parseAlternatives(unsigned depth) {
    if (depth > maxDepth)
      refuse("nesting deeper than " + std::to_string(maxDepth));
    uint64_t size = parseSequence(depth);
    while (!atEnd() && consume("|")) {
      out += '|';
      size += 1 + parseSequence(depth);
    }
    return limited(size);
  }

  uint64_t limited(uint64_t size) const {
    if (size > maxExpandedSize)
      refuse("a repetition as large as this");
    return size;
  }

  uint64_t parseSequence(unsigned depth) {
    size_t start = out.size();
    std::string repeatedFirst;
    uint64_t size = 0;
    unsigned count = 0;
    while (!atEnd() && peek() != '|' && peek() != ')') {
      size_t atomStart = out.size();
      bool single = false;
      bool repeatable = true;
      uint64_t atomSize = parseAtom(depth, single, repeatable);
      std::string atom = out.substr(atomStart);
      bool unbounded = false;
      size = limited(size + atomSize * parseQuantifier(repeatable, unbounded));
      if (count++ == 0 && single && unbounded)
        repeatedFirst = atom;
    }
    if (depth == 0 && count > 1 && !repeatedFirst.empty())
      out.insert(start, "(?:\\G|(?<!" + repeatedFirst + "))");
    return size;
  }

  /// Returns the factor by which the quantifier, if any, multiplies the size.
  uint64_t parseQuantifier(bool repeatable, bool &unbounded) {
    if (atEnd())
      return 1;
    uint64_t factor = 1;
    char c = peek();
    if (c == '*' || c == '+' || c == '?') {
      ++position;
      out += c;
      unbounded = c != '?';
      if (!atEnd() && (peek() == '?' || peek() == '+'))
        out += source[position++];
    } else if (c == '{') {
      factor = parseInterval(unbounded);
      // Ruby reads these as a second quantifier or as an optional group.
      if (!atEnd() && (peek() == '?' || peek() == '+'))
        refuse("'?' or '+' behind an interval");
    } else {
      return 1;
    }
    if (!repeatable)
      refuse("repeating an anchor or a look-around");
    if (!atEnd() &&
        (peek() == '*' || peek() == '+' || peek() == '?' || peek() == '{'))
      refuse("a quantifier of a quantifier");
    return factor;
  }

  uint64_t parseInterval(bool &unbounded) {
    ++position;
    std::optional<uint64_t> low = parseNumber();
    std::optional<uint64_t> high = low;
    bool comma = consume(",");
    if (comma)
      high = parseNumber();
    if (!consume("}") || (!low && !high))
      refuse("'{' that starts no interval");
    if (!low)
      low = 0;
    if (high && *high < *low)
      refuse("an interval with its bounds swapped");
    out += "{" + std::to_string(*low);
    if (comma)
      out += "," + (high ? std::to_string(*high) : std::string());
    out += "}";
    unbounded = comma && !high;
    return std::max<uint64_t>(1, high ? *high : *low);
  }

  std::optional<uint64_t> parseNumber() {
    if (atEnd() || peek() < '0' || peek() > '9')
      return std::nullopt;
    uint64_t value = 0;
    while (!atEnd() && peek() >= '0' && peek() <= '9') {
      value = value * 10 + static_cast<uint64_t>(source[position++] - '0');
      if (value > maxExpandedSize)
        refuse("a repetition as large as this");
    }
    return value;
  }

  uint64_t parseAtom(unsigned depth, bool &single, bool &repeatable) {
    char c = peek();
    switch (c) {
    case '(':
      return parseGroup(depth, repeatable);
    case '[':
      single = true;
      return parseClass();
    case '^':
    case '$':
      // Both are about lines in Ruby; PCRE2_MULTILINE says the same.
      ++position;
      out += c;
      repeatable = false;
      return 1;
    case '.':
      ++position;
      out += "[^\\x{A}]";
      single = true;
      return 1;
    case '*':
    case '+':
    case '?':
      refuse("a quantifier with nothing to repeat");
    case '\\':
      return parseEscape(single, repeatable);
    case ']':
    case '{':
    case '}':
      refuse("an unescaped '" + std::string(1, c) + "'");
    default:
      out += escaped(nextCodePoint(source, position));
      single = true;
      return 1;
    }
  }

  uint64_t parseGroup(unsigned depth, bool &repeatable) {
    static constexpr std::string_view openings[] = {
        "(?:", "(?>", "(?i:", "(?=", "(?!", "(?<=", "(?<!"};
    std::string_view opening;
    for (std::string_view candidate : openings)
      if (opening.empty() && consume(candidate))
        opening = candidate;
    if (opening.empty()) {
      if (source.substr(position, 2) == "(?")
        refuse("a group that starts with '(?' and is neither (?:, (?>, (?i: "
               "nor a look-around");
      // Nothing can refer to a capture, so do not make one.
      ++position;
      opening = "(?:";
    }
    repeatable = opening == "(?:" || opening == "(?>" || opening == "(?i:";
    out += opening;
    uint64_t size = 1 + parseAlternatives(depth + 1);
    if (!consume(")"))
      refuse("a group without its ')'");
    out += ')';
    return size;
  }

  uint64_t parseEscape(bool &single, bool &repeatable) {
    if (position + 1 >= source.size())
      refuse("a final '\\'");
    char kind = source[position + 1];
    if (kind == 'A' || kind == 'z' || kind == 'Z') {
      position += 2;
      out += '\\';
      out += kind;
      repeatable = false;
      return 1;
    }
    single = true;
    std::string set;
    bool negated = false;
    if (parseSetEscape(set, negated)) {
      out += negated ? "[^" : "[";
      out += set;
      out += ']';
      return 1;
    }
    out += escaped(parseCharacterEscape());
    return 1;
  }

  /// Reads an escape that stands for a set of characters. `set` becomes the
  /// inside of a class; `negated` asks for its complement.
  bool parseSetEscape(std::string &set, bool &negated) {
    char kind = source[position + 1];
    switch (kind) {
    case 's':
    case 'S':
      set = members(whiteSpace);
      negated = kind == 'S';
      break;
    case 'd':
    case 'D':
      set = "\\p{Nd}";
      negated = kind == 'D';
      break;
    case 'w':
    case 'W':
      set = wordProperties;
      negated = kind == 'W';
      break;
    case 'p':
    case 'P': {
      size_t close = source.find('}', position);
      if (source.substr(position + 2, 1) != "{" ||
          close == std::string_view::npos)
        refuse("'\\p' without a name in braces");
      std::string name(source.substr(position + 3, close - position - 3));
      bool caret = !name.empty() && name[0] == '^';
      if (caret)
        name.erase(0, 1);
      bool plain = !name.empty() && name.size() <= 40;
      for (char c : name)
        plain &= (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_';
      if (!plain)
        refuse("the property " + inQuotes(name));
      set = "\\p{" + name + "}";
      negated = (kind == 'P') != caret;
      position = close - 1;
      break;
    }
    default:
      return false;
    }
    position += 2;
    return true;
  }

  /// Reads an escape that stands for one code point.
  uint32_t parseCharacterEscape() {
    char kind = source[position + 1];
    position += 2;
    switch (kind) {
    case 't':
      return '\t';
    case 'n':
      return '\n';
    case 'r':
      return '\r';
    case 'f':
      return '\f';
    case 'v':
      return '\v';
    case 'a':
      return '\a';
    case 'e':
      return 0x1B;
    case 'u':
      return parseHex(4, 4);
    case 'x': {
      if (consume("{")) {
        uint32_t value = parseHex(1, 8);
        if (!consume("}"))
          refuse("'\\x{' without its '}'");
        return value;
      }
      uint32_t value = parseHex(1, 2);
      // To Oniguruma this is one byte of a UTF-8 sequence.
      if (value >= 0x80)
        refuse("'\\x' with a single byte above 7F");
      return value;
    }
    default:
      break;
    }
    // Escaped ASCII punctuation is itself, except where some syntax of
    // Oniguruma's gives it a meaning.
    static constexpr std::string_view literals =
        " !\"#$%&()*+,-./:;=?@[\\]^_{|}~";
    if (literals.find(kind) == std::string_view::npos) {
      position -= 2;
      bool printable = kind > ' ' && kind < 0x7F;
      refuse("the escape '\\" + (printable ? std::string(1, kind) : "...") +
             "'");
    }
    return static_cast<uint32_t>(kind);
  }

  uint32_t parseHex(unsigned fewest, unsigned most) {
    uint32_t value = 0;
    unsigned digits = 0;
    for (; digits < most && !atEnd(); ++digits, ++position) {
      char c = peek();
      uint32_t digit;
      if (c >= '0' && c <= '9')
        digit = static_cast<uint32_t>(c - '0');
      else if (c >= 'a' && c <= 'f')
        digit = static_cast<uint32_t>(c - 'a' + 10);
      else if (c >= 'A' && c <= 'F')
        digit = static_cast<uint32_t>(c - 'A' + 10);
      else
        break;
      value = value << 4 | digit;
    }
    if (digits < fewest || value > lastCodePoint ||
        (value >= 0xD800 && value <= 0xDFFF))
      refuse("an escape that names no character");
    return value;
  }

  uint64_t parseClass() {
    ++position;
    out += '[';
    if (consume("^"))
      out += '^';
    bool first = true;
    for (;; first = false) {
      if (atEnd())
        refuse("a class without its ']'");
      if (peek() == ']') {
        if (first)
          refuse("an empty class");
        ++position;
        out += ']';
        return 1;
      }
      if (peek() == '[')
        refuse("'[' inside a class");
      if (source.substr(position, 2) == "&&")
        refuse("an intersection of classes");
      parseClassMember(first);
    }
  }

  void parseClassMember(bool first) {
    if (peek() == '\\' && position + 1 < source.size()) {
      char kind = source[position + 1];
      std::string set;
      bool negated = false;
      if (parseSetEscape(set, negated)) {
        if (negated && kind == 'S')
          set = members(complement(whiteSpace));
        else if (negated && kind == 'W')
          refuse("'\\W' inside a class");
        else if (negated)
          set[1] = 'P'; // \p{X} becomes \P{X}
        out += set;
        if (!atEnd() && peek() == '-' && source.substr(position, 2) != "-]")
          refuse("a range that starts with a set");
        return;
      }
    }
    bool bareDash = peek() == '-';
    uint32_t low = parseClassCharacter();
    bool range = source.substr(position, 1) == "-" &&
                 position + 1 < source.size() && source[position + 1] != ']';
    if (bareDash && !first && source.substr(position, 1) != "]")
      refuse("'-' between members of a class");
    if (!range) {
      out += escaped(low);
      return;
    }
    ++position;
    if (peek() == '[')
      refuse("'[' inside a class");
    uint32_t high = parseClassCharacter();
    if (high < low)
      refuse("a range with its ends swapped");
    out += escaped(low) + "-" + escaped(high);
    // [a-c-e] is read differently by different engines.
    if (source.substr(position, 1) == "-" && source.substr(position, 2) != "-]")
      refuse("'-' directly behind a range");
  }

  uint32_t parseClassCharacter() {
    if (peek() != '\\')
      return nextCodePoint(source, position);
    if (position + 1 >= source.size())
      refuse("a final '\\'");
    static constexpr std::string_view setKinds = "sSdDwWpP";
    if (setKinds.find(source[position + 1]) != std::string_view::npos)
      refuse("a range that ends with a set");
    if (source[position + 1] == 'b') {
      position += 2;
      return '\b';
    }
    return parseCharacterEscape();
  }
};

} // namespace

std::string text::translatePattern(std::string_view pattern) {
  return Translator(pattern).run();
}
