//===- KernelCostsTest.cpp - What kernels say they cost -------------------===//
//
// Part of dsv2, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// Numbers that follow from the shapes by hand, and what the emulator counts
// while the very kernels run.
//
//===----------------------------------------------------------------------===//

#include "dsv2/CodeGen/GPU/KernelCosts.h"

#include "FactsCase.h"
#include "GemmCase.h"
#include "KernelRun.h"
#include "MLADecodeCase.h"
#include "MLAPrefillCase.h"

#include "dsv2/CodeGen/GPU/SimtKernels.h"
#include "mlir/AsmParser/AsmParser.h"

#include <numeric>
#include <set>

using namespace mlir;
using namespace mlir::dsv2;
using namespace mlir::dsv2::gpu;
using namespace mlir::dsv2::test;

namespace {

const GPUTargetInfo &chip(StringRef name) {
  return *llvm::find_if(GPUTargetInfo::getAll(),
                        [&](const auto &info) { return info.chip == name; });
}

KernelCost costOf(const KernelFacts &facts, const StepSize &step) {
  std::optional<KernelCost> cost = getKernelCost(facts, step, chip("sm_90a"));
  EXPECT_TRUE(cost);
  return cost.value_or(KernelCost());
}

MLADecodeFacts decode(int64_t heads) {
  MLADecodeShape shape;
  shape.heads = heads;
  return {shape, "sm_90a"};
}

GemmFacts product(int64_t n, int64_t k, int64_t rows, int64_t experts = 0,
                  StringRef name = "sm_90a") {
  GemmShape shape;
  shape.n = n;
  shape.k = k;
  shape.experts = experts;
  return {shape,
          chooseGemmConfig(name, chip(name).peak.multiprocessors, shape, rows)};
}

} // namespace

TEST(KernelCosts, AbsorbedAttention) {
  // 1152 bytes and 2 * 16 * 1088 operations a position.
  StepSize step;
  step.tokens = step.sequences = 128;
  step.context = 4096;
  KernelCost cost = costOf(decode(16), step);
  double positions = 128 * 4096.0;
  EXPECT_EQ(cost.work.bytes,
            1152 * positions + 128 * 16 * (2.0 * 576 + 2.0 * 512));
  EXPECT_EQ(cost.work.operations, 2 * 16 * 1088 * positions);
  // For 64 rows: 34 cycles a position.
  EXPECT_EQ(cost.tensorOperations, 2 * 64.0 * (576 + 512) * positions);
  double most = std::ceil(128 * 64 / 132.0);
  EXPECT_EQ(cost.tensorCycles, most * 64 * 34);
  EXPECT_EQ(cost.bound, "memory");
  EXPECT_GT(cost.limitSeconds() / cost.predictedSeconds, 0.85);
  // With 128 heads there are two tiles of them, and products take longer.
  KernelCost many = costOf(decode(128), step);
  EXPECT_EQ(many.tensorOperations, 2 * cost.tensorOperations);
  EXPECT_EQ(many.bound, "shared");
  EXPECT_LT(many.limitSeconds() / many.predictedSeconds,
            cost.limitSeconds() / cost.predictedSeconds);
  // 132 shares of 128 tokens: each border between two leaves a part on both
  // sides, but for tokens that begin there.
  KernelCost combine =
      costOf(MLACombineFacts{decode(16).shape, "sm_90a"}, step);
  double part = 16 * 512;
  EXPECT_EQ(combine.work.bytes, 128 * part * 2);
  EXPECT_EQ(combine.copiedBytes, 128 * part * 2 + (131 + 128) * part * 4);
  EXPECT_EQ(cost.copiedBytes, 1152 * positions + (131 + 128) * part * 4);
  EXPECT_EQ(combine.bound, "start");
}

TEST(KernelCosts, Products) {
  StepSize step;
  step.tokens = 8192;
  KernelCost cost = costOf(product(8192, 8192, 8192), step);
  double side = 8192;
  EXPECT_EQ(cost.work.operations, 2 * side * side * side);
  EXPECT_EQ(cost.work.bytes, 3 * 2 * side * side);
  EXPECT_EQ(cost.tensorOperations, cost.work.operations);
  // 128 x 256 tiles: 64 rows of them and 32 columns.
  EXPECT_EQ(cost.copiedBytes, 64 * 32 * 2.0 * (128 + 256) * side);
  EXPECT_NEAR(cost.arithmeticSeconds, 1.11e-3, 1e-5);

  // One row reads all of the weight, and fills a tile with nothing.
  step.tokens = 1;
  cost = costOf(product(3072, 2048, 1), step);
  EXPECT_EQ(cost.work.bytes, 2.0 * (2048 + 3072 * 2048 + 3072));
  EXPECT_EQ(cost.tensorOperations, 64 * cost.work.operations);
}

