//===- FactsCase.cpp - cases of the kernels of models ---------------------===//
//
// Part of dsv2, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "FactsCase.h"

#include "GemmCase.h"
#include "MLADecodeCase.h"
#include "MLAPrefillCase.h"
#include "SimtCase.h"
#include "SimtProductCase.h"

#include "dsv2rt/abi.h"

#include "mlir/IR/BuiltinTypes.h"

#include <random>

using namespace mlir;
using namespace mlir::dsv2;
using namespace mlir::dsv2::cases;
using namespace mlir::dsv2::gpu;

std::vector<int64_t> cases::chooseExpertRows(int64_t experts, int64_t tokens,
                                             int64_t topK, uint64_t seed,
                                             int64_t touched) {
  std::vector<int64_t> counts(experts, 0);
  int64_t choices = touched ? std::min(touched, experts) : experts;
  std::mt19937 random{uint32_t(seed)};
  for (int64_t t = 0; t < tokens; ++t) {
    std::vector<bool> isChosen(choices);
    for (int64_t k = 0; k < std::min(topK, choices);) {
      int64_t expert = random() % choices;
      if (isChosen[expert])
        continue;
      isChosen[expert] = true;
      ++counts[expert];
      ++k;
    }
  }
  return counts;
}

/// Both kernels of absorbed attention of `shape`.
static std::vector<std::string> listDecode(const MLADecodeShape &shape,
                                           StringRef chip) {
  return {getMLADecodeName(shape, chip), getMLACombineName(shape, chip)};
}

std::vector<std::string> cases::listPartners(const KernelFacts &facts,
                                             StringRef name) {
  std::vector<std::string> names;
  if (auto *decode = std::get_if<MLADecodeFacts>(&facts))
    names = listDecode(decode->shape, decode->chip);
  else if (auto *combine = std::get_if<MLACombineFacts>(&facts))
    names = listDecode(combine->shape, combine->chip);
  else if (std::holds_alternative<SampleScanFacts>(facts) ||
           std::holds_alternative<SampleWeighFacts>(facts) ||
           std::holds_alternative<SampleChooseFacts>(facts))
    names = {kSampleScanName.str(), kSampleWeighName.str(),
             kSampleChooseName.str()};
  llvm::erase(names, name);
  return names;
}

/// Operations that plain loops take some seconds for: they do about 10^8
/// products a second.
static constexpr double kLongWork = 4e8;

namespace {
/// Adds the case of each kind of facts.
struct Adder {
  MLIRContext &context;
  KernelCases &cases;
  const GPUTargetInfo &target;
  const StepSize &step;
  int64_t multiprocessors;
  uint64_t seed;
  Extent extent;

  /// Rows of each expert, or of the one product.
  std::vector<int64_t> getCounts(int64_t experts) const {
    if (!experts)
      return {step.tokens};
    return chooseExpertRows(experts, step.tokens, step.topK, seed,
                            step.touchedExperts);
  }

  /// Tokens of each sequence, which are its last.
  llvm::Expected<std::vector<int64_t>> getChunks() const {
    std::vector<int64_t> chunks(step.sequences, step.tokens / step.sequences);
    for (int64_t s = 0; s < step.tokens % step.sequences; ++s)
      ++chunks[s];
    if (chunks.front() > step.context)
      return llvm::createStringError(
          "a step of " + Twine(step.tokens) + " tokens of " +
          Twine(step.sequences) + " sequences: expected at least " +
          Twine(chunks.front()) + " positions of context, got " +
          Twine(step.context));
    return chunks;
  }

  llvm::Error operator()(const GemmFacts &facts) const {
    GemmProblem(facts.shape, getCounts(facts.shape.experts), seed)
        .addTo(cases, facts.config, multiprocessors, extent);
    return llvm::Error::success();
  }

  /// Where all tokens are.
  llvm::Expected<TokenPlaces> getPlaces() const {
    auto chunks = getChunks();
    if (!chunks)
      return chunks.takeError();
    TokenPlaces places;
    for (auto [s, chunk] : llvm::enumerate(*chunks))
      for (int64_t t = 0; t < chunk; ++t) {
        places.positions.push_back(int32_t(step.context - chunk + t));
        places.sequences.push_back(int32_t(s));
      }
    return places;
  }

  llvm::Error addDecode(const MLADecodeShape &shape) const {
    auto places = getPlaces();
    if (!places)
      return places.takeError();
    std::vector<int32_t> lengths = std::move(places->positions);
    for (int32_t &length : lengths)
      ++length;
    MLADecodeProblem(shape, lengths, places->sequences, seed)
        .addTo(cases, target.chip, multiprocessors, extent);
    return llvm::Error::success();
  }
  llvm::Error operator()(const MLADecodeFacts &facts) const {
    return addDecode(facts.shape);
  }
  llvm::Error operator()(const MLACombineFacts &facts) const {
    return addDecode(facts.shape);
  }

  llvm::Error operator()(const MLAPrefillFacts &facts) const {
    auto chunks = getChunks();
    if (!chunks)
      return chunks.takeError();
    std::vector<int32_t> pasts;
    for (int64_t chunk : *chunks)
      pasts.push_back(int32_t(step.context - chunk));
    MLAPrefillProblem(facts.shape, {chunks->begin(), chunks->end()}, pasts,
                      seed)
        .addTo(cases, target.chip, extent);
    return llvm::Error::success();
  }

