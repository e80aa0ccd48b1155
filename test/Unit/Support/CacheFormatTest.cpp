//===- CacheFormatTest.cpp - sizes of rows of the latent cache ------------===//
//
// Part of dsv2, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "dsv2/Support/CacheFormat.h"
#include "gtest/gtest.h"

using namespace mlir::dsv2;

namespace {

TEST(CacheFormatTest, NamesAndBack) {
  EXPECT_EQ(cacheFormats().size(), 4u);
  for (CacheFormat format : cacheFormats()) {
    llvm::StringRef name = stringifyCacheFormat(format);
    EXPECT_EQ(symbolizeCacheFormat(name), format);
    EXPECT_TRUE(kCacheFormatNames.contains(name)) << name.str();
  }
  EXPECT_EQ(symbolizeCacheFormat("Q8"), std::nullopt);
  EXPECT_EQ(symbolizeCacheFormat(""), std::nullopt);
}

TEST(CacheFormatTest, RowsOfThePublishedShapes) {
  EXPECT_EQ(CacheRow(CacheFormat::F32, 512, 64).bytes, 2304);
  EXPECT_EQ(CacheRow(CacheFormat::BF16, 512, 64).bytes, 1152);
  EXPECT_EQ(CacheRow(CacheFormat::Q8, 512, 64).bytes, 576 + 2 * 18);
  CacheRow row(CacheFormat::Q6, 512, 64);
  // At most 6 bits an element, scales included.
  EXPECT_EQ(row.bytes, 320 + 64 + 32 + 4);
  EXPECT_LE(row.bytes * 8, 576 * 6);
  EXPECT_EQ(row.elements, row.bytes);
  EXPECT_EQ(row.rope.firstByte, 320);
  EXPECT_EQ(row.latent.firstScale, 320 + 64);
  EXPECT_EQ(row.rope.firstScale, 320 + 64 + 32);
}

TEST(CacheFormatTest, PartsArePaddedToUnits) {
  CacheRow row(CacheFormat::Q6, 130, 20);
  EXPECT_EQ(row.latent.units(), 5);
  EXPECT_EQ(row.latent.blocks(), 10);
  EXPECT_EQ(row.rope.units(), 1);
  EXPECT_EQ(row.rope.blocks(), 1);
  EXPECT_EQ(row.bytes, 5 * 20 + 32 + 10 + 2);
  EXPECT_EQ(CacheRow(CacheFormat::Q8, 33, 6).bytes, 64 + 32 + 2 * 3);
}

} // namespace
