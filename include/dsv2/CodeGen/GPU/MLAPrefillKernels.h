//===- MLAPrefillKernels.h - Expanded attention on GPUs ---------*- C++ -*-===//
//
// Part of dsv2, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// Causal attention with keys and values of each head, for chunks of many
// tokens. The last tokens of a sequence are queries; each attends to every
// position up to its own. Keys are what kv_b_proj makes of the latents, with
// the rotated key that all heads share behind them.
//
//===----------------------------------------------------------------------===//

#ifndef DSV2_CODEGEN_GPU_MLAPREFILLKERNELS_H
#define DSV2_CODEGEN_GPU_MLAPREFILLKERNELS_H

#include "dsv2/Dialect/Tile/IR/Tile.h"
#include "mlir/IR/BuiltinOps.h"

#include <cstdint>
#include <optional>
#include <string>

namespace mlir::dsv2::gpu {

/// Queries that a block has at a time.
inline constexpr int64_t kPrefillRows = 128;

/// What a kernel computes.
struct MLAPrefillShape {
  int64_t heads = 0;
  /// Elements of a key's own part, of the shared rotated part, and of a value:
  /// multiples of 16, at most 128.
  int64_t nope = 128, rope = 64, value = 128;
  /// Multiplies scores before the softmax.
  double scale = 1;
  /// Whether the output is f32, not bf16.
  bool f32Output = false;

  /// Elements of a query.
  int64_t query() const { return nope + rope; }
  /// Swizzle of the tensor maps, bytes: the widest of 128, 64 and 32 that
  /// divides the three parts.
  int64_t swizzle() const;
};

/// The name of the kernel.
std::string getMLAPrefillName(const MLAPrefillShape &shape, StringRef chip);

/// Why `chip` has no kernel for `shape`, or nothing.
std::optional<std::string> explainUnsupported(const MLAPrefillShape &shape,
                                              StringRef chip);

/// Adds the kernel; the shape has to be supported. Its parameters, in order:
///  - queries [T, heads, query], keys [R, heads, nope], values [R, heads,
///    value], rotated keys [R, rope]; on sm_90a tensor maps with boxes of p =
///    swizzle / 2 elements: [128, 1, p] three times, [128, p]; on sm_80
///    addresses at multiples of 16 bytes;
///  - address of the output [T, heads, value];
///  - addresses of i32 seqStarts[S + 1] and rowStarts[S + 1]: sequence s has
///    queries seqStarts[s] up to seqStarts[s + 1] and rows of keys rowStarts[s]
///    up to rowStarts[s + 1], of which the last belong to its queries;
///  - i32 S.
/// Grid (X, heads, 1) with X the sum over the sequences of ceil(queries / 128),
/// or more. Operands of a launch: (queries, keys, values, rotated keys,
/// seqStarts, rowStarts, block tables [S, ?]; output).
tile::KernelOp getOrCreateMLAPrefill(ModuleOp module,
                                     const MLAPrefillShape &shape,
                                     StringRef chip);

} // namespace mlir::dsv2::gpu

#endif // DSV2_CODEGEN_GPU_MLAPREFILLKERNELS_H
