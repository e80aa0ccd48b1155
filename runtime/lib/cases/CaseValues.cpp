//===- CaseValues.cpp - what buffers of cases hold ------------------------===//
//
// Part of dsv2, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "dsv2rt/KernelCases.h"

#include <cstring>

using namespace dsv2rt;

uint16_t dsv2rt::toBFloat16(float value) {
  uint32_t bits;
  std::memcpy(&bits, &value, sizeof(bits));
  // A NaN could become an infinity.
  if (value != value)
    return 0x7FFF;
  return uint16_t((bits + 0x7FFF + (bits >> 16 & 1)) >> 16);
}

float dsv2rt::fromBFloat16(uint16_t bits) {
  uint32_t wide = uint32_t(bits) << 16;
  float value;
  std::memcpy(&value, &wide, sizeof(value));
  return value;
}

float dsv2rt::caseNumber(uint64_t seed, float scale, int64_t index) {
  // SplitMix64, as of random weights. The sum of four uniform numbers is close
  // to normal, and exact.
  auto mix = [](uint64_t z) {
    z = (z ^ z >> 30) * 0xBF58476D1CE4E5B9;
    z = (z ^ z >> 27) * 0x94D049BB133111EB;
    return z ^ z >> 31;
  };
  uint64_t raw = mix(mix(seed + 1) +
                     (uint64_t(index) % kCasePeriod + 1) * 0x9E3779B97F4A7C15);
  int32_t sum = int32_t(raw & 0xFFFF) + int32_t(raw >> 16 & 0xFFFF) +
                int32_t(raw >> 32 & 0xFFFF) + int32_t(raw >> 48);
  // Mean and standard deviation of four numbers from 0 to 65535.
  constexpr float mean = 2 * 65535.f, deviation = 37837.2f;
  return fromBFloat16(
      toBFloat16((float(sum) - mean) * (1 / deviation) * scale));
}

int64_t KernelCase::memory() const {
  int64_t sum = 0;
  for (const CaseBuffer &buffer : buffers)
    sum += buffer.bytes;
  return sum;
}
