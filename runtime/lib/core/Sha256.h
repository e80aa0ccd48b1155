//===- Sha256.h - content digests -------------------------------*- C++ -*-===//
//
// Part of dsv2, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef DSV2RT_LIB_CORE_SHA256_H
#define DSV2RT_LIB_CORE_SHA256_H

#include <array>
#include <cstddef>
#include <cstdint>
#include <string>

namespace dsv2rt {

/// SHA-256 (FIPS 180-4), used to tell one set of weights from another.
class Sha256 {
public:
  Sha256();

  /// Appends `size` bytes to the message.
  void update(const void *data, size_t size);

  /// Appends a string with its length, so that neighbouring fields of a
  /// message cannot run into each other.
  void field(const std::string &text);

  /// Appends a number as 8 bytes, least significant first.
  void field(uint64_t number);

  /// Ends the message and returns its digest as 64 hexadecimal digits.
  std::string hex();

private:
  void block(const uint8_t *bytes);

  std::array<uint32_t, 8> state;
  std::array<uint8_t, 64> pending;
  size_t pendingSize = 0;
  uint64_t total = 0;
};

} // namespace dsv2rt

#endif // DSV2RT_LIB_CORE_SHA256_H
