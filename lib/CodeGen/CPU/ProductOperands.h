//===- ProductOperands.h - What a product reads and writes ------*- C++ -*-===//
//
// Part of dsv2, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef DSV2_LIB_CODEGEN_CPU_PRODUCTOPERANDS_H
#define DSV2_LIB_CODEGEN_CPU_PRODUCTOPERANDS_H

#include "MatmulTile.h"

namespace mlir::dsv2::cpu {

/// Where a product gets its rows and panels from, and where it leaves its
/// results; the walk over them is the same for all kernels.
struct ProductOperands {
  /// Rows of x that rows row .. row + count - 1 of the product read.
  std::function<SmallVector<Slice>(Value row, int64_t count)> x;
  /// The same rows of the output.
  std::function<SmallVector<Slice>(Value row, int64_t count)> y;
  /// Panel `panel`; `which` is 0, or 1 for the up projection of a gated one.
  std::function<Slice(Value panel, Value which)> w;
  /// The same rows of the largest values of every panel, or null; see
  /// storePanel().
  std::function<SmallVector<Slice>(Value row, int64_t count)> largest;
  /// Rows of the residual, or null.
  std::function<SmallVector<Slice>(Value row, int64_t count)> residual;
  PanelFormat format;
  /// Elements or blocks of the reduction, and size of the output's last
  /// dimension.
  Value depth, width;

  /// The sums of a row from `column` on with its residual, if there is one.
  /// `count` is what KernelBuilder::load() takes.
  Value addResidual(KernelBuilder &b, Value sum, Value row, Value column,
                    Value count) const;
  /// Rows row .. row + count - 1 of `largest`, if there is one.
  SmallVector<Slice> getLargest(Value row, int64_t count) const {
    return largest ? largest(row, count) : SmallVector<Slice>();
  }
  bool inBlocks() const { return getBlockFormat(format) != nullptr; }
  /// Rows of the tallest tile.
  int64_t tileRows(const CPUTargetInfo &target) const;

  /// Emits what is right for few and for many rows (ManyRowsProduct).
  void chooseByRows(KernelBuilder &b, Value rowLo, Value rowHi,
                    llvm::function_ref<void()> many,
                    llvm::function_ref<void()> few) const;
};

} // namespace mlir::dsv2::cpu

#endif // DSV2_LIB_CODEGEN_CPU_PRODUCTOPERANDS_H
