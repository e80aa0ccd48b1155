//===- AttentionAbsorbed.h - Attention over latents ------------*- C++ -*-===//
//
// Part of dsv2, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef DSV2_LIB_CODEGEN_CPU_ATTENTIONABSORBED_H
#define DSV2_LIB_CODEGEN_CPU_ATTENTIONABSORBED_H

#include "AttentionCommon.h"
#include "MatmulTile.h"

namespace mlir::dsv2::cpu {

/// What arithmetic makes of a row of the block.
enum class RowForm {
  /// f32, of the cache or decoded.
  Floats,
  /// bf16, as two f32 vectors (emitHalves).
  Halves,
  /// bf16, multiplied as it is (BF16Dot.h).
  Pairs
};
RowForm chooseRowForm(const AbsorbedAttentionConfig &config,
                      const CPUTargetInfo &target);

/// Emits the kernel that AttentionAbsorbed.cpp describes.
class AbsorbedAttention {
public:
  AbsorbedAttention(KernelBuilder &b, const AbsorbedAttentionConfig &config,
                    int64_t block);

  void emit(ValueRange args, Value part, Value parts);

private:
  Value chooseGroups(Value tokens, Value parts);
  void emitItem(Value firstTile, Value lastTile);
  void decodeBlock();
  Slice rowAt(Value j);
  /// Emits `body` for whole tiles and, if heads do not divide, for the last.
  void forTiles(Value firstTile, Value lastTile,
                llvm::function_ref<void(Value tile, int64_t heads)> body);
  void emitScores(Value firstHead, Value slot, int64_t heads);
  void reduceScores(ValueRange sums, Value j, int64_t heads);
  void orderQueries(Value head, Value slot);
  void reorder(Value row, Value slot, int64_t width,
               llvm::function_ref<std::pair<Value, Value>(Value, Value)> order);
  SmallVector<Value> emitPairScores(Value j, ArrayRef<Slice> rows, Value slot,
                                    int64_t heads);
  SmallVector<Value> emitHalfScores(ArrayRef<Slice> rows, Value slot,
                                    int64_t heads);
  SmallVector<Value> loadVectors(const Slice &row, Value column, int64_t width);
  void emitPairValueTile(Value slot, int64_t heads, Value column,
                         int64_t width);
  void emitSoftmax(Value slot, int64_t heads);
  void emitValues(Value slot, int64_t heads);
  void emitValueTile(Value slot, int64_t heads, Value column, int64_t width);
  int64_t paddedLatent() const {
    return llvm::alignTo(latent, isPairs() || isHalves() ? 2 * lanes : lanes);
  }
  /// Queries of one head, with zeros up to whole vectors.
  int64_t paddedQuery() const {
    return llvm::alignTo(latent + rope, 2 * lanes);
  }
  bool isPairs() const { return form == RowForm::Pairs; }
  bool isHalves() const { return form == RowForm::Halves; }
  Value headIndex(Value tile, int64_t head) {
    return b.add(b.mul(tile, kTileHeads), head);
  }

  /// Heads of a register tile.
  static constexpr int64_t kTileHeads = 4;

  KernelBuilder &b;
  const AbsorbedAttentionConfig &config;
  int64_t latent, rope, block, lanes;
  int64_t tilePositions, tileVectors;
  int64_t tiles;
  RowForm form;

  // Arguments.
  Value ql, qr, cache, positions, seqIds, blockTables, z;
  // Scratch: running maximum and per-lane sums of each head of the group, its
  // accumulator, scores and factors of one tile.
  Value maxima, sums, accumulator, scores, factors;
  // With rows in bf16: the queries of the group, [q | q_rope] with zeros up to
  // whole vectors, in bf16 with pairs. With pairs: the softmax weights of one
  // tile.
  Value queries, weights;
  // With a quantised cache: the rows of the block, decoded.
  Value decoded;
  // The token, and the block being worked on.
  Value token, page, firstRow, valid;
  // Where the next block lies, and which tile of how many of the group reads
  // the block.
  Value nextPage, nextRow, tileOrder, groupTiles;
};

} // namespace mlir::dsv2::cpu

#endif // DSV2_LIB_CODEGEN_CPU_ATTENTIONABSORBED_H
