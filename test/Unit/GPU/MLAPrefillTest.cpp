//===- MLAPrefillTest.cpp - Expanded attention, run on the emulator -------===//
//
// Part of dsv2, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "KernelReference.h"
#include "KernelRun.h"

#include "dsv2/CodeGen/GPU/MLAPrefillKernels.h"

#include <algorithm>
#include <cmath>

using namespace mlir;
using namespace mlir::dsv2;
using namespace mlir::dsv2::gpu;
using namespace mlir::dsv2::test;

namespace {
/// A step and what attention gives, by plain loops.
struct Problem {
  MLAPrefillShape shape;
  std::vector<int32_t> seqStarts{0}, rowStarts{0};
  std::vector<float> queries, keyValues, rotated;

  /// Sequence s has `chunks[s]` queries behind `pasts[s]` earlier positions.
  Problem(const MLAPrefillShape &shape, std::vector<int32_t> chunks,
          std::vector<int32_t> pasts, uint32_t seed)
      : shape(shape) {
    for (size_t s = 0; s < chunks.size(); ++s) {
      seqStarts.push_back(seqStarts.back() + chunks[s]);
      rowStarts.push_back(rowStarts.back() + chunks[s] + pasts[s]);
    }
    queries = randomBF16(seqStarts.back() * shape.heads * shape.query(), seed);
    keyValues =
        randomBF16(rowStarts.back() * shape.heads * shape.keyValue(), seed + 1);
    rotated = randomBF16(rowStarts.back() * shape.rope, seed + 2);
  }

  int64_t countTiles() const {
    int64_t tiles = 0;
    for (size_t s = 0; s + 1 < seqStarts.size(); ++s)
      tiles +=
          (seqStarts[s + 1] - seqStarts[s] + kPrefillRows - 1) / kPrefillRows;
    return tiles;
  }

  std::vector<float> expected() const {
    std::vector<float> result(seqStarts.back() * shape.heads * shape.value);
    for (size_t s = 0; s + 1 < seqStarts.size(); ++s)
      for (int64_t t = seqStarts[s]; t < seqStarts[s + 1]; ++t)
        for (int64_t h = 0; h < shape.heads; ++h)
          attend(s, t, h, result.data() + (t * shape.heads + h) * shape.value);
    return result;
  }

private:
  void attend(size_t s, int64_t t, int64_t h, float *out) const {
    int64_t last = rowStarts[s + 1] - (seqStarts[s + 1] - t);
    const float *query = queries.data() + (t * shape.heads + h) * shape.query();
    auto keyValue = [&](int64_t row) {
      return keyValues.data() + (row * shape.heads + h) * shape.keyValue();
    };
    std::vector<double> scores;
    for (int64_t row = rowStarts[s]; row <= last; ++row) {
      double sum = 0;
      for (int64_t i = 0; i < shape.nope; ++i)
        sum += double(query[i]) * keyValue(row)[i];
      for (int64_t i = 0; i < shape.rope; ++i)
        sum += double(query[shape.nope + i]) * rotated[row * shape.rope + i];
      scores.push_back(sum * shape.scale);
    }
    double largest = *std::max_element(scores.begin(), scores.end());
    double sum = 0;
    std::vector<double> values(shape.value);
    for (int64_t row = rowStarts[s]; row <= last; ++row) {
      double weight = std::exp(scores[row - rowStarts[s]] - largest);
      sum += weight;
      for (int64_t i = 0; i < shape.value; ++i)
        values[i] += weight * keyValue(row)[shape.nope + i];
    }
    for (int64_t i = 0; i < shape.value; ++i)
      out[i] = values[i] / sum;
  }
};

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

  void check(const Problem &p, int seeds = 1, unsigned extraTiles = 0) {
    const MLAPrefillShape &shape = p.shape;
    StringRef chip = GetParam();
    std::optional<DeviceCode> code =
        compileKernel(chip.str(), [&](ModuleOp module) {
          getOrCreateMLAPrefill(module, shape, chip);
        });
    ASSERT_TRUE(code);
    Loaded kernel = loadKernel(*code);
    ASSERT_TRUE(kernel.function);
    std::vector<float> expected = p.expected();
    CUdeviceptr queries = upload(toBF16(p.queries)),
                keyValues = upload(toBF16(p.keyValues)),
                rotated = upload(toBF16(p.rotated)),
                seqStarts = upload(p.seqStarts),
                rowStarts = upload(p.rowStarts);
    int32_t sequences = p.seqStarts.size() - 1;
    unsigned tiles = p.countTiles() + extraTiles;
    for (int seed = 1; seed <= seeds; ++seed) {
      SCOPED_TRACE(getMLAPrefillName(shape, chip) + ", seed " +
                   std::to_string(seed));
      setOptions("seed=" + std::to_string(seed));
      std::vector<float> nan(expected.size(), std::nanf(""));
      CUdeviceptr out = shape.f32Output ? upload(nan) : upload(toBF16(nan));
      if (chip == "sm_90a") {
        uint64_t tokens = p.seqStarts.back(), rows = p.rowStarts.back(),
                 heads = shape.heads, query = shape.query(),
                 keyValue = shape.keyValue(), rope = shape.rope;
        uint32_t panel = shape.swizzle() / 2;
        CUtensorMap queryMap = tensorMap(queries, {tokens, heads, query},
                                         {128, 1, panel}, shape.swizzle());
        CUtensorMap keyMap = tensorMap(keyValues, {rows, heads, keyValue},
                                       {128, 1, panel}, shape.swizzle());
        CUtensorMap ropeMap =
            tensorMap(rotated, {rows, rope}, {128, panel}, shape.swizzle());
        run(kernel, tiles, shape.heads, queryMap, keyMap, ropeMap, out,
            seqStarts, rowStarts, sequences);
      } else {
        run(kernel, tiles, shape.heads, queries, keyValues, rotated, out,
            seqStarts, rowStarts, sequences);
      }
      std::vector<float> actual =
          shape.f32Output ? download<float>(out, expected.size())
                          : fromBF16(download<uint16_t>(out, expected.size()));
      // As for the decode kernel.
      expectClose(actual, expected, 8e-3f, 1.f / 128, "output");
    }
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
  std::vector<uint16_t> queries = toBF16(p.queries),
                        keyValues = toBF16(p.keyValues),
                        rotated = toBF16(p.rotated);
  int64_t tokens = p.seqStarts.back(), rows = p.rowStarts.back();
  const MLAPrefillShape &shape = p.shape;
  bool hopper = chip == "sm_90a";
  cpu::test::Descriptor dQueries = hopper
                                       ? describe(queries, {tokens, shape.heads,
                                                            shape.query()})
                                       : describe(queries),
                        dKeys = hopper ? describe(keyValues, {rows, shape.heads,
                                                              shape.keyValue()})
                                       : describe(keyValues),
                        dRotated = hopper
                                       ? describe(rotated, {rows, shape.rope})
                                       : describe(rotated),
                        dOut = describe(out), dSeqs = describe(p.seqStarts),
                        dRows = describe(p.rowStarts);
  kernel.run(p.countTiles(), shape.heads, &dQueries, &dKeys, &dRotated, &dOut,
             &dSeqs, &dRows, int32_t(p.seqStarts.size() - 1));
  expectClose(out, expected, 8e-3f, 1.f / 128, "reference");
}

INSTANTIATE_TEST_SUITE_P(Chips, MLAPrefillRun,
                         ::testing::Values("sm_90a", "sm_80"),
                         [](const auto &info) {
                           return std::string(info.param);
                         });
