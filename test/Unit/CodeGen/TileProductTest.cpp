//===- TileProductTest.cpp - Products of the tile unit --------------------===//
//
// Part of dsv2, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// The tile unit's results are those of vectors, bit by bit. What those are is
// QuantKernelsTest's matter.
//
//===----------------------------------------------------------------------===//

#include "KernelTestUtils.h"
#include "TileEmulation.h"
#include "dsv2/CodeGen/CPU/PackKernels.h"
#include "dsv2/CodeGen/CPU/QuantKernels.h"
#include "dsv2/Support/BlockFormat.h"
#include "gtest/gtest.h"

#include <memory>

using namespace mlir::dsv2;
using namespace mlir::dsv2::cpu;
using namespace mlir::dsv2::cpu::test;

namespace {

constexpr PanelFormat kFormats[] = {PanelFormat::Q8, PanelFormat::Q4};

/// The products of one processor.
struct Products {
  explicit Products(const char *cpu) : module(cpu) {
    mlir::ModuleOp m = module.module();
    const CPUTargetInfo &target = module.target();
    auto add = [&](mlir::func::FuncOp kernel) {
      return kernel.getName().str();
    };
    quantize = add(getOrCreateQuantizeRowsKernel(m, target));
    quantizeHeads = add(getOrCreateQuantizeRowsKernel(m, target, /*rank=*/3));
    for (PanelFormat format : kFormats) {
      int f = format == PanelFormat::Q4;
      PackConfig config;
      config.format = format;
      config.batched = true;
      pack[f] = add(getOrCreatePackPanelsKernel(m, config, target));
      packGated[f] = add(getOrCreatePackGatedPanelsKernel(m, config, target));
      matmul[f] = add(getOrCreateMatmulKernel(m, {format, false}, target));
      residual[f] = add(getOrCreateMatmulKernel(m, {format, true}, target));
      largest[f] =
          add(getOrCreateMatmulKernel(m, {format, false, true}, target));
      gated[f] = add(getOrCreateGatedMatmulKernel(m, {format, false}, target));
      gatedQuantize[f] =
          add(getOrCreateGatedMatmulKernel(m, {format, true}, target));
      heads[f] = add(getOrCreateHeadMatmulKernel(m, {format}, target));
      grouped[f] =
          add(getOrCreateGroupedMatmulKernel(m, {format, false}, target));
      groupedGated[f] =
          add(getOrCreateGroupedGatedMatmulKernel(m, {format, true}, target));
    }
    compiled = module.compile();
  }

  KernelModule module;
  bool compiled;
  std::string quantize, quantizeHeads;
  // Index: 0 for q8, 1 for q4.
  std::string pack[2], packGated[2], matmul[2], residual[2], largest[2],
      gated[2], gatedQuantize[2], heads[2], grouped[2], groupedGated[2];
};

class TileProductTest : public testing::Test {
protected:
  static void SetUpTestSuite() {
    if (!canRun(kTileUnitCPU))
      return;
    vectors = std::make_unique<Products>(kVectorUnitCPU);
    tiles = std::make_unique<Products>(kTileUnitCPU);
  }
  // Compiled code has to go before LLVM's own global state does.
  static void TearDownTestSuite() {
    vectors.reset();
    tiles.reset();
  }

  void SetUp() override {
    if (!tiles)
      GTEST_SKIP() << "needs AVX512-VNNI";
    ASSERT_TRUE(vectors->compiled && tiles->compiled);
    productsBefore = countEmulatedTileProducts();
  }

  // Where the tile unit is there, nothing is counted.
  void TearDown() override {
    if (tiles && !tiles->module.target().missingOnHost().empty())
      EXPECT_GT(countEmulatedTileProducts(), productsBefore);
  }

  KernelModule &module(bool withTiles) {
    return withTiles ? tiles->module : vectors->module;
  }

  static constexpr int64_t width = 32; // of a panel
  static std::unique_ptr<Products> vectors, tiles;
  int64_t productsBefore = 0;
};

std::unique_ptr<Products> TileProductTest::vectors, TileProductTest::tiles;

int64_t panelsOf(int64_t rows, int64_t width) {
  return (rows + width - 1) / width;
}

int64_t blocksOf(int64_t columns) { return kQ8Format.blocks(columns); }

int64_t rowBytes(int64_t columns) {
  return blocksOf(columns) * QuantizedActivation::kBlockBytes;
}

bool sameBits(const Array<float> &a, const Array<float> &b) {
  return a.guardIntact() && b.guardIntact() && a.size() == b.size() &&
         std::memcmp(a.data(), b.data(), a.size() * sizeof(float)) == 0;
}

} // namespace

