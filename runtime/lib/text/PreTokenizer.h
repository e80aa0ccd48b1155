//===- PreTokenizer.h - cutting text into pieces ----------------*- C++ -*-===//
//
// Part of dsv2, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef DSV2RT_LIB_TEXT_PRETOKENIZER_H
#define DSV2RT_LIB_TEXT_PRETOKENIZER_H

#include "Regex.h"

#include <memory>
#include <nlohmann/json_fwd.hpp>
#include <string>
#include <vector>

namespace dsv2rt::text {

/// A text and the pieces it has been cut into, in order, none empty.
struct Pieces {
  std::string text;
  std::vector<ByteRange> ranges;
};

/// One step of a pre-tokenizer.
class PreTokenizerStep {
public:
  virtual ~PreTokenizerStep() = default;
  /// Replaces every piece by what the step makes of it.
  virtual void apply(Pieces &pieces, RegexScratch &scratch) const = 0;
};

/// The pre_tokenizer member of tokenizer.json: steps of which each is applied
/// to every piece the earlier ones left, matched or not.
class PreTokenizer {
public:
  /// Reads the member. Throws StatusError: CorruptData if it contradicts the
  /// format, Unsupported, naming the type, if it asks for something else than
  /// Sequence, Split, Digits, Punctuation, Whitespace, WhitespaceSplit and
  /// ByteLevel, or does not hold exactly one ByteLevel step.
  static PreTokenizer fromJson(const nlohmann::json &member);

  /// Cuts `text`, which must be valid UTF-8.
  Pieces run(std::string_view text, RegexScratch &scratch) const;

private:
  void add(const nlohmann::json &member, unsigned depth);
  std::vector<std::unique_ptr<const PreTokenizerStep>> steps;
  unsigned byteLevelSteps = 0;
};

/// Returns the code point by which a byte-level vocabulary writes `byte`: the
/// byte's Latin-1 character if that is visible, else one of U+0100..U+0143.
char32_t byteLevelSymbol(unsigned char byte);

/// Undoes byteLevelSymbol for a whole token. If a character of `token` is no
/// symbol, returns the token's own UTF-8 bytes, as the reference does.
std::string byteLevelDecode(std::string_view token);

} // namespace dsv2rt::text

#endif // DSV2RT_LIB_TEXT_PRETOKENIZER_H
