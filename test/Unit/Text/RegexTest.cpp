//===- RegexTest.cpp - split expressions ----------------------------------===//
//
// Part of dsv2, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "Regex.h"
#include "Internal.h"
#include "dsv2rt/text/Utf8.h"
#include "gtest/gtest.h"

#include <chrono>

using namespace dsv2rt;
using namespace dsv2rt::text;

/// The matches as "offset:text". Interpreted and compiled searches must agree.
static std::vector<std::string> matches(const char *pattern,
                                        const std::string &subject) {
  std::vector<std::string> result[2];
  Regex regex(pattern);
  for (bool justInTime : {false, true}) {
    RegexScratch scratch(justInTime);
    regex.forEachMatch(subject, scratch, [&](ByteRange range) {
      result[justInTime].push_back(
          std::to_string(range.begin) + ":" +
          subject.substr(range.begin, range.end - range.begin));
    });
  }
  EXPECT_EQ(result[0], result[1]) << pattern;
  return result[1];
}

using Found = std::vector<std::string>;

/// The code points a one-character pattern matches, as ranges.
static std::vector<std::pair<uint32_t, uint32_t>>
matchedSet(const char *pattern, uint32_t limit = 0x110000) {
  Regex regex(pattern);
  RegexScratch scratch;
  std::vector<std::pair<uint32_t, uint32_t>> ranges;
  for (uint32_t codePoint = 0; codePoint < limit; ++codePoint) {
    if (codePoint == 0xD800)
      codePoint = 0xE000;
    std::string text;
    appendUtf8(codePoint, text);
    ByteRange match;
    if (!regex.find(text, 0, scratch, match))
      continue;
    if (!ranges.empty() && ranges.back().second + 1 == codePoint)
      ranges.back().second = codePoint;
    else
      ranges.push_back({codePoint, codePoint});
  }
  return ranges;
}

TEST(Regex, F057_WhiteSpaceIsThePropertyWhiteSpace) {
  // U+180E is white space to PCRE2 and not to the engine of the files.
  std::vector<std::pair<uint32_t, uint32_t>> expected = {
      {0x09, 0x0D},     {0x20, 0x20},     {0x85, 0x85},     {0xA0, 0xA0},
      {0x1680, 0x1680}, {0x2000, 0x200A}, {0x2028, 0x2029}, {0x202F, 0x202F},
      {0x205F, 0x205F}, {0x3000, 0x3000}};
  EXPECT_EQ(matchedSet("\\s"), expected);
  EXPECT_EQ(matchedSet("[\\s]"), expected);
  EXPECT_EQ(matchedSet("[^\\S]"), expected);
  EXPECT_EQ(matchedSet("(?!\\S)[^x]"), expected);
}

TEST(Regex, WordIncludesMarksAndConnectors) {
  // Combining acute, undertie, Arabic-Indic digit, Roman numeral.
  for (const char *word : {"a", "_", "\u0301", "\u203F", "\u0661", "\u2160"})
    EXPECT_EQ(matches("\\w", word).size(), 1u) << word;
  for (const char *other : {"-", " ", "\u00BD", "\u2028", "\U0001F600"})
    EXPECT_EQ(matches("\\w", other).size(), 0u) << other;
}

TEST(Regex, AnchorsAreAboutLines) {
  EXPECT_EQ(matches("x$", "ax\nx\n"), (Found{"1:x", "3:x"}));
  EXPECT_EQ(matches("^x", "x\nxa\nx"), (Found{"0:x", "2:x", "5:x"}));
  EXPECT_EQ(matches("\\Ax", "x\nx"), (Found{"0:x"}));
  EXPECT_EQ(matches("x\\z", "x\nx"), (Found{"2:x"}));
  EXPECT_EQ(matches(".+", "ab\ncd"), (Found{"0:ab", "3:cd"}));
}

TEST(Regex, EmptyMatchesMoveOn) {
  EXPECT_EQ(matches("x*", "axb"), (Found{"0:", "1:x", "3:"}));
  EXPECT_EQ(matches("", "\u00E9b"), (Found{"0:", "2:", "3:"}));
}

TEST(Regex, GuardOfRunsChangesNoMatch) {
  // The second search starts inside a run, where the guard must not apply.
  EXPECT_EQ(matches("\\s+(?!\\S)|x", "   x  y "),
            (Found{"0:  ", "3:x", "4: ", "7: "}));
  EXPECT_EQ(matches("a{2,}b|a", "aaab a"), (Found{"0:aaab", "5:a"}));
  EXPECT_EQ(matches("a+?b|aa", "aaac"), (Found{"0:aa"}));
  EXPECT_EQ(matches("a+?(?=a)", "aaa"), (Found{"0:a", "1:a"}));
  EXPECT_EQ(matches("\\s+$", "a  b  \n c "), (Found{"4:  ", "9: "}));
  EXPECT_EQ(matches("\\s+$", "  \n  x"), (Found{"0:  "}));
  EXPECT_EQ(matches("(?<=a)a+b|a", "aaab"), (Found{"0:a", "1:aab"}));
}

