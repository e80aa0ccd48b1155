//===- QuantKernelsTest.cpp - Products with quantised weights -------------===//
//
// Part of dsv2, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// Quantisation is compared with its definition byte by byte, products with the
// sums of exact integer dot products that BlockFormat.h describes.
//
//===----------------------------------------------------------------------===//

#include "dsv2/CodeGen/CPU/QuantKernels.h"

#include "KernelTestUtils.h"
#include "dsv2/CodeGen/CPU/PackKernels.h"
#include "dsv2/Support/BlockFormat.h"
#include "gtest/gtest.h"

#include <array>
#include <cmath>
#include <limits>

using namespace mlir::dsv2;
using namespace mlir::dsv2::cpu;
using namespace mlir::dsv2::cpu::test;

namespace {

constexpr int64_t kBlock = kQ8Format.elements;
static_assert(kQ4Format.elements == kBlock, "rows meet weights of both");
constexpr PanelFormat kFormats[] = {PanelFormat::Q8, PanelFormat::Q4};
constexpr int64_t kRowBlock = QuantizedActivation::kBlockBytes;

/// The kernels of one format.
struct FormatKernels {
  std::string pack, packExperts, packGated, packHeads, matmul, residual,
      largest, gated, gatedQuantize, grouped, groupedGated,
      groupedGatedQuantize, heads, packRows, packHeadRows, packGatedRows;
};

/// Every kernel of the family for one processor, compiled once.
struct Kernels {
  explicit Kernels(const std::string &cpu) : module(cpu) {
    mlir::ModuleOp m = module.module();
    const CPUTargetInfo &target = module.target();
    auto add = [&](mlir::func::FuncOp kernel) {
      return kernel.getName().str();
    };
    quantize = add(getOrCreateQuantizeRowsKernel(m, target));
    quantizeHeads = add(getOrCreateQuantizeRowsKernel(m, target, /*rank=*/3));
    for (PanelFormat format : kFormats) {
      FormatKernels &k = of(format);
      PackConfig config;
      config.format = format;
      k.pack = add(getOrCreatePackPanelsKernel(m, config, target));
      config.batched = true;
      k.packExperts = add(getOrCreatePackPanelsKernel(m, config, target));
      k.packGated = add(getOrCreatePackGatedPanelsKernel(m, config, target));
      config.transposed = true;
      k.packHeads = add(getOrCreatePackPanelsKernel(m, config, target));
      config.rows = true;
      k.packHeadRows = add(getOrCreatePackPanelsKernel(m, config, target));
      config.batched = config.transposed = false;
      k.packRows = add(getOrCreatePackPanelsKernel(m, config, target));
      k.packGatedRows = add(getOrCreatePackGatedRowsKernel(m, config, target));
      k.heads = add(getOrCreateHeadMatmulKernel(m, {format}, target));
      k.matmul = add(getOrCreateMatmulKernel(m, {format, false}, target));
      k.residual = add(getOrCreateMatmulKernel(m, {format, true}, target));
      k.largest =
          add(getOrCreateMatmulKernel(m, {format, false, true}, target));
      k.grouped =
          add(getOrCreateGroupedMatmulKernel(m, {format, false}, target));
      k.groupedGated =
          add(getOrCreateGroupedGatedMatmulKernel(m, {format, true}, target));
      k.groupedGatedQuantize = add(
          getOrCreateGroupedGatedMatmulKernel(m, {format, true, true}, target));
      k.gated = add(getOrCreateGatedMatmulKernel(m, {format, false}, target));
      k.gatedQuantize =
          add(getOrCreateGatedMatmulKernel(m, {format, true}, target));
    }
    PackConfig floats;
    floats.format = PanelFormat::FP8;
    floats.rows = true;
    packFloatRows = add(getOrCreatePackPanelsKernel(m, floats, target));
    compiled = module.compile();
  }

  FormatKernels &of(PanelFormat format) {
    return formats[format == PanelFormat::Q4];
  }

