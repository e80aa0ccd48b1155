//===- TokenizerTest.cpp - text to token ids and back ---------------------===//
//
// Part of dsv2, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "TestTokenizers.h"
#include "dsv2rt/text/Utf8.h"

#include <algorithm>
#include <chrono>
#include <thread>

using namespace dsv2rt;
using namespace dsv2rt::test;

static constexpr int32_t bosId = 256;
static constexpr int32_t eosId = 257;

/// The ids of `text` when every byte is a token.
static Ids bytesOf(const std::string &text) {
  Ids ids;
  for (char c : text)
    ids.push_back(static_cast<unsigned char>(c));
  return ids;
}

//===----------------------------------------------------------------------===//
// Merging
//===----------------------------------------------------------------------===//

TEST(Tokenizer, MergesLowestRankFirst) {
  Json file = byteTokenizer();
  addMerges(file, {"b c", "a b", "bc d"});
  Tokenizer tokenizer = build(file);
  int32_t bc = *tokenizer.tokenToId("bc");
  int32_t ab = *tokenizer.tokenToId("ab");
  int32_t bcd = *tokenizer.tokenToId("bcd");
  EXPECT_EQ(encodePlain(tokenizer, "abc"), (Ids{'a', bc}));
  EXPECT_EQ(encodePlain(tokenizer, "abd"), (Ids{ab, 'd'}));
  EXPECT_EQ(encodePlain(tokenizer, "abcd"), (Ids{'a', bcd}));
}

TEST(Tokenizer, MergesLeftmostFirstAmongEquals) {
  Json file = byteTokenizer();
  addMerges(file, {"a a", "aa aa"});
  Tokenizer tokenizer = build(file);
  int32_t aa = *tokenizer.tokenToId("aa");
  int32_t aaaa = *tokenizer.tokenToId("aaaa");
  EXPECT_EQ(encodePlain(tokenizer, "aaa"), (Ids{aa, 'a'}));
  EXPECT_EQ(encodePlain(tokenizer, "aaaaaaa"), (Ids{aaaa, aa, 'a'}));
}

TEST(Tokenizer, BothSpellingsOfMergesAreTheSame) {
  Json spaced = byteTokenizer();
  addMerges(spaced, {"b c", "a bc", "\u0120 abc"});
  Json pairs = byteTokenizer();
  addMerges(pairs, {Json{"b", "c"}, Json{"a", "bc"}, Json{"\u0120", "abc"}});
  const std::string text = "xabc abc bcabc";
  EXPECT_EQ(encodePlain(build(spaced), text), encodePlain(build(pairs), text));
  EXPECT_LT(encodePlain(build(pairs), text).size(), text.size());
}

TEST(Tokenizer, LaterMergeOfAPairWins) {
  // As in the reference: the rank of "a b" is the later one, behind "b c".
  Json file = byteTokenizer();
  addMerges(file, {"a b", "b c", "a b"});
  Tokenizer tokenizer = build(file);
  EXPECT_EQ(encodePlain(tokenizer, "abc"),
            (Ids{'a', *tokenizer.tokenToId("bc")}));
}

TEST(Tokenizer, IgnoreMergesTakesWholePieces) {
  Json file = byteTokenizer();
  file["model"]["vocab"]["xyz"] = 300;
  addMerges(file, {"x y"});
  EXPECT_EQ(encodePlain(build(file), "xyz"), (Ids{301, 'z'}));
  file["model"]["ignore_merges"] = true;
  EXPECT_EQ(encodePlain(build(file), "xyz"), (Ids{300}));
  EXPECT_EQ(encodePlain(build(file), "xyzz"), (Ids{301, 'z', 'z'}));
}

TEST(Tokenizer, UnknownTokenAndFusing) {
  Json file = byteTokenizer();
  file["model"]["vocab"].erase("q");
  Status status = build(file).encode("aq").status();
  EXPECT_EQ(status.code(), StatusCode::Unsupported);
  EXPECT_EQ(status.message(),
            "the vocabulary has no token for the symbol U+0071");
  file["model"]["vocab"]["<unk>"] = 300;
  file["model"]["unk_token"] = "<unk>";
  EXPECT_EQ(encodePlain(build(file), "aqqbq"), (Ids{'a', 300, 300, 'b', 300}));
  file["model"]["fuse_unk"] = true;
  EXPECT_EQ(encodePlain(build(file), "aqqbq"), (Ids{'a', 300, 'b', 300}));
}

