//===- ExactDouble.h - a double that attributes can hold --------*- C++ -*-===//
//
// Part of dsv2, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef DSV2_DIALECT_DSV2_IR_EXACTDOUBLE_H
#define DSV2_DIALECT_DSV2_IR_EXACTDOUBLE_H

#include "llvm/ADT/Hashing.h"
#include "llvm/ADT/bit.h"

#include <cstdint>

namespace mlir::dsv2 {

/// A double compared and hashed by its bits, as uniqued attribute storage needs
/// it; LLVM hashes no floating-point values.
struct ExactDouble {
  ExactDouble(double value) : value(value) {}
  operator double() const { return value; }
  bool operator==(const ExactDouble &other) const {
    return bits() == other.bits();
  }
  uint64_t bits() const { return llvm::bit_cast<uint64_t>(value); }

  double value;
};

inline llvm::hash_code hash_value(const ExactDouble &number) {
  return llvm::hash_value(number.bits());
}

} // namespace mlir::dsv2

#endif // DSV2_DIALECT_DSV2_IR_EXACTDOUBLE_H
