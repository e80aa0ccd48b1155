//===- SimtKernels.h - kernels without tensor cores -------------*- C++ -*-===//
//
// Part of dsv2, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// Device kernels for what moves bytes or chooses, and products for shapes that
// tensor cores do not take. Each function returns the kernel of its
// configuration, made if it is not there yet.
//
// The comment of a kernel gives the operands of its launch, inputs then
// outputs, and its grid. Activations are f32 or bf16 with the columns of a row
// adjacent; rows may lie apart. [T] counts tokens.
//
//===----------------------------------------------------------------------===//

#ifndef DSV2_CODEGEN_GPU_SIMTKERNELS_H
#define DSV2_CODEGEN_GPU_SIMTKERNELS_H

#include "dsv2/CodeGen/GPU/SimtBuilder.h"
#include "dsv2/Dialect/DSV2/IR/DSV2.h"

#include <array>
#include <vector>

namespace mlir::dsv2::gpu {

//===----------------------------------------------------------------------===//
// Rows (SimtRows.cpp)
//===----------------------------------------------------------------------===//

/// Copies rows: out[t] = table[rows[t]].
///   (rows: i32 [T], table [?, width], limit: i32 [1] or first: index?;
///    out [T, width]), grid (T)
struct GatherRowsConfig {
  int64_t width;
  Type from, to;
  enum class Rows {
    All,
    /// Only the first `limit` of them.
    Limited,
    /// The table has rows from `first` on; what it does not have are zeros.
    Part
  };
  Rows rows = Rows::All;
};
LLVM::LLVMFuncOp getOrCreateGatherRowsKernel(ModuleOp module,
                                             const GatherRowsConfig &config);

/// Root mean square norm, sums in f32.
///   (x [T, width], weight [width]; out [T, width]), grid (T)
struct RMSNormConfig {
  int64_t width;
  double eps;
  Type input, weight, output;
};
LLVM::LLVMFuncOp getOrCreateRMSNormKernel(ModuleOp module,
                                          const RMSNormConfig &config);

/// out = a + b, f32.
///   (a [T, width], b [T, width]; out [T, width]), grid (T)
struct AddConfig {
  int64_t width;
};
LLVM::LLVMFuncOp getOrCreateAddKernel(ModuleOp module, const AddConfig &config);

/// out[t] = residual[t] + shared[t] + sum_j weights[t, j] * y[rows[t, j]], in
/// the order of the slots, f32. `partial`: a slot whose row is -1 adds nothing,
/// and there is a row 0.
///   (y [rows, width], rows: i32 [T, k], weights [T, k], shared?, residual?;
///    out [T, width]), grid (T)
struct CombineConfig {
  int64_t width, topK;
  bool hasShared, hasResidual;
  bool partial = false;
};
LLVM::LLVMFuncOp getOrCreateCombineKernel(ModuleOp module,
                                          const CombineConfig &config);

//===----------------------------------------------------------------------===//
// Products (SimtProducts.cpp)
//===----------------------------------------------------------------------===//

/// A product of few rows with row-major weights [..., N, K]: any sizes, sums in
/// f32. What it costs is the bytes of the weights, each of which is read once
/// for up to kProductRows rows; more rows are taken as many at a time.
/// docs/GPUKernels.md says how it keeps the memory busy.
///
/// bf16 weights, and those in blocks, with K a multiple of 8 go through tensor
/// cores, which truncate sums of products and round an f32 input to bf16
/// (docs/NumericPolicy.md); others through FMA, with loads of 16 bytes if rows
/// have multiples of that, else one element a load. So does an input that is
/// not where it can be loaded so. The integers of blocks are exact in bf16, and
/// the sum of each block is multiplied by its scale in f32.
/// A row's result depends on nothing but that row, and is the same every time.
struct ProductConfig {
  int64_t outputs, inputs;
  /// `weight` is that of elements without blocks.
  Type input, weight, output;
  /// Blocks of the weights, whose rows are as BlockFormat.h says for GPUs.
  PackFormat format = PackFormat::Plain;
  /// Weights hold rows of gate and of up in turn, kGatedRowGroup of each, the
  /// last filled up: silu(gate) * up.
  bool gated = false;
  /// Adds a residual [T, N], f32, to the result; not by heads.
  bool residual = false;
  /// Heads: input [T, heads, K], weights [heads, N, K], output [T, heads, N].
  int64_t heads = 1;
  /// Experts: rows sorted by expert, weights [E, N, K].
  int64_t experts = 0;
  /// With experts: row r of the input is that of token rowTokens[r].
  bool gather = false;
  /// Warps of a block, at least; for products that share a launch.
  int64_t minWarps = 0;

