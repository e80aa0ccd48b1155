//===- CostModel.h - Sizes and costs that follow from the shapes -*- C++
//-*-===//
//
// Part of dsv2, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// Parameter counts, arithmetic and memory traffic per decoded token, and the
// memory a run needs. Everything here is arithmetic on a verified ModelConfig;
// nothing depends on the chosen kernels. Counts are exact, the workspace is an
// estimate. A multiply-add counts as two FLOPs.
//
//===----------------------------------------------------------------------===//

#ifndef DSV2_IMPORT_COSTMODEL_H
#define DSV2_IMPORT_COSTMODEL_H

#include "dsv2/Import/ModelConfig.h"
#include "dsv2/Support/CacheFormat.h"
#include "llvm/ADT/ArrayRef.h"
#include "llvm/ADT/StringRef.h"
#include "llvm/Support/Error.h"

#include <array>
#include <cstdint>
#include <optional>
#include <string>

namespace dsv2 {

//===----------------------------------------------------------------------===//
// Formats
//===----------------------------------------------------------------------===//

/// How weights are stored. A matrix row is cut into blocks of `blockElements`
/// (the last one padded), each of `blockBytes` including its scales. Norm
/// weights and the router keep `smallBytes` per element in every format.
struct WeightFormatInfo {
  /// Spelling of `--weight-format`.
  llvm::StringLiteral name;
  int64_t blockElements;
  int64_t blockBytes;
  int64_t smallBytes;

  /// Bytes of one tensor in this very format.
  int64_t bytes(const TensorSpec &spec) const;

  /// Bytes of one tensor. Does not overflow for a verified configuration.
  int64_t tensorBytes(const TensorSpec &spec) const;
};

/// How the latent cache is stored.
struct KVFormatInfo {
  /// Spelling of `--kv-format`.
  llvm::StringLiteral name;
  mlir::dsv2::CacheFormat format;

  /// Bytes for one token in one layer, scales and padding included.
  int64_t entryBytes(const ModelConfig &config) const;
};

/// Returns the formats known to the cost model, widest first.
llvm::ArrayRef<WeightFormatInfo> weightFormats();
llvm::ArrayRef<KVFormatInfo> kvFormats();
/// Returns the format of that name, or null.
const WeightFormatInfo *findWeightFormat(llvm::StringRef name);
const KVFormatInfo *findKVFormat(llvm::StringRef name);

//===----------------------------------------------------------------------===//
// Parameters
//===----------------------------------------------------------------------===//

/// Number of parameters, in total and touched by one token. The paper does not
/// say how it counts "activated" parameters; `activeWithHead` is the reading
/// that gives its 21B and 2.4B.
struct ParameterCounts {
  static constexpr size_t numRoles =
      static_cast<size_t>(TensorRole::RoutedExpert) + 1;

  /// Indexed by TensorRole.
  std::array<int64_t, numRoles> byRole = {};
  int64_t total = 0;
  /// All layers with `numExpertsPerTok` routed experts, and the final norm.
  int64_t activeBlocks = 0;
  /// The same and the head.
  int64_t activeWithHead = 0;
  /// The same and the whole embedding table.
  int64_t activeWithHeadAndEmbedding = 0;

  int64_t of(TensorRole role) const {
    return byRole[static_cast<size_t>(role)];
  }
};

ParameterCounts countParameters(const ModelConfig &config);

//===----------------------------------------------------------------------===//
// Arithmetic
//===----------------------------------------------------------------------===//

/// FLOPs of latent attention in one layer (equations 9-19 and appendix C of the
/// report).
struct AttentionCost {
  // Per token.
  int64_t queryPath;
  int64_t kvDown;
  /// `kv_b_proj` on one latent in the expanded form; the products with W_UK and
  /// W_UV in the absorbed form. The two cost the same.
  int64_t kvUp;
  int64_t output;
  // Per (query, key) pair.
  int64_t expandedPair;
  int64_t absorbedPair;
};

AttentionCost attentionCost(const ModelConfig &config);

/// FLOPs of one decoded token, all layers and the head. Norms, softmax, rotary
/// embedding and activations are not counted.
struct DecodeFlops {
  /// Products with weight matrices, independent of the context.
  int64_t linear;
  /// Context terms of the absorbed form: scores and sums on latents.
  int64_t attentionAbsorbed;
  /// Context terms of the expanded form on a latent cache: every earlier key
  /// and value is made again from its latent.
  int64_t attentionExpanded;
  /// Context terms with a cache of expanded keys and values, for comparison;
  /// this compiler has no such cache.
  int64_t attentionExpandedCache;

