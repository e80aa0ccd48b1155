//===- GPUTargetInfoTest.cpp - the table of chips
//--------------------------===//
//
// Part of dsv2, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "dsv2/Support/GPUTargetInfo.h"

#include "gtest/gtest.h"

using namespace mlir::dsv2;

static std::string getError(llvm::StringRef specs) {
  auto targets = GPUTargetInfo::parseList(specs);
  return targets ? "" : llvm::toString(targets.takeError());
}

TEST(GPUTargetInfo, ParsesLists) {
  auto targets = GPUTargetInfo::parseList("sm_80, sm_90a+ptx83");
  ASSERT_TRUE(bool(targets)) << llvm::toString(targets.takeError());
  ASSERT_EQ(targets->size(), 2u);
  const GPUTargetInfo &ampere = (*targets)[0], &hopper = (*targets)[1];
  EXPECT_EQ(ampere.chip, "sm_80");
  EXPECT_EQ(ampere.getFeatures(), "+ptx74");
  EXPECT_FALSE(ampere.hasTMA);
  EXPECT_FALSE(ampere.hasWgmma);
  EXPECT_EQ(ampere.sharedBytesPerBlock, 166912);
  EXPECT_EQ(hopper.chip, "sm_90a");
  EXPECT_EQ(hopper.getFeatures(), "+ptx83");
  EXPECT_EQ(hopper.getPTXVersion(), "8.3");
  EXPECT_TRUE(hopper.hasTMA);
  EXPECT_TRUE(hopper.hasWgmma);
  EXPECT_EQ(hopper.sharedBytesPerBlock, 232448);
}

TEST(GPUTargetInfo, F098_RefusesWhatItDoesNotKnow) {
  EXPECT_EQ(getError("sm_999"),
            "unknown GPU chip 'sm_999': expected one of sm_90a, sm_80");
  EXPECT_EQ(getError("sm_90"),
            "unknown GPU chip 'sm_90': expected one of sm_90a, sm_80");
  EXPECT_EQ(getError("sm_80,"),
            "unknown GPU chip '': expected one of sm_90a, sm_80");
  EXPECT_EQ(getError("sm_80,sm_80+ptx80"), "GPU chip 'sm_80' is given twice");
  EXPECT_EQ(getError("sm_80+ptx70"),
            "GPU chip 'sm_80+ptx70': expected at least ptx74, which has the "
            "chip's instructions");
  for (llvm::StringRef spec :
       {"sm_80+", "sm_80+ptx", "sm_80+ptx79", "sm_80+ptx99", "sm_80+sse",
        "sm_80+ptx80+ptx81", "sm_80+ptx-80"})
    EXPECT_NE(getError(spec).find("expected '+ptxNN' after the name"),
              std::string::npos)
        << spec.str();
}

// A block that fits has to fit with what each block is taken from.
TEST(GPUTargetInfo, IsConsistent) {
  for (const GPUTargetInfo &target : GPUTargetInfo::getAll()) {
    EXPECT_LE(target.sharedBytesPerBlock + target.reservedSharedBytes,
              target.sharedBytesPerMultiprocessor);
    EXPECT_EQ(target.blocksPerCluster > 1, target.hasTMA);
    EXPECT_GT(target.peak.bytesPerSecond, 1e12);
    EXPECT_FALSE(target.peak.source.empty());
    // Boost clocks of the cards.
    EXPECT_GT(target.peak.cyclesPerSecond(), 1.4e9);
    EXPECT_LT(target.peak.cyclesPerSecond(), 2e9);
    // Faster than memory, not faster than the ports.
    EXPECT_GT(target.peak.l2BytesPerSecond, 2 * target.peak.bytesPerSecond);
    EXPECT_LE(target.peak.l2BytesPerCycle(), 64);
    EXPECT_TRUE(bool(GPUTargetInfo::parse(target.chip)));
  }
}
