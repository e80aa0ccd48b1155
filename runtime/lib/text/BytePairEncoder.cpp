//===- BytePairEncoder.cpp - merging symbols into tokens ------------------===//
//
// Part of dsv2, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "BytePairEncoder.h"
#include "Json.h"
#include "dsv2rt/text/Utf8.h"

#include <algorithm>
#include <cstdio>

using namespace dsv2rt;
using namespace dsv2rt::text;

//===----------------------------------------------------------------------===//
// MergeTable
//===----------------------------------------------------------------------===//

// Ids are not negative, so no pair has this key.
static constexpr uint64_t emptyKey = UINT64_MAX;

static uint64_t pairKey(int32_t left, int32_t right) {
  return static_cast<uint64_t>(static_cast<uint32_t>(left)) << 32 |
         static_cast<uint32_t>(right);
}

void MergeTable::reserve(size_t count) {
  size_t size = 16;
  while (size < 2 * count)
    size *= 2;
  slots.assign(size, Slot{emptyKey, Merge{0, 0}});
}

size_t MergeTable::firstSlot(uint64_t key) const {
  // Finaliser of SplitMix64: every bit of the key reaches every bit of the
  // slot number.
  key ^= key >> 30;
  key *= 0xBF58476D1CE4E5B9u;
  key ^= key >> 27;
  key *= 0x94D049BB133111EBu;
  key ^= key >> 31;
  return static_cast<size_t>(key) & (slots.size() - 1);
}

void MergeTable::set(int32_t left, int32_t right, Merge merge) {
  uint64_t key = pairKey(left, right);
  size_t slot = firstSlot(key);
  while (slots[slot].key != emptyKey && slots[slot].key != key)
    slot = (slot + 1) & (slots.size() - 1);
  slots[slot] = {key, merge};
}

const MergeTable::Merge *MergeTable::find(int32_t left, int32_t right) const {
  uint64_t key = pairKey(left, right);
  for (size_t slot = firstSlot(key);; slot = (slot + 1) & (slots.size() - 1)) {
    if (slots[slot].key == key)
      return &slots[slot].merge;
    if (slots[slot].key == emptyKey)
      return nullptr;
  }
}

//===----------------------------------------------------------------------===//
// Reading the model
//===----------------------------------------------------------------------===//

/// Refuses a member that is neither absent, null nor empty.
static void refuseAffix(const nlohmann::json &model, const char *key) {
  const nlohmann::json *member = findNonNull(model, key);
  if (member && !asString(*member, key).empty())
    fail(StatusCode::Unsupported,
         "model: '" + std::string(key) + "' is not supported");
}

void BytePairEncoder::readVocabulary(const nlohmann::json &model) {
  const nlohmann::json *vocab = findMember(model, "vocab");
  if (!vocab)
    fail(StatusCode::CorruptData, "model: expected a member 'vocab'");
  expectObject(*vocab, "vocab");
  tokens.reserve(vocab->size());
  for (auto it = vocab->begin(); it != vocab->end(); ++it) {
    if (!it->is_number_unsigned() || it->get<uint64_t>() > INT32_MAX)
      fail(StatusCode::CorruptData, "model: expected the id of token " +
                                        inQuotes(it.key()) +
                                        " to be a number from 0 to 2147483647");
    tokens.emplace(it.key(), it->get<int32_t>());
  }
}

void BytePairEncoder::readMerges(
    const nlohmann::json &model,
    const std::function<bool(int32_t)> &isControl) {
  const nlohmann::json *list = findMember(model, "merges");
  if (!list || !list->is_array())
    fail(StatusCode::CorruptData, "model: expected a list 'merges'");
  merges.reserve(list->size());
  uint32_t rank = 0;
  for (const nlohmann::json &item : *list) {
    std::string name = "merges[" + std::to_string(rank) + "]";
    std::string left, right;
    if (item.is_array() && item.size() == 2) {
      left = asString(item[0], name);
      right = asString(item[1], name);
    } else {
      const std::string &both = asString(item, name);
      size_t space = both.find(' ');
      if (space == std::string::npos ||
          both.find(' ', space + 1) != std::string::npos)
        fail(StatusCode::CorruptData,
             "'" + name + "': expected two tokens with one space between");
      left = both.substr(0, space);
      right = both.substr(space + 1);
    }
    auto lookUp = [&](const std::string &token) {
      auto it = tokens.find(token);
      if (it == tokens.end())
        fail(StatusCode::CorruptData, "'" + name + "': token " +
                                          inQuotes(token) +
                                          " is not in the vocabulary");
      return it->second;
    };
    int32_t leftId = lookUp(left);
    int32_t rightId = lookUp(right);
    int32_t mergedId = lookUp(left + right);
    if (!isControl(mergedId))
      merges.set(leftId, rightId, {rank, mergedId});
    ++rank;
  }
}

void BytePairEncoder::buildSymbols(
    const std::function<bool(int32_t)> &isControl) {
  lowSymbols.assign(0x200, -1);
  for (const auto &[token, id] : tokens) {
    if (token.empty() || isControl(id))
      continue;
    size_t position = 0;
    uint32_t codePoint = nextCodePoint(token, position);
    if (position != token.size())
      continue;
    if (codePoint < lowSymbols.size())
      lowSymbols[codePoint] = id;
    else
      highSymbols.emplace(codePoint, id);
  }
}

