//===- AttentionExpanded.cpp - Attention over expanded keys, for prefill --===//
//
// Part of dsv2, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// One head and one run of tokens of a sequence: the context is walked in blocks
// of positions. Per block,
//   1. the latents are widened to f32, or rows of a quantised cache decoded,
//      and keys and values of this head are expanded from them: a register tile
//      positions x panel over the panels of W_UK and W_UV;
//   2. the keys, and the rope keys of the cache, are transposed: lanes along
//      positions, so that scores need no sum across lanes;
//   3. every token that sees the block, a few at a time: scores (register tile
//      tokens x positions), softmax update, values (register tile tokens x
//      pieces of the value), accumulated in the rows of the output.
// Expanding a block costs L (N + V) multiply-adds per position and head, a
// query costs N + R + V: with the published sizes a run of 410 tokens spends as
// much on the one as on the other. Hence long runs, whose state (maximum and
// sum per token) is small because the accumulator is the output itself.
//
// A token is computed alike in every tile: its own sequence of multiply-adds
// over exactly the positions it sees. Tiles differ only in what shares the
// registers.
//
// Weights in blocks meet latents that are quantised like any other row, and
// then keys, values, queries and softmax weights may be rounded to bf16:
// AttentionExpandedPairs.cpp.
//
//===----------------------------------------------------------------------===//

#include "AttentionExpanded.h"

#include "BF16Dot.h"
#include "CacheRows.h"
#include "QuantTile.h"
#include "dsv2/CodeGen/CPU/QuantKernels.h"
#include "dsv2/Support/BlockFormat.h"
#include "mlir/Dialect/Vector/IR/VectorOps.h"
#include "llvm/Support/FormatVariadic.h"
#include "llvm/Support/MathExtras.h"

#include <limits>

using namespace mlir;
using namespace mlir::dsv2;
using namespace mlir::dsv2::cpu;

/// Tokens of a run below which threads rather stay idle than expand the context
/// once more.
static constexpr int64_t kLeastRun = 128;

ExpandedAttention::ExpandedAttention(KernelBuilder &b,
                                     const ExpandedAttentionConfig &config,
                                     int64_t block, int64_t queryTile)
    : b(b), config(config), latent(config.cache.latent),
      rope(config.cache.rope), block(block), queryTile(queryTile),
      lanes(b.lanes()), panelWidth(2 * lanes),
      inBlocks(getBlockFormat(config.weightFormat) != nullptr) {
  // Sixteen vectors of sums where there are 32 registers, else eight.
  bool wide = lanes == 16;
  positionVectors = std::min<int64_t>(wide ? 4 : 2, block / lanes);
  valueVectors = wide ? 4 : 2;
  tileQueries = 4;
  tilePositions = wide ? 8 : 4;
  pairs = config.roundToBF16 && config.cache.format != CacheFormat::F32 &&
          hasBF16Dot(b.getTarget()) && config.nope % 2 == 0 && rope % 2 == 0;
  // Twenty-four sums, as there is nothing to widen.
  if (pairs)
    tileQueries = 6;
}

int64_t ExpandedAttention::panelRows(int64_t rows) const {
  return llvm::alignTo(rows, panelWidth);
}

int64_t ExpandedAttention::blockRows() const {
  return llvm::alignTo(block, inBlocks ? getQuantTileRows(b.getTarget())
                                       : tilePositions);
}

/// Row `j` of the block.
Slice ExpandedAttention::rowAt(Value j) {
  if (decoded)
    return {decoded, {j}};
  return {cache, {page, b.add(firstRow, j)}};
}

/// Decodes the rows of a quantised block.
void ExpandedAttention::decodeBlock() {
  b.forEach(b.index(0), seen, [&](Value j) {
    emitDecodeRow(b, config.cache.row(), {cache, {page, b.add(firstRow, j)}},
                  {decoded, {j}});
  });
}

/// Latents of the block as quantised rows.
void ExpandedAttention::quantizeLatents() {
  b.forEach(b.index(0), seen, [&](Value j) {
    Slice row = rowAt(j), to{latents, {j}};
    b.forEach(b.index(0), b.index(kQ8Format.blocks(latent)), [&](Value k) {
      emitQuantizedBlock(b, row, b.mul(k, kQ8Format.elements), to, k,
                         b.index(latent));
    });
  });
}

