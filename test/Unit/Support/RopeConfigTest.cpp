//===- RopeConfigTest.cpp - Rotary embedding and YaRN constants -----------===//
//
// Part of dsv2, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "dsv2/Support/RopeConfig.h"
#include "gtest/gtest.h"

#include <cmath>
#include <cstring>

using namespace dsv2;

/// The rotary embedding of DeepSeek-V2 with the given YaRN weights.
static RopeConfig publishedRope(double mscale = 0.707,
                                double mscaleAllDim = 0.707) {
  RopeConfig rope;
  rope.theta = 10000.0;
  rope.dim = 64;
  rope.yarn = YarnConfig{40.0, 4096, 32.0, 1.0, mscale, mscaleAllDim};
  return rope;
}

static std::vector<uint32_t> bitsOf(const std::vector<float> &values) {
  std::vector<uint32_t> bits(values.size());
  std::memcpy(bits.data(), values.data(), 4 * values.size());
  return bits;
}

TEST(RopeConfigTest, CorrectionRange) {
  auto range = publishedRope().correctionRange();
  ASSERT_TRUE(range);
  EXPECT_NEAR(range->exactLow, 10.472241, 1e-6);
  EXPECT_NEAR(range->exactHigh, 22.513441, 1e-6);
  EXPECT_EQ(range->low, 10);
  EXPECT_EQ(range->high, 23);

  RopeConfig plain = publishedRope();
  plain.yarn.reset();
  EXPECT_FALSE(plain.correctionRange());

  // Both bounds: a short original length, and one so long that no pair slows.
  RopeConfig small = publishedRope();
  small.dim = 8;
  small.yarn->originalMaxPositionEmbeddings = 64;
  EXPECT_EQ(small.correctionRange()->low, 0);
  EXPECT_EQ(small.correctionRange()->high, 2);
  RopeConfig longer = publishedRope();
  longer.theta = 2.0;
  EXPECT_EQ(longer.correctionRange()->high, 63);
}

TEST(RopeConfigTest, FrequenciesEqualTheFormula) {
  // Real arithmetic; only rounding separates the two.
  std::vector<float> frequencies = publishedRope().inverseFrequencies();
  ASSERT_EQ(frequencies.size(), 32u);
  for (int i = 0; i < 32; ++i) {
    double theta = std::pow(10000.0, -2.0 * i / 64.0);
    double ramp = std::min(std::max((i - 10.0) / 13.0, 0.0), 1.0);
    double expected = theta * (1.0 - ramp) + theta / 40.0 * ramp;
    EXPECT_NEAR(frequencies[i], expected, 4e-7 * expected) << i;
  }
}

TEST(RopeConfigTest, FrequenciesEqualPyTorchBitForBit) {
  // Computed with PyTorch 2 on a CPU by the formulas of the published reader.
  std::vector<uint32_t> yarn = {
      0x3f800000, 0x3f3ff911, 0x3f0ff59a, 0x3ed7e89b, 0x3ea1e89b, 0x3e72d423,
      0x3e361887, 0x3e088d77, 0x3dcccccd, 0x3d99940d, 0x3d6655c2, 0x3d1fc5ba,
      0x3cdc321b, 0x3c968dc3, 0x3c4bf283, 0x3c088d77, 0x3bb43959, 0x3b697066,
      0x3b136a16, 0x3ab3a2cd, 0x3a4f3e37, 0x39d99312, 0x393a7753, 0x380bd471,
      0x37d1b717, 0x379d43a3, 0x376bdcf0, 0x3730df51, 0x3704a2b3, 0x36c6ecdd,
      0x36952c42, 0x365fba4f};
  EXPECT_EQ(bitsOf(publishedRope().inverseFrequencies()), yarn);

  std::vector<uint32_t> plain = {
      0x3f800000, 0x3f3ff911, 0x3f0ff59a, 0x3ed7e89b, 0x3ea1e89b, 0x3e72d423,
      0x3e361887, 0x3e088d77, 0x3dcccccd, 0x3d99940d, 0x3d6655c2, 0x3d2cba15,
      0x3d0186e3, 0x3cc2434f, 0x3c91ad39, 0x3c5a7bf2, 0x3c23d70a, 0x3bf5b9b0,
      0x3bb8449c, 0x3b8a2e77, 0x3b4f3e38, 0x3b1b690d, 0x3ae91528, 0x3aaec98e,
      0x3a83126f, 0x3a44948c, 0x3a136a16, 0x39dd1725, 0x39a5cb60, 0x3978a815,
      0x393a7753, 0x390bd472};
  RopeConfig rope = publishedRope();
  rope.yarn.reset();
  EXPECT_EQ(bitsOf(rope.inverseFrequencies()), plain);

  RopeConfig small = publishedRope();
  small.dim = 8;
  small.yarn->originalMaxPositionEmbeddings = 64;
  std::vector<uint32_t> expected = {0x3f800000, 0x3d51eb85, 0x3983126f,
                                    0x37d1b717};
  EXPECT_EQ(bitsOf(small.inverseFrequencies()), expected);
}

TEST(RopeConfigTest, EmptyBlendRangeIsAStep) {
  // Equal bounds would divide by zero.
  RopeConfig rope = publishedRope();
  rope.yarn->originalMaxPositionEmbeddings = 6;
  auto range = rope.correctionRange();
  ASSERT_EQ(range->low, range->high);
  for (float frequency : rope.inverseFrequencies())
    EXPECT_TRUE(std::isfinite(frequency));
  std::vector<float> frequencies = rope.inverseFrequencies();
  EXPECT_EQ(frequencies[0], 1.0f);
  EXPECT_NEAR(frequencies[1], 0.7498942 / 40.0, 1e-8);
}

TEST(RopeConfigTest, F040_multiplierAndScale) {
  constexpr double unscaled = 0.072168783648703221; // 192^-0.5
  struct {
    double factor, mscale, mscaleAllDim, multiplier, scale;
  } cases[] = {
      {40.0, 0.707, 0.707, 1.0, 0.114721387},
      {40.0, 1.0, 1.0, 1.0, 0.135233779},
      {40.0, 1.0, 0.0, 1.368887945, unscaled},
      {1.0, 0.707, 0.707, 1.0, unscaled},
      {40.0, 0.0, 1.0, 1.0 / 1.368887945, 0.135233779},
  };
  for (const auto &entry : cases) {
    RopeConfig rope = publishedRope(entry.mscale, entry.mscaleAllDim);
    rope.yarn->factor = entry.factor;
    EXPECT_NEAR(rope.cosSinMultiplier(), entry.multiplier, 1e-9);
    EXPECT_NEAR(rope.softmaxScale(192), entry.scale, 5e-10);
  }
  // No stretching, no scaling: not even below 1.
  EXPECT_EQ(RopeConfig::yarnMscale(0.5, 1.0), 1.0);
  // Exactly, not nearly.
  EXPECT_EQ(publishedRope().cosSinMultiplier(), 1.0);
  EXPECT_NEAR(publishedRope().attentionMscale(), 1.260803777, 5e-10);
  RopeConfig plain = publishedRope();
  plain.yarn.reset();
  EXPECT_EQ(plain.cosSinMultiplier(), 1.0);
  EXPECT_EQ(plain.softmaxScale(192), std::pow(192.0, -0.5));
}
