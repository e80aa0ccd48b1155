//===- Count.h - counts that notice when they overflow ----------*- C++ -*-===//
//
// Part of dsv2, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef DSV2_SUPPORT_COUNT_H
#define DSV2_SUPPORT_COUNT_H

#include "llvm/Support/CheckedArithmetic.h"

#include <cstdint>
#include <optional>

namespace dsv2 {

/// A non-negative count that remembers having overflowed.
class Count {
public:
  Count(int64_t value) : value(value) {}

  Count operator+(Count other) const {
    return combine(other, llvm::checkedAdd<int64_t>);
  }
  Count operator*(Count other) const {
    return combine(other, llvm::checkedMul<int64_t>);
  }
  Count &operator+=(Count other) { return *this = *this + other; }

  /// The value, or nothing after an overflow.
  std::optional<int64_t> get() const { return value; }

private:
  Count(std::optional<int64_t> value) : value(value) {}

  template <typename Operation>
  Count combine(Count other, Operation operation) const {
    if (!value || !other.value)
      return Count(std::optional<int64_t>());
    return Count(std::optional<int64_t>(operation(*value, *other.value)));
  }

  std::optional<int64_t> value;
};

} // namespace dsv2

#endif // DSV2_SUPPORT_COUNT_H
