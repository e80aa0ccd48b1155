//===- TestTokenizers.cpp - small tokenizers for tests --------------------===//
//
// Part of dsv2, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "TestTokenizers.h"
#include "PreTokenizer.h"

#include <cstdlib>
#include <fstream>
#include <iostream>
#include <sstream>

using namespace dsv2rt;
using namespace dsv2rt::test;

std::string test::byteSymbol(unsigned byte) {
  // Latin-1 where it is visible; the rest are counted up from U+0100: 00-20
  // give 100-120, 7F-A0 give 121-142, AD gives 143.
  unsigned codePoint = byte;
  if (byte <= 0x20)
    codePoint = 0x100 + byte;
  else if (byte >= 0x7F && byte <= 0xA0)
    codePoint = 0x121 + (byte - 0x7F);
  else if (byte == 0xAD)
    codePoint = 0x143;
  if (codePoint < 0x80)
    return std::string(1, static_cast<char>(codePoint));
  return {static_cast<char>(0xC0 | (codePoint >> 6)),
          static_cast<char>(0x80 | (codePoint & 0x3F))};
}

Json test::byteTokenizer() {
  Json vocab = Json::object();
  for (unsigned byte = 0; byte < 256; ++byte)
    vocab[byteSymbol(byte)] = byte;
  auto added = [](int id, const std::string &content, bool special) {
    return Json{{"id", id},           {"content", content},
                {"special", special}, {"single_word", false},
                {"lstrip", false},    {"rstrip", false},
                {"normalized", false}};
  };
  return Json{
      {"version", "1.0"},
      {"truncation", nullptr},
      {"padding", nullptr},
      {"added_tokens",
       {added(256, bosText, true), added(257, eosText, true),
        added(258, userText, false), added(259, assistantText, false)}},
      {"normalizer", {{"type", "Sequence"}, {"normalizers", Json::array()}}},
      {"pre_tokenizer",
       {{"type", "ByteLevel"},
        {"add_prefix_space", false},
        {"trim_offsets", true},
        {"use_regex", false}}},
      {"post_processor", nullptr},
      {"decoder", {{"type", "ByteLevel"}}},
      {"model",
       {{"type", "BPE"},
        {"dropout", nullptr},
        {"unk_token", nullptr},
        {"vocab", vocab},
        {"merges", Json::array()}}}};
}

void test::addMerges(Json &file, const std::vector<Json> &merges) {
  int32_t next = 260;
  for (const auto &id : file["model"]["vocab"])
    next = std::max(next, id.get<int32_t>() + 1);
  for (const Json &merge : merges) {
    std::string left, right;
    if (merge.is_array()) {
      left = merge[0];
      right = merge[1];
    } else {
      std::string both = merge;
      left = both.substr(0, both.find(' '));
      right = both.substr(both.find(' ') + 1);
    }
    file["model"]["merges"].push_back(merge);
    if (!file["model"]["vocab"].contains(left + right))
      file["model"]["vocab"][left + right] = next++;
  }
}

void test::setSteps(Json &file, const std::vector<Json> &steps) {
  Json list = Json::array();
  for (const Json &step : steps)
    list.push_back(step);
  list.push_back({{"type", "ByteLevel"},
                  {"add_prefix_space", false},
                  {"use_regex", false}});
  file["pre_tokenizer"] = {{"type", "Sequence"}, {"pretokenizers", list}};
}

Json test::splitStep(const std::string &regex, const std::string &behavior,
                     bool invert) {
  return {{"type", "Split"},
          {"pattern", {{"Regex", regex}}},
          {"behavior", behavior},
          {"invert", invert}};
}

static Expected<Tokenizer> tryBuild(const Json &file, const Json &config) {
  return Tokenizer::fromJson(file.dump(),
                             config.is_null() ? std::string() : config.dump());
}

Tokenizer test::build(const Json &file, const Json &config) {
  Expected<Tokenizer> tokenizer = tryBuild(file, config);
  if (!tokenizer.ok()) {
    // There is nothing to hand back, so the program cannot go on.
    std::cerr << "building the tokenizer: " << tokenizer.status().message()
              << "\n";
    std::abort();
  }
  return tokenizer.value();
}

Status test::buildError(const Json &file, const Json &config) {
  return tryBuild(file, config).status();
}

std::vector<std::string> test::piecesOf(const std::vector<Json> &steps,
                                        const std::string &text) {
  Json file;
  setSteps(file, steps);
  text::RegexScratch scratch;
  text::Pieces pieces =
      text::PreTokenizer::fromJson(file["pre_tokenizer"]).run(text, scratch);
  std::vector<std::string> result;
  for (text::ByteRange range : pieces.ranges)
    result.push_back(text::byteLevelDecode(
        pieces.text.substr(range.begin, range.end - range.begin)));
  return result;
}

Ids test::encode(const Tokenizer &tokenizer, const std::string &text,
                 EncodeOptions options) {
  Expected<Ids> ids = tokenizer.encode(text, options);
  EXPECT_TRUE(ids.ok()) << ids.status().message();
  return ids.ok() ? ids.value() : Ids{};
}

Ids test::encodePlain(const Tokenizer &tokenizer, const std::string &text,
                      bool parseSpecial) {
  EncodeOptions options;
  options.addBos = false;
  options.parseSpecial = parseSpecial;
  return encode(tokenizer, text, options);
}

std::string test::decode(const Tokenizer &tokenizer, const Ids &ids,
                         bool skipSpecial) {
  Expected<std::string> text = tokenizer.decode(ids, skipSpecial);
  EXPECT_TRUE(text.ok()) << text.status().message();
  return text.ok() ? text.value() : std::string();
}

std::string test::readSourceFile(const std::string &path) {
  std::ifstream stream(std::string(DSV2_TEST_SOURCE_DIR) + "/" + path,
                       std::ios::binary);
  EXPECT_TRUE(stream.good()) << "cannot read " << path;
  std::ostringstream text;
  text << stream.rdbuf();
  return text.str();
}
