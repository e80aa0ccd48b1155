//===- KernelCosts.cpp - what launches of kernels cost --------------------===//
//
// Part of dsv2, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "dsv2/CodeGen/GPU/KernelCosts.h"

#include "MLAPrefill.h"
#include "SimtWork.h"
#include "llvm/Support/MathExtras.h"

#include <cmath>

using namespace mlir;
using namespace mlir::dsv2;
using namespace mlir::dsv2::gpu;

/// Bytes of bf16.
static constexpr int64_t kHalf = 2;

static int64_t outputBytes(bool f32) { return f32 ? 4 : 2; }

//===----------------------------------------------------------------------===//
// What has to be done
//===----------------------------------------------------------------------===//

KernelWork gpu::getGemmWork(const GemmShape &shape, int64_t rows,
                            int64_t matrices) {
  // Rows have all heads.
  int64_t heads = std::max<int64_t>(shape.heads, 1);
  double inputs = double(rows) * heads * shape.k;
  double outputs = double(rows) * heads * shape.outputColumns();
  int64_t passes = shape.epilogue == GemmEpilogue::AddResidual ? 2 : 1;
  KernelWork work;
  work.bytes = kHalf * inputs +
               double(matrices) * shape.n * shape.weightRowBytes() +
               outputBytes(shape.f32Output) * outputs * passes;
  work.operations = 2 * inputs * shape.n;
  return work;
}

KernelWork gpu::getMLADecodeWork(const MLADecodeShape &shape, int64_t tokens,
                                 double cacheRows, double pairs) {
  KernelWork work;
  work.bytes =
      kHalf * cacheRows * shape.row() +
      double(tokens) * shape.heads *
          (kHalf * shape.row() + outputBytes(shape.f32Output) * shape.latent);
  work.operations = 2 * pairs * shape.heads * (shape.row() + shape.latent);
  return work;
}

KernelWork gpu::getMLAPrefillWork(const MLAPrefillShape &shape, int64_t tokens,
                                  double rows, double pairs) {
  KernelWork work;
  work.bytes =
      kHalf * double(tokens) * shape.heads * shape.query() +
      kHalf * rows * (shape.heads * (shape.nope + shape.value) + shape.rope) +
      outputBytes(shape.f32Output) * double(tokens) * shape.heads * shape.value;
  work.operations = 2 * pairs * shape.heads * (shape.query() + shape.value);
  return work;
}

//===----------------------------------------------------------------------===//
// Launches
//===----------------------------------------------------------------------===//

namespace {

/// What costs are computed with.
struct Costing {
  const StepSize &step;
  const GPUTargetInfo &target;
  const GPUPeak &peak = target.peak;
  bool hasWgmma = target.hasWgmma;

  /// Rows that experts have together, and experts that have any.
  int64_t expertRows() const { return step.tokens * step.topK; }
  int64_t touched(int64_t experts) const {
    if (step.touchedExperts)
      return std::min({step.touchedExperts, experts, expertRows()});
    // Each token misses an expert with probability 1 - k / E.
    double missed = std::pow(1 - std::min(1.0, double(step.topK) / experts),
                             double(step.tokens));
    return std::clamp<int64_t>(std::llround(experts * (1 - missed)), 1,
                               experts);
  }

  double tensorCycles(double operations) const {
    return operations / peak.bf16OpsPerCycle;
  }
  double sharedCycles(double bytes) const {
    return bytes / peak.sharedBytesPerCycle;
  }
  /// Of a softmax of `scores` elements whose sums are `sums` elements: an
  /// exponential each, about 6 further instructions, and a multiplication of
  /// each of the sums (softmaxStep, scaleRows).
  double softmaxCycles(double scores, double sums) const {
    return scores / peak.specialPerCycle +
           (6 * scores + sums) / peak.lanesPerCycle;
  }
};

/// Of something that `blocks` do `items` of, the most that one does.
int64_t busiest(int64_t items, int64_t blocks) {
  return llvm::divideCeil(items, std::max<int64_t>(blocks, 1));
}

} // namespace