  /// Bytes from a row of weights to the next.
  int64_t weightRowBytes() const;
};
/// (x [T, K], weights, residual?, offsets: i32 [E + 1]?, rowTokens: i32
/// [rows]?;
///  out [T, N]), grid of getProductGrid
LLVM::LLVMFuncOp getOrCreateProductKernel(ModuleOp module,
                                          const ProductConfig &config);
/// Several products in one launch, none of which reads what another writes: one
/// that is small, or that waits for other launches, then costs no time of its
/// own.
///   (inputs of the first, of the second, ...; output of the first, ...), grid
/// of getProductsGrid
LLVM::LLVMFuncOp
getOrCreateProductsKernel(ModuleOp module,
                          llvm::ArrayRef<ProductConfig> configs);

/// Rows that share one reading of the weights.
inline constexpr int64_t kProductRows = 8;
/// The grid of a launch that gives `rows` rows: (groups of rows, or experts
/// that have any; groups of outputs; heads).
std::array<int64_t, 3> getProductGrid(const ProductConfig &config,
                                      int64_t rows);
/// The same as `index`.
SmallVector<Value> getProductGrid(ImplicitLocOpBuilder &b,
                                  const ProductConfig &config, Value rows);
/// The grid of a launch of several, which has one dimension.
int64_t getProductsGrid(llvm::ArrayRef<ProductConfig> configs,
                        llvm::ArrayRef<int64_t> rows);
Value getProductsGrid(ImplicitLocOpBuilder &b,
                      llvm::ArrayRef<ProductConfig> configs, ValueRange rows);

//===----------------------------------------------------------------------===//
// Rope (SimtRope.cpp)
//===----------------------------------------------------------------------===//

/// cos and sin of every pair's angle, times `multiplier`. Angles are rounded to
/// f32 as the references round them, then reduced in f64.
///   (positions: i32 [T]; table f32 [T, 2 * pairs]: cos then sin), grid (T)
struct RopeTableConfig {
  std::vector<float> inverseFrequencies;
  float multiplier;
};
LLVM::LLVMFuncOp getOrCreateRopeTableKernel(ModuleOp module,
                                            const RopeTableConfig &config);

/// Rotates adjacent pairs.
///   (x [T, H, width], table [T, width]; out [T, H, width]), grid (T)
///   in place: (table; x)
struct ApplyRopeConfig {
  int64_t heads, width;
  Type input, output;
  bool inPlace = false;
};
LLVM::LLVMFuncOp getOrCreateApplyRopeKernel(ModuleOp module,
                                            const ApplyRopeConfig &config);

//===----------------------------------------------------------------------===//
// Latent cache and attention (SimtLatent.cpp, SimtAttention.cpp)
//===----------------------------------------------------------------------===//

/// The latent cache of one layer, bf16 or f32 [pages, page, latent + rope].
struct LatentCacheConfig {
  int64_t latent, rope, page;
  Type element;

