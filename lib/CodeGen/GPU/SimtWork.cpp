//===- SimtWork.cpp - what kernels without products have to do ------------===//
//
// Part of dsv2, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "SimtWork.h"

#include "dsv2rt/abi.h"

#include <cmath>

using namespace mlir;
using namespace mlir::dsv2;
using namespace mlir::dsv2::gpu;

/// Bytes of i32 and of f32.
static constexpr double kWord = 4;

static KernelWork bytes(double count) { return {count, 0}; }

KernelWork dsv2::gpu::getSimtWork(const GatherRowsConfig &config,
                                  const StepSize &step) {
  double row = config.width *
               (getElementBytes(config.from) + getElementBytes(config.to));
  return bytes(step.tokens * (kWord + row));
}

KernelWork dsv2::gpu::getSimtWork(const RMSNormConfig &config,
                                  const StepSize &step) {
  double row = getElementBytes(config.input) + getElementBytes(config.output);
  return bytes(config.width *
               (step.tokens * row + getElementBytes(config.weight)));
}

KernelWork dsv2::gpu::getSimtWork(const AddConfig &config,
                                  const StepSize &step) {
  return bytes(3 * kWord * step.tokens * config.width);
}

KernelWork dsv2::gpu::getSimtWork(const CombineConfig &config,
                                  const StepSize &step) {
  double rows = config.topK + config.hasShared + config.hasResidual + 1.0;
  return bytes(kWord * step.tokens * (2 * config.topK + rows * config.width));
}

KernelWork dsv2::gpu::getSimtWork(const RopeTableConfig &config,
                                  const StepSize &step) {
  double pairs = config.inverseFrequencies.size();
  return bytes(kWord * (pairs + step.tokens * (1 + 2 * pairs)));
}

KernelWork dsv2::gpu::getSimtWork(const ApplyRopeConfig &config,
                                  const StepSize &step) {
  double element =
      getElementBytes(config.input) + getElementBytes(config.output);
  return bytes(step.tokens * config.width * (config.heads * element + kWord));
}

/// Where a token's row of the cache is: its position, its sequence and an entry
/// of the table.
static constexpr double kPlaceBytes = 3 * kWord;

KernelWork dsv2::gpu::getSimtWork(const LatentAppendConfig &config,
                                  const StepSize &step) {
  const LatentCacheConfig &cache = config.cache;
  return bytes(step.tokens *
               (double(cache.latent) * getElementBytes(config.latent) +
                cache.rope * getElementBytes(config.rope) +
                cache.row() * getElementBytes(cache.element) + kPlaceBytes));
}

KernelWork dsv2::gpu::getSimtWork(const ContextRowsConfig &config,
                                  const StepSize &step) {
  const LatentCacheConfig &cache = config.cache;
  double sequences = step.sequences, rows = sequences * step.context;
  // Of a sequence its last token, that one's position and where its rows are.
  return bytes(2 * rows * cache.row() * getElementBytes(cache.element) +
               kWord * (sequences * 3 + rows / cache.page));
}

KernelWork dsv2::gpu::getSimtWork(const LatentInputConfig &config,
                                  const StepSize &step) {
  const LatentCacheConfig &cache = config.cache;
  KernelWork work =
      getSimtWork(LatentAppendConfig{cache, config.latent, config.key}, step);
  double query = getElementBytes(config.query) + getElementBytes(config.output);
  work.bytes += query * step.tokens * config.heads * cache.rope +
                double(cache.latent) * getElementBytes(config.weight) +
                kWord * config.rope.inverseFrequencies.size();
  return work;
}

KernelWork dsv2::gpu::getSimtWork(const AttentionConfig &config,
                                  const StepSize &step) {
  const LatentCacheConfig &cache = config.cache;
  double heads = double(step.tokens) * config.heads;
  KernelWork work;
  work.bytes = double(step.sequences) * step.context * cache.row() *
                   getElementBytes(cache.element) +
               heads * (cache.row() * getElementBytes(config.input) +
                        cache.latent * getElementBytes(config.output));
  work.operations = 2 * heads * step.context * (cache.row() + cache.latent);
  return work;
}

