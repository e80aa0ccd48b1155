//===- AttentionAbsorbed.cpp - Attention over latents, for decode ---------===//
//
// Part of dsv2, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// One token, some of its heads: the context is walked in blocks of positions.
// Per block and tile of four heads,
//   1. scores: register tile heads x positions, lanes along the row, so that a
//      row of the cache serves four heads and a piece of a query several
//      positions; lanes are summed at the end;
//   2. softmax update: running maximum, running sums (one per lane) and the
//      factor that brings earlier blocks to the new maximum;
//   3. values: register tile heads x pieces of the latent, lanes along the
//      latent, over the positions of the block.
// A block is read from memory once per group of heads and is in cache for the
// other tiles and for step 3. A block of a quantised cache is decoded at that
// time, and what follows reads the decoded rows.
//
// Rows in bf16 are widened in registers: of a vector of words the lower halves,
// shifted up, and the upper halves, masked, are the columns with even and with
// odd numbers. Queries are brought into that order before, and the accumulator
// out of it at the end, so that no row is shuffled.
//
// With products of bf16 pairs, scores take pairs of adjacent columns, as they
// lie in the cache. Values take pairs of positions: two rows are interleaved in
// registers, within lanes of 128 bits, which leaves the accumulator in an order
// of its own until it is written out.
//
//===----------------------------------------------------------------------===//

#include "AttentionAbsorbed.h"

#include "BF16Dot.h"
#include "CacheRows.h"
#include "Halves.h"

#include "mlir/Dialect/MemRef/IR/MemRef.h"
#include "mlir/Dialect/Vector/IR/VectorOps.h"
#include "llvm/Support/FormatVariadic.h"
#include "llvm/Support/MathExtras.h"

#include <limits>

using namespace mlir;
using namespace mlir::dsv2;
using namespace mlir::dsv2::cpu;

/// Tiles in a group at most; bounds the accumulator on the stack.
static constexpr int64_t kMaxGroupTiles = 8;
static constexpr int64_t kCacheLineBytes = 64;

RowForm dsv2::cpu::chooseRowForm(const AbsorbedAttentionConfig &config,
                                 const CPUTargetInfo &target) {
  if (config.roundToBF16 && config.cache.format != CacheFormat::F32 &&
      hasBF16Dot(target))
    return RowForm::Pairs;
  return config.cache.format == CacheFormat::BF16 ? RowForm::Halves
                                                  : RowForm::Floats;
}

AbsorbedAttention::AbsorbedAttention(KernelBuilder &b,
                                     const AbsorbedAttentionConfig &config,
                                     int64_t block)
    : b(b), config(config), latent(config.cache.latent),
      rope(config.cache.rope), block(block), lanes(b.lanes()),
      tilePositions(lanes == 16 ? 4 : 2), tileVectors(lanes == 16 ? 4 : 2),
      tiles(llvm::divideCeil(config.heads, kTileHeads)),
      form(chooseRowForm(config, b.getTarget())) {}

/// Returns the number of groups that the heads of a token are cut into: what
/// minimises the work of the busiest part. A group more reads the context once
/// more, so it has to win an eighth.
Value AbsorbedAttention::chooseGroups(Value tokens, Value parts) {
  int64_t least = llvm::divideCeil(tiles, kMaxGroupTiles);
  if (least == tiles)
    return b.index(tiles);
  Value none = b.index(std::numeric_limits<int64_t>::max() / 16);
  return b.forCarry(
      b.index(least), b.index(tiles + 1), b.index(1), {b.index(least), none},
      [&](Value groups, ValueRange best) -> SmallVector<Value> {
        Value items = b.ceilDiv(b.mul(tokens, groups), parts);
        Value cost = b.mul(items, b.ceilDiv(b.index(tiles), groups));
        Value better = b.lt(b.mul(cost, 8), b.mul(best[1], 7));
        return {b.select(better, groups, best[0]),
                b.select(better, cost, best[1])};
      })[0];
}

void AbsorbedAttention::forTiles(
    Value firstTile, Value lastTile,
    llvm::function_ref<void(Value tile, int64_t heads)> body) {
  int64_t whole = config.heads / kTileHeads;
  b.forEach(firstTile, b.min(lastTile, whole),
            [&](Value tile) { body(tile, kTileHeads); });
  if (int64_t rest = config.heads % kTileHeads)
    b.ifThen(b.gt(lastTile, b.index(whole)),
             [&] { body(b.index(whole), rest); });
}

/// Row `j` of the block.
Slice AbsorbedAttention::rowAt(Value j) {
  if (decoded)
    return {decoded, {j}};
  return {cache, {page, b.add(firstRow, j)}};
}