TEST(KernelCosts, ExpertsThatAreTouched) {
  StepSize step;
  GemmFacts facts = product(2816, 2048, 16, 64);
  double matrix = 2.0 * 2816 * 2048;
  auto weights = [&](int64_t tokens) {
    step.tokens = tokens;
    double rows = tokens * step.topK;
    return (costOf(facts, step).work.bytes - 2 * rows * (2048 + 2816)) / matrix;
  };
  // As the table of random choices: 64 experts, 6 a token.
  EXPECT_EQ(weights(1), 6);
  EXPECT_EQ(weights(8), 35);
  EXPECT_EQ(weights(32), 61);
  EXPECT_EQ(weights(2048), 64);
  step.touchedExperts = 3;
  EXPECT_EQ(weights(8), 3);
}

TEST(KernelCosts, ProductsOfFewRows) {
  ProductConfig config{1408, 2048, BFloat16Type::get(&getContext()),
                       BFloat16Type::get(&getContext()),
                       Float32Type::get(&getContext())};
  config.gated = true;
  config.experts = 64;
  StepSize step;
  KernelCost cost = costOf(ProductFacts::of(config), step);
  EXPECT_EQ(cost.work.bytes,
            6 * 2.0 * 2816 * 2048 + 6 * (2.0 * 2048 + 4.0 * 1408));
  EXPECT_EQ(cost.work.operations, 6 * 2.0 * 2816 * 2048);
}

// Facts stay with a kernel through its lowering, as text too, and are checked.
TEST(KernelCosts, FactsOfAKernel) {
  OwningOpRef<ModuleOp> module(
      ModuleOp::create(UnknownLoc::get(&getContext())));
  GemmFacts facts = product(2816, 2048, 16, 64);
  facts.shape.epilogue = GemmEpilogue::SwiGLU;
  auto kernel = getOrCreateGemm(*module, facts.shape, facts.config);
  std::optional<KernelFacts> found = getCostFacts(kernel);
  ASSERT_TRUE(found && std::holds_alternative<GemmFacts>(*found));
  const auto &gemm = std::get<GemmFacts>(*found);
  EXPECT_EQ(getGemmName(gemm.shape, gemm.config),
            getGemmName(facts.shape, facts.config));
  EXPECT_FALSE(getKernelCost(*found, StepSize(), chip("sm_80")));

  Attribute before = kernel->getAttr(kCostFactsAttr);
  for (StringRef text :
       {"{family = \"gemm\"}", "{family = \"tea\"}", "{}", "3 : i64",
        "{family = \"mla_combine\", heads = 0 : i64, latent = 512 : i64, rope "
        "= 64 : i64, f32_output = false, chip = \"sm_90a\"}",
        "{family = \"mla_combine\", heads = -1 : i64, latent = 512 : i64, rope "
        "= 64 : i64, f32_output = false, chip = \"sm_90a\"}"}) {
    kernel->setAttr(kCostFactsAttr, parseAttribute(text, &getContext()));
    EXPECT_FALSE(getCostFacts(kernel)) << text.str();
  }
  kernel->setAttr(kCostFactsAttr, before);
  EXPECT_TRUE(getCostFacts(kernel));
}

