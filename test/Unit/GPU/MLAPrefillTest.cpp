//===- MLAPrefillTest.cpp - Expanded attention, run on the emulator -------===//
//
// Part of dsv2, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "KernelReference.h"
#include "KernelRun.h"
#include "MLAPrefillCase.h"

#include <cmath>

using namespace mlir;
using namespace mlir::dsv2;
using namespace mlir::dsv2::gpu;
using namespace mlir::dsv2::test;

namespace {
using Problem = cases::MLAPrefillProblem;

class MLAPrefillRun : public KernelRun,
                      public ::testing::WithParamInterface<const char *> {
protected:
  static MLAPrefillShape shape(int64_t heads, int64_t nope = 128,
                               int64_t rope = 64, int64_t value = 128,
                               bool f32 = true) {
    MLAPrefillShape result;
    result.heads = heads;
    result.nope = nope;
    result.rope = rope;
    result.value = value;
    result.scale = 1 / std::sqrt(double(nope + rope));
    result.f32Output = f32;
    return result;
  }

  void check(const Problem &p, int seeds = 1, int64_t extraTiles = 0) {
    StringRef chip = GetParam();
    auto file = compileCases(chip.str(), [&](ModuleOp module) {
      getOrCreateMLAPrefill(module, p.shape, chip);
    });
    ASSERT_TRUE(file);
    p.addTo(*file, chip, cases::Extent::All, extraTiles);
    runCases(file, seeds);
  }
};
} // namespace

TEST_P(MLAPrefillRun, Chunks) {
  for (int32_t chunk : {1, 63, 64, 65, 129})
    check(Problem(shape(1), {chunk}, {0}, chunk));
}

TEST_P(MLAPrefillRun, ChunksBehindAPast) {
  check(Problem(shape(2), {70}, {200}, 1));
  check(Problem(shape(1), {1}, {128}, 2));
  check(Problem(shape(1), {128}, {1}, 3));
}

TEST_P(MLAPrefillRun, Sequences) {
  // Some without queries; more blocks in the grid than tiles.
  check(Problem(shape(2), {30, 0, 140, 1}, {0, 5, 64, 90}, 4), 1, 2);
}

TEST_P(MLAPrefillRun, SmallModel) {
  check(Problem(shape(3, 32, 16, 32, false), {100, 7}, {10, 120}, 5), 2);
}

TEST_P(MLAPrefillRun, ManySeeds) {
  check(Problem(shape(1, 128, 64, 128, false), {150}, {140}, 6), 6);
}

TEST_P(MLAPrefillRun, Reference) {
  Problem p(shape(2, 32, 16, 32), {30, 0, 140}, {0, 5, 64}, 4);
  StringRef chip = GetParam();
  KernelReference kernel(
      [&](ModuleOp module) { getOrCreateMLAPrefill(module, p.shape, chip); });
  ASSERT_TRUE(kernel.isCompiled());
  std::vector<float> expected = p.expected(),
                     out(expected.size(), std::nanf(""));
  std::vector<uint16_t> queries = toBF16(p.queries()), keys = toBF16(p.keys()),
                        values = toBF16(p.values()),
                        rotated = toBF16(p.rotated());
  int64_t tokens = p.tokens(), rows = p.rows();
  const MLAPrefillShape &shape = p.shape;
  bool hopper = chip == "sm_90a";
  auto matrix = [&](std::vector<uint16_t> &data, std::vector<int64_t> sizes) {
    return hopper ? describe(data, sizes) : describe(data);
  };
  cpu::test::Descriptor dQueries = matrix(queries,
                                          {tokens, shape.heads, shape.query()}),
                        dKeys = matrix(keys, {rows, shape.heads, shape.nope}),
                        dValues =
                            matrix(values, {rows, shape.heads, shape.value}),
                        dRotated = matrix(rotated, {rows, shape.rope}),
                        dOut = describe(out), dSeqs = describe(p.seqStarts),
                        dRows = describe(p.rowStarts);
  kernel.run(p.countTiles(), shape.heads, &dQueries, &dKeys, &dValues,
             &dRotated, &dOut, &dSeqs, &dRows, int32_t(p.seqStarts.size() - 1));
  expectClose(out, expected, Problem::kAbsolute, Problem::kRelative,
              "reference");
}

INSTANTIATE_TEST_SUITE_P(Chips, MLAPrefillRun,
                         ::testing::Values("sm_90a", "sm_80"),
                         [](const auto &info) {
                           return std::string(info.param);
                         });