TEST(Regex, FailingRunsTakeLinearTime) {
  std::string text(1 << 20, ' ');
  text += "\u4E16";
  auto start = std::chrono::steady_clock::now();
  EXPECT_EQ(matches("\\s+$", text).size(), 0u);
  auto taken = std::chrono::steady_clock::now() - start;
  // Quadratic time would be hours.
  EXPECT_LT(std::chrono::duration<double>(taken).count(), 10);
}

TEST(Regex, GivesUpInsteadOfHanging) {
  // Exponential in the bound of the interval.
  std::string text = std::string(60, 'a') + "!";
  Regex regex("(?:a|a){1,40}$");
  for (bool justInTime : {false, true}) {
    RegexScratch scratch(justInTime);
    ByteRange match;
    try {
      regex.find(text, 0, scratch, match);
      FAIL() << "expected the search to give up";
    } catch (const StatusError &error) {
      EXPECT_EQ(error.status.code(), StatusCode::Unsupported);
      EXPECT_EQ(error.status.message(),
                "the regular expression '(?:a|a){1,40}$' cannot split a text "
                "of 61 bytes: match limit exceeded");
    }
  }
}

TEST(Regex, ReadsEscapesAndClasses) {
  EXPECT_EQ(matches("\\u4e16\\x{754c}\\x41", "\u4E16\u754C"
                                             "A")
                .size(),
            1u);
  EXPECT_EQ(matches("[\\[\\]\\\\^-]", "[]\\^-a").size(), 5u);
  EXPECT_EQ(matches("[-a]", "-ab").size(), 2u);
  EXPECT_EQ(matches("[^\\r\\n\\p{L}\\P{Nd}]", "a1\r").size(), 1u);
  EXPECT_EQ(matches("\\P{^Lu}", "aB"), (Found{"1:B"}));
  EXPECT_EQ(matches("\\p{N}{1,3}", "12345"), (Found{"0:123", "3:45"}));
  EXPECT_EQ(matches("(?i:'s|'t)", "'S't"), (Found{"0:'S", "2:'t"}));
  EXPECT_EQ(matches("a{,2}b", "aaab"), (Found{"1:aab"}));
  // Free-standing digits and dashes are literal.
  EXPECT_EQ(matches("1-2", "1-2"), (Found{"0:1-2"}));
}

TEST(Regex, RefusesWhatEnginesReadDifferently) {
  const char *patterns[] = {
      "(?i)a",   "(?<n>a)",   "(a)\\1",      "\\bfoo",  "\\h",
      "\\R",     "\\X",       "\\K",         "\\G",     "a{2}+",
      "a{2}?",   "a**",       "^*",          "(?=a)+",  "[[:alpha:]]",
      "[a&&b]",  "[a[b]]",    "[]",          "[a-\\d]", "[\\d-z]",
      "[a-c-e]", "[z-a]",     "a{",          "x{3,2}",  "]",
      "\\x80",   "\\x{D800}", "\\x{110000}", "\\p{L",   "\\p{Nonsense}",
      "(",       ")",         "[a",          "\\",      "[\\W]",
      "*",       "(?~a)",     "(?<=a+)b",    "\\p{}",   "[a-",
  };
  for (const char *pattern : patterns) {
    try {
      Regex regex(pattern);
      ADD_FAILURE() << "accepted " << pattern;
    } catch (const StatusError &error) {
      EXPECT_EQ(error.status.code(), StatusCode::Unsupported) << pattern;
    }
  }
}

TEST(Regex, BoundsTheSizeOfExpressions) {
  EXPECT_THROW(Regex("(?:(?:a{1,1000}){1,1000}){1,1000}"), StatusError);
  EXPECT_THROW(Regex("a{1,99999999999999999999}"), StatusError);
  std::string deep(1000, '(');
  EXPECT_THROW(Regex(deep + std::string(1000, ')')), StatusError);
}

TEST(Regex, LiteralsAreLiteral) {
  RegexScratch scratch;
  ByteRange match;
  std::string text = "x^$.[]|()?*+{}\\-\u4E16y";
  std::string needle = text.substr(1, text.size() - 2);
  ASSERT_TRUE(Regex::literal(needle).find(text, 0, scratch, match));
  EXPECT_EQ(match.begin, 1u);
  EXPECT_EQ(match.end, text.size() - 1);
}
