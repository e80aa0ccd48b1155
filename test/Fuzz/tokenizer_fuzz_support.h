//===- tokenizer_fuzz_support.h - shared by the text fuzzers ----*- C++ -*-===//
//
// Part of dsv2, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef DSV2_TEST_FUZZ_TOKENIZER_FUZZ_SUPPORT_H
#define DSV2_TEST_FUZZ_TOKENIZER_FUZZ_SUPPORT_H

#include "dsv2rt/text/IncrementalDecoder.h"
#include "dsv2rt/text/Tokenizer.h"
#include "dsv2rt/text/Utf8.h"

#include <array>
#include <cstdio>
#include <cstdlib>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

namespace dsv2rt::fuzz {

/// Stops the fuzzer with the broken promise on stderr.
inline void expect(bool condition, const char *promise) {
  if (condition)
    return;
  std::fprintf(stderr, "broken promise: %s\n", promise);
  std::abort();
}

/// A failure has a code and one line of UTF-8 that fits a terminal.
inline void expectGoodMessage(const Status &status) {
  expect(!status.ok(), "a failure has a code");
  expect(status.code() != StatusCode::Internal, "input is no internal error");
  const std::string &message = status.message();
  expect(!message.empty() && message.size() < 1000, "a message has a sentence");
  expect(!findInvalidUtf8(message), "a message is UTF-8");
  for (char c : message)
    expect(static_cast<unsigned char>(c) >= 0x20 && c != 0x7F,
           "a message holds no control character");
}

/// Streamed text is the text decoded at once, and valid in every piece.
inline void expectStreamEqualsDecode(const Tokenizer &tokenizer,
                                     const std::vector<int32_t> &ids) {
  for (bool skipSpecial : {false, true}) {
    Expected<std::string> whole = tokenizer.decode(ids, skipSpecial);
    expect(whole.ok(), "ids with tokens decode");
    expect(!findInvalidUtf8(whole.value()), "decoded text is UTF-8");
    IncrementalDecoder decoder(tokenizer, skipSpecial);
    std::string text;
    for (int32_t id : ids) {
      Expected<std::string> piece = decoder.push(id);
      expect(piece.ok(), "ids with tokens stream");
      expect(!findInvalidUtf8(piece.value()), "streamed pieces are UTF-8");
      text += piece.value();
    }
    text += decoder.finish();
    expect(text == whole.value(), "streamed text is the decoded text");
  }
}

/// A tokenizer with the family's shape: all bytes, some merges within and
/// across UTF-8 sequences, the family's kinds of split, its control tokens, and
/// one leftover byte symbol as an added token.
inline const Tokenizer &familyTokenizer() {
  using Json = nlohmann::json;
  static const Tokenizer tokenizer = [] {
    Json vocab = Json::object();
    std::array<std::string, 256> symbols;
    uint32_t hidden = 0x100;
    for (uint32_t byte = 0; byte < 256; ++byte) {
      bool visible =
          (byte >= 0x21 && byte <= 0x7E) || (byte >= 0xA1 && byte != 0xAD);
      appendUtf8(visible ? byte : hidden++, symbols[byte]);
      if (byte != 0xFC)
        vocab[symbols[byte]] = byte;
    }
    Json merges = Json::array();
    int next = 300;
    auto merge = [&](const std::string &left, const std::string &right) {
      merges.push_back({left, right});
      vocab.emplace(left + right, next++);
      return left + right;
    };
    std::string run = "a";
    for (int i = 0; i < 4; ++i)
      run = merge(run, run);
    std::string space = symbols[' '];
    merge(space, space);
    merge(space, "h");
    merge("e", "l");
    merge("l", "o");
    merge("el", "lo");
    merge(symbols[0xE4], symbols[0xB8]);
    merge(symbols[0x96], symbols[0xE7]);
    merge(symbols[0xF0], symbols[0x9F]);
    merge(symbols['\r'], symbols['\n']);
    auto split = [](const char *pattern) {
      return Json{{"type", "Split"},
                  {"pattern", {{"Regex", pattern}}},
                  {"behavior", "Isolated"},
                  {"invert", false}};
    };
    Json added = Json::array();
    auto add = [&](int id, const char *content, bool special) {
      added.push_back({{"id", id},
                       {"content", content},
                       {"special", special},
                       {"normalized", !special}});
    };
    add(256, "<\uFF5Cbegin\u2581of\u2581sentence\uFF5C>", true);
    add(257, "<\uFF5Cend\u2581of\u2581sentence\uFF5C>", true);
    add(258, "<\uFF5CUser\uFF5C>", false);
    add(259, "<\uFF5CAssistant\uFF5C>", false);
    add(0xFC, "\u00FC", false);
    Json file = {
        {"added_tokens", added},
        {"pre_tokenizer",
         {{"type", "Sequence"},
          {"pretokenizers",
           {split("[\r\n]"),
            split("\\s?[A-Za-z\u00B5\u00C0-\u00D6\u00D8-\u00F6\u00F8-\u01BA]+"),
            split("\\s?[!-/:-~\uFF01-\uFF0F\uFF1A-\uFF5E\u2018-\u201F"
                  "\u3000-\u3002]+"),
            split("\\s+$"),
            split("[\u4E00-\u9FA5\u0800-\u4E00\uAC00-\uD7FF]+"),
            {{"type", "Digits"}, {"individual_digits", true}},
            {{"type", "ByteLevel"},
             {"add_prefix_space", false},
             {"use_regex", false}}}}}},
        {"decoder", {{"type", "ByteLevel"}}},
        {"model", {{"type", "BPE"}, {"vocab", vocab}, {"merges", merges}}}};
    Expected<Tokenizer> result = Tokenizer::fromJson(file.dump());
    if (!result.ok())
      std::fprintf(stderr, "%s\n", result.status().message().c_str());
    expect(result.ok(), "the fuzzer's own tokenizer loads");
    return result.value();
  }();
  return tokenizer;
}

} // namespace dsv2rt::fuzz

#endif // DSV2_TEST_FUZZ_TOKENIZER_FUZZ_SUPPORT_H
