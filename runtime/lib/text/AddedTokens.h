//===- AddedTokens.h - tokens matched before splitting ----------*- C++ -*-===//
//
// Part of dsv2, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef DSV2RT_LIB_TEXT_ADDEDTOKENS_H
#define DSV2RT_LIB_TEXT_ADDEDTOKENS_H

#include "Regex.h"

#include <array>
#include <cstdint>
#include <nlohmann/json_fwd.hpp>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace dsv2rt::text {

/// One entry of added_tokens in tokenizer.json.
struct AddedToken {
  int32_t id = 0;
  std::string content;
  /// Matches only where no word character touches it.
  bool singleWord = false;
  /// Swallows white space before or behind it.
  bool stripLeft = false;
  bool stripRight = false;
  /// Matched in a second round, after the tokens without this flag.
  bool normalized = false;
  /// Left out by decode() when asked to skip special tokens.
  bool special = false;

  /// Reads an entry. Throws StatusError.
  static AddedToken fromJson(const nlohmann::json &entry);

  /// True if only templates may produce the token, never the text of a user:
  /// it is special, or it is written `<｜...｜>`. The family's files list the
  /// role and tool markers without the special flag.
  bool isControl() const;
};

/// Finds added tokens in text: at every position, from left to right, the
/// longest that starts there.
class AddedTokenMatcher {
public:
  /// A stretch of the text: an added token, or text between such.
  struct Part {
    ByteRange range;
    std::optional<int32_t> id;
  };

  explicit AddedTokenMatcher(const std::vector<AddedToken> &tokens);

  /// Cuts `text` (valid UTF-8). Control tokens count only if `parseControl`.
  std::vector<Part> split(std::string_view text, bool parseControl,
                          RegexScratch &scratch) const;

private:
  /// The tokens of one round.
  struct Group {
    std::vector<AddedToken> tokens;
    /// A trie over bytes. Children are sorted by byte.
    struct Node {
      std::vector<std::pair<unsigned char, uint32_t>> children;
      int32_t token = -1;
    };
    std::vector<Node> nodes;
    std::array<bool, 256> startsToken{};

    void add(const AddedToken &token);
    const AddedToken *longestAt(std::string_view text, size_t position) const;
  };

  void splitGroup(const Group &group, std::string_view text, ByteRange range,
                  bool parseControl, RegexScratch &scratch,
                  std::vector<Part> &parts) const;
  bool isWholeWord(std::string_view text, size_t begin, size_t end,
                   RegexScratch &scratch) const;

  Group verbatim;
  Group normalized;
  std::optional<Regex> wordCharacter;
};

} // namespace dsv2rt::text

#endif // DSV2RT_LIB_TEXT_ADDEDTOKENS_H
