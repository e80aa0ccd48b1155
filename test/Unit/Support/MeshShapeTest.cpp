//===- MeshShapeTest.cpp - how many ranks a model is split over -----------===//
//
// Part of dsv2, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "dsv2/Support/MeshShape.h"
#include "gtest/gtest.h"

using namespace mlir::dsv2;

TEST(MeshShapeTest, ReadsEitherAxis) {
  struct {
    const char *text;
    int64_t tp, ep;
  } cases[] = {{"", 1, 1},          {"tp=4", 4, 1},
               {"ep=3", 1, 3},      {"tp=2,ep=8", 2, 8},
               {"ep=8,tp=2", 2, 8}, {"tp=256,ep=256", 256, 256}};
  for (const auto &entry : cases) {
    llvm::Expected<MeshShape> mesh = MeshShape::parse(entry.text);
    ASSERT_TRUE(bool(mesh)) << llvm::toString(mesh.takeError());
    EXPECT_EQ(mesh->tp, entry.tp) << entry.text;
    EXPECT_EQ(mesh->ep, entry.ep) << entry.text;
    EXPECT_EQ(mesh->ranks(), entry.tp * entry.ep);
  }
  EXPECT_EQ((MeshShape{2, 8}).str(), "tp=2,ep=8");
}

TEST(MeshShapeTest, F088_errorsSayWhatIsExpected) {
  struct {
    const char *text, *message;
  } cases[] = {
      {"tp=0", "expected a number of ranks from 1 to 65536 for 'tp', got '0'"},
      {"ep=-2", "for 'ep', got '-2'"},
      {"tp=two", "for 'tp', got 'two'"},
      {"tp", "for 'tp', got ''"},
      {"tp=65537", "for 'tp', got '65537'"},
      {"tp=99999999999999999999", "for 'tp', got '99999999999999999999'"},
      {"dp=2", "separated by a comma, got 'dp=2'"},
      {"tp=2,", "separated by a comma, got ''"},
      {"tp=2,tp=2", "expected 'tp' once, got 'tp=2,tp=2'"},
      {"tp=512,ep=256", "expected at most 65536 ranks, got 131072"},
  };
  for (const auto &entry : cases) {
    llvm::Expected<MeshShape> mesh = MeshShape::parse(entry.text);
    ASSERT_FALSE(bool(mesh)) << entry.text;
    std::string error = llvm::toString(mesh.takeError());
    EXPECT_NE(error.find(entry.message), std::string::npos) << error;
  }
}

TEST(MeshShapeTest, ListsDivisors) {
  EXPECT_EQ(listDivisors(1), "1");
  EXPECT_EQ(listDivisors(7), "1 and 7");
  EXPECT_EQ(listDivisors(12), "1, 2, 3, 4, 6 and 12");
}
