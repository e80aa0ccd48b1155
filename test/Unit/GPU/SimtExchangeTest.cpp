//===- SimtExchangeTest.cpp - rows between ranks, run on the emulator -----===//
//
// Part of dsv2, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "KernelRun.h"

#include "dsv2/CodeGen/GPU/SimtKernels.h"

#include <algorithm>
#include <cmath>
#include <cstring>

using namespace mlir;
using namespace mlir::dsv2;
using namespace mlir::dsv2::gpu;
using namespace mlir::dsv2::test;

namespace {

class SimtExchange : public KernelRun {
protected:
  Loaded make(const std::function<void(ModuleOp)> &build) {
    std::optional<DeviceCode> code = compileKernel("sm_90a", build);
    if (!code)
      return {};
    expectGatePasses(*code);
    return loadKernel(*code);
  }

  CUdeviceptr memory(size_t words) {
    return upload(std::vector<int32_t>(std::max<size_t>(words, 1), -7));
  }
};

Type elementOf(ModuleOp module, bool isF32) {
  Builder b(module.getContext());
  return isF32 ? Type(b.getF32Type()) : Type(b.getBF16Type());
}

/// Experts of tokens: of all ranks, or of one alone.
std::vector<int32_t> chooseExperts(int64_t tokens, const ExchangeConfig &config,
                                   bool spread) {
  std::mt19937 random(tokens);
  std::vector<int32_t> ids;
  for (int64_t pair = 0; pair < tokens * config.topK; ++pair)
    ids.push_back((spread ? 0 : (config.ranks - 1) * config.experts) +
                  random() % (config.experts * (spread ? config.ranks : 1)));
  return ids;
}

/// What the plan has to be.
struct Plan {
  std::vector<int32_t> counts, places;
  int64_t rows = 0;
};

Plan planOf(const std::vector<int32_t> &ids, int64_t tokens,
            const ExchangeConfig &config) {
  Plan plan;
  plan.places.assign(tokens * config.ranks, -1);
  for (int64_t r = 0; r < config.ranks; ++r) {
    int64_t before = plan.rows =
        config.capacity ? r * config.capacity : plan.rows;
    for (int64_t t = 0; t < tokens; ++t) {
      bool sent = false;
      for (int64_t s = 0; s < config.topK; ++s)
        sent |= ids[t * config.topK + s] / config.experts == r;
      if (!sent)
        continue;
      int64_t row = plan.rows++;
      if (!config.capacity || row < (r + 1) * config.capacity)
        plan.places[t * config.ranks + r] = row;
    }
    plan.counts.push_back(plan.rows - before);
  }
  if (config.capacity)
    plan.rows = config.ranks * config.capacity;
  return plan;
}

} // namespace

TEST_F(SimtExchange, Plan) {
  for (int64_t ranks : {2, 3, 8, 40})
    for (int64_t topK : {1, 6}) {
      ExchangeConfig config{/*width=*/64, topK, Type()};
      config.experts = 5;
      config.ranks = ranks;
      Loaded kernel = make([&](ModuleOp module) {
        getOrCreateExchangePlanKernel(module, config);
      });
      ASSERT_NE(kernel.function, nullptr);
      for (int64_t tokens : {0, 1, 33, 700})
        for (bool spread : {true, false}) {
          std::vector<int32_t> ids = chooseExperts(tokens, config, spread);
          Plan expected = planOf(ids, tokens, config);
          CUdeviceptr counts = memory(ranks), places = memory(tokens * ranks);
          ids.resize(std::max<size_t>(ids.size(), 1));
          run(kernel, 1, 1, upload(ids), int32_t(tokens), counts, places);
          EXPECT_EQ(download<int32_t>(counts, ranks), expected.counts);
          EXPECT_EQ(download<int32_t>(places, tokens * ranks), expected.places)
              << ranks << " ranks, " << tokens << " tokens";
        }
    }
}