namespace {

/// Facts of each kernel that moves bytes or chooses, small and with sizes that
/// no vector divides; `smooth` ones have whole vectors.
std::vector<KernelFacts> listSimtFacts(bool smooth) {
  Type f32 = Float32Type::get(&getContext());
  Type bf16 = BFloat16Type::get(&getContext());
  int64_t width = smooth ? 64 : 37;
  LatentCacheConfig cache{smooth ? 32 : 21, 8, 16, bf16};
  RopeTableConfig rope{{1.0f, 0.25f, 0.125f, 1e-3f}, 1.25f};
  RouteConfig route{16, 4, 4, 2, 16.0f, true};
  ProductFacts gated, plain;
  gated.outputs = 24;
  gated.inputs = plain.inputs = width;
  gated.gated = true;
  plain.outputs = 17;
  plain.outputBytes = 4;
  ExchangeConfig exchange{width, 3, bf16, /*experts=*/4, /*ranks=*/3};
  ExchangeConfig room = exchange;
  room.capacity = 2;
  using Rows = GatherRowsConfig::Rows;
  return {GatherRowsConfig{width, bf16, f32},
          GatherRowsConfig{width, f32, bf16, Rows::Limited},
          GatherRowsConfig{width, bf16, bf16, Rows::Part},
          RMSNormConfig{width, 1e-6, f32, f32, bf16},
          RMSNormConfig{width, 1e-5, bf16, bf16, f32},
          AddConfig{width},
          CombineConfig{width, 3, true, true},
          CombineConfig{width, 2, false, false, /*partial=*/true},
          rope,
          ApplyRopeConfig{3, 8, bf16, bf16},
          ApplyRopeConfig{1, 8, f32, f32, /*inPlace=*/true},
          LatentAppendConfig{cache, bf16, f32},
          ContextRowsConfig{cache},
          LatentInputConfig{cache, rope, 3, 1e-6, bf16, f32, f32, f32, bf16},
          AttentionConfig{cache, 3, 0.2f, bf16, f32},
          route,
          DispatchConfig{16, 4},
          DispatchConfig{16, 4, /*partial=*/true},
          RouteDispatchFacts{route},
          RouteProductsFacts{route, {gated, plain}},
          ExchangePlanFacts{exchange},
          ExchangePlanFacts{room},
          ExchangePackFacts{exchange},
          ExchangePackFacts{room},
          ExchangeUnpackFacts{exchange},
          ExchangeCombineFacts{exchange},
          SampleScanFacts{},
          SampleWeighFacts{},
          SampleChooseFacts{}};
}

/// Makes the kernel that has the facts.
struct SimtKernel {
  ModuleOp module;

  Operation *operator()(const GatherRowsConfig &config) const {
    return getOrCreateGatherRowsKernel(module, config);
  }
  Operation *operator()(const RMSNormConfig &config) const {
    return getOrCreateRMSNormKernel(module, config);
  }
  Operation *operator()(const AddConfig &config) const {
    return getOrCreateAddKernel(module, config);
  }
  Operation *operator()(const CombineConfig &config) const {
    return getOrCreateCombineKernel(module, config);
  }
  Operation *operator()(const RopeTableConfig &config) const {
    return getOrCreateRopeTableKernel(module, config);
  }
  Operation *operator()(const ApplyRopeConfig &config) const {
    return getOrCreateApplyRopeKernel(module, config);
  }
  Operation *operator()(const LatentAppendConfig &config) const {
    return getOrCreateLatentAppendKernel(module, config);
  }
  Operation *operator()(const ContextRowsConfig &config) const {
    return getOrCreateContextRowsKernel(module, config);
  }
  Operation *operator()(const LatentInputConfig &config) const {
    return getOrCreateLatentInputKernel(module, config);
  }
  Operation *operator()(const AttentionConfig &config) const {
    return getOrCreateAttentionKernel(module, config);
  }
  Operation *operator()(const RouteConfig &config) const {
    return getOrCreateRouteKernel(module, config);
  }
  Operation *operator()(const DispatchConfig &config) const {
    return getOrCreateDispatchKernel(module, config);
  }
  Operation *operator()(const RouteDispatchFacts &facts) const {
    return getOrCreateRouteDispatchKernel(module, facts.route);
  }
  Operation *operator()(const RouteProductsFacts &facts) const {
    std::vector<ProductConfig> products;
    for (const ProductFacts &product : facts.products)
      products.push_back(product.getConfig(&getContext()));
    return getOrCreateRouteProductsKernel(module, facts.route, products);
  }
  Operation *operator()(const ExchangePlanFacts &facts) const {
    return getOrCreateExchangePlanKernel(module, facts.config);
  }
  Operation *operator()(const ExchangePackFacts &facts) const {
    return getOrCreateExchangePackKernel(module, facts.config);
  }
  Operation *operator()(const ExchangeUnpackFacts &facts) const {
    return getOrCreateExchangeUnpackKernel(module, facts.config);
  }
  Operation *operator()(const ExchangeCombineFacts &facts) const {
    return getOrCreateExchangeCombineKernel(module, facts.config);
  }
  // Each reads what another has left.
  Operation *operator()(const SampleScanFacts &) const {
    addSampleKernels();
    return getOrCreateSampleScanKernel(module);
  }
  Operation *operator()(const SampleWeighFacts &) const {
    addSampleKernels();
    return getOrCreateSampleWeighKernel(module);
  }
  Operation *operator()(const SampleChooseFacts &) const {
    addSampleKernels();
    return getOrCreateSampleChooseKernel(module);
  }
  void addSampleKernels() const {
    getOrCreateSampleScanKernel(module);
    getOrCreateSampleWeighKernel(module);
    getOrCreateSampleChooseKernel(module);
  }
  template <typename Facts> Operation *operator()(const Facts &) const {
    return nullptr;
  }
};

} // namespace

