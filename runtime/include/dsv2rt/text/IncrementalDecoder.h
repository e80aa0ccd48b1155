//===- IncrementalDecoder.h - streaming token ids to text -------*- C++ -*-===//
//
// Part of dsv2, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef DSV2RT_TEXT_INCREMENTALDECODER_H
#define DSV2RT_TEXT_INCREMENTALDECODER_H

#include "dsv2rt/Status.h"
#include "dsv2rt/text/Tokenizer.h"
#include "dsv2rt/text/Utf8.h"

#include <cstdint>
#include <string>

namespace dsv2rt {

/// Decodes a sequence of ids as they come. What push() and finish() return,
/// joined, is what Tokenizer::decode() gives for the whole sequence, whatever
/// the ids; every piece is valid UTF-8 by itself. A code point that is split
/// over tokens comes out with the token that completes it.
class IncrementalDecoder {
public:
  /// `skipSpecial` as in Tokenizer::decode().
  explicit IncrementalDecoder(Tokenizer tokenizer, bool skipSpecial = false);

  /// Takes the next id and returns the text that it completes, often empty.
  /// Errors: InvalidArgument for an id without a token; the stream is then
  /// unchanged.
  Expected<std::string> push(int32_t id);

  /// Ends the sequence and returns the rest: U+FFFD if a code point was left
  /// incomplete, else nothing. The object is ready for another sequence
  /// afterwards.
  std::string finish();

private:
  Tokenizer tokenizer;
  bool skipSpecial;
  Utf8Stream stream;
};

} // namespace dsv2rt

#endif // DSV2RT_TEXT_INCREMENTALDECODER_H
