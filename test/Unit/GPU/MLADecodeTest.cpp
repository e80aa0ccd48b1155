//===- MLADecodeTest.cpp - Absorbed attention, run on the emulator --------===//
//
// Part of dsv2, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "KernelReference.h"
#include "KernelRun.h"

#include "dsv2/CodeGen/GPU/MLADecodeKernels.h"

#include <algorithm>
#include <cmath>
#include <numeric>

using namespace mlir;
using namespace mlir::dsv2;
using namespace mlir::dsv2::gpu;
using namespace mlir::dsv2::test;

namespace {
/// A step and what attention gives, by plain loops.
struct Problem {
  MLADecodeShape shape;
  std::vector<int32_t> positions, seqIds, blockTables;
  int64_t tableWidth, pages;
  std::vector<float> queries, cache;

  /// Token t of sequence `sequences[t]` at position `lengths[t]` - 1.
  Problem(const MLADecodeShape &shape, std::vector<int32_t> lengths,
          std::vector<int32_t> sequences, uint32_t seed)
      : shape(shape), seqIds(std::move(sequences)) {
    for (int32_t length : lengths)
      positions.push_back(length - 1);
    int64_t count = *std::max_element(seqIds.begin(), seqIds.end()) + 1;
    int64_t longest = *std::max_element(lengths.begin(), lengths.end());
    tableWidth = (longest + kMLABlock - 1) / kMLABlock;
    pages = count * tableWidth + 1;
    // Pages in any order; the tables' entries behind a sequence are none.
    std::vector<int32_t> order(pages);
    std::iota(order.begin(), order.end(), 0);
    std::mt19937 random(seed);
    std::shuffle(order.begin(), order.end(), random);
    blockTables.assign(order.begin(), order.begin() + count * tableWidth);
    cache.assign(pages * kMLABlock * shape.row(), std::nanf(""));
    std::vector<int32_t> ends(count);
    for (size_t t = 0; t < seqIds.size(); ++t)
      ends[seqIds[t]] = std::max(ends[seqIds[t]], lengths[t]);
    for (int64_t s = 0; s < count; ++s)
      for (int64_t p = 0; p < tableWidth * kMLABlock; ++p) {
        if (p >= ends[s] && p % kMLABlock == 0)
          blockTables[s * tableWidth + p / kMLABlock] = 1 << 30;
        if (p >= ends[s])
          continue;
        std::vector<float> row =
            randomBF16(shape.row(), seed * 7919 + s * 104729 + p);
        std::copy(row.begin(), row.end(), rowOf(s, p));
      }
    queries = randomBF16(seqIds.size() * shape.heads * shape.row(), seed + 1);
  }

  float *rowOf(int64_t sequence, int64_t position) {
    int64_t page = blockTables[sequence * tableWidth + position / kMLABlock];
    return cache.data() +
           (page * kMLABlock + position % kMLABlock) * shape.row();
  }

  std::vector<float> expected() {
    std::vector<float> result;
    for (size_t t = 0; t < seqIds.size(); ++t)
      for (int64_t h = 0; h < shape.heads; ++h) {
        const float *query =
            queries.data() + (t * shape.heads + h) * shape.row();
        std::vector<double> scores;
        for (int64_t p = 0; p <= positions[t]; ++p) {
          const float *key = rowOf(seqIds[t], p);
          double sum = 0;
          for (int64_t i = 0; i < shape.row(); ++i)
            sum += double(query[i]) * key[i];
          scores.push_back(sum * shape.scale);
        }
        double largest = *std::max_element(scores.begin(), scores.end());
        double sum = 0;
        std::vector<double> values(shape.latent);
        for (int64_t p = 0; p <= positions[t]; ++p) {
          double weight = std::exp(scores[p] - largest);
          sum += weight;
          for (int64_t i = 0; i < shape.latent; ++i)
            values[i] += weight * rowOf(seqIds[t], p)[i];
        }
        for (double value : values)
          result.push_back(value / sum);
      }
    return result;
  }
};

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

  void check(Problem p, std::vector<unsigned> grids, int seeds = 1) {
    const MLADecodeShape &shape = p.shape;
    StringRef chip = GetParam();
    std::optional<DeviceCode> decodeCode =
        compileKernel(chip.str(), [&](ModuleOp module) {
          getOrCreateMLADecode(module, shape, chip);
        });
    std::optional<DeviceCode> combineCode =
        compileKernel(chip.str(), [&](ModuleOp module) {
          getOrCreateMLACombine(module, shape, chip);
        });
    ASSERT_TRUE(decodeCode && combineCode);
    Loaded decode = loadKernel(*decodeCode), combine = loadKernel(*combineCode);
    ASSERT_TRUE(decode.function && combine.function);
    std::vector<float> expected = p.expected();
    CUdeviceptr queries = upload(toBF16(p.queries));
    CUdeviceptr cache = upload(toBF16(p.cache));
    CUdeviceptr positions = upload(p.positions), seqIds = upload(p.seqIds),
                tables = upload(p.blockTables);
    int32_t tokens = p.seqIds.size(), width = p.tableWidth;
    for (unsigned grid : grids)
      for (int seed = 1; seed <= seeds; ++seed) {
        SCOPED_TRACE(getMLADecodeName(shape, chip) + ", grid " +
                     std::to_string(grid) + ", seed " + std::to_string(seed));
        setOptions("seed=" + std::to_string(seed));
        std::vector<float> nan(expected.size(), std::nanf(""));
        CUdeviceptr out = shape.f32Output ? upload(nan) : upload(toBF16(nan));
        // What was there before does not count.
        CUdeviceptr sums =
            upload(std::vector<float>(shape.sumBytes(grid) / 4, std::nanf("")));
        CUdeviceptr logs =
            upload(std::vector<float>(shape.logBytes(grid) / 4, std::nanf("")));
        if (chip == "sm_90a") {
          uint64_t heads = shape.heads, row = shape.row();
          CUtensorMap queryMap =
              tensorMap(queries, {uint64_t(tokens), heads, row}, {1, 64, 64});
          CUtensorMap cacheMap =
              tensorMap(cache, {uint64_t(p.pages), 64, row}, {1, 64, 64});
          run(decode, grid, 1, queryMap, cacheMap, out, sums, logs, positions,
              seqIds, tables, tokens, width);
        } else {
          run(decode, grid, 1, queries, cache, out, sums, logs, positions,
              seqIds, tables, tokens, width);
        }
        run(combine, tokens, (shape.heads + 15) / 16, out, sums, logs,
            positions, tokens, int32_t(grid));
        std::vector<float> actual =
            shape.f32Output
                ? download<float>(out, expected.size())
                : fromBF16(download<uint16_t>(out, expected.size()));
        // Weights are rounded to bf16 before they multiply values: 2^-9 of
        // each, averaged over the positions, of values of about 1.
        expectClose(actual, expected, 4e-3f, 1.f / 128, "output");
      }
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
  std::vector<uint16_t> queries = toBF16(p.queries), cache = toBF16(p.cache);
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
    expectClose(out, expected, 4e-3f, 1.f / 128, "reference");
  }
}

INSTANTIATE_TEST_SUITE_P(Chips, MLADecodeRun,
                         ::testing::Values("sm_90a", "sm_80"),
                         [](const auto &info) {
                           return std::string(info.param);
                         });
