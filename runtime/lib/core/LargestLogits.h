//===- LargestLogits.h - where the large logits of a step are ---*- C++ -*-===//
//
// Part of dsv2, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef DSV2RT_LIB_CORE_LARGESTLOGITS_H
#define DSV2RT_LIB_CORE_LARGESTLOGITS_H

#include "TapSink.h"
#include "dsv2rt/abi.h"

#include <cstring>
#include <vector>

namespace dsv2rt {

/// What compiled code found while it computed the logits of a step: for each
/// row the largest of every `each` logits, or NaN if one of them is not finite.
class LargestLogits {
public:
  /// Forgets the rows of the step before.
  void clear() { rowCount = 0; }

  /// Keeps what a tap shows; see TapSink::tap.
  void keep(int64_t each, const void *data, int64_t rows, int64_t columns,
            int64_t rowStride) {
    size = each;
    rowCount = rows;
    groups = columns;
    values.resize(size_t(rows * columns));
    for (int64_t row = 0; row < rows; ++row)
      std::memcpy(values.data() + row * columns,
                  static_cast<const float *>(data) + row * rowStride,
                  size_t(columns) * sizeof(float));
  }

  /// Whether these are of `rows` rows of `columns` logits.
  bool describes(int64_t rows, int64_t columns) const {
    return rows > 0 && rows == rowCount &&
           groups == columns / size + (columns % size != 0);
  }

  /// Whether all logits of `count` rows from `first` on are finite.
  bool allFinite(int64_t first, int64_t count) const {
    return dsv2rt::allFinite(row(first), count * groups, DSV2RT_F32);
  }

  int64_t each() const { return size; }
  const float *row(int64_t index) const {
    return values.data() + index * groups;
  }

private:
  int64_t size = 1, rowCount = 0, groups = 0;
  std::vector<float> values;
};

} // namespace dsv2rt

#endif // DSV2RT_LIB_CORE_LARGESTLOGITS_H
