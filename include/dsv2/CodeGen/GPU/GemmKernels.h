//===- GemmKernels.h - Products with weights on GPUs ------------*- C++ -*-===//
//
// Part of dsv2, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// C[T, N] = A[T, K] W[N, K]^T for bf16 activations and weights of bf16 or in
// blocks, and the same for rows that are sorted by expert, or for each head.
// Sums are f32. T is a fact of the launch, grouped or not; N and K are facts of
// the kernel. Any T is right, 0 too.
//
// Weights in blocks become bf16 in registers, on their way from shared memory
// to the tensor cores: they are the left operand then, and C is computed
// transposed. An integer times its scale is rounded to bf16, which is exact for
// q4 (docs/NumericPolicy.md).
//
//===----------------------------------------------------------------------===//

#ifndef DSV2_CODEGEN_GPU_GEMMKERNELS_H
#define DSV2_CODEGEN_GPU_GEMMKERNELS_H

#include "dsv2/Dialect/DSV2/IR/DSV2.h"
#include "dsv2/Dialect/Tile/IR/Tile.h"
#include "mlir/IR/BuiltinOps.h"
#include "mlir/Support/LLVM.h"

#include <cstdint>
#include <optional>
#include <string>

namespace mlir::dsv2::gpu {

/// What becomes of a product before it is stored.
enum class GemmEpilogue {
  /// It is stored.
  Store,
  /// The residual, of the output's shape and type, is added.
  AddResidual,
  /// Columns 16 j + i, i < 8, of the product are gate 8 j + i, columns
  /// 16 j + 8 + i are up 8 j + i: gate / (1 + exp(-gate)) * up is stored, N / 2
  /// columns.
  SwiGLU,
};

/// What a kernel computes.
struct GemmShape {
  /// Rows of the weight; a multiple of 8, of 16 with SwiGLU.
  int64_t n = 0;
  /// Columns of the weight, a multiple of 16; of weights in blocks, of 8.
  int64_t k = 0;
  GemmEpilogue epilogue = GemmEpilogue::Store;
  /// Whether output and residual are f32, not bf16.
  bool f32Output = false;
  /// 0: one weight. Else the weight is [experts, N, K] and rows are sorted by
  /// expert.
  int64_t experts = 0;
  /// 0: one weight. Else A is [T, heads, K], the weight [heads, N, K] and the
  /// output [T, heads, N]; rows and heads of A and of the output may lie any
  /// multiple of 8 elements apart. Without experts, with the epilogue Store.
  int64_t heads = 0;
  /// Blocks of the weight, whose rows are as BlockFormat.h says for GPUs.
  PackFormat format = PackFormat::Plain;

  /// The blocks of the weight, or null.
  const BlockFormat *blocks() const { return getBlockFormat(format); }
  /// Rows of the weight for each row that a tensor core computes: those of gate
  /// and of up are operands of their own if they are in blocks.
  int64_t parts() const { return epilogue == GemmEpilogue::SwiGLU ? 2 : 1; }
  /// Bytes from a row of the weight to the next.
  int64_t weightRowBytes() const {
    return blocks() ? blocks()->rowBytes(k) : 2 * k;
  }

  /// Columns of the output.
  int64_t outputColumns() const {
    return epilogue == GemmEpilogue::SwiGLU ? n / 2 : n;
  }
};

/// How it computes it.
struct GemmConfig {
  /// sm_80 or sm_90a.
  std::string chip;
  /// Rows of A and of the weight that a block multiplies at a time, and the
  /// depth of a stage. tileM is 64 or 128. With blocks: tileM is a multiple of
  /// 16, tileN a power of two of at least 64 for each of GemmShape::parts, and
  /// tileK a group of blocks.
  int64_t tileM = 128, tileN = 128, tileK = 64;
  int64_t stages = 4;

  /// Threads of a block.
  int64_t threads(const GemmShape &shape) const;
};

/// Why `chip` has no kernel for `shape`, or nothing.
std::optional<std::string> explainUnsupported(const GemmShape &shape,
                                              StringRef chip);

/// The configuration for launches of up to `rows` rows (for experts: rows of an
/// expert, typically) on `multiprocessors` of `chip`.
GemmConfig chooseGemmConfig(StringRef chip, int64_t multiprocessors,
                            const GemmShape &shape, int64_t rows);

/// The kernel's name: says shape and configuration.
std::string getGemmName(const GemmShape &shape, const GemmConfig &config);

/// Adds the kernel to `module`, or returns it if it is there; the shape has to
/// be supported. Its parameters, in order:
///  - sm_90a: tensor map of A [T, K], box [tileM, 64], swizzle 128; tensor map
///    of W [N, K], box [tileN, 64], or [E, N, K], box [1, tileN, 64].
///    With blocks W is [N, bytes] or [E, N, bytes], box [tileN, 64], swizzle
///    64, and another map of it follows, box [tileN, 16], swizzle 0.
///    sm_80: addresses of A and W, each at a multiple of 16 bytes;
///  - address of the output [T, outputColumns], rows behind each other;
///  - with AddResidual: address of the residual, which may be the output;
///  - without experts i32 T; with: address of i32 offsets[E + 1], ascending
///    from 0: rows offsets[e] to offsets[e + 1] are expert e's;
///  - with heads, i32 elements from a token and from a head to the next: of the
///    output, then on sm_80 of A. On sm_90a the map of A is of [T, heads, K],
///    box [tileM, 1, 64], and that of W as with experts.
/// Any grid (x, 1, 1) is right; one block for each multiprocessor is meant.
/// Operands of a launch: (A, W, residual?, offsets?; output).
tile::KernelOp getOrCreateGemm(ModuleOp module, const GemmShape &shape,
                               const GemmConfig &config);

} // namespace mlir::dsv2::gpu

#endif // DSV2_CODEGEN_GPU_GEMMKERNELS_H
