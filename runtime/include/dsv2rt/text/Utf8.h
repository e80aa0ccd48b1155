//===- Utf8.h - validation and lossy decoding of UTF-8 ----------*- C++ -*-===//
//
// Part of dsv2, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef DSV2RT_TEXT_UTF8_H
#define DSV2RT_TEXT_UTF8_H

#include "dsv2rt/Status.h"

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace dsv2rt {

/// Returns the byte offset at which `text` stops being valid UTF-8 (the start
/// of the first ill-formed or incomplete sequence), or nothing if all of it is
/// valid. Overlong forms, surrogates and code points above U+10FFFF are
/// invalid (Unicode 15, table 3-7).
std::optional<size_t> findInvalidUtf8(std::string_view text);

/// Returns InvalidArgument with the byte offset and the offending byte if
/// `text` is not valid UTF-8. `what` names the text in the message.
Status checkUtf8(std::string_view text, std::string_view what);

/// Appends the UTF-8 form of `codePoint` to `out`. The code point must be a
/// Unicode scalar value.
void appendUtf8(uint32_t codePoint, std::string &out);

/// Reads the code point that starts at `text[position]` and moves `position`
/// behind it. `text` must be valid UTF-8 and `position` inside it.
uint32_t nextCodePoint(std::string_view text, size_t &position);

/// Turns a stream of bytes into valid UTF-8. Bytes that start a code point are
/// held until it is complete; every maximal ill-formed part becomes one U+FFFD
/// (Unicode 15, section 3.9, "substitution of maximal subparts", which is also
/// what the reference tokenizer does to a whole text). The output depends on
/// the bytes only, not on how they are split into calls.
class Utf8Stream {
public:
  /// Appends what `bytes` completes to `out`.
  void append(std::string_view bytes, std::string &out);

  /// Ends the stream: an incomplete code point becomes one U+FFFD. The object
  /// is ready for another stream afterwards.
  void finish(std::string &out);

  /// True while bytes of an incomplete code point are held.
  bool pending() const { return heldSize != 0; }

private:
  // The bytes seen of the current code point, and what may follow them.
  char held[4] = {};
  unsigned heldSize = 0;
  unsigned missing = 0;
  uint8_t lowest = 0x80;
  uint8_t highest = 0xBF;
};

} // namespace dsv2rt

#endif // DSV2RT_TEXT_UTF8_H