  KernelModule module;
  bool compiled;
  std::string quantize, quantizeHeads, packFloatRows;
  FormatKernels formats[2];
};

using QuantTest = KernelTest<Kernels>;

int64_t blocksOf(int64_t columns) { return kQ8Format.blocks(columns); }

/// A row in blocks, by the definition.
struct QuantizedRow {
  std::vector<int32_t> values; // padded to whole blocks
  std::vector<float> scales;
};

/// `storedScale` rounds the scale as it is kept.
template <class Round>
QuantizedRow quantize(int64_t columns, llvm::function_ref<float(int64_t)> at,
                      Round storedScale) {
  QuantizedRow row;
  for (int64_t k = 0; k < blocksOf(columns); ++k) {
    float values[kBlock], largest = 0;
    for (int64_t j = 0; j < kBlock; ++j) {
      values[j] = k * kBlock + j < columns ? at(k * kBlock + j) : 0.0f;
      largest = std::max(largest, std::fabs(values[j]));
    }
    float scale = storedScale(largest * (1.0f / 127));
    float inverse = scale == 0 ? 0 : 1 / scale;
    for (float value : values)
      row.values.push_back(std::clamp(
          static_cast<int32_t>(std::nearbyint(value * inverse)), -127, 127));
    row.scales.push_back(scale);
  }
  return row;
}

template <class Values>
QuantizedRow quantizeActivation(int64_t columns, Values at) {
  return quantize(columns, at, [](float scale) { return scale; });
}
template <class Values> QuantizedRow quantizeQ8(int64_t columns, Values at) {
  return quantize(columns, at,
                  [](float scale) { return fromBF16(toBF16(scale)); });
}

/// The scale that a byte of q4 stands for.
float decodeQ4(int code) {
  int exponent = code >> 3 & 15, mantissa = code & 7;
  if (exponent == 15)
    return std::numeric_limits<float>::quiet_NaN();
  float magnitude = std::ldexp(1.0f + mantissa / 8.0f, exponent - 13);
  return code & 0x80 ? -magnitude : magnitude;
}

/// Row `r` of the panel whose blocks start at `bytes`.
QuantizedRow unpack(const uint8_t *bytes, PanelFormat format, int64_t blocks,
                    int64_t width, int64_t r) {
  QuantizedRow row;
  const BlockFormat &layout = *getBlockFormat(format);
  for (int64_t k = 0; k < blocks; ++k, bytes += layout.panelBytes(width)) {
    for (int64_t j = 0; j < kBlock; ++j) {
      if (format == PanelFormat::Q8) {
        row.values.push_back(bytes[j / 4 * 4 * width + 4 * r + j % 4] - 128);
        continue;
      }
      int byte = bytes[j / 8 * 4 * width + 4 * r + j % 4];
      row.values.push_back((j % 8 < 4 ? byte & 15 : byte >> 4) - 8);
    }
    if (format == PanelFormat::Q8) {
      uint16_t scale;
      std::memcpy(&scale, bytes + kBlock * width + 2 * r, 2);
      row.scales.push_back(fromBF16(scale));
    } else {
      row.scales.push_back(decodeQ4(bytes[kBlock / 2 * width + r]));
    }
  }
  return row;
}

/// Row `i` of packed weights [..., panel, blocks, bytes] that start at `bytes`.
QuantizedRow rowOf(const uint8_t *bytes, PanelFormat format, int64_t blocks,
                   int64_t width, int64_t i, int64_t panelsApart = 1) {
  int64_t panelBytes = blocks * getBlockFormat(format)->panelBytes(width);
  return unpack(bytes + i / width * panelsApart * panelBytes, format, blocks,
                width, i % width);
}

/// The row of `columns` elements that GPUs read at `bytes`: BlockFormat.h.
QuantizedRow unpackRow(const uint8_t *bytes, PanelFormat format,
                       int64_t columns) {
  QuantizedRow row;
  const BlockFormat &layout = *getBlockFormat(format);
  bool isQ8 = format == PanelFormat::Q8;
  for (int64_t k = 0; k < blocksOf(columns); ++k) {
    const uint8_t *group = bytes + k / layout.groupBlocks() * 64;
    int64_t block = k % layout.groupBlocks();
    for (int64_t j = 0; j < kBlock; ++j) {
      const uint8_t *piece = group + 16 * (j / 8);
      if (isQ8) {
        int64_t place = std::array{0, 2, 1, 3}[j % 4];
        row.values.push_back(
            int8_t(piece[8 * block + 4 * (j / 4 % 2) + place]));
        continue;
      }
      uint32_t word;
      std::memcpy(&word, piece + 4 * block, 4);
      row.values.push_back(
          int32_t(word >> (4 * (j / 2 % 4) + 16 * (j % 2)) & 15) - 8);
    }
    const uint8_t *scale =
        bytes + layout.scaleOffset(columns) + k * layout.scaleBytes;
    row.scales.push_back(isQ8 ? fromBF16(uint16_t(scale[0] | scale[1] << 8))
                              : decodeQ4(scale[0]));
  }
  return row;
}

/// What a product of the two rows is, and what f32 may be off by.
struct Dot {
  double value = 0, bound = 0;
};
Dot dot(const QuantizedRow &x, const QuantizedRow &w) {
  Dot d;
  double magnitude = 0;
  for (size_t k = 0; k < x.scales.size(); ++k) {
    int64_t sum = 0;
    for (int64_t j = 0; j < kBlock; ++j)
      sum += int64_t(x.values[k * kBlock + j]) * w.values[k * kBlock + j];
    double product = double(sum) * x.scales[k] * w.scales[k];
    d.value += product;
    magnitude += std::fabs(product);
  }
  // Three roundings a block, and those of the sums before.
  d.bound = (x.scales.size() + 4) * magnitude / (1 << 23) + 1e-30;
  return d;
}

/// Whether pairs of bytes are the most that the processor multiplies at once.
bool multipliesPairs(const CPUTargetInfo &target) {
  return !target.hasVNNI && target.hasFeature("ssse3");
}

Array<int8_t> makeRows(int64_t tokens, int64_t columns) {
  return Array<int8_t>({tokens, blocksOf(columns) * kRowBlock}, 3);
}

/// Whether two arrays of rows hold the same bytes.
bool sameRows(const Array<int8_t> &a, const Array<int8_t> &b) {
  for (int64_t t = 0; t < a.dim(0); ++t)
    for (int64_t j = 0; j < a.dim(1); ++j)
      if (a(t, j) != b(t, j))
        return false;
  return a.guardIntact() && b.guardIntact();
}

Array<uint8_t> makePanels(PanelFormat format, int64_t rows, int64_t columns,
                          int64_t width) {
  return Array<uint8_t>({(rows + width - 1) / width, blocksOf(columns),
                         getBlockFormat(format)->panelBytes(width)});
}

} // namespace

