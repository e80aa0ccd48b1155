//===- Internal.h - error plumbing of the text library ----------*- C++ -*-===//
//
// Part of dsv2, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// Parsers are easier to read when an error deep inside leaves by an exception.
// Inside the text library a StatusError does that; guarded() turns it, and
// anything the standard library throws, back into a Status at every public
// function.
//
//===----------------------------------------------------------------------===//

#ifndef DSV2RT_LIB_TEXT_INTERNAL_H
#define DSV2RT_LIB_TEXT_INTERNAL_H

#include "dsv2rt/Status.h"

#include <exception>
#include <new>
#include <string>
#include <string_view>
#include <utility>

namespace dsv2rt::text {

/// Carries a Status up to the nearest guarded().
struct StatusError {
  Status status;
};

/// Leaves the library function with `code` and `message`.
[[noreturn]] inline void fail(StatusCode code, std::string message) {
  throw StatusError{Status::error(code, std::move(message))};
}

/// Returns `text` in quotes, fit for a one-line message: control characters as
/// `\xHH`, and cut short if it is long. `text` must be valid UTF-8.
inline std::string inQuotes(std::string_view text) {
  constexpr size_t longest = 80;
  bool cut = text.size() > longest;
  if (cut) {
    size_t end = longest;
    while (end > 0 && (static_cast<unsigned char>(text[end]) & 0xC0) == 0x80)
      --end;
    text = text.substr(0, end);
  }
  std::string result = "'";
  for (char c : text) {
    unsigned char byte = static_cast<unsigned char>(c);
    if (byte >= 0x20 && byte != 0x7F) {
      result += c;
      continue;
    }
    constexpr const char *digits = "0123456789ABCDEF";
    result += "\\x";
    result += digits[byte >> 4];
    result += digits[byte & 15];
  }
  return result + (cut ? "...'" : "'");
}

/// Runs `body`, whose result type is a Status or an Expected, and turns every
/// exception into a failure of that type.
template <class Body> auto guarded(Body &&body) -> decltype(body()) {
  try {
    return body();
  } catch (const StatusError &error) {
    return error.status;
  } catch (const std::bad_alloc &) {
    return Status::error(StatusCode::OutOfMemory, "out of memory");
  } catch (const std::exception &error) {
    return Status::error(StatusCode::Internal, error.what());
  }
}

} // namespace dsv2rt::text

#endif // DSV2RT_LIB_TEXT_INTERNAL_H
