//===- ConfigMessages.cpp - how values of a file are shown ----------------===//
//
// Part of dsv2, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "ConfigMessages.h"
#include "dsv2/Import/ModelConfig.h"

#include "llvm/ADT/StringExtras.h"
#include "llvm/Support/FormatVariadic.h"

using namespace dsv2;
using namespace llvm;

Error dsv2::makeError(StringRef fileName, const Twine &message) {
  return createStringError(inconvertibleErrorCode(),
                           (fileName.empty() ? Twine() : fileName + ": ") +
                               message);
}

std::string dsv2::escapeText(StringRef text) {
  // JSON escapes the control characters below U+0020, but not U+007F nor those
  // of U+0080 .. U+009F, which terminals act on too.
  std::string quoted = formatv("{0}", json::Value(json::fixUTF8(text))).str();
  StringRef rest = StringRef(quoted).drop_front().drop_back();
  std::string escaped;
  escaped.reserve(rest.size());
  for (size_t i = 0; i < rest.size(); ++i) {
    unsigned char c = rest[i];
    unsigned char next = i + 1 < rest.size() ? rest[i + 1] : 0;
    if (c == 0x7f) {
      escaped += "\\u007f";
    } else if (c == 0xC2 && next < 0xA0) {
      escaped += "\\u00" + utohexstr(next, /*LowerCase=*/true);
      ++i;
    } else {
      escaped += c;
    }
  }
  return escaped;
}

/// Shortens escaped text to something that fits a message, at a character
/// boundary.
static std::string clip(std::string text) {
  constexpr size_t limit = 60;
  if (text.size() <= limit)
    return text;
  size_t end = limit;
  while (end > 0 && (static_cast<unsigned char>(text[end]) & 0xC0) == 0x80)
    --end;
  text.resize(end);
  return text + "...";
}

std::string dsv2::describe(const json::Value &value) {
  switch (value.kind()) {
  case json::Value::Array:
    return "a list";
  case json::Value::Object:
    return "an object";
  case json::Value::String:
    return "the string \"" + clip(escapeText(*value.getAsString())) + "\"";
  default:
    return formatv("{0}", value).str();
  }
}

std::string dsv2::quote(StringRef text) {
  return "'" + clip(escapeText(text)) + "'";
}

std::string dsv2::toJsonText(double value) {
  return formatv("{0}", json::Value(value)).str();
}
