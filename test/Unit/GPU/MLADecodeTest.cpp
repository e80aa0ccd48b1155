//===- MLADecodeTest.cpp - Absorbed attention, run on the emulator --------===//
//
// Part of dsv2, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "KernelReference.h"
#include "KernelRun.h"
#include "MLADecodeCase.h"

#include <cmath>

using namespace mlir;
using namespace mlir::dsv2;
using namespace mlir::dsv2::gpu;
using namespace mlir::dsv2::test;

namespace {
using Problem = cases::MLADecodeProblem;

class MLADecodeRun : public KernelRun,
                     public ::testing::WithParamInterface<const char *> {
protected:
  static MLADecodeShape shape(int64_t heads, int64_t latent = 512,
                              int64_t rope = 64, bool f32 = true) {
    MLADecodeShape result;
    result.heads = heads;
    result.latent = latent;
    result.rope = rope;
    result.scale = 1 / std::sqrt(double(latent + rope));
    result.f32Output = f32;
    return result;
  }

  void check(const Problem &p, std::vector<unsigned> grids, int seeds = 1) {
    StringRef chip = GetParam();
    auto file = compileCases(chip.str(), [&](ModuleOp module) {
      getOrCreateMLADecode(module, p.shape, chip);
      getOrCreateMLACombine(module, p.shape, chip);
    });
    ASSERT_TRUE(file);
    for (unsigned grid : grids)
      p.addTo(*file, chip, grid, cases::Extent::All);
    runCases(file, seeds);
  }
};
} // namespace

TEST_P(MLADecodeRun, LengthsAroundAPage) {
  check(Problem(shape(16), {1, 63, 64, 65, 129}, {0, 1, 2, 3, 4}, 1), {1, 4});
}

TEST_P(MLADecodeRun, SplitsOfEverySize) {
  // More blocks than there is work for, as many, fewer, one.
  check(Problem(shape(16), {200, 3}, {0, 1}, 2), {1, 2, 3, 4, 5, 7});
}

TEST_P(MLADecodeRun, Heads) {
  for (int64_t heads : {1, 15, 17, 64, 65, 128})
    check(Problem(shape(heads), {70, 130}, {0, 1}, heads), {1, 5});
}

TEST_P(MLADecodeRun, SmallModel) {
  check(Problem(shape(6, 64, 16, false), {5, 64, 100}, {0, 1, 2}, 3), {1, 3});
  check(Problem(shape(4, 256, 32), {5, 64, 100}, {0, 1, 2}, 3), {2});
}

TEST_P(MLADecodeRun, TokensOfOneSequence) {
  check(Problem(shape(16), {62, 63, 64, 65, 66, 1}, {0, 0, 0, 0, 0, 1}, 4),
        {3});
}

TEST_P(MLADecodeRun, ManySeeds) {
  check(Problem(shape(16, 512, 64, false), {130, 20}, {1, 0}, 5), {3},
        /*seeds=*/6);
}

TEST_P(MLADecodeRun, Reference) {
  Problem p(shape(17, 64, 16), {70, 130, 1}, {0, 1, 2}, 5);
  StringRef chip = GetParam();
  KernelReference decode(
      [&](ModuleOp module) { getOrCreateMLADecode(module, p.shape, chip); });
  KernelReference combine(
      [&](ModuleOp module) { getOrCreateMLACombine(module, p.shape, chip); });
  ASSERT_TRUE(decode.isCompiled() && combine.isCompiled());
  std::vector<float> expected = p.expected();
  std::vector<uint16_t> queries = toBF16(p.queries()),
                        cache = toBF16(p.cache());
  int32_t tokens = p.seqIds.size(), width = p.tableWidth;
  for (int32_t grid : {1, 4}) {
    float nan = std::nanf("");
    std::vector<float> out(expected.size(), nan),
        sums(p.shape.sumBytes(grid) / 4, nan),
        logs(p.shape.logBytes(grid) / 4, nan);
    bool hopper = chip == "sm_90a";
    cpu::test::Descriptor dQueries =
                              hopper ? describe(queries, {tokens, p.shape.heads,
                                                          p.shape.row()})
                                     : describe(queries),
                          dCache = hopper ? describe(cache, {p.pages, kMLABlock,
                                                             p.shape.row()})
                                          : describe(cache),
                          dOut = describe(out), dSums = describe(sums),
                          dLogs = describe(logs),
                          dPositions = describe(p.positions),
                          dIds = describe(p.seqIds),
                          dTables = describe(p.blockTables);
    decode.run(grid, 1, &dQueries, &dCache, &dOut, &dSums, &dLogs, &dPositions,
               &dIds, &dTables, tokens, width);
    combine.run(tokens, (p.shape.heads + 15) / 16, &dOut, &dSums, &dLogs,
                &dPositions, tokens, grid);
    expectClose(out, expected, Problem::kAbsolute, Problem::kRelative,
                "reference");
  }
}

INSTANTIATE_TEST_SUITE_P(Chips, MLADecodeRun,
                         ::testing::Values("sm_90a", "sm_80"),
                         [](const auto &info) {
                           return std::string(info.param);
                         });
