//===- BlockWeights.cpp - weights in blocks for cases ---------------------===//
//
// Part of dsv2, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "BlockWeights.h"

#include "dsv2rt/KernelCases.h"

#include <algorithm>
#include <cmath>

using namespace mlir;
using namespace mlir::dsv2;
using namespace mlir::dsv2::cases;

BlockWeights::BlockWeights(PackFormat format, int64_t rows, int64_t columns,
                           uint64_t seed, float scale)
    : format(format), blocks(*getBlockFormat(format)), rows(rows),
      period(std::min(rows, kMostRows)), columns(columns), seed(seed),
      scale(scale) {}

uint64_t BlockWeights::random(int64_t row, int64_t index, uint64_t salt) const {
  uint64_t z = seed * 0xD1342543DE82EF95 + salt;
  for (uint64_t part : {uint64_t(row), uint64_t(index)}) {
    z = (z + part + 1) * 0x9E3779B97F4A7C15;
    z = (z ^ z >> 29) * 0xBF58476D1CE4E5B9;
    z ^= z >> 32;
  }
  return z;
}

int32_t BlockWeights::code(int64_t row, int64_t column) const {
  uint64_t z = random(row, column, 1);
  switch (format) {
  case PackFormat::Q8:
    return int32_t(z % 255) - 127;
  case PackFormat::FP8:
    // All but the two that are no numbers.
    return int32_t(z % 127) | int32_t(z >> 32 & 1) << 7;
  default:
    return int32_t(z % 16) - 8;
  }
}

float BlockWeights::element(int64_t row, int64_t column) const {
  int32_t q = code(row, column);
  if (format != PackFormat::FP8)
    return float(q);
  int exponent = q >> 3 & 15;
  float value = exponent ? std::ldexp(float(8 + (q & 7)), exponent - 7 - 3)
                         : std::ldexp(float(q & 7), -6 - 3);
  return q & 0x80 ? -value : value;
}

uint32_t BlockWeights::scaleBits(int64_t row, int64_t block) const {
  uint64_t z = random(row, block, 2);
  if (format != PackFormat::Q4) {
    // Elements have a standard deviation of 73.6, or about 100.
    float deviation = format == PackFormat::Q8 ? 74 : 100;
    float value = scale / deviation * (0.5f + float(z % 256) / 256);
    return ::dsv2rt::toBFloat16(z & 256 ? -value : value);
  }
  // Of 4.6. Exponents down to what that leaves, three bits of mantissa.
  int32_t exponent = std::ilogb(scale / 4.6f) + 13 - int32_t(z % 2);
  return uint32_t(exponent << 3 | int32_t(z / 2 % 8) | (z & 256 ? 0x80 : 0));
}

float BlockWeights::scaleOf(int64_t row, int64_t block) const {
  uint32_t bits = scaleBits(row, block);
  if (format != PackFormat::Q4)
    return ::dsv2rt::fromBFloat16(uint16_t(bits));
  float value = std::ldexp(1 + float(bits & 7) / 8, int(bits >> 3 & 15) - 13);
  return bits & 0x80 ? -value : value;
}

float BlockWeights::at(int64_t row, int64_t column) const {
  row %= period;
  return element(row, column) * scaleOf(row, column / blocks.elements);
}

std::vector<uint8_t> BlockWeights::bytes() const { return bytesOf(rows); }

int64_t BlockWeights::addTo(KernelCase &item, std::string name) const {
  int64_t index = addValues(item, std::move(name), bytesOf(period));
  ::dsv2rt::CaseBuffer &buffer = item.buffers[index];
  buffer.fills.front().repeats = rows / period;
  buffer.bytes = rows * blocks.rowBytes(columns);
  if (int64_t rest = rows % period) {
    ::dsv2rt::CaseFill fill;
    fill.offset = buffer.fills.front().bytes();
    fill.data = bytesOf(rest);
    buffer.fills.push_back(std::move(fill));
  }
  return index;
}

std::vector<uint8_t> BlockWeights::bytesOf(int64_t count) const {
  int64_t pitch = blocks.rowBytes(columns);
  std::vector<uint8_t> result(count * pitch);
  bool ofBytes = blocks.elementBits == 8;
  for (int64_t number = 0; number < count; ++number) {
    int64_t row = number % period;
    uint8_t *to = &result[number * pitch];
    int64_t padded = blocks.groups(columns) * blocks.groupElements();
    for (int64_t k = 0; k < padded; ++k) {
      int32_t q = k < columns ? code(row, k) : 0;
      int64_t group = k / blocks.groupElements();
      int64_t block = k / blocks.elements % blocks.groupBlocks();
      int64_t j = k % blocks.elements;
      uint8_t *piece = to + group * BlockFormat::kGroupBytes + j / 8 * 16;
      if (ofBytes) {
        constexpr int64_t place[] = {0, 2, 1, 3};
        piece[8 * block + 4 * (j / 4 % 2) + place[j % 4]] = uint8_t(q);
        continue;
      }
      int64_t bit = 4 * (j % 8 / 2) + 16 * (j % 2);
      piece[4 * block + bit / 8] |= uint8_t((q + 8) << bit % 8);
    }
    for (int64_t block = 0; block < blocks.blocks(columns); ++block) {
      uint32_t bits = scaleBits(row, block);
      uint8_t *at =
          to + blocks.scaleOffset(columns) + block * blocks.scaleBytes;
      for (int64_t i = 0; i < blocks.scaleBytes; ++i)
        at[i] = uint8_t(bits >> 8 * i);
    }
  }
  return result;
}