static KernelCost costOf(const GemmFacts &facts, const Costing &c) {
  const GemmShape &shape = facts.shape;
  const GemmConfig &config = facts.config;
  int64_t rows = shape.experts ? c.expertRows() : c.step.tokens;
  int64_t matrices = shape.experts ? c.touched(shape.experts)
                                   : std::max<int64_t>(shape.heads, 1);
  // Rows that multiply with one matrix.
  int64_t rowsOfMatrix =
      shape.experts ? llvm::divideCeil(rows, matrices) : rows;
  int64_t tiles = matrices * llvm::divideCeil(rowsOfMatrix, config.tileM) *
                  llvm::divideCeil(shape.n, config.tileN);
  int64_t depth = llvm::alignTo(shape.k, config.tileK);
  // What copies do not find is not copied, but takes part in products. Scales
  // of blocks are copied for four steps at a time, in each.
  double stepBytes =
      double(kHalf) * std::min(rowsOfMatrix, config.tileM) * config.tileK +
      double(std::min(shape.n, config.tileN)) *
          (shape.blocks() ? BlockFormat::kGroupBytes + 16
                          : kHalf * config.tileK);
  double tileBytes = stepBytes * (depth / config.tileK);
  // Each warpgroup of 64 rows, or warp of 16, reads its rows and all of the
  // weights; rows are those of the weights if these are in blocks.
  int64_t groupRows = c.hasWgmma ? 64 : 16;
  double readBytes = double(config.tileM / groupRows) *
                     (groupRows + config.tileN) * depth * kHalf;
  if (shape.blocks())
    readBytes =
        double(config.tileN) *
        (double(config.tileM) * depth * kHalf / (groupRows * shape.parts()) +
         double(depth / config.tileK) * BlockFormat::kGroupBytes);
  double tileOperations = 2.0 * config.tileM * config.tileN * depth;
  // Stores leave at the rate of the L2 cache, and the products of the block's
  // next tile wait for them.
  double storedBytes = double(std::min(rowsOfMatrix, config.tileM)) *
                       config.tileN * outputBytes(shape.f32Output) *
                       (shape.epilogue == GemmEpilogue::AddResidual ? 2 : 1) /
                       (shape.epilogue == GemmEpilogue::SwiGLU ? 2 : 1);

  KernelCost cost;
  cost.work = getGemmWork(shape, rows, matrices);
  cost.copiedBytes = tiles * tileBytes;
  cost.tensorOperations = tiles * tileOperations;
  int64_t most = busiest(tiles, c.peak.multiprocessors);
  cost.tensorCycles = most * c.tensorCycles(tileOperations);
  cost.sharedCycles = most * c.sharedCycles(tileBytes + readBytes);
  cost.serialCycles = most * storedBytes / c.peak.l2BytesPerCycle();
  cost.stages = config.stages;
  // One stage is being multiplied.
  cost.bytesInFlight =
      double(std::min<int64_t>(tiles, c.peak.multiprocessors)) *
      (config.stages - 1) * stepBytes;
  return cost;
}

namespace {
/// How the decode kernel's work is cut (MLADecodeKernels.h): an item, a tile of
/// heads of a run, that lies in several shares leaves a part in each.
struct DecodeParts {
  DecodeParts(const MLADecodeShape &shape, const Costing &c) {
    int64_t headTiles = shape.getHeadTiles();
    int64_t sequences = std::max<int64_t>(c.step.sequences, 1);
    int64_t chunk = llvm::divideCeil(c.step.tokens, sequences);
    int64_t runs = std::min<int64_t>(
        c.step.tokens,
        sequences * llvm::divideCeil(chunk, shape.getTileTokens()));
    int64_t runBlocks = runs * llvm::divideCeil(c.step.context, kMLABlock);
    int64_t cuts = std::max<int64_t>(c.peak.multiprocessors / headTiles, 1);
    blocks = runBlocks * headTiles;
    shares = std::min<int64_t>(runBlocks, cuts) * headTiles;
    busiest = llvm::divideCeil(runBlocks, cuts);
    // Shares of whole items leave none.
    double borders = runs % cuts == 0 ? 0 : shares - headTiles;
    splitItems = std::min<double>(double(runs) * headTiles, borders);
    rows = std::min<int64_t>(shape.heads, kMLAHeads) *
           std::min<int64_t>(chunk, shape.getTileTokens());
    bytes = (borders + splitItems) * rows * shape.latent * 4;
  }

  /// Blocks of positions of all tiles, shares that have any, and the blocks of
  /// the longest share.
  int64_t blocks, shares, busiest;
  /// Items in several shares, and rows of an item.
  double splitItems, rows;
  /// Bytes of all parts' sums.
  double bytes;
};
} // namespace

