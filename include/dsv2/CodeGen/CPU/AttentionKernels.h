//===- AttentionKernels.h - Latent attention on the CPU --------*- C++ -*-===//
//
// Part of dsv2, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// The latent cache (append, page copies) and attention over it in both forms.
// KernelBuilder.h has the conventions of all kernels. `act2` and `act3` are
// getActivationType() of rank 2 and 3, `list` is getIndexListType(). Every
// kernel takes `part, parts` after the arguments shown.
//
// A step holds T tokens of S sequences. Tokens of one sequence are adjacent and
// their positions ascend by one: sequence s owns tokens seqStarts[s] to
// seqStarts[s + 1] - 1. Position j of sequence s lives in page
// blockTables[s, j / page] at row j % page. Arguments:
//   positions, seqIds: list [T]    seqStarts: list [S + 1]
//   blockTables: getStridedType(i32, 2) [S, B]
//   cache: getLatentCacheType(), one layer
// Each cache row is `[c | k_pe]`: the latent after its norm and the shared rope
// key after rotation, stored as CacheFormat.h says. Attention decodes the rows
// of q8 and q6 by blocks of positions into scratch, and then works on that
// instead of the cache.
// Rows of positions that no token of the step may see are never used: they may
// hold anything, NaN included.
//
//===----------------------------------------------------------------------===//

#ifndef DSV2_CODEGEN_CPU_ATTENTIONKERNELS_H
#define DSV2_CODEGEN_CPU_ATTENTIONKERNELS_H

#include "dsv2/CodeGen/CPU/KernelBuilder.h"
#include "dsv2/CodeGen/CPU/MatmulKernels.h"
#include "dsv2/Support/CacheFormat.h"

#include <cstdint>

namespace mlir::dsv2::cpu {

/// The latent cache as the kernels see it.
struct LatentCacheConfig {
  /// Width of the latent, `kv_lora_rank` (L).
  int64_t latent = 0;
  /// Width of the rope key, `qk_rope_head_dim` (R).
  int64_t rope = 0;
  /// Positions per page, a multiple of 16.
  int64_t page = 64;
  CacheFormat format = CacheFormat::F32;

  CacheRow row() const { return {format, latent, rope}; }
  bool isQuantized() const { return dsv2::isQuantized(format); }
  /// Elements of a row in memory, and their type: f32, bf16 or, with blocks,
  /// bytes.
  int64_t rowWidth() const { return row().elements; }
  Type elementType(MLIRContext *context) const;
};

/// Returns the type of one layer's cache,
///   memref<? x page x rowWidth() x element, strided<[?, ?, 1], offset: ?>>.
MemRefType getLatentCacheType(MLIRContext *context,
                              const LatentCacheConfig &config);

/// Returns the type of the caches of all layers in one piece,
///   memref<? x ? x page x rowWidth() x element,
///          strided<[?, ?, ?, 1], offset: ?>>
/// with dimensions layer and page number first.
MemRefType getLatentCacheStackType(MLIRContext *context,
                                   const LatentCacheConfig &config);

//===----------------------------------------------------------------------===//
// latent_append
//===----------------------------------------------------------------------===//

/// Writes `[c[t] | kpe[t]]`, rounded to the cache's format, into the row of
/// positions[t] of sequence seqIds[t].
///
///   (c: act2 [T, L], kpe: act2 [T, R], positions, seqIds, blockTables, cache)
func::FuncOp getOrCreateLatentAppendKernel(ModuleOp module,
                                           const LatentCacheConfig &config,
                                           const CPUTargetInfo &target);

//===----------------------------------------------------------------------===//
// copy_pages
//===----------------------------------------------------------------------===//

/// Copies page from[i] to page to[i] in every layer.
///
///   (cache: getLatentCacheStackType(), from: list [N], to: list [N])
///
/// No page may be in both lists, none twice in `to`.
func::FuncOp getOrCreateCopyPagesKernel(ModuleOp module,
                                        const LatentCacheConfig &config,
                                        const CPUTargetInfo &target);

//===----------------------------------------------------------------------===//
// latent_attention, absorbed form
//===----------------------------------------------------------------------===//

struct AbsorbedAttentionConfig {
  LatentCacheConfig cache;
  /// Number of heads H.
  int64_t heads = 0;
  /// Factor on the whole score.
  float scale = 1.0f;
  /// Round queries and softmax weights to bf16 and multiply pairs of them with
  /// the cache as it is in bf16, or is decoded to. Where the cache is f32 or
  /// the processor has no such instruction this changes nothing.
  bool roundToBF16 = false;

