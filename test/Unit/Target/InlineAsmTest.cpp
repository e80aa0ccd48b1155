//===- InlineAsmTest.cpp - The closed list of inline assembly -------------===//
//
// Part of dsv2, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "dsv2/Target/NVPTX/InlineAsm.h"

#include "gtest/gtest.h"

#include <vector>

using namespace mlir::dsv2::nvptx;

static std::vector<AsmStatement> allStatements() {
  std::vector<AsmStatement> all;
  AsmStatement move;
  move.kind = AsmKind::OpaqueMove;
  all.push_back(move);
  AsmStatement arrive;
  arrive.kind = AsmKind::BarrierArrive;
  arrive.barrier = 15;
  arrive.threads = 384;
  all.push_back(arrive);
  for (int64_t floats : {0, 1, 64, 128})
    for (int64_t words : {0, 16}) {
      AsmStatement fence;
      fence.kind = AsmKind::WgmmaFence;
      fence.floats = floats;
      fence.words = words;
      all.push_back(fence);
    }
  for (int64_t floats : {0, 1, 128})
    for (int64_t pending : {0, 1, 7}) {
      AsmStatement wait;
      wait.kind = AsmKind::WgmmaWait;
      wait.floats = floats;
      wait.pending = pending;
      all.push_back(wait);
    }
  for (int64_t n = 8; n <= 256; n += 8)
    for (int flags = 0; flags < 8; ++flags) {
      AsmStatement wgmma;
      wgmma.kind = AsmKind::Wgmma;
      wgmma.n = n;
      wgmma.registersA = flags & 1;
      wgmma.transposeB = flags & 2;
      wgmma.accumulate = flags & 4;
      all.push_back(wgmma);
    }
  return all;
}

TEST(InlineAsmTest, EveryStatementParsesBackToItself) {
  std::vector<std::pair<std::string, std::string>> seen;
  for (const AsmStatement &statement : allStatements()) {
    AsmText printed = printAsm(statement);
    std::optional<AsmStatement> parsed =
        parseAsm(printed.text, printed.constraints);
    ASSERT_TRUE(parsed.has_value()) << printed.text;
    EXPECT_TRUE(*parsed == statement) << printed.text;
    std::pair<std::string, std::string> text(printed.text, printed.constraints);
    EXPECT_EQ(std::count(seen.begin(), seen.end(), text), 0) << printed.text;
    seen.push_back(text);
  }
}

TEST(InlineAsmTest, NothingElseParses) {
  for (const AsmStatement &statement : allStatements()) {
    AsmText printed = printAsm(statement);
    EXPECT_FALSE(parseAsm(printed.text + " ", printed.constraints));
    EXPECT_FALSE(parseAsm(printed.text, printed.constraints + ",r"));
    EXPECT_FALSE(parseAsm(printed.text.substr(1), printed.constraints));
  }
  EXPECT_FALSE(parseAsm("", ""));
  EXPECT_FALSE(parseAsm("trap;", ""));
  AsmStatement wgmma;
  wgmma.kind = AsmKind::Wgmma;
  wgmma.n = 12;
  AsmText odd = printAsm(wgmma);
  EXPECT_FALSE(parseAsm(odd.text, odd.constraints));
}

TEST(InlineAsmTest, TextIsWhatThePTXManualSays) {
  AsmStatement wgmma;
  wgmma.kind = AsmKind::Wgmma;
  wgmma.n = 8;
  wgmma.accumulate = true;
  AsmText printed = printAsm(wgmma);
  EXPECT_EQ(printed.text, "{\n.reg .pred p;\nsetp.ne.b32 p, 1, 0;\n"
                          "wgmma.mma_async.sync.aligned.m64n8k16.f32.bf16.bf16 "
                          "{$0, $1, $2, $3}, $8, $9, p, 1, 1, 0, 0;\n}");
  EXPECT_EQ(printed.constraints, "=f,=f,=f,=f,0,1,2,3,l,l");
  wgmma.registersA = true;
  wgmma.transposeB = true;
  wgmma.accumulate = false;
  printed = printAsm(wgmma);
  EXPECT_EQ(printed.text, "{\n.reg .pred p;\nsetp.ne.b32 p, 0, 0;\n"
                          "wgmma.mma_async.sync.aligned.m64n8k16.f32.bf16.bf16 "
                          "{$0, $1, $2, $3}, {$4, $5, $6, $7}, $8, p, 1, 1, "
                          "1;\n}");
  EXPECT_EQ(printed.constraints, "=f,=f,=f,=f,r,r,r,r,l");
}