TEST(Tokenizer, LongPiecesTakeNoTime) {
  Json file = byteTokenizer();
  std::vector<Json> merges;
  std::string token = "a";
  for (int i = 0; i < 8; ++i, token += token)
    merges.push_back(token + " " + token);
  addMerges(file, merges);
  Tokenizer tokenizer = build(file);
  auto start = std::chrono::steady_clock::now();
  Ids ids = encodePlain(tokenizer, std::string(1 << 20, 'a'));
  std::chrono::duration<double> taken =
      std::chrono::steady_clock::now() - start;
  EXPECT_EQ(ids, Ids(4096, *tokenizer.tokenToId(token)));
  // A quadratic algorithm needs minutes.
  EXPECT_LT(taken.count(), 20);
}

//===----------------------------------------------------------------------===//
// What the file says
//===----------------------------------------------------------------------===//

TEST(Tokenizer, F056_ClassNameIsIgnored) {
  const std::string texts[] = {"hello world",
                               "def f(n):\n    if n < 2:\n        return n",
                               "theorem (a b : \u2115)",
                               "   ",
                               "\t\t",
                               "a\r\nb\r\n"};
  for (const char *name : {"LlamaTokenizer", "LlamaTokenizerFast",
                           "PreTrainedTokenizerFast", "no such class"}) {
    Tokenizer tokenizer =
        build(byteTokenizer(), {{"tokenizer_class", name}, {"legacy", true}});
    for (const std::string &text : texts) {
      EXPECT_EQ(encodePlain(tokenizer, text), bytesOf(text)) << name;
      EXPECT_EQ(decode(tokenizer, encodePlain(tokenizer, text)), text);
    }
  }
}

TEST(Tokenizer, RefusesByName) {
  auto expectRefusal = [](const char *pointer, const Json &value,
                          const char *message, StatusCode code) {
    Json file = byteTokenizer();
    file[Json::json_pointer(pointer)] = value;
    Status status = buildError(file);
    EXPECT_EQ(status.code(), code) << pointer;
    EXPECT_EQ(status.message(), message) << pointer;
  };
  auto unsupported = StatusCode::Unsupported;
  auto corrupt = StatusCode::CorruptData;
  expectRefusal("/model/type", "WordPiece",
                "model: type 'WordPiece' is not supported, expected 'BPE'",
                unsupported);
  expectRefusal("/model/byte_fallback", true,
                "model: 'byte_fallback' is not supported", unsupported);
  expectRefusal("/model/dropout", 0.1, "model: 'dropout' is not supported",
                unsupported);
  expectRefusal("/model/end_of_word_suffix", "</w>",
                "model: 'end_of_word_suffix' is not supported", unsupported);
  expectRefusal("/model/continuing_subword_prefix", "##",
                "model: 'continuing_subword_prefix' is not supported",
                unsupported);
  expectRefusal("/model/unk_token", "<unk>",
                "model: 'unk_token' '<unk>' is not in the vocabulary", corrupt);
  expectRefusal("/normalizer", {{"type", "NFC"}},
                "normalizer: type 'NFC' is not supported, expected none",
                unsupported);
  expectRefusal("/normalizer/normalizers", {{{"type", "Prepend"}}},
                "normalizer: type 'Prepend' is not supported, expected none",
                unsupported);
  expectRefusal("/decoder", nullptr,
                "decoder: expected type 'ByteLevel', found none", unsupported);
  expectRefusal("/decoder/type", "Metaspace",
                "decoder: type 'Metaspace' is not supported, expected "
                "'ByteLevel'",
                unsupported);
  expectRefusal("/post_processor", {{"type", "BertProcessing"}},
                "post_processor: type 'BertProcessing' is not supported",
                unsupported);
  expectRefusal("/model/merges", {"a"},
                "'merges[0]': expected two tokens with one space between",
                corrupt);
  expectRefusal("/model/merges", {"a b c"},
                "'merges[0]': expected two tokens with one space between",
                corrupt);
  expectRefusal("/model/merges", {{"a", "b", "c"}},
                "'merges[0]': expected a string, found array", corrupt);
  expectRefusal("/model/merges", {"a b"},
                "'merges[0]': token 'ab' is not in the vocabulary", corrupt);
  expectRefusal("/model/vocab/a", -1,
                "model: expected the id of token 'a' to be a number from 0 to "
                "2147483647",
                corrupt);
  expectRefusal("/model/vocab/a", 98, "token id 98 belongs to both 'a' and 'b'",
                corrupt);
  expectRefusal("/model/vocab/a", 2000000000,
                "token id 2000000000 is out of proportion to 260 tokens",
                corrupt);
  expectRefusal(
      "/added_tokens/0/id", 65,
      ("token id 65 belongs to both '" + bosText + "' and 'A'").c_str(),
      corrupt);
  expectRefusal("/added_tokens/0/content", "A",
                "token 'A' has both id 65 and id 256", corrupt);
  expectRefusal("/added_tokens/0/content", "",
                "added_tokens: token 256 has an empty content", corrupt);
  expectRefusal("/added_tokens/0/special", 1,
                "'special': expected true or false, found number", corrupt);
  expectRefusal("/added_tokens", 1,
                "'added_tokens': expected a list, found number", corrupt);
  expectRefusal("/model", nullptr, "tokenizer.json: expected a member 'model'",
                corrupt);
}