static KernelCost costOf(const MLADecodeFacts &facts, const Costing &c) {
  const MLADecodeShape &shape = facts.shape;
  int64_t groups = shape.latent > 256 ? 2 : 1;
  int64_t row = c.hasWgmma ? llvm::alignTo(shape.row(), 64) : shape.row();
  DecodeParts parts(shape, c);
  int64_t blocks = parts.blocks;
  double blockBytes = double(kHalf) * kMLABlock * shape.row();
  // Values in halves; scores once (MLADecodeSm90.cpp), or in each group
  // (MLADecodeSm80.cpp).
  constexpr double scores = double(kMLAHeads) * kMLABlock;
  int64_t times = c.hasWgmma ? 1 : groups;
  double operations = 2 * scores * (times * row + shape.latent);
  double readBytes;
  if (c.hasWgmma) {
    // The second group reads its weights from shared memory.
    readBytes =
        kHalf * (double(kMLAHeads + kMLABlock) * row +
                 double(kMLABlock) * shape.latent + (groups - 1) * scores);
  } else {
    // Each of four warps in a group, with its 16 heads, for each tile of
    // positions.
    int64_t keyTiles = groups == 2 ? 2 : 1;
    readBytes = kHalf * 4.0 *
                (groups * (keyTiles * 16.0 + kMLABlock) * row +
                 double(kMLABlock) * shape.latent);
  }

  KernelCost cost;
  cost.work = getMLADecodeWork(shape, c.step.tokens,
                               double(c.step.sequences) * c.step.context,
                               double(c.step.tokens) * c.step.context);
  cost.copiedBytes = blocks * blockBytes + parts.bytes;
  cost.tensorOperations = blocks * operations;
  int64_t most = parts.busiest;
  cost.tensorCycles = most * c.tensorCycles(operations);
  cost.sharedCycles = most * c.sharedCycles(blockBytes + readBytes);
  // Nothing is multiplied for the group meanwhile, and groups keep step.
  cost.serialCycles =
      most * c.softmaxCycles(times * scores, double(kMLAHeads) * shape.latent);
  cost.stages = 2;
  int64_t tilesOfBlock = !c.hasWgmma && groups == 2 ? 2 : 1;
  cost.bytesInFlight = parts.shares * blockBytes / tilesOfBlock;
  return cost;
}

static KernelCost costOf(const MLACombineFacts &facts, const Costing &c) {
  // Parts have just been written and are in the L2 cache still.
  const MLADecodeShape &shape = facts.shape;
  DecodeParts parts(shape, c);
  KernelCost cost;
  cost.work.bytes = parts.splitItems * parts.rows * shape.latent *
                    outputBytes(shape.f32Output);
  cost.copiedBytes = cost.work.bytes + parts.bytes;
  return cost;
}

static KernelCost costOf(const MLAPrefillFacts &facts, const Costing &c) {
  const MLAPrefillShape &shape = facts.shape;
  int64_t keys = getPrefillKeys(shape, c.target.chip);
  int64_t sequences = std::max<int64_t>(c.step.sequences, 1);
  int64_t chunk = llvm::divideCeil(c.step.tokens, sequences);
  int64_t past = std::max<int64_t>(c.step.context - chunk, 0);
  double pairs = double(chunk) * past + double(chunk) * (chunk + 1) / 2;
  // Tiles of keys of all tiles of queries, and of the last one.
  double units = 0;
  int64_t longest = 0;
  for (int64_t end = 0; end < chunk;) {
    end = std::min(end + kPrefillRows, chunk);
    longest = llvm::divideCeil(past + end, keys);
    units += longest;
  }
  units *= double(sequences) * shape.heads;
  int64_t width = shape.query() + shape.value;
  double scores = double(kPrefillRows) * keys;
  double unitBytes = double(kHalf) * keys * width;
  int64_t groupRows = c.hasWgmma ? 64 : 16;
  int64_t groups = kPrefillRows / groupRows;
  double readBytes = kHalf * groups *
                     (double(groupRows) * shape.query() + double(keys) * width);
  double softmax = c.softmaxCycles(scores, double(kPrefillRows) * shape.value);
  double valueCycles = c.tensorCycles(2 * scores * shape.value);

  KernelCost cost;
  cost.work =
      getMLAPrefillWork(shape, c.step.tokens,
                        double(sequences) * (chunk + past), pairs * sequences);
  cost.copiedBytes = units * unitBytes;
  cost.tensorOperations = units * 2 * scores * width;
  // The longest tiles of queries are started first.
  double most =
      std::max<double>(longest, std::ceil(units / c.peak.multiprocessors));
  cost.tensorCycles = most * c.tensorCycles(2 * scores * width);
  cost.sharedCycles = most * c.sharedCycles(unitBytes + readBytes);
  // The next tile's softmax runs beside the product with values of this one;
  // without wgmma, whose products return at once, after it.
  cost.serialCycles =
      most * (c.hasWgmma ? std::max(0.0, softmax - valueCycles) : softmax);
  cost.stages = 2;
  int64_t blocks =
      sequences * shape.heads * llvm::divideCeil(chunk, kPrefillRows);
  cost.bytesInFlight =
      double(std::min<int64_t>(blocks, c.peak.multiprocessors)) * unitBytes;
  return cost;
}