/// Decodes the valid rows of a quantised block, and fetches the next one.
void AbsorbedAttention::decodeBlock() {
  CacheRow row = config.cache.row();
  b.forEach(b.index(0), valid, [&](Value j) {
    for (int64_t byte = 0; byte < row.bytes; byte += kCacheLineBytes)
      memref::PrefetchOp::create(
          b, cache, ValueRange{nextPage, b.add(nextRow, j), b.index(byte)},
          /*isWrite=*/false, /*localityHint=*/2, /*isDataCache=*/true);
    emitDecodeRow(b, row, {cache, {page, b.add(firstRow, j)}}, {decoded, {j}});
  });
}

/// scores[h, j + p] = sum over the lanes of sums[h, p].
void AbsorbedAttention::reduceScores(ValueRange sums, Value j, int64_t heads) {
  int64_t width = heads * tilePositions;
  SmallVector<Value> all = llvm::to_vector(sums);
  // Lane h * tilePositions + p of the sums belongs to head h.
  for (int64_t first = 0; first < width; first += lanes) {
    int64_t count = std::min(lanes, width - first);
    Value reduced = emitTransposedSum(b, ArrayRef(all).slice(first, count));
    for (int64_t lane = 0; lane < count; lane += tilePositions) {
      int64_t h = (first + lane) / tilePositions;
      emitStore(b, emitSlice(b, reduced, lane, tilePositions), scores,
                {b.index(h), j}, tilePositions);
    }
  }
}

/// scores[h, j] = q[firstHead + h] . row j, for the valid rows of the block
/// rounded up to whole tiles.
void AbsorbedAttention::emitScores(Value firstHead, Value slot, int64_t heads) {
  b.forEach(b.index(0), valid, b.index(tilePositions), [&](Value j) {
    SmallVector<Slice> rows;
    SmallVector<Value> queryHeads;
    for (int64_t p = 0; p < tilePositions; ++p)
      rows.push_back(rowAt(b.add(j, p)));
    if (isPairs())
      return reduceScores(emitPairScores(j, rows, slot, heads), j, heads);
    if (isHalves())
      return reduceScores(emitHalfScores(rows, slot, heads), j, heads);
    for (int64_t h = 0; h < heads; ++h)
      queryHeads.push_back(b.add(firstHead, h));

    // One step over `count` elements: the outer product of pieces.
    auto step = [&](Value query, Value column, Value cacheColumn, int64_t count,
                    ValueRange sums) {
      SmallVector<Value> q, next;
      for (Value head : queryHeads)
        q.push_back(emitLoad(b, query, {token, head, column}, count, lanes));
      SmallVector<Value> c;
      for (const Slice &row : rows)
        c.push_back(
            emitLoad(b, row.memref, row.at({cacheColumn}), count, lanes));
      for (int64_t h = 0; h < heads; ++h)
        for (int64_t p = 0; p < tilePositions; ++p)
          next.push_back(b.fma(q[h], c[p], sums[h * tilePositions + p]));
      return next;
    };
    auto dot = [&](Value query, int64_t length, int64_t offset,
                   SmallVector<Value> sums) {
      int64_t whole = length / lanes * lanes;
      if (whole)
        sums = b.forCarry(b.index(0), b.index(whole), b.index(lanes), sums,
                          [&](Value column, ValueRange carried) {
                            return step(query, column, b.add(column, offset),
                                        lanes, carried);
                          });
      if (length > whole)
        sums = step(query, b.index(whole), b.index(whole + offset),
                    length - whole, sums);
      return sums;
    };
    SmallVector<Value> sums(heads * tilePositions, b.splat(0.0f));
    sums = dot(ql, latent, 0, sums);
    sums = dot(qr, rope, latent, sums);
    reduceScores(sums, j, heads);
  });
}

/// scores[h, :] = exp(scale * scores[h, :] - new maximum), 0 beyond the valid
/// positions; updates the state of the heads in slots from `slot`.
void AbsorbedAttention::emitSoftmax(Value slot, int64_t heads) {
  for (int64_t h = 0; h < heads; ++h) {
    Value head = b.add(slot, h);
    emitSoftmaxUpdate(b, block, config.scale, valid,
                      SoftmaxRow{scores,
                                 {b.index(h)},
                                 maxima,
                                 {head},
                                 sums,
                                 {head, b.index(0)},
                                 factors,
                                 {b.index(h)}});
    if (isPairs())
      emitRoundRow(b, {scores, {b.index(h)}}, block, {weights, {b.index(h)}},
                   0);
  }
}

