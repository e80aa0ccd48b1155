//===- ModelConfig.cpp - resolved model configuration ---------------------===//
//
// Part of dsv2, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "dsv2/Import/ModelConfig.h"
#include "ConfigFields.h"
#include "ConfigMessages.h"

#include "llvm/ADT/STLExtras.h"
#include "llvm/ADT/StringExtras.h"
#include "llvm/ADT/Twine.h"
#include "llvm/Support/CheckedArithmetic.h"

#include <cmath>
#include <utility>

using namespace dsv2;
using namespace llvm;

//===----------------------------------------------------------------------===//
// Names
//===----------------------------------------------------------------------===//

StringRef dsv2::stringifyTopKMethod(TopKMethod method) {
  switch (method) {
  case TopKMethod::Greedy:
    return "greedy";
  case TopKMethod::GroupLimitedGreedy:
    return "group_limited_greedy";
  }
  llvm_unreachable("unknown top-k method");
}

StringRef dsv2::stringifyLayerKind(LayerKind kind) {
  switch (kind) {
  case LayerKind::Dense:
    return "dense";
  case LayerKind::MoE:
    return "moe";
  }
  llvm_unreachable("unknown layer kind");
}

StringRef dsv2::stringifyCheckpointDType(CheckpointDType type) {
  switch (type) {
  case CheckpointDType::Float32:
    return "float32";
  case CheckpointDType::Float16:
    return "float16";
  case CheckpointDType::BFloat16:
    return "bfloat16";
  }
  llvm_unreachable("unknown checkpoint dtype");
}

StringRef dsv2::stringifyTensorRole(TensorRole role) {
  switch (role) {
  case TensorRole::Embedding:
    return "embedding";
  case TensorRole::Head:
    return "head";
  case TensorRole::Attention:
    return "attention projections";
  case TensorRole::Norm:
    return "norms";
  case TensorRole::DenseFFN:
    return "dense ffn";
  case TensorRole::Router:
    return "router";
  case TensorRole::SharedExpert:
    return "shared experts";
  case TensorRole::RoutedExpert:
    return "routed experts";
  }
  llvm_unreachable("unknown tensor role");
}

StringRef dsv2::stringifyIgnoredReason(IgnoredReason reason) {
  switch (reason) {
  case IgnoredReason::Provenance:
    return "provenance";
  case IgnoredReason::TrainingOnly:
    return "training only";
  case IgnoredReason::RuntimeSwitch:
    return "runtime switch";
  case IgnoredReason::GenerationDefault:
    return "generation default";
  case IgnoredReason::Tokenizer:
    return "tokenizer";
  case IgnoredReason::NotUsedByArchitecture:
    return "not used by this architecture";
  case IgnoredReason::Derived:
    return "derived from other keys";
  case IgnoredReason::TaskHead:
    return "task head";
  case IgnoredReason::Unknown:
    return "unknown key";
  }
  llvm_unreachable("unknown reason");
}

//===----------------------------------------------------------------------===//
// Checks across fields
//===----------------------------------------------------------------------===//

