//===- ReferenceCheckTest.cpp - what counts as a difference ---------------===//
//
// Part of dsv2, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "ReferenceCheck.h"
#include "TestUtils.h"

#include <cmath>
#include <limits>

using namespace dsv2rt;
using namespace dsv2test;

namespace {

enum Site { Norm, Scores, Ids };

class ReferenceCheckTest : public testing::Test {
protected:
  ReferenceCheckTest() {
    manifest.sites = {
        {"norm", "", 2}, {"mlp.gate", "", 2}, {"mlp.gate.ids", "", 2}};
    check.begin();
  }

  /// Records `compiled`, shows `reference` and returns what came of it.
  Status compare(std::vector<float> compiled, std::vector<float> &reference,
                 int64_t rows = 1) {
    int64_t columns = compiled.size() / rows;
    check.record("norm", 4, compiled.data(), rows, columns, columns,
                 DSV2RT_F32);
    check.tap(Norm, 4, reference.data(), rows, columns, columns, DSV2RT_F32);
    return check.finish(7);
  }
  Status compare(std::vector<float> compiled,
                 const std::vector<float> &reference) {
    std::vector<float> copy = reference;
    return compare(std::move(compiled), copy);
  }

  Status compareIds(std::vector<int32_t> compiled,
                    std::vector<int32_t> reference, std::vector<float> scores) {
    auto tap = [&](int32_t site, auto &values, int32_t dtype) {
      int64_t columns = values.size();
      check.tap(site, 1, values.data(), 1, columns, columns, dtype);
    };
    check.record("mlp.gate.ids", 1, compiled.data(), 1, compiled.size(),
                 compiled.size(), DSV2RT_I32);
    tap(Scores, scores, DSV2RT_F32);
    tap(Ids, reference, DSV2RT_I32);
    replacedIds = reference;
    return check.finish(0);
  }

  Manifest manifest;
  ReferenceCheck check{manifest, manifest};
  std::vector<int32_t> replacedIds;
};

const float inf = std::numeric_limits<float>::infinity();

} // namespace

TEST_F(ReferenceCheckTest, AcceptsRoundingRelativeToTheRow) {
  EXPECT_TRUE(compare({100, 0.009f, -3}, {100, 0, -3}).ok());
  EXPECT_FLOAT_EQ(check.report().largestError, 9e-5f);
  EXPECT_EQ(check.report().largestErrorAt, "'norm' of layer 4");
  EXPECT_EQ(check.report().values, 3);
  EXPECT_EQ(check.report().steps, 1);
}

// What a rules file quantised, the name of the format does not tell.
TEST_F(ReferenceCheckTest, IsLessStrictIfAnyWeightIsInBlocks) {
  for (const char *dtype : {"F32", "BF16", "Q8", "Q4"}) {
    Manifest compiled;
    compiled.numerics.weightFormat = "bf16+rules";
    compiled.slots.resize(2);
    compiled.slots[0].dtype = "F32";
    compiled.slots[1].dtype = dtype;
    bool hasBlocks = dtype[0] == 'Q';
    ReferenceCheck other(manifest, compiled);
    for (float error : {9e-5f, 2e-4f, 9e-2f, 2e-1f}) {
      other.begin();
      std::vector<float> found = {1, error}, expected = {1, 0};
      other.record("norm", 4, found.data(), 1, 2, 2, DSV2RT_F32);
      other.tap(Norm, 4, expected.data(), 1, 2, 2, DSV2RT_F32);
      EXPECT_EQ(other.finish(0).ok(), error <= (hasBlocks ? 1e-1f : 1e-4f))
          << dtype << " " << error;
    }
  }
}

// Code for a device rounds to bf16, whatever its weights are.
TEST_F(ReferenceCheckTest, IsForBF16OnADevice) {
  Manifest compiled;
  compiled.device.emplace();
  compiled.slots.resize(1);
  for (const char *dtype : {"F32", "BF16", "Q8"}) {
    compiled.slots[0].dtype = dtype;
    ReferenceCheck other(manifest, compiled);
    for (float error : {1e-4f, 1e-2f, 5e-2f}) {
      other.begin();
      std::vector<float> found = {1, error}, expected = {1, 0};
      other.record("norm", 4, found.data(), 1, 2, 2, DSV2RT_F32);
      other.tap(Norm, 4, expected.data(), 1, 2, 2, DSV2RT_F32);
      EXPECT_EQ(other.finish(0).ok(), error <= 2e-2f) << dtype << " " << error;
    }
  }
}

