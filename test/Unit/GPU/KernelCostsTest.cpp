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

#include "GemmCase.h"
#include "KernelRun.h"
#include "MLADecodeCase.h"
#include "MLAPrefillCase.h"

#include "dsv2/CodeGen/GPU/SimtKernels.h"
#include "mlir/AsmParser/AsmParser.h"

#include <numeric>

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