/// expand() for weights in blocks.
void ExpandedAttention::expandBlocks(Value weights, int64_t rows, Value out) {
  int64_t height = getQuantTileRows(b.getTarget());
  Value blocks = b.index(kQ8Format.blocks(latent));
  b.forEach(
      b.index(0), b.index(panelRows(rows) / panelWidth), [&](Value panel) {
        Value column = b.mul(panel, panelWidth);
        b.forEach(b.index(0), seen, b.index(height), [&](Value j) {
          SmallVector<Slice> x;
          for (int64_t p = 0; p < height; ++p)
            x.push_back({latents, {b.add(j, p)}});
          TileSums sums = emitQuantTile(b, x, {weights, {head, panel}}, blocks,
                                        config.weightFormat, /*pass=*/{},
                                        /*panelStride=*/1);
          for (int64_t p = 0; p < height; ++p)
            for (int64_t half : {0, 1})
              b.store(sums(p, 0, half), out,
                      {b.add(j, p), b.add(column, half * lanes)});
        });
      });
}

/// latents = rows of the block, widened.
void ExpandedAttention::expandLatents() {
  b.forEach(b.index(0), seen, [&](Value j) {
    Slice row = rowAt(j);
    auto copy = [&](Value column, int64_t count) {
      Value v = emitLoad(b, row.memref, row.at({column}), count, count);
      emitStore(b, v, latents, {j, column}, count);
    };
    int64_t whole = latent / lanes * lanes;
    b.forEach(b.index(0), b.index(whole), b.index(lanes),
              [&](Value column) { copy(column, lanes); });
    if (latent > whole)
      copy(b.index(whole), latent - whole);
  });
}

/// out[j, n] = latents[j] . row n of this head's weights, for the positions of
/// the block that are seen, rounded up to whole tiles.
void ExpandedAttention::expand(Value weights, int64_t rows, Value out) {
  Value zero = b.index(0);
  Value panels = b.index(llvm::divideCeil(rows, panelWidth));
  b.forEach(zero, seen, b.index(tilePositions), [&](Value j) {
    b.forEach(zero, panels, [&](Value panel) {
      SmallVector<Value> state(2 * tilePositions, b.splat(0.0f));
      state = b.forCarry(
          zero, b.index(latent), b.index(1), state,
          [&](Value l, ValueRange carried) {
            Value w0 = b.load(weights, {head, panel, l, zero});
            Value w1 = b.load(weights, {head, panel, l, b.index(lanes)});
            SmallVector<Value> next;
            for (int64_t p = 0; p < tilePositions; ++p) {
              Value c = b.broadcast(b.loadScalar(latents, {b.add(j, p), l}));
              next.push_back(b.fma(c, w0, carried[2 * p]));
              next.push_back(b.fma(c, w1, carried[2 * p + 1]));
            }
            return next;
          });
      Value column = b.mul(panel, panelWidth);
      for (int64_t p = 0; p < tilePositions; ++p)
        for (int64_t half = 0; half < 2; ++half)
          b.store(state[2 * p + half], out,
                  {b.add(j, p), b.add(column, half * lanes)});
    });
  });
}

/// out[firstRow + i, j] = element i of position j, for whole vectors of
/// positions up to those that are seen.
void ExpandedAttention::transposeInto(
    int64_t width, Value out, int64_t outRow,
    llvm::function_ref<Value(Value position, Value column, int64_t count)>
        load) {
  b.forEach(b.index(0), seen, b.index(lanes), [&](Value j) {
    auto square = [&](Value column, int64_t count) {
      SmallVector<Value> rows;
      for (int64_t p = 0; p < lanes; ++p)
        rows.push_back(load(b.add(j, p), column, count));
      emitTranspose(b, rows);
      for (int64_t i = 0; i < count; ++i)
        b.store(rows[i], out, {b.add(column, outRow + i), j});
    };
    int64_t whole = width / lanes * lanes;
    b.forEach(b.index(0), b.index(whole), b.index(lanes),
              [&](Value column) { square(column, lanes); });
    if (width > whole)
      square(b.index(whole), width - whole);
  });
}

void ExpandedAttention::transposeKeys() {
  transposeInto(config.nope, keys, 0,
                [&](Value position, Value column, int64_t count) {
                  return b.load(plainKeys, {position, column});
                });
  transposeInto(rope, keys, config.nope,
                [&](Value position, Value column, int64_t count) {
                  Slice row = rowAt(position);
                  return emitLoad(b, row.memref,
                                  row.at({b.add(column, latent)}), count,
                                  lanes);
                });
}

