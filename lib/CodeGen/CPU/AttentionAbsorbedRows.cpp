//===- AttentionAbsorbedRows.cpp - Absorbed attention, bf16 rows ----------===//
//
// Part of dsv2, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// What is multiplied with rows in bf16 as they lie in the cache: with the
// halves of their words, or as pairs (AttentionAbsorbed.cpp).
//
//===----------------------------------------------------------------------===//

#include "AttentionAbsorbed.h"

#include "BF16Dot.h"
#include "Halves.h"

#include "mlir/Dialect/MemRef/IR/MemRef.h"
#include "mlir/Dialect/Vector/IR/VectorOps.h"
#include "llvm/Support/MathExtras.h"

using namespace mlir;
using namespace mlir::dsv2;
using namespace mlir::dsv2::cpu;

/// Brings the vectors of each 2 * lanes columns of `row` into another order.
void AbsorbedAttention::reorder(
    Value row, Value slot, int64_t width,
    llvm::function_ref<std::pair<Value, Value>(Value, Value)> order) {
  b.forEach(b.index(0), b.index(width), b.index(2 * lanes), [&](Value column) {
    Value next = b.add(column, lanes);
    auto [low, high] =
        order(b.load(row, {slot, column}), b.load(row, {slot, next}));
    b.store(low, row, {slot, column});
    b.store(high, row, {slot, next});
  });
}

/// queries[slot] = [ql | qr] of `head` as rows meet it.
void AbsorbedAttention::orderQueries(Value head, Value slot) {
  int64_t width = latent + rope;
  for (int64_t column = width; column < paddedQuery(); ++column)
    emitStore(b, b.splat(0.0f), queries, {slot, b.index(column)}, 1);
  auto copy = isPairs() ? emitRoundRow : emitCopyRow;
  copy(b, {ql, {token, head}}, latent, {queries, {slot}}, 0);
  copy(b, {qr, {token, head}}, rope, {queries, {slot}}, latent);
  if (!isPairs())
    reorder(queries, slot, paddedQuery(), [&](Value low, Value high) {
      return std::pair{emitEverySecond(b, low, high, 0),
                       emitEverySecond(b, low, high, 1)};
    });
}

/// The sums of the rows from `j` on against the queries in slots from `slot`.
///
/// Meanwhile the next block is fetched, each tile of the group taking an equal
/// share of its rows: the tiles that follow find a block in the cache and leave
/// memory idle. A quantised block was fetched when this one was decoded.
SmallVector<Value> AbsorbedAttention::emitPairScores(Value j,
                                                     ArrayRef<Slice> rows,
                                                     Value slot,
                                                     int64_t heads) {
  int64_t step = 2 * lanes, width = latent + rope;
  Value share = b.ceilDiv(b.index(tilePositions), groupTiles);
  Value firstShared = b.mul(tileOrder, share);
  auto fetchNext = [&](Value column) {
    b.forEach(firstShared, b.min(b.add(firstShared, share), tilePositions),
              [&](Value p) {
                Value row = b.add(nextRow, b.add(j, p));
                memref::PrefetchOp::create(b, cache,
                                           ValueRange{nextPage, row, column},
                                           /*isWrite=*/false,
                                           /*localityHint=*/2,
                                           /*isDataCache=*/true);
              });
  };
  auto columns = [&](Value column, int64_t count, ValueRange sums) {
    SmallVector<Value> q, c, next;
    for (int64_t h = 0; h < heads; ++h)
      q.push_back(emitLoadPairs(b, queries, {b.add(slot, h), column}, step));
    for (const Slice &row : rows)
      c.push_back(emitLoadPairs(b, row.memref, row.at({column}), count));
    for (int64_t h = 0; h < heads; ++h)
      for (int64_t p = 0; p < tilePositions; ++p)
        next.push_back(emitBF16Dot(b, sums[h * tilePositions + p], q[h], c[p]));
    return next;
  };
  int64_t whole = width / step * step;
  SmallVector<Value> sums(heads * tilePositions, b.splat(0.0f));
  sums = b.forCarry(b.index(0), b.index(whole), b.index(step), sums,
                    [&](Value column, ValueRange carried) {
                      if (!decoded)
                        fetchNext(column);
                      return columns(column, step, carried);
                    });
  if (width > whole)
    sums = columns(b.index(whole), width - whole, sums);
  return sums;
}

