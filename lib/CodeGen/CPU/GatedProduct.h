//===- GatedProduct.h - Two products and what gates them --------*- C++ -*-===//
//
// Part of dsv2, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef DSV2_LIB_CODEGEN_CPU_GATEDPRODUCT_H
#define DSV2_LIB_CODEGEN_CPU_GATEDPRODUCT_H

#include "ProductOperands.h"

namespace mlir::dsv2::cpu {

/// Emits y = silu(x Wg^T) * (x Wu^T), silu(v) = v / (1 + exp(-v)), over ranges
/// of rows and of *units* of columns. A unit is a panel; or, where the rows of
/// y are quantised (getQuantizedActivationType), the panels that a block of
/// them takes, so that whoever has computed a block quantises it.
class GatedProduct {
public:
  /// For weights in `format` of `panels` panels. Only those in blocks have
  /// results that can be quantised.
  GatedProduct(KernelBuilder &b, PanelFormat format, Value panels,
               bool quantizes);

  /// How many units there are.
  Value numUnits() const;

  /// Emits the product for some units and rows.
  void emit(const ProductOperands &operands, Value unitLo, Value unitHi,
            Value rowLo, Value rowHi) const;

private:
  /// The sums of gate (`which` 0) or up (1) for half of a panel's columns.
  using Sums = llvm::function_ref<Value(Value row, Value panel, int64_t which,
                                        int64_t half)>;

  void emitManyRows(const ProductOperands &operands, Value unitLo, Value unitHi,
                    Value rowLo, Value rowHi) const;
  void emitInBlocks(const ProductOperands &operands, Value unitLo, Value unitHi,
                    Value rowLo, Value rowHi) const;
  void emitElements(const ProductOperands &operands, Value panelLo,
                    Value panelHi, Value rowLo, Value rowHi) const;
  /// Keeps the sums of one product and panel of the unit in memory.
  void keep(const TileSums &sums, int64_t sumsPanel, int64_t count, Value panel,
            int64_t which) const;
  void finishKept(const ProductOperands &operands, Value unit, Value row,
                  int64_t count) const;
  /// Finishes rows row .. row + rows - 1 of one unit.
  void finish(const ProductOperands &operands, Value unit, Value row,
              Value rows, Sums sums) const;

  KernelBuilder &b;
  Value panels;
  /// The panels of a unit.
  int64_t unitPanels = 1;
  /// [panel of the unit][which][row][column].
  Value kept;
  /// The columns of a block of a row that is to be quantised; or null.
  Value block;
};

} // namespace mlir::dsv2::cpu

#endif // DSV2_LIB_CODEGEN_CPU_GATEDPRODUCT_H
