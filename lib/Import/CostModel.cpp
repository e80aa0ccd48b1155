//===- CostModel.cpp - Sizes and costs that follow from the shapes --------===//
//
// Part of dsv2, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "dsv2/Import/CostModel.h"

#include "dsv2/Support/Count.h"
#include "llvm/ADT/STLExtras.h"
#include "llvm/ADT/Twine.h"
#include "llvm/Support/Format.h"
#include "llvm/Support/MathExtras.h"
#include "llvm/Support/raw_ostream.h"

#include <algorithm>

using namespace dsv2;
using namespace llvm;

//===----------------------------------------------------------------------===//
// Formats
//===----------------------------------------------------------------------===//

/// A block-quantised format is one more row.
static constexpr WeightFormatInfo weightFormatTable[] = {
    {"f32", /*blockElements=*/1, /*blockBytes=*/4, /*smallBytes=*/4},
    {"bf16", /*blockElements=*/1, /*blockBytes=*/2, /*smallBytes=*/2},
    {"q8", /*blockElements=*/32, /*blockBytes=*/34, /*smallBytes=*/4},
    {"q4", /*blockElements=*/32, /*blockBytes=*/17, /*smallBytes=*/4},
    {"fp8", /*blockElements=*/32, /*blockBytes=*/34, /*smallBytes=*/4},
};

static constexpr KVFormatInfo kvFormatTable[] = {
    {"f32", mlir::dsv2::CacheFormat::F32},
    {"bf16", mlir::dsv2::CacheFormat::BF16},
    {"q8", mlir::dsv2::CacheFormat::Q8},
    {"q6", mlir::dsv2::CacheFormat::Q6},
};

ArrayRef<WeightFormatInfo> dsv2::weightFormats() { return weightFormatTable; }
ArrayRef<KVFormatInfo> dsv2::kvFormats() { return kvFormatTable; }

const WeightFormatInfo *dsv2::findWeightFormat(StringRef name) {
  for (const WeightFormatInfo &format : weightFormatTable)
    if (format.name == name)
      return &format;
  return nullptr;
}

const KVFormatInfo *dsv2::findKVFormat(StringRef name) {
  for (const KVFormatInfo &format : kvFormatTable)
    if (format.name == name)
      return &format;
  return nullptr;
}

int64_t WeightFormatInfo::tensorBytes(const TensorSpec &spec) const {
  if (spec.shape.size() < 2 || spec.role == TensorRole::Router)
    return spec.numElements() * smallBytes;
  return bytes(spec);
}

int64_t WeightFormatInfo::bytes(const TensorSpec &spec) const {
  int64_t rows = spec.numElements() / spec.shape.back();
  return rows * divideCeil(spec.shape.back(), blockElements) * blockBytes;
}

int64_t KVFormatInfo::entryBytes(const ModelConfig &config) const {
  return mlir::dsv2::CacheRow(format, config.kvLoraRank, config.qkRopeHeadDim)
      .bytes;
}

//===----------------------------------------------------------------------===//
// Parameters
//===----------------------------------------------------------------------===//

ParameterCounts dsv2::countParameters(const ModelConfig &config) {
  // No checks: `verify` bounds the total, and everything here is part of it.
  ParameterCounts counts;
  config.forEachTensorGroup(
      [&](const TensorSpec &spec, int64_t count, int64_t numActive) {
        int64_t elements = spec.numElements();
        counts.byRole[static_cast<size_t>(spec.role)] += count * elements;
        counts.total += count * elements;
        counts.activeWithHeadAndEmbedding += numActive * elements;
      });
  counts.activeWithHead =
      counts.activeWithHeadAndEmbedding - counts.of(TensorRole::Embedding);
  counts.activeBlocks = counts.activeWithHead - counts.of(TensorRole::Head);
  return counts;
}

//===----------------------------------------------------------------------===//
// Arithmetic
//===----------------------------------------------------------------------===//