  std::vector<SimtProductProblem>
  getProblems(ArrayRef<ProductFacts> products) const {
    std::vector<SimtProductProblem> problems;
    for (const ProductFacts &facts : products)
      problems.emplace_back(facts.getConfig(&context), getCounts(facts.experts),
                            /*pad=*/0, seed);
    return problems;
  }
  llvm::Error addProducts(ArrayRef<ProductFacts> products) const {
    cases::addProducts(cases, target.chip, getProblems(products), extent);
    return llvm::Error::success();
  }
  llvm::Error operator()(const RouteProductsFacts &facts) const {
    addRouteProductsCase(cases, facts.route, getProblems(facts.products),
                         step.tokens, CaseSeed{seed}, extent);
    return llvm::Error::success();
  }
  llvm::Error operator()(const ProductFacts &facts) const {
    return addProducts(facts);
  }
  llvm::Error operator()(const ProductsFacts &facts) const {
    return addProducts(facts.products);
  }

  llvm::Error operator()(const RopeTableConfig &config) const {
    return addInPlaces(config);
  }
  llvm::Error operator()(const LatentAppendConfig &config) const {
    return addInPlaces(config);
  }
  llvm::Error operator()(const ContextRowsConfig &config) const {
    return addInPlaces(config);
  }
  llvm::Error operator()(const LatentInputConfig &config) const {
    return addInPlaces(config);
  }
  llvm::Error operator()(const AttentionConfig &config) const {
    return addInPlaces(config, kLongWork);
  }
  template <typename Config, typename... Rest>
  llvm::Error addInPlaces(const Config &config, Rest... rest) const {
    auto places = getPlaces();
    if (!places)
      return places.takeError();
    addSimtCase(cases, config, *places, CaseSeed{seed}, rest...);
    return llvm::Error::success();
  }
  llvm::Error operator()(const SampleScanFacts &) const { return addSample(); }
  llvm::Error operator()(const SampleWeighFacts &) const { return addSample(); }
  llvm::Error operator()(const SampleChooseFacts &) const {
    return addSample();
  }
  llvm::Error addSample() const {
    if (step.vocabulary > DSV2RT_SAMPLE_VOCABULARY)
      return llvm::createStringError("a vocabulary of " +
                                     Twine(step.vocabulary) +
                                     " tokens: kernels choose from at most " +
                                     Twine(DSV2RT_SAMPLE_VOCABULARY));
    addSampleCase(cases, step.sequences, step.vocabulary, CaseSeed{seed});
    return llvm::Error::success();
  }

  /// What does not depend on where tokens are.
  template <typename Config>
  llvm::Error operator()(const Config &config) const {
    addSimtCase(cases, config, step.tokens, CaseSeed{seed});
    return llvm::Error::success();
  }
};
} // namespace

/// Elements of the latent cache that the case of a kernel without tiles has, if
/// it has one: whole pages of all sequences, and one page more.
static double countCacheElements(const KernelFacts &facts,
                                 const StepSize &step) {
  const LatentCacheConfig *cache = nullptr;
  if (auto *append = std::get_if<LatentAppendConfig>(&facts))
    cache = &append->cache;
  else if (auto *context = std::get_if<ContextRowsConfig>(&facts))
    cache = &context->cache;
  else if (auto *input = std::get_if<LatentInputConfig>(&facts))
    cache = &input->cache;
  else if (auto *attention = std::get_if<AttentionConfig>(&facts))
    cache = &attention->cache;
  if (!cache)
    return 0;
  double pages = double(step.sequences) *
                     double(llvm::divideCeil(step.context, cache->page)) +
                 1;
  return pages * double(cache->page) * double(cache->row());
}

/// An error for a case without products whose numbers, all of which are kept
/// and compared, would take gigabytes.
static llvm::Error checkMemory(const KernelFacts &facts, const KernelCost &cost,
                               const StepSize &step) {
  constexpr double mostBytes = double(int64_t(1) << 30);
  double bytes = 4 * countCacheElements(facts, step);
  if (cost.work.operations == 0)
    bytes += cost.work.bytes;
  if (bytes <= mostBytes)
    return llvm::Error::success();
  return llvm::createStringError(
      "a step of " + Twine(step.tokens) + " tokens of " +
      Twine(step.sequences) + " sequences at " + Twine(step.context) +
      " positions: its case would have " + Twine(uint64_t(bytes)) +
      " bytes, expected at most " + Twine(uint64_t(mostBytes)));
}

llvm::Error cases::addCaseOf(MLIRContext &context, KernelCases &cases,
                             const KernelFacts &facts,
                             const GPUTargetInfo &target, const StepSize &step,
                             int64_t multiprocessors, uint64_t seed) {
  std::optional<KernelCost> cost = getKernelCost(facts, step, target);
  if (!cost)
    return llvm::createStringError("the kernel is not for " + target.chip);
  if (llvm::Error error = checkMemory(facts, *cost, step))
    return error;
  Extent extent =
      cost->work.operations > kLongWork ? Extent::Samples : Extent::All;
  if (llvm::Error error = std::visit(
          Adder{context, cases, target, step, multiprocessors, seed, extent},
          facts))
    return error;
  KernelCase &item = cases.cases.back();
  // Several seeds are as many cases.
  std::string suffix = ",seed=" + std::to_string(seed);
  if (!StringRef(item.name).ends_with(suffix))
    item.name += suffix;
  return llvm::Error::success();
}