// Three rows a rank, which are too many for some and too few for others.
TEST_F(SimtExchange, FixedRows) {
  constexpr int64_t width = 64, topK = 2, ranks = 3, capacity = 3;
  ExchangeConfig config{width, topK, Type()};
  config.experts = 4;
  config.ranks = ranks;
  config.capacity = capacity;
  Loaded plan = make(
      [&](ModuleOp module) { getOrCreateExchangePlanKernel(module, config); });
  int64_t columns = 0, slotColumn = 0;
  Loaded pack = make([&](ModuleOp module) {
    config.element = elementOf(module, false);
    columns = config.columns();
    slotColumn = config.slotColumn();
    getOrCreateExchangePackKernel(module, config);
  });
  ASSERT_NE(plan.function, nullptr);
  ASSERT_NE(pack.function, nullptr);
  for (int64_t tokens : {0, 1, 5, 40})
    for (bool spread : {true, false}) {
      std::vector<int32_t> ids = chooseExperts(tokens, config, spread);
      Plan expected = planOf(ids, tokens, config);
      std::vector<float> x = randomBF16(std::max<int64_t>(tokens, 1) * width,
                                        1),
                         weights =
                             randomBF16(std::max<int64_t>(tokens, 1) * topK, 2);
      ids.resize(std::max<size_t>(ids.size(), 1));
      CUdeviceptr counts = memory(ranks), places = memory(tokens * ranks);
      run(plan, 1, 1, upload(ids), int32_t(tokens), counts, places);
      EXPECT_EQ(download<int32_t>(counts, ranks), expected.counts);
      EXPECT_EQ(download<int32_t>(places, tokens * ranks), expected.places);

      int64_t words = columns / 2;
      CUdeviceptr rows = memory(ranks * capacity * words);
      run(pack, tokens + ranks * capacity, 1, upload(toBF16(x)), int32_t(width),
          upload(ids), int32_t(tokens), upload(weights), places, counts, rows,
          int32_t(columns));
      auto got = download<int32_t>(rows, ranks * capacity * words);
      for (int64_t row = 0; row < ranks * capacity; ++row) {
        const int32_t *slots = &got[row * words + slotColumn / 2];
        bool used = row % capacity < expected.counts[row / capacity];
        for (int64_t s = 0; s < topK; ++s) {
          if (!used) {
            EXPECT_EQ(slots[s], -1);
            EXPECT_EQ(slots[topK + s], 0);
            continue;
          }
          int64_t token =
              std::find_if(expected.places.begin(), expected.places.end(),
                           [&](int32_t place) { return place == row; }) -
              expected.places.begin();
          int32_t id = ids[token / ranks * topK + s];
          EXPECT_EQ(slots[s], id / config.experts == row / capacity
                                  ? id % config.experts
                                  : -1);
        }
      }
    }
}