// Tails of tiles, of pieces, of panels and of chunks.
TEST_F(TileProductTest, MatmulIsThatOfVectors) {
  const int64_t shapes[][3] = {
      // rows, columns of the result, depth
      {7, 1, 1},      {8, width, 32},          {9, width + 1, 100},
      {15, 31, 1024}, {16, 4 * width, 1025},   {17, 5 * width + 3, 96},
      {40, 70, 2080}, {95, 3 * width, 64},     {96, 2 * width, 160},
      {97, 65, 1056}, {200, 9 * width + 7, 33}};
  for (PanelFormat format : kFormats)
    for (auto [tokens, n, columns] : shapes) {
      SCOPED_TRACE(testing::Message()
                   << stringifyPanelFormat(format).str() << " T=" << tokens
                   << " N=" << n << " K=" << columns);
      int f = format == PanelFormat::Q4;
      Array<float> x({tokens, columns}, 3), weight({1, n, columns}),
          r({tokens, n});
      x.random(unsigned(tokens), 2.0f);
      weight.random(unsigned(n), 0.05f);
      r.random(3);
      Array<int8_t> q({tokens, rowBytes(columns)}, 5);
      Array<uint8_t> panels({1, panelsOf(n, width), blocksOf(columns),
                             getBlockFormat(format)->panelBytes(width)});
      vectors->module.run(vectors->quantize, 1, x, q);
      vectors->module.run(vectors->pack[f], 1, weight, panels);
      Array<uint8_t> one({panels.dim(1), panels.dim(2), panels.dim(3)});
      std::memcpy(one.data(), panels.data(), panels.size());
      Array<float> expected({tokens, n}, 1), sum({tokens, n}, 1);
      vectors->module.run(vectors->matmul[f], 1, q, one, expected);
      vectors->module.run(vectors->residual[f], 1, q, one, r, sum);
      for (int64_t parts : {1, 3, 20}) {
        Array<float> y({tokens, n}, 1), z({tokens, n}, 1);
        tiles->module.run(tiles->matmul[f], parts, q, one, y);
        tiles->module.run(tiles->residual[f], parts, q, one, r, z);
        EXPECT_TRUE(sameBits(y, expected)) << parts << " parts";
        EXPECT_TRUE(sameBits(z, sum)) << parts << " parts";
        Array<float> again({tokens, n}, 1), m({tokens, one.dim(0)});
        tiles->module.run(tiles->largest[f], parts, q, one, again, m);
        EXPECT_TRUE(sameBits(again, expected)) << parts << " parts";
        expectLargest(expected, m, width);
      }
    }
}

TEST_F(TileProductTest, NothingToSumIsZero) {
  for (int f : {0, 1}) {
    Array<int8_t> q({9, 0}, 8);
    Array<uint8_t> panels(
        {2, 0, getBlockFormat(kFormats[f])->panelBytes(width)});
    Array<float> y({9, 40});
    y.fill(1.0f);
    tiles->module.run(tiles->matmul[f], 2, q, panels, y);
    for (int64_t i = 0; i < y.size(); ++i)
      EXPECT_EQ(y.data()[i], 0.0f);
  }
  // No product was due.
  productsBefore = -1;
}

