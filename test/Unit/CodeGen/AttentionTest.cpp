//===- AttentionTest.cpp - Latent attention against plain loops -----------===//
//
// Part of dsv2, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "KernelTestUtils.h"

#include "dsv2/CodeGen/CPU/AttentionKernels.h"
#include "llvm/ADT/StringExtras.h"
#include "gtest/gtest.h"

#include <cmath>
#include <limits>
#include <optional>

using namespace mlir;
using namespace mlir::dsv2;
using namespace mlir::dsv2::cpu;
using namespace mlir::dsv2::cpu::test;

namespace {

/// A chunk of one sequence: tokens at positions [start, start + count).
struct Chunk {
  int64_t start;
  int64_t count;
};

/// What describes one step to the kernels. Pages are handed out in an order
/// that neither ascends nor groups the pages of a sequence.
struct Step {
  Step(ArrayRef<Chunk> chunks, int64_t page)
      : tokens(0), blocks(1), page(page) {
    for (Chunk chunk : chunks) {
      tokens += chunk.count;
      blocks = std::max(blocks, (chunk.start + chunk.count + page - 1) / page);
    }
    int64_t sequences = chunks.size();
    positions.emplace(ArrayRef<int64_t>{tokens});
    seqIds.emplace(ArrayRef<int64_t>{tokens});
    seqStarts.emplace(ArrayRef<int64_t>{sequences + 1});
    blockTables.emplace(ArrayRef<int64_t>{sequences, blocks});
    int32_t t = 0;
    for (int64_t s = 0; s < sequences; ++s) {
      (*seqStarts)(s) = t;
      for (int64_t i = 0; i < chunks[s].count; ++i, ++t) {
        (*positions)(t) = static_cast<int32_t>(chunks[s].start + i);
        (*seqIds)(t) = static_cast<int32_t>(s);
      }
      for (int64_t i = 0; i < blocks; ++i)
        (*blockTables)(s, i) = pageOf(s, i, sequences);
    }
    (*seqStarts)(sequences) = t;
    pages = sequences * blocks + 1;
  }

  /// Page 0 stays unused.
  int32_t pageOf(int64_t sequence, int64_t block, int64_t sequences) const {
    return static_cast<int32_t>(sequences * blocks -
                                (block * sequences + sequence));
  }
  int64_t pageAt(int64_t sequence, int64_t position) const {
    return (*blockTables)(sequence, position / page);
  }