TEST_P(QuantTest, RowsAreQuantisedAsDefined) {
  for (int64_t columns : {1, 31, 32, 33, 64, 100, 576})
    for (int64_t tokens : {0, 1, 2, 7}) {
      Array<float> x({tokens, columns}, 5);
      x.random(unsigned(columns + tokens), 3.0f);
      if (tokens > 1)
        for (int64_t j = 0; j < columns; ++j)
          x(1, j) = 0;
      Array<int8_t> q = makeRows(tokens, columns);
      module().run(kernels->quantize, 3, x, q);
      for (int64_t t = 0; t < tokens; ++t) {
        QuantizedRow expected =
            quantizeActivation(columns, [&](int64_t j) { return x(t, j); });
        for (int64_t k = 0; k < blocksOf(columns); ++k) {
          int32_t sums[2] = {0, 0}, correction;
          float scale;
          for (int64_t j = 0; j < kBlock; ++j) {
            EXPECT_EQ(q(t, k * kRowBlock + j), expected.values[k * kBlock + j]);
            sums[j % 4 / 2] += expected.values[k * kBlock + j];
          }
          std::memcpy(&scale, &q(t, k * kRowBlock + 32), 4);
          std::memcpy(&correction, &q(t, k * kRowBlock + 36), 4);
          EXPECT_EQ(scale, expected.scales[k]);
          if (!multipliesPairs(module().target())) {
            EXPECT_EQ(correction, -128 * (sums[0] + sums[1]));
            continue;
          }
          int16_t words[2];
          std::memcpy(words, &correction, 4);
          EXPECT_EQ(words[0], -8 * sums[0]);
          EXPECT_EQ(words[1], -8 * sums[1]);
        }
      }
      EXPECT_TRUE(q.guardIntact());
    }
}

TEST_P(QuantTest, ValuesThatAreNotFiniteShowInTheScale) {
  for (float bad : {std::numeric_limits<float>::quiet_NaN(),
                    std::numeric_limits<float>::infinity()}) {
    Array<float> x({1, 64});
    x.random(1);
    x(0, 40) = bad;
    Array<int8_t> q = makeRows(1, 64);
    module().run(kernels->quantize, 1, x, q);
    float scales[2];
    for (int64_t k : {0, 1})
      std::memcpy(&scales[k], &q(0, k * kRowBlock + 32), 4);
    EXPECT_TRUE(std::isfinite(scales[0]));
    EXPECT_FALSE(std::isfinite(scales[1]));
  }
}

TEST_P(QuantTest, WeightsOf8BitsArePackedAsDefined) {
  for (int64_t columns : {1, 32, 70})
    for (int64_t n : {int64_t(1), width - 1, width, 2 * width + 3}) {
      Array<float> weight({n, columns}, 2);
      weight.random(unsigned(n), 0.1f);
      Array<uint8_t> panels = makePanels(PanelFormat::Q8, n, columns, width);
      module().run(kernels->of(PanelFormat::Q8).pack, 2, weight, panels);
      for (int64_t i = 0; i < panels.dim(0) * width; ++i) {
        QuantizedRow expected = quantizeQ8(
            columns, [&](int64_t j) { return i < n ? weight(i, j) : 0.0f; });
        QuantizedRow found =
            rowOf(panels.data(), PanelFormat::Q8, blocksOf(columns), width, i);
        EXPECT_EQ(found.values, expected.values) << "row " << i;
        EXPECT_EQ(found.scales, expected.scales) << "row " << i;
      }
      EXPECT_TRUE(panels.guardIntact());
    }
}

TEST_P(QuantTest, WeightsOf4BitsHaveTheBestScale) {
  for (float size : {3.0f, 0.02f, 1e-4f})
    for (int64_t columns : {1, 32, 70}) {
      int64_t n = width + 3;
      Array<float> weight({n, columns}, 2);
      weight.random(unsigned(columns), size);
      for (int64_t j = 0; j < columns; ++j)
        weight(1, j) = 0;
      Array<uint8_t> panels = makePanels(PanelFormat::Q4, n, columns, width);
      module().run(kernels->of(PanelFormat::Q4).pack, 2, weight, panels);
      for (int64_t i = 0; i < panels.dim(0) * width; ++i) {
        QuantizedRow found =
            rowOf(panels.data(), PanelFormat::Q4, blocksOf(columns), width, i);
        for (int64_t k = 0; k < blocksOf(columns); ++k) {
          auto value = [&](int64_t j) {
            int64_t at = k * kBlock + j;
            return i < n && at < columns ? weight(i, at) : 0.0f;
          };
          auto quantized = [&](int64_t j, float scale) {
            return std::clamp(std::nearbyint(value(j) * (1 / scale)), -8.0f,
                              7.0f);
          };
          auto error = [&](float scale) {
            double sum = 0;
            for (int64_t j = 0; j < kBlock; ++j)
              sum +=
                  std::pow(double(value(j)) - quantized(j, scale) * scale, 2);
            return sum;
          };
          double least = std::numeric_limits<double>::infinity();
          float largest = 0, highest = 0;
          for (int64_t j = 0; j < kBlock; ++j) {
            largest = std::max(largest, std::fabs(value(j)));
            highest = std::max(highest, value(j));
          }
          // The candidates, from the largest code not above the quotient.
          int base = 0, sign = highest == largest ? 0x80 : 0;
          while (decodeQ4(base + 1) <= largest / kQ4Divisor)
            ++base;
          float scale = found.scales[k];
          bool isCandidate = false;
          for (int c = base; c < base + kQ4Candidates; ++c) {
            least = std::min(least, error(decodeQ4(c | sign)));
            isCandidate |= decodeQ4(c | sign) == scale;
          }
          EXPECT_TRUE(isCandidate) << scale;
          EXPECT_LE(error(scale), least * (1 + 1e-5));
          for (int64_t j = 0; j < kBlock; ++j)
            EXPECT_EQ(found.values[k * kBlock + j], quantized(j, scale));
        }
      }
      EXPECT_TRUE(panels.guardIntact());
    }
}

