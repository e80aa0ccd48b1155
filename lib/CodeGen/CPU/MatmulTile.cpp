//===- MatmulTile.cpp - Register tiles and the walk over panels -----------===//
//
// Part of dsv2, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "MatmulTile.h"

#include "mlir/Dialect/LLVMIR/LLVMDialect.h"
#include "mlir/Dialect/MemRef/IR/MemRef.h"
#include "llvm/ADT/STLExtras.h"
#include "llvm/Support/MathExtras.h"

#include <algorithm>
#include <limits>

using namespace mlir;
using namespace mlir::dsv2;
using namespace mlir::dsv2::cpu;

//===----------------------------------------------------------------------===//
// Tiles
//===----------------------------------------------------------------------===//

void dsv2::cpu::keepRolled(Operation *loop) {
  MLIRContext *context = loop->getContext();
  auto unroll = LLVM::LoopUnrollAttr::get(
      context, /*disable=*/BoolAttr::get(context, true), /*count=*/{},
      /*runtimeDisable=*/{}, /*full=*/{}, /*followupUnrolled=*/{},
      /*followupRemainder=*/{}, /*followupAll=*/{});
  LLVM::LoopAnnotationAttr annotation = LLVM::LoopAnnotationAttr::get(
      context, /*disableNonforced=*/{}, /*vectorize=*/{}, /*interleave=*/{},
      unroll, /*unrollAndJam=*/{}, /*licm=*/{}, /*distribute=*/{},
      /*pipeline=*/{}, /*peeled=*/{}, /*unswitch=*/{}, /*mustProgress=*/{},
      /*isVectorized=*/{}, /*startLoc=*/{}, /*endLoc=*/{},
      /*parallelAccesses=*/{});
  loop->setAttr("llvm.loop_annotation", annotation);
}

TileSums dsv2::cpu::emitTile(KernelBuilder &b, ArrayRef<Slice> rows,
                             ArrayRef<Slice> panels, Value depth,
                             bool prefetch) {
  constexpr int64_t kCacheLine = 64, kPrefetchBytes = 8192;
  int64_t numRows = rows.size(), numPanels = panels.size();
  Value lanes[2] = {b.index(0), b.index(b.lanes())};
  auto type = cast<MemRefType>(panels.front().memref.getType());
  int64_t rowBytes =
      b.getTarget().panelWidth() * type.getElementTypeBitWidth() / 8;

  // One k for the whole tile. What there is less of, elements of x or vectors
  // of weights, is kept in registers while the other is streamed past it.
  auto step = [&](Value k, ValueRange sums) {
    SmallVector<Value> next(sums.begin(), sums.end());
    if (prefetch)
      for (const Slice &panel : panels)
        for (int64_t lane = 0; lane < rowBytes; lane += kCacheLine)
          memref::PrefetchOp::create(
              b, panel.memref,
              panel.at({b.add(k, kPrefetchBytes / rowBytes),
                        b.index(lane * b.getTarget().panelWidth() / rowBytes)}),
              /*isWrite=*/false, /*localityHint=*/3, /*isDataCache=*/true);
    auto element = [&](const Slice &row) {
      return b.broadcast(b.loadScalar(row.memref, row.at({k})));
    };
    auto weight = [&](const Slice &panel, int64_t half) {
      return b.load(panel.memref, panel.at({k, lanes[half]}));
    };
    auto accumulate = [&](int64_t row, int64_t panel, int64_t half, Value x,
                          Value w) {
      Value &sum = next[(row * numPanels + panel) * 2 + half];
      sum = b.fma(x, w, sum);
    };
    if (numRows < 2 * numPanels) {
      SmallVector<Value> xs = llvm::map_to_vector(rows, element);
      for (int64_t p = 0; p < numPanels; ++p)
        for (int64_t half : {0, 1}) {
          Value w = weight(panels[p], half);
          for (int64_t r = 0; r < numRows; ++r)
            accumulate(r, p, half, xs[r], w);
        }
    } else {
      SmallVector<Value> ws;
      for (const Slice &panel : panels)
        for (int64_t half : {0, 1})
          ws.push_back(weight(panel, half));
      for (int64_t r = 0; r < numRows; ++r) {
        Value x = element(rows[r]);
        for (int64_t p = 0; p < numPanels; ++p)
          for (int64_t half : {0, 1})
            accumulate(r, p, half, x, ws[2 * p + half]);
      }
    }
    return next;
  };

  // Unroll to about 16 multiply-adds per iteration, which hides the loop's own
  // instructions. More would let LLVM move loads of later k forward until
  // registers spill, so it is kept from unrolling on its own. The sums stay one
  // chain each: unrolling changes no result.
  int64_t unroll = std::clamp<int64_t>(8 / (numRows * numPanels), 1, 8);
  SmallVector<Value> sums(numRows * numPanels * 2, b.splat(0.0f));
  Value whole = b.roundDown(depth, unroll);
  auto loop = [&](Value lo, Value hi, int64_t unroll) {
    sums = b.forCarry(lo, hi, b.index(unroll), sums,
                      [&](Value k, ValueRange state) {
                        SmallVector<Value> next(state.begin(), state.end());
                        for (int64_t u = 0; u < unroll; ++u)
                          next = step(b.add(k, u), next);
                        return next;
                      });
    keepRolled(sums.front().getDefiningOp());
  };
  loop(b.index(0), whole, unroll);
  if (unroll > 1)
    loop(whole, depth, 1);
  return TileSums(std::move(sums), numPanels);
}