Error ModelConfig::verify() const {
  auto fail = [&](const Twine &message) {
    return makeError(fileName, message);
  };

  auto checkRange = [&](StringRef key, int64_t value, int64_t min,
                        int64_t max) -> Error {
    if (value >= min && value <= max)
      return Error::success();
    return fail("expected " + quote(key) + " to be from " + Twine(min) +
                " to " + Twine(max) + ", got " + Twine(value));
  };

  // Ranges first: the arithmetic below relies on them.
  for (const IntField &field : intFields) {
    if (field.need != Need::Always)
      continue;
    if (Error error =
            checkRange(field.key, this->*field.member, field.min, field.max))
      return error;
  }
  if (qLoraRank)
    if (Error error =
            checkRange("q_lora_rank", *qLoraRank, 1, ModelLimits::maxRank))
      return error;
  if (Error error = checkRange("first_k_dense_replace", firstKDenseReplace, 0,
                               ModelLimits::maxLayers))
    return error;
  if (Error error =
          checkRange("moe_layer_freq", moeLayerFreq, 1, ModelLimits::maxLayers))
    return error;
  if (Error error = checkRange("n_routed_experts", nRoutedExperts, 0,
                               ModelLimits::maxExperts))
    return error;
  if (Error error = checkRange("n_shared_experts", nSharedExperts, 0,
                               ModelLimits::maxExperts))
    return error;
  bool hasMoE = numMoELayers() > 0;
  bool hasDense = numDenseLayers() > 0;
  for (const IntField &field : intFields) {
    bool isNeeded = field.need == Need::WithMoELayers     ? hasMoE
                    : field.need == Need::WithDenseLayers ? hasDense
                                                          : true;
    // A field that is not needed may hold zero or any accepted value.
    int64_t min = isNeeded ? field.min : 0;
    if (field.key == "num_experts_per_tok" && hasMoE)
      continue;
    if (Error error =
            checkRange(field.key, this->*field.member, min, field.max))
      return error;
  }
  if (!(rmsNormEps >= 1e-30 && rmsNormEps <= 1.0))
    return fail("expected 'rms_norm_eps' to be from 1e-30 to 1, got " +
                formatv("{0}", rmsNormEps).str());

  if (qkRopeHeadDim % 2 != 0)
    return fail("expected 'qk_rope_head_dim' to be even, got " +
                Twine(qkRopeHeadDim));
  if (rope.dim != qkRopeHeadDim)
    return fail("expected a rotary width of 'qk_rope_head_dim' " +
                Twine(qkRopeHeadDim) + ", got " + Twine(rope.dim));
  if (!(rope.theta > 1.0 && rope.theta <= maxRopeTheta))
    return fail("expected 'rope_theta' to be greater than 1 and at most 1e15, "
                "got " +
                formatv("{0}", rope.theta).str());

  if (hasMoE) {
    // One text for all of these: whoever edits one of the numbers needs to see
    // the others.
    std::string found =
        formatv("got n_routed_experts {0}, num_experts_per_tok {1}, n_group "
                "{2}, topk_group {3}",
                nRoutedExperts, numExpertsPerTok, nGroup, topkGroup)
            .str();
    if (numExpertsPerTok < 1 || numExpertsPerTok > nRoutedExperts)
      return fail("expected 'num_experts_per_tok' to be from 1 to "
                  "'n_routed_experts', " +
                  found);
    if (nGroup < 1 || nRoutedExperts % nGroup != 0)
      return fail("expected 'n_group' to divide 'n_routed_experts', " + found);
    if (topkGroup < 1 || topkGroup > nGroup)
      return fail("expected 'topk_group' to be from 1 to 'n_group', " + found);
    if (topkMethod == TopKMethod::GroupLimitedGreedy &&
        numExpertsPerTok > topkGroup * (nRoutedExperts / nGroup))
      return fail("expected the chosen groups to hold at least "
                  "'num_experts_per_tok' experts, " +
                  found);
    if (!(routedScalingFactor > 0.0 && routedScalingFactor <= maxRoutedScale))
      return fail("expected 'routed_scaling_factor' to be greater than 0 and "
                  "at most 1e6, got " +
                  formatv("{0}", routedScalingFactor).str());
  }

  // Sizes of the whole. Each single tensor is bounded by the ranges above.
  if (int64_t tensors = numTensors(); tensors > ModelLimits::maxTensors)
    return fail("expected at most " + Twine(ModelLimits::maxTensors) +
                " checkpoint tensors, got " + Twine(tensors));
  std::optional<int64_t> total = 0;
  forEachTensorGroup([&](const TensorSpec &spec, int64_t count, int64_t) {
    if (total)
      total = checkedMulAdd(spec.numElements(), count, *total);
  });
  if (!total || *total > ModelLimits::maxParameters)
    return fail("expected at most " + Twine(ModelLimits::maxParameters) +
                " parameters, got more");
  return Error::success();
}

//===----------------------------------------------------------------------===//
// Layers and tensors
//===----------------------------------------------------------------------===//

bool ModelConfig::isMoELayer(int64_t layer) const {
  return nRoutedExperts > 0 && layer >= firstKDenseReplace &&
         layer % moeLayerFreq == 0;
}

LayerKind ModelConfig::layerKind(int64_t layer) const {
  return isMoELayer(layer) ? LayerKind::MoE : LayerKind::Dense;
}

