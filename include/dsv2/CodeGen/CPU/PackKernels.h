//===- PackKernels.h - Weights into panels ----------------------*- C++ -*-===//
//
// Part of dsv2, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// Kernels of the prepare function: they run once per weight and write what
// MatmulKernels.h reads. Sources may be f32, bf16 or f16; the conversion to f32
// is exact, the one to bf16 rounds to nearest, ties to even, and keeps NaN.
// Every kernel takes `part, parts` after the arguments shown and writes the
// padding of its panels too.
//
//===----------------------------------------------------------------------===//

#ifndef DSV2_CODEGEN_CPU_PACKKERNELS_H
#define DSV2_CODEGEN_CPU_PACKKERNELS_H

#include "dsv2/CodeGen/CPU/MatmulKernels.h"

namespace mlir::dsv2::cpu {

/// Element type of a tensor as the checkpoint stores it.
enum class SourceType { F32, BF16, F16 };

struct PackConfig {
  SourceType source = SourceType::F32;
  PanelFormat format = PanelFormat::F32;
  /// The source holds the transpose, [K, N] instead of [N, K].
  bool transposed = false;
  /// Source and panels have one more leading dimension: heads or experts.
  bool batched = false;
  /// Panels of one column instead of the processor's: the rows of W, or of its
  /// transpose, as they are; of blocks the rows of bytes that BlockFormat.h
  /// describes, [N, bytes]. Not for gated panels.
  bool rows = false;
};

/// Packs W[N, K].
///   (src: getStridedType of rank 2, dst: panels)
///   batched: (src: rank 3 [H, N, K], dst: panels with a leading H)
/// The split of kv_b[H * (Nn + V), r] into its two halves needs no kernel of
/// its own: seen as [H, Nn + V, r], the sub-view [:, 0:Nn, :] packed with
/// `transposed` gives W_UK^T (y[r] from x[Nn]), and [:, Nn:, :] packed plainly
/// gives W_UV (y[V] from x[r]).
func::FuncOp getOrCreatePackPanelsKernel(ModuleOp module,
                                         const PackConfig &config,
                                         const CPUTargetInfo &target);

/// Packs gate[I, K] and up[I, K] interleaved.
///   (gate, up: getStridedType of rank 2, dst: gated panels)
///   batched: (rank 3, gated panels with a leading dimension)
func::FuncOp getOrCreatePackGatedPanelsKernel(ModuleOp module,
                                              const PackConfig &config,
                                              const CPUTargetInfo &target);

/// Packs rows of gate[I, K] and up[I, K] in groups, those of gate first; rows
/// behind I are zero.
///   (gate, up: getStridedType of rank 2, dst: [I / w, 2, w, K or bytes])
///   batched: (rank 3, dst with a leading dimension)
func::FuncOp getOrCreatePackGatedRowsKernel(ModuleOp module,
                                            const PackConfig &config,
                                            const CPUTargetInfo &target);

struct ConvertConfig {
  SourceType source = SourceType::F32;
  PanelFormat format = PanelFormat::F32;
  /// 1 (norm weights) or 2 (the embedding table).
  int64_t rank = 2;
};

/// dst = src, converted; both getStridedType of config.rank.
///   (src, dst)
func::FuncOp getOrCreateConvertKernel(ModuleOp module,
                                      const ConvertConfig &config,
                                      const CPUTargetInfo &target);

} // namespace mlir::dsv2::cpu

#endif // DSV2_CODEGEN_CPU_PACKKERNELS_H
