//===- PreTokenizerTest.cpp - cutting text into pieces --------------------===//
//
// Part of dsv2, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// Expected values were made with the reference implementation unless they
// follow from its documentation at sight.
//
//===----------------------------------------------------------------------===//

#include "PreTokenizer.h"
#include "TestTokenizers.h"

using namespace dsv2rt;
using namespace dsv2rt::test;

using Parts = std::vector<std::string>;

TEST(PreTokenizer, SplitBehaviors) {
  const std::string text = "the-final--countdown-";
  auto parts = [&](const char *behavior, bool invert = false) {
    return piecesOf({splitStep("-", behavior, invert)}, text);
  };
  EXPECT_EQ(parts("Removed"), (Parts{"the", "final", "countdown"}));
  EXPECT_EQ(parts("Isolated"),
            (Parts{"the", "-", "final", "-", "-", "countdown", "-"}));
  EXPECT_EQ(parts("MergedWithPrevious"),
            (Parts{"the-", "final-", "-", "countdown-"}));
  EXPECT_EQ(parts("MergedWithNext"),
            (Parts{"the", "-final", "-", "-countdown", "-"}));
  EXPECT_EQ(parts("Contiguous"),
            (Parts{"the", "-", "final", "--", "countdown", "-"}));
  EXPECT_EQ(parts("Removed", true), (Parts{"-", "-", "-", "-"}));
  EXPECT_EQ(parts("MergedWithPrevious", true),
            (Parts{"the", "-final", "-", "-countdown", "-"}));
}

TEST(PreTokenizer, SplitAtString) {
  Json step = splitStep("");
  step["pattern"] = {{"String", "a.b"}};
  EXPECT_EQ(piecesOf({step}, "xa.bya+b"), (Parts{"x", "a.b", "ya+b"}));
}

TEST(PreTokenizer, EveryStepSeesEveryPiece) {
  // The second step cuts what the first one matched.
  EXPECT_EQ(piecesOf({splitStep("[a-z\u00E9]+"), splitStep("[a-z]+")},
                     "1h\u00E9llo2"),
            (Parts{"1", "h", "\u00E9", "llo", "2"}));
  // Anchors are about the piece, not the text.
  EXPECT_EQ(piecesOf({splitStep("\n"), splitStep("\\s+$")}, "a  \nb "),
            (Parts{"a", "  ", "\n", "b", " "}));
}

TEST(PreTokenizer, Digits) {
  auto digits = [](bool individual, const std::string &text) {
    return piecesOf({{{"type", "Digits"}, {"individual_digits", individual}}},
                    text);
  };
  EXPECT_EQ(digits(true, "a12\u0661\u00BDb"),
            (Parts{"a", "1", "2", "\u0661", "\u00BD", "b"}));
  EXPECT_EQ(digits(false, "a12\u0661\u00BDb"),
            (Parts{"a", "12\u0661\u00BD", "b"}));
}

TEST(PreTokenizer, PunctuationAndWhitespace) {
  EXPECT_EQ(piecesOf({{{"type", "Punctuation"}}}, "a+b\u3002\u00A9!"),
            (Parts{"a", "+", "b", "\u3002", "\u00A9", "!"}));
  EXPECT_EQ(
      piecesOf({{{"type", "Punctuation"}, {"behavior", "Contiguous"}}}, "a+-b"),
      (Parts{"a", "+-", "b"}));
  EXPECT_EQ(piecesOf({{{"type", "Whitespace"}}}, " ab, c\u3000d"),
            (Parts{"ab", ",", "c", "d"}));
  EXPECT_EQ(piecesOf({{{"type", "WhitespaceSplit"}}}, " ab, c\u3000d"),
            (Parts{"ab,", "c", "d"}));
}

TEST(PreTokenizer, ByteLevelOptions) {
  auto tokens = [](bool prefix, bool regex, const std::string &text) {
    Json file = byteTokenizer();
    file["pre_tokenizer"]["add_prefix_space"] = prefix;
    file["pre_tokenizer"]["use_regex"] = regex;
    text::RegexScratch scratch;
    text::Pieces pieces =
        text::PreTokenizer::fromJson(file["pre_tokenizer"]).run(text, scratch);
    Parts parts;
    for (text::ByteRange range : pieces.ranges)
      parts.push_back(pieces.text.substr(range.begin, range.end - range.begin));
    return parts;
  };
  EXPECT_EQ(tokens(false, false, "a b\n"), (Parts{"a\u0120b\u010A"}));
  EXPECT_EQ(tokens(true, false, "a"), (Parts{"\u0120a"}));
  EXPECT_EQ(tokens(true, false, " a"), (Parts{"\u0120a"}));
  EXPECT_EQ(tokens(true, false, ""), (Parts{}));
  EXPECT_EQ(tokens(false, true, "I'll go  42x!? \n"),
            (Parts{"I", "'ll", "\u0120go", "\u0120", "\u012042", "x", "!?",
                   "\u0120\u010A"}));
}

TEST(PreTokenizer, ByteSymbolsAreABijection) {
  for (unsigned byte = 0; byte < 256; ++byte) {
    std::string symbol = byteSymbol(byte);
    EXPECT_EQ(text::byteLevelDecode(symbol),
              std::string(1, static_cast<char>(byte)));
  }
  // A token with any other character stands for itself.
  EXPECT_EQ(text::byteLevelDecode("\u0120\uFF5C"), "\u0120\uFF5C");
  EXPECT_EQ(text::byteLevelDecode("\u0144"), "\u0144");
}

TEST(PreTokenizer, RefusesByName) {
  auto message = [](const Json &pre) {
    Json file = byteTokenizer();
    file["pre_tokenizer"] = pre;
    Status status = buildError(file);
    EXPECT_FALSE(status.ok());
    return status.message();
  };
  EXPECT_EQ(message({{"type", "Metaspace"}}),
            "pre_tokenizer: type 'Metaspace' is not supported");
  EXPECT_EQ(message(nullptr),
            "pre_tokenizer: expected exactly one ByteLevel step, found none");
  EXPECT_EQ(message({{"type", "Digits"}}),
            "pre_tokenizer: expected exactly one ByteLevel step, found 0");
  EXPECT_EQ(message({{"type", 3}}), "'type': expected a string, found number");
  EXPECT_EQ(message(Json::array()),
            "'pre_tokenizer': expected an object, found array");
  EXPECT_EQ(message(splitStep("a", "isolated")),
            "pre_tokenizer: expected a behavior out of Removed, Isolated, "
            "MergedWithPrevious, MergedWithNext and Contiguous, found "
            "'isolated'");
  EXPECT_EQ(message(splitStep("\\bx")),
            "regular expression: the escape '\\b' is not supported (at byte "
            "0)");
  Json nested = {{"type", "ByteLevel"}};
  for (int i = 0; i < 20; ++i)
    nested = {{"type", "Sequence"}, {"pretokenizers", {nested}}};
  EXPECT_EQ(message(nested), "pre_tokenizer: sequences nested deeper than 8 "
                             "are not supported");
}
