//===- Tokenizer.h - text to token ids and back -----------------*- C++ -*-===//
//
// Part of dsv2, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// Byte-level BPE exactly as tokenizer.json says. What the file asks for is
// done or refused by name; nothing is guessed from the class name that
// tokenizer_config.json carries, which is wrong for this family.
//
//===----------------------------------------------------------------------===//

#ifndef DSV2RT_TEXT_TOKENIZER_H
#define DSV2RT_TEXT_TOKENIZER_H

#include "dsv2rt/Status.h"

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace dsv2rt {

/// How encode() treats a text.
struct EncodeOptions {
  /// Whether the id of the beginning-of-sequence token comes first. Unset: as
  /// the tokenizer's files say, see Tokenizer::addsBos(). There is never more
  /// than one: if `parseSpecial` found it at the start of the text already, no
  /// second one is put before it.
  std::optional<bool> addBos;

  /// Whether control tokens written in the text become their ids. Leave it
  /// off for anything a user typed: the text of a control token is then
  /// ordinary text. Control tokens are those with the special flag and those
  /// written `<｜...｜>` (the family's role and tool markers, which its files
  /// list without that flag). Other added tokens are matched in either case.
  bool parseSpecial = false;
};

/// A tokenizer. Immutable; copies share the tables, and any number of threads
/// may use one at the same time.
class Tokenizer {
public:
  /// Reads tokenizer.json and, unless empty, tokenizer_config.json, both given
  /// as text. From the latter come bos_token, eos_token, add_bos_token and
  /// chat_template; tokenizer_class is ignored.
  ///
  /// Honoured in tokenizer.json: model BPE (merges in both spellings,
  /// unk_token, fuse_unk, ignore_merges), added_tokens (all flags),
  /// pre_tokenizer (Sequence, Split, Digits, Punctuation, Whitespace,
  /// WhitespaceSplit, ByteLevel), decoder ByteLevel, post_processor
  /// (TemplateProcessing and ByteLevel, for the beginning-of-sequence token
  /// only). truncation and padding are ignored: they are properties of a batch
  /// of training data.
  ///
  /// Errors: CorruptData if a file contradicts its format or itself,
  /// Unsupported, naming it, for anything else a file asks for.
  static Expected<Tokenizer> fromJson(std::string_view tokenizerJson,
                                      std::string_view configJson = {});

  /// As fromJson, from the file `tokenizerPath` and, unless empty,
  /// `configPath`. Errors also: NotFound, IoError.
  static Expected<Tokenizer> fromFile(const std::string &tokenizerPath,
                                      const std::string &configPath = {});

  /// Reads tokenizer.json of a checkpoint folder, and tokenizer_config.json
  /// and chat_template.jinja if they are there.
  static Expected<Tokenizer> fromDirectory(const std::string &path);

  /// Turns text into ids. The empty text gives no ids but the
  /// beginning-of-sequence token.
  ///
  /// Errors: InvalidArgument if `text` is not valid UTF-8 (with the offset of
  /// the first bad byte) or if a beginning-of-sequence token is asked for and
  /// the tokenizer has none; Unsupported if the vocabulary lacks a byte of the
  /// text.
  Expected<std::vector<int32_t>>
  encode(std::string_view text, const EncodeOptions &options = {}) const;

  /// Turns ids into text. The bytes of all tokens are joined first; maximal
  /// parts that are not valid UTF-8 then become U+FFFD. With `skipSpecial`,
  /// tokens that have the special flag are left out.
  ///
  /// An added token stands for its content as it is written, so that what
  /// encode() matched comes back. (The reference passes the content through
  /// the byte-level table, which turns the added token "ü" into U+FFFD.)
  ///
  /// Errors: InvalidArgument for an id without a token.
  Expected<std::string> decode(const std::vector<int32_t> &ids,
                               bool skipSpecial = false) const;

  /// Returns the bytes that `id` contributes to a decoded text; valid as long
  /// as any copy of the tokenizer. Errors: InvalidArgument for an id without a
  /// token.
  Expected<std::string_view> tokenBytes(int32_t id) const;

  /// Returns the id of a token as the file spells it, byte-level symbols and
  /// all, or nothing.
  std::optional<int32_t> tokenToId(std::string_view token) const;

  /// Returns the token of an id as the file spells it, or nothing.
  std::optional<std::string> idToToken(int32_t id) const;

  /// One more than the largest id that has a token. A model's logits usually
  /// have more rows than this; the rows beyond it are padding and must not be
  /// sampled.
  int32_t vocabularySize() const;

  /// True if the token has the special flag.
  bool isSpecial(int32_t id) const;

  /// True for tokens that text yields only with EncodeOptions::parseSpecial.
  bool isControl(int32_t id) const;

  /// The beginning-of-sequence token: bos_token of the configuration, else the
  /// one the post-processor puts first, else the family's
  /// `<｜begin▁of▁sentence｜>` if the file has it.
  std::optional<int32_t> bosId() const;

  /// The end-of-sequence token: eos_token of the configuration, else the
  /// family's `<｜end▁of▁sentence｜>` if the file has it.
  std::optional<int32_t> eosId() const;

  /// Whether encode() puts the beginning-of-sequence token first when not told
  /// otherwise: add_bos_token of the configuration if it is there; else yes if
  /// the post-processor does so; else yes if there is such a token, which is
  /// the default of the tokenizer class that the family's files name.
  bool addsBos() const;

  /// The text of the chat template, empty if the files have none.
  const std::string &chatTemplate() const;

private:
  struct Impl;
  explicit Tokenizer(std::shared_ptr<const Impl> impl);
  static Tokenizer parse(std::string_view tokenizerJson,
                         std::string_view configJson,
                         std::string_view templateText);
  static Tokenizer read(const std::string &tokenizerPath,
                        const std::string &configPath,
                        const std::string &templatePath);
  std::shared_ptr<const Impl> impl;
};

} // namespace dsv2rt

#endif // DSV2RT_TEXT_TOKENIZER_H