TEST(Tokenizer, MessagesAreOneLine) {
  Json file = byteTokenizer();
  file["model"]["unk_token"] = "a\nb\x01" + std::string(500, 'x');
  std::string message = buildError(file).message();
  EXPECT_NE(message.find("'a\\x0Ab\\x01xxx"), std::string::npos) << message;
  EXPECT_LT(message.size(), 200u);
}

TEST(Tokenizer, RejectsWhatIsNotJson) {
  for (const char *text : {"", "{", "[1,", "{\"a\":\"\xFF\"}", "\xFF\xFE{",
                           "nul", "{\"a\":\"\\ud800\"}"}) {
    Status status = Tokenizer::fromJson(text).status();
    EXPECT_EQ(status.code(), StatusCode::CorruptData) << text;
    EXPECT_EQ(status.message().rfind("tokenizer.json is not valid JSON: error "
                                     "at byte ",
                                     0),
              0u)
        << status.message();
  }
  EXPECT_EQ(Tokenizer::fromJson("{\"a\":-1e999}").status().message(),
            "tokenizer.json is not valid JSON: a number is out of range");
  EXPECT_EQ(Tokenizer::fromJson("[]").status().message(),
            "'tokenizer.json': expected an object, found array");
  EXPECT_EQ(Tokenizer::fromJson(byteTokenizer().dump(), "{").status().message(),
            "tokenizer_config.json is not valid JSON: error at byte 2");
}

TEST(Tokenizer, GapsInTheVocabularyAreNotTokens) {
  Json file = byteTokenizer();
  file["model"]["vocab"]["zz"] = 500;
  Tokenizer tokenizer = build(file);
  EXPECT_EQ(tokenizer.vocabularySize(), 501);
  EXPECT_EQ(tokenizer.idToToken(499), std::nullopt);
  EXPECT_EQ(tokenizer.idToToken(500), "zz");
  EXPECT_FALSE(tokenizer.decode({499}).ok());
}

//===----------------------------------------------------------------------===//
// Added tokens
//===----------------------------------------------------------------------===//

/// A tokenizer with one more added token, id 300.
static Tokenizer withAdded(const std::string &content,
                           const std::vector<std::string> &flags) {
  Json file = byteTokenizer();
  Json token = {{"id", 300}, {"content", content}};
  for (const char *flag :
       {"special", "single_word", "lstrip", "rstrip", "normalized"})
    token[flag] = std::find(flags.begin(), flags.end(), flag) != flags.end();
  file["added_tokens"].push_back(token);
  return build(file);
}

