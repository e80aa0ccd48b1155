//===- RopeAttrTest.cpp - numbers of the rotary embedding -----------------===//
//
// Part of dsv2, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "dsv2/Dialect/DSV2/IR/DSV2.h"
#include "mlir/IR/MLIRContext.h"
#include "gtest/gtest.h"

#include <cmath>

using namespace mlir;
using namespace mlir::dsv2;

namespace {

class RopeAttrTest : public ::testing::Test {
protected:
  RopeAttrTest() { context.loadDialect<DSV2Dialect>(); }

  /// The published models' embedding, which differ in the magnitudes only.
  RopeAttr getPublished(double mscale, double mscaleAllDim) {
    auto yarn = YarnAttr::get(&context, /*factor=*/40.0,
                              /*original_max=*/4096, /*beta_fast=*/32.0,
                              /*beta_slow=*/1.0, mscale, mscaleAllDim);
    return RopeAttr::get(&context, /*dim=*/64, /*theta=*/10000.0, yarn);
  }

  MLIRContext context;
};

TEST_F(RopeAttrTest, FrequenciesWithoutYarn) {
  auto rope = RopeAttr::get(&context, 64, 10000.0, YarnAttr());
  SmallVector<float> frequencies = rope.getInverseFrequencies();
  ASSERT_EQ(frequencies.size(), 32u);
  for (auto [i, frequency] : llvm::enumerate(frequencies)) {
    double expected = std::pow(10000.0, -2.0 * double(i) / 64.0);
    EXPECT_NEAR(frequency, expected, 2e-7 * expected) << i;
  }
  EXPECT_EQ(rope.getCosSinMultiplier(), 1.0);
  EXPECT_DOUBLE_EQ(rope.getSoftmaxScale(192), 1 / std::sqrt(192.0));
}

TEST_F(RopeAttrTest, FrequenciesWithYarn) {
  // Pairs up to 10 keep their frequency, those from 23 on have a fortieth of
  // it, and between the two they blend in steps of 1/13.
  const double expected[32] = {
      1.000000000e+00, 7.498942093e-01, 5.623413252e-01, 4.216965034e-01,
      3.162277660e-01, 2.371373706e-01, 1.778279410e-01, 1.333521432e-01,
      1.000000000e-01, 7.498942093e-02, 5.623413252e-02, 3.900692657e-02,
      2.687936011e-02, 1.837814622e-02, 1.244795587e-02, 8.334508951e-03,
      5.500000000e-03, 3.561997494e-03, 2.249365301e-03, 1.370513636e-03,
      7.905694150e-04, 4.149903985e-04, 1.778279410e-04, 3.333803580e-05,
      2.500000000e-05, 1.874735523e-05, 1.405853313e-05, 1.054241259e-05,
      7.905694150e-06, 5.928434264e-06, 4.445698525e-06, 3.333803580e-06};
  SmallVector<float> frequencies =
      getPublished(0.707, 0.707).getInverseFrequencies();
  ASSERT_EQ(frequencies.size(), 32u);
  for (auto [i, frequency] : llvm::enumerate(frequencies))
    EXPECT_NEAR(frequency, expected[i], 1e-6 * expected[i]) << i;
}

TEST_F(RopeAttrTest, Magnitudes) {
  // DeepSeek-V2 and V2-Lite.
  RopeAttr v2 = getPublished(0.707, 0.707);
  EXPECT_EQ(v2.getCosSinMultiplier(), 1.0);
  EXPECT_NEAR(v2.getSoftmaxScale(192), 0.114721387, 5e-10);
  // DeepSeek-V2.5.
  RopeAttr v25 = getPublished(1.0, 1.0);
  EXPECT_EQ(v25.getCosSinMultiplier(), 1.0);
  EXPECT_NEAR(v25.getSoftmaxScale(192), 0.135233779, 5e-10);
  // The multiplier is the ratio of the two magnitudes.
  RopeAttr both = getPublished(1.0, 0.707);
  EXPECT_NEAR(both.getCosSinMultiplier(), 1.368887945 / 1.260803777, 1e-9);
  EXPECT_NEAR(both.getSoftmaxScale(192), 0.114721387, 5e-10);
  // Without `mscale_all_dim` the softmax scale stays as it is.
  RopeAttr none = getPublished(0.707, 0.0);
  EXPECT_NEAR(none.getCosSinMultiplier(), 1.260803777, 1e-9);
  EXPECT_DOUBLE_EQ(none.getSoftmaxScale(192), 1 / std::sqrt(192.0));
}

TEST_F(RopeAttrTest, FactorOfOneScalesNothing) {
  auto yarn = YarnAttr::get(&context, 1.0, 4096, 32.0, 1.0, 1.0, 1.0);
  auto scaled = RopeAttr::get(&context, 64, 10000.0, yarn);
  EXPECT_EQ(scaled.getCosSinMultiplier(), 1.0);
  EXPECT_DOUBLE_EQ(scaled.getSoftmaxScale(192), 1 / std::sqrt(192.0));
}

TEST_F(RopeAttrTest, EqualNumbersAreOneAttribute) {
  EXPECT_EQ(getPublished(0.707, 0.707), getPublished(0.707, 0.707));
  // The next double is another attribute: nothing is lost in storage.
  EXPECT_NE(getPublished(0.707, 0.707),
            getPublished(std::nextafter(0.707, 1.0), 0.707));
}

} // namespace