/// `width` columns of a row from `column` on, of which the accumulator has as
/// many vectors.
SmallVector<Value> AbsorbedAttention::loadVectors(const Slice &row,
                                                  Value column, int64_t width) {
  int64_t step = isHalves() ? 2 * lanes : lanes;
  SmallVector<Value> vectors;
  for (int64_t first = 0; first < width; first += step) {
    int64_t count = std::min(step, width - first);
    SmallVector<Value> at = row.at({b.add(column, first)});
    if (isHalves())
      vectors.append(emitHalves(b, row.memref, at, count));
    else
      vectors.push_back(emitLoad(b, row.memref, at, count, lanes));
  }
  return vectors;
}

/// accumulator[slot + h, column ...] = factor * itself + sum_j p[h, j] c[j].
void AbsorbedAttention::emitValueTile(Value slot, int64_t heads, Value column,
                                      int64_t width) {
  int64_t pieces = isHalves() ? 2 * llvm::divideCeil(width, 2 * lanes)
                              : llvm::divideCeil(width, lanes);
  auto columnOf = [&](int64_t v) { return b.add(column, v * lanes); };
  SmallVector<Value> state;
  for (int64_t h = 0; h < heads; ++h) {
    Value factor = b.broadcast(b.loadScalar(factors, {b.index(h)}));
    for (int64_t v = 0; v < pieces; ++v)
      state.push_back(
          b.fmul(b.load(accumulator, {b.add(slot, h), columnOf(v)}), factor));
  }
  state = b.forCarry(
      b.index(0), valid, b.index(1), state, [&](Value j, ValueRange carried) {
        SmallVector<Value> c = loadVectors(rowAt(j), column, width), next;
        for (int64_t h = 0; h < heads; ++h) {
          Value p = b.broadcast(b.loadScalar(scores, {b.index(h), j}));
          for (int64_t v = 0; v < pieces; ++v)
            next.push_back(b.fma(p, c[v], carried[h * pieces + v]));
        }
        return next;
      });
  for (int64_t h = 0; h < heads; ++h)
    for (int64_t v = 0; v < pieces; ++v)
      b.store(state[h * pieces + v], accumulator,
              {b.add(slot, h), columnOf(v)});
}

void AbsorbedAttention::emitValues(Value slot, int64_t heads) {
  int64_t step = tileVectors * lanes, whole = latent / step * step;
  auto tile = [&](Value column, int64_t width) {
    return isPairs() ? emitPairValueTile(slot, heads, column, width)
                     : emitValueTile(slot, heads, column, width);
  };
  b.forEach(b.index(0), b.index(whole), b.index(step),
            [&](Value column) { tile(column, step); });
  if (latent > whole)
    tile(b.index(whole), latent - whole);
}

/// All of one token's context for the heads of tiles firstTile to lastTile - 1.
void AbsorbedAttention::emitItem(Value firstTile, Value lastTile) {
  Value zero = b.index(0);
  auto slotOf = [&](Value tile) {
    return b.mul(b.sub(tile, firstTile), kTileHeads);
  };
  int64_t padded = paddedLatent();
  Value usedSlots = slotOf(lastTile);
  b.forEach(zero, usedSlots, [&](Value slot) {
    b.storeScalar(b.f32(-std::numeric_limits<float>::infinity()), maxima,
                  {slot});
    b.store(b.splat(0.0f), sums, {slot, zero});
    b.forEach(zero, b.index(padded), b.index(lanes), [&](Value column) {
      b.store(b.splat(0.0f), accumulator, {slot, column});
    });
  });

  if (isPairs() || isHalves())
    forTiles(firstTile, lastTile, [&](Value tile, int64_t heads) {
      for (int64_t h = 0; h < heads; ++h)
        orderQueries(headIndex(tile, h), b.add(slotOf(tile), h));
    });

  Value sequence = b.toIndex(b.loadScalar(seqIds, {token}));
  Value length = b.add(b.toIndex(b.loadScalar(positions, {token})), 1);
  b.forEach(zero, length, b.index(block), [&](Value base) {
    Value pageNumber = b.div(base, config.cache.page);
    page = b.toIndex(b.loadScalar(blockTables, {sequence, pageNumber}));
    firstRow = b.rem(base, config.cache.page);
    valid = b.min(b.sub(length, base), block);
    // The last block has no next one, and fetches itself.
    Value next = b.add(base, block);
    next = b.select(b.lt(next, length), next, base);
    nextPage = b.toIndex(
        b.loadScalar(blockTables, {sequence, b.div(next, config.cache.page)}));
    nextRow = b.rem(next, config.cache.page);
    groupTiles = b.sub(lastTile, firstTile);
    if (decoded)
      decodeBlock();
    forTiles(firstTile, lastTile, [&](Value tile, int64_t heads) {
      tileOrder = b.sub(tile, firstTile);
      emitScores(headIndex(tile, 0), slotOf(tile), heads);
      emitSoftmax(slotOf(tile), heads);
      emitValues(slotOf(tile), heads);
    });
  });

  forTiles(firstTile, lastTile, [&](Value tile, int64_t heads) {
    for (int64_t h = 0; h < heads; ++h) {
      Value slot = b.add(slotOf(tile), h), head = headIndex(tile, h);
      Value sum = b.reduceAdd(b.load(sums, {slot, zero}));
      Value inverse = b.broadcast(b.fdiv(b.f32(1.0f), sum));
      auto write = [&](Value column, int64_t count) {
        Value v = b.load(accumulator, {slot, column});
        emitStore(b, b.fmul(v, inverse), z, {token, head, column}, count);
      };
      // Back to the order of the columns, in place.
      if (isPairs() || isHalves())
        reorder(accumulator, slot, padded, [&](Value low, Value high) {
          auto order = isPairs() ? emitPack : emitInterleave;
          return std::pair{order(b, low, high, 0), order(b, low, high, 1)};
        });
      int64_t whole = latent / lanes * lanes;
      b.forEach(zero, b.index(whole), b.index(lanes),
                [&](Value column) { write(column, lanes); });
      if (latent > whole)
        write(b.index(whole), latent - whole);
    }
  });
}

