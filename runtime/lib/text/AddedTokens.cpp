//===- AddedTokens.cpp - tokens matched before splitting ------------------===//
//
// Part of dsv2, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "AddedTokens.h"
#include "Json.h"
#include "dsv2rt/text/Utf8.h"

#include <algorithm>

using namespace dsv2rt;
using namespace dsv2rt::text;

//===----------------------------------------------------------------------===//
// AddedToken
//===----------------------------------------------------------------------===//

AddedToken AddedToken::fromJson(const nlohmann::json &entry) {
  expectObject(entry, "added_tokens");
  AddedToken token;
  const nlohmann::json *id = findMember(entry, "id");
  if (!id || !id->is_number_unsigned() || id->get<uint64_t>() > INT32_MAX)
    fail(StatusCode::CorruptData,
         "added_tokens: expected every entry to have an id from 0 to "
         "2147483647");
  token.id = id->get<int32_t>();
  token.content = getString(entry, "content");
  if (token.content.empty())
    fail(StatusCode::CorruptData, "added_tokens: token " +
                                      std::to_string(token.id) +
                                      " has an empty content");
  token.special = getBool(entry, "special", false);
  token.singleWord = getBool(entry, "single_word", false);
  token.stripLeft = getBool(entry, "lstrip", false);
  token.stripRight = getBool(entry, "rstrip", false);
  token.normalized = getBool(entry, "normalized", !token.special);
  return token;
}

bool AddedToken::isControl() const {
  // U+FF5C, the full-width bar.
  static constexpr std::string_view open = "<\uFF5C";
  static constexpr std::string_view close = "\uFF5C>";
  return special || (content.size() >= open.size() + close.size() &&
                     std::string_view(content).substr(0, open.size()) == open &&
                     std::string_view(content).substr(content.size() -
                                                      close.size()) == close);
}

//===----------------------------------------------------------------------===//
// Trie
//===----------------------------------------------------------------------===//

void AddedTokenMatcher::Group::add(const AddedToken &token) {
  if (nodes.empty())
    nodes.emplace_back();
  uint32_t node = 0;
  for (char c : token.content) {
    unsigned char byte = static_cast<unsigned char>(c);
    auto &children = nodes[node].children;
    auto it = std::lower_bound(
        children.begin(), children.end(), byte,
        [](const auto &child, unsigned char b) { return child.first < b; });
    if (it != children.end() && it->first == byte) {
      node = it->second;
      continue;
    }
    uint32_t created = static_cast<uint32_t>(nodes.size());
    children.insert(it, {byte, created});
    nodes.emplace_back();
    node = created;
  }
  nodes[node].token = static_cast<int32_t>(tokens.size());
  tokens.push_back(token);
  startsToken[static_cast<unsigned char>(token.content[0])] = true;
}

const AddedToken *AddedTokenMatcher::Group::longestAt(std::string_view text,
                                                      size_t position) const {
  if (!startsToken[static_cast<unsigned char>(text[position])])
    return nullptr;
  const AddedToken *longest = nullptr;
  uint32_t node = 0;
  for (; position < text.size(); ++position) {
    unsigned char byte = static_cast<unsigned char>(text[position]);
    const auto &children = nodes[node].children;
    auto it = std::lower_bound(
        children.begin(), children.end(), byte,
        [](const auto &child, unsigned char b) { return child.first < b; });
    if (it == children.end() || it->first != byte)
      break;
    node = it->second;
    if (nodes[node].token >= 0)
      longest = &tokens[static_cast<size_t>(nodes[node].token)];
  }
  return longest;
}

//===----------------------------------------------------------------------===//
// AddedTokenMatcher
//===----------------------------------------------------------------------===//

AddedTokenMatcher::AddedTokenMatcher(const std::vector<AddedToken> &tokens) {
  for (const AddedToken &token : tokens) {
    (token.normalized ? normalized : verbatim).add(token);
    if (token.singleWord && !wordCharacter)
      wordCharacter = Regex("[\\w\\p{Join_Control}]");
  }
}

static bool isWhiteSpace(uint32_t codePoint) {
  return (codePoint >= 0x09 && codePoint <= 0x0D) || codePoint == 0x20 ||
         codePoint == 0x85 || codePoint == 0xA0 || codePoint == 0x1680 ||
         (codePoint >= 0x2000 && codePoint <= 0x200A) || codePoint == 0x2028 ||
         codePoint == 0x2029 || codePoint == 0x202F || codePoint == 0x205F ||
         codePoint == 0x3000;
}

/// Returns the start of the code point that ends at `end`.
static size_t previousBoundary(std::string_view text, size_t end) {
  do
    --end;
  while (end > 0 && (static_cast<unsigned char>(text[end]) & 0xC0) == 0x80);
  return end;
}

bool AddedTokenMatcher::isWholeWord(std::string_view text, size_t begin,
                                    size_t end, RegexScratch &scratch) const {
  auto isWord = [&](size_t position, size_t limit) {
    ByteRange match;
    return wordCharacter->find(text.substr(position, limit - position), 0,
                               scratch, match);
  };
  if (begin > 0 && isWord(previousBoundary(text, begin), begin))
    return false;
  if (end == text.size())
    return true;
  size_t next = end;
  (void)nextCodePoint(text, next);
  return !isWord(end, next);
}

void AddedTokenMatcher::splitGroup(const Group &group, std::string_view text,
                                   ByteRange range, bool parseControl,
                                   RegexScratch &scratch,
                                   std::vector<Part> &parts) const {
  // Words and white space are judged within the part, as in the reference.
  std::string_view part = text.substr(range.begin, range.end - range.begin);
  size_t done = 0;
  auto push = [&](size_t begin, size_t end, std::optional<int32_t> id) {
    parts.push_back({{range.begin + begin, range.begin + end}, id});
  };
  for (size_t position = 0; position < part.size();) {
    const AddedToken *token =
        group.tokens.empty() ? nullptr : group.longestAt(part, position);
    if (!token) {
      ++position;
      continue;
    }
    size_t begin = position;
    size_t end = position + token->content.size();
    // A token that is not taken still hides those that start inside it.
    position = end;
    if ((token->isControl() && !parseControl) ||
        (token->singleWord && !isWholeWord(part, begin, end, scratch)))
      continue;
    if (begin < done)
      continue; // inside the white space that the last token swallowed
    if (token->stripLeft)
      while (begin > done) {
        size_t previous = previousBoundary(part, begin);
        size_t cursor = previous;
        if (!isWhiteSpace(nextCodePoint(part, cursor)))
          break;
        begin = previous;
      }
    if (token->stripRight)
      while (end < part.size()) {
        size_t cursor = end;
        if (!isWhiteSpace(nextCodePoint(part, cursor)))
          break;
        end = cursor;
      }
    if (done < begin)
      push(done, begin, std::nullopt);
    push(begin, end, token->id);
    done = end;
  }
  if (done < part.size())
    push(done, part.size(), std::nullopt);
}

std::vector<AddedTokenMatcher::Part>
AddedTokenMatcher::split(std::string_view text, bool parseControl,
                         RegexScratch &scratch) const {
  std::vector<Part> first;
  splitGroup(verbatim, text, {0, text.size()}, parseControl, scratch, first);
  if (normalized.tokens.empty())
    return first;
  std::vector<Part> second;
  for (const Part &part : first) {
    if (part.id)
      second.push_back(part);
    else
      splitGroup(normalized, text, part.range, parseControl, scratch, second);
  }
  return second;
}