TEST_F(SimtExchange, PackAndUnpack) {
  constexpr int64_t tokens = 9;
  for (bool isF32 : {false, true})
    for (int64_t width : {7, 64, 2048})
      for (int64_t topK : {1, 3, 6}) {
        ExchangeConfig config{width, topK, Type()};
        config.experts = 4;
        config.ranks = 3;
        int64_t columns = 0, slotColumn = 0;
        Loaded pack = make([&](ModuleOp module) {
          config.element = elementOf(module, isF32);
          columns = config.columns();
          slotColumn = config.slotColumn();
          getOrCreateExchangePackKernel(module, config);
        });
        Loaded unpack = make([&](ModuleOp module) {
          config.element = elementOf(module, isF32);
          getOrCreateExchangeUnpackKernel(module, config);
        });
        ASSERT_NE(pack.function, nullptr);
        ASSERT_NE(unpack.function, nullptr);
        int64_t elementBytes = isF32 ? 4 : 2, rowBytes = columns * elementBytes;
        EXPECT_EQ(rowBytes % 16, 0);

        std::vector<int32_t> ids = chooseExperts(tokens, config, true);
        Plan plan = planOf(ids, tokens, config);
        std::vector<float> x = randomBF16(tokens * width, 1),
                           weights = randomBF16(tokens * topK, 2);
        CUdeviceptr input = isF32 ? upload(x) : upload(toBF16(x));
        // A row more than there are, which stays as it is.
        CUdeviceptr rows = memory((plan.rows + 1) * rowBytes / 4);
        run(pack, tokens, 1, input, int32_t(width), upload(ids),
            int32_t(tokens), upload(weights), upload(plan.places),
            upload(plan.counts), rows, int32_t(columns));
        auto bytes = download<char>(rows, (plan.rows + 1) * rowBytes);
        auto word = [&](int64_t row, int64_t index) {
          int32_t value;
          std::memcpy(&value, &bytes[row * rowBytes + index * 4], 4);
          return value;
        };
        int64_t slots = slotColumn * elementBytes / 4;
        std::vector<int32_t> numbers;
        std::vector<float> parts;
        for (int64_t r = 0; r < config.ranks; ++r)
          for (int64_t t = 0; t < tokens; ++t) {
            int64_t row = plan.places[t * config.ranks + r];
            if (row < 0)
              continue;
            std::vector<float> sent(width);
            if (isF32) {
              std::memcpy(sent.data(), &bytes[row * rowBytes], width * 4);
            } else {
              std::vector<uint16_t> bits(width);
              std::memcpy(bits.data(), &bytes[row * rowBytes], width * 2);
              sent = fromBF16(bits);
            }
            EXPECT_TRUE(std::equal(sent.begin(), sent.end(), &x[t * width]));
            for (int64_t s = 0; s < topK; ++s) {
              int32_t id = ids[t * topK + s];
              numbers.push_back(id / config.experts == r ? id % config.experts
                                                         : -1);
              parts.push_back(weights[t * topK + s]);
              EXPECT_EQ(word(row, slots + s), numbers.back());
            }
            for (int64_t i = slots + 2 * topK; i < rowBytes / 4; ++i)
              EXPECT_EQ(word(row, i), 0) << "padding";
          }
        for (int64_t i = 0; i < rowBytes / 4; ++i)
          EXPECT_EQ(word(plan.rows, i), -7);

        size_t pairs = plan.rows * topK;
        CUdeviceptr gotIds = memory(pairs), gotWeights = memory(pairs);
        run(unpack, (pairs + 127) / 128, 1, rows, int32_t(columns),
            int32_t(plan.rows), gotIds, gotWeights);
        EXPECT_EQ(download<int32_t>(gotIds, pairs), numbers);
        EXPECT_EQ(download<float>(gotWeights, pairs), parts);
      }
}

TEST_F(SimtExchange, Combine) {
  constexpr int64_t tokens = 5;
  for (int64_t width : {7, 64, 2048})
    for (int64_t ranks : {2, 3, 8, 11}) {
      ExchangeConfig config{width, /*topK=*/3, Type()};
      config.experts = 2;
      config.ranks = ranks;
      Loaded kernel = make([&](ModuleOp module) {
        getOrCreateExchangeCombineKernel(module, config);
      });
      ASSERT_NE(kernel.function, nullptr);
      Plan plan = planOf(chooseExperts(tokens, config, true), tokens, config);
      std::vector<float> rows = randomBF16(plan.rows * width, 3), expected;
      for (int64_t t = 0; t < tokens; ++t)
        for (int64_t i = 0; i < width; ++i) {
          float sum = 0;
          for (int64_t r = 0; r < ranks; ++r)
            if (int64_t row = plan.places[t * ranks + r]; row >= 0)
              sum += rows[row * width + i];
          expected.push_back(sum);
        }
      CUdeviceptr y = memory(tokens * width);
      run(kernel, tokens, 1, upload(rows), int32_t(width), upload(plan.places),
          y, int32_t(width));
      // The same sums in the same order.
      EXPECT_EQ(download<float>(y, tokens * width), expected);
    }
}

