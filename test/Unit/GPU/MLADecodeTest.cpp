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

TEST_P(MLADecodeRun, TilesOfSeveralTokens) {
  // Runs that end with the tile, the sequence and the step; tokens of which
  // some attend to nothing of the last page, or of a part.
  for (int64_t heads : {16, 32})
    check(Problem(shape(heads), {127, 128, 129, 130, 131, 5, 70, 3, 4, 64},
                  {0, 0, 0, 0, 0, 1, 2, 3, 3, 4}, heads),
          {1, 2, 7});
  // And in no order.
  check(Problem(shape(16), {65, 1, 64, 200, 130}, {1, 1, 1, 1, 0}, 6), {5});
}

TEST_P(MLADecodeRun, ManyParts) {
  // More than warps share; more than a warp has lanes for.
  check(Problem(shape(2, 64, 16), {1100, 60}, {0, 1}, 7), {13});
  check(Problem(shape(1, 64, 16), {2300}, {0}, 8), {36});
  check(Problem(shape(2, 192, 64, false), {9000, 70}, {1, 0}, 9), {140});
}

TEST_P(MLADecodeRun, ManyTokens) {
  // More than a warp sums up in a turn.
  std::vector<int32_t> lengths, sequences;
  for (int32_t t = 0; t < 300; ++t) {
    lengths.push_back(t % 7 == 0 ? 65 : 2 + t % 3);
    sequences.push_back(t);
  }
  check(Problem(shape(2, 64, 16), lengths, sequences, 10), {3, 140});
}

TEST_P(MLADecodeRun, ManySeeds) {
  check(Problem(shape(16, 512, 64, false), {130, 20}, {1, 0}, 5), {3},
        /*seeds=*/6);
}

/// What MLADecodeKernels.h says of parts, for tiles of one token.
static void combineParts(const Problem &p, int64_t grid,
                         const std::vector<float> &sums,
                         const std::vector<float> &logs,
                         std::vector<float> &out) {
  int64_t latent = p.shape.latent, tiles = p.shape.getHeadTiles();
  int64_t total = 0, before = 0;
  for (int32_t position : p.positions)
    total += position / kMLABlock + 1;
  int64_t shares = std::max<int64_t>(grid / tiles, 1);
  auto begin = [&](int64_t share) {
    return share * (total / shares) + std::min(share, total % shares);
  };
  for (int64_t t = 0; t < p.tokens(); ++t) {
    int64_t end = before + p.positions[t] / kMLABlock + 1;
    for (int64_t h = 0; h < p.shape.heads; ++h) {
      double weight = 0;
      std::vector<double> columns(latent);
      for (int64_t s = 0; s < shares; ++s) {
        int64_t first = std::max(begin(s), before);
        int64_t last = std::min(begin(s + 1), end);
        if (first >= last || (first == before && last == end))
          continue;
        int64_t slot = 2 * (s * tiles + h / kMLAHeads) + (first == before);
        int64_t row = slot * kMLAHeads + h % kMLAHeads;
        double factor = std::exp2(logs[row]);
        weight += factor;
        for (int64_t c = 0; c < latent; ++c)
          columns[c] += factor * sums[row * latent + c];
      }
      if (weight > 0)
        for (int64_t c = 0; c < latent; ++c)
          out[(t * p.shape.heads + h) * latent + c] =
              float(columns[c] / weight);
    }
    before = end;
  }
}

TEST_P(MLADecodeRun, Reference) {
  Problem p(shape(17, 64, 16), {70, 130, 1}, {0, 1, 2}, 5);
  StringRef chip = GetParam();
  KernelReference decode(
      [&](ModuleOp module) { getOrCreateMLADecode(module, p.shape, chip); });
  ASSERT_TRUE(decode.isCompiled());
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
    combineParts(p, grid, sums, logs, out);
    expectClose(out, expected, Problem::kAbsolute, Problem::kRelative,
                "reference");
  }
}

INSTANTIATE_TEST_SUITE_P(Chips, MLADecodeRun,
                         ::testing::Values("sm_90a", "sm_80"),
                         [](const auto &info) {
                           return std::string(info.param);
                         });
