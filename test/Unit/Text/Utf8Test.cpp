//===- Utf8Test.cpp - validation and lossy decoding of UTF-8 --------------===//
//
// Part of dsv2, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "dsv2rt/text/Utf8.h"

#include <gtest/gtest.h>

using namespace dsv2rt;

static std::string lossy(std::string_view bytes) {
  std::string out;
  Utf8Stream stream;
  stream.append(bytes, out);
  stream.finish(out);
  return out;
}

TEST(Utf8, AcceptsExactlyTheScalarValues) {
  for (uint32_t codePoint = 0; codePoint < 0x110000; ++codePoint) {
    if (codePoint == 0xD800)
      codePoint = 0xE000;
    std::string text;
    appendUtf8(codePoint, text);
    ASSERT_FALSE(findInvalidUtf8(text)) << std::hex << codePoint;
    size_t position = 0;
    ASSERT_EQ(nextCodePoint(text, position), codePoint);
    ASSERT_EQ(position, text.size());
    ASSERT_EQ(lossy(text), text);
    // Cut short it is invalid from its first byte on.
    for (size_t cut = 1; cut < text.size(); ++cut)
      ASSERT_EQ(findInvalidUtf8(text.substr(0, cut)), size_t{0});
  }
}

TEST(Utf8, RejectsIllFormedSequences) {
  const char *bad[] = {"\x80",
                       "\xBF",
                       "\xC0\xAF",
                       "\xC1\xBF",
                       "\xE0\x9F\xBF",
                       "\xED\xA0\x80",
                       "\xED\xBF\xBF",
                       "\xF0\x8F\xBF\xBF",
                       "\xF4\x90\x80\x80",
                       "\xF5\x80\x80\x80",
                       "\xFF",
                       "\xE4\xBD",
                       "\xC4\xE3"};
  for (const char *text : bad) {
    EXPECT_EQ(findInvalidUtf8(text), size_t{0});
    EXPECT_EQ(findInvalidUtf8(std::string("ab\u00E9") + text), size_t{4});
  }
}

TEST(Utf8, ReplacesMaximalSubparts) {
  // Unicode 15, table 3-8 and its neighbours.
  const std::string r = "\uFFFD";
  EXPECT_EQ(lossy("\xC0\xAF\xE0\x80\xBF\xF0\x81\x82\x41"),
            r + r + r + r + r + r + r + r + "A");
  EXPECT_EQ(lossy("\xED\xA0\x80\xED\xBF\xBF\xED\xAF\x41"),
            r + r + r + r + r + r + r + r + "A");
  EXPECT_EQ(lossy("\xF4\x91\x92\x93\xFF\x41\x80\xBF\x42"),
            r + r + r + r + r + "A" + r + r + "B");
  EXPECT_EQ(lossy("\xE1\x80\xE2\xF0\x91\x92\xF1\xBF\x41"), r + r + r + r + "A");
}

TEST(Utf8, StreamDoesNotDependOnSplits) {
  const std::string bytes = "a\xC3\xA9\xE4\xB8\x96\xF0\x9F\x98\x80\xE4\xB8z"
                            "\xF0\x9F\xFF\xC3";
  const std::string whole = lossy(bytes);
  for (size_t i = 0; i <= bytes.size(); ++i)
    for (size_t j = i; j <= bytes.size(); ++j) {
      std::string out;
      Utf8Stream stream;
      stream.append(std::string_view(bytes).substr(0, i), out);
      EXPECT_FALSE(findInvalidUtf8(out));
      stream.append(std::string_view(bytes).substr(i, j - i), out);
      stream.append(std::string_view(bytes).substr(j), out);
      stream.finish(out);
      ASSERT_EQ(out, whole) << i << " " << j;
    }
}

TEST(Utf8, FinishMakesTheStreamReady) {
  Utf8Stream stream;
  std::string out;
  stream.append("\xE4\xB8", out);
  EXPECT_TRUE(stream.pending());
  EXPECT_EQ(out, "");
  stream.finish(out);
  EXPECT_FALSE(stream.pending());
  stream.append("\x96", out);
  stream.append("A", out);
  EXPECT_EQ(out, "\uFFFD\uFFFD"
                 "A");
}