TEST_P(QuantTest, WeightsThatAreNotFiniteShow) {
  for (PanelFormat format : kFormats)
    for (float bad : {std::numeric_limits<float>::quiet_NaN(),
                      std::numeric_limits<float>::infinity(), -1e30f}) {
      // What is finite but out of reach shows too.
      if (std::isfinite(bad) && format == PanelFormat::Q8)
        continue;
      Array<float> weight({2, 64});
      weight.random(1);
      weight(1, 40) = bad;
      Array<uint8_t> panels = makePanels(format, 2, 64, width);
      module().run(kernels->of(format).pack, 1, weight, panels);
      QuantizedRow sound = rowOf(panels.data(), format, 2, width, 0);
      QuantizedRow spoilt = rowOf(panels.data(), format, 2, width, 1);
      EXPECT_TRUE(std::isfinite(sound.scales[1]));
      EXPECT_TRUE(std::isfinite(spoilt.scales[0]));
      EXPECT_FALSE(std::isfinite(spoilt.scales[1]));
    }
}

// Rows for GPUs have the integers and scales that panels have.
TEST_P(QuantTest, RowsForGPUsHoldTheSameBlocks) {
  for (PanelFormat format : kFormats)
    for (int64_t columns : {1, 32, 70, 200}) {
      const BlockFormat &layout = *getBlockFormat(format);
      const FormatKernels &of = kernels->of(format);
      int64_t n = width + 3, rowBytes = layout.rowBytes(columns);
      EXPECT_EQ(rowBytes % 16, 0);
      auto expectSame = [&](const uint8_t *row, const QuantizedRow &expected) {
        QuantizedRow found = unpackRow(row, format, columns);
        EXPECT_EQ(found.values, expected.values);
        EXPECT_EQ(found.scales, expected.scales);
        // Blocks that fill up a group are zeros.
        int64_t whole = layout.groups(columns) * layout.groupElements();
        QuantizedRow filled = unpackRow(row, format, whole);
        for (size_t j = found.values.size(); j < filled.values.size(); ++j)
          EXPECT_EQ(filled.values[j], 0);
        int64_t end =
            layout.scaleOffset(columns) + blocksOf(whole) * layout.scaleBytes;
        for (int64_t at = end; at < rowBytes; ++at)
          EXPECT_EQ(row[at], 0);
      };
      Array<float> weight({n, columns}, 2), other({n, columns}, 2);
      weight.random(unsigned(columns), 0.1f);
      other.random(unsigned(columns) + 1, 0.1f);
      Array<uint8_t> panels = makePanels(format, n, columns, width);
      Array<uint8_t> otherPanels = makePanels(format, n, columns, width);
      module().run(of.pack, 2, weight, panels);
      module().run(of.pack, 2, other, otherPanels);
      auto expected = [&](Array<uint8_t> &from, int64_t i) {
        return rowOf(from.data(), format, blocksOf(columns), width, i);
      };
      Array<uint8_t> rows({n, rowBytes});
      rows.fill(7);
      module().run(of.packRows, 3, weight, rows);
      for (int64_t i = 0; i < n; ++i)
        expectSame(&rows(i, 0), expected(panels, i));

      // Rows behind the last are filled up with zeros.
      int64_t groups = (n + 7) / 8;
      Array<uint8_t> gated({groups, 2, 8, rowBytes});
      gated.fill(7);
      module().run(of.packGatedRows, 2, weight, other, gated);
      for (int64_t i = 0; i < groups * 8; ++i)
        for (int64_t which : {0, 1}) {
          const uint8_t *row =
              gated.data() + ((i / 8 * 2 + which) * 8 + i % 8) * rowBytes;
          if (i < n)
            expectSame(row, expected(which ? otherPanels : panels, i));
          else
            EXPECT_EQ(unpackRow(row, format, columns).values,
                      std::vector<int32_t>(blocksOf(columns) * kBlock, 0));
        }

      Array<float> heads({2, columns, n});
      heads.random(5, 0.1f);
      Array<uint8_t> headPanels({2, (n + width - 1) / width, blocksOf(columns),
                                 layout.panelBytes(width)});
      Array<uint8_t> headRows({2, n, rowBytes});
      module().run(of.packHeads, 2, heads, headPanels);
      module().run(of.packHeadRows, 3, heads, headRows);
      int64_t panelsOfHead = (n + width - 1) / width;
      for (int64_t h : {0, 1})
        for (int64_t i = 0; i < n; ++i)
          expectSame(
              headRows.data() + (h * n + i) * rowBytes,
              rowOf(headPanels.data() + h * panelsOfHead * blocksOf(columns) *
                                            layout.panelBytes(width),
                    format, blocksOf(columns), width, i));
      EXPECT_TRUE(rows.guardIntact() && gated.guardIntact() &&
                  headRows.guardIntact());
    }
}