  int64_t row() const { return latent + rope; }
};

/// Writes [c | kpe] of each token into its row of the cache.
///   (c [T, L], kpe [T, R], positions, seqIds: i32 [T], blockTables: i32 [S,
///   B],
///    cache), grid (T)
struct LatentAppendConfig {
  LatentCacheConfig cache;
  Type latent, rope;
};
LLVM::LLVMFuncOp
getOrCreateLatentAppendKernel(ModuleOp module,
                              const LatentAppendConfig &config);

/// Copies the rows of all positions of the step's sequences, sequence by
/// sequence: the inputs of products that expand them. Row r of the outputs is
/// that of position r - starts[s] of sequence s; K is the sum of the positions.
///   (positions: i32 [T], seqStarts: i32 [S + 1], blockTables: i32 [S, B],
///    cache; latents [K, L], keys [K, R], of the cache's element, starts: i32
///    [S + 1]), grid of getContextRowsBlocks
struct ContextRowsConfig {
  LatentCacheConfig cache;
};
LLVM::LLVMFuncOp getOrCreateContextRowsKernel(ModuleOp module,
                                              const ContextRowsConfig &config);
/// Rows that a block copies, and the blocks of a launch for `rows`.
inline constexpr int64_t kContextRows = 8;
Value getContextRowsBlocks(ImplicitLocOpBuilder &b, Value rows);

/// What attention needs of each new token, in one launch: its latent normalised
/// and its key rotated, as a row of the cache, and its queries rotated.
///   (queries [T, H, R], latent [T, L], key [T, R], weight [L], positions,
///    seqIds: i32 [T], blockTables: i32 [S, B], cache; rotated [T, H, R]),
///    grid (T)
struct LatentInputConfig {
  LatentCacheConfig cache;
  RopeTableConfig rope;
  int64_t heads;
  double eps;
  Type query, latent, key, weight, output;
};
LLVM::LLVMFuncOp getOrCreateLatentInputKernel(ModuleOp module,
                                              const LatentInputConfig &config);

/// Absorbed attention, one block for a token and head, over any number of
/// positions with an online softmax.
///   (ql [T, H, L], qr [T, H, R], cache, positions, seqIds, blockTables;
///    out [T, H, L]), grid (T, H)
struct AttentionConfig {
  LatentCacheConfig cache;
  int64_t heads;
  float scale;
  Type input, output;
};
LLVM::LLVMFuncOp getOrCreateAttentionKernel(ModuleOp module,
                                            const AttentionConfig &config);

//===----------------------------------------------------------------------===//
// Experts (SimtRoute.cpp)
//===----------------------------------------------------------------------===//

/// Group-limited choice of experts from their scores before the softmax
/// (dsv2.route), ties by lower index.
///   (scores f32 [T, E]; ids: i32 [T, k], weights f32 [T, k]), grid (T)
struct RouteConfig {
  int64_t experts, topK, groups, topGroups;
  float scale;
  bool normalize;
};
LLVM::LLVMFuncOp getOrCreateRouteKernel(ModuleOp module,
                                        const RouteConfig &config);

/// Orders (token, slot) pairs by expert, then token, then slot. `partial`: a
/// pair whose id is -1 has no row, and -1 in `rows`; `tokens` behind the last
/// row are left as they are.
///   (ids: i32 [T, k]; offsets: i32 [E + 1], tokens: i32 [T * k],
///    rows: i32 [T, k]), grid (1)
struct DispatchConfig {
  int64_t experts, topK;
  bool partial = false;
};
LLVM::LLVMFuncOp getOrCreateDispatchKernel(ModuleOp module,
                                           const DispatchConfig &config);

/// A route and its dispatch in one launch of one block: for few tokens, whose
/// launches take longer than their work.
///   (scores f32 [T, E]; ids: i32 [T, k], weights f32 [T, k],
///    offsets: i32 [E + 1], tokens: i32 [T * k], rows: i32 [T, k]), grid (1)
LLVM::LLVMFuncOp getOrCreateRouteDispatchKernel(ModuleOp module,
                                                const RouteConfig &config);

/// The same in the first block of a launch of products: memory is busy while
/// experts are chosen.
///   (scores, inputs of the first product, ...; ids, weights, offsets, tokens,
///    rows, output of the first product, ...), grid of getProductsGrid and one
///    block more
LLVM::LLVMFuncOp
getOrCreateRouteProductsKernel(ModuleOp module, const RouteConfig &route,
                               llvm::ArrayRef<ProductConfig> products);
/// Whether a block of these products' size has room to choose.
bool canRouteBesideProducts(const RouteConfig &route,
                            llvm::ArrayRef<ProductConfig> products);

//===----------------------------------------------------------------------===//
// Tokens on their way to other ranks and back (SimtExchange.cpp)
//===----------------------------------------------------------------------===//

/// The rows that dsv2.exchange_pack makes, as GPUs send them: a token's input,
/// from the next multiple of 4 bytes on its k numbers of experts (i32), then
/// its k weights (f32), and zeros up to a multiple of 16 bytes. All of it
/// counts as columns of `element`, f32 or bf16.
struct ExchangeConfig {
  int64_t width, topK;
  Type element;
  /// Experts of a rank, and ranks.
  int64_t experts = 0, ranks = 0;
  /// Rows that every rank has, used or not; 0: as many as needed.
  int64_t capacity = 0;