// bf16 is the upper half of an f32.
TEST_F(ReferenceCheckTest, ComparesBF16WithF32) {
  // 1, -2.5 | 0.15625, 3; the third column is no part of the matrix.
  const uint16_t found[] = {0x3f80, 0xc020, 0x7fc0, 0x3e20, 0x4040, 0x7fc0};
  std::vector<float> expected = {1, -2.5f, 0.15625f, 3};
  check.record("norm", 4, found, 2, 2, 3, DSV2RT_BF16);
  check.tap(Norm, 4, expected.data(), 2, 2, 2, DSV2RT_F32);
  Status status = check.finish(7);
  EXPECT_TRUE(status.ok()) << status.message();
  EXPECT_EQ(check.report().largestError, 0);
  expected[2] = 0.16f;
  check.begin();
  check.record("norm", 4, found, 2, 2, 3, DSV2RT_BF16);
  check.tap(Norm, 4, expected.data(), 2, 2, 2, DSV2RT_F32);
  expectFailure(check.finish(7), StatusCode::Mismatch,
                {"row 1, column 0", "expected 0.16", "found 0.15625"});
  // The reference goes on with what the device had.
  EXPECT_EQ(expected[2], 0.15625f);
}

TEST_F(ReferenceCheckTest, NamesStepSiteLayerAndElement) {
  std::vector<float> reference = {100, 0, -3, 1, 2, 3};
  expectFailure(compare({100, 0, -3, 1, 2.1f, 3}, reference, /*rows=*/2),
                StatusCode::Mismatch,
                {"step 7", "'norm' of layer 4", "row 1, column 1", "expected 2",
                 "found 2.1"});
}

TEST_F(ReferenceCheckTest, ReplacesTheValuesOfTheReference) {
  std::vector<float> reference = {1, 2};
  EXPECT_TRUE(compare({1.00001f, 2}, reference).ok());
  EXPECT_EQ(reference, (std::vector<float>{1.00001f, 2}));
}

TEST_F(ReferenceCheckTest, RefusesNaNOnOneSideOnly) {
  EXPECT_TRUE(compare({NAN, 1}, {inf, 1}).ok());
  EXPECT_FALSE(compare({NAN, 1}, {1, 1}).ok());
  check.begin();
  EXPECT_FALSE(compare({1, 1}, {1, NAN}).ok());
}

TEST_F(ReferenceCheckTest, RefusesRowsThatShouldBeZero) {
  EXPECT_TRUE(compare({0, 0}, {0, 0}).ok());
  EXPECT_FALSE(compare({1e-20f, 0}, {0, 0}).ok());
}

TEST_F(ReferenceCheckTest, RefusesAnotherShape) {
  float compiled[] = {1, 2, 3}, reference[] = {1, 2};
  check.record("norm", 0, compiled, 1, 3, 3, DSV2RT_F32);
  check.tap(Norm, 0, reference, 1, 2, 2, DSV2RT_F32);
  expectFailure(check.finish(0), StatusCode::Mismatch,
                {"expected 1 rows of 2", "found 1 of 3"});
}

TEST_F(ReferenceCheckTest, RefusesAValueTheReferenceNeverShows) {
  float value = 1;
  check.record("norm", 0, &value, 1, 1, 1, DSV2RT_F32);
  expectFailure(check.finish(0), StatusCode::Internal,
                {"no value for 'norm' of layer 0"});
}

TEST_F(ReferenceCheckTest, LetsFusedValuesThrough) {
  float value = 5;
  check.tap(Norm, 0, &value, 1, 1, 1, DSV2RT_F32);
  EXPECT_TRUE(check.finish(0).ok());
  EXPECT_EQ(value, 5);
}

TEST_F(ReferenceCheckTest, AnotherExpertIsADifference) {
  expectFailure(
      compareIds({2, 1}, {2, 0}, {3, 1, 4}), StatusCode::Mismatch,
      {"'mlp.gate.ids' of layer 1", "slot 1", "expected 0", "found 1"});
  check.begin();
  EXPECT_FALSE(compareIds({2, 3}, {2, 0}, {3, 1, 4}).ok());
  check.begin();
  EXPECT_FALSE(compareIds({2, -1}, {2, 0}, {3, 1, 4}).ok());
}

TEST_F(ReferenceCheckTest, ExpertsOfEqualScoreAreATie) {
  EXPECT_TRUE(compareIds({2, 1}, {2, 0}, {3, 3.00001f, 4}).ok());
  EXPECT_EQ(check.report().ties, 1);
  // The reference goes on with the experts that were chosen.
  EXPECT_EQ(replacedIds, (std::vector<int32_t>{2, 1}));
}