AttentionCost dsv2::attentionCost(const ModelConfig &config) {
  int64_t d = config.hiddenSize;
  int64_t heads = config.numAttentionHeads;
  int64_t r = config.kvLoraRank;
  int64_t qk = config.qkHeadDim();
  int64_t v = config.vHeadDim;
  AttentionCost cost;
  cost.queryPath = config.qLoraRank ? 2 * *config.qLoraRank * (d + heads * qk)
                                    : 2 * d * heads * qk;
  cost.kvDown = 2 * d * config.latentDim();
  cost.kvUp = 2 * r * heads * (config.qkNopeHeadDim + v);
  cost.output = 2 * heads * v * d;
  cost.expandedPair = 2 * heads * (qk + v);
  // Scores against latent and rotated key, then a sum of latents.
  cost.absorbedPair = 2 * heads * (config.latentDim() + r);
  return cost;
}

Expected<DecodeFlops> dsv2::decodeFlops(const ModelConfig &config,
                                        int64_t context) {
  if (context < 1)
    return createStringError("expected a context of at least 1 token, got " +
                             Twine(context));
  Count linear = 0;
  config.forEachTensorGroup(
      [&](const TensorSpec &spec, int64_t, int64_t numActive) {
        // A vector is no matrix product; the embedding is a look-up.
        if (spec.shape.size() == 2 && spec.role != TensorRole::Embedding)
          linear += Count(2) * numActive * spec.numElements();
      });
  AttentionCost cost = attentionCost(config);
  Count layers = config.numHiddenLayers;
  Count absorbed = layers * context * cost.absorbedPair;
  Count expandedCache = layers * context * cost.expandedPair;
  Count expanded = expandedCache + layers * (context - 1) * cost.kvUp;

  // The sums are part of the result too.
  if (!(linear + absorbed).get() || !(linear + expanded).get())
    return createStringError(
        "expected FLOPs per token below 2^63, got more for a "
        "context of " +
        Twine(context));
  return DecodeFlops{*linear.get(), *absorbed.get(), *expanded.get(),
                     *expandedCache.get()};
}

//===----------------------------------------------------------------------===//
// Memory
//===----------------------------------------------------------------------===//

int64_t dsv2::weightBytes(const ModelConfig &config,
                          const WeightFormatInfo &format) {
  int64_t bytes = 0;
  config.forEachTensorGroup(
      [&](const TensorSpec &spec, int64_t count, int64_t) {
        bytes += count * format.tensorBytes(spec);
      });
  return bytes;
}

int64_t dsv2::activeWeightBytes(const ModelConfig &config,
                                const WeightFormatInfo &format) {
  int64_t bytes = 0;
  config.forEachTensorGroup(
      [&](const TensorSpec &spec, int64_t, int64_t numActive) {
        if (spec.role != TensorRole::Embedding)
          bytes += numActive * format.tensorBytes(spec);
      });
  return bytes;
}

int64_t dsv2::kvBytesPerToken(const ModelConfig &config,
                              const KVFormatInfo &format) {
  return config.numHiddenLayers * format.entryBytes(config);
}

std::optional<int64_t> dsv2::estimateWorkspaceBytes(const ModelConfig &config,
                                                    int64_t stepTokens,
                                                    int64_t batch) {
  constexpr int64_t bytesPerElement = 4;
  // Keys and values are expanded by blocks of cached latents, never all at
  // once.
  constexpr int64_t expansionBlock = 256;

  Count d = config.hiddenSize;
  Count heads = config.numAttentionHeads;
  Count queries = heads * config.qkHeadDim();
  // Residual, normalised input, attention output, feed-forward output.
  Count perToken = Count(4) * d + queries + heads * config.vHeadDim +
                   config.qLoraRank.value_or(0) + config.latentDim();

  int64_t dense = config.numDenseLayers() ? 2 * config.intermediateSize : 0;
  int64_t sparse = 0;
  if (config.numMoELayers())
    // Gate and up of each chosen expert and its output row, the shared network,
    // the scores.
    sparse = config.numExpertsPerTok *
                 (2 * config.moeIntermediateSize + config.hiddenSize) +
             2 * config.sharedIntermediateSize() + config.nRoutedExperts;
  perToken += std::max(dense, sparse);

  // Absorbed queries and latent sums exist for decoded tokens only.
  Count perSequence =
      heads * (config.latentDim() + config.kvLoraRank) + config.vocabSize;
  Count expansion =
      Count(expansionBlock) * heads * (config.qkNopeHeadDim + config.vHeadDim);
  Count elements =
      Count(stepTokens) * perToken + Count(batch) * perSequence + expansion;
  return (elements * bytesPerElement).get();
}

