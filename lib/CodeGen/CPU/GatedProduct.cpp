//===- GatedProduct.cpp - Two products and what gates them ----------------===//
//
// Part of dsv2, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "GatedProduct.h"

#include "ManyRowsProduct.h"
#include "QuantTile.h"
#include "dsv2/Support/BlockFormat.h"
#include "mlir/Dialect/Math/IR/Math.h"

using namespace mlir;
using namespace mlir::dsv2;
using namespace mlir::dsv2::cpu;

GatedProduct::GatedProduct(KernelBuilder &b, PanelFormat format, Value panels,
                           bool quantizes)
    : b(b), panels(panels) {
  const CPUTargetInfo &target = b.getTarget();
  bool inBlocks = getBlockFormat(format);
  if (quantizes) {
    assert(inBlocks && "products of elements are not quantised");
    constexpr int64_t columns = kQ8Format.elements;
    unitPanels = std::max<int64_t>(columns / target.panelWidth(), 1);
    block = b.scratch({columns}, b.getF32Type());
  }
  TilePlan plan = getTilePlan(target, /*streams=*/2);
  int64_t rows = inBlocks ? getQuantTileRows(target)
                          : std::max(plan.maxRows(), plan.fewRows);
  kept = b.scratch({unitPanels, 2, rows, target.panelWidth()}, b.getF32Type());
}

Value GatedProduct::numUnits() const {
  return unitPanels == 1 ? panels : b.ceilDiv(panels, unitPanels);
}

void GatedProduct::emit(const ProductOperands &operands, Value unitLo,
                        Value unitHi, Value rowLo, Value rowHi) const {
  if (!operands.inBlocks())
    return emitElements(operands, unitLo, unitHi, rowLo, rowHi);
  operands.chooseByRows(
      b, rowLo, rowHi,
      [&] { emitManyRows(operands, unitLo, unitHi, rowLo, rowHi); },
      [&] { emitInBlocks(operands, unitLo, unitHi, rowLo, rowHi); });
}

/// silu(gate) * up = gate / (1 + exp(-gate)) * up.
static Value emitGate(KernelBuilder &b, Value gate, Value up) {
  Value exp = math::ExpOp::create(b, b.fneg(gate));
  Value silu = b.fdiv(gate, b.fadd(b.splat(1.0f), exp));
  return b.fmul(silu, up);
}

/// Rows and panels are loops. Unrolled, their exponentials would be most of the
/// kernel's code.
void GatedProduct::finish(const ProductOperands &operands, Value unit,
                          Value row, Value rows, Sums sums) const {
  auto gated = [&](Value i, Value panel, int64_t half) {
    return emitGate(b, sums(i, panel, 0, half), sums(i, panel, 1, half));
  };
  Value zero = b.index(0);
  b.forEach(zero, rows, [&](Value i) {
    SmallVector<Slice> to = operands.y(b.add(row, i), 1);
    if (!block) {
      storePanel(b, unit, operands.width, to,
                 [&](int64_t, int64_t half, Value, Value) {
                   return gated(i, zero, half);
                 });
      return;
    }
    int64_t width = b.getTarget().panelWidth();
    b.forEach(zero, b.index(unitPanels), [&](Value panel) {
      for (int64_t half : {0, 1})
        b.store(gated(i, panel, half), block,
                {b.add(b.mul(panel, width), half * b.lanes())});
    });
    // The last unit may have fewer panels.
    Value columns = b.mul(b.sub(panels, b.mul(unit, unitPanels)), width);
    emitQuantizedBlock(b, {block, {}}, zero, to.front(), unit, columns);
  });
}

void GatedProduct::keep(const TileSums &sums, int64_t sumsPanel, int64_t count,
                        Value panel, int64_t which) const {
  for (int64_t i = 0; i < count; ++i)
    for (int64_t half : {0, 1})
      b.store(sums(i, sumsPanel, half), kept,
              {panel, b.index(which), b.index(i), b.index(half * b.lanes())});
}

