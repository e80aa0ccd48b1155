//===- ModelConfig.h - Resolved model configuration ------------*- C++ -*-===//
//
// Part of dsv2, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// config.json of a DeepSeek-V2 family checkpoint, read, checked and resolved.
// Nothing after this point looks at the JSON again, and nothing after it has to
// ask whether a value is present, in range, or supported.
//
//===----------------------------------------------------------------------===//

#ifndef DSV2_IMPORT_MODELCONFIG_H
#define DSV2_IMPORT_MODELCONFIG_H

#include "dsv2/Support/RopeConfig.h"
#include "llvm/ADT/ArrayRef.h"
#include "llvm/ADT/STLFunctionalExtras.h"
#include "llvm/ADT/SmallVector.h"
#include "llvm/ADT/StringRef.h"
#include "llvm/Support/Error.h"

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

namespace dsv2 {

/// How the router picks experts, `topk_method`.
enum class TopKMethod {
  /// The `num_experts_per_tok` largest scores. Also what the first published
  /// code spells "gready".
  Greedy,
  /// First the `topk_group` groups whose best expert scores highest (the
  /// maximum, not V3's sum of two), then the largest scores within them.
  GroupLimitedGreedy,
};

/// What the feed-forward half of a layer is.
enum class LayerKind { Dense, MoE };

/// Element type the checkpoint declares, `torch_dtype` or `dtype`. The type of
/// each stored tensor is read from the weight files; this is a hint.
enum class CheckpointDType { Float32, Float16, BFloat16 };

/// Returns the spelling used in config.json.
llvm::StringRef stringifyTopKMethod(TopKMethod method);
/// Returns "dense" or "moe".
llvm::StringRef stringifyLayerKind(LayerKind kind);
/// Returns "float32", "float16" or "bfloat16".
llvm::StringRef stringifyCheckpointDType(CheckpointDType type);

/// A stretch of consecutive layers of one kind: `first` .. `last` inclusive.
struct LayerRun {
  LayerKind kind;
  int64_t first;
  int64_t last;

  int64_t size() const { return last - first + 1; }
};

/// What a checkpoint tensor is for. Parameter counts are grouped by it.
enum class TensorRole {
  Embedding,
  Head,
  Attention,
  Norm,
  DenseFFN,
  Router,
  SharedExpert,
  RoutedExpert,
};

/// Returns a lower-case name such as "routed experts".
llvm::StringRef stringifyTensorRole(TensorRole role);

/// One tensor of the checkpoint.
struct TensorSpec {
  /// Name in the weight files, such as
  /// `model.layers.3.self_attn.o_proj.weight`.
  std::string name;
  /// Row-major extents: `[out, in]` for a matrix used as `y = W x`, one extent
  /// for the weight of a norm.
  llvm::SmallVector<int64_t, 2> shape;
  TensorRole role;
  /// Layer index, or -1 for the embedding, the final norm and the head.
  int64_t layer;
  /// Routed expert index, or -1.
  int64_t expert;