KernelWork dsv2::gpu::getSimtWork(const RouteConfig &config,
                                  const StepSize &step) {
  return bytes(kWord * step.tokens * (config.experts + 2 * config.topK));
}

KernelWork dsv2::gpu::getSimtWork(const DispatchConfig &config,
                                  const StepSize &step) {
  // What it reads, and two orders of it.
  return bytes(kWord * (3.0 * step.tokens * config.topK + config.experts + 1));
}

KernelWork dsv2::gpu::getSimtWork(const RouteDispatchFacts &facts,
                                  const StepSize &step) {
  const RouteConfig &route = facts.route;
  KernelWork work = getSimtWork(route, step);
  work.bytes +=
      getSimtWork(DispatchConfig{route.experts, route.topK}, step).bytes;
  return work;
}

/// Rows that tokens have at the ranks of their experts, at most one for each of
/// their experts: on average if all ranks are chosen alike.
static double countSentRows(double tokens, double topK, double ranks) {
  return tokens * ranks * (1 - std::pow(1 - 1 / ranks, topK));
}

KernelWork dsv2::gpu::getSimtWork(const ExchangePlanFacts &facts,
                                  const StepSize &step) {
  const ExchangeConfig &config = facts.config;
  return bytes(kWord * (step.tokens * double(config.topK + config.ranks) +
                        config.ranks));
}

KernelWork dsv2::gpu::getSimtWork(const ExchangePackFacts &facts,
                                  const StepSize &step) {
  const ExchangeConfig &config = facts.config;
  double element = getElementBytes(config.element);
  double rows = countSentRows(step.tokens, config.topK, config.ranks);
  double token =
      element * config.width + 2 * kWord * config.topK + kWord * config.ranks;
  return bytes(step.tokens * token + rows * element * config.columns());
}

KernelWork dsv2::gpu::getSimtWork(const ExchangeUnpackFacts &facts,
                                  const StepSize &step) {
  // As many rows arrive as there are tokens; twice two words of each slot.
  return bytes(4 * kWord * step.tokens * facts.config.topK);
}

KernelWork dsv2::gpu::getSimtWork(const ExchangeCombineFacts &facts,
                                  const StepSize &step) {
  const ExchangeConfig &config = facts.config;
  double rows = countSentRows(step.tokens, step.topK, config.ranks);
  return bytes(kWord * (config.width * (rows + step.tokens) +
                        double(config.ranks) * step.tokens));
}

/// Bytes of what the scan leaves for the choice.
static double getPartBytes(const StepSize &step) {
  return kWord * DSV2RT_SAMPLE_PARTS * DSV2RT_SAMPLE_PART_WORDS *
         step.sequences;
}

KernelWork dsv2::gpu::getSimtWork(const SampleScanFacts &,
                                  const StepSize &step) {
  double rows = step.sequences;
  return bytes(rows * (kWord * step.vocabulary + sizeof(dsv2rt_sampling_row)) +
               getPartBytes(step));
}

KernelWork dsv2::gpu::getSimtWork(const SampleWeighFacts &,
                                  const StepSize &step) {
  // Greedily: looks at the parts. Who draws reads the logits from the L2 cache.
  return bytes(step.sequences * double(sizeof(dsv2rt_sampling_row)) +
               getPartBytes(step));
}

KernelWork dsv2::gpu::getSimtWork(const SampleChooseFacts &,
                                  const StepSize &step) {
  // Greedily: the number of a token, the token, its position and what was
  // chosen. Whoever draws reads the logits again, from the L2 cache.
  double row = sizeof(dsv2rt_sampling_row) + 5 * kWord;
  return bytes(step.sequences * row + getPartBytes(step));
}