static KernelCost costOf(const ProductFacts &facts, const Costing &c) {
  double rows = facts.experts ? c.expertRows() : c.step.tokens;
  double matrices = facts.experts ? c.touched(facts.experts) : facts.heads;
  double inputs = rows * facts.heads * facts.inputs;
  double outputs = rows * facts.heads * facts.outputs;
  double weightRows = facts.outputs * (facts.gated ? 2.0 : 1.0);
  KernelCost cost;
  cost.work.bytes = facts.inputBytes * inputs +
                    facts.weightRowBytes() * matrices * weightRows +
                    facts.outputBytes * outputs +
                    (facts.residual ? 4 * outputs : 0);
  cost.work.operations = 2 * inputs * weightRows;
  cost.copiedBytes = cost.work.bytes;
  return cost;
}

static KernelCost costOfAll(llvm::ArrayRef<ProductFacts> products,
                            const Costing &c) {
  KernelCost cost;
  for (const ProductFacts &product : products) {
    KernelCost one = costOf(product, c);
    cost.work.bytes += one.work.bytes;
    cost.work.operations += one.work.operations;
    cost.copiedBytes += one.copiedBytes;
  }
  return cost;
}

static KernelCost costOf(const ProductsFacts &facts, const Costing &c) {
  return costOfAll(facts.products, c);
}

/// What moves bytes or chooses does each once.
template <class Config>
static KernelCost costOf(const Config &config, const Costing &c) {
  KernelCost cost;
  cost.work = getSimtWork(config, c.step);
  cost.copiedBytes = cost.work.bytes;
  return cost;
}

static KernelCost costOf(const RouteProductsFacts &facts, const Costing &c) {
  KernelCost cost = costOfAll(facts.products, c);
  double bytes = getSimtWork(RouteDispatchFacts{facts.route}, c.step).bytes;
  cost.work.bytes += bytes;
  cost.copiedBytes += bytes;
  return cost;
}

static KernelCost costOf(const AttentionConfig &config, const Costing &c) {
  KernelCost cost;
  cost.work = getSimtWork(config, c.step);
  // Each head's block reads the cache for itself, and the latent twice.
  double rows = double(c.step.tokens) * config.heads * c.step.context;
  cost.copiedBytes = rows * (config.cache.row() + config.cache.latent) *
                     getElementBytes(config.cache.element);
  return cost;
}

//===----------------------------------------------------------------------===//
// Time
//===----------------------------------------------------------------------===//

/// Time from a load's issue to its data when memory is busy, seconds: what
/// bytes under way are divided by (Little's law).
static constexpr double kLatency = 1e-6;
/// What a launch behind another one takes beside its work: the start, the first
/// load and the last store.
static constexpr double kStart = 2e-6;

static void predict(KernelCost &cost, const GPUTargetInfo &target) {
  const GPUPeak &peak = target.peak;
  cost.memorySeconds = cost.work.bytes / peak.bytesPerSecond;
  cost.arithmeticSeconds = cost.work.operations / peak.bf16OpsPerSecond;
  struct Limit {
    double seconds;
    llvm::StringRef name;
  };
  double clock = peak.cyclesPerSecond();
  Limit limits[] = {
      {cost.memorySeconds, "memory"},
      {cost.bytesInFlight ? cost.work.bytes * kLatency / cost.bytesInFlight : 0,
       "latency"},
      {cost.copiedBytes / peak.l2BytesPerSecond, "L2"},
      {(cost.tensorCycles + cost.serialCycles) / clock, "tensor"},
      {(cost.sharedCycles + cost.serialCycles) / clock, "shared"},
  };
  const Limit *longest = limits;
  for (const Limit &limit : limits)
    if (limit.seconds > longest->seconds)
      longest = &limit;
  cost.predictedSeconds = longest->seconds + kStart;
  cost.bound = longest->seconds < kStart ? "start" : longest->name;
}

/// The chip of a kernel, or nothing for one that any can run.
static llvm::StringRef chipOf(const KernelFacts &facts) {
  if (auto *gemm = std::get_if<GemmFacts>(&facts))
    return gemm->config.chip;
  if (auto *decode = std::get_if<MLADecodeFacts>(&facts))
    return decode->chip;
  if (auto *combine = std::get_if<MLACombineFacts>(&facts))
    return combine->chip;
  if (auto *prefill = std::get_if<MLAPrefillFacts>(&facts))
    return prefill->chip;
  return {};
}

std::optional<KernelCost> gpu::getKernelCost(const KernelFacts &facts,
                                             const StepSize &step,
                                             const GPUTargetInfo &target) {
  llvm::StringRef chip = chipOf(facts);
  if (!chip.empty() && chip != target.chip)
    return std::nullopt;
  Costing costing{step, target};
  KernelCost cost =
      std::visit([&](const auto &one) { return costOf(one, costing); }, facts);
  predict(cost, target);
  return cost;
}