/// Keys and values of this head for the positions of the block.
void ExpandedAttention::expandBlock() {
  auto expandInto = [&](Value weights, int64_t rows, Value out) {
    return inBlocks ? expandBlocks(weights, rows, out)
                    : expand(weights, rows, out);
  };
  if (decoded)
    decodeBlock();
  if (inBlocks)
    quantizeLatents();
  else if (decoded != latents)
    expandLatents();
  expandInto(wuk, config.nope, plainKeys);
  if (pairs)
    transposeKeyPairs();
  else
    transposeKeys();
  expandInto(wuv, config.value, values);
  if (pairs)
    zipValues();
}

/// scores[i, j] = q[token + i] . key j for all positions of the block. Those
/// that were not expanded hold leftovers, which the softmax ignores.
void ExpandedAttention::emitScores(Value token, int64_t queries) {
  int64_t step = positionVectors * lanes;
  SmallVector<Value> tokens;
  for (int64_t i = 0; i < queries; ++i)
    tokens.push_back(b.add(token, i));
  b.forEach(b.index(0), b.index(block), b.index(step), [&](Value j) {
    auto dot = [&](Value query, int64_t length, int64_t keyRow,
                   ValueRange sums) {
      return b.forCarry(
          b.index(0), b.index(length), b.index(1), sums,
          [&](Value d, ValueRange carried) {
            SmallVector<Value> k, next;
            for (int64_t v = 0; v < positionVectors; ++v)
              k.push_back(
                  b.load(keys, {b.add(d, keyRow), b.add(j, v * lanes)}));
            for (int64_t i = 0; i < queries; ++i) {
              Value q = b.broadcast(b.loadScalar(query, {tokens[i], head, d}));
              for (int64_t v = 0; v < positionVectors; ++v)
                next.push_back(
                    b.fma(q, k[v], carried[i * positionVectors + v]));
            }
            return next;
          });
    };
    SmallVector<Value> sums(queries * positionVectors, b.splat(0.0f));
    sums = dot(qn, config.nope, 0, sums);
    sums = dot(qr, rope, config.nope, sums);
    for (int64_t i = 0; i < queries; ++i)
      for (int64_t v = 0; v < positionVectors; ++v)
        b.store(sums[i * positionVectors + v], scores,
                {b.index(i), b.add(j, v * lanes)});
  });
}

/// The first `width` columns from `column` on of the outputs of a tile, brought
/// to the new maximum.
SmallVector<Value> ExpandedAttention::loadOutput(Value token, int64_t queries,
                                                 Value column, int64_t width) {
  SmallVector<Value> state;
  for (int64_t i = 0; i < queries; ++i) {
    Value factor = b.broadcast(b.loadScalar(factors, {b.index(i)}));
    for (int64_t at = 0; at < width; at += lanes)
      state.push_back(
          b.fmul(emitLoad(b, o, {b.add(token, i), head, b.add(column, at)},
                          std::min(lanes, width - at), lanes),
                 factor));
  }
  return state;
}

void ExpandedAttention::storeOutput(ValueRange state, Value token,
                                    int64_t queries, Value column,
                                    int64_t width) {
  int64_t n = 0;
  for (int64_t i = 0; i < queries; ++i)
    for (int64_t at = 0; at < width; at += lanes)
      emitStore(b, state[n++], o, {b.add(token, i), head, b.add(column, at)},
                std::min(lanes, width - at));
}

/// o[token + i, column ...] = factor * itself + sum_j p[i, j] v[j].
void ExpandedAttention::emitValueTile(Value token, int64_t queries,
                                      Value column, int64_t width) {
  int64_t pieces = llvm::divideCeil(width, lanes);
  auto columnOf = [&](int64_t v) { return b.add(column, v * lanes); };
  SmallVector<Value> state = loadOutput(token, queries, column, width);
  // Position j for the tokens from `first` on.
  auto step = [&](Value j, int64_t first, ValueRange carried) {
    SmallVector<Value> loaded, next = llvm::to_vector(carried);
    for (int64_t v = 0; v < pieces; ++v)
      loaded.push_back(b.load(values, {j, columnOf(v)}));
    for (int64_t i = first; i < queries; ++i) {
      Value p = b.broadcast(b.loadScalar(scores, {b.index(i), j}));
      for (int64_t v = 0; v < pieces; ++v)
        next[i * pieces + v] = b.fma(p, loaded[v], next[i * pieces + v]);
    }
    return next;
  };
  // All tokens of the tile see what its first one sees; each further token sees
  // one position more. Multiplying by a zero weight instead would let a NaN of
  // a later position reach an earlier token.
  Value common = b.min(b.add(b.add(distance, token), 1), block);
  state = b.forCarry(
      b.index(0), common, b.index(1), state,
      [&](Value j, ValueRange carried) { return step(j, 0, carried); });
  for (int64_t extra = 0; extra + 1 < queries; ++extra) {
    Value j = b.add(common, extra);
    state = b.ifYield(
        b.lt(j, b.index(block)), [&] { return step(j, extra + 1, state); },
        [&] { return state; });
  }
  storeOutput(state, token, queries, column, width);
}