  int64_t absorbed() const { return linear + attentionAbsorbed; }
  int64_t expanded() const { return linear + attentionExpanded; }
  int64_t expandedCache() const { return linear + attentionExpandedCache; }
};

/// Returns the cost of the token at the end of a context of `context` tokens,
/// itself included. Errors: a context that is not positive, results beyond 63
/// bits.
llvm::Expected<DecodeFlops> decodeFlops(const ModelConfig &config,
                                        int64_t context);

//===----------------------------------------------------------------------===//
// Memory
//===----------------------------------------------------------------------===//

/// Bytes of all weights.
int64_t weightBytes(const ModelConfig &config, const WeightFormatInfo &format);

/// Bytes of weights read for one decoded token of a single sequence: the
/// tensors of `ParameterCounts::activeWithHead`. The one embedding row is left
/// out.
int64_t activeWeightBytes(const ModelConfig &config,
                          const WeightFormatInfo &format);

/// Bytes of latent cache for one token, all layers.
int64_t kvBytesPerToken(const ModelConfig &config, const KVFormatInfo &format);

/// What a run is to hold at once.
struct MemoryRequest {
  /// Tokens per sequence.
  int64_t context;
  /// Sequences.
  int64_t batch = 1;
  const WeightFormatInfo *weightFormat = findWeightFormat("bf16");
  const KVFormatInfo *kvFormat = findKVFormat("bf16");
  /// Bytes of all weights if known (a WeightPlan), else those of
  /// `weightFormat`.
  std::optional<int64_t> weightBytes;
  /// Most tokens of one step; the activations of a step grow with it.
  int64_t stepTokens = 512;
  /// Bytes of step workspace if known (the compiled arena), else estimated.
  std::optional<int64_t> workspaceBytes;
};

/// Bytes per region. All of it is resident for the whole run.
struct MemoryPlan {
  MemoryRequest request;
  int64_t weightBytes;
  int64_t cacheBytesPerToken;
  int64_t cacheBytes;
  int64_t workspaceBytes;
  int64_t totalBytes;
};

/// Computes the plan for `request`. Errors: a context, batch or step that is
/// not positive, sizes beyond 63 bits.
llvm::Expected<MemoryPlan> planMemory(const ModelConfig &config,
                                      const MemoryRequest &request);

/// Returns an upper estimate of the activations of one step: float32, every
/// buffer of a layer alive at once, logits of one row per sequence. Nothing if
/// it exceeds 63 bits.
std::optional<int64_t> estimateWorkspaceBytes(const ModelConfig &config,
                                              int64_t stepTokens,
                                              int64_t batch);

/// Returns the largest context for which the plan's weights, workspace and
/// batch fit into `budgetBytes`, at most `maxPositionEmbeddings`; 0 if not even
/// one token fits.
int64_t largestContext(const ModelConfig &config, const MemoryPlan &plan,
                       int64_t budgetBytes);

/// Succeeds if the plan fits into `budgetBytes`. The error states the bytes
/// required, by region, and available, and the largest context that fits, or
/// that the weights (or weights and workspace) alone do not.
llvm::Error checkMemoryBudget(const ModelConfig &config, const MemoryPlan &plan,
                              int64_t budgetBytes);

/// Returns `bytes` in the largest binary unit that leaves at least 1: "4.75
/// GiB".
std::string formatBytes(int64_t bytes);

} // namespace dsv2

#endif // DSV2_IMPORT_COSTMODEL_H