TEST_F(SimtExchange, PartialDispatch) {
  for (int64_t experts : {1, 8, 160})
    for (int64_t topK : {1, 6}) {
      Loaded kernel = make([&](ModuleOp module) {
        getOrCreateDispatchKernel(module, {experts, topK, /*partial=*/true});
      });
      ASSERT_NE(kernel.function, nullptr);
      for (int64_t tokens : {0, 1, 33, 700}) {
        std::mt19937 random(tokens);
        std::vector<int32_t> ids;
        for (int64_t pair = 0; pair < tokens * topK; ++pair)
          ids.push_back(random() % 3 ? -1 : random() % experts);
        std::vector<int32_t> offsets, rowTokens, rows(ids.size(), -1);
        for (int64_t e = 0; e < experts; ++e) {
          offsets.push_back(rowTokens.size());
          for (size_t pair = 0; pair < ids.size(); ++pair)
            if (ids[pair] == e) {
              rows[pair] = rowTokens.size();
              rowTokens.push_back(pair / topK);
            }
        }
        offsets.push_back(rowTokens.size());
        rowTokens.resize(ids.size(), -7);
        CUdeviceptr gotOffsets = memory(experts + 1),
                    gotTokens = memory(ids.size()),
                    gotRows = memory(ids.size());
        size_t pairs = ids.size();
        ids.resize(std::max<size_t>(pairs, 1));
        run(kernel, 1, 1, upload(ids), int32_t(tokens), gotOffsets, gotTokens,
            gotRows);
        EXPECT_EQ(download<int32_t>(gotOffsets, experts + 1), offsets);
        EXPECT_EQ(download<int32_t>(gotTokens, pairs), rowTokens);
        EXPECT_EQ(download<int32_t>(gotRows, pairs), rows);
      }
    }
}

TEST_F(SimtExchange, PartialCombine) {
  for (int64_t width : {5, 64, 2048}) {
    constexpr int64_t topK = 3, tokens = 3;
    CombineConfig config{width, topK, false, false, /*partial=*/true};
    Loaded kernel = make(
        [&](ModuleOp module) { getOrCreateCombineKernel(module, config); });
    ASSERT_NE(kernel.function, nullptr);
    std::vector<int32_t> rows = {-1, 0, -1, 2, 1, -1, 3, 4, 5};
    std::vector<float> y = randomBF16(6 * width, 1), expected,
                       weights = randomBF16(tokens * topK, 2);
    for (int64_t t = 0; t < tokens; ++t)
      for (int64_t i = 0; i < width; ++i) {
        float sum = 0;
        for (int64_t s = t * topK; s < (t + 1) * topK; ++s)
          if (rows[s] >= 0)
            sum = std::fma(weights[s], y[rows[s] * width + i], sum);
        expected.push_back(sum);
      }
    CUdeviceptr out = memory(tokens * width);
    run(kernel, tokens, 1, upload(y), int32_t(width), upload(rows),
        upload(weights), out, int32_t(width));
    EXPECT_EQ(download<float>(out, tokens * width), expected);
  }
}

// Of a table's rows 3 to 6, and only the first of some rows.
TEST_F(SimtExchange, GatherPartsOfRows) {
  for (int64_t width : {7, 64}) {
    std::vector<int32_t> rows = {4, 2, 7, 3, 6};
    std::vector<float> table = randomBF16(4 * width, 1);
    Loaded part = make([&](ModuleOp module) {
      Type f32 = elementOf(module, true);
      getOrCreateGatherRowsKernel(
          module, {width, f32, f32, GatherRowsConfig::Rows::Part});
    });
    ASSERT_NE(part.function, nullptr);
    std::vector<float> expected;
    for (int32_t row : rows)
      for (int64_t i = 0; i < width; ++i)
        expected.push_back(row >= 3 && row < 7 ? table[(row - 3) * width + i]
                                               : 0.0f);
    CUdeviceptr out = memory(rows.size() * width);
    run(part, rows.size(), 1, upload(rows), upload(table), int32_t(width), out,
        int32_t(width), int32_t(3), int32_t(4));
    EXPECT_EQ(download<float>(out, rows.size() * width), expected);

    Loaded limited = make([&](ModuleOp module) {
      Type f32 = elementOf(module, true);
      getOrCreateGatherRowsKernel(
          module, {width, f32, f32, GatherRowsConfig::Rows::Limited});
    });
    ASSERT_NE(limited.function, nullptr);
    // What is behind the limit would be read out of bounds.
    rows = {1, 3, 0, 1 << 30, -5};
    out = memory(rows.size() * width);
    run(limited, rows.size(), 1, upload(rows), upload(table), int32_t(width),
        out, int32_t(width), upload(std::vector<int32_t>{3}));
    auto got = download<int32_t>(out, rows.size() * width);
    for (size_t i = 0; i < got.size(); ++i) {
      int32_t bits = -7;
      if (i < size_t(3 * width))
        std::memcpy(&bits, &table[rows[i / width] * width + i % width], 4);
      EXPECT_EQ(got[i], bits) << i;
    }
  }
}
