//===- AttentionExpanded.h - Attention over expanded keys -------*- C++ -*-===//
//
// Part of dsv2, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef DSV2_LIB_CODEGEN_CPU_ATTENTIONEXPANDED_H
#define DSV2_LIB_CODEGEN_CPU_ATTENTIONEXPANDED_H

#include "AttentionCommon.h"
#include "MatmulTile.h"

namespace mlir::dsv2::cpu {

/// Emits the kernel that AttentionExpanded.cpp describes.
class ExpandedAttention {
public:
  ExpandedAttention(KernelBuilder &b, const ExpandedAttentionConfig &config,
                    int64_t block, int64_t queryTile);

  void emit(ValueRange args, Value part, Value parts);

private:
  void emitItem(Value sequence, Value firstToken, Value lastToken);
  void expandBlock();
  void decodeBlock();
  Slice rowAt(Value j);
  void expandLatents();
  void quantizeLatents();
  void expand(Value weights, int64_t rows, Value out);
  void expandBlocks(Value weights, int64_t rows, Value out);
  void transposeInto(
      int64_t width, Value out, int64_t firstRow,
      llvm::function_ref<Value(Value position, Value column, int64_t count)>
          load);
  void transposeKeys();
  void transposeKeyPairs();
  void zipValues();
  void emitQueries(Value token, int64_t queries);
  void emitScores(Value token, int64_t queries);
  void emitPairScores(Value token, int64_t queries);
  void emitValues(Value token, int64_t queries);
  void emitValueTile(Value token, int64_t queries, Value column, int64_t width);
  void emitPairValueTile(Value token, int64_t queries, Value column,
                         int64_t width);
  void roundWeights(int64_t queries);
  SmallVector<Value> loadOutput(Value token, int64_t queries, Value column,
                                int64_t width);
  void storeOutput(ValueRange state, Value token, int64_t queries, Value column,
                   int64_t width);
  int64_t panelRows(int64_t rows) const;
  /// Positions of the block, rounded up to whole tiles of an expansion.
  int64_t blockRows() const;

  KernelBuilder &b;
  const ExpandedAttentionConfig &config;
  int64_t latent, rope, block, queryTile, lanes, panelWidth;
  int64_t tileQueries, positionVectors, valueVectors, tilePositions;
  /// Whether weights are in blocks, and whether scores and values are products
  /// of bf16 pairs.
  bool inBlocks, pairs;

  // Arguments.
  Value qn, qr, wuk, wuv, cache, positions, seqStarts, blockTables, o;
  // Scratch of one block: latents, keys before their transposition, [keys |
  // rope keys] with positions along lanes, values; scores and factors of one
  // tile of tokens; state of each token of the run.
  Value latents, plainKeys, keys, values, scores, factors, maxima, sums;
  // With a quantised cache: its rows of the block, decoded.
  Value decoded;
  // With pairs: `keys` holds pairs of adjacent elements and `valuePairs` pairs
  // of positions, each as the bits of an f32; queries and softmax weights of
  // one tile as bf16.
  Value valuePairs, queries, weights;
  // The head, the first token of the run, and the block being worked on:
  // where it lies, how many of its positions the run sees, and the position of
  // token 0 of the step, were it of this sequence, less the block's start.
  Value head, runStart, page, firstRow, seen, distance;
};

} // namespace mlir::dsv2::cpu

#endif // DSV2_LIB_CODEGEN_CPU_ATTENTIONEXPANDED_H
