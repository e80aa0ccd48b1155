//===- TestCache.cpp - A latent cache that tests write and read -----------===//
//
// Part of dsv2, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "TestCache.h"

#include <cmath>
#include <limits>

using namespace mlir::dsv2;
using namespace mlir::dsv2::cpu::test;

/// What a code of 8 bits stands for.
static float scaleOf(int code) {
  if (code == 255)
    return std::numeric_limits<float>::quiet_NaN();
  return std::ldexp(1.0f + static_cast<float>(code % 8) / 8, code / 8 - 20);
}

/// Stores the scale of a block at `to` and returns it.
static float encodeScale(const CachePart &part, float largest, uint8_t *to) {
  float wanted = largest * (1.0f / part.divisor);
  if (part.scaleBytes == 2) {
    uint16_t bits = toBF16(wanted);
    std::memcpy(to, &bits, 2);
    return fromBF16(bits);
  }
  int code = 0;
  // A NaN is reached by none.
  while (code < 255 && !(scaleOf(code) >= wanted))
    ++code;
  *to = static_cast<uint8_t>(code);
  return scaleOf(code);
}

/// Where a part of 5 bits keeps element `i`: the byte and the shift of its
/// lower bits, and of its highest one.
struct Place {
  Place(const CachePart &part, int64_t i) {
    int64_t unit = part.firstByte + i / 32 * 20, e = i % 32;
    lower = unit + e % 16;
    lowerShift = e < 16 ? 0 : 4;
    highest = unit + 16 + e / 8;
    highestShift = e % 8;
  }
  int64_t lower, lowerShift, highest, highestShift;
};

static void encodePart(const CachePart &part, const float *values,
                       uint8_t *row) {
  const int half = 1 << (part.bits - 1);
  const int64_t units = (part.width + 31) / 32;
  std::vector<float> padded(values, values + part.width);
  padded.resize(units * 32, 0.0f);
  std::memset(row + part.firstByte, 0, units * 4 * part.bits);
  for (size_t i = 0; i < padded.size(); i += part.block) {
    float largest = 0;
    for (int64_t j = 0; j < part.block; ++j)
      if (!(std::fabs(padded[i + j]) <= largest))
        largest = std::fabs(padded[i + j]);
    float scale =
        encodeScale(part, largest,
                    row + part.firstScale + i / part.block * part.scaleBytes);
    float inverse = scale == 0 ? 0.0f : 1.0f / scale;
    for (size_t j = i; j < i + part.block; ++j) {
      float low = static_cast<float>(part.bits == 8 ? 1 - half : -half);
      // A NaN ends as the least one.
      float scaled = padded[j] * inverse > low ? padded[j] * inverse : low;
      int q = static_cast<int>(
          std::nearbyint(std::min(scaled, static_cast<float>(half - 1))));
      if (part.bits == 8) {
        row[part.firstByte + j] = static_cast<uint8_t>(q);
        continue;
      }
      Place place(part, j);
      row[place.lower] |= ((q + half) & 15) << place.lowerShift;
      row[place.highest] |= ((q + half) >> 4) << place.highestShift;
    }
  }
}

static void decodePart(const CachePart &part, const uint8_t *row, float *to) {
  for (int64_t i = 0; i < part.width; ++i) {
    const uint8_t *at =
        row + part.firstScale + i / part.block * part.scaleBytes;
    float scale = scaleOf(*at);
    if (part.scaleBytes == 2) {
      uint16_t bits;
      std::memcpy(&bits, at, 2);
      scale = fromBF16(bits);
    }
    Place place(part, i);
    int q = part.bits == 8
                ? static_cast<int8_t>(row[part.firstByte + i])
                : (row[place.lower] >> place.lowerShift & 15) +
                      16 * (row[place.highest] >> place.highestShift & 1) - 16;
    to[i] = static_cast<float>(q) * scale;
  }
}

TestCache::TestCache(const LatentCacheConfig &config, int64_t pages)
    : config(config), memory({pages, config.page, config.row().bytes}),
      decoded({pages, config.page, config.latent + config.rope}) {
  // NaN in every format: of each element or of each scale.
  memory.fill(0xff);
  decoded.fill(std::numeric_limits<float>::quiet_NaN());
}

void TestCache::setRow(int64_t page, int64_t row,
                       llvm::ArrayRef<float> values) {
  uint8_t *bytes = &memory(page, row, 0);
  float *read = &decoded(page, row, 0);
  CacheRow layout = config.row();
  switch (config.format) {
  case CacheFormat::F32:
    std::memcpy(bytes, values.data(), values.size() * 4);
    std::memcpy(read, values.data(), values.size() * 4);
    return;
  case CacheFormat::BF16:
    for (size_t i = 0; i < values.size(); ++i) {
      uint16_t bits = toBF16(values[i]);
      std::memcpy(bytes + 2 * i, &bits, 2);
      read[i] = fromBF16(bits);
    }
    return;
  case CacheFormat::Q8:
  case CacheFormat::Q6:
    encodePart(layout.latent, values.data(), bytes);
    encodePart(layout.rope, values.data() + config.latent, bytes);
    decodePart(layout.latent, bytes, read);
    decodePart(layout.rope, bytes, read + config.latent);
  }
}

Descriptor TestCache::descriptor() {
  int64_t width = config.rowWidth(), page = config.page * width;
  return Descriptor(memory.data(), 0, {memory.dim(0), config.page, width},
                    {page, width, 1});
}
