//===- TestTokenizers.h - small tokenizers for tests ------------*- C++ -*-===//
//
// Part of dsv2, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef DSV2_TEST_UNIT_TEXT_TESTTOKENIZERS_H
#define DSV2_TEST_UNIT_TEXT_TESTTOKENIZERS_H

#include "dsv2rt/text/Tokenizer.h"

#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

namespace dsv2rt::test {

using Json = nlohmann::json;
using Ids = std::vector<int32_t>;

inline const std::string bosText = "<\uFF5Cbegin\u2581of\u2581sentence\uFF5C>";
inline const std::string eosText = "<\uFF5Cend\u2581of\u2581sentence\uFF5C>";
inline const std::string userText = "<\uFF5CUser\uFF5C>";
inline const std::string assistantText = "<\uFF5CAssistant\uFF5C>";

/// The byte-level symbol of each byte, written independently of the library.
std::string byteSymbol(unsigned byte);

/// A tokenizer.json with the 256 byte symbols as ids 0 to 255 (id = byte), no
/// merges, a lone ByteLevel step, and the control tokens begin (256), end
/// (257), User (258) and Assistant (259); the last two without special flag.
Json byteTokenizer();

/// Adds merges ("a b" or [a, b]); their results get the next free ids.
void addMerges(Json &file, const std::vector<Json> &merges);

/// Puts `steps` before the ByteLevel step.
void setSteps(Json &file, const std::vector<Json> &steps);

/// A Split step.
Json splitStep(const std::string &regex,
               const std::string &behavior = "Isolated", bool invert = false);

/// Builds the tokenizer, or fails the test and aborts it.
Tokenizer build(const Json &file, const Json &config = nullptr);

/// The failure of building the tokenizer.
Status buildError(const Json &file, const Json &config = nullptr);

/// The text of each piece that `steps` followed by ByteLevel make of `text`.
std::vector<std::string> piecesOf(const std::vector<Json> &steps,
                                  const std::string &text);

Ids encode(const Tokenizer &tokenizer, const std::string &text,
           EncodeOptions options = {});
/// Encodes without beginning-of-sequence token.
Ids encodePlain(const Tokenizer &tokenizer, const std::string &text,
                bool parseSpecial = false);
std::string decode(const Tokenizer &tokenizer, const Ids &ids,
                   bool skipSpecial = false);

/// Reads a file of the source tree.
std::string readSourceFile(const std::string &path);

} // namespace dsv2rt::test

#endif // DSV2_TEST_UNIT_TEXT_TESTTOKENIZERS_H