TEST(Tokenizer, AddedTokensMatchLongestFirst) {
  Json file = byteTokenizer();
  int id = 300;
  for (const char *content : {"ab", "abcd", "bcdef"})
    file["added_tokens"].push_back({{"id", id++}, {"content", content}});
  Tokenizer tokenizer = build(file);
  EXPECT_EQ(encodePlain(tokenizer, "xabcdefab"),
            (Ids{'x', 301, 'e', 'f', 300}));
  EXPECT_EQ(encodePlain(tokenizer, "abcx"), (Ids{300, 'c', 'x'}));
}

TEST(Tokenizer, AddedTokenFlags) {
  EXPECT_EQ(encodePlain(withAdded("yes", {}), "ayes yes"),
            (Ids{'a', 300, ' ', 300}));
  Tokenizer word = withAdded("yes", {"single_word"});
  EXPECT_EQ(encodePlain(word, "ayes yes"), (Ids{'a', 'y', 'e', 's', ' ', 300}));
  EXPECT_EQ(encodePlain(word, "yes-yes"), (Ids{300, '-', 300}));
  // A combining mark is part of a word.
  EXPECT_EQ(encodePlain(word, "yes\u0301"), bytesOf("yes\u0301"));
  EXPECT_EQ(encodePlain(withAdded("mm", {"lstrip"}), "a \t\u3000mm b"),
            (Ids{'a', 300, ' ', 'b'}));
  EXPECT_EQ(encodePlain(withAdded("mm", {"rstrip"}), "a mm \u2003\nb"),
            (Ids{'a', ' ', 300, 'b'}));
  // White space between two such tokens belongs to the first.
  EXPECT_EQ(encodePlain(withAdded("mm", {"lstrip", "rstrip"}), " mm  mm "),
            (Ids{300, 300}));
}

TEST(Tokenizer, NormalizedTokensComeSecond) {
  Json file = byteTokenizer();
  file["added_tokens"].push_back(
      {{"id", 300}, {"content", "abcd"}, {"normalized", true}});
  file["added_tokens"].push_back(
      {{"id", 301}, {"content", "cd"}, {"normalized", false}});
  EXPECT_EQ(encodePlain(build(file), "abcd"), (Ids{'a', 'b', 301}));
}

TEST(Tokenizer, F057_LeftoverByteSymbolsAsAddedTokens) {
  // The family's files list the 13 byte symbols that valid UTF-8 never needs
  // as added tokens: the letter u-umlaut in a text is then one token, and it
  // has to come back as that letter.
  Json file = byteTokenizer();
  file["model"]["vocab"].erase("\u00FC");
  file["added_tokens"].push_back({{"id", 0xFC},
                                  {"content", "\u00FC"},
                                  {"normalized", true},
                                  {"special", false}});
  Tokenizer tokenizer = build(file);
  Ids ids = encodePlain(tokenizer, "F\u00FChrer");
  EXPECT_EQ(ids, (Ids{'F', 0xFC, 'h', 'r', 'e', 'r'}));
  EXPECT_EQ(decode(tokenizer, ids), "F\u00FChrer");
}

//===----------------------------------------------------------------------===//
// Control tokens and the beginning of a sequence
//===----------------------------------------------------------------------===//

static long countControls(const Tokenizer &tokenizer, const Ids &ids) {
  return std::count_if(ids.begin(), ids.end(),
                       [&](int32_t id) { return tokenizer.isControl(id); });
}

TEST(Tokenizer, F061_UserTextYieldsNoControlTokens) {
  Tokenizer tokenizer = build(byteTokenizer());
  const std::string texts[] = {"hi" + eosText + "User: x", bosText, userText,
                               assistantText + userText,
                               "<" + eosText + eosText + ">"};
  for (const std::string &text : texts) {
    Ids ids = encodePlain(tokenizer, text);
    EXPECT_EQ(countControls(tokenizer, ids), 0) << text;
    EXPECT_EQ(ids, bytesOf(text));
    EXPECT_EQ(decode(tokenizer, ids), text);
    Ids parsed = encodePlain(tokenizer, text, /*parseSpecial=*/true);
    EXPECT_GT(countControls(tokenizer, parsed), 0) << text;
    EXPECT_EQ(decode(tokenizer, parsed), text);
  }
}

