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
  EXPECT_EQ(row.bytes, 576 * 6 / 8);
  EXPECT_EQ(row.elements, row.bytes);
  EXPECT_EQ(row.rope.firstByte, 384);
  EXPECT_EQ(row.latent.firstScale, 384 + 40);
  EXPECT_EQ(row.rope.firstScale, 384 + 40 + 4);
}

TEST(CacheFormatTest, PartsArePaddedToUnits) {
  CacheRow row(CacheFormat::Q6, 130, 20);
  EXPECT_EQ(row.latent.units(), 3);
  EXPECT_EQ(row.latent.blocks(), 2);
  EXPECT_EQ(row.rope.units(), 2);
  EXPECT_EQ(row.rope.blocks(), 2);
  EXPECT_EQ(row.bytes, 3 * 48 + 2 * 10 + 2 + 2);
  EXPECT_EQ(CacheRow(CacheFormat::Q8, 33, 6).bytes, 64 + 32 + 2 * 3);
}

TEST(CacheFormatTest, UnitsOfEveryPartFillBlocksAndBytes) {
  for (CacheFormat format : {CacheFormat::Q8, CacheFormat::Q6})
    for (const CachePart &part :
         {CacheRow(format, 512, 64).latent, CacheRow(format, 512, 64).rope}) {
      EXPECT_EQ(part.block % part.unit, 0);
      // As long as the widest vector.
      EXPECT_EQ(part.unit % 16, 0);
      EXPECT_EQ(part.unit * (part.bits - 4) % 8, 0);
    }
}

} // namespace