void ExpandedAttention::emitValues(Value token, int64_t queries) {
  int64_t step = valueVectors * lanes, whole = config.value / step * step;
  auto tile = [&](Value column, int64_t width) {
    return pairs ? emitPairValueTile(token, queries, column, width)
                 : emitValueTile(token, queries, column, width);
  };
  b.forEach(b.index(0), b.index(whole), b.index(step),
            [&](Value column) { tile(column, step); });
  if (config.value > whole)
    tile(b.index(whole), config.value - whole);
}

/// Tokens token to token + queries - 1 against the block; all see at least its
/// first position.
void ExpandedAttention::emitQueries(Value token, int64_t queries) {
  if (pairs)
    emitPairScores(token, queries);
  else
    emitScores(token, queries);
  for (int64_t i = 0; i < queries; ++i) {
    Value own = b.add(token, i);
    Value slot = b.sub(own, runStart);
    Value valid = b.min(b.add(b.add(distance, own), 1), block);
    emitSoftmaxUpdate(b, block, config.scale, valid,
                      SoftmaxRow{scores,
                                 {b.index(i)},
                                 maxima,
                                 {slot},
                                 sums,
                                 {slot, b.index(0)},
                                 factors,
                                 {b.index(i)}});
  }
  if (pairs)
    roundWeights(queries);
  emitValues(token, queries);
}

/// Tokens firstToken to lastToken - 1 of one sequence, for one head.
void ExpandedAttention::emitItem(Value sequence, Value firstToken,
                                 Value lastToken) {
  Value zero = b.index(0);
  runStart = firstToken;
  auto forValues = [&](Value token,
                       llvm::function_ref<void(Value, int64_t)> body) {
    int64_t whole = config.value / lanes * lanes;
    b.forEach(zero, b.index(whole), b.index(lanes),
              [&](Value column) { body(column, lanes); });
    if (config.value > whole)
      body(b.index(whole), config.value - whole);
  };
  b.forEach(firstToken, lastToken, [&](Value token) {
    Value slot = b.sub(token, firstToken);
    b.storeScalar(b.f32(-std::numeric_limits<float>::infinity()), maxima,
                  {slot});
    b.store(b.splat(0.0f), sums, {slot, zero});
    forValues(token, [&](Value column, int64_t count) {
      emitStore(b, b.splat(0.0f), o, {token, head, column}, count);
    });
  });

  Value firstPosition = b.toIndex(b.loadScalar(positions, {firstToken}));
  Value length = b.add(firstPosition, b.sub(lastToken, firstToken));
  b.forEach(zero, length, b.index(block), [&](Value base) {
    Value pageNumber = b.div(base, config.cache.page);
    page = b.toIndex(b.loadScalar(blockTables, {sequence, pageNumber}));
    firstRow = b.rem(base, config.cache.page);
    seen = b.min(b.sub(length, base), block);
    expandBlock();

    // The position of token t is distance + t + base.
    distance = b.sub(b.sub(firstPosition, firstToken), base);
    Value start = b.max(firstToken, b.sub(zero, distance));
    Value whole =
        b.add(start, b.roundDown(b.sub(lastToken, start), tileQueries));
    b.forEach(start, whole, b.index(tileQueries),
              [&](Value token) { emitQueries(token, tileQueries); });
    b.forEach(whole, lastToken, [&](Value token) { emitQueries(token, 1); });
  });

  b.forEach(firstToken, lastToken, [&](Value token) {
    Value slot = b.sub(token, firstToken);
    Value sum = b.reduceAdd(b.load(sums, {slot, zero}));
    Value inverse = b.broadcast(b.fdiv(b.f32(1.0f), sum));
    forValues(token, [&](Value column, int64_t count) {
      Value v = emitLoad(b, o, {token, head, column}, count, lanes);
      emitStore(b, b.fmul(v, inverse), o, {token, head, column}, count);
    });
  });
}