TEST(Tokenizer, F061_MergesCannotMakeControlTokens) {
  // A control token that is also a word of the vocabulary.
  Json file = byteTokenizer();
  addMerges(file, {"< s", "<s >"});
  int32_t id = file["model"]["vocab"]["<s>"];
  file["added_tokens"].push_back(
      {{"id", id}, {"content", "<s>"}, {"special", true}});
  for (bool ignoreMerges : {false, true}) {
    file["model"]["ignore_merges"] = ignoreMerges;
    Tokenizer tokenizer = build(file);
    EXPECT_EQ(countControls(tokenizer, encodePlain(tokenizer, "<s>")), 0);
    EXPECT_EQ(decode(tokenizer, encodePlain(tokenizer, "<s>")), "<s>");
    EXPECT_EQ(encodePlain(tokenizer, "<s>", true), (Ids{id}));
  }
}

TEST(Tokenizer, F061_RoleMarkersAreControlWithoutTheFlag) {
  Tokenizer tokenizer = build(byteTokenizer());
  EXPECT_TRUE(tokenizer.isControl(258));
  EXPECT_FALSE(tokenizer.isSpecial(258));
  EXPECT_TRUE(tokenizer.isControl(bosId));
  EXPECT_TRUE(tokenizer.isSpecial(bosId));
  EXPECT_FALSE(tokenizer.isControl('a'));
  EXPECT_FALSE(tokenizer.isControl(-1));
  EXPECT_FALSE(tokenizer.isControl(1 << 30));
}

TEST(Tokenizer, F063_OneBeginningOfSequence) {
  Json file = byteTokenizer();
  Json post = {
      {"type", "TemplateProcessing"},
      {"single",
       {{{"SpecialToken", {{"id", bosText}, {"type_id", 0}}}},
        {{"Sequence", {{"id", "A"}, {"type_id", 0}}}}}},
      {"pair", Json::array()},
      {"special_tokens",
       {{bosText,
         {{"id", bosText}, {"ids", {bosId}}, {"tokens", {bosText}}}}}}};
  Json config = {{"bos_token", {{"content", bosText}}},
                 {"eos_token", eosText},
                 {"add_bos_token", true}};
  // Saying it in both files does not say it twice.
  for (const Json &processor :
       {Json(nullptr), post,
        Json{{"type", "Sequence"},
             {"processors",
              {{{"type", "ByteLevel"}, {"trim_offsets", true}}, post}}}})
    for (const Json &settings : {Json(nullptr), config}) {
      file["post_processor"] = processor;
      Tokenizer tokenizer = build(file, settings);
      EXPECT_TRUE(tokenizer.addsBos());
      EXPECT_EQ(encode(tokenizer, "x"), (Ids{bosId, 'x'}));
      EncodeOptions special;
      special.parseSpecial = true;
      EXPECT_EQ(encode(tokenizer, "x", special), (Ids{bosId, 'x'}));
      EXPECT_EQ(encode(tokenizer, bosText + "x", special), (Ids{bosId, 'x'}));
      special.addBos = true;
      EXPECT_EQ(encode(tokenizer, bosText + "x", special), (Ids{bosId, 'x'}));
      // Without parsing, the text of the token is text.
      EXPECT_EQ(encode(tokenizer, bosText)[0], bosId);
      EXPECT_EQ(encode(tokenizer, bosText).size(), 1 + bosText.size());
    }
}

TEST(Tokenizer, F063_ConfigurationDecides) {
  Json config = {{"bos_token", bosText}, {"add_bos_token", false}};
  Tokenizer tokenizer = build(byteTokenizer(), config);
  EXPECT_FALSE(tokenizer.addsBos());
  EXPECT_EQ(encode(tokenizer, "x"), (Ids{'x'}));
  EncodeOptions options;
  options.addBos = true;
  EXPECT_EQ(encode(tokenizer, "x", options), (Ids{bosId, 'x'}));
}

