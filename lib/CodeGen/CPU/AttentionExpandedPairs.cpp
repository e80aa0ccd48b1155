//===- AttentionExpandedPairs.cpp - Expanded keys and values as bf16 ------===//
//
// Part of dsv2, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// Scores and values as products of bf16 pairs. A score takes pairs of adjacent
// elements of a key, a value pairs of positions, so both are rounded and laid
// out once per block for all tokens of the run.
//
//===----------------------------------------------------------------------===//

#include "AttentionExpanded.h"

#include "BF16Dot.h"
#include "mlir/Dialect/Vector/IR/VectorOps.h"
#include "llvm/Support/MathExtras.h"

using namespace mlir;
using namespace mlir::dsv2;
using namespace mlir::dsv2::cpu;

/// The bits of pairs as f32, which shuffles and stores leave alone.
static Value asFloats(KernelBuilder &b, Value pairs) {
  return vector::BitCastOp::create(b, b.f32VecType(), pairs);
}

static Value loadPairs(KernelBuilder &b, Value floats, ValueRange indices) {
  return vector::BitCastOp::create(b, getPairsType(b), b.load(floats, indices));
}

/// keys[d, j] = elements 2 d and 2 d + 1 of [key | rope key] of position j.
void ExpandedAttention::transposeKeyPairs() {
  transposeInto(config.nope / 2, keys, 0,
                [&](Value position, Value column, int64_t count) {
                  Value first = b.mul(column, 2);
                  Value low = b.load(plainKeys, {position, first});
                  Value high =
                      b.load(plainKeys, {position, b.add(first, lanes)});
                  return asFloats(b, emitNarrow(b, low, high));
                });
  transposeInto(rope / 2, keys, config.nope / 2,
                [&](Value position, Value column, int64_t count) {
                  Value first = b.add(b.mul(column, 2), latent);
                  Slice row = rowAt(position);
                  return asFloats(b, emitLoadPairs(b, row.memref,
                                                   row.at({first}), 2 * count));
                });
}

/// valuePairs[j, v] = element v of the values of positions 2 j and 2 j + 1.
/// With an odd number of positions the last one's partner is a leftover.
void ExpandedAttention::zipValues() {
  b.forEach(b.index(0), b.ceilDiv(seen, 2), [&](Value j) {
    Value even = b.mul(j, 2), odd = b.add(even, 1);
    b.forEach(b.index(0), b.index(panelRows(config.value)), b.index(lanes),
              [&](Value column) {
                Value zipped = emitZip(b, b.load(values, {even, column}),
                                       b.load(values, {odd, column}));
                b.store(asFloats(b, zipped), valuePairs, {j, column});
              });
  });
}

/// emitScores() over pairs.
void ExpandedAttention::emitPairScores(Value token, int64_t queryCount) {
  for (int64_t i = 0; i < queryCount; ++i) {
    Value at = b.index(i), own = b.add(token, i);
    emitRoundRow(b, {qn, {own, head}}, config.nope, {queries, {at}}, 0);
    emitRoundRow(b, {qr, {own, head}}, rope, {queries, {at}}, config.nope);
  }
  int64_t step = positionVectors * lanes;
  b.forEach(b.index(0), b.index(block), b.index(step), [&](Value j) {
    SmallVector<Value> sums(queryCount * positionVectors, b.splat(0.0f));
    sums = b.forCarry(
        b.index(0), b.index((config.nope + rope) / 2), b.index(1), sums,
        [&](Value d, ValueRange carried) {
          SmallVector<Value> k, next;
          for (int64_t v = 0; v < positionVectors; ++v)
            k.push_back(loadPairs(b, keys, {d, b.add(j, v * lanes)}));
          for (int64_t i = 0; i < queryCount; ++i) {
            Value q = broadcastPair(b, queries, {b.index(i), b.mul(d, 2)});
            for (int64_t v = 0; v < positionVectors; ++v)
              next.push_back(
                  emitBF16Dot(b, carried[i * positionVectors + v], k[v], q));
          }
          return next;
        });
    for (int64_t i = 0; i < queryCount; ++i)
      for (int64_t v = 0; v < positionVectors; ++v)
        b.store(sums[i * positionVectors + v], scores,
                {b.index(i), b.add(j, v * lanes)});
  });
}

/// The softmax weights of a tile, rounded.
void ExpandedAttention::roundWeights(int64_t queryCount) {
  for (int64_t i = 0; i < queryCount; ++i)
    emitRoundRow(b, {scores, {b.index(i)}}, block, {weights, {b.index(i)}}, 0);
}

/// emitValueTile() over pairs.
void ExpandedAttention::emitPairValueTile(Value token, int64_t queryCount,
                                          Value column, int64_t width) {
  int64_t pieces = llvm::divideCeil(width, lanes);
  SmallVector<Value> state = loadOutput(token, queryCount, column, width);
  /// Pair `j` for all tokens; `mask(i, values)` takes away what token i does
  /// not see.
  auto step = [&](Value j, ValueRange carried,
                  llvm::function_ref<Value(int64_t, Value)> mask) {
    SmallVector<Value> loaded, next;
    for (int64_t v = 0; v < pieces; ++v)
      loaded.push_back(loadPairs(b, valuePairs, {j, b.add(column, v * lanes)}));
    for (int64_t i = 0; i < queryCount; ++i) {
      Value p = broadcastPair(b, weights, {b.index(i), b.mul(j, 2)});
      for (int64_t v = 0; v < pieces; ++v)
        next.push_back(
            emitBF16Dot(b, carried[i * pieces + v], mask(i, loaded[v]), p));
    }
    return next;
  };
  // What the first token of the tile sees all of them see, and each further one
  // sees one position more. Weights beyond are zeros, but a NaN of a later
  // position times zero would reach an earlier token.
  Value common = b.min(b.add(b.add(distance, token), 1), block);
  Value whole = b.div(common, 2);
  state = b.forCarry(
      b.index(0), whole, b.index(1), state, [&](Value j, ValueRange carried) {
        return step(j, carried, [](int64_t, Value values) { return values; });
      });
  Value last = b.min(b.add(common, queryCount - 1), block);
  for (int64_t extra = 0; 2 * extra < queryCount; ++extra) {
    Value j = b.add(whole, extra), position = b.mul(j, 2);
    auto masked = [&] {
      return step(j, state, [&](int64_t i, Value loaded) -> Value {
        Value visible = b.sub(b.add(common, i), position);
        Value bits = b.select(
            b.ge(visible, b.index(2)), b.i32(-1),
            b.select(b.eq(visible, b.index(1)), b.i32(0xffff), b.i32(0)));
        auto ints = b.vecType(b.getI32Type());
        Value kept = arith::AndIOp::create(
            b, vector::BitCastOp::create(b, ints, loaded), b.broadcast(bits));
        return vector::BitCastOp::create(b, getPairsType(b), kept);
      });
    };
    state = b.ifYield(b.lt(position, last), masked, [&] { return state; });
  }
  storeOutput(state, token, queryCount, column, width);
}