  /// Number of elements. Does not overflow for an accepted configuration.
  int64_t numElements() const;
};

/// Why a key of config.json has no influence on the compiled model.
enum class IgnoredReason {
  /// Names the publisher's classes, versions or paths.
  Provenance,
  /// Matters for training only (dropout, balance losses, initialisation).
  TrainingOnly,
  /// A switch of the software that reads it, without effect on the logits.
  RuntimeSwitch,
  /// A default for text generation; the command line decides here.
  GenerationDefault,
  /// Belongs to the tokenizer, which is read from its own files.
  Tokenizer,
  /// Has no meaning for latent attention or for this architecture.
  NotUsedByArchitecture,
  /// Repeats what other keys say.
  Derived,
  /// Says which task heads or labels a fine-tuned model had; no such head here.
  TaskHead,
  /// Not a key this compiler knows. A warning is issued too.
  Unknown,
};

/// Returns a short phrase such as "training only".
llvm::StringRef stringifyIgnoredReason(IgnoredReason reason);

/// Returns text of an untrusted file fit for a terminal: valid UTF-8, with
/// control characters, quotes and backslashes escaped as in JSON.
std::string escapeText(llvm::StringRef text);

/// A key that was present and had no influence.
struct IgnoredKey {
  /// Dotted path for nested keys: `rope_scaling.foo`.
  std::string key;
  IgnoredReason reason;
};

/// A key that was absent (or null) and took a documented default.
struct DefaultedKey {
  /// Dotted path for nested keys.
  std::string key;
  /// The value used, as JSON text.
  std::string value;
};

/// Largest accepted values. They are generous (about a hundred times the
/// published models) and exist so that sizes computed from an untrusted file
/// neither overflow nor lead to absurd allocations.
struct ModelLimits {
  static constexpr int64_t maxVocabSize = int64_t(1) << 24;
  static constexpr int64_t maxHiddenSize = int64_t(1) << 20;
  static constexpr int64_t maxIntermediateSize = int64_t(1) << 22;
  static constexpr int64_t maxLayers = int64_t(1) << 12;
  static constexpr int64_t maxHeads = int64_t(1) << 16;
  static constexpr int64_t maxHeadDim = int64_t(1) << 16;
  static constexpr int64_t maxRank = int64_t(1) << 20;
  static constexpr int64_t maxExperts = int64_t(1) << 16;
  static constexpr int64_t maxPositions = (int64_t(1) << 31) - 1;
  /// Tensors in the checkpoint, experts counted one by one.
  static constexpr int64_t maxTensors = int64_t(1) << 24;
  /// Parameters in total; float32 bytes then still fit 63 bits.
  static constexpr int64_t maxParameters = int64_t(1) << 58;
  /// Size of config.json in bytes.
  static constexpr int64_t maxFileSize = int64_t(1) << 22;
  /// Nesting of JSON values in config.json.
  static constexpr unsigned maxJsonDepth = 64;
};

/// A configuration of the DeepSeek-V2 family, checked. Field names follow
/// config.json. An object made by `parseModelConfig` satisfies every range and
/// divisibility rule stated below; code that builds one by hand (tests) can ask
/// `verify`.
struct ModelConfig {
  /// Name of the file the configuration was read from, for messages.
  std::string fileName;

  /// Number of token ids, the rows of the embedding and of the head.
  int64_t vocabSize = 0;
  /// Width `d` of the residual stream.
  int64_t hiddenSize = 0;
  /// Number of transformer layers.
  int64_t numHiddenLayers = 0;
  /// Longest position the model is meant for, in tokens.
  int64_t maxPositionEmbeddings = 0;
  /// Added to the mean square in every RMS norm, the latent norms included.
  double rmsNormEps = 0.0;

  /// Number of attention heads `H`; any value from 1 on.
  int64_t numAttentionHeads = 0;
  /// Width of the query latent, or nothing for a single `q_proj` (V2-Lite).
  std::optional<int64_t> qLoraRank;
  /// Width `r` of the key/value latent.
  int64_t kvLoraRank = 0;
  /// Width `N` of the part of a query or key head without position.
  int64_t qkNopeHeadDim = 0;
  /// Width `R` of the rotated part, even; the rotated key is shared by all
  /// heads.
  int64_t qkRopeHeadDim = 0;
  /// Width `V` of a value head.
  int64_t vHeadDim = 0;
  /// Rotary embedding; `rope.dim` equals `qkRopeHeadDim`.
  RopeConfig rope;

  /// Width of the dense feed-forward network; 0 if no layer is dense and the
  /// file does not say.
  int64_t intermediateSize = 0;
  /// Layers below this index are dense.
  int64_t firstKDenseReplace = 0;
  /// Of the layers from `firstKDenseReplace` on, those divisible by this are
  /// MoE.
  int64_t moeLayerFreq = 1;
  /// Number of routed experts; 0 means that every layer is dense.
  int64_t nRoutedExperts = 0;
  /// Number of shared experts; 0 means none. They are stored and computed as
  /// one network of width `nSharedExperts * moeIntermediateSize`.
  int64_t nSharedExperts = 0;
  /// Routed experts each token visits, 1 .. nRoutedExperts; 0 without MoE.
  int64_t numExpertsPerTok = 0;
  /// Width of one expert; 0 without MoE.
  int64_t moeIntermediateSize = 0;
  TopKMethod topkMethod = TopKMethod::Greedy;
  /// Number of contiguous expert groups; divides `nRoutedExperts`.
  int64_t nGroup = 1;
  /// Groups a token may use, 1 .. nGroup. Only read by GroupLimitedGreedy.
  int64_t topkGroup = 1;
  /// Whether the chosen weights are divided by their sum (plus 1e-20).
  bool normTopkProb = false;
  /// Factor on the chosen weights, applied after the division if there is one.
  double routedScalingFactor = 1.0;

  /// Element type declared for the checkpoint.
  CheckpointDType dtype = CheckpointDType::BFloat16;
  /// Token ids of text boundaries; the tokenizer files have the last word.
  std::optional<int64_t> bosTokenId;
  llvm::SmallVector<int64_t, 2> eosTokenIds;
  std::optional<int64_t> padTokenId;