// What a kernel says of itself makes the same kernel again.
TEST(KernelCosts, FactsOfKernelsWithoutProducts) {
  std::set<size_t> families;
  for (bool smooth : {false, true})
    for (const KernelFacts &facts : listSimtFacts(smooth)) {
      OwningOpRef<ModuleOp> module(
          ModuleOp::create(UnknownLoc::get(&getContext())));
      Operation *kernel = std::visit(SimtKernel{*module}, facts);
      ASSERT_NE(kernel, nullptr);
      std::optional<KernelFacts> found = getCostFacts(kernel);
      ASSERT_TRUE(found) << getFamily(facts).str();
      ASSERT_EQ(getFamily(*found), getFamily(facts));
      families.insert(facts.index());
      // As text, and each size that is missing makes it invalid.
      std::string text;
      llvm::raw_string_ostream(text) << kernel->getAttr(kCostFactsAttr);
      auto attribute =
          cast<DictionaryAttr>(parseAttribute(text, &getContext()));
      OwningOpRef<ModuleOp> again(
          ModuleOp::create(UnknownLoc::get(&getContext())));
      Operation *same =
          std::visit(SimtKernel{*again}, *getCostFacts(attribute));
      EXPECT_EQ(cast<SymbolOpInterface>(same).getName(),
                cast<SymbolOpInterface>(kernel).getName());
      EXPECT_EQ(same->getAttr(kCostFactsAttr), attribute);
      for (NamedAttribute entry : attribute) {
        NamedAttrList fewer(attribute);
        fewer.erase(entry.getName());
        EXPECT_FALSE(getCostFacts(fewer.getDictionary(&getContext())))
            << text << " without " << entry.getName().str();
      }
    }
  // Those with products have tests of their own.
  EXPECT_EQ(families.size(), getFamilies().size() - 6);
}

TEST(KernelCosts, SizesThatDoNotGoTogether) {
  for (
      StringRef text :
      {"{family = \"route\", experts = 15 : i64, top_k = 4 : i64, groups = 4 "
       ": i64, top_groups = 2 : i64, scale = 1.0 : f32, normalize = false}",
       "{family = \"route\", experts = 16 : i64, top_k = 9 : i64, groups = 4 "
       ": i64, top_groups = 2 : i64, scale = 1.0 : f32, normalize = false}",
       "{family = \"dispatch\", experts = 4 : i64, top_k = 5 : i64, partial = "
       "false}",
       "{family = \"apply_rope\", heads = 1 : i64, width = 7 : i64, input = "
       "f32, output = f32, in_place = false}",
       "{family = \"gather_rows\", width = 8 : i64, from = i8, to = f32, rows "
       "= 0 : i64}",
       "{family = \"gather_rows\", width = 8 : i64, from = f32, to = f32, rows "
       "= 3 : i64}",
       "{family = \"rope_table\", inverse_frequencies = array<f32>, multiplier "
       "= 1.0 : f32}"})
    EXPECT_FALSE(getCostFacts(parseAttribute(text, &getContext())))
        << text.str();
}

namespace {

/// Runs the case of a kernel and compares.
class CountedCosts : public KernelRun,
                     public ::testing::WithParamInterface<const char *> {
protected:
  /// What the emulator counts in a launch of the kernels that `build` adds, on
  /// as many blocks as the card of the chip has multiprocessors.
  dsv2_emulator_counters
  count(const std::function<void(ModuleOp)> &build,
        const std::function<void(cases::KernelCases &, int64_t)> &addCase) {
    dsv2_emulator_counters counters = {};
    auto file = compileCases(GetParam(), build);
    if (!file)
      return counters;
    addCase(*file, chip(GetParam()).peak.multiprocessors);
    emulator.dsv2_emulator_reset_counters();
    runCases(file);
    emulator.dsv2_emulator_get_counters(&counters);
    return counters;
  }
};

} // namespace

