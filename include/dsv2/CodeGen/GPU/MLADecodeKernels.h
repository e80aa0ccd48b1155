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
// Work is counted in blocks of 64 positions (kMLABlock). Token t has
// ceil((positions[t] + 1) / 64) of them for each tile of 64 heads; all are
// numbered, token by token, then tile by tile. With G blocks in the grid and N
// blocks of work, number i of the grid has those from i N / G up to
// (i + 1) N / G. What it has all of, it finishes; of what begins before its
// share it leaves the part in slot 2 i, of what ends behind it in slot 2 i + 1.
//
//===----------------------------------------------------------------------===//

#ifndef DSV2_CODEGEN_GPU_MLADECODEKERNELS_H
#define DSV2_CODEGEN_GPU_MLADECODEKERNELS_H

#include "dsv2/Dialect/Tile/IR/Tile.h"
#include "mlir/IR/BuiltinOps.h"

#include <cstdint>
#include <optional>
#include <string>

namespace mlir::dsv2::gpu {

/// Positions in a block of work, and in a page of the cache.
inline constexpr int64_t kMLABlock = 64;
/// Heads in a tile.
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
///  - sm_90a: tensor map of the queries [T, heads, row], box [1, 64, 64],
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
/// positions, i32 T, i32 G (the other kernel's grid). Grid (T, ceil(heads /
/// 16), 1). Operands of a launch: (sums, logarithms, positions, G; output).
tile::KernelOp getOrCreateMLACombine(ModuleOp module,
                                     const MLADecodeShape &shape,
                                     StringRef chip);

/// Names of the kernels.
std::string getMLADecodeName(const MLADecodeShape &shape, StringRef chip);
std::string getMLACombineName(const MLADecodeShape &shape, StringRef chip);

} // namespace mlir::dsv2::gpu

#endif // DSV2_CODEGEN_GPU_MLADECODEKERNELS_H
