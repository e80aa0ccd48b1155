//===- MLADecodeKernels.h - Absorbed attention on GPUs ----------*- C++ -*-===//
//
// Part of dsv2, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// Attention of each token's heads to all positions of its sequence up to its
// own, on the latents in the paged cache: keys are rows of the cache, values
// their first `latent` elements. Two kernels: one splits the positions of all
// tokens evenly over the blocks, one puts the parts together.
//
// A tile has 64 rows: 64 heads of a token, or all heads of 2 or 4 tokens.
// Tokens of a tile that are neighbours of one sequence form a run, which is
// computed together; other runs of the tile are computed for nothing. A token
// of more than 64 heads is a run with several tiles.
//
// Work is counted in blocks of 64 positions (kMLABlock). A run has ceil(L / 64)
// of them, L - 1 being the largest position of its tokens; all are numbered,
// run by run. With G blocks in the grid, n tiles of heads and N blocks of work,
// these are cut into S = max(G / n, 1) shares: the first N mod S of N / S + 1
// blocks, the others of N / S. Number i of the grid has tile i mod n of share i
// / n, so that neighbours read the same positions at the same time (and, if G <
// n, the same of i + G and so on). What it has all of, it finishes; of what
// begins before its share it leaves the part in slot 2 i, of what ends behind
// it in slot 2 i + 1.
//
//===----------------------------------------------------------------------===//

#ifndef DSV2_CODEGEN_GPU_MLADECODEKERNELS_H
#define DSV2_CODEGEN_GPU_MLADECODEKERNELS_H

#include "dsv2/Dialect/Tile/IR/Tile.h"
#include "mlir/Dialect/LLVMIR/LLVMDialect.h"
#include "mlir/IR/BuiltinOps.h"

#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <utility>

namespace mlir::dsv2::gpu {

/// Positions in a block of work, and in a page of the cache.
inline constexpr int64_t kMLABlock = 64;
/// Rows of a tile: heads of a token, or of several.
inline constexpr int64_t kMLAHeads = 64;

/// What the kernels compute.
struct MLADecodeShape {
  /// Heads of a token, 1 or more.
  int64_t heads = 0;
  /// Elements of a row of the cache: the latent, 64 to 256 or 512, a multiple
  /// of 64, and the rotated key, a multiple of 16.
  int64_t latent = 512, rope = 64;
  /// Multiplies scores before the softmax.
  double scale = 1;
  /// Whether the output is f32, not bf16.
  bool f32Output = false;

  int64_t row() const { return latent + rope; }
  /// Tokens in a tile. More than 4 are left to be expanded attention's.
  int64_t getTileTokens() const {
    return heads == kMLAHeads / 4 ? 4 : heads == kMLAHeads / 2 ? 2 : 1;
  }
  /// Tiles of a token's heads.
  int64_t getHeadTiles() const { return (heads + kMLAHeads - 1) / kMLAHeads; }
  /// The box of the queries' tensor map [T, heads, row].
  std::array<int64_t, 3> getQueryBox() const {
    return {getTileTokens(), kMLAHeads / getTileTokens(), 64};
  }
  /// Bytes of workspace for a grid of `blocks`: f32 sums [2 blocks, 64,
  /// latent], then f32 logarithms [2 blocks, 64].
  int64_t sumBytes(int64_t blocks) const {
    return 2 * blocks * kMLAHeads * latent * 4;
  }
  int64_t logBytes(int64_t blocks) const { return 2 * blocks * kMLAHeads * 4; }
};

/// Why `chip` has no kernels for `shape`, or nothing.
std::optional<std::string> explainUnsupported(const MLADecodeShape &shape,
                                              StringRef chip);

/// Adds the kernel that computes the parts; the shape has to be supported. Its
/// parameters, in order:
///  - sm_90a: tensor map of the queries [T, heads, row], box getQueryBox(),
///    swizzle 128; tensor map of the layer's cache [pages, 64, row], box
///    [1, 64, 64]. sm_80: addresses of both, at multiples of 16 bytes;
///  - address of the output [T, heads, latent];
///  - addresses of the workspace's sums and logarithms;
///  - addresses of i32 positions[T], seqIds[T], blockTables[S, B];
///  - i32 T, i32 B.
/// Grid (G, 1, 1) for any G; one block for each multiprocessor is meant.
/// Operands of a launch: (queries, cache, positions, seqIds, blockTables;
/// output, sums, logarithms).
tile::KernelOp getOrCreateMLADecode(ModuleOp module,
                                    const MLADecodeShape &shape,
                                    StringRef chip);

/// Adds the kernel that puts parts together, to be run behind the other.
/// Parameters: address of the output, addresses of sums and logarithms,
/// positions, seqIds, i32 T, i32 G (the other kernel's grid). Grid (T, Y, 1)
/// for any Y, see getMLACombineBlocks. Operands of a launch: (sums, logarithms,
/// positions, seqIds, G; output).
LLVM::LLVMFuncOp getOrCreateMLACombine(ModuleOp module,
                                       const MLADecodeShape &shape,
                                       StringRef chip);

/// The least and the most blocks that are worth launching for a token (Y); in
/// between as many as make kMLACombineBlocks with those of all tokens.
std::pair<int64_t, int64_t> getMLACombineBlocks(const MLADecodeShape &shape);
/// Blocks that fill a GPU.
inline constexpr int64_t kMLACombineBlocks = 2048;

/// Names of the kernels.
std::string getMLADecodeName(const MLADecodeShape &shape, StringRef chip);
std::string getMLACombineName(const MLADecodeShape &shape, StringRef chip);

} // namespace mlir::dsv2::gpu

#endif // DSV2_CODEGEN_GPU_MLADECODEKERNELS_H