int64_t TilePlan::panelsAtOnce(int64_t rows) const {
  int64_t panels = 1;
  while (2 * panels * streams <= 4 &&
         2 * panels * streams * 2 * rows <= accumulators)
    panels *= 2;
  return panels;
}

TilePlan dsv2::cpu::getTilePlan(const CPUTargetInfo &target, int64_t streams) {
  TilePlan plan;
  plan.streams = streams;
  if (target.vectorRegisters >= 32) {
    plan.rowTiles = {12, 8, 4, 2, 1};
    plan.fewRows = 6;
    plan.accumulators = 24;
  } else if (target.hasFMA) {
    // 12 accumulators, 2 weights and 1 element of x fill 15 of 16 registers.
    plan.rowTiles = {6, 4, 2, 1};
    plan.fewRows = 3;
    plan.accumulators = 12;
  } else {
    // A product needs a register of its own before it is added.
    plan.rowTiles = {4, 2, 1};
    plan.fewRows = 2;
    plan.accumulators = 8;
  }
  return plan;
}

//===----------------------------------------------------------------------===//
// Walks
//===----------------------------------------------------------------------===//

void dsv2::cpu::walkPanels(
    KernelBuilder &b, const TilePlan &plan, Value panelLo, Value panelHi,
    Value rowLo, Value rowHi,
    llvm::function_ref<void(ArrayRef<Value>, Value, int64_t)> fewTile,
    llvm::function_ref<void(Value, Value, int64_t)> tile) {
  Value rows = b.sub(rowHi, rowLo);

  for (int64_t count = 1; count <= plan.fewRows; ++count) {
    b.ifThen(b.eq(rows, b.index(count)), [&] {
      Value lo = panelLo;
      for (int64_t group = plan.panelsAtOnce(count); group >= 1; group /= 2) {
        Value hi = b.add(lo, b.roundDown(b.sub(panelHi, lo), group));
        b.forEach(lo, hi, b.index(group), [&](Value panel) {
          SmallVector<Value> panels;
          for (int64_t i = 0; i < group; ++i)
            panels.push_back(b.add(panel, i));
          fewTile(panels, rowLo, count);
        });
        lo = hi;
      }
    });
  }

  b.ifThen(b.gt(rows, b.index(plan.fewRows)), [&] {
    b.forEach(panelLo, panelHi, [&](Value panel) {
      Value lo = rowLo;
      for (int64_t height : plan.rowTiles) {
        Value hi = b.add(lo, b.roundDown(b.sub(rowHi, lo), height));
        b.forEach(lo, hi, b.index(height),
                  [&](Value row) { tile(panel, row, height); });
        lo = hi;
      }
    });
  });
}

void dsv2::cpu::forEvenTiles(
    KernelBuilder &b, int64_t maxRows, int64_t leastRows, Value rowLo,
    Value rowHi,
    llvm::function_ref<void(Value, int64_t, const TilePass &)> tile) {
  assert(leastRows % maxRows == 1 % maxRows && "the next number may be worse");
  int64_t lowest = leastRows / llvm::divideCeil(leastRows, maxRows);
  Value rows = b.sub(rowHi, rowLo);
  Value tiles = b.max(b.ceilDiv(rows, maxRows), 1);
  Value low = b.div(rows, tiles), taller = b.rem(rows, tiles);
  // The taller tiles come first. At most two heights have any tiles.
  Value row = rowLo, pass = b.index(0);
  for (int64_t height = maxRows; height >= lowest; --height) {
    Value count =
        b.select(b.eq(low, b.index(height)), b.sub(tiles, taller),
                 b.select(b.eq(low, b.index(height - 1)), taller, b.index(0)));
    b.forEach(b.index(0), count, [&](Value i) {
      tile(b.add(row, b.mul(i, height)), height, {b.add(pass, i), tiles});
    });
    row = b.add(row, b.mul(count, height));
    pass = b.add(pass, count);
  }
}

