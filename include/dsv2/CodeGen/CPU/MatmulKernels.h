//===- MatmulKernels.h - Products with packed weights -----------*- C++ -*-===//
//
// Part of dsv2, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// Weights are read as *panels*: W[N, K], used as y = W x, is stored as
//   [ceil(N / NR)][K][NR], element (n, k) at [n / NR][k][n % NR],
// padded with zeros, NR = CPUTargetInfo::panelWidth(). A kernel walks a panel
// front to back, so a weight is one sequential stream.
//
// All products accumulate in f32, over k = 0 .. K-1 strictly in that order,
// with one chain of multiply-adds per output that starts from zero. A row's
// result is therefore bitwise the same whatever other rows are in the step,
// whatever tile it fell into and whatever the number of threads.
//
// Memref types below: `act` is getActivationType() (f32, dynamic row stride),
// `panels` is getPanelType(), `list` is getIndexListType(). Every kernel takes
// `part, parts` after the arguments shown. Sizes have to agree as the shapes
// say; kernels do not check them. Any size may be 0.
//
//===----------------------------------------------------------------------===//

#ifndef DSV2_CODEGEN_CPU_MATMULKERNELS_H
#define DSV2_CODEGEN_CPU_MATMULKERNELS_H

#include "dsv2/Support/BlockFormat.h"
#include "dsv2/Support/TargetInfo.h"
#include "mlir/Dialect/Func/IR/FuncOps.h"
#include "mlir/IR/BuiltinOps.h"
#include "mlir/IR/BuiltinTypes.h"

namespace mlir::dsv2::cpu {

/// How the elements of a panel are stored. Q8, Q4 and FP8: see BlockFormat.h.
/// FP8 is packed in rows, for GPUs, and has no products here.
enum class PanelFormat { F32, BF16, Q8, Q4, FP8 };

/// "f32", "bf16", "q8", "q4" or "fp8".
StringRef stringifyPanelFormat(PanelFormat format);

/// The blocks of a format that has some, else null.
const BlockFormat *getBlockFormat(PanelFormat format);

/// The element type of a panel; i8 for blocks.
Type getPanelElementType(MLIRContext *context, PanelFormat format);

/// Type of the rows that are multiplied with panels: f32, or the quantised rows
/// of QuantKernels.h for blocks, which wherever `x: act` is said below.
MemRefType getProductInputType(MLIRContext *context, PanelFormat format,
                               int64_t rank = 2);

/// Type of packed weights: [leading..., panel, K, NR], where `leadingDims`
/// dynamic dimensions precede the panel: none for one weight, one for heads or
/// experts. Panels are contiguous inside, everything above has a dynamic stride
/// and the whole a dynamic offset, so that one expert of many is a plain view:
///   memref<?x?xNRxelt, strided<[?, NR, 1], offset: ?>>
/// With blocks the bytes of a block of all columns take the place of one
/// k:
///   memref<?x?xBYTESxi8, strided<[?, BYTES, 1], offset: ?>>
MemRefType getPanelType(MLIRContext *context, const CPUTargetInfo &target,
                        PanelFormat format, int64_t leadingDims = 0,
                        bool rows = false);
/// Type of interleaved gate and up panels: [leading..., panel, 2, K, NR], gate
/// at 0 and up at 1.
///   memref<?x2x?xNRxelt, strided<[?, ?, NR, 1], offset: ?>>
MemRefType getGatedPanelType(MLIRContext *context, const CPUTargetInfo &target,
                             PanelFormat format, int64_t leadingDims = 0);

struct MatmulConfig {
  PanelFormat format = PanelFormat::F32;
  /// Add r[T, N] to the finished sum.
  bool addResidual = false;
  /// Also find m[T, P], for each of the P panels of NR columns of a row the
  /// largest of its results, or NaN if one of them is not finite: what a row's
  /// largest is can be told without reading all of the row again.
  bool findLargest = false;
};

/// y[T, N] = x[T, K] W^T, or y = r + x W^T.
///   (x: act, w: panels, [r: act,] y: act[, m: act])
/// `r` may be `y` itself; otherwise y overlaps nothing. x is never y.
func::FuncOp getOrCreateMatmulKernel(ModuleOp module,
                                     const MatmulConfig &config,
                                     const CPUTargetInfo &target);

struct GatedMatmulConfig {
  PanelFormat format = PanelFormat::F32;
  /// The result is quantised, as getOrCreateQuantizeRowsKernel() does. The
  /// format has blocks then.
  bool quantize = false;
};

/// h[T, I] = silu(x[T, K] Wg^T) * (x Wu^T), silu(v) = v / (1 + exp(-v)).
///   (x: act, w: gated panels of I columns, h: act or quantised)
/// Emits math.exp on vectors.
func::FuncOp getOrCreateGatedMatmulKernel(ModuleOp module,
                                          const GatedMatmulConfig &config,
                                          const CPUTargetInfo &target);

struct HeadMatmulConfig {
  PanelFormat format = PanelFormat::F32;
};

/// y[T, H, N] = x[T, H, K] W[h]^T for each head h.
///   (x: act rank 3, w: panels with one leading dimension H, y: act rank 3)
func::FuncOp getOrCreateHeadMatmulKernel(ModuleOp module,
                                         const HeadMatmulConfig &config,
                                         const CPUTargetInfo &target);

struct GroupedMatmulConfig {
  PanelFormat format = PanelFormat::F32;
  /// Row r of the product reads row rowToken[r] of x instead of row r.
  bool gather = false;
  /// As of GatedMatmulConfig; only for gated products.
  bool quantize = false;
};

/// y[r, N] = x[r, K] W[e]^T for the expert e that owns row r: the rows of e are
/// offsets[e] .. offsets[e + 1] - 1, offsets[0] = 0, offsets not decreasing.
///   (x: act, w: panels with one leading dimension E, offsets: list of E + 1,
///    [rowToken: list,] y: act)
/// Only weights of experts that own rows are read. Work is divided over pairs
/// of a non-empty expert and a panel, by what a pair costs: its bytes, or its
/// arithmetic where that is more.
func::FuncOp getOrCreateGroupedMatmulKernel(ModuleOp module,
                                            const GroupedMatmulConfig &config,
                                            const CPUTargetInfo &target);

/// The gated product per expert: h[r, I] = silu(x Wg[e]^T) * (x Wu[e]^T).
///   (x: act, w: gated panels with one leading dimension E,
///    offsets: list of E + 1, [rowToken: list,] h: act or quantised)
func::FuncOp
getOrCreateGroupedGatedMatmulKernel(ModuleOp module,
                                    const GroupedMatmulConfig &config,
                                    const CPUTargetInfo &target);

} // namespace mlir::dsv2::cpu

#endif // DSV2_CODEGEN_CPU_MATMULKERNELS_H