  /// Keys that took a default, sorted by key.
  std::vector<DefaultedKey> defaultedKeys;
  /// Keys without influence, sorted by key.
  std::vector<IgnoredKey> ignoredKeys;

  /// Reads `path`: a config.json, or a folder that holds one. Errors name the
  /// file. See `parseModelConfig` for `warnings`.
  static llvm::Expected<ModelConfig>
  fromPath(llvm::StringRef path,
           llvm::SmallVectorImpl<std::string> *warnings = nullptr);

  /// Checks every rule that the fields must satisfy together and apart. The
  /// parser calls it last; an error here names keys as config.json spells them.
  llvm::Error verify() const;

  /// Returns whether the feed-forward half of layer `layer` is a mixture of
  /// experts: there are routed experts, `layer >= firstKDenseReplace`, and
  /// `layer % moeLayerFreq == 0`.
  bool isMoELayer(int64_t layer) const;
  LayerKind layerKind(int64_t layer) const;
  /// Returns maximal runs of consecutive layers of one kind, in layer order.
  std::vector<LayerRun> layerRuns() const;
  int64_t numMoELayers() const;
  int64_t numDenseLayers() const;

  /// Width of a query head, `qkNopeHeadDim + qkRopeHeadDim`.
  int64_t qkHeadDim() const { return qkNopeHeadDim + qkRopeHeadDim; }
  /// Values cached per token and layer: the normalised latent, then the rotated
  /// shared key, `kvLoraRank + qkRopeHeadDim`.
  int64_t latentDim() const { return kvLoraRank + qkRopeHeadDim; }
  /// Width of the shared-expert network; 0 if there is none.
  int64_t sharedIntermediateSize() const {
    return nSharedExperts * moeIntermediateSize;
  }
  /// Factor on the attention logits.
  double softmaxScale() const { return rope.softmaxScale(qkHeadDim()); }

  /// Calls `callback` for every tensor the checkpoint must hold. Order: the
  /// embedding; then layer by layer the input norm, the query path (`q_proj`,
  /// or `q_a_proj`, `q_a_layernorm`, `q_b_proj`), `kv_a_proj_with_mqa`,
  /// `kv_a_layernorm`, `kv_b_proj`, `o_proj`, the post-attention norm, the
  /// router
  /// (`mlp.gate`), experts by index and the shared experts, or the dense
  /// network (each as gate, up, down); then the final norm and the head.
  void
  forEachTensor(llvm::function_ref<void(const TensorSpec &)> callback) const;

  /// The same tensors for one layer only.
  void forEachLayerTensor(
      int64_t layer,
      llvm::function_ref<void(const TensorSpec &)> callback) const;

  /// Visits groups of tensors that differ only in their layer or expert index:
  /// the first tensor of each group, and how many there are. The cost does not
  /// grow with the number of layers or experts. `numActive` is how many of them
  /// one token uses (`numExpertsPerTok` experts of each MoE layer; all else).
  void
  forEachTensorGroup(llvm::function_ref<void(const TensorSpec &first,
                                             int64_t count, int64_t numActive)>
                         callback) const;

  /// Checks a checkpoint's tensor names against the configuration. An error
  /// names the key to change where the names show which one is wrong (a query
  /// latent that the configuration does not have, a dense layer 0, the router
  /// bias of DeepSeek-V3), or else lists up to 20 missing tensors and their
  /// count. Extra tensors are accepted.
  llvm::Error
  checkTensorNames(llvm::function_ref<bool(llvm::StringRef)> hasTensor) const;

  /// Number of tensors `forEachTensor` visits, in closed form.
  int64_t numTensors() const;
};

/// Parses the text of a config.json.
///
/// `fileName` is used in messages only. Warnings (accepted but worth a line:
/// the spelling "gready", unknown keys, contradictory derived keys) are
/// appended to `warnings` if it is given, as sentences without a trailing full
/// stop.
///
/// Refused, with the key, the expected and the found: text that is not one JSON
/// object, duplicate keys, deep nesting; another architecture; missing required
/// keys (class defaults are not used, since published implementations disagree
/// on them); wrong types, numbers in strings, non-integers, values out of
/// `ModelLimits`; and every feature this compiler does not have (other rotary
/// scalings, the V3 router, biases, tied embeddings, quantised checkpoints,
/// activations other than silu).
llvm::Expected<ModelConfig>
parseModelConfig(llvm::StringRef json, llvm::StringRef fileName,
                 llvm::SmallVectorImpl<std::string> *warnings = nullptr);

} // namespace dsv2

#endif // DSV2_IMPORT_MODELCONFIG_H