/// The number that a byte of e4m3 stands for.
double decodeE4M3(int code) {
  int exponent = code >> 3 & 15, mantissa = code & 7;
  double value = exponent ? std::ldexp(8 + mantissa, exponent - 7 - 3)
                          : std::ldexp(mantissa, -6 - 3);
  return code & 0x80 ? -value : value;
}

/// The finite number of e4m3 next to `value`, of two the one of even bits.
double nearestE4M3(double value) {
  int best = 0;
  for (int code = 1; code < 0x7f; ++code) {
    double error = std::fabs(std::fabs(value) - decodeE4M3(code));
    double least = std::fabs(std::fabs(value) - decodeE4M3(best));
    if (error < least || (error == least && code % 2 == 0))
      best = code;
  }
  return std::copysign(decodeE4M3(best), value);
}

// Elements of fp8 are the nearest there are, from the largest down to
// subnormals, and the scale is the smallest power of two that reaches all.
TEST_P(QuantTest, FloatsOfEightBitsAreTheNearest) {
  const BlockFormat &layout = kFP8Format;
  const int64_t n = 3, blocks = 10, columns = blocks * kBlock - 5;
  Array<float> weight({n, columns}, 2);
  std::mt19937 gen(11);
  std::uniform_real_distribution<float> exponent(-12, 0), size(1, 2);
  // The largest magnitude of each block: just at and just above what a scale
  // reaches, zero, beyond the scales there are, and any.
  const float largest[] = {1.75f,     std::nextafter(1.75f, 2.0f),
                           448.0f,    449.0f,
                           0.0f,      1e-40f,
                           0x1p-125f, 3e38f,
                           0.02f,     1.0f};
  for (int64_t i = 0; i < n; ++i)
    for (int64_t k = 0; k < columns; ++k) {
      float value = largest[k / kBlock];
      if (k % kBlock)
        value *= std::ldexp(size(gen) / 2, int(exponent(gen)));
      weight(i, k) = gen() & 1 ? -value : value;
    }
  // Between two numbers, of which the even one is taken, in both ranges.
  weight(0, 1) = std::ldexp(17.0f, -4);
  weight(0, 2) = std::ldexp(2.5f, -9 - 8);
  Array<uint8_t> rows({n, layout.rowBytes(columns)});
  rows.fill(7);
  module().run(kernels->packFloatRows, 3, weight, rows);
  for (int64_t i = 0; i < n; ++i)
    for (int64_t k = 0; k < columns; ++k) {
      int64_t block = k / kBlock, j = k % kBlock;
      float bound = largest[block];
      int power = -126;
      while (std::ldexp(kFP8Largest, power) < bound)
        ++power;
      double scale = std::ldexp(1.0, power);
      uint16_t stored;
      std::memcpy(
          &stored,
          &rows(i, layout.scaleOffset(columns) + block * layout.scaleBytes),
          sizeof stored);
      ASSERT_EQ(fromBF16(stored), scale) << "block " << block;
      constexpr int64_t place[] = {0, 2, 1, 3};
      uint8_t byte = rows(i, k / 64 * 64 + 16 * (j / 8) + 8 * (block % 2) +
                                 4 * (j / 4 % 2) + place[j % 4]);
      EXPECT_EQ(decodeE4M3(byte), nearestE4M3(weight(i, k) / scale))
          << i << ", " << k << ": " << weight(i, k) << " by " << scale;
    }
  EXPECT_TRUE(rows.guardIntact());
}

// What is not finite makes a block's scale NaN, and no other block's.
TEST_P(QuantTest, FloatsOfEightBitsKeepNaN) {
  for (float bad : {std::numeric_limits<float>::infinity(),
                    std::numeric_limits<float>::quiet_NaN()}) {
    Array<float> weight({1, 64});
    weight.random(1, 0.1f);
    weight(0, 40) = bad;
    Array<uint8_t> rows({1, kFP8Format.rowBytes(64)});
    module().run(kernels->packFloatRows, 3, weight, rows);
    uint16_t scales[2];
    std::memcpy(scales, &rows(0, kFP8Format.scaleOffset(64)), sizeof scales);
    EXPECT_TRUE(std::isfinite(fromBF16(scales[0])));
    EXPECT_TRUE(std::isnan(fromBF16(scales[1])));
  }
}

