//===- ElementwiseKernels.h - Row kernels of the CPU target ----*- C++ -*-===//
//
// Part of dsv2, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// Embedding, norms, residual addition, row copies and the rotary embedding.
//
// KernelBuilder.h has the conventions of all kernels. In particular each
// element of an output is computed in the same way whatever the share, the
// number of shares or the rest of the step, so results are bitwise independent
// of threads, batch and chunking. Zero rows are fine.
//
// Types below: `act2` and `act3` are getActivationType() of rank 2 and 3,
// `list` is getIndexListType(). Widths are static facts of the config; the
// matching memref dimension must be at least as large. Every kernel takes
// `part, parts` after the arguments shown.
//
//===----------------------------------------------------------------------===//

#ifndef DSV2_CODEGEN_CPU_ELEMENTWISEKERNELS_H
#define DSV2_CODEGEN_CPU_ELEMENTWISEKERNELS_H

#include "dsv2/CodeGen/CPU/KernelBuilder.h"

#include <cstdint>
#include <vector>

namespace mlir::dsv2::cpu {

/// Walks a share of a matrix of `rows` rows and static `width` columns: calls
/// `body` to emit the work on elements [column, column + count) of a row, where
/// `count` is a vector of f32 or, at the end of a row, what is left. Wide rows
/// are divided among the parts.
void emitRowRuns(
    KernelBuilder &b, Value rows, int64_t width, Value part, Value parts,
    llvm::function_ref<void(Value row, Value column, int64_t count)> body);

//===----------------------------------------------------------------------===//
// embed
//===----------------------------------------------------------------------===//

struct EmbedConfig {
  /// Row width D.
  int64_t width = 0;
  /// Element type of the table: f32 or bf16.
  Type tableType;
  /// Whether the table is a part of the vocabulary.
  bool partial = false;
};

/// out[t, :] = table[tokens[t], :], widened to f32.
///
///   (tokens: list [T], table: getStridedType(tableType, 2) [vocabulary, D],
///    [first: index,] out: act2 [T, D])
///
/// With `partial` the table's first row is that of id `first`, and rows of
/// tokens outside of it are 0. Otherwise token ids are not checked; the caller
/// has done that.
func::FuncOp getOrCreateEmbedKernel(ModuleOp module, const EmbedConfig &config,
                                    const CPUTargetInfo &target);

//===----------------------------------------------------------------------===//
// rms_norm
//===----------------------------------------------------------------------===//

struct RMSNormConfig {
  /// Row width D.
  int64_t width = 0;
  /// Added to the mean square.
  double epsilon = 1e-6;
};

/// y[t, :] = w * (x[t, :] * (1 / sqrt(mean(x[t, :]^2) + epsilon))).
///
///   (x: act2 [T, D], w: getStridedType(f32, 1) [D], y: act2 [T, D])
///
/// No mean is subtracted, the weight is used as stored (no 1 + w), all in f32.
/// Squares are summed in four vectors of partial sums in index order, which are
/// then added by a tree. `y` may be `x` itself.
func::FuncOp getOrCreateRMSNormKernel(ModuleOp module,
                                      const RMSNormConfig &config,
                                      const CPUTargetInfo &target);

//===----------------------------------------------------------------------===//
// add, copy and gather of rows, gated activation
//===----------------------------------------------------------------------===//

struct RowsConfig {
  /// Row width D.
  int64_t width = 0;
};

/// out[t, :] = a[t, :] + b[t, :].
///
///   (a: act2, b: act2, out: act2, all [T, D])
///
/// `out` may be `a` or `b` itself. T is the first dimension of `out`.
func::FuncOp getOrCreateAddKernel(ModuleOp module, const RowsConfig &config,
                                  const CPUTargetInfo &target);

/// out[t, :] = x[t, :].   (x: act2 [T, D], out: act2 [T, D])
func::FuncOp getOrCreateCopyRowsKernel(ModuleOp module,
                                       const RowsConfig &config,
                                       const CPUTargetInfo &target);

/// out[i, :] = x[rows[i], :].
///
///   (x: act2 [T, D], rows: list [N], out: act2 [N, D])
///
/// Serves the choice of logit rows and the gather of tokens per expert.
func::FuncOp getOrCreateGatherRowsKernel(ModuleOp module,
                                         const RowsConfig &config,
                                         const CPUTargetInfo &target);

/// out[t, :] = silu(gate[t, :]) * up[t, :], silu(v) = v / (1 + e^-v).
///
///   (gate: act2, up: act2, out: act2, all [T, D])
///
/// `out` may be `gate` or `up` itself.
func::FuncOp getOrCreateSiluMulKernel(ModuleOp module, const RowsConfig &config,
                                      const CPUTargetInfo &target);

//===----------------------------------------------------------------------===//
// rotary embedding
//===----------------------------------------------------------------------===//

struct RopeTableConfig {
  /// Radians per position of pair i, already scaled as the model wants; R / 2
  /// values.
  std::vector<float> inverseFrequencies;
  /// Factor on cos and sin.
  double cosSinMultiplier = 1.0;
};

/// table[t, i] = m * cos(a), table[t, R/2 + i] = m * sin(a) where
/// a = float32(positions[t]) * inv_freq[i], rounded to float32 as all reference
/// implementations do; cos and sin of that float32 are then within 1 ulp.
///
///   (positions: list [T], table: act2 [T, R])
func::FuncOp getOrCreateRopeTableKernel(ModuleOp module,
                                        const RopeTableConfig &config,
                                        const CPUTargetInfo &target);

struct ApplyRopeConfig {
  /// Rotated width R, even.
  int64_t width = 0;
  /// Rows are of heads; else they are of tokens, and there is no h below.
  bool ofHeads = true;
};

/// Rotates adjacent pairs, in place order:
///   out[t, h, 2i]     = x[t, h, 2i] * cos - x[t, h, 2i + 1] * sin
///   out[t, h, 2i + 1] = x[t, h, 2i + 1] * cos + x[t, h, 2i] * sin
/// with cos = table[t, i], sin = table[t, R/2 + i]; two products, each rounded,
/// then the sum, as the references compute it.
///
///   (x: act3 [T, H, R] or act2 [T, R], table: act2 [T, R], out: as x)
///
/// `out` may be `x` itself.
func::FuncOp getOrCreateApplyRopeKernel(ModuleOp module,
                                        const ApplyRopeConfig &config,
                                        const CPUTargetInfo &target);

} // namespace mlir::dsv2::cpu

#endif // DSV2_CODEGEN_CPU_ELEMENTWISEKERNELS_H