  int64_t tokens, blocks, page, pages = 0;
  std::optional<Array<int32_t>> positions, seqIds, seqStarts, blockTables;
};

template <typename T> float toFloat(T value) {
  if constexpr (std::is_same_v<T, uint16_t>)
    return fromBF16(value);
  else
    return value;
}
template <typename T> T fromFloat(float value) {
  if constexpr (std::is_same_v<T, uint16_t>)
    return toBF16(value);
  else
    return value;
}
template <typename T> Type elementType(KernelModule &m) {
  if (std::is_same_v<T, uint16_t>)
    return BFloat16Type::get(m.context());
  return Float32Type::get(m.context());
}

/// The value that every test puts at one place of a sequence's context: it does
/// not depend on the step.
float cacheValue(int64_t sequence, int64_t position, int64_t column) {
  uint32_t x = static_cast<uint32_t>(sequence * 7919 + position * 131 + column);
  x ^= x >> 16;
  x *= 0x7feb352du;
  x ^= x >> 15;
  x *= 0x846ca68bu;
  x ^= x >> 16;
  return static_cast<float>(x) / 2147483648.0f - 1.0f;
}

/// A cache with the contexts of a step. Rows that no token may see are NaN.
/// `names` says which sequence's contents each sequence of the step has.
template <typename T>
Array<T> makeCache(const Step &step, ArrayRef<Chunk> chunks, int64_t width,
                   ArrayRef<int64_t> names = {}) {
  Array<T> cache({step.pages, step.page, width});
  cache.fill(fromFloat<T>(std::numeric_limits<float>::quiet_NaN()));
  for (size_t s = 0; s < chunks.size(); ++s)
    for (int64_t p = 0; p < chunks[s].start + chunks[s].count; ++p)
      for (int64_t i = 0; i < width; ++i)
        cache(step.pageAt(s, p), p % step.page, i) =
            fromFloat<T>(cacheValue(names.empty() ? s : names[s], p, i));
  return cache;
}

/// Softmax-weighted sum in double: out[d] = sum_j p_j value(j, d), p = softmax
/// of scale * score(j), j < count.
template <typename Score, typename Value_>
std::vector<double> attend(int64_t count, double scale, int64_t width,
                           Score score, Value_ value) {
  std::vector<double> p(count);
  double largest = -INFINITY, sum = 0;
  for (int64_t j = 0; j < count; ++j)
    largest = std::max(largest, p[j] = scale * score(j));
  for (double &x : p)
    sum += x = std::exp(x - largest);
  std::vector<double> out(width, 0.0);
  for (int64_t j = 0; j < count; ++j)
    for (int64_t d = 0; d < width; ++d)
      out[d] += p[j] / sum * value(j, d);
  return out;
}

template <typename T> bool sameBits(const Array<T> &a, const Array<T> &b) {
  return a.size() == b.size() &&
         std::memcmp(a.data(), b.data(), a.size() * sizeof(T)) == 0;
}

class Attention : public ::testing::TestWithParam<std::string> {};

//===----------------------------------------------------------------------===//
// Cache
//===----------------------------------------------------------------------===//

template <typename T>
void testAppend(KernelModule &m, int64_t latent, int64_t rope, int64_t page) {
  LatentCacheConfig config{latent, rope, page, elementType<T>(m)};
  std::string name =
      getOrCreateLatentAppendKernel(m.module(), config, m.target())
          .getName()
          .str();
  ASSERT_TRUE(m.compile());
  Chunk chunks[] = {{0, 3}, {62, 5}, {128, 1}, {7, 0}};
  Step step(chunks, page);
  Array<float> c({step.tokens, latent}, /*rowPadding=*/3);
  Array<float> kpe({step.tokens, rope}, /*rowPadding=*/5);
  c.random(1);
  kpe.random(2);
  for (int64_t parts : {1, 2, 3, 7}) {
    Array<T> cache({step.pages, page, latent + rope});
    cache.fill(fromFloat<T>(9.0f));
    Array<T> expected({step.pages, page, latent + rope});
    expected.fill(fromFloat<T>(9.0f));
    for (int64_t t = 0; t < step.tokens; ++t) {
      int64_t position = (*step.positions)(t);
      int64_t p = step.pageAt((*step.seqIds)(t), position);
      for (int64_t i = 0; i < latent; ++i)
        expected(p, position % page, i) = fromFloat<T>(c(t, i));
      for (int64_t i = 0; i < rope; ++i)
        expected(p, position % page, latent + i) = fromFloat<T>(kpe(t, i));
    }
    m.run(name, parts, c, kpe, *step.positions, *step.seqIds, *step.blockTables,
          cache);
    EXPECT_TRUE(sameBits(cache, expected)) << parts << " parts";
    EXPECT_TRUE(cache.guardIntact());
  }
}

TEST_P(Attention, AppendWritesTheRowsOfTheStep) {
  for (auto [latent, rope, page] :
       {std::tuple(32, 8, 16), std::tuple(512, 64, 64),
        std::tuple(33, 6, 64)}) {
    KernelModule f32(GetParam()), bf16(GetParam());
    testAppend<float>(f32, latent, rope, page);
    testAppend<uint16_t>(bf16, latent, rope, page);
  }
}

TEST_P(Attention, CopyPagesMovesBitsInEveryLayer) {
  KernelModule m(GetParam());
  LatentCacheConfig config{33, 6, 16, BFloat16Type::get(m.context())};
  std::string name = getOrCreateCopyPagesKernel(m.module(), config, m.target())
                         .getName()
                         .str();
  ASSERT_TRUE(m.compile());
  constexpr int64_t kLayers = 3, kPages = 7;
  for (int64_t parts : {1, 2, 7}) {
    Array<uint16_t> cache({kLayers, kPages, config.page, config.rowWidth()});
    Array<uint16_t> expected({kLayers, kPages, config.page, config.rowWidth()});
    // All bit patterns, signalling NaN among them.
    for (int64_t i = 0; i < cache.size(); ++i)
      cache.data()[i] = expected.data()[i] = static_cast<uint16_t>(i * 37);
    Array<int32_t> from({2}), to({2});
    from(0) = 5, to(0) = 1, from(1) = 0, to(1) = 6;
    for (int64_t l = 0; l < kLayers; ++l)
      for (int64_t i = 0; i < 2; ++i)
        for (int64_t r = 0; r < config.page; ++r)
          for (int64_t c = 0; c < config.rowWidth(); ++c)
            expected(l, to(i), r, c) = expected(l, from(i), r, c);
    m.run(name, parts, cache, from, to);
    EXPECT_TRUE(sameBits(cache, expected));
    Array<int32_t> none({0});
    m.run(name, parts, cache, none, none);
    EXPECT_TRUE(sameBits(cache, expected));
  }
}

//===----------------------------------------------------------------------===//
// Absorbed form
//===----------------------------------------------------------------------===//

struct Shape {
  int64_t heads, latent, rope, nope, value, page;
};

template <typename T>
void testAbsorbed(StringRef cpu, Shape shape, ArrayRef<Chunk> chunks) {
  SCOPED_TRACE(testing::Message()
               << "heads " << shape.heads << " latent " << shape.latent
               << " rope " << shape.rope << " page " << shape.page);
  KernelModule m(cpu);
  constexpr float kScale = 0.1147f;
  AbsorbedAttentionConfig config;
  config.cache = {shape.latent, shape.rope, shape.page, elementType<T>(m)};
  config.heads = shape.heads;
  config.scale = kScale;
  std::string name =
      getOrCreateAbsorbedAttentionKernel(m.module(), config, m.target())
          .getName()
          .str();
  ASSERT_TRUE(m.compile());
  EXPECT_EQ(m.llvmIR().find("llvm.exp"), std::string::npos);

  Step step(chunks, shape.page);
  Array<T> cache = makeCache<T>(step, chunks, shape.latent + shape.rope);
  Array<float> ql({step.tokens, shape.heads, shape.latent}, 4);
  Array<float> qr({step.tokens, shape.heads, shape.rope}, 2);
  ql.random(11);
  qr.random(12);
  Array<float> first({step.tokens, shape.heads, shape.latent});
  m.run(name, 1, ql, qr, cache, *step.positions, *step.seqIds,
        *step.blockTables, first);
  EXPECT_TRUE(first.guardIntact());
  for (int64_t t = 0; t < step.tokens; ++t) {
    int64_t s = (*step.seqIds)(t), position = (*step.positions)(t);
    auto row = [&](int64_t j, int64_t i) -> double {
      return toFloat(cache(step.pageAt(s, j), j % step.page, i));
    };
    for (int64_t h = 0; h < shape.heads; ++h) {
      auto score = [&](int64_t j) {
        double sum = 0;
        for (int64_t i = 0; i < shape.latent; ++i)
          sum += ql(t, h, i) * row(j, i);
        for (int64_t i = 0; i < shape.rope; ++i)
          sum += qr(t, h, i) * row(j, shape.latent + i);
        return sum;
      };
      std::vector<double> expected =
          attend(position + 1, kScale, shape.latent, score, row);
      for (int64_t i = 0; i < shape.latent; ++i)
        ASSERT_NEAR(first(t, h, i), expected[i], 2e-6)
            << "token " << t << " head " << h << " element " << i;
    }
  }
  for (int64_t parts : {2, 3, 7}) {
    Array<float> z({step.tokens, shape.heads, shape.latent});
    m.run(name, parts, ql, qr, cache, *step.positions, *step.seqIds,
          *step.blockTables, z);
    EXPECT_TRUE(sameBits(z, first)) << parts << " parts";
  }
  // Each token alone, as a step of its own.
  for (int64_t t = 0; t < step.tokens; ++t) {
    int64_t s = (*step.seqIds)(t);
    Array<int32_t> zero({1});
    zero.fill(0);
    Array<float> z({1, shape.heads, shape.latent});
    m.run(name, 2, ql.rows(t, t + 1), qr.rows(t, t + 1), cache,
          step.positions->rows(t, t + 1), zero,
          step.blockTables->rows(s, s + 1), z);
    ASSERT_EQ(0,
              std::memcmp(z.data(), &first(t, 0, 0), z.size() * sizeof(float)))
        << "token " << t;
  }
}

// Context lengths at and around every block and page edge.
const Chunk kRagged[] = {{0, 1},   {62, 1}, {63, 1}, {64, 1}, {128, 1},
                         {299, 1}, {5, 3},  {30, 4}, {9, 0}};

TEST_P(Attention, AbsorbedMatchesPlainLoops) {
  for (Shape shape :
       {Shape{1, 32, 8, 16, 16, 64}, Shape{3, 32, 8, 16, 16, 16},
        Shape{5, 40, 6, 16, 16, 32}, Shape{16, 512, 64, 128, 128, 64}}) {
    testAbsorbed<float>(GetParam(), shape, kRagged);
    testAbsorbed<uint16_t>(GetParam(), shape, kRagged);
  }
}

// More heads than one group may have.
TEST_P(Attention, AbsorbedWithManyHeads) {
  testAbsorbed<float>(GetParam(), Shape{70, 32, 8, 16, 16, 64},
                      {Chunk{40, 1}, Chunk{2, 2}});
}

INSTANTIATE_TEST_SUITE_P(CPUs, Attention, ::testing::ValuesIn(testedCPUs()),
                         [](const auto &info) {
                           std::string name = info.param;
                           std::replace_if(
                               name.begin(), name.end(),
                               [](char c) { return !llvm::isAlnum(c); }, '_');
                           return name;
                         });

} // namespace