// 4 bits and 8-bit scales, which were searched for, are at least as good as 4
// bits with 16-bit scales from the largest value, which take 4.5 bits in all.
TEST_P(QuantTest, FourBitsAreAsGoodAsFourAndAHalf) {
  const int64_t n = 4 * width, columns = 256;
  Array<float> weight({n, columns});
  std::mt19937 gen(5);
  std::normal_distribution<float> normal(0.0f, 0.02f);
  for (int64_t i = 0; i < n * columns; ++i)
    weight.data()[i] = normal(gen);
  Array<uint8_t> panels = makePanels(PanelFormat::Q4, n, columns, width);
  module().run(kernels->of(PanelFormat::Q4).pack, 2, weight, panels);
  double error = 0, other = 0;
  for (int64_t i = 0; i < n; ++i) {
    QuantizedRow row =
        rowOf(panels.data(), PanelFormat::Q4, blocksOf(columns), width, i);
    for (int64_t k = 0; k < blocksOf(columns); ++k) {
      float extreme = 0;
      for (int64_t j = 0; j < kBlock; ++j)
        if (std::fabs(weight(i, k * kBlock + j)) > std::fabs(extreme))
          extreme = weight(i, k * kBlock + j);
      float scale = extreme / -8;
      for (int64_t j = 0; j < kBlock; ++j) {
        float value = weight(i, k * kBlock + j);
        error +=
            std::pow(value - row.values[k * kBlock + j] * row.scales[k], 2);
        float q = std::clamp(std::nearbyint(value / scale), -8.0f, 7.0f);
        other += std::pow(value - q * scale, 2);
      }
    }
  }
  EXPECT_LE(error, other);
  RecordProperty("ratio", std::to_string(error / other));
}

TEST_P(QuantTest, MatmulMatchesPlainLoops) {
  for (PanelFormat format : kFormats)
    for (int64_t tokens : {0, 1, 2, 3, 4, 5, 6, 7, 13, 33})
      for (int64_t n : {int64_t(1), width, 5 * width + 3})
        for (int64_t columns : {1, 32, 100, 320}) {
          SCOPED_TRACE(testing::Message()
                       << stringifyPanelFormat(format).str() << " T=" << tokens
                       << " N=" << n << " K=" << columns);
          const FormatKernels &of = kernels->of(format);
          Array<float> x({tokens, columns}), weight({n, columns});
          x.random(1, 2.0f);
          weight.random(2, 0.05f);
          Array<int8_t> q = makeRows(tokens, columns);
          Array<uint8_t> panels = makePanels(format, n, columns, width);
          Array<float> y({tokens, n}, 5), r({tokens, n}), z({tokens, n}, 1);
          r.random(3);
          module().run(kernels->quantize, 2, x, q);
          module().run(of.pack, 2, weight, panels);
          module().run(of.matmul, 3, q, panels, y);
          module().run(of.residual, 3, q, panels, r, z);
          Array<float> again({tokens, n}, 5), m({tokens, panels.dim(0)});
          module().run(of.largest, 3, q, panels, again, m);
          std::vector<QuantizedRow> ws;
          for (int64_t i = 0; i < n; ++i)
            ws.push_back(
                rowOf(panels.data(), format, blocksOf(columns), width, i));
          for (int64_t t = 0; t < tokens; ++t) {
            QuantizedRow row =
                quantizeActivation(columns, [&](int64_t j) { return x(t, j); });
            for (int64_t i = 0; i < n; ++i) {
              Dot d = dot(row, ws[i]);
              ASSERT_NEAR(y(t, i), d.value, d.bound) << t << ", " << i;
              ASSERT_EQ(z(t, i), r(t, i) + y(t, i));
              ASSERT_EQ(again(t, i), y(t, i));
            }
          }
          expectLargest(y, m, width);
          EXPECT_TRUE(y.guardIntact() && z.guardIntact());
        }
}

// Rows of products with few rows, of one tile and of several; with many, whose
// weights are widened in chunks of 16 or 32 blocks and for 48 to 144 rows at
// once, and in between.
TEST_P(QuantTest, RowsDoNotDependOnTheirNeighbours) {
  const int64_t tokens = 203, columns = 1100, n = 2 * width + 1;
  Array<float> x({tokens, columns}), weight({n, columns}), all({tokens, n}, 1),
      gate({1, n, columns}), up({1, n, columns}), gated({tokens, n}, 1);
  x.random(1);
  weight.random(2);
  gate.random(3, 0.05f);
  up.random(4, 0.05f);
  Array<int8_t> q = makeRows(tokens, columns);
  module().run(kernels->quantize, 1, x, q);
  for (PanelFormat format : kFormats) {
    const FormatKernels &of = kernels->of(format);
    Array<uint8_t> panels = makePanels(format, n, columns, width);
    Array<uint8_t> both({1, panels.dim(0), 2, panels.dim(1), panels.dim(2)});
    module().run(of.pack, 1, weight, panels);
    module().run(of.packGated, 1, gate, up, both);
    Array<uint8_t> pairs({both.dim(1), 2, both.dim(3), both.dim(4)});
    std::memcpy(pairs.data(), both.data(), both.size());
    module().run(of.matmul, 1, q, panels, all);
    module().run(of.gated, 1, q, pairs, gated);
    EXPECT_TRUE(all.guardIntact() && gated.guardIntact());
    for (int64_t count : {1, 2, 3, 4, 5, 7, 9, 25, 97, 145})
      for (int64_t first : {int64_t(0), int64_t(7), tokens - count}) {
        if (first + count > tokens)
          continue;
        SCOPED_TRACE(testing::Message()
                     << stringifyPanelFormat(format).str() << " " << count
                     << " rows from " << first);
        auto isSame = [&](const Array<float> &some, const Array<float> &of) {
          for (int64_t t = 0; t < count; ++t)
            if (std::memcmp(&some(t, 0), &of(first + t, 0), n * sizeof(float)))
              return false;
          return some.guardIntact();
        };
        auto rows = q.rows(first, first + count);
        Array<float> some({count, n}, 1), someGated({count, n}, 1);
        module().run(of.matmul, 4, rows, panels, some);
        module().run(of.gated, 4, rows, pairs, someGated);
        EXPECT_TRUE(isSame(some, all));
        EXPECT_TRUE(isSame(someGated, gated));
      }
  }
}