void GatedProduct::finishKept(const ProductOperands &operands, Value unit,
                              Value row, int64_t count) const {
  finish(operands, unit, row, b.index(count),
         [&](Value i, Value panel, int64_t which, int64_t half) {
           return b.load(kept,
                         {panel, b.index(which), i, b.index(half * b.lanes())});
         });
}

/// Gate and up of a panel are panels of their own here: number (p * 2 + which)
/// of a unit.
void GatedProduct::emitManyRows(const ProductOperands &operands, Value unitLo,
                                Value unitHi, Value rowLo, Value rowHi) const {
  int64_t each = 2 * unitPanels;
  auto product = ManyRowsProduct::create(b, operands.format, each);
  product->walk(
      each, unitLo, unitHi, rowLo, rowHi,
      [&](Value unit, Value units, Value row, Value rows) {
        auto getPanel = [&](Value p) {
          Value panel = b.add(b.mul(unit, unitPanels), b.div(p, 2));
          // What the last unit has too many of is computed and not used.
          if (unitPanels > 1)
            panel = b.min(panel, b.sub(panels, 1));
          return operands.w(panel, b.rem(p, b.index(2)));
        };
        product->compute(
            [&](Value i) { return operands.x(b.add(row, i), 1).front(); }, rows,
            getPanel, b.mul(units, each), operands.depth);
        b.forEach(b.index(0), units, [&](Value u) {
          finish(operands, b.add(unit, u), row, rows,
                 [&](Value i, Value panel, int64_t which, int64_t half) {
                   Value p = b.add(b.mul(u, unitPanels), panel);
                   return product->sum(b.add(b.mul(p, 2), which), i, half);
                 });
        });
      });
}

void GatedProduct::emitInBlocks(const ProductOperands &operands, Value unitLo,
                                Value unitHi, Value rowLo, Value rowHi) const {
  walkEvenTiles(
      b, getQuantTileRows(b.getTarget()), unitLo, unitHi, rowLo, rowHi,
      [&](Value unit, Value row, int64_t count, const TilePass &pass) {
        SmallVector<Slice> x = operands.x(row, count);
        b.forEach(b.index(0), b.index(unitPanels), [&](Value p) {
          Value panel = unit;
          // What the last unit has too many of is computed and not used.
          if (unitPanels > 1)
            panel = b.min(b.add(b.mul(unit, unitPanels), p), b.sub(panels, 1));
          for (int64_t which : {0, 1})
            keep(emitQuantTile(b, x, operands.w(panel, b.index(which)),
                               operands.depth, operands.format, pass,
                               /*panelStride=*/2 * unitPanels),
                 0, count, p, which);
        });
        finishKept(operands, unit, row, count);
      });
}

void GatedProduct::emitElements(const ProductOperands &operands, Value panelLo,
                                Value panelHi, Value rowLo, Value rowHi) const {
  Value zero = b.index(0);
  // Few rows are bound by memory: gate and up are read side by side, in the
  // order they are stored in.
  auto fewTile = [&](ArrayRef<Value> panels, Value row, int64_t count) {
    SmallVector<Slice> weights;
    for (Value panel : panels)
      for (int64_t which : {0, 1})
        weights.push_back(operands.w(panel, b.index(which)));
    TileSums sums = emitTile(b, operands.x(row, count), weights, operands.depth,
                             /*prefetch=*/false);
    for (auto [p, panel] : llvm::enumerate(panels)) {
      for (int64_t which : {0, 1})
        keep(sums, 2 * p + which, count, zero, which);
      finishKept(operands, panel, row, count);
    }
  };
  // Many rows are bound by arithmetic: tall tiles, gate first, so that every
  // weight read from the cache serves as many rows as registers allow.
  auto tile = [&](Value panel, Value row, int64_t count) {
    SmallVector<Slice> x = operands.x(row, count);
    for (int64_t which : {0, 1})
      keep(emitTile(b, x, operands.w(panel, b.index(which)), operands.depth,
                    /*prefetch=*/count >= 4),
           0, count, zero, which);
    finishKept(operands, panel, row, count);
  };
  walkPanels(b, getTilePlan(b.getTarget(), /*streams=*/2), panelLo, panelHi,
             rowLo, rowHi, fewTile, tile);
}