  /// Positions per step of the online softmax. Blocks start at multiples of it;
  /// it divides the page, so that a block is one run of memory. 0 picks one.
  int64_t block = 0;
};

/// Multi-query attention over latents, W_UK already folded into `ql`:
///   s[t, h, j] = scale * (ql[t, h] . c[j] + qr[t, h] . kpe[j]), j <= pos[t]
///   z[t, h, :] = sum_j softmax_j(s[t, h, j]) c[j, :]
///
///   (ql: act3 [T, H, L], qr: act3 [T, H, R], cache, positions, seqIds,
///    blockTables, z: act3 [T, H, L])
///
/// For decode: each token walks its context alone. Work is cut into (token,
/// group of heads); groups shrink, down to four heads, while that helps to
/// keep all parts busy.
func::FuncOp
getOrCreateAbsorbedAttentionKernel(ModuleOp module,
                                   const AbsorbedAttentionConfig &config,
                                   const CPUTargetInfo &target);

//===----------------------------------------------------------------------===//
// latent_attention, expanded form
//===----------------------------------------------------------------------===//

struct ExpandedAttentionConfig {
  LatentCacheConfig cache;
  /// Number of heads H.
  int64_t heads = 0;
  /// Width of the position-free part of a key, `qk_nope_head_dim` (N).
  int64_t nope = 0;
  /// Width of a value, `v_head_dim` (V).
  int64_t value = 0;
  /// Factor on the whole score.
  float scale = 1.0f;
  /// Format of the packed expansion weights. With blocks the latents are
  /// quantised for the expansion as in QuantKernels.h.
  PanelFormat weightFormat = PanelFormat::F32;
  /// Round keys, values, queries and softmax weights to bf16 and multiply pairs
  /// of them. Where the cache is f32, a width is odd or the processor has no
  /// such instruction this changes nothing.
  bool roundToBF16 = false;

  /// Positions that are expanded at a time; blocks start at multiples of it and
  /// it divides the page. 0 picks one.
  int64_t block = 0;
  /// Tokens of one sequence that share an expansion of the context. Longer
  /// chunks expand it again every so many tokens; the stack holds one vector
  /// and one float for each. 0 picks one. It is an upper bound: with more
  /// threads than heads, runs are shorter. It never changes a result.
  int64_t queryTile = 0;
};

/// Attention with keys and values expanded from the latents block by block:
///   k[h, j, :] = W_UK[h] c[j],  v[h, j, :] = W_UV[h] c[j]
///   s[t, h, j] = scale * (qn[t, h] . k[h, j] + qr[t, h] . kpe[j]), j <= pos[t]
///   o[t, h, :] = sum_j softmax_j(s[t, h, j]) v[h, j, :]
///
///   (qn: act3 [T, H, N], qr: act3 [T, H, R], wuk: panels of N rows,
///    wuv: panels of V rows, cache, positions, seqStarts, blockTables,
///    o: act3 [T, H, V])
///
/// `wuk` and `wuv` are of getPanelType(weightFormat, leadingDims = 1): for each
/// head the [N, L] or [V, L] slice of kv_b_proj, packed plainly (a batched
/// getOrCreatePackPanelsKernel of each slice, not transposed).
///
/// For prefill chunks that start at any position. Work is cut into (sequence,
/// run of at most queryTile tokens, head). The rows of `o` serve as the
/// accumulator, so `o` must not overlap an input.
func::FuncOp
getOrCreateExpandedAttentionKernel(ModuleOp module,
                                   const ExpandedAttentionConfig &config,
                                   const CPUTargetInfo &target);

} // namespace mlir::dsv2::cpu

#endif // DSV2_CODEGEN_CPU_ATTENTIONKERNELS_H
