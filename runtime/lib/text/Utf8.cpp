//===- Utf8.cpp - validation and lossy decoding of UTF-8 ------------------===//
//
// Part of dsv2, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "dsv2rt/text/Utf8.h"

#include <cstdio>

using namespace dsv2rt;

namespace {
/// What a lead byte announces: how many bytes follow it, and the range of the
/// first of them. The narrow ranges keep out overlong forms, surrogates and
/// values above U+10FFFF.
struct Lead {
  unsigned missing;
  uint8_t lowest;
  uint8_t highest;
};
} // namespace

/// Returns false if `byte` cannot start a code point.
static bool classifyLead(uint8_t byte, Lead &lead) {
  lead = {0, 0x80, 0xBF};
  if (byte < 0x80)
    return true;
  if (byte < 0xC2)
    return false;
  if (byte < 0xE0) {
    lead.missing = 1;
    return true;
  }
  if (byte < 0xF0) {
    lead.missing = 2;
    if (byte == 0xE0)
      lead.lowest = 0xA0;
    if (byte == 0xED)
      lead.highest = 0x9F;
    return true;
  }
  if (byte > 0xF4)
    return false;
  lead.missing = 3;
  if (byte == 0xF0)
    lead.lowest = 0x90;
  if (byte == 0xF4)
    lead.highest = 0x8F;
  return true;
}

std::optional<size_t> dsv2rt::findInvalidUtf8(std::string_view text) {
  size_t position = 0;
  while (position < text.size()) {
    Lead lead;
    if (!classifyLead(static_cast<uint8_t>(text[position]), lead))
      return position;
    if (lead.missing >= text.size() - position)
      return position;
    for (unsigned i = 1; i <= lead.missing; ++i) {
      uint8_t byte = static_cast<uint8_t>(text[position + i]);
      if (byte < lead.lowest || byte > lead.highest)
        return position;
      lead.lowest = 0x80;
      lead.highest = 0xBF;
    }
    position += lead.missing + 1;
  }
  return std::nullopt;
}

Status dsv2rt::checkUtf8(std::string_view text, std::string_view what) {
  std::optional<size_t> offset = findInvalidUtf8(text);
  if (!offset)
    return Status();
  char byte[8];
  std::snprintf(byte, sizeof(byte), "0x%02X",
                static_cast<unsigned>(static_cast<uint8_t>(text[*offset])));
  return Status::error(StatusCode::InvalidArgument,
                       std::string(what) + " is not valid UTF-8: byte " + byte +
                           " at offset " + std::to_string(*offset) +
                           " does not start a complete code point");
}

void dsv2rt::appendUtf8(uint32_t codePoint, std::string &out) {
  if (codePoint < 0x80) {
    out += static_cast<char>(codePoint);
    return;
  }
  if (codePoint < 0x800) {
    out += static_cast<char>(0xC0 | (codePoint >> 6));
  } else {
    if (codePoint < 0x10000) {
      out += static_cast<char>(0xE0 | (codePoint >> 12));
    } else {
      out += static_cast<char>(0xF0 | (codePoint >> 18));
      out += static_cast<char>(0x80 | ((codePoint >> 12) & 0x3F));
    }
    out += static_cast<char>(0x80 | ((codePoint >> 6) & 0x3F));
  }
  out += static_cast<char>(0x80 | (codePoint & 0x3F));
}

uint32_t dsv2rt::nextCodePoint(std::string_view text, size_t &position) {
  uint8_t first = static_cast<uint8_t>(text[position++]);
  if (first < 0x80)
    return first;
  unsigned missing = first < 0xE0 ? 1 : first < 0xF0 ? 2 : 3;
  uint32_t codePoint = first & (0x3F >> missing);
  for (; missing && position < text.size(); --missing)
    codePoint =
        codePoint << 6 | (static_cast<uint8_t>(text[position++]) & 0x3F);
  return codePoint;
}

static constexpr std::string_view replacement = "\xEF\xBF\xBD";

void Utf8Stream::append(std::string_view bytes, std::string &out) {
  for (char c : bytes) {
    uint8_t byte = static_cast<uint8_t>(c);
    if (heldSize) {
      if (byte >= lowest && byte <= highest) {
        held[heldSize++] = c;
        lowest = 0x80;
        highest = 0xBF;
        if (--missing == 0) {
          out.append(held, heldSize);
          heldSize = 0;
        }
        continue;
      }
      // The held bytes can never be completed; this byte starts afresh.
      out += replacement;
      heldSize = 0;
    }
    Lead lead;
    if (!classifyLead(byte, lead)) {
      out += replacement;
      continue;
    }
    if (lead.missing == 0) {
      out += c;
      continue;
    }
    held[0] = c;
    heldSize = 1;
    missing = lead.missing;
    lowest = lead.lowest;
    highest = lead.highest;
  }
}

void Utf8Stream::finish(std::string &out) {
  if (heldSize)
    out += replacement;
  heldSize = 0;
  missing = 0;
}