std::vector<LayerRun> ModelConfig::layerRuns() const {
  std::vector<LayerRun> runs;
  for (int64_t layer = 0; layer < numHiddenLayers; ++layer) {
    LayerKind kind = layerKind(layer);
    if (!runs.empty() && runs.back().kind == kind)
      runs.back().last = layer;
    else
      runs.push_back({kind, layer, layer});
  }
  return runs;
}

int64_t ModelConfig::numMoELayers() const {
  int64_t count = 0;
  for (int64_t layer = 0; layer < numHiddenLayers; ++layer)
    count += isMoELayer(layer);
  return count;
}

int64_t ModelConfig::numDenseLayers() const {
  return numHiddenLayers - numMoELayers();
}

int64_t TensorSpec::numElements() const {
  int64_t product = 1;
  for (int64_t extent : shape)
    product *= extent;
  return product;
}

/// Visits the tensors of one layer. With `firstExpertOnly` only expert 0 of the
/// routed experts is visited.
static void visitLayer(const ModelConfig &config, int64_t layer,
                       bool firstExpertOnly,
                       function_ref<void(const TensorSpec &)> callback) {
  int64_t d = config.hiddenSize;
  int64_t heads = config.numAttentionHeads;
  std::string prefix = "model.layers." + std::to_string(layer) + ".";
  int64_t expert = -1;
  auto visit = [&](const Twine &name, ArrayRef<int64_t> shape,
                   TensorRole role) {
    TensorSpec spec;
    spec.name = (prefix + name + ".weight").str();
    spec.shape.assign(shape.begin(), shape.end());
    spec.role = role;
    spec.layer = layer;
    spec.expert = expert;
    callback(spec);
  };
  auto visitGated = [&](const Twine &name, int64_t width, TensorRole role) {
    visit(name + ".gate_proj", {width, d}, role);
    visit(name + ".up_proj", {width, d}, role);
    visit(name + ".down_proj", {d, width}, role);
  };

  visit("input_layernorm", {d}, TensorRole::Norm);
  int64_t queryWidth = heads * config.qkHeadDim();
  if (config.qLoraRank) {
    int64_t rank = *config.qLoraRank;
    visit("self_attn.q_a_proj", {rank, d}, TensorRole::Attention);
    visit("self_attn.q_a_layernorm", {rank}, TensorRole::Norm);
    visit("self_attn.q_b_proj", {queryWidth, rank}, TensorRole::Attention);
  } else {
    visit("self_attn.q_proj", {queryWidth, d}, TensorRole::Attention);
  }
  visit("self_attn.kv_a_proj_with_mqa", {config.latentDim(), d},
        TensorRole::Attention);
  visit("self_attn.kv_a_layernorm", {config.kvLoraRank}, TensorRole::Norm);
  visit("self_attn.kv_b_proj",
        {heads * (config.qkNopeHeadDim + config.vHeadDim), config.kvLoraRank},
        TensorRole::Attention);
  visit("self_attn.o_proj", {d, heads * config.vHeadDim},
        TensorRole::Attention);
  visit("post_attention_layernorm", {d}, TensorRole::Norm);

  if (!config.isMoELayer(layer)) {
    visitGated("mlp", config.intermediateSize, TensorRole::DenseFFN);
    return;
  }
  visit("mlp.gate", {config.nRoutedExperts, d}, TensorRole::Router);
  int64_t numVisited = firstExpertOnly ? 1 : config.nRoutedExperts;
  for (expert = 0; expert < numVisited; ++expert)
    visitGated("mlp.experts." + Twine(expert), config.moeIntermediateSize,
               TensorRole::RoutedExpert);
  expert = -1;
  if (config.nSharedExperts > 0)
    visitGated("mlp.shared_experts", config.sharedIntermediateSize(),
               TensorRole::SharedExpert);
}

static TensorSpec makeGlobalSpec(StringRef name, ArrayRef<int64_t> shape,
                                 TensorRole role) {
  TensorSpec spec;
  spec.name = name.str();
  spec.shape.assign(shape.begin(), shape.end());
  spec.role = role;
  spec.layer = -1;
  spec.expert = -1;
  return spec;
}

static TensorSpec embeddingSpec(const ModelConfig &config) {
  return makeGlobalSpec("model.embed_tokens.weight",
                        {config.vocabSize, config.hiddenSize},
                        TensorRole::Embedding);
}

