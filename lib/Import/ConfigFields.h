//===- ConfigFields.h - ranges of what config.json says ---------*- C++ -*-===//
//
// Part of dsv2, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef DSV2_LIB_IMPORT_CONFIGFIELDS_H
#define DSV2_LIB_IMPORT_CONFIGFIELDS_H

#include "dsv2/Import/ModelConfig.h"

namespace dsv2 {

/// When the file must give a field.
enum class Need { Always, WithDenseLayers, WithMoELayers };

/// An integer field without a default.
struct IntField {
  llvm::StringLiteral key;
  int64_t ModelConfig::*member;
  int64_t min;
  int64_t max;
  Need need;
};

inline constexpr IntField intFields[] = {
    {"vocab_size", &ModelConfig::vocabSize, 1, ModelLimits::maxVocabSize,
     Need::Always},
    {"hidden_size", &ModelConfig::hiddenSize, 1, ModelLimits::maxHiddenSize,
     Need::Always},
    {"num_hidden_layers", &ModelConfig::numHiddenLayers, 1,
     ModelLimits::maxLayers, Need::Always},
    {"max_position_embeddings", &ModelConfig::maxPositionEmbeddings, 1,
     ModelLimits::maxPositions, Need::Always},
    {"num_attention_heads", &ModelConfig::numAttentionHeads, 1,
     ModelLimits::maxHeads, Need::Always},
    {"kv_lora_rank", &ModelConfig::kvLoraRank, 1, ModelLimits::maxRank,
     Need::Always},
    {"qk_nope_head_dim", &ModelConfig::qkNopeHeadDim, 1,
     ModelLimits::maxHeadDim, Need::Always},
    {"qk_rope_head_dim", &ModelConfig::qkRopeHeadDim, 2,
     ModelLimits::maxHeadDim, Need::Always},
    {"v_head_dim", &ModelConfig::vHeadDim, 1, ModelLimits::maxHeadDim,
     Need::Always},
    {"intermediate_size", &ModelConfig::intermediateSize, 1,
     ModelLimits::maxIntermediateSize, Need::WithDenseLayers},
    {"moe_intermediate_size", &ModelConfig::moeIntermediateSize, 1,
     ModelLimits::maxIntermediateSize, Need::WithMoELayers},
    {"num_experts_per_tok", &ModelConfig::numExpertsPerTok, 1,
     ModelLimits::maxExperts, Need::WithMoELayers},
};

inline constexpr double maxRopeTheta = 1e15;
inline constexpr double maxYarnFactor = 1e6;
inline constexpr double maxYarnBeta = 1e6;
inline constexpr double maxYarnMscale = 1e3;
inline constexpr double maxRoutedScale = 1e6;

} // namespace dsv2

#endif // DSV2_LIB_IMPORT_CONFIGFIELDS_H