void AbsorbedAttention::emit(ValueRange args, Value part, Value parts) {
  ql = args[0], qr = args[1], cache = args[2], positions = args[3];
  seqIds = args[4], blockTables = args[5], z = args[6];
  int64_t slots = std::min(tiles, kMaxGroupTiles) * kTileHeads;
  Type f32 = b.getF32Type();
  maxima = b.scratch({slots}, f32);
  sums = b.scratch({slots, lanes}, f32);
  accumulator = b.scratch({slots, paddedLatent()}, f32);
  Type rowType = isPairs() ? Type(b.getBF16Type()) : f32;
  if (isPairs() || isHalves())
    queries = b.scratch({slots, paddedQuery()}, rowType);
  if (isPairs())
    weights = b.scratch({kTileHeads, block}, rowType);
  if (config.cache.isQuantized())
    decoded = b.scratch({block, paddedQuery()}, rowType);
  scores = b.scratch({kTileHeads, block}, f32);
  factors = b.scratch({kTileHeads}, f32);

  Value tokens = b.dim(positions, 0);
  Value groups = chooseGroups(tokens, parts);
  // Every parts-th item, since later tokens of a sequence have more to do.
  b.forEach(part, b.mul(tokens, groups), parts, [&](Value item) {
    token = b.div(item, groups);
    auto [firstTile, lastTile] =
        b.share(b.index(tiles), b.rem(item, groups), groups);
    emitItem(firstTile, lastTile);
  });
}

func::FuncOp dsv2::cpu::getOrCreateAbsorbedAttentionKernel(
    ModuleOp module, const AbsorbedAttentionConfig &config,
    const CPUTargetInfo &target) {
  // Rows that are widened leave arithmetic so little time that updates of the
  // accumulator show: larger blocks have fewer.
  int64_t limit = chooseRowForm(config, target) == RowForm::Halves ? 64 : 32;
  int64_t block =
      config.block ? config.block : chooseBlock(config.cache.page, limit);
  assert(config.cache.page % block == 0 && block % target.lanes() == 0 &&
         "a block is a whole number of vectors and divides the page");
  std::string name = llvm::formatv(
      "absorbed_attention_{0}{1}_l{2}_r{3}_p{4}_h{5}_b{6}_s{7:x-}",
      stringifyCacheFormat(config.cache.format),
      config.roundToBF16 ? "_rounded" : "", config.cache.latent,
      config.cache.rope, config.cache.page, config.heads, block,
      llvm::bit_cast<uint32_t>(config.scale));
  MLIRContext *ctx = module.getContext();
  Type act = getActivationType(ctx, 3), list = getIndexListType(ctx);
  Type types[] = {act,  act,  getLatentCacheType(ctx, config.cache),
                  list, list, getStridedType(IntegerType::get(ctx, 32), 2),
                  act};
  return getOrCreateKernel(
      module, name, target, types,
      [&](KernelBuilder &b, ValueRange args, Value part, Value parts) {
        AbsorbedAttention(b, config, block).emit(args, part, parts);
      });
}
