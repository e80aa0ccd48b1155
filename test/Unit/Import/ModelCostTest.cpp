//===- ModelCostTest.cpp - the explained costs are those of the IR --------===//
//
// Part of dsv2, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// `--explain` counts from the configuration, so that it needs no IR; passes ask
// the ops. Both have to say the same of every published model.
//
//===----------------------------------------------------------------------===//

#include "dsv2/Dialect/DSV2/IR/DSV2.h"
#include "dsv2/Import/CostModel.h"
#include "dsv2/Import/ModelBuilder.h"
#include "dsv2/InitAll.h"
#include "mlir/Dialect/Func/IR/FuncOps.h"
#include "mlir/IR/MLIRContext.h"
#include "mlir/Parser/Parser.h"
#include "llvm/Support/MemoryBuffer.h"
#include "gtest/gtest.h"

using namespace mlir;
using namespace mlir::dsv2;

namespace {

class ModelCost : public ::testing::TestWithParam<const char *> {
protected:
  void SetUp() override {
    DialectRegistry registry;
    registerAllDialects(registry);
    context.appendDialectRegistry(registry);
    std::string path =
        (Twine(DSV2_TEST_SOURCE_DIR "/models/") + GetParam() + "/config.json")
            .str();
    auto file = llvm::MemoryBuffer::getFile(path);
    ASSERT_TRUE(file) << path;
    auto parsed = ::dsv2::parseModelConfig((*file)->getBuffer(), path, nullptr);
    ASSERT_TRUE(bool(parsed)) << llvm::toString(parsed.takeError());
    config = *parsed;
    module = buildModel(&context, config);
    module->walk(
        [](LatentAttentionOp op) { op.setForm(AttentionForm::Absorbed); });
  }

  OpCost getCost(const StepShape &step) {
    auto entry = module->lookupSymbol<func::FuncOp>("step");
    std::optional<OpCost> cost = getTotalCost(entry, step);
    EXPECT_TRUE(cost.has_value());
    return cost.value_or(OpCost());
  }

  MLIRContext context;
  ::dsv2::ModelConfig config;
  OwningOpRef<ModuleOp> module;
};

TEST_P(ModelCost, DecodedToken) {
  const int64_t length = 4096;
  StepShape step;
  step.context = length;
  OpCost cost = getCost(step);

  auto flops = ::dsv2::decodeFlops(config, length);
  ASSERT_TRUE(bool(flops)) << llvm::toString(flops.takeError());
  // Norms, rotary embedding and the weighted sum of experts are not explained:
  // they are a thousandth of the rest.
  EXPECT_GE(cost.flops, double(flops->absorbed()));
  EXPECT_LE(cost.flops, flops->absorbed() * 1.001);

  // Weights of the import stage are as in the checkpoint, bf16 throughout; the
  // explained format keeps the router and norms in f32, and reads no embedding.
  double bytes =
      ::dsv2::activeWeightBytes(config, *::dsv2::findWeightFormat("bf16"));
  EXPECT_NEAR(cost.weightBytes, bytes, 0.003 * bytes);

  // Every layer reads the latents of all positions and writes one.
  double cache = ::dsv2::kvBytesPerToken(config, *::dsv2::findKVFormat("bf16"));
  EXPECT_EQ(cost.cacheBytes, cache * (length + 1));
}

// Depth counts: the layers are a loop around one function.
TEST_P(ModelCost, GrowsWithTokens) {
  StepShape one, two;
  two.tokens = two.sequences = two.rows = 2;
  OpCost first = getCost(one), second = getCost(two);
  EXPECT_EQ(second.flops, 2 * first.flops);
  EXPECT_EQ(second.activationBytes, 2 * first.activationBytes);
  // Other experts, but the same rest.
  EXPECT_GT(second.weightBytes, first.weightBytes);
  EXPECT_LT(second.weightBytes, 2 * first.weightBytes);
}

INSTANTIATE_TEST_SUITE_P(Published, ModelCost,
                         ::testing::Values("deepseek_v2", "deepseek_v2_lite",
                                           "deepseek_v2_5", "deepseek_coder_v2",
                                           "deepseek_coder_v2_lite", "tiny"));

TEST(TotalCost, NeedsConstantBounds) {
  DialectRegistry registry;
  registerAllDialects(registry);
  MLIRContext context(registry);
  auto module = parseSourceString<ModuleOp>(R"(
    func.func @loop(%x: tensor<?x4xf32>, %w: tensor<4xbf16>, %n: index) {
      %c0 = arith.constant 0 : index
      %c1 = arith.constant 1 : index
      scf.for %i = %c0 to %n step %c1 {
        %y = dsv2.rms_norm %x, %w eps 1.0e-6 : tensor<?x4xf32>, tensor<4xbf16>
      }
      return
    }
    func.func @circle() {
      func.call @circle() : () -> ()
      return
    })",
                                            &context);
  ASSERT_TRUE(module);
  for (StringRef name : {"loop", "circle"})
    EXPECT_FALSE(
        getTotalCost(module->lookupSymbol<func::FuncOp>(name), StepShape()))
        << name.str();
}

} // namespace