  /// Where the numbers of experts begin.
  int64_t slotColumn() const;
  int64_t columns() const;
};

/// Where the row of each token for each rank is, -1 for no row, and how many
/// rows are wanted for each rank: rows are ordered by rank, then token. With a
/// capacity the rows of rank r start at r * capacity, and tokens beyond it have
/// no place.
///   (ids: i32 [T, k]; counts: i32 [ranks], places: i32 [T, ranks]), grid (1)
LLVM::LLVMFuncOp getOrCreateExchangePlanKernel(ModuleOp module,
                                               const ExchangeConfig &config);

/// Fills the rows. With a capacity, rows that are not used get -1 for all
/// numbers and 0 for all weights.
///   (x [T, width], ids: i32 [T, k], weights [T, k], places: i32 [T, ranks],
///    counts: i32 [ranks]; rows [?, columns]), grid of getExchangePackBlocks
LLVM::LLVMFuncOp getOrCreateExchangePackKernel(ModuleOp module,
                                               const ExchangeConfig &config);

Value getExchangePackBlocks(ImplicitLocOpBuilder &b,
                            const ExchangeConfig &config, Value tokens);

/// Takes numbers and weights out of rows that arrived.
///   (rows [N, columns]; ids: i32 [N, k], weights [N, k]), grid of
/// getExchangeUnpackBlocks
LLVM::LLVMFuncOp getOrCreateExchangeUnpackKernel(ModuleOp module,
                                                 const ExchangeConfig &config);
Value getExchangeUnpackBlocks(ImplicitLocOpBuilder &b, int64_t topK,
                              Value rows);

/// y[t] = sum_r rows[places[t, r]] over the ranks with a place, f32, in the
/// order of the ranks. There is a row 0.
///   (rows [?, width], places: i32 [T, ranks]; y [T, width]), grid (T)
LLVM::LLVMFuncOp getOrCreateExchangeCombineKernel(ModuleOp module,
                                                  const ExchangeConfig &config);

//===----------------------------------------------------------------------===//
// The next token (SimtSample.cpp)
//===----------------------------------------------------------------------===//

/// The largest logit of every part of the vocabulary, of DSV2RT_SAMPLE_PARTS
/// about equal ones, after the repetition penalty; records of
/// DSV2RT_SAMPLE_PART_WORDS words.
///   (logits f32 [R, V], sampling: dsv2rt_sampling_row [R], seen: i32 [R,
///   V/32];
///    parts: i32 [R, ...]), grid (DSV2RT_SAMPLE_PARTS, R)
LLVM::LLVMFuncOp getOrCreateSampleScanKernel(ModuleOp module);
inline constexpr llvm::StringLiteral kSampleScanName = "sample_scan";

/// What the tokens of every part weigh that are drawn from without limits, into
/// the same records; the arguments and the grid are the same.
LLVM::LLVMFuncOp getOrCreateSampleWeighKernel(ModuleOp module);
inline constexpr llvm::StringLiteral kSampleWeighName = "sample_weigh";

/// Chooses a token for each row, as dsv2rt_sample_fn says (abi.h), and prepares
/// the next step. Logits are compared and weighed in f32, and what is drawn
/// depends on nothing but the row.
///   (logits f32 [R, V], rows: i32 [R], sampling: dsv2rt_sampling_row [R],
///    parts: i32 [R, ...]; tokens: i32 [T], positions: i32 [T], seen: i32
///    [R, V/32], chosen: i32 [DSV2RT_SAMPLE_STEPS, R]), grid (R)
LLVM::LLVMFuncOp getOrCreateSampleChooseKernel(ModuleOp module);
inline constexpr llvm::StringLiteral kSampleChooseName = "sample_choose";

} // namespace mlir::dsv2::gpu

#endif // DSV2_CODEGEN_GPU_SIMTKERNELS_H
