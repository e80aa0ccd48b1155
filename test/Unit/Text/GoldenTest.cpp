//===- GoldenTest.cpp - ids of the reference tokenizer --------------------===//
//
// Part of dsv2, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// test/Oracle/make_tokenizer_goldens.py says what the golden files hold.
//
//===----------------------------------------------------------------------===//

#include "PreTokenizer.h"
#include "TestTokenizers.h"
#include "dsv2rt/text/ChatTemplate.h"
#include "dsv2rt/text/IncrementalDecoder.h"

using namespace dsv2rt;
using namespace dsv2rt::test;

namespace {
struct Golden {
  const char *tokenizer;
  const char *ids;
};

class TokenizerGolden : public testing::TestWithParam<Golden> {
protected:
  void SetUp() override {
    source = readSourceFile(GetParam().tokenizer);
    golden = Json::parse(readSourceFile(GetParam().ids));
    corpus = readSourceFile("test/Fixtures/tokenizer/corpus.txt");
    Expected<Tokenizer> built = Tokenizer::fromJson(source);
    ASSERT_TRUE(built.ok()) << built.status().message();
    tokenizer.emplace(built.value());
  }

  std::string source;
  Json golden;
  std::string corpus;
  std::optional<Tokenizer> tokenizer;
};
} // namespace

TEST_P(TokenizerGolden, F057_WholeCorpus) {
  Ids expected = golden["whole"];
  ASSERT_GT(expected.size(), 1000u);
  Ids ids = encodePlain(*tokenizer, corpus);
  EXPECT_EQ(ids, expected);
  EXPECT_EQ(decode(*tokenizer, ids), corpus);
}

TEST_P(TokenizerGolden, F057_Lines) {
  size_t begin = 0;
  size_t number = 0;
  for (const Json &expected : golden["lines"]) {
    ASSERT_LE(begin, corpus.size());
    size_t end = std::min(corpus.find('\n', begin), corpus.size());
    std::string line = corpus.substr(begin, end - begin);
    EXPECT_EQ(encodePlain(*tokenizer, line), expected.get<Ids>())
        << "line " << number << ": " << line;
    begin = end + 1;
    ++number;
  }
  EXPECT_EQ(number, golden["line_count"]);
  EXPECT_EQ(begin, corpus.size() + 1);
}

TEST_P(TokenizerGolden, F057_Cases) {
  Json file = Json::parse(source);
  text::PreTokenizer pre = text::PreTokenizer::fromJson(file["pre_tokenizer"]);
  text::RegexScratch scratch;
  ASSERT_GT(golden["cases"].size(), 20u);
  for (const Json &entry : golden["cases"]) {
    std::string text = entry["text"];
    EncodeOptions options;
    options.addBos = entry["add_special_tokens"].get<bool>();
    options.parseSpecial = true;
    Ids expected = entry["ids"];
    // The one rule that differs from the reference: no second beginning token.
    if (*options.addBos && text.rfind(bosText, 0) == 0) {
      ASSERT_EQ(expected[0], expected[1]);
      expected.erase(expected.begin());
    }
    Ids ids = encode(*tokenizer, text, options);
    EXPECT_EQ(ids, expected) << text;
    if (ids.size() == entry["tokens"].size()) {
      for (size_t i = 0; i < ids.size(); ++i)
        EXPECT_EQ(tokenizer->idToToken(ids[i]), entry["tokens"][i]);
    }
    if (!entry.contains("pieces"))
      continue;
    std::vector<std::string> pieces;
    text::Pieces made = pre.run(text, scratch);
    for (text::ByteRange range : made.ranges)
      pieces.push_back(made.text.substr(range.begin, range.end - range.begin));
    EXPECT_EQ(pieces, entry["pieces"].get<std::vector<std::string>>()) << text;
  }
}

TEST_P(TokenizerGolden, F056_RoundTrip) {
  const std::string texts[] = {"hello world",
                               "def f(n):\n    if n < 2:\n        return n",
                               "theorem (a b : \u2115)",
                               "   ",
                               "\t\ta\t",
                               "a\r\nb\r\n",
                               " \u00A0\u2028\u3000 "};
  for (const std::string &text : texts)
    EXPECT_EQ(decode(*tokenizer, encodePlain(*tokenizer, text)), text);
}

TEST_P(TokenizerGolden, F059_CorpusStreamsAsItDecodes) {
  IncrementalDecoder decoder(*tokenizer);
  std::string text;
  for (int32_t id : golden["whole"].get<Ids>()) {
    Expected<std::string> piece = decoder.push(id);
    ASSERT_TRUE(piece.ok());
    EXPECT_FALSE(findInvalidUtf8(piece.value()));
    text += piece.value();
  }
  EXPECT_EQ(text + decoder.finish(), corpus);
}

TEST_P(TokenizerGolden, F061_SpecialTokensInUserText) {
  for (const Json &entry : golden["cases"]) {
    std::string text = entry["text"];
    Ids ids = encodePlain(*tokenizer, text);
    for (int32_t id : ids)
      EXPECT_FALSE(tokenizer->isControl(id)) << text;
    EXPECT_EQ(decode(*tokenizer, ids), text);
  }
}

TEST_P(TokenizerGolden, LongTextTakesNoTime) {
  // Runs of one kind of character, each longer than any real text.
  for (const char *unit :
       {"a", " ", "\n", "1", "!", "\u4E16", "\u00E9", "a "}) {
    std::string text;
    while (text.size() < (1 << 19))
      text += unit;
    // Makes `\s+$` fail behind the run.
    text += "\u4E16";
    Ids ids = encodePlain(*tokenizer, text);
    EXPECT_EQ(decode(*tokenizer, ids), text);
  }
}

INSTANTIATE_TEST_SUITE_P(
    Tokenizers, TokenizerGolden,
    testing::Values(Golden{"test/Fixtures/tokenizer/family.json",
                           "test/Fixtures/tokenizer/corpus.family.ids.json"},
                    Golden{"models/tiny/tokenizer.json",
                           "test/Fixtures/tokenizer/corpus.tiny.ids.json"}),
    [](const testing::TestParamInfo<Golden> &info) {
      return info.index == 0 ? "Family" : "Tiny";
    });

TEST(TinyModel, FolderSaysItIsV2) {
  Expected<Tokenizer> tokenizer = Tokenizer::fromDirectory(
      std::string(DSV2_TEST_SOURCE_DIR) + "/models/tiny");
  ASSERT_TRUE(tokenizer.ok()) << tokenizer.status().message();
  EXPECT_EQ(tokenizer.value().idToToken(*tokenizer.value().bosId()), bosText);
  EXPECT_EQ(tokenizer.value().idToToken(*tokenizer.value().eosId()), eosText);
  EXPECT_TRUE(tokenizer.value().addsBos());
  EXPECT_NE(tokenizer.value().chatTemplate(), "");
  EXPECT_EQ(detectChatFormat(tokenizer.value()), ChatFormat::V2);
}