// The largest sums that there can be, of weights at either end of what a format
// has, and rows that have the largest bytes alone.
TEST_P(QuantTest, LargestSumsAreExact) {
  const int64_t tokens = 7, columns = 64;
  for (PanelFormat format : kFormats) {
    const FormatKernels &of = kernels->of(format);
    for (float sign : {1.0f, -1.0f}) {
      Array<float> x({tokens, columns}), weight({width, columns}),
          y({tokens, width});
      x.fill(sign);
      // Rows of the most negative q, of the most positive ones, of both in
      // turn.
      for (int64_t i = 0; i < width; ++i)
        for (int64_t j = 0; j < columns; ++j)
          weight(i, j) = i % 3 == 0   ? -8.0f
                         : i % 3 == 1 ? (j % kBlock ? 7.0f : -8.0f)
                                      : (j % 2 ? 7.0f : -8.0f);
      Array<int8_t> q = makeRows(tokens, columns);
      Array<uint8_t> panels = makePanels(format, width, columns, width);
      module().run(kernels->quantize, 1, x, q);
      module().run(of.pack, 1, weight, panels);
      module().run(of.matmul, 2, q, panels, y);
      for (int64_t i = 0; i < width; ++i) {
        QuantizedRow w =
            rowOf(panels.data(), format, blocksOf(columns), width, i);
        for (int64_t t = 0; t < tokens; ++t) {
          Dot d = dot(
              quantizeActivation(columns, [&](int64_t j) { return x(t, j); }),
              w);
          ASSERT_NEAR(y(t, i), d.value, d.bound) << t << ", " << i;
        }
      }
    }
  }
}

// Gate, up and down of three experts of which one has no rows, with rows
// gathered.
TEST_P(QuantTest, ExpertsMatchPlainLoops) {
  const int64_t experts = 3, hidden = 64, inner = width + 5, tokens = 9;
  Array<float> x({tokens, hidden}), gate({experts, inner, hidden}),
      up({experts, inner, hidden}), down({experts, hidden, inner});
  x.random(1);
  gate.random(2, 0.3f);
  up.random(3, 0.3f);
  down.random(4, 0.3f);
  Array<int32_t> offsets({experts + 1}), rowToken({tokens});
  const int32_t ends[] = {0, 4, 4, 9};
  for (int64_t e = 0; e <= experts; ++e)
    offsets(e) = ends[e];
  for (int64_t t = 0; t < tokens; ++t)
    rowToken(t) = int32_t((t * 5) % tokens);
  int64_t innerPanels = (inner + width - 1) / width;
  int64_t hiddenPanels = (hidden + width - 1) / width;
  for (PanelFormat format : kFormats) {
    const FormatKernels &of = kernels->of(format);
    int64_t bytes = getBlockFormat(format)->panelBytes(width);
    Array<uint8_t> gated({experts, innerPanels, 2, blocksOf(hidden), bytes});
    Array<uint8_t> panels({experts, hiddenPanels, blocksOf(inner), bytes});
    module().run(of.packGated, 2, gate, up, gated);
    module().run(of.packExperts, 2, down, panels);
    Array<int8_t> q = makeRows(tokens, hidden), qh = makeRows(tokens, inner);
    Array<float> h({tokens, inner}), y({tokens, hidden});
    module().run(kernels->quantize, 2, x, q);
    module().run(of.groupedGated, 3, q, gated, offsets, rowToken, h);
    module().run(kernels->quantize, 2, h, qh);
    for (int64_t parts : {1, 3, 20}) {
      Array<int8_t> units = makeRows(tokens, inner);
      module().run(of.groupedGatedQuantize, parts, q, gated, offsets, rowToken,
                   units);
      EXPECT_TRUE(sameRows(units, qh)) << parts << " parts";
    }
    module().run(of.grouped, 3, qh, panels, offsets, y);
    for (int64_t r = 0; r < tokens; ++r) {
      int64_t e = r < 4 ? 0 : 2;
      QuantizedRow row = quantizeActivation(
          hidden, [&](int64_t j) { return x(rowToken(r), j); });
      auto gatedRow = [&](int64_t which, int64_t i) {
        return rowOf(&gated(e, 0, which, 0, 0), format, blocksOf(hidden), width,
                     i, /*panelsApart=*/2);
      };
      for (int64_t i = 0; i < inner; ++i) {
        Dot g = dot(row, gatedRow(0, i)), u = dot(row, gatedRow(1, i));
        double expected = g.value / (1 + std::exp(-g.value)) * u.value;
        ASSERT_NEAR(h(r, i), expected, 1e-5 * (1 + std::fabs(expected)));
      }
      QuantizedRow units =
          quantizeActivation(inner, [&](int64_t j) { return h(r, j); });
      for (int64_t i = 0; i < hidden; ++i) {
        Dot d = dot(units, rowOf(&panels(e, 0, 0, 0), format, blocksOf(inner),
                                 width, i));
        ASSERT_NEAR(y(r, i), d.value, d.bound);
      }
    }
  }
}