TEST_F(TileProductTest, GatedIsThatOfVectors) {
  for (PanelFormat format : kFormats)
    for (int64_t tokens : {7, 30, 100})
      for (int64_t n : {int64_t(20), 5 * width + 1}) {
        int f = format == PanelFormat::Q4;
        const int64_t columns = 1100;
        Array<float> x({tokens, columns}), gate({1, n, columns}),
            up({1, n, columns});
        x.random(1);
        gate.random(2, 0.1f);
        up.random(3, 0.1f);
        Array<int8_t> q({tokens, rowBytes(columns)});
        int64_t bytes = getBlockFormat(format)->panelBytes(width);
        Array<uint8_t> both(
            {1, panelsOf(n, width), 2, blocksOf(columns), bytes});
        Array<uint8_t> panels({both.dim(1), 2, blocksOf(columns), bytes});
        vectors->module.run(vectors->quantize, 1, x, q);
        vectors->module.run(vectors->packGated[f], 1, gate, up, both);
        std::memcpy(panels.data(), both.data(), both.size());
        Array<float> expected({tokens, n}, 2), y({tokens, n}, 2);
        vectors->module.run(vectors->gated[f], 1, q, panels, expected);
        tiles->module.run(tiles->gated[f], 3, q, panels, y);
        EXPECT_TRUE(sameBits(y, expected)) << tokens << " x " << n;
        Array<int8_t> expectedBytes({tokens, rowBytes(n)}),
            units({tokens, rowBytes(n)});
        vectors->module.run(vectors->quantize, 1, expected, expectedBytes);
        tiles->module.run(tiles->gatedQuantize[f], 3, q, panels, units);
        EXPECT_EQ(std::memcmp(expectedBytes.data(), units.data(),
                              expectedBytes.size()),
                  0);
        EXPECT_TRUE(units.guardIntact());
      }
}

TEST_F(TileProductTest, HeadsAreThoseOfVectors) {
  for (PanelFormat format : kFormats) {
    int f = format == PanelFormat::Q4;
    const int64_t tokens = 21, count = 3, columns = 128, n = 2 * width + 5;
    Array<float> x({tokens, count, columns}, 4), weight({count, n, columns});
    x.random(1);
    weight.random(2);
    Array<int8_t> q({tokens, count, rowBytes(columns)}, 8);
    Array<uint8_t> panels({count, panelsOf(n, width), blocksOf(columns),
                           getBlockFormat(format)->panelBytes(width)});
    vectors->module.run(vectors->quantizeHeads, 1, x, q);
    vectors->module.run(vectors->pack[f], 1, weight, panels);
    Array<float> expected({tokens, count, n}), y({tokens, count, n});
    vectors->module.run(vectors->heads[f], 1, q, panels, expected);
    tiles->module.run(tiles->heads[f], 4, q, panels, y);
    EXPECT_TRUE(sameBits(y, expected));
  }
}

// Experts with no, few and many rows; the rows of the first product gathered.
TEST_F(TileProductTest, ExpertsAreThoseOfVectors) {
  const int64_t experts = 5, hidden = 96, inner = 3 * width + 5, tokens = 60;
  const int32_t ends[] = {0, 4, 4, 11, 50, 60};
  Array<int32_t> offsets({experts + 1}), rowToken({tokens});
  for (int64_t e = 0; e <= experts; ++e)
    offsets(e) = ends[e];
  for (int64_t t = 0; t < tokens; ++t)
    rowToken(t) = int32_t((t * 7) % tokens);
  Array<float> x({tokens, hidden}), gate({experts, inner, hidden}),
      up({experts, inner, hidden}), down({experts, hidden, inner});
  x.random(1);
  gate.random(2, 0.3f);
  up.random(3, 0.3f);
  down.random(4, 0.3f);
  for (PanelFormat format : kFormats) {
    int f = format == PanelFormat::Q4;
    int64_t bytes = getBlockFormat(format)->panelBytes(width);
    Array<uint8_t> gatedPanels(
        {experts, panelsOf(inner, width), 2, blocksOf(hidden), bytes});
    Array<uint8_t> panels(
        {experts, panelsOf(hidden, width), blocksOf(inner), bytes});
    vectors->module.run(vectors->packGated[f], 1, gate, up, gatedPanels);
    vectors->module.run(vectors->pack[f], 1, down, panels);
    Array<int8_t> q({tokens, rowBytes(hidden)});
    vectors->module.run(vectors->quantize, 1, x, q);
    std::vector<Array<float>> results;
    for (const Products *on : {vectors.get(), tiles.get()}) {
      KernelModule &m = module(on == tiles.get());
      Array<float> h({tokens, inner}), y({tokens, hidden});
      Array<int8_t> qh({tokens, rowBytes(inner)});
      m.run(on->groupedGated[f], 4, q, gatedPanels, offsets, rowToken, h);
      m.run(on->quantize, 1, h, qh);
      m.run(on->grouped[f], 4, qh, panels, offsets, y);
      results.push_back(std::move(h));
      results.push_back(std::move(y));
    }
    EXPECT_TRUE(sameBits(results[0], results[2]));
    EXPECT_TRUE(sameBits(results[1], results[3]));
  }
}