TEST(Tokenizer, F066_EmptyTextIsTheBeginningToken) {
  Tokenizer tokenizer = build(byteTokenizer());
  EXPECT_EQ(encode(tokenizer, ""), (Ids{bosId}));
  EXPECT_EQ(encodePlain(tokenizer, ""), Ids{});
  EXPECT_EQ(decode(tokenizer, {}), "");
}

TEST(Tokenizer, ConfigurationNamesTokens) {
  Json config = {{"bos_token", "a"},
                 {"eos_token", {{"content", "b"}}},
                 {"chat_template", "T"}};
  Tokenizer tokenizer = build(byteTokenizer(), config);
  EXPECT_EQ(tokenizer.bosId(), 'a');
  EXPECT_EQ(tokenizer.eosId(), 'b');
  EXPECT_EQ(tokenizer.chatTemplate(), "T");
  config["chat_template"] = {{{"name", "tool_use"}, {"template", "U"}},
                             {{"name", "default"}, {"template", "D"}}};
  EXPECT_EQ(build(byteTokenizer(), config).chatTemplate(), "D");

  Tokenizer plain = build(byteTokenizer());
  EXPECT_EQ(plain.bosId(), bosId);
  EXPECT_EQ(plain.eosId(), eosId);
  EXPECT_EQ(plain.chatTemplate(), "");

  EXPECT_EQ(buildError(byteTokenizer(), {{"bos_token", "nope"}}).message(),
            "bos_token: token 'nope' is not in tokenizer.json");
  EXPECT_EQ(buildError(byteTokenizer(), {{"add_eos_token", true}}).message(),
            "tokenizer_config.json: 'add_eos_token' is not supported");
  EXPECT_EQ(buildError(byteTokenizer(), {{"bos_token", 3}}).message(),
            "'bos_token': expected a string, found number");
}

TEST(Tokenizer, WithoutBeginningToken) {
  Json file = byteTokenizer();
  file["added_tokens"] = Json::array();
  Tokenizer tokenizer = build(file);
  EXPECT_EQ(tokenizer.bosId(), std::nullopt);
  EXPECT_EQ(encode(tokenizer, "x"), (Ids{'x'}));
  EncodeOptions options;
  options.addBos = true;
  EXPECT_EQ(tokenizer.encode("x", options).status().message(),
            "the tokenizer has no beginning-of-sequence token to add");
}

TEST(Tokenizer, TemplatesBeyondOneLeadingTokenAreRefused) {
  auto message = [](const Json &single) {
    Json file = byteTokenizer();
    file["post_processor"] = {{"type", "TemplateProcessing"},
                              {"single", single}};
    return buildError(file).message();
  };
  Json text = {{"Sequence", {{"id", "A"}}}};
  Json bos = {{"SpecialToken", {{"id", bosText}}}};
  Json eos = {{"SpecialToken", {{"id", eosText}}}};
  const char *tooMany = "post_processor: a template with more than one token "
                        "before the text, or with a token after it, is not "
                        "supported";
  EXPECT_EQ(message({bos, text, eos}), tooMany);
  EXPECT_EQ(message({bos, bos, text}), tooMany);
  EXPECT_EQ(message({text, text}),
            "post_processor: a template that repeats the text is not "
            "supported");
  EXPECT_EQ(message(Json::array({bos})),
            "post_processor: a template without the text is not supported");
  EXPECT_EQ(message({text, 3}), "'single': expected an object, found number");
}

//===----------------------------------------------------------------------===//
// Bytes
//===----------------------------------------------------------------------===//

TEST(Tokenizer, F065_InvalidUtf8IsAnErrorWithItsOffset) {
  Tokenizer tokenizer = build(byteTokenizer());
  auto message = [&](const std::string &text) {
    Status status = tokenizer.encode(text).status();
    EXPECT_EQ(status.code(), StatusCode::InvalidArgument);
    return status.message();
  };
  // "hello" in GBK, a UTF-16 mark, a code point cut short.
  EXPECT_EQ(message("\xC4\xE3\xBA\xC3"),
            "the text is not valid UTF-8: byte 0xC4 at offset 0 does not start "
            "a complete code point");
  EXPECT_EQ(message("ab\xFF\xFE"),
            "the text is not valid UTF-8: byte 0xFF at offset 2 does not start "
            "a complete code point");
  EXPECT_EQ(message("\u4E16\xE7\x95"),
            "the text is not valid UTF-8: byte 0xE7 at offset 3 does not start "
            "a complete code point");
}