// Blocks of results end within panels, panels within blocks, and rows within
// both; somebody has every block, whoever shares the work.
TEST_P(QuantTest, GatedResultsAreQuantisedAsRowsAre) {
  const int64_t hidden = 96;
  for (PanelFormat format : kFormats)
    for (int64_t inner : {int64_t(1), int64_t(31), int64_t(32), int64_t(33),
                          width + 5, 5 * width, 7 * width - 1})
      for (int64_t tokens : {1, 9, 30}) {
        SCOPED_TRACE(testing::Message() << stringifyPanelFormat(format).str()
                                        << " " << tokens << " x " << inner);
        const FormatKernels &of = kernels->of(format);
        Array<float> x({tokens, hidden}), gate({1, inner, hidden}),
            up({1, inner, hidden}), h({tokens, inner});
        x.random(unsigned(inner));
        gate.random(2, 0.3f);
        up.random(3, 0.3f);
        Array<uint8_t> packed({1, (inner + width - 1) / width, 2,
                               blocksOf(hidden),
                               getBlockFormat(format)->panelBytes(width)});
        module().run(of.packGated, 2, gate, up, packed);
        Array<uint8_t> panels({packed.dim(1), 2, packed.dim(3), packed.dim(4)});
        std::memcpy(panels.data(), packed.data(), packed.size());
        Array<int8_t> q = makeRows(tokens, hidden),
                      qh = makeRows(tokens, inner);
        module().run(kernels->quantize, 2, x, q);
        module().run(of.gated, 3, q, panels, h);
        module().run(kernels->quantize, 2, h, qh);
        for (int64_t parts : {1, 2, 3, 20}) {
          Array<int8_t> units = makeRows(tokens, inner);
          module().run(of.gatedQuantize, parts, q, panels, units);
          EXPECT_TRUE(sameRows(units, qh)) << parts << " parts";
        }
      }
}

// One weight per head whose transpose is stored, as queries meet w_uk.
TEST_P(QuantTest, HeadsMatchPlainLoops) {
  for (PanelFormat format : kFormats)
    for (int64_t tokens : {0, 1, 7})
      for (int64_t columns : {16, 70}) {
        const FormatKernels &of = kernels->of(format);
        const int64_t heads = 3, n = width + 5;
        Array<float> x({tokens, heads, columns}, 4);
        Array<float> weight({heads, columns, n});
        x.random(1, 2.0f);
        weight.random(2, 0.05f);
        int64_t blocks = blocksOf(columns);
        Array<int8_t> q({tokens, heads, blocks * kRowBlock});
        Array<uint8_t> panels({heads, (n + width - 1) / width, blocks,
                               getBlockFormat(format)->panelBytes(width)});
        Array<float> y({tokens, heads, n}, 3);
        module().run(kernels->quantizeHeads, 2, x, q);
        module().run(of.packHeads, 2, weight, panels);
        // As if the transpose had been packed.
        Array<float> turned({heads, n, columns});
        for (int64_t h = 0; h < heads; ++h)
          for (int64_t i = 0; i < n; ++i)
            for (int64_t j = 0; j < columns; ++j)
              turned(h, i, j) = weight(h, j, i);
        Array<uint8_t> same({heads, (n + width - 1) / width, blocks,
                             getBlockFormat(format)->panelBytes(width)});
        module().run(of.packExperts, 2, turned, same);
        EXPECT_EQ(std::memcmp(panels.data(), same.data(), same.size()), 0);
        module().run(of.heads, 3, q, panels, y);
        for (int64_t h = 0; h < heads; ++h)
          for (int64_t i = 0; i < n; ++i) {
            QuantizedRow w =
                rowOf(&panels(h, 0, 0, 0), format, blocks, width, i);
            for (int64_t t = 0; t < tokens; ++t) {
              Dot d = dot(quantizeActivation(
                              columns, [&](int64_t j) { return x(t, h, j); }),
                          w);
              ASSERT_NEAR(y(t, h, i), d.value, d.bound) << t << ", " << h;
            }
          }
        EXPECT_TRUE(y.guardIntact() && panels.guardIntact());
      }
}

// These kernels alone use the tile unit.
static std::vector<std::string> quantTestedCPUs() {
  std::vector<std::string> cpus = testedCPUs();
  if (canRun(kTileUnitCPU))
    cpus.push_back(kTileUnitCPU);
  return cpus;
}

INSTANTIATE_TEST_SUITE_P(CPUs, QuantTest, testing::ValuesIn(quantTestedCPUs()),
                         cpuName);
