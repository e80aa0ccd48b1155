//===- Support.cpp - small helpers of the runtime core --------------------===//
//
// Part of dsv2, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "Support.h"

#include <cstdio>

using namespace dsv2rt;

std::string dsv2rt::quote(const std::string &text) {
  constexpr size_t maxShown = 200;
  std::string out = "'";
  for (size_t i = 0; i < text.size(); ++i) {
    if (i == maxShown) {
      out += "'... (" + std::to_string(text.size()) + " bytes)";
      return out;
    }
    unsigned char c = text[i];
    if (c >= 0x20 && c < 0x7f && c != '\\') {
      out += char(c);
      continue;
    }
    char escape[8];
    std::snprintf(escape, sizeof(escape), "\\x%02x", c);
    out += escape;
  }
  return out + "'";
}

std::string dsv2rt::shapeText(const std::vector<int64_t> &shape) {
  std::string out = "[";
  for (size_t i = 0; i < shape.size(); ++i) {
    if (i)
      out += ", ";
    if (i == 8) {
      out += "... (" + std::to_string(shape.size()) + " sizes)";
      break;
    }
    out += std::to_string(shape[i]);
  }
  return out + "]";
}

std::string dsv2rt::bytesText(uint64_t bytes) {
  std::string out = std::to_string(bytes) + " bytes";
  static const char *const units[] = {"MiB", "GiB", "TiB", "PiB", "EiB"};
  double scaled = double(bytes) / (1 << 20);
  if (scaled < 1)
    return out;
  int unit = 0;
  for (; scaled >= 1024 && unit < 4; ++unit)
    scaled /= 1024;
  char text[32];
  std::snprintf(text, sizeof(text), " (%.1f %s)", scaled, units[unit]);
  return out + text;
}

int64_t dsv2rt::elementCount(const std::vector<int64_t> &shape) {
  int64_t count = 1;
  bool zero = false;
  for (int64_t size : shape) {
    if (size < 0)
      return -1;
    if (size == 0)
      zero = true;
    else if (!mulFits(count, size, count))
      return -1;
  }
  return zero ? 0 : count;
}