BytePairEncoder
BytePairEncoder::fromJson(const nlohmann::json &model,
                          const std::function<bool(int32_t)> &isControl) {
  expectObject(model, "model");
  // Files of the first versions do not name the type.
  if (const nlohmann::json *type = findNonNull(model, "type"))
    if (asString(*type, "type") != "BPE")
      fail(StatusCode::Unsupported, "model: type " +
                                        inQuotes(asString(*type, "type")) +
                                        " is not supported, expected 'BPE'");
  refuseAffix(model, "continuing_subword_prefix");
  refuseAffix(model, "end_of_word_suffix");
  if (const nlohmann::json *dropout = findNonNull(model, "dropout"))
    if (!dropout->is_number() || dropout->get<double>() != 0)
      fail(StatusCode::Unsupported, "model: 'dropout' is not supported");
  if (getBool(model, "byte_fallback", false))
    fail(StatusCode::Unsupported, "model: 'byte_fallback' is not supported");

  BytePairEncoder result;
  result.readVocabulary(model);
  result.readMerges(model, isControl);
  result.buildSymbols(isControl);
  result.fuseUnknown = getBool(model, "fuse_unk", false);
  if (getBool(model, "ignore_merges", false))
    for (const auto &[token, id] : result.tokens)
      if (!isControl(id))
        result.wholePieces.emplace(token, id);
  if (const nlohmann::json *unknown = findNonNull(model, "unk_token")) {
    const std::string &token = asString(*unknown, "unk_token");
    auto it = result.tokens.find(token);
    if (it == result.tokens.end())
      fail(StatusCode::CorruptData, "model: 'unk_token' " + inQuotes(token) +
                                        " is not in the vocabulary");
    result.unknownId = it->second;
  }
  return result;
}

//===----------------------------------------------------------------------===//
// Encoding
//===----------------------------------------------------------------------===//

int32_t BytePairEncoder::symbolId(uint32_t codePoint) const {
  if (codePoint < lowSymbols.size())
    return lowSymbols[codePoint];
  auto it = highSymbols.find(codePoint);
  return it == highSymbols.end() ? -1 : it->second;
}

void BytePairEncoder::split(std::string_view piece, Scratch &scratch) const {
  scratch.symbols.clear();
  bool lastUnknown = false;
  for (size_t position = 0; position < piece.size();) {
    uint32_t codePoint = nextCodePoint(piece, position);
    int32_t id = symbolId(codePoint);
    bool unknown = id < 0;
    if (unknown && !unknownId) {
      char text[16];
      std::snprintf(text, sizeof(text), "U+%04X",
                    static_cast<unsigned>(codePoint));
      fail(StatusCode::Unsupported,
           std::string("the vocabulary has no token for the symbol ") + text);
    }
    if (unknown && lastUnknown && fuseUnknown)
      continue;
    lastUnknown = unknown;
    uint32_t index = static_cast<uint32_t>(scratch.symbols.size());
    scratch.symbols.push_back(
        {unknown ? *unknownId : id, index - 1, index + 1});
  }
  if (scratch.symbols.empty())
    return;
  scratch.symbols.front().previous = Scratch::none;
  scratch.symbols.back().next = Scratch::none;
}

void BytePairEncoder::merge(Scratch &scratch) const {
  using Candidate = Scratch::Candidate;
  auto &symbols = scratch.symbols;
  auto &heap = scratch.heap;
  // std::*_heap keeps the greatest on top, so "greater" means "later".
  auto later = [](const Candidate &a, const Candidate &b) {
    return a.rank != b.rank ? a.rank > b.rank : a.position > b.position;
  };
  auto candidateAt = [&](uint32_t position, Candidate &candidate) {
    uint32_t next = symbols[position].next;
    if (next == Scratch::none)
      return false;
    const MergeTable::Merge *merge =
        merges.find(symbols[position].id, symbols[next].id);
    if (!merge)
      return false;
    candidate = {merge->rank, position, merge->id};
    return true;
  };

  heap.clear();
  Candidate candidate;
  for (uint32_t i = 0; i + 1 < symbols.size(); ++i)
    if (candidateAt(i, candidate))
      heap.push_back(candidate);
  std::make_heap(heap.begin(), heap.end(), later);
  auto enter = [&](uint32_t position) {
    if (!candidateAt(position, candidate))
      return;
    heap.push_back(candidate);
    std::push_heap(heap.begin(), heap.end(), later);
  };

  while (!heap.empty()) {
    std::pop_heap(heap.begin(), heap.end(), later);
    Candidate top = heap.back();
    heap.pop_back();
    // Entries are never taken out when their symbols change, so check that
    // this one still says what the symbols say.
    Scratch::Symbol &left = symbols[top.position];
    if (left.id < 0 || !candidateAt(top.position, candidate) ||
        candidate.id != top.id)
      continue;
    Scratch::Symbol &right = symbols[left.next];
    left.id = top.id;
    left.next = right.next;
    right.id = -1;
    if (left.next != Scratch::none)
      symbols[left.next].previous = top.position;
    if (left.previous != Scratch::none)
      enter(left.previous);
    enter(top.position);
  }
}

void BytePairEncoder::encode(std::string_view piece, Scratch &scratch,
                             std::vector<int32_t> &ids) const {
  if (!wholePieces.empty()) {
    auto it = wholePieces.find(std::string(piece));
    if (it != wholePieces.end()) {
      ids.push_back(it->second);
      return;
    }
  }
  // Symbols are linked by 32-bit numbers.
  if (piece.size() >= Scratch::none)
    fail(StatusCode::InvalidArgument,
         "a piece of text of " + std::to_string(piece.size()) +
             " bytes without a place to split it is too long, expected less "
             "than 4 GiB");
  split(piece, scratch);
  merge(scratch);
  for (const Scratch::Symbol &symbol : scratch.symbols)
    if (symbol.id >= 0)
      ids.push_back(symbol.id);
}