static TensorSpec finalNormSpec(const ModelConfig &config) {
  return makeGlobalSpec("model.norm.weight", {config.hiddenSize},
                        TensorRole::Norm);
}

static TensorSpec headSpec(const ModelConfig &config) {
  return makeGlobalSpec("lm_head.weight", {config.vocabSize, config.hiddenSize},
                        TensorRole::Head);
}

void ModelConfig::forEachLayerTensor(
    int64_t layer, function_ref<void(const TensorSpec &)> callback) const {
  visitLayer(*this, layer, /*firstExpertOnly=*/false, callback);
}

void ModelConfig::forEachTensor(
    function_ref<void(const TensorSpec &)> callback) const {
  callback(embeddingSpec(*this));
  for (int64_t layer = 0; layer < numHiddenLayers; ++layer)
    forEachLayerTensor(layer, callback);
  callback(finalNormSpec(*this));
  callback(headSpec(*this));
}

void ModelConfig::forEachTensorGroup(
    function_ref<void(const TensorSpec &, int64_t, int64_t)> callback) const {
  callback(embeddingSpec(*this), 1, 1);
  int64_t counts[] = {numDenseLayers(), numMoELayers()};
  bool seen[] = {false, false};
  for (const LayerRun &run : layerRuns()) {
    size_t kind = run.kind == LayerKind::MoE;
    if (std::exchange(seen[kind], true))
      continue;
    visitLayer(*this, run.first, /*firstExpertOnly=*/true,
               [&](const TensorSpec &spec) {
                 int64_t count = counts[kind], numActive = counts[kind];
                 if (spec.role == TensorRole::RoutedExpert) {
                   count *= nRoutedExperts;
                   numActive *= numExpertsPerTok;
                 }
                 callback(spec, count, numActive);
               });
  }
  callback(finalNormSpec(*this), 1, 1);
  callback(headSpec(*this), 1, 1);
}

Error ModelConfig::checkTensorNames(
    function_ref<bool(StringRef)> hasTensor) const {
  // Names that tell more about the mistake than the list of missing tensors.
  std::string layer0 = "model.layers.0.";
  if (!qLoraRank && hasTensor(layer0 + "self_attn.q_a_proj.weight"))
    return makeError(fileName,
                     "expected 'q_lora_rank' to be the width of the tensor '" +
                         layer0 + "self_attn.q_a_proj.weight', got null");
  if (qLoraRank && hasTensor(layer0 + "self_attn.q_proj.weight"))
    return makeError(fileName, "expected 'q_lora_rank' to be null for the "
                               "tensor '" +
                                   layer0 + "self_attn.q_proj.weight', got " +
                                   Twine(*qLoraRank));
  if (isMoELayer(0) && hasTensor(layer0 + "mlp.gate_proj.weight"))
    return makeError(fileName,
                     "expected 'first_k_dense_replace' to be at least 1 for "
                     "the tensor '" +
                         layer0 + "mlp.gate_proj.weight', got " +
                         Twine(firstKDenseReplace) + "; set it in config.json");
  for (const LayerRun &run : layerRuns()) {
    std::string bias = "model.layers." + std::to_string(run.first) +
                       ".mlp.gate.e_score_correction_bias";
    if (run.kind == LayerKind::MoE && hasTensor(bias))
      return makeError(fileName, "DeepSeek-V3 router not supported: expected "
                                 "no tensor '" +
                                     Twine(bias) + "', found one");
  }

  constexpr size_t maxNames = 20;
  std::vector<std::string> names;
  int64_t numMissing = 0;
  forEachTensor([&](const TensorSpec &spec) {
    if (hasTensor(spec.name))
      return;
    ++numMissing;
    if (names.size() < maxNames)
      names.push_back("'" + spec.name + "'");
  });
  if (numMissing == 0)
    return Error::success();
  return makeError(fileName,
                   "expected " + Twine(numTensors()) +
                       " tensors in the checkpoint, " + Twine(numMissing) +
                       " are missing: " + join(names, ", ") +
                       (numMissing > int64_t(maxNames) ? ", ..." : ""));
}

int64_t ModelConfig::numTensors() const {
  int64_t numTensors = 0;
  forEachTensorGroup(
      [&](const TensorSpec &, int64_t count, int64_t) { numTensors += count; });
  return numTensors;
}
