//===- IncrementalDecoderTest.cpp - streaming token ids to text -----------===//
//
// Part of dsv2, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "dsv2rt/text/IncrementalDecoder.h"
#include "TestTokenizers.h"

#include <random>

using namespace dsv2rt;
using namespace dsv2rt::test;

/// Streams `ids`, checking that every piece is valid UTF-8 by itself.
static std::string stream(const Tokenizer &tokenizer, const Ids &ids,
                          bool skipSpecial = false) {
  IncrementalDecoder decoder(tokenizer, skipSpecial);
  std::string text;
  for (int32_t id : ids) {
    Expected<std::string> piece = decoder.push(id);
    EXPECT_TRUE(piece.ok()) << piece.status().message();
    EXPECT_FALSE(findInvalidUtf8(piece.value()));
    text += piece.value();
  }
  return text + decoder.finish();
}

/// A tokenizer in which any two neighbouring bytes of `text` may be one token,
/// so that every way to cut it into pieces of one and two bytes exists.
static Tokenizer pairTokenizer(const std::string &text) {
  Json file = byteTokenizer();
  std::vector<Json> merges;
  for (size_t i = 0; i + 1 < text.size(); ++i)
    merges.push_back(Json{byteSymbol(static_cast<unsigned char>(text[i])),
                          byteSymbol(static_cast<unsigned char>(text[i + 1]))});
  addMerges(file, merges);
  return build(file);
}

TEST(IncrementalDecoder, F059_EverySplitPoint) {
  const std::string texts[] = {"\U0001F600", "\u4E16\u754C",
                               "\U0001F469\u200D\U0001F469\u200D\U0001F467",
                               "a\u00E9b"};
  for (const std::string &text : texts) {
    Tokenizer tokenizer = pairTokenizer(text);
    auto tokenAt = [&](size_t i, size_t length) {
      std::string token;
      for (size_t k = i; k < i + length; ++k)
        token += byteSymbol(static_cast<unsigned char>(text[k]));
      return *tokenizer.tokenToId(token);
    };
    // Random cuts into one and two bytes, and all single bytes.
    std::mt19937 random(1);
    for (int trial = 0; trial < 200; ++trial) {
      Ids ids;
      for (size_t i = 0; i < text.size();) {
        size_t length =
            trial > 0 && i + 1 < text.size() && random() % 2 ? 2 : 1;
        ids.push_back(tokenAt(i, length));
        i += length;
      }
      EXPECT_EQ(stream(tokenizer, ids), text);
      EXPECT_EQ(stream(tokenizer, ids), decode(tokenizer, ids));
    }
  }
}

TEST(IncrementalDecoder, F059_HoldsWhatIsIncomplete) {
  Tokenizer tokenizer = build(byteTokenizer());
  IncrementalDecoder decoder(tokenizer);
  EXPECT_EQ(decoder.push('a').value(), "a");
  EXPECT_EQ(decoder.push(0xF0).value(), "");
  EXPECT_EQ(decoder.push(0x9F).value(), "");
  EXPECT_EQ(decoder.push(0x98).value(), "");
  EXPECT_EQ(decoder.push(0x80).value(), "\U0001F600");
  EXPECT_EQ(decoder.finish(), "");
  // A new sequence starts with nothing held.
  EXPECT_EQ(decoder.push(0xE4).value(), "");
  EXPECT_EQ(decoder.finish(), "\uFFFD");
  EXPECT_EQ(decoder.push('b').value(), "b");
}

TEST(IncrementalDecoder, F059_AnyIdsStreamAsTheyDecode) {
  Tokenizer tokenizer = build(byteTokenizer());
  std::mt19937 random(7);
  // Bytes around the limits of UTF-8, and control tokens between them.
  const Ids interesting = {'a',  0x80, 0x8F, 0x90, 0x9F, 0xA0, 0xBF,
                           0xC1, 0xC2, 0xDF, 0xE0, 0xED, 0xEF, 0xF0,
                           0xF4, 0xF5, 0xFF, 256,  257,  258};
  for (int trial = 0; trial < 5000; ++trial) {
    Ids ids;
    for (size_t n = random() % 12; n > 0; --n)
      ids.push_back(interesting[random() % interesting.size()]);
    for (bool skip : {false, true})
      ASSERT_EQ(stream(tokenizer, ids, skip), decode(tokenizer, ids, skip));
  }
}

TEST(IncrementalDecoder, BadIdsLeaveTheStreamAlone) {
  Tokenizer tokenizer = build(byteTokenizer());
  IncrementalDecoder decoder(tokenizer);
  EXPECT_EQ(decoder.push(0xC3).value(), "");
  EXPECT_EQ(decoder.push(100000).status().code(), StatusCode::InvalidArgument);
  EXPECT_EQ(decoder.push(0xA9).value(), "\u00E9");
}
