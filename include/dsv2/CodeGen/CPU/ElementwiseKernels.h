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
// Conventions of all kernels in this folder. A kernel is a private `func.func`
// whose last two arguments are `%part: index, %parts: index`, part < parts: it
// computes share `part` of `parts` of the outputs. Shares are disjoint, their
// union is the whole, and each element is computed in the same way whatever the
// share, the number of shares or the rest of the step, so results are bitwise
// independent of threads, batch and chunking. Nothing is allocated on the heap;
// stack use depends on the config only. Zero rows are fine.
//
// Types below: `act2` is memref<?x?xf32, strided<[?, 1], offset: ?>>, `act3` is
// memref<?x?x?xf32, strided<[?, ?, 1], offset: ?>>, `ints` is memref<?xi32>.
// Widths are static facts of the config; the matching memref dimension must be
// at least as large.
//
//===----------------------------------------------------------------------===//

#ifndef DSV2_CODEGEN_CPU_ELEMENTWISEKERNELS_H
#define DSV2_CODEGEN_CPU_ELEMENTWISEKERNELS_H

#include "dsv2/Support/TargetInfo.h"
#include "mlir/Dialect/Func/IR/FuncOps.h"
#include "mlir/IR/BuiltinOps.h"

#include <cstdint>
#include <vector>

namespace mlir::dsv2::cpu {

/// Returns memref<?x?xT, strided<[?, 1], offset: ?>> (rank 2) or the like with
/// all but the last stride dynamic: the type of every activation argument.
MemRefType getStridedRowsType(Type elementType, int64_t rank);

//===----------------------------------------------------------------------===//
// embed
//===----------------------------------------------------------------------===//

struct EmbedConfig {
  /// Row width D.
  int64_t width = 0;
  /// Element type of the table: f32 or bf16.
  Type tableType;
};

/// out[t, :] = table[tokens[t], :], widened to f32.
///
///   (tokens: ints [T], table: memref<?x?xTABLE, strided<[?, 1], offset: ?>>
///    [vocabulary, D], out: act2 [T, D], part, parts)
///
/// Token ids are not checked; the caller has done that.
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
///   (x: act2 [T, D], w: memref<?xf32> [D], y: act2 [T, D], part, parts)
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
///   (a: act2, b: act2, out: act2, all [T, D], part, parts)
///
/// `out` may be `a` or `b` itself. T is the first dimension of `out`.
func::FuncOp getOrCreateAddKernel(ModuleOp module, const RowsConfig &config,
                                  const CPUTargetInfo &target);

/// out[t, :] = x[t, :].   (x: act2 [T, D], out: act2 [T, D], part, parts)
func::FuncOp getOrCreateCopyRowsKernel(ModuleOp module,
                                       const RowsConfig &config,
                                       const CPUTargetInfo &target);

/// out[i, :] = x[rows[i], :].
///
///   (x: act2 [T, D], rows: ints [N], out: act2 [N, D], part, parts)
///
/// Serves the choice of logit rows and the gather of tokens per expert.
func::FuncOp getOrCreateGatherRowsKernel(ModuleOp module,
                                         const RowsConfig &config,
                                         const CPUTargetInfo &target);

/// out[t, :] = silu(gate[t, :]) * up[t, :], silu(v) = v / (1 + e^-v).
///
///   (gate: act2, up: act2, out: act2, all [T, D], part, parts)
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
///   (positions: ints [T], table: act2 [T, R], part, parts)
func::FuncOp getOrCreateRopeTableKernel(ModuleOp module,
                                        const RopeTableConfig &config,
                                        const CPUTargetInfo &target);

struct ApplyRopeConfig {
  /// Rotated width R, even.
  int64_t width = 0;
};

/// Rotates adjacent pairs, in place order:
///   out[t, h, 2i]     = x[t, h, 2i] * cos - x[t, h, 2i + 1] * sin
///   out[t, h, 2i + 1] = x[t, h, 2i + 1] * cos + x[t, h, 2i] * sin
/// with cos = table[t, i], sin = table[t, R/2 + i]; two products, each rounded,
/// then the sum, as the references compute it.
///
///   (x: act3 [T, H, R], table: act2 [T, R], out: act3 [T, H, R], part, parts)
///
/// H is the second dimension of `out` and may be 1. `out` may be `x` itself.
func::FuncOp getOrCreateApplyRopeKernel(ModuleOp module,
                                        const ApplyRopeConfig &config,
                                        const CPUTargetInfo &target);

} // namespace mlir::dsv2::cpu

#endif // DSV2_CODEGEN_CPU_ELEMENTWISEKERNELS_H
