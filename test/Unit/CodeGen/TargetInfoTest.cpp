//===- TargetInfoTest.cpp - Processor names and features ------------------===//
//
// Part of dsv2, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "dsv2/Support/TargetInfo.h"

#include "llvm/ADT/STLExtras.h"
#include "gtest/gtest.h"

using namespace mlir::dsv2;

static CPUTargetInfo parsed(llvm::StringRef spec) {
  llvm::Expected<CPUTargetInfo> info = CPUTargetInfo::parse(spec);
  if (info)
    return *info;
  ADD_FAILURE() << llvm::toString(info.takeError());
  return {};
}

static std::string errorOf(llvm::StringRef spec) {
  llvm::Expected<CPUTargetInfo> info = CPUTargetInfo::parse(spec);
  if (!info)
    return llvm::toString(info.takeError());
  ADD_FAILURE() << spec.str() << " was accepted";
  return "";
}

TEST(TargetInfo, LevelsOfTheArchitecture) {
  CPUTargetInfo v1 = parsed("x86-64"), v2 = parsed("x86-64-v2"),
                v3 = parsed("x86-64-v3"), v4 = parsed("x86-64-v4");
  EXPECT_EQ(v1.vectorBits, 128u);
  EXPECT_EQ(v2.vectorBits, 128u);
  EXPECT_EQ(v3.vectorBits, 256u);
  EXPECT_EQ(v4.vectorBits, 512u);
  EXPECT_EQ(v2.vectorRegisters, 16u);
  EXPECT_EQ(v3.vectorRegisters, 16u);
  EXPECT_EQ(v4.vectorRegisters, 32u);
  EXPECT_FALSE(v2.hasFMA);
  EXPECT_TRUE(v3.hasFMA);
  EXPECT_FALSE(v2.hasF16C);
  EXPECT_TRUE(v3.hasF16C);
  EXPECT_EQ(v2.panelWidth(), 8);
  EXPECT_EQ(v3.panelWidth(), 16);
  EXPECT_EQ(v4.panelWidth(), 32);
  EXPECT_TRUE(v2.hasFeature("sse4.2"));
  EXPECT_FALSE(v2.hasFeature("avx"));
  EXPECT_EQ(v3.cpu, "x86-64-v3");
}

TEST(TargetInfo, ExtensionsOfNamedProcessors) {
  CPUTargetInfo zen5 = parsed("znver5");
  EXPECT_TRUE(zen5.hasAVX512BF16);
  EXPECT_TRUE(zen5.hasVNNI);
  EXPECT_FALSE(zen5.hasAMXBF16);
  CPUTargetInfo alderlake = parsed("alderlake");
  EXPECT_EQ(alderlake.vectorBits, 256u);
  EXPECT_TRUE(alderlake.hasVNNI);
  EXPECT_FALSE(parsed("x86-64-v4").hasAVX512BF16);
}

TEST(TargetInfo, FeaturesImplyAndTakeAlong) {
  CPUTargetInfo narrowed = parsed("x86-64-v4,-avx512f");
  EXPECT_EQ(narrowed.vectorBits, 256u);
  EXPECT_FALSE(narrowed.hasFeature("avx512bw"));
  EXPECT_TRUE(llvm::is_contained(narrowed.disabledFeatures, "avx512f"));
  EXPECT_NE(narrowed.featureString().find("-avx512f"), std::string::npos);

  CPUTargetInfo widened = parsed("x86-64-v2,+avx2,+fma");
  EXPECT_EQ(widened.vectorBits, 256u);
  EXPECT_TRUE(widened.hasFeature("avx"));
  EXPECT_TRUE(widened.hasFMA);
  EXPECT_FALSE(widened.hasF16C);
  EXPECT_NE(widened.featureString().find("+avx2"), std::string::npos);

  // The last mention wins.
  EXPECT_TRUE(parsed("x86-64-v3,-fma,+fma").hasFMA);
  EXPECT_FALSE(parsed("x86-64-v3,+fma,-fma").hasFMA);
  // Part of AVX-512 does not make 512-bit kernels possible.
  EXPECT_EQ(parsed("x86-64-v3,+avx512f").vectorBits, 256u);
}

// Virtual machines hide these.
TEST(TargetInfo, WhatNoCodeUsesIsNotDemanded) {
  for (llvm::StringRef cpu : {"znver5", "sapphirerapids", "alderlake"})
    for (llvm::StringRef feature :
         {"64bit", "enqcmd", "pku", "prefetchi", "rdpru", "sgx", "uintr"})
      EXPECT_FALSE(parsed(cpu).hasFeature(feature))
          << cpu.str() << ": " << feature.str();
}

// Vectors are faster; and what is not used is not demanded.
TEST(TargetInfo, TilesAreForThoseWhoAskForThem) {
  CPUTargetInfo plain = parsed("sapphirerapids");
  EXPECT_FALSE(plain.hasAMXInt8 || plain.hasAMXBF16);
  EXPECT_FALSE(plain.hasFeature("amx-int8") || plain.hasFeature("amx-tile"));
  EXPECT_TRUE(plain.hasVNNI);
  CPUTargetInfo asked = parsed("sapphirerapids,+amx-int8");
  EXPECT_TRUE(asked.hasAMXInt8 && asked.hasFeature("amx-tile"));
  EXPECT_FALSE(parsed("sapphirerapids,-amx-int8").hasAMXInt8);
  EXPECT_TRUE(parsed("x86-64-v4,+avx512vnni,+amx-int8").hasAMXInt8);
}

TEST(TargetInfo, TheHostCanRunItself) {
  CPUTargetInfo host = parsed("native");
  EXPECT_TRUE(host.missingOnHost().empty());
  EXPECT_FALSE(host.features.empty());
  EXPECT_TRUE(llvm::is_sorted(host.features));
  llvm::Expected<CPUTargetInfo> again = CPUTargetInfo::host();
  ASSERT_TRUE(static_cast<bool>(again));
  EXPECT_EQ(again->featureString(), host.featureString());
}

TEST(TargetInfo, WhatTheHostLacksIsNamed) {
  CPUTargetInfo info = parsed("x86-64-v2");
  info.features.push_back("no-such-feature");
  EXPECT_EQ(info.missingOnHost(), std::vector<std::string>{"no-such-feature"});
}

TEST(TargetInfo, ErrorsNameTheValidChoices) {
  std::string error = errorOf("x86-64-v9");
  EXPECT_NE(error.find("unknown target CPU 'x86-64-v9'"), std::string::npos);
  EXPECT_NE(error.find("native"), std::string::npos);
  EXPECT_NE(error.find("x86-64-v4"), std::string::npos);
  // A processor without 64-bit mode is no choice either.
  EXPECT_NE(errorOf("i686").find("unknown target CPU"), std::string::npos);
  EXPECT_NE(errorOf("").find("unknown target CPU ''"), std::string::npos);

  error = errorOf("x86-64-v3,+avx3");
  EXPECT_NE(error.find("unknown feature 'avx3'"), std::string::npos);
  EXPECT_NE(error.find("avx2"), std::string::npos);
  EXPECT_NE(errorOf("x86-64-v3,avx2").find("expected +feature or -feature"),
            std::string::npos);
  EXPECT_NE(errorOf("x86-64-v3,").find("got ''"), std::string::npos);
}
