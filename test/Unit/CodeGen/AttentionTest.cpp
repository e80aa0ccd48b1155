//===- AttentionTest.cpp - Latent attention against plain loops -----------===//
//
// Part of dsv2, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "KernelTestUtils.h"
#include "TestCache.h"

#include "dsv2/CodeGen/CPU/AttentionKernels.h"
#include "dsv2/CodeGen/CPU/PackKernels.h"
#include "dsv2/Support/BlockFormat.h"
#include "llvm/ADT/StringExtras.h"
#include "gtest/gtest.h"

#include <cmath>
#include <limits>
#include <optional>
#include <sys/mman.h>

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
TestCache makeCache(const LatentCacheConfig &config, const Step &step,
                    ArrayRef<Chunk> chunks, ArrayRef<int64_t> names = {}) {
  TestCache cache(config, step.pages);
  std::vector<float> row(config.latent + config.rope);
  for (size_t s = 0; s < chunks.size(); ++s)
    for (int64_t p = 0; p < chunks[s].start + chunks[s].count; ++p) {
      for (size_t i = 0; i < row.size(); ++i)
        row[i] = cacheValue(names.empty() ? s : names[s], p, i);
      cache.setRow(step.pageAt(s, p), p % step.page, row);
    }
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

void testAppend(StringRef cpu, const LatentCacheConfig &config) {
  SCOPED_TRACE(testing::Message()
               << stringifyCacheFormat(config.format).str() << " latent "
               << config.latent << " rope " << config.rope);
  KernelModule m(cpu);
  std::string name =
      getOrCreateLatentAppendKernel(m.module(), config, m.target())
          .getName()
          .str();
  ASSERT_TRUE(m.compile());
  Chunk chunks[] = {{0, 3}, {62, 5}, {128, 1}, {7, 0}};
  Step step(chunks, config.page);
  Array<float> c({step.tokens, config.latent}, /*rowPadding=*/3);
  Array<float> kpe({step.tokens, config.rope}, /*rowPadding=*/5);
  c.random(1);
  kpe.random(2);
  // Blocks of zeros and of magnitudes from far below the least scale to the
  // largest, some of which no scale reaches.
  for (int64_t t = 1; t < step.tokens; ++t) {
    float factor = t == 1 ? 0.0f : std::ldexp(1.0f, (int(t) - 5) * 8);
    for (int64_t i = 0; i < config.latent; ++i)
      c(t, i) *= factor;
    for (int64_t i = 0; i < config.rope; ++i)
      kpe(t, i) *= i < config.rope / 2 ? factor : 1.0f;
  }
  TestCache expected(config, step.pages);
  for (int64_t t = 0; t < step.tokens; ++t) {
    int64_t position = (*step.positions)(t);
    std::vector<float> row(&c(t, 0), &c(t, 0) + config.latent);
    row.insert(row.end(), &kpe(t, 0), &kpe(t, 0) + config.rope);
    expected.setRow(step.pageAt((*step.seqIds)(t), position),
                    position % config.page, row);
  }
  for (int64_t parts : {1, 2, 3, 7}) {
    TestCache cache(config, step.pages);
    m.run(name, parts, c, kpe, *step.positions, *step.seqIds, *step.blockTables,
          cache.descriptor());
    EXPECT_TRUE(cache.sameBits(expected)) << parts << " parts";
    EXPECT_TRUE(cache.guardIntact());
  }
}

TEST_P(Attention, AppendWritesTheRowsOfTheStep) {
  for (auto [latent, rope, page] :
       {std::tuple(32, 8, 16), std::tuple(512, 64, 64), std::tuple(33, 6, 64),
        std::tuple(200, 40, 16)})
    for (CacheFormat format : cacheFormats())
      testAppend(GetParam(), {latent, rope, page, format});
}

TEST_P(Attention, F043_AppendKeepsWhatIsNotFinite) {
  for (CacheFormat format : cacheFormats())
    for (float value : {NAN, -NAN, INFINITY, -INFINITY}) {
      SCOPED_TRACE(stringifyCacheFormat(format).str());
      KernelModule m(GetParam());
      LatentCacheConfig config{160, 32, 16, format};
      std::string append =
          getOrCreateLatentAppendKernel(m.module(), config, m.target())
              .getName()
              .str();
      AbsorbedAttentionConfig attention;
      attention.cache = config;
      attention.heads = 1;
      std::string attend =
          getOrCreateAbsorbedAttentionKernel(m.module(), attention, m.target())
              .getName()
              .str();
      ASSERT_TRUE(m.compile());
      Array<float> c({1, 160}), kpe({1, 32}), ql({1, 1, 160}), qr({1, 1, 32});
      Array<float> z({1, 1, 160});
      c.random(1);
      kpe.random(2);
      ql.random(3);
      qr.random(4);
      c(0, 150) = value;
      Array<int32_t> zero({1}), table({1, 1});
      zero.fill(0);
      table.fill(0);
      TestCache cache(config, 1);
      m.run(append, 1, c, kpe, zero, zero, table, cache.descriptor());
      m.run(attend, 1, ql, qr, cache.descriptor(), zero, zero, table, z);
      EXPECT_FALSE(std::isfinite(z(0, 0, 150)));
    }
}

TEST_P(Attention, CopyPagesMovesBitsInEveryLayer) {
  for (CacheFormat format : cacheFormats()) {
    SCOPED_TRACE(stringifyCacheFormat(format).str());
    KernelModule m(GetParam());
    LatentCacheConfig config{33, 6, 16, format};
    std::string name =
        getOrCreateCopyPagesKernel(m.module(), config, m.target())
            .getName()
            .str();
    ASSERT_TRUE(m.compile());
    constexpr int64_t kLayers = 3, kPages = 7;
    const int64_t pageBytes = config.page * config.row().bytes;
    const int64_t width = config.rowWidth(), page = config.page * width;
    for (int64_t parts : {1, 2, 7}) {
      Array<uint8_t> cache({kLayers, kPages, pageBytes});
      Array<uint8_t> expected({kLayers, kPages, pageBytes});
      // Any bit patterns, signalling NaN among them.
      for (int64_t i = 0; i < cache.size(); ++i)
        cache.data()[i] = expected.data()[i] =
            static_cast<uint8_t>(i * 37 + i / 256 * 11);
      Descriptor memory(cache.data(), 0, {kLayers, kPages, config.page, width},
                        {kPages * page, page, width, 1});
      Array<int32_t> from({2}), to({2}), none({0});
      from(0) = 5, to(0) = 1, from(1) = 0, to(1) = 6;
      for (int64_t l = 0; l < kLayers; ++l)
        for (int64_t i = 0; i < 2; ++i)
          std::memcpy(&expected(l, to(i), 0), &expected(l, from(i), 0),
                      pageBytes);
      m.run(name, parts, memory, from, to);
      EXPECT_TRUE(sameBits(cache, expected));
      EXPECT_TRUE(cache.guardIntact());
      m.run(name, parts, memory, none, none);
      EXPECT_TRUE(sameBits(cache, expected));
    }
  }
}

//===----------------------------------------------------------------------===//
// Absorbed form
//===----------------------------------------------------------------------===//

struct Shape {
  int64_t heads, latent, rope, nope, value, page;
};

/// Whether a kernel that may multiply bf16 pairs does.
bool hasPairs(const KernelModule &m, bool roundToBF16) {
  return roundToBF16 && m.target().hasAVX512BF16;
}

/// `roundToBF16`: with products of bf16 pairs where the processor has them.
void testAbsorbed(StringRef cpu, CacheFormat format, Shape shape,
                  ArrayRef<Chunk> chunks, bool roundToBF16 = false) {
  SCOPED_TRACE(testing::Message()
               << stringifyCacheFormat(format).str() << " heads " << shape.heads
               << " latent " << shape.latent << " rope " << shape.rope
               << " page " << shape.page);
  KernelModule m(cpu);
  constexpr float kScale = 0.1147f;
  AbsorbedAttentionConfig config;
  config.cache = {shape.latent, shape.rope, shape.page, format};
  config.heads = shape.heads;
  config.scale = kScale;
  config.roundToBF16 = roundToBF16;
  std::string name =
      getOrCreateAbsorbedAttentionKernel(m.module(), config, m.target())
          .getName()
          .str();
  ASSERT_TRUE(m.compile());
  EXPECT_EQ(m.llvmIR().find("llvm.exp"), std::string::npos);
  // Queries, and so scores of up to 3, and weights are off by 2^-9 of
  // themselves; scores sum hundreds of products whose errors differ in sign.
  const double tolerance = hasPairs(m, roundToBF16) ? 4e-3 : 2e-6;

  Step step(chunks, shape.page);
  TestCache cache = makeCache(config.cache, step, chunks);
  Array<float> ql({step.tokens, shape.heads, shape.latent}, 4);
  Array<float> qr({step.tokens, shape.heads, shape.rope}, 2);
  ql.random(11);
  qr.random(12);
  Array<float> first({step.tokens, shape.heads, shape.latent});
  m.run(name, 1, ql, qr, cache.descriptor(), *step.positions, *step.seqIds,
        *step.blockTables, first);
  EXPECT_TRUE(first.guardIntact());
  for (int64_t t = 0; t < step.tokens; ++t) {
    int64_t s = (*step.seqIds)(t), position = (*step.positions)(t);
    auto row = [&](int64_t j, int64_t i) -> double {
      return cache.at(step.pageAt(s, j), j % step.page, i);
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
        ASSERT_NEAR(first(t, h, i), expected[i], tolerance)
            << "token " << t << " head " << h << " element " << i;
    }
  }
  for (int64_t parts : {2, 3, 7}) {
    Array<float> z({step.tokens, shape.heads, shape.latent});
    m.run(name, parts, ql, qr, cache.descriptor(), *step.positions,
          *step.seqIds, *step.blockTables, z);
    EXPECT_TRUE(sameBits(z, first)) << parts << " parts";
  }
  // Each token alone, as a step of its own.
  for (int64_t t = 0; t < step.tokens; ++t) {
    int64_t s = (*step.seqIds)(t);
    Array<int32_t> zero({1});
    zero.fill(0);
    Array<float> z({1, shape.heads, shape.latent});
    m.run(name, 2, ql.rows(t, t + 1), qr.rows(t, t + 1), cache.descriptor(),
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
        Shape{5, 40, 6, 16, 16, 32}, Shape{2, 168, 40, 16, 16, 32},
        Shape{16, 512, 64, 128, 128, 64}})
    for (CacheFormat format : cacheFormats()) {
      testAbsorbed(GetParam(), format, shape, kRagged);
      if (format != CacheFormat::F32)
        testAbsorbed(GetParam(), format, shape, kRagged, /*roundToBF16=*/true);
    }
}

// More heads than one group may have.
TEST_P(Attention, AbsorbedWithManyHeads) {
  for (CacheFormat format : {CacheFormat::F32, CacheFormat::Q6})
    testAbsorbed(GetParam(), format, {70, 32, 8, 16, 16, 64},
                 {Chunk{40, 1}, Chunk{2, 2}});
}

//===----------------------------------------------------------------------===//
// Expanded form
//===----------------------------------------------------------------------===//

/// Element of panels in the format Q8.
using Q8Byte = uint8_t;

template <typename W> PanelFormat panelFormat() {
  return sizeof(W) == 1   ? PanelFormat::Q8
         : sizeof(W) == 2 ? PanelFormat::BF16
                          : PanelFormat::F32;
}

/// Plain weights [heads, rows, latent] with values that the format can hold.
template <typename W>
Array<float> makeWeights(int64_t heads, int64_t rows, int64_t latent,
                         unsigned seed) {
  Array<float> plain({heads, rows, latent});
  float size = 1.7f / std::sqrt(static_cast<float>(latent));
  plain.random(seed, size);
  if constexpr (std::is_same_v<W, Q8Byte>) {
    // Multiples of a power of two, the largest of each block 127 times that.
    float unit = std::exp2(std::floor(std::log2(size / 127)));
    for (int64_t i = 0; i < plain.size(); ++i) {
      float q =
          std::clamp(std::nearbyint(plain.data()[i] / unit), -127.f, 127.f);
      plain.data()[i] = unit * (i % latent % 32 == 0 ? 127.f : q);
    }
    return plain;
  }
  for (int64_t i = 0; i < plain.size(); ++i)
    plain.data()[i] = toFloat(fromFloat<W>(plain.data()[i]));
  return plain;
}

/// The same, as panels.
template <typename W>
Array<W> packHeadPanels(StringRef cpu, Array<float> &plain,
                        int64_t panelWidth) {
  int64_t heads = plain.dim(0), rows = plain.dim(1), latent = plain.dim(2);
  if constexpr (std::is_same_v<W, Q8Byte>) {
    Array<W> panels({heads, (rows + panelWidth - 1) / panelWidth,
                     kQ8Format.blocks(latent),
                     kQ8Format.panelBytes(panelWidth)});
    KernelModule m(cpu);
    PackConfig config;
    config.format = PanelFormat::Q8;
    config.batched = true;
    std::string pack =
        getOrCreatePackPanelsKernel(m.module(), config, m.target())
            .getName()
            .str();
    EXPECT_TRUE(m.compile());
    m.run(pack, 1, plain, panels);
    return panels;
  }
  Array<W> panels(
      {heads, (rows + panelWidth - 1) / panelWidth, latent, panelWidth});
  panels.fill(W());
  for (int64_t h = 0; h < heads; ++h)
    for (int64_t n = 0; n < rows; ++n)
      for (int64_t l = 0; l < latent; ++l)
        panels(h, n / panelWidth, l, n % panelWidth) =
            fromFloat<W>(plain(h, n, l));
  return panels;
}

/// A compiled kernel with its weights.
template <typename W> struct Expanded {
  Expanded(StringRef cpu, CacheFormat format, Shape shape, int64_t block = 0,
           int64_t queryTile = 0, bool roundToBF16 = false)
      : m(cpu), shape(shape),
        cacheConfig{shape.latent, shape.rope, shape.page, format},
        uk(makeWeights<W>(shape.heads, shape.nope, shape.latent, 21)),
        uv(makeWeights<W>(shape.heads, shape.value, shape.latent, 22)),
        ukPanels(packHeadPanels<W>(cpu, uk, m.target().panelWidth())),
        uvPanels(packHeadPanels<W>(cpu, uv, m.target().panelWidth())) {
    ExpandedAttentionConfig config;
    config.cache = cacheConfig;
    config.heads = shape.heads;
    config.nope = shape.nope;
    config.value = shape.value;
    config.scale = kScale;
    config.weightFormat = panelFormat<W>();
    config.roundToBF16 = roundToBF16;
    config.block = block;
    config.queryTile = queryTile;
    name = getOrCreateExpandedAttentionKernel(m.module(), config, m.target())
               .getName()
               .str();
    compiled = m.compile();
  }

  /// Queries depend on the position only, so that steps can be compared.
  Array<float> queries(const Step &step, ArrayRef<int64_t> names, int64_t width,
                       int64_t salt) const {
    Array<float> q({step.tokens, shape.heads, width}, /*rowPadding=*/3);
    q.fill(std::numeric_limits<float>::quiet_NaN());
    for (int64_t t = 0; t < step.tokens; ++t)
      for (int64_t h = 0; h < shape.heads; ++h)
        for (int64_t i = 0; i < width; ++i)
          q(t, h, i) = cacheValue(salt + names[(*step.seqIds)(t)],
                                  (*step.positions)(t), h * width + i);
    return q;
  }

  /// o of a step. Sequence s of the step has the contents of names[s].
  Array<float> run(ArrayRef<Chunk> chunks, ArrayRef<int64_t> names,
                   int64_t parts) {
    Step step(chunks, shape.page);
    TestCache cache = makeCache(cacheConfig, step, chunks, names);
    Array<float> qn = queries(step, names, shape.nope, 100);
    Array<float> qr = queries(step, names, shape.rope, 200);
    Array<float> o({step.tokens, shape.heads, shape.value}, 5);
    m.run(name, parts, qn, qr, ukPanels, uvPanels, cache.descriptor(),
          *step.positions, *step.seqStarts, *step.blockTables, o);
    EXPECT_TRUE(o.guardIntact());
    return o;
  }

  KernelModule m;
  Shape shape;
  LatentCacheConfig cacheConfig;
  static constexpr float kScale = 0.1147f;
  Array<float> uk, uv;
  Array<W> ukPanels, uvPanels;
  std::string name;
  bool compiled = false;
};

/// Whether `count` tokens from `a` on equal those of `other` from `b` on.
bool sameTokens(const Array<float> &x, int64_t a, const Array<float> &y,
                int64_t b, int64_t count) {
  for (int64_t t = 0; t < count; ++t)
    for (int64_t h = 0; h < x.dim(1); ++h)
      if (std::memcmp(&x(a + t, h, 0), &y(b + t, h, 0),
                      x.dim(2) * sizeof(float)) != 0)
        return false;
  return true;
}

template <typename W>
void testExpanded(StringRef cpu, CacheFormat format, Shape shape,
                  ArrayRef<Chunk> chunks, bool roundToBF16 = false) {
  SCOPED_TRACE(testing::Message()
               << stringifyCacheFormat(format).str() << " heads " << shape.heads
               << " latent " << shape.latent << " rope " << shape.rope
               << " nope " << shape.nope << " value " << shape.value << " page "
               << shape.page);
  Expanded<W> kernel(cpu, format, shape, 0, 0, roundToBF16);
  ASSERT_TRUE(kernel.compiled);
  EXPECT_EQ(kernel.m.llvmIR().find("llvm.exp"), std::string::npos);
  // A quantised latent is off by 1/254 of its block's largest element at most,
  // a bf16 by 2^-9 of itself; products sum many such errors of either sign.
  double tolerance = 4e-6;
  if (hasPairs(kernel.m, roundToBF16))
    tolerance = 8e-3;
  if (sizeof(W) == 1)
    tolerance = 2e-2;
  SmallVector<int64_t> names;
  for (size_t s = 0; s < chunks.size(); ++s)
    names.push_back(s);
  Array<float> o = kernel.run(chunks, names, 1);

  Step step(chunks, shape.page);
  TestCache cache = makeCache(kernel.cacheConfig, step, chunks);
  Array<float> qn = kernel.queries(step, names, shape.nope, 100);
  Array<float> qr = kernel.queries(step, names, shape.rope, 200);
  // The absorbed form on the same data, its two products done in double.
  AbsorbedAttentionConfig config;
  KernelModule absorbed(cpu);
  config.cache = kernel.cacheConfig;
  config.heads = shape.heads;
  config.scale = kernel.kScale;
  std::string name = getOrCreateAbsorbedAttentionKernel(
                         absorbed.module(), config, absorbed.target())
                         .getName()
                         .str();
  ASSERT_TRUE(absorbed.compile());
  Array<float> ql({step.tokens, shape.heads, shape.latent});
  Array<float> z({step.tokens, shape.heads, shape.latent});
  for (int64_t t = 0; t < step.tokens; ++t)
    for (int64_t h = 0; h < shape.heads; ++h)
      for (int64_t l = 0; l < shape.latent; ++l) {
        double sum = 0;
        for (int64_t n = 0; n < shape.nope; ++n)
          sum += static_cast<double>(kernel.uk(h, n, l)) * qn(t, h, n);
        ql(t, h, l) = static_cast<float>(sum);
      }
  absorbed.run(name, 1, ql, qr, cache.descriptor(), *step.positions,
               *step.seqIds, *step.blockTables, z);

  for (int64_t t = 0; t < step.tokens; ++t) {
    int64_t s = (*step.seqIds)(t), position = (*step.positions)(t);
    auto row = [&](int64_t j, int64_t i) -> double {
      return cache.at(step.pageAt(s, j), j % step.page, i);
    };
    for (int64_t h = 0; h < shape.heads; ++h) {
      // The expanded formula, with the products in the cheaper order.
      std::vector<double> query(shape.latent, 0.0);
      for (int64_t n = 0; n < shape.nope; ++n)
        for (int64_t l = 0; l < shape.latent; ++l)
          query[l] += static_cast<double>(kernel.uk(h, n, l)) * qn(t, h, n);
      auto score = [&](int64_t j) {
        double sum = 0;
        for (int64_t i = 0; i < shape.latent; ++i)
          sum += query[i] * row(j, i);
        for (int64_t i = 0; i < shape.rope; ++i)
          sum += qr(t, h, i) * row(j, shape.latent + i);
        return sum;
      };
      std::vector<double> mean =
          attend(position + 1, kernel.kScale, shape.latent, score, row);
      for (int64_t v = 0; v < shape.value; ++v) {
        double expected = 0, viaLatent = 0;
        for (int64_t l = 0; l < shape.latent; ++l) {
          expected += kernel.uv(h, v, l) * mean[l];
          viaLatent += static_cast<double>(kernel.uv(h, v, l)) * z(t, h, l);
        }
        ASSERT_NEAR(o(t, h, v), expected, tolerance)
            << "token " << t << " head " << h << " element " << v;
        ASSERT_NEAR(o(t, h, v), viaLatent, tolerance)
            << "token " << t << " head " << h << " element " << v;
      }
    }
  }
  for (int64_t parts : {2, 3, 7, 40})
    EXPECT_TRUE(
        sameTokens(o, 0, kernel.run(chunks, names, parts), 0, step.tokens))
        << parts << " parts";
}

// Chunks that start and end at and around every block and page edge; one of a
// single token, one empty.
const Chunk kChunks[] = {{0, 1},  {0, 63}, {0, 65},  {62, 3},  {63, 66},
                         {64, 5}, {9, 0},  {127, 2}, {280, 20}};

TEST_P(Attention, ExpandedMatchesPlainLoopsAndAbsorbed) {
  for (Shape shape : {Shape{1, 32, 8, 16, 16, 64}, Shape{3, 32, 8, 16, 16, 16},
                      Shape{5, 40, 6, 20, 37, 32}}) {
    testExpanded<float>(GetParam(), CacheFormat::F32, shape, kChunks);
    for (CacheFormat format : cacheFormats().drop_front())
      for (bool roundToBF16 : {false, true}) {
        testExpanded<uint16_t>(GetParam(), format, shape, kChunks, roundToBF16);
        testExpanded<Q8Byte>(GetParam(), format, shape, kChunks, roundToBF16);
      }
  }
}

TEST_P(Attention, ExpandedWithPublishedWidths) {
  const Chunk chunks[] = {{0, 5}, {61, 6}, {128, 1}};
  testExpanded<uint16_t>(GetParam(), CacheFormat::F32,
                         {16, 512, 64, 128, 128, 64}, chunks);
  for (CacheFormat format : cacheFormats().drop_front())
    testExpanded<float>(GetParam(), format, {3, 512, 64, 128, 128, 64}, chunks);
}

TEST_P(Attention, F048_ChunkingDoesNotShow) {
  for (CacheFormat format : cacheFormats().drop_front()) {
    Expanded<float> kernel(GetParam(), format, {3, 32, 8, 16, 20, 64});
    ASSERT_TRUE(kernel.compiled);
    constexpr int64_t kLength = 150;
    Array<float> whole = kernel.run({Chunk{0, kLength}}, {0}, 1);
    for (int64_t size : {1, 7, 16, 64, 100})
      for (int64_t start = 0; start < kLength; start += size) {
        int64_t count = std::min(size, kLength - start);
        Array<float> o = kernel.run({Chunk{start, count}}, {0}, 2);
        ASSERT_TRUE(sameTokens(o, 0, whole, start, count))
            << stringifyCacheFormat(format).str() << " chunks of " << size
            << ", the one from " << start;
      }
  }
}

TEST_P(Attention, BatchDoesNotShow) {
  Expanded<float> kernel(GetParam(), CacheFormat::F32, {2, 32, 8, 16, 16, 16});
  ASSERT_TRUE(kernel.compiled);
  const Chunk chunks[] = {{3, 70}, {0, 1}, {100, 31}, {17, 4}};
  Array<float> together = kernel.run(chunks, {5, 6, 7, 8}, 3);
  int64_t start = 0;
  for (int64_t s = 0; s < 4; ++s) {
    Array<float> alone = kernel.run({chunks[s]}, {5 + s}, 1);
    EXPECT_TRUE(sameTokens(alone, 0, together, start, chunks[s].count))
        << "sequence " << s;
    start += chunks[s].count;
  }
}

TEST_P(Attention, LengthOfRunsDoesNotShow) {
  Shape shape{2, 32, 8, 16, 16, 64};
  Expanded<float> usual(GetParam(), CacheFormat::F32, shape);
  Expanded<float> shortRuns(GetParam(), CacheFormat::F32, shape, 0,
                            /*queryTile=*/10);
  ASSERT_TRUE(usual.compiled && shortRuns.compiled);
  const Chunk chunks[] = {{50, 43}, {0, 12}};
  EXPECT_TRUE(sameTokens(usual.run(chunks, {0, 1}, 1), 0,
                         shortRuns.run(chunks, {0, 1}, 2), 0, 55));
}

TEST_P(Attention, F043_NothingInNothingOut) {
  Shape shape{2, 32, 8, 16, 16, 64};
  Expanded<float> kernel(GetParam(), CacheFormat::F32, shape);
  ASSERT_TRUE(kernel.compiled);
  EXPECT_EQ(kernel.run({}, {}, 3).dim(0), 0);
  EXPECT_EQ(kernel.run({Chunk{5, 0}, Chunk{0, 0}}, {0, 1}, 2).dim(0), 0);
}

TEST_P(Attention, F043_NaNOfALaterTokenStaysThere) {
  // Position 70 holds NaN; tokens before it share tiles and blocks with it.
  for (CacheFormat format : cacheFormats()) {
    SCOPED_TRACE(stringifyCacheFormat(format).str());
    Shape shape{2, 32, 8, 16, 16, 64};
    Expanded<float> kernel(GetParam(), format, shape);
    ASSERT_TRUE(kernel.compiled);
    const Chunk chunk[] = {{60, 20}};
    Array<float> clean = kernel.run(chunk, {0}, 1);
    Step step(chunk, shape.page);
    TestCache cache = makeCache(kernel.cacheConfig, step, chunk);
    cache.setRow(step.pageAt(0, 70), 70 % shape.page,
                 std::vector<float>(40, NAN));
    Array<float> qn = kernel.queries(step, {0}, shape.nope, 100);
    Array<float> qr = kernel.queries(step, {0}, shape.rope, 200);
    Array<float> o({step.tokens, shape.heads, shape.value});
    kernel.m.run(kernel.name, 1, qn, qr, kernel.ukPanels, kernel.uvPanels,
                 cache.descriptor(), *step.positions, *step.seqStarts,
                 *step.blockTables, o);
    EXPECT_TRUE(sameTokens(o, 0, clean, 0, 10));
    EXPECT_TRUE(std::isnan(o(10, 0, 0)));
    EXPECT_TRUE(std::isnan(o(19, 1, 3)));
  }
}

TEST_P(Attention, F047_PageOffsetsBeyond31Bits) {
  // The last page of a large pool starts beyond element 2^31. The memory is
  // reserved, and only that page is touched.
  KernelModule m(GetParam());
  LatentCacheConfig cacheConfig{512, 64, 64, CacheFormat::F32};
  constexpr int64_t kPages = 60000, kRow = 576, kPage = 64 * kRow;
  static_assert(kPage * (kPages - 1) > int64_t(1) << 31);
  size_t bytes = kPage * kPages * sizeof(float);
  void *memory = mmap(nullptr, bytes, PROT_READ | PROT_WRITE,
                      MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (memory == MAP_FAILED)
    GTEST_SKIP() << "cannot reserve " << bytes << " bytes of address space";

  AbsorbedAttentionConfig config;
  config.cache = cacheConfig;
  config.heads = 2;
  std::string append =
      getOrCreateLatentAppendKernel(m.module(), cacheConfig, m.target())
          .getName()
          .str();
  std::string attend =
      getOrCreateAbsorbedAttentionKernel(m.module(), config, m.target())
          .getName()
          .str();
  ASSERT_TRUE(m.compile());
  Descriptor cache(memory, 0, {kPages, 64, kRow}, {kPage, kRow, 1});
  Array<float> c({1, 512}), kpe({1, 64}), ql({1, 2, 512}), qr({1, 2, 64});
  Array<float> z({1, 2, 512});
  c.random(1);
  kpe.random(2);
  ql.random(3);
  qr.random(4);
  Array<int32_t> zero({1}), table({1, 1});
  zero.fill(0);
  table.fill(kPages - 1);
  m.run(append, 1, c, kpe, zero, zero, table, cache);
  const float *row = static_cast<const float *>(memory) + kPage * (kPages - 1);
  EXPECT_EQ(0, std::memcmp(row, c.data(), 512 * sizeof(float)));
  EXPECT_EQ(0, std::memcmp(row + 512, kpe.data(), 64 * sizeof(float)));
  // One position only: its weight is 1.
  m.run(attend, 1, ql, qr, cache, zero, zero, table, z);
  for (int64_t h = 0; h < 2; ++h)
    EXPECT_EQ(0, std::memcmp(&z(0, h, 0), c.data(), 512 * sizeof(float)));
  munmap(memory, bytes);
}

TEST_P(Attention, F112_VectorsOfTheTargetAndNoLibraryCalls) {
  KernelModule m(GetParam());
  for (CacheFormat format : cacheFormats().drop_front()) {
    LatentCacheConfig cache{64, 8, 64, format};
    AbsorbedAttentionConfig absorbed;
    absorbed.cache = cache;
    absorbed.heads = 4;
    ExpandedAttentionConfig expanded;
    expanded.cache = cache;
    expanded.heads = 4;
    expanded.nope = expanded.value = 16;
    getOrCreateLatentAppendKernel(m.module(), cache, m.target());
    getOrCreateAbsorbedAttentionKernel(m.module(), absorbed, m.target());
    getOrCreateExpandedAttentionKernel(m.module(), expanded, m.target());
  }
  ASSERT_TRUE(m.compile());
  EXPECT_NE(
      m.llvmIR().find("<" + std::to_string(m.target().lanes()) + " x float>"),
      std::string::npos);
  // Every declaration is an intrinsic that has an instruction.
  StringRef text(m.llvmIR());
  SmallVector<StringRef> lines;
  text.split(lines, '\n');
  for (StringRef line : lines)
    if (line.starts_with("declare ")) {
      EXPECT_TRUE(line.contains("@llvm.")) << line.str();
      for (StringRef function : {"exp", "sin", "cos", "pow", "log"})
        EXPECT_FALSE(line.contains(("@llvm." + function + ".").str()))
            << line.str();
      if (!m.target().hasFMA)
        EXPECT_FALSE(line.contains("@llvm.fma.")) << line.str();
    }
}

INSTANTIATE_TEST_SUITE_P(CPUs, Attention, ::testing::ValuesIn(testedCPUs()),
                         cpuName);

} // namespace
