//===- BytePairEncoder.h - merging symbols into tokens ----------*- C++ -*-===//
//
// Part of dsv2, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef DSV2RT_LIB_TEXT_BYTEPAIRENCODER_H
#define DSV2RT_LIB_TEXT_BYTEPAIRENCODER_H

#include <cstdint>
#include <functional>
#include <nlohmann/json_fwd.hpp>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <utility>
#include <vector>

namespace dsv2rt::text {

/// A table from pairs of token ids to what they merge into. Open addressing:
/// encoding looks up one pair per input byte, so it has to be quick.
class MergeTable {
public:
  struct Merge {
    uint32_t rank;
    int32_t id;
  };

  /// Makes room for `count` merges.
  void reserve(size_t count);
  /// Sets the result of merging `left` and `right`. A pair that is set twice
  /// keeps the later result, as in the reference. reserve() must have been
  /// called with at least the number of calls made.
  void set(int32_t left, int32_t right, Merge merge);
  /// Returns null if the pair does not merge.
  const Merge *find(int32_t left, int32_t right) const;

private:
  struct Slot {
    uint64_t key;
    Merge merge;
  };
  size_t firstSlot(uint64_t key) const;
  std::vector<Slot> slots;
};

/// The model member of tokenizer.json, type BPE: merges the characters of a
/// piece, lowest rank first, leftmost first among equal ranks.
class BytePairEncoder {
public:
  /// Scratch memory of encode(); one per thread.
  class Scratch;

  /// Reads the member. Ids for which `isControl` holds are never made from
  /// text: merges into them and their use as symbols are left out. Throws
  /// StatusError: CorruptData if the member contradicts the format or itself,
  /// Unsupported for dropout, subword affixes and byte fallback.
  static BytePairEncoder
  fromJson(const nlohmann::json &model,
           const std::function<bool(int32_t)> &isControl);

  /// Appends the tokens of `piece`, written in byte-level symbols, to `ids`.
  /// Takes O(n log n) time in the length of the piece. Throws StatusError with
  /// Unsupported if a symbol is not in the vocabulary and there is no unknown
  /// token.
  void encode(std::string_view piece, Scratch &scratch,
              std::vector<int32_t> &ids) const;

  /// Hands over the vocabulary, by token text; encode() does not need it.
  std::unordered_map<std::string, int32_t> takeVocabulary() {
    return std::move(tokens);
  }

private:
  void readVocabulary(const nlohmann::json &model);
  void readMerges(const nlohmann::json &model,
                  const std::function<bool(int32_t)> &isControl);
  void buildSymbols(const std::function<bool(int32_t)> &isControl);
  int32_t symbolId(uint32_t codePoint) const;
  void split(std::string_view piece, Scratch &scratch) const;
  void merge(Scratch &scratch) const;

  std::unordered_map<std::string, int32_t> tokens;
  MergeTable merges;
  /// Ids of the one-character tokens: a flat table for the byte-level symbols,
  /// a map for others. -1 where there is none.
  std::vector<int32_t> lowSymbols;
  std::unordered_map<uint32_t, int32_t> highSymbols;
  std::optional<int32_t> unknownId;
  bool fuseUnknown = false;
  /// Pieces that are tokens as they stand, with ignore_merges.
  std::unordered_map<std::string, int32_t> wholePieces;
};

class BytePairEncoder::Scratch {
private:
  friend class BytePairEncoder;
  static constexpr uint32_t none = UINT32_MAX;

  /// A token of the piece so far; a doubly linked list by index. `id` is -1
  /// once the symbol has been merged into its left neighbour.
  struct Symbol {
    int32_t id;
    uint32_t previous;
    uint32_t next;
  };
  /// A merge that was possible when it was entered.
  struct Candidate {
    uint32_t rank;
    uint32_t position;
    int32_t id;
  };
  std::vector<Symbol> symbols;
  std::vector<Candidate> heap;
};

} // namespace dsv2rt::text

#endif // DSV2RT_LIB_TEXT_BYTEPAIRENCODER_H