void ExpandedAttention::emit(ValueRange args, Value part, Value parts) {
  qn = args[0], qr = args[1], wuk = args[2], wuv = args[3], cache = args[4];
  positions = args[5], seqStarts = args[6], blockTables = args[7], o = args[8];
  Type f32 = b.getF32Type(), bf16 = b.getBF16Type();
  // Rows of latents are read side by side; a pitch that is no power of two
  // keeps them in different cache sets.
  if (inBlocks)
    latents = b.scratch({blockRows(), kQ8Format.blocks(latent) *
                                          QuantizedActivation::kBlockBytes},
                        b.getI8Type());
  else
    latents = b.scratch(
        {block, int64_t(llvm::alignTo(
                    latent + (config.cache.isQuantized() ? rope : 0), 16)) +
                    16},
        f32);
  // Where both are f32, decoded rows are the latents already.
  if (config.cache.isQuantized())
    decoded =
        inBlocks || pairs
            ? b.scratch(
                  {block, int64_t(llvm::alignTo(latent + rope, 2 * lanes))},
                  pairs ? bf16 : f32)
            : latents;
  plainKeys = b.scratch({blockRows(), panelRows(config.nope)}, f32);
  values = b.scratch({blockRows(), panelRows(config.value)}, f32);
  int64_t keyWidth = config.nope + rope;
  keys = b.scratch({pairs ? keyWidth / 2 : keyWidth, block}, f32);
  if (pairs) {
    valuePairs = b.scratch({block / 2, panelRows(config.value)}, f32);
    queries = b.scratch({tileQueries, keyWidth}, bf16);
    weights = b.scratch({tileQueries, block}, bf16);
  }
  scores = b.scratch({tileQueries, block}, f32);
  factors = b.scratch({tileQueries}, f32);
  maxima = b.scratch({queryTile}, f32);
  sums = b.scratch({queryTile, lanes}, f32);

  Value heads = b.index(config.heads);
  // Runs as long as the state allows, unless threads would stay idle.
  Value tokens = b.dim(positions, 0);
  Value run = b.ceilDiv(b.mul(tokens, heads), parts);
  run = b.min(b.max(run, std::min(kLeastRun, queryTile)), queryTile);

  // Items of all sequences are numbered through; this part does the numbers
  // part, part + parts, ...
  Value sequences = b.sub(b.dim(seqStarts, 0), 1);
  b.forCarry(b.index(0), sequences, b.index(1), {part},
             [&](Value sequence, ValueRange carried) -> SmallVector<Value> {
               Value next = carried[0];
               Value begin = b.toIndex(b.loadScalar(seqStarts, {sequence}));
               Value end =
                   b.toIndex(b.loadScalar(seqStarts, {b.add(sequence, 1)}));
               Value items = b.mul(b.ceilDiv(b.sub(end, begin), run), heads);
               Value after = b.forCarry(
                   next, items, parts, {next},
                   [&](Value item, ValueRange) -> SmallVector<Value> {
                     head = b.rem(item, heads);
                     Value first = b.add(begin, b.mul(b.div(item, heads), run));
                     emitItem(sequence, first, b.min(b.add(first, run), end));
                     return {b.add(item, parts)};
                   })[0];
               return {b.sub(after, items)};
             });
}

func::FuncOp dsv2::cpu::getOrCreateExpandedAttentionKernel(
    ModuleOp module, const ExpandedAttentionConfig &config,
    const CPUTargetInfo &target) {
  int64_t block = config.block ? config.block
                               : chooseBlock(config.cache.page, /*limit=*/64);
  int64_t queryTile = config.queryTile ? config.queryTile : 1024;
  assert(config.cache.page % block == 0 && block % target.lanes() == 0 &&
         "a block is a whole number of vectors and divides the page");
  MLIRContext *ctx = module.getContext();
  std::string name = llvm::formatv(
      "expanded_attention_{0}{1}_l{2}_r{3}_p{4}_h{5}_n{6}_v{7}_w{8}_b{9}_q{10}_"
      "s{11:x-}",
      stringifyCacheFormat(config.cache.format),
      config.roundToBF16 ? "_rounded" : "", config.cache.latent,
      config.cache.rope, config.cache.page, config.heads, config.nope,
      config.value, stringifyPanelFormat(config.weightFormat), block, queryTile,
      llvm::bit_cast<uint32_t>(config.scale));
  Type act = getActivationType(ctx, 3), list = getIndexListType(ctx);
  Type panels = getPanelType(ctx, target, config.weightFormat,
                             /*leadingDims=*/1);
  Type types[] = {act,
                  act,
                  panels,
                  panels,
                  getLatentCacheType(ctx, config.cache),
                  list,
                  list,
                  getStridedType(IntegerType::get(ctx, 32), 2),
                  act};
  return getOrCreateKernel(
      module, name, target, types,
      [&](KernelBuilder &b, ValueRange args, Value part, Value parts) {
        ExpandedAttention(b, config, block, queryTile).emit(args, part, parts);
      });
}
