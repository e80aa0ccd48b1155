//===- BlockWeights.h - weights in blocks for cases -------------*- C++ -*-===//
//
// Part of dsv2, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef DSV2_TOOLS_DSV2_KERNEL_CASES_BLOCKWEIGHTS_H
#define DSV2_TOOLS_DSV2_KERNEL_CASES_BLOCKWEIGHTS_H

#include "CaseBuilder.h"

#include "dsv2/Dialect/DSV2/IR/DSV2.h"

#include <cstdint>
#include <vector>

namespace mlir::dsv2::cases {

/// A random matrix [rows, columns] in a format that has blocks: every integer
/// that the format has, and scales of either sign. Rows are as BlockFormat.h
/// says for GPUs; of a large matrix they repeat, which costs nothing in a file.
class BlockWeights {
public:
  /// Elements have a magnitude of about `scale`.
  BlockWeights(PackFormat format, int64_t rows, int64_t columns, uint64_t seed,
               float scale);

  /// An element by what it was made of, not by its bytes.
  float at(int64_t row, int64_t column) const;
  std::vector<uint8_t> bytes() const;

  /// Adds a buffer that holds it, and returns its index.
  int64_t addTo(KernelCase &item, std::string name) const;

private:
  /// Row `row` is row `row` % period. A prime, so that rows a number of tiles
  /// apart differ.
  static constexpr int64_t kMostRows = 31;
  std::vector<uint8_t> bytesOf(int64_t count) const;

  uint64_t random(int64_t row, int64_t index, uint64_t salt) const;
  /// An element as it is stored, q or the bits of a float, and what it is
  /// before its scale.
  int32_t code(int64_t row, int64_t column) const;
  float element(int64_t row, int64_t column) const;
  /// The scale of a block as it is stored, and its value.
  uint32_t scaleBits(int64_t row, int64_t block) const;
  float scaleOf(int64_t row, int64_t block) const;

  PackFormat format;
  const BlockFormat &blocks;
  int64_t rows, period, columns;
  uint64_t seed;
  float scale;
};

} // namespace mlir::dsv2::cases

#endif // DSV2_TOOLS_DSV2_KERNEL_CASES_BLOCKWEIGHTS_H
