//===- CostTest.cpp - what ops cost ---------------------------------------===//
//
// Part of dsv2, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// The costs of the attention of one layer, for the shapes of DeepSeek-V2 and
// V2-Lite, against the numbers that follow from the paper; and how the costs of
// each op depend on the step. Expected values are exact: all are integers that
// a double holds.
//
//===----------------------------------------------------------------------===//

#include "dsv2/Dialect/DSV2/IR/DSV2.h"
#include "mlir/Dialect/Func/IR/FuncOps.h"
#include "mlir/IR/MLIRContext.h"
#include "mlir/Parser/Parser.h"
#include "llvm/Support/FormatVariadic.h"
#include "gtest/gtest.h"

using namespace mlir;
using namespace mlir::dsv2;

namespace {

StepShape getStep(int64_t tokens, int64_t sequences, int64_t rows,
                  int64_t context) {
  StepShape step;
  step.tokens = tokens;
  step.sequences = sequences;
  step.rows = rows;
  step.context = context;
  return step;
}

class CostTest : public ::testing::Test {
protected:
  CostTest() { context.loadDialect<DSV2Dialect, func::FuncDialect>(); }

  /// Sum of the costs of the ops in a function with the given arguments.
  OpCost getCost(StringRef arguments, StringRef ops, const StepShape &step) {
    std::string text =
        llvm::formatv("func.func @f({0}) {{\n{1}\nreturn\n}\n", arguments, ops)
            .str();
    OwningOpRef<ModuleOp> module = parseSourceString<ModuleOp>(text, &context);
    OpCost cost;
    EXPECT_TRUE(module) << text;
    if (module)
      module->walk([&](CostOpInterface op) { cost += op.getCost(step); });
    return cost;
  }

  /// Cost of one product of f32 activations with a bf16 weight.
  OpCost getLinear(int64_t outputs, int64_t inputs, const StepShape &step) {
    std::string input = llvm::formatv("tensor<?x{0}xf32>", inputs);
    std::string weight = llvm::formatv("tensor<{0}x{1}xbf16>", outputs, inputs);
    return getCost(llvm::formatv("%x: {0}, %w: {1}", input, weight).str(),
                   llvm::formatv("%y = dsv2.linear %x, %w : {0}, {1} -> "
                                 "tensor<?x{2}xf32>",
                                 input, weight, outputs)
                       .str(),
                   step);
  }

  /// Cost of latent attention with the published head sizes and a bf16 cache.
  OpCost getAttention(int64_t heads, StringRef form, const StepShape &step) {
    std::string arguments =
        llvm::formatv("%qn: tensor<?x{0}x128xf32>, %qr: tensor<?x{0}x64xf32>, "
                      "%uk: tensor<{0}x128x512xbf16>, "
                      "%uv: tensor<{0}x128x512xbf16>, %cache: {1}, %l: index, "
                      "%p: tensor<?xi32>, %b: tensor<?x?xi32>",
                      heads, kCache);
    std::string op = llvm::formatv(
        "%o = dsv2.latent_attention %qn, %qr, %uk, %uv, %cache[%l], %p, %p, "
        "%p, %b form {2} scale 0.1 : tensor<?x{0}x128xf32>, "
        "tensor<?x{0}x64xf32>, tensor<{0}x128x512xbf16>, "
        "tensor<{0}x128x512xbf16>, {1}, tensor<?xi32>, tensor<?xi32>, "
        "tensor<?xi32>, tensor<?x?xi32> -> tensor<?x{0}x128xf32>",
        heads, kCache, form);
    return getCost(arguments, op, step);
  }

  static constexpr llvm::StringLiteral kCache =
      "!dsv2.latent_cache<latent = 512, rope = 64, format = bf16, page = 64>";