/// The same with rows that are widened. They are fetched soon enough as it is.
SmallVector<Value> AbsorbedAttention::emitHalfScores(ArrayRef<Slice> rows,
                                                     Value slot,
                                                     int64_t heads) {
  int64_t step = 2 * lanes, width = latent + rope;
  auto columns = [&](Value column, int64_t count, ValueRange sums) {
    SmallVector<Value> next = llvm::to_vector(sums);
    SmallVector<SmallVector<Value, 2>> c;
    for (const Slice &row : rows)
      c.push_back(emitHalves(b, row.memref, row.at({column}), count));
    for (int64_t half = 0; half < 2; ++half)
      for (int64_t h = 0; h < heads; ++h) {
        Value q =
            b.load(queries, {b.add(slot, h), b.add(column, half * lanes)});
        for (int64_t p = 0; p < tilePositions; ++p) {
          Value &sum = next[h * tilePositions + p];
          sum = b.fma(q, c[p][half], sum);
        }
      }
    return next;
  };
  int64_t whole = width / step * step;
  SmallVector<Value> sums(heads * tilePositions, b.splat(0.0f));
  sums = b.forCarry(b.index(0), b.index(whole), b.index(step), sums,
                    [&](Value column, ValueRange carried) {
                      return columns(column, step, carried);
                    });
  if (width > whole)
    sums = columns(b.index(whole), width - whole, sums);
  return sums;
}

/// As emitValueTile, over pairs of positions; `width` is of whole pairs of
/// vectors or the rest of the latent.
void AbsorbedAttention::emitPairValueTile(Value slot, int64_t heads,
                                          Value column, int64_t width) {
  int64_t step = 2 * lanes, pieces = llvm::divideCeil(width, step);
  // Vectors 2 v and 2 v + 1 of the accumulator belong to piece v.
  auto columnOf = [&](int64_t i) { return b.add(column, i * lanes); };
  SmallVector<Value> state;
  for (int64_t h = 0; h < heads; ++h) {
    Value factor = b.broadcast(b.loadScalar(factors, {b.index(h)}));
    for (int64_t i = 0; i < 2 * pieces; ++i)
      state.push_back(
          b.fmul(b.load(accumulator, {b.add(slot, h), columnOf(i)}), factor));
  }
  auto positions = [&](Value j, bool single, ValueRange carried) {
    Slice evenRow = rowAt(j), oddRow = rowAt(b.add(j, 1));
    SmallVector<Value> c, next;
    for (int64_t v = 0; v < pieces; ++v) {
      int64_t count = std::min(step, width - v * step);
      Value at = b.add(column, v * step);
      Value even = emitLoadPairs(b, evenRow.memref, evenRow.at({at}), count);
      Value odd = single
                      ? Value(arith::ConstantOp::create(
                            b, b.getZeroAttr(getPairsType(b))))
                      : emitLoadPairs(b, oddRow.memref, oddRow.at({at}), count);
      c.append({emitUnpack(b, even, odd, 0), emitUnpack(b, even, odd, 1)});
    }
    for (int64_t h = 0; h < heads; ++h) {
      Value p = broadcastPair(b, weights, {b.index(h), j});
      for (auto [i, values] : llvm::enumerate(c))
        next.push_back(emitBF16Dot(b, carried[h * 2 * pieces + i], values, p));
    }
    return next;
  };
  Value whole = b.roundDown(valid, 2);
  state = b.forCarry(b.index(0), whole, b.index(2), state,
                     [&](Value j, ValueRange carried) {
                       return positions(j, /*single=*/false, carried);
                     });
  // What follows the last position may be anything, NaN included.
  state = b.ifYield(
      b.lt(whole, valid),
      [&] { return positions(whole, /*single=*/true, state); },
      [&] { return state; });
  for (int64_t h = 0; h < heads; ++h)
    for (int64_t i = 0; i < 2 * pieces; ++i)
      b.store(state[h * 2 * pieces + i], accumulator,
              {b.add(slot, h), columnOf(i)});
}