void dsv2::cpu::walkEvenTiles(
    KernelBuilder &b, int64_t maxRows, Value panelLo, Value panelHi,
    Value rowLo, Value rowHi,
    llvm::function_ref<void(Value, Value, int64_t, const TilePass &)> tile) {
  b.forEach(panelLo, panelHi, [&](Value panel) {
    forEvenTiles(b, maxRows, /*leastRows=*/1, rowLo, rowHi,
                 [&](Value row, int64_t height, const TilePass &pass) {
                   tile(panel, row, height, pass);
                 });
  });
}

void dsv2::cpu::shareGrid(KernelBuilder &b, Value outer, Value panels,
                          Value part, Value parts,
                          llvm::function_ref<void(Value, Value, Value)> body) {
  std::pair<Value, Value> units = b.share(b.mul(outer, panels), part, parts);
  // Nothing to do has no division by zero.
  Value divisor = b.max(panels, 1);
  b.forEach(b.div(units.first, divisor), b.ceilDiv(units.second, divisor),
            [&](Value o) {
              Value base = b.mul(o, panels);
              Value lo = b.max(b.sub(units.first, base), 0);
              Value hi = b.min(b.sub(units.second, base), panels);
              body(o, lo, hi);
            });
}

void dsv2::cpu::shareProduct(
    KernelBuilder &b, int64_t tileRows, Value rows, Value panels, Value part,
    Value parts, llvm::function_ref<void(Value, Value, Value, Value)> body) {
  // About four units per thread keep the imbalance small; blocks of fewer than
  // two tiles would read the panels too often for what they compute.
  Value wanted = b.ceilDiv(b.mul(parts, 4), b.max(panels, 1));
  Value possible = b.max(b.div(rows, 2 * tileRows), 1);
  Value blocks = b.min(wanted, possible);
  blocks = b.select(b.eq(parts, b.index(1)), b.index(1), blocks);
  Value height = b.mul(b.ceilDiv(b.ceilDiv(rows, blocks), tileRows), tileRows);
  shareGrid(b, blocks, panels, part, parts,
            [&](Value block, Value panelLo, Value panelHi) {
              Value rowLo = b.min(b.mul(block, height), rows);
              Value rowHi = b.min(b.add(rowLo, height), rows);
              body(rowLo, rowHi, panelLo, panelHi);
            });
}

/// What a vector leaves of the largest value and of all being finite: the sum
/// of both is the former, or NaN in some lane. Lanes from `count` on are those
/// of no column.
static std::pair<Value, Value> splitLargest(KernelBuilder &b, Value vector,
                                            Value count) {
  if (count)
    vector = b.select(b.tailMask(count), vector,
                      b.splat(std::numeric_limits<float>::lowest()));
  return {vector, b.fmul(vector, b.splat(0.0f))};
}

void dsv2::cpu::storePanel(
    KernelBuilder &b, Value panel, Value width, ArrayRef<Slice> outRows,
    llvm::function_ref<Value(int64_t, int64_t, Value, Value)> value,
    ArrayRef<Slice> largest) {
  int64_t lanes = b.lanes();
  Value first = b.mul(panel, 2 * lanes);
  auto emit = [&](bool whole) {
    SmallVector<std::pair<Value, Value>> seen(largest.size());
    for (int64_t half = 0; half < 2; ++half) {
      Value column = b.add(first, half * lanes);
      Value count = whole ? Value() : b.max(b.sub(width, column), 0);
      for (auto [i, out] : llvm::enumerate(outRows)) {
        Value vector = value(i, half, column, count);
        b.store(vector, out.memref, out.at({column}), count);
        if (largest.empty())
          continue;
        auto [most, finite] = splitLargest(b, vector, count);
        seen[i] = half ? std::pair(b.fmax(seen[i].first, most),
                                   b.fadd(seen[i].second, finite))
                       : std::pair(most, finite);
      }
    }
    for (auto [row, pair] : llvm::zip(largest, seen))
      b.storeF32(b.reduceMax(b.fadd(pair.first, pair.second)), row.memref,
                 row.at({panel}));
  };
  // Masked accesses are slow on some processors; only the last panel of a
  // weight whose width is not a multiple of NR needs them.
  b.ifThen(
      b.le(b.add(first, 2 * lanes), width), [&] { emit(/*whole=*/true); },
      [&] { emit(/*whole=*/false); });
}