TEST_P(CountedCosts, Product) {
  GemmFacts facts = product(320, 192, 300, 0, GetParam());
  auto counted = count(
      [&](ModuleOp module) {
        getOrCreateGemm(module, facts.shape, facts.config);
      },
      [&](cases::KernelCases &file, int64_t blocks) {
        cases::GemmProblem(facts.shape, {300}, 1)
            .addTo(file, facts.config, blocks, cases::Extent::All);
      });
  StepSize step;
  step.tokens = 300;
  auto cost = getKernelCost(facts, step, chip(GetParam()));
  ASSERT_TRUE(cost);
  EXPECT_EQ(double(counted.tensor_operations), cost->tensorOperations);
  // The last tiles are not full.
  EXPECT_LE(double(counted.global_bytes_read), cost->copiedBytes * 1.05);
  EXPECT_GE(double(counted.global_bytes_read), cost->copiedBytes * 0.75);
}

TEST_P(CountedCosts, AbsorbedAttention) {
  MLADecodeShape shape;
  shape.heads = 16;
  std::vector<int32_t> lengths(3, 128), sequences = {0, 1, 2};
  auto counted = count(
      [&](ModuleOp module) {
        getOrCreateMLADecode(module, shape, GetParam());
        getOrCreateMLACombine(module, shape, GetParam());
      },
      [&](cases::KernelCases &file, int64_t blocks) {
        cases::MLADecodeProblem(shape, lengths, sequences, 1)
            .addTo(file, GetParam(), blocks, cases::Extent::All);
      });
  StepSize step;
  step.tokens = step.sequences = 3;
  step.context = 128;
  auto cost =
      getKernelCost(MLADecodeFacts{shape, GetParam()}, step, chip(GetParam()));
  ASSERT_TRUE(cost);
  EXPECT_EQ(double(counted.tensor_operations), cost->tensorOperations);
}

TEST_P(CountedCosts, ExpandedAttention) {
  MLAPrefillShape shape;
  shape.heads = 2;
  auto counted = count(
      [&](ModuleOp module) {
        getOrCreateMLAPrefill(module, shape, GetParam());
      },
      [&](cases::KernelCases &file, int64_t) {
        cases::MLAPrefillProblem(shape, {200}, {300}, 1)
            .addTo(file, GetParam(), cases::Extent::All);
      });
  StepSize step;
  step.tokens = 200;
  step.context = 500;
  auto cost =
      getKernelCost(MLAPrefillFacts{shape, GetParam()}, step, chip(GetParam()));
  ASSERT_TRUE(cost);
  EXPECT_EQ(double(counted.tensor_operations), cost->tensorOperations);
}

INSTANTIATE_TEST_SUITE_P(Chips, CountedCosts,
                         ::testing::Values("sm_90a", "sm_80"),
                         [](const auto &info) {
                           return std::string(info.param);
                         });

namespace {
class SimtCases : public KernelRun {};
} // namespace

// The cases of dsv2-kernel. Their kernels are the same for all chips, but for
// when a launch may start.
TEST_F(SimtCases, ComputeWhatTheySay) {
  for (bool smooth : {false, true})
    for (const KernelFacts &facts : listSimtFacts(smooth)) {
      StringRef family = getFamily(facts);
      SCOPED_TRACE(family.str() + (smooth ? ", one token" : ", seven tokens"));
      StepSize step;
      step.tokens = step.sequences = smooth ? 1 : 7;
      step.context = 40;
      step.topK = 3;
      step.vocabulary = 300;
      auto cost = getKernelCost(facts, step, chip("sm_90a"));
      ASSERT_TRUE(cost);
      auto file = compileCases("sm_90a", [&](ModuleOp module) {
        std::visit(SimtKernel{module}, facts);
      });
      ASSERT_TRUE(file);
      constexpr uint64_t seeds = 2;
      for (uint64_t seed = 1; seed <= seeds; ++seed)
        EXPECT_EQ(llvm::toString(cases::addCaseOf(getContext(), *file, facts,
                                                  chip("sm_90a"), step,
                                                  /*multiprocessors=*/4, seed)),
                  "");
      emulator.dsv2_emulator_reset_counters();
      runCases(file);
      dsv2_emulator_counters counted = {};
      emulator.dsv2_emulator_get_counters(&counted);
      // What all threads of a block load counts as often.
      double moved =
          double(counted.global_bytes_read + counted.global_bytes_written) /
          seeds;
      EXPECT_GE(moved, cost->work.bytes);
      if (family == "add")
        EXPECT_EQ(moved, cost->work.bytes);
    }
}