TEST(Tokenizer, DecodeReplacesInvalidBytes) {
  Tokenizer tokenizer = build(byteTokenizer());
  EXPECT_EQ(decode(tokenizer, {0xE4, 0xB8, 'a'}), "\uFFFD"
                                                  "a");
  EXPECT_EQ(decode(tokenizer, {0xE4, bosId}), "\uFFFD" + bosText);
  EXPECT_EQ(decode(tokenizer, {0xE4, bosId, 0xB8, 0x96}, true), "\u4E16");
}

TEST(Tokenizer, DecodeSkipsSpecialTokensOnRequest) {
  Tokenizer tokenizer = build(byteTokenizer());
  Ids ids = {bosId, 'a', 258, 'b', eosId};
  EXPECT_EQ(decode(tokenizer, ids), bosText + "a" + userText + "b" + eosText);
  EXPECT_EQ(decode(tokenizer, ids, true), "a" + userText + "b");
}

TEST(Tokenizer, IdsWithoutTokenAreErrors) {
  Tokenizer tokenizer = build(byteTokenizer());
  for (int32_t id : {-1, 260, 102399, INT32_MAX, INT32_MIN}) {
    Status status = tokenizer.decode({'a', id}).status();
    EXPECT_EQ(status.code(), StatusCode::InvalidArgument);
    EXPECT_EQ(status.message(), "token id " + std::to_string(id) +
                                    " has no token, expected an id below 260");
    EXPECT_FALSE(tokenizer.tokenBytes(id).ok());
    EXPECT_EQ(tokenizer.idToToken(id), std::nullopt);
  }
  EXPECT_EQ(tokenizer.tokenToId("no such token"), std::nullopt);
  EXPECT_EQ(tokenizer.tokenToId("\u0120"), ' ');
  EXPECT_EQ(tokenizer.idToToken(' '), "\u0120");
  EXPECT_EQ(tokenizer.tokenBytes(' ').value(), " ");
}

TEST(Tokenizer, NulIsALetterLikeOthers) {
  Tokenizer tokenizer = build(byteTokenizer());
  std::string text("a\0b\0", 4);
  EXPECT_EQ(encodePlain(tokenizer, text), bytesOf(text));
  EXPECT_EQ(decode(tokenizer, bytesOf(text)), text);
}

TEST(Tokenizer, FilesThatCannotBeRead) {
  Status status = Tokenizer::fromFile("/no/such/tokenizer.json").status();
  EXPECT_EQ(status.code(), StatusCode::NotFound);
  EXPECT_EQ(status.message(), "cannot read '/no/such/tokenizer.json': No such "
                              "file or directory");
  status = Tokenizer::fromFile("/").status();
  EXPECT_EQ(status.code(), StatusCode::IoError);
  EXPECT_EQ(status.message(), "cannot read '/': not a file");
  EXPECT_EQ(Tokenizer::fromDirectory("/no/such").status().code(),
            StatusCode::NotFound);
}

TEST(Tokenizer, ThreadsShareOne) {
  Json file = byteTokenizer();
  addMerges(file, {"a b", "ab c"});
  setSteps(file, {splitStep("\\s+$"), splitStep("[a-z]+")});
  Tokenizer tokenizer = build(file);
  const std::string text = "abc ab  abcabc \u4E16  ";
  const Ids expected = encode(tokenizer, text);
  std::vector<std::thread> threads;
  std::vector<int> wrong(4);
  for (int t = 0; t < 4; ++t)
    threads.emplace_back([&, t] {
      for (int i = 0; i < 200; ++i) {
        Expected<Ids> ids = tokenizer.encode(text);
        wrong[t] += !ids.ok() || ids.value() != expected;
      }
    });
  for (std::thread &thread : threads)
    thread.join();
  EXPECT_EQ(wrong, std::vector<int>(4));
}