Expected<MemoryPlan> dsv2::planMemory(const ModelConfig &config,
                                      const MemoryRequest &request) {
  for (auto [what, value] :
       {std::pair<StringRef, int64_t>("context", request.context),
        {"batch", request.batch},
        {"step", request.stepTokens}})
    if (value < 1)
      return createStringError("expected a " + what + " of at least 1, got " +
                               Twine(value));

  MemoryPlan plan;
  plan.request = request;
  plan.weightBytes =
      request.weightBytes.value_or(weightBytes(config, *request.weightFormat));
  plan.cacheBytesPerToken = kvBytesPerToken(config, *request.kvFormat);
  std::optional<int64_t> cache =
      (Count(plan.cacheBytesPerToken) * request.context * request.batch).get();
  std::optional<int64_t> workspace = request.workspaceBytes;
  if (!workspace)
    // A step holds at least one token of every sequence.
    workspace = estimateWorkspaceBytes(
        config, std::max(request.stepTokens, request.batch), request.batch);
  std::optional<int64_t> total;
  if (cache && workspace)
    total = (Count(plan.weightBytes) + *cache + *workspace).get();
  if (!total)
    return createStringError(
        "expected a memory plan below 2^63 bytes, got more for "
        "context " +
        Twine(request.context) + " and batch " + Twine(request.batch));
  plan.cacheBytes = *cache;
  plan.workspaceBytes = *workspace;
  plan.totalBytes = *total;
  return plan;
}

int64_t dsv2::largestContext(const ModelConfig &config, const MemoryPlan &plan,
                             int64_t budgetBytes) {
  // The regions are non-negative, so the differences cannot overflow.
  if (budgetBytes < plan.weightBytes ||
      budgetBytes - plan.weightBytes < plan.workspaceBytes)
    return 0;
  int64_t room = budgetBytes - plan.weightBytes - plan.workspaceBytes;
  int64_t tokens = room / plan.cacheBytesPerToken / plan.request.batch;
  return std::min(tokens, config.maxPositionEmbeddings);
}

Error dsv2::checkMemoryBudget(const ModelConfig &config, const MemoryPlan &plan,
                              int64_t budgetBytes) {
  if (plan.totalBytes <= budgetBytes)
    return Error::success();
  std::string message;
  raw_string_ostream os(message);
  os << "context " << plan.request.context << " with batch "
     << plan.request.batch << " requires " << plan.totalBytes << " bytes ("
     << formatBytes(plan.totalBytes) << ": weights "
     << formatBytes(plan.weightBytes) << " in "
     << plan.request.weightFormat->name << ", latent cache "
     << formatBytes(plan.cacheBytes) << " at " << plan.cacheBytesPerToken
     << " bytes per token, workspace " << formatBytes(plan.workspaceBytes)
     << "), available are " << budgetBytes << " bytes ("
     << formatBytes(budgetBytes) << "); ";
  int64_t largest = largestContext(config, plan, budgetBytes);
  if (largest > 0)
    os << "the largest context that fits is " << largest << " tokens";
  else if (plan.weightBytes > budgetBytes)
    os << "the weights alone exceed the available memory, so no context fits";
  else
    os << "no context fits beside the weights and the workspace";
  return createStringError(message);
}

std::string dsv2::formatBytes(int64_t bytes) {
  static constexpr const char *units[] = {"KiB", "MiB", "GiB",
                                          "TiB", "PiB", "EiB"};
  std::string text;
  raw_string_ostream os(text);
  double value = static_cast<double>(bytes);
  size_t unit = 0;
  if (value < 1024.0 && value > -1024.0) {
    os << bytes << " B";
    return text;
  }
  for (value /= 1024.0; value >= 1024.0 && unit + 1 < std::size(units); ++unit)
    value /= 1024.0;
  os << format("%.2f ", value) << units[unit];
  return text;
}
