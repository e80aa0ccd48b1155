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

/// Puts `count` bits of `value` into a plane, for element `e` of a unit.
static void storeBits(uint8_t *plane, int64_t unit, int64_t count, int64_t e,
                      uint32_t value) {
  int64_t bytes = unit * count / 8;
  int64_t shift = count * (e / bytes);
  uint32_t mask = ((1u << count) - 1) << shift;
  uint8_t &byte = plane[e % bytes];
  byte = static_cast<uint8_t>((byte & ~mask) | ((value << shift) & mask));
}

static uint32_t loadBits(const uint8_t *plane, int64_t unit, int64_t count,
                         int64_t e) {
  int64_t bytes = unit * count / 8;
  return plane[e % bytes] >> (count * (e / bytes)) & ((1u << count) - 1);
}

static void encodePart(const CachePart &part, const float *values,
                       uint8_t *row) {
  const int half = 1 << (part.bits - 1);
  std::vector<float> scales;
  for (int64_t k = 0; k < part.blocks(); ++k) {
    float largest = 0;
    for (int64_t i = k * part.block;
         i < std::min((k + 1) * part.block, part.width); ++i)
      if (!(std::fabs(values[i]) <= largest))
        largest = std::fabs(values[i]);
    scales.push_back(encodeScale(part, largest,
                                 row + part.firstScale + k * part.scaleBytes));
  }
  for (int64_t i = 0; i < part.units() * part.unit; ++i) {
    float scale = scales[i / part.block];
    float scaled = (i < part.width ? values[i] : 0.0f) *
                   (scale == 0 ? 0.0f : 1.0f / scale);
    float low = static_cast<float>(part.bits == 8 ? 1 - half : -half);
    // A NaN ends as the least one.
    scaled = scaled > low ? scaled : low;
    int q = static_cast<int>(
        std::nearbyint(std::min(scaled, static_cast<float>(half - 1))));
    uint8_t *unit =
        row + part.firstByte + i / part.unit * (part.unit * part.bits / 8);
    int64_t e = i % part.unit;
    if (part.bits == 8) {
      unit[e] = static_cast<uint8_t>(q);
      continue;
    }
    uint32_t code = q + half;
    storeBits(unit, part.unit, 4, e, code);
    storeBits(unit + part.unit / 2, part.unit, part.bits - 4, e, code >> 4);
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
    const uint8_t *unit =
        row + part.firstByte + i / part.unit * (part.unit * part.bits / 8);
    int64_t e = i % part.unit;
    int q =
        part.bits == 8
            ? static_cast<int8_t>(unit[e])
            : static_cast<int>(
                  loadBits(unit, part.unit, 4, e) |
                  loadBits(unit + part.unit / 2, part.unit, part.bits - 4, e)
                      << 4) -
                  (1 << (part.bits - 1));
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
