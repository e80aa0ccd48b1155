//===- PairProduct.h - Many rows by pairs of bytes --------------*- C++ -*-===//
//
// Part of dsv2, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef DSV2_LIB_CODEGEN_CPU_PAIRPRODUCT_H
#define DSV2_LIB_CODEGEN_CPU_PAIRPRODUCT_H

#include "ByteDot.h"
#include "ManyRowsProduct.h"

namespace mlir::dsv2::cpu {

/// Products of many rows with 4-bit weights, on processors that multiply pairs
/// of bytes, VPMADDUBSW. A block's product with a row is so few instructions
/// there that to take the weights apart for four rows would be a sixth of all.
/// With 8-bit weights there is little to take apart, and it was no faster.
/// Tiles are those of emitQuantTile().
class PairProduct final : public ManyRowsProduct {
public:
  static bool isThere(const CPUTargetInfo &target, PanelFormat format);

  PairProduct(KernelBuilder &b, PanelFormat format, int64_t panels);

private:
  Value widen(Value bytes) const override { return bytes; }
  void multiply(Rows row, Value rows, Value panel, Value first, Value count,
                Ahead ahead) const override;

  ByteDot dot;
};

} // namespace mlir::dsv2::cpu

#endif // DSV2_LIB_CODEGEN_CPU_PAIRPRODUCT_H