  MLIRContext context;
};

const StepShape kOneToken = getStep(1, 1, 1, 1);

//===----------------------------------------------------------------------===//
// The published models, per layer
//===----------------------------------------------------------------------===//

TEST_F(CostTest, ProjectionsOfV2) {
  double query = getLinear(1536, 5120, kOneToken).flops +
                 getLinear(24576, 1536, kOneToken).flops;
  EXPECT_EQ(query, 91226112);
  EXPECT_EQ(getLinear(576, 5120, kOneToken).flops, 5898240);
  EXPECT_EQ(getLinear(32768, 512, kOneToken).flops, 33554432);
  EXPECT_EQ(getLinear(5120, 16384, kOneToken).flops, 167772160);
}

TEST_F(CostTest, ProjectionsOfV2Lite) {
  EXPECT_EQ(getLinear(3072, 2048, kOneToken).flops, 12582912);
  EXPECT_EQ(getLinear(576, 2048, kOneToken).flops, 2359296);
  EXPECT_EQ(getLinear(4096, 512, kOneToken).flops, 4194304);
  EXPECT_EQ(getLinear(2048, 2048, kOneToken).flops, 8388608);
}

TEST_F(CostTest, AbsorbedAttention) {
  struct {
    int64_t heads;
    double perToken, perPair;
  } cases[] = {{128, 33554432, 278528}, {16, 4194304, 34816}};
  for (auto [numHeads, perToken, perPair] : cases) {
    auto flops = [this, heads = numHeads](const StepShape &step) {
      return getAttention(heads, "absorbed", step).flops;
    };
    EXPECT_EQ(flops(getStep(1, 1, 1, 0)), perToken);
    EXPECT_EQ(flops(getStep(1, 1, 1, 1)), perToken + perPair);
    EXPECT_EQ(flops(getStep(1, 1, 1, 4096)), perToken + 4096 * perPair);
    // Of the number of sequences it does not depend.
    EXPECT_EQ(flops(getStep(8, 8, 8, 100)), 8 * (perToken + 100 * perPair));
    EXPECT_EQ(flops(getStep(8, 2, 2, 100)), 8 * (perToken + 100 * perPair));
  }
}

TEST_F(CostTest, ExpandedAttention) {
  struct {
    int64_t heads;
    double perPosition, perPair;
  } cases[] = {{128, 33554432, 81920}, {16, 4194304, 10240}};
  for (auto [numHeads, perPosition, perPair] : cases) {
    auto flops = [this, heads = numHeads](const StepShape &step) {
      return getAttention(heads, "expanded", step).flops;
    };
    EXPECT_EQ(flops(getStep(1, 1, 1, 4096)), 4096 * (perPosition + perPair));
    // Each sequence's positions are expanded once for all of its tokens.
    EXPECT_EQ(flops(getStep(10, 1, 1, 100)),
              100 * perPosition + 1000 * perPair);
    EXPECT_EQ(flops(getStep(10, 2, 2, 100)),
              200 * perPosition + 1000 * perPair);
  }
  // What the two forms cost a decoded token of V2 at 4096 positions: 137.8 and
  // 1.17 GFLOP.
  EXPECT_NEAR(getAttention(128, "expanded", getStep(1, 1, 1, 4096)).flops,
              137.774e9, 1e6);
  EXPECT_NEAR(getAttention(128, "absorbed", getStep(1, 1, 1, 4096)).flops,
              1.174e9, 1e6);
}

TEST_F(CostTest, FormsBreakEvenAt171Queries) {
  // Expanding the cache pays from 170.7 queries a sequence on, for both models.
  for (int64_t heads : {128, 16})
    for (int64_t queries : {170, 171}) {
      // The new tokens' own projections are part of both forms.
      StepShape step = getStep(queries, 1, 1, 100000);
      double absorbed = getAttention(heads, "absorbed", step).flops -
                        2.0 * queries * heads * 512 * 256;
      double expanded = getAttention(heads, "expanded", step).flops;
      EXPECT_EQ(expanded < absorbed, queries == 171) << heads;
    }
}

TEST_F(CostTest, CacheBytes) {
  // 576 elements of two bytes a position, read by attention once a sequence and
  // written by the append once a token.
  for (StringRef form : {"absorbed", "expanded"}) {
    EXPECT_EQ(getAttention(128, form, getStep(1, 1, 1, 1)).cacheBytes, 1152);
    EXPECT_EQ(getAttention(16, form, getStep(7, 1, 1, 100)).cacheBytes,
              100 * 1152);
    EXPECT_EQ(getAttention(16, form, getStep(7, 3, 3, 100)).cacheBytes,
              300 * 1152);
  }
  std::string arguments =
      llvm::formatv("%c: tensor<?x512xf32>, %k: tensor<?x64xf32>, %cache: {0}, "
                    "%l: index, %p: tensor<?xi32>, %b: tensor<?x?xi32>",
                    kCache);
  std::string op = llvm::formatv(
      "dsv2.latent_append %c, %k, %cache[%l], %p, %p, %b : tensor<?x512xf32>, "
      "tensor<?x64xf32>, {0}, tensor<?xi32>, tensor<?xi32>, tensor<?x?xi32>",
      kCache);
  OpCost append = getCost(arguments, op, getStep(5, 2, 2, 1000));
  EXPECT_EQ(append.cacheBytes, 5 * 1152);
  EXPECT_EQ(append.activationBytes, 5 * 576 * 4);
  EXPECT_EQ(append.flops, 0);
}

TEST_F(CostTest, AttentionReadsItsWeightsOnce) {
  for (StringRef form : {"absorbed", "expanded"}) {
    OpCost cost = getAttention(16, form, getStep(9, 3, 3, 100));
    EXPECT_EQ(cost.weightBytes, 2.0 * 16 * 128 * 512 * 2);
    EXPECT_EQ(cost.activationBytes, 9.0 * 16 * (128 + 64 + 128) * 4);
  }
}

//===----------------------------------------------------------------------===//
// The other ops
//===----------------------------------------------------------------------===//

TEST_F(CostTest, Linear) {
  OpCost cost = getLinear(8, 64, getStep(3, 1, 1, 1));
  EXPECT_EQ(cost.flops, 2 * 3 * 8 * 64);
  EXPECT_EQ(cost.weightBytes, 8 * 64 * 2);
  EXPECT_EQ(cost.activationBytes, 3 * (64 + 8) * 4);
  EXPECT_EQ(cost.cacheBytes, 0);
}

TEST_F(CostTest, PackingDoesNotChangeTheCost) {
  OpCost cost =
      getCost("%x: tensor<?x64xf32>, "
              "%w: tensor<8x64xbf16, #dsv2.packed<panels, 32>>",
              "%y = dsv2.linear %x, %w : tensor<?x64xf32>, "
              "tensor<8x64xbf16, #dsv2.packed<panels, 32>> -> tensor<?x8xf32>",
              getStep(3, 1, 1, 1));
  EXPECT_EQ(cost.flops, 2 * 3 * 8 * 64);
  EXPECT_EQ(cost.weightBytes, 8 * 64 * 2);
}

TEST_F(CostTest, EmbedReadsRowsOnly) {
  OpCost cost = getCost("%t: tensor<?xi32>, %w: tensor<102400x64xbf16>",
                        "%y = dsv2.embed %t, %w : tensor<?xi32>, "
                        "tensor<102400x64xbf16> -> tensor<?x64xf32>",
                        getStep(3, 1, 1, 1));
  EXPECT_EQ(cost.flops, 0);
  EXPECT_EQ(cost.weightBytes, 3 * 64 * 2);
  EXPECT_EQ(cost.activationBytes, 3 * 64 * 4);
}

TEST_F(CostTest, LogitsCountRows) {
  OpCost cost =
      getCost("%h: tensor<?x64xf32>, %r: tensor<?xi32>, %w: tensor<256x64xf32>",
              "%y = dsv2.logits %h, %r, %w : tensor<?x64xf32>, tensor<?xi32>, "
              "tensor<256x64xf32> -> tensor<?x256xf32>",
              getStep(100, 2, 2, 1));
  EXPECT_EQ(cost.flops, 2 * 2 * 256 * 64);
  EXPECT_EQ(cost.weightBytes, 256 * 64 * 4);
  EXPECT_EQ(cost.activationBytes, 2 * (64 + 256) * 4);
}

TEST_F(CostTest, GatedFFN) {
  // With two matrices or one for gate and up.
  OpCost apart =
      getCost("%x: tensor<?x64xf32>, %g: tensor<128x64xbf16>, "
              "%d: tensor<64x128xbf16>",
              "%y = dsv2.gated_ffn %x, %g, %d up %g : tensor<?x64xf32>, "
              "tensor<128x64xbf16>, tensor<64x128xbf16>, tensor<128x64xbf16>",
              getStep(5, 1, 1, 1));
  OpCost together =
      getCost("%x: tensor<?x64xf32>, %g: tensor<2x128x64xbf16>, "
              "%d: tensor<64x128xbf16>",
              "%y = dsv2.gated_ffn %x, %g, %d : tensor<?x64xf32>, "
              "tensor<2x128x64xbf16>, tensor<64x128xbf16>",
              getStep(5, 1, 1, 1));
  for (const OpCost &cost : {apart, together}) {
    EXPECT_EQ(cost.flops, 5 * 6 * 128 * 64);
    EXPECT_EQ(cost.weightBytes, 3 * 128 * 64 * 2);
    EXPECT_EQ(cost.activationBytes, 5 * 2 * 64 * 4);
  }
}

TEST_F(CostTest, ExpertsOfV2Lite) {
  // The routed part of one layer: 64 experts of width 1408, 6 a token.
  StringRef arguments =
      "%x: tensor<?x2048xf32>, %router: tensor<64x2048xbf16>, "
      "%g: tensor<64x1408x2048xbf16>, %d: tensor<64x2048x1408xbf16>";
  StringRef route =
      "%ids, %w = dsv2.route %x, %router top_k 6 groups 1 of 1 scale 1.0 : "
      "tensor<?x2048xf32>, tensor<64x2048xbf16> -> tensor<?x6xi32>, "
      "tensor<?x6xf32>\n";
  StringRef dispatch =
      "%e, %offsets, %rows = dsv2.dispatch %x, %ids : tensor<?x2048xf32>, "
      "tensor<?x6xi32> -> tensor<?x2048xf32>, tensor<65xi32>, "
      "tensor<?x6xi32>\n";
  StringRef experts =
      "%y = dsv2.expert_ffn %e, %offsets, %g, %d up %g : tensor<?x2048xf32>, "
      "tensor<65xi32>, tensor<64x1408x2048xbf16>, tensor<64x2048x1408xbf16>, "
      "tensor<64x1408x2048xbf16>\n";
  StringRef combine =
      "%z = dsv2.combine %y, %rows, %w : tensor<?x2048xf32>, tensor<?x6xi32>, "
      "tensor<?x6xf32> -> tensor<?x2048xf32>\n";
  const double expert = 8650752;

  auto upTo = [&](int count, const StepShape &step) {
    StringRef ops[] = {route, dispatch, experts, combine};
    std::string text;
    for (StringRef op : ArrayRef<StringRef>(ops).take_front(count))
      text += op;
    return getCost(arguments, text, step);
  };
  StepShape one = kOneToken;
  double routing = 2.0 * 64 * 2048;
  EXPECT_EQ(upTo(1, one).flops, routing);
  EXPECT_EQ(upTo(1, one).weightBytes, 64.0 * 2048 * 2);
  EXPECT_EQ(upTo(2, one).flops, routing);
  EXPECT_EQ(upTo(3, one).flops, routing + 6 * 2 * expert);
  EXPECT_EQ(upTo(4, one).flops, routing + 6 * 2 * expert + 2 * 6 * 2048);
  // At most each expert once, however many tokens choose it.
  for (auto [tokens, read] : {std::pair(1, 6), {10, 60}, {11, 64}, {500, 64}}) {
    StepShape step = getStep(tokens, 1, 1, 1);
    EXPECT_EQ(upTo(3, step).weightBytes - upTo(1, step).weightBytes,
              read * expert * 2)
        << tokens;
  }
}

TEST_F(CostTest, ProjectionsAddUpToTheParameters) {
  // Two operations for each parameter of the attention of one V2-Lite layer.
  double attention = getLinear(3072, 2048, kOneToken).flops +
                     getLinear(576, 2048, kOneToken).flops +
                     getAttention(16, "absorbed", getStep(1, 1, 1, 0)).flops +
                     getLinear(2048, 2048, kOneToken).flops;
  EXPECT_EQ(attention, 2 * 13762560);
}

} // namespace
