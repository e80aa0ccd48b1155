//===- PackKernelsTest.cpp - Weights into panels --------------------------===//
//
// Part of dsv2, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "dsv2/CodeGen/CPU/PackKernels.h"

#include "KernelTestUtils.h"
#include "gtest/gtest.h"

#include <cmath>
#include <limits>
#include <map>

using namespace mlir::dsv2;
using namespace mlir::dsv2::cpu;
using namespace mlir::dsv2::cpu::test;

namespace {

constexpr SourceType kSources[] = {SourceType::F32, SourceType::BF16,
                                   SourceType::F16};
constexpr PanelFormat kFormats[] = {PanelFormat::F32, PanelFormat::BF16};

/// Every kernel of the family for one processor, compiled once.
struct Kernels {
  explicit Kernels(const std::string &cpu) : module(cpu) {
    mlir::ModuleOp m = module.module();
    const CPUTargetInfo &target = module.target();
    for (SourceType source : kSources)
      for (PanelFormat format : kFormats) {
        int s = static_cast<int>(source), f = static_cast<int>(format);
        for (bool transposed : {false, true})
          for (bool batched : {false, true}) {
            PackConfig config{source, format, transposed, batched};
            pack[s][f][transposed][batched] =
                getOrCreatePackPanelsKernel(m, config, target).getName().str();
            // Compiling is what takes time; transposed pairs differ from
            // single weights in nothing that depends on the types.
            if (!transposed || source == SourceType::F32)
              packGated[s][f][transposed][batched] =
                  getOrCreatePackGatedPanelsKernel(m, config, target)
                      .getName()
                      .str();
          }
        for (bool batched : {false, true}) {
          PackConfig config{source, format, false, batched, /*rows=*/true};
          packGatedRows[s][f][batched] =
              getOrCreatePackGatedRowsKernel(m, config, target).getName().str();
        }
        for (int64_t rank : {1, 2})
          convert[s][f][rank - 1] =
              getOrCreateConvertKernel(m, {source, format, rank}, target)
                  .getName()
                  .str();
      }
    compiled = module.compile();
  }

  KernelModule module;
  bool compiled;
  std::string pack[3][2][2][2], packGated[3][2][2][2], convert[3][2][2];
  std::string packGatedRows[3][2][2];
};

using PackTest = KernelTest<Kernels>;

/// The value of an f16, from its definition.
float fromF16(uint16_t bits) {
  int exponent = bits >> 10 & 31, mantissa = bits & 1023;
  double value;
  if (exponent == 31)
    value = mantissa ? std::numeric_limits<double>::quiet_NaN()
                     : std::numeric_limits<double>::infinity();
  else if (exponent == 0)
    value = std::ldexp(mantissa, -24);
  else
    value = std::ldexp(1024 + mantissa, exponent - 25);
  return static_cast<float>(bits & 0x8000 ? -value : value);
}

/// Element type, conversion and arbitrary finite test values of a source type.
template <SourceType S> struct Source;
template <> struct Source<SourceType::F32> {
  using Type = float;
  static float value(Type v) { return v; }
  static Type sample(int64_t i) {
    return std::sin(static_cast<float>(i)) * 3.0f;
  }
};
template <> struct Source<SourceType::BF16> {
  using Type = uint16_t;
  static float value(Type v) { return fromBF16(v); }
  static Type sample(int64_t i) {
    return static_cast<Type>(0x3c00 + i * 37 % 0x500 + (i % 2) * 0x8000);
  }
};
template <> struct Source<SourceType::F16> {
  using Type = uint16_t;
  static float value(Type v) { return fromF16(v); }
  static Type sample(int64_t i) {
    return static_cast<Type>(i * 613 % 0x7c00 + (i % 2) * 0x8000);
  }
};

template <typename T> T target(float value) {
  if constexpr (std::is_same_v<T, float>)
    return value;
  else
    return toBF16(value);
}

template <typename T> bool sameBits(const Array<T> &a, const Array<T> &b) {
  return a.size() == b.size() &&
         std::memcmp(a.data(), b.data(), a.size() * sizeof(T)) == 0;
}

/// `batch` weights of n x k, stored as the kernel wants them.
template <SourceType S>
Array<typename Source<S>::Type> makeSource(int64_t batch, int64_t n, int64_t k,
                                           bool transposed, bool batched,
                                           int64_t seed) {
  using E = typename Source<S>::Type;
  int64_t rows = transposed ? k : n, columns = transposed ? n : k;
  llvm::SmallVector<int64_t> shape;
  if (batched)
    shape.push_back(batch);
  shape.append({rows, columns});
  Array<E> source(shape, /*rowPadding=*/3);
  // Element (b, n, k) has the same value in both storage orders.
  for (int64_t b = 0; b < batch; ++b)
    for (int64_t i = 0; i < n; ++i)
      for (int64_t j = 0; j < k; ++j) {
        int64_t row = transposed ? j : i, column = transposed ? i : j;
        source.data()[(b * rows + row) * (columns + 3) + column] =
            Source<S>::sample(seed + (b * n + i) * k + j);
      }
  return source;
}

template <SourceType S, typename T>
void checkPack(Kernels &kernels, int64_t batch, int64_t n, int64_t k,
               bool transposed, bool batched, int64_t parts) {
  SCOPED_TRACE(testing::Message()
               << "source " << static_cast<int>(S) << " batch " << batch
               << " N=" << n << " K=" << k << " transposed " << transposed
               << " parts " << parts);
  int s = static_cast<int>(S), f = std::is_same_v<T, float> ? 0 : 1;
  int64_t width = kernels.module.target().panelWidth();
  int64_t panels = (n + width - 1) / width;
  auto gate = makeSource<S>(batch, n, k, transposed, batched, 1);
  auto up = makeSource<S>(batch, n, k, transposed, batched, 1000);
  llvm::SmallVector<int64_t> shape, gatedShape;
  if (batched) {
    shape.push_back(batch);
    gatedShape.push_back(batch);
  }
  shape.append({panels, k, width});
  gatedShape.append({panels, 2, k, width});
  Array<T> packed(shape), gated(gatedShape);
  packed.fill(T(7));
  gated.fill(T(7));
  kernels.module.run(kernels.pack[s][f][transposed][batched], parts, gate,
                     packed);
  const std::string &gatedKernel = kernels.packGated[s][f][transposed][batched];
  if (!gatedKernel.empty())
    kernels.module.run(gatedKernel, parts, gate, up, gated);

  auto expected = [&](int64_t seed, int64_t b, int64_t i, int64_t j) {
    if (i >= n)
      return T(0);
    return target<T>(
        Source<S>::value(Source<S>::sample(seed + (b * n + i) * k + j)));
  };
  auto bits = [](T v) {
    uint32_t word = 0;
    std::memcpy(&word, &v, sizeof v);
    return word;
  };
  for (int64_t b = 0; b < batch; ++b)
    for (int64_t p = 0; p < panels; ++p)
      for (int64_t j = 0; j < k; ++j)
        for (int64_t c = 0; c < width; ++c) {
          int64_t i = p * width + c;
          ASSERT_EQ(bits(packed.data()[((b * panels + p) * k + j) * width + c]),
                    bits(expected(1, b, i, j)))
              << b << " " << i << " " << j;
          for (int64_t which = 0; which < (gatedKernel.empty() ? 0 : 2);
               ++which)
            ASSERT_EQ(
                bits(gated.data()[(((b * panels + p) * 2 + which) * k + j) *
                                      width +
                                  c]),
                bits(expected(which ? 1000 : 1, b, i, j)))
                << b << " " << which << " " << i << " " << j;
        }
  EXPECT_TRUE(packed.guardIntact() && gated.guardIntact());
}

} // namespace

TEST_P(PackTest, PanelsHoldTheWeight) {
  int64_t partsChoices[] = {1, 2, 3, 7};
  int turn = 0;
  for (int64_t n : {int64_t(1), width - 1, width, 2 * width + 3})
    for (int64_t k : {int64_t(1), int64_t(5), width, width + 1, int64_t(67)})
      for (bool transposed : {false, true})
        for (bool batched : {false, true}) {
          int64_t batch = batched ? 3 : 1, parts = partsChoices[turn++ % 4];
          auto check = [&](auto source) {
            constexpr SourceType kSource = decltype(source)::value;
            checkPack<kSource, float>(*kernels, batch, n, k, transposed,
                                      batched, parts);
            checkPack<kSource, uint16_t>(*kernels, batch, n, k, transposed,
                                         batched, parts);
          };
          check(std::integral_constant<SourceType, SourceType::F32>());
          check(std::integral_constant<SourceType, SourceType::BF16>());
          check(std::integral_constant<SourceType, SourceType::F16>());
          if (HasFatalFailure())
            return;
        }
}

TEST_P(PackTest, GatedRowsAreGroupsOfWholeRows) {
  constexpr int64_t kGroup = 8;
  for (int64_t n : {int64_t(1), int64_t(8), int64_t(19)})
    for (int64_t k : {int64_t(1), int64_t(37), int64_t(64)})
      for (bool batched : {false, true}) {
        int64_t batch = batched ? 3 : 1, groups = (n + kGroup - 1) / kGroup;
        auto gate =
            makeSource<SourceType::BF16>(batch, n, k, false, batched, 1);
        auto up =
            makeSource<SourceType::BF16>(batch, n, k, false, batched, 1000);
        llvm::SmallVector<int64_t> shape;
        if (batched)
          shape.push_back(batch);
        shape.append({groups, 2, kGroup, k});
        Array<uint16_t> packed(shape);
        packed.fill(7);
        module().run(kernels->packGatedRows[1][1][batched], 1 + n % 3, gate, up,
                     packed);
        for (int64_t e = 0; e < batch; ++e)
          for (int64_t row = 0; row < groups * kGroup; ++row)
            for (int64_t which : {0, 1})
              for (int64_t j = 0; j < k; ++j) {
                int64_t at =
                    (((e * groups + row / kGroup) * 2 + which) * kGroup +
                     row % kGroup) *
                        k +
                    j;
                int64_t seed = which ? 1000 : 1;
                using S = Source<SourceType::BF16>;
                uint16_t expected =
                    row < n ? toBF16(S::value(
                                  S::sample(seed + (e * n + row) * k + j)))
                            : 0;
                ASSERT_EQ(packed.data()[at], expected)
                    << e << " " << row << " " << which << " " << j;
              }
        EXPECT_TRUE(packed.guardIntact());
      }
}

TEST_P(PackTest, NothingToPack) {
  Array<float> source({0, 5}, 1), panels({0, 5, width}, 1);
  module().run(kernels->pack[0][0][0][0], 2, source, panels);
  Array<float> flat({4, 0}, 1), empty({(4 + width - 1) / width, 0, width});
  module().run(kernels->pack[0][0][0][0], 2, flat, empty);
}

TEST_P(PackTest, HalvesOfTheKeyValueProjection) {
  // kv_b[H * (Nn + V), r] seen as [H, Nn + V, r]: keys transposed, values
  // plain.
  constexpr int64_t kHeads = 3, kNope = 10, kValue = 12, kRank = 21;
  Array<float> kvb({kHeads * (kNope + kValue), kRank});
  kvb.random(1);
  int64_t keyPanels = (kRank + width - 1) / width;
  int64_t valuePanels = (kValue + width - 1) / width;
  Array<float> keys({kHeads, keyPanels, kNope, width});
  Array<float> values({kHeads, valuePanels, kRank, width});
  llvm::SmallVector<int64_t> strides = {(kNope + kValue) * kRank, kRank, 1};
  Descriptor nope(kvb.data(), 0, {kHeads, kNope, kRank}, strides);
  Descriptor value(kvb.data(), kNope * kRank, {kHeads, kValue, kRank}, strides);
  module().run(kernels->pack[0][0][1][1], 2, nope, keys);
  module().run(kernels->pack[0][0][0][1], 2, value, values);
  for (int64_t h = 0; h < kHeads; ++h)
    for (int64_t r = 0; r < kRank; ++r) {
      for (int64_t i = 0; i < kNope; ++i)
        EXPECT_EQ(keys(h, r / width, i, r % width),
                  kvb(h * (kNope + kValue) + i, r));
      for (int64_t i = 0; i < kValue; ++i)
        EXPECT_EQ(values(h, i / width, r, i % width),
                  kvb(h * (kNope + kValue) + kNope + i, r));
    }
}

TEST_P(PackTest, RoundingToBF16) {
  // Ties, carries into the exponent, overflow to infinity, subnormal values,
  // and NaN whose payload sits in the dropped bits only.
  const uint32_t patterns[] = {
      0x3f800000, 0x3f808000, 0x3f818000, 0x3f808001, 0x3f807fff, 0x3fffffff,
      0x7f7fffff, 0x7f7f7fff, 0x7f7f8000, 0x7f800000, 0xff800000, 0x7f800001,
      0x7fc00000, 0xffffffff, 0xff80ffff, 0x7fffffff, 0x00000001, 0x00008000,
      0x00008001, 0x00018000, 0x007fffff, 0x80000000, 0x80008001, 0x00000000};
  int64_t n = std::size(patterns);
  Array<float> source({n});
  Array<uint16_t> converted({n});
  std::memcpy(source.data(), patterns, sizeof patterns);
  module().run(kernels->convert[0][1][0], 1, source, converted);
  for (int64_t i = 0; i < n; ++i) {
    EXPECT_EQ(converted(i), toBF16(source(i))) << std::hex << patterns[i];
    if (std::isnan(source(i))) {
      EXPECT_TRUE(std::isnan(fromBF16(converted(i))))
          << std::hex << patterns[i];
    }
  }
}

TEST_P(PackTest, EveryHalfWidensExactly) {
  constexpr int64_t kAll = 1 << 16;
  Array<uint16_t> bits({kAll});
  for (int64_t i = 0; i < kAll; ++i)
    bits(i) = static_cast<uint16_t>(i);
  Array<float> fromHalf({kAll}), fromBrain({kAll});
  module().run(kernels->convert[2][0][0], 3, bits, fromHalf);
  module().run(kernels->convert[1][0][0], 3, bits, fromBrain);
  for (int64_t i = 0; i < kAll; ++i) {
    float half = fromF16(bits(i)), brain = fromBF16(bits(i));
    if (std::isnan(half))
      ASSERT_TRUE(std::isnan(fromHalf(i))) << i;
    else
      ASSERT_EQ(std::memcmp(&half, &fromHalf(i), 4), 0) << i;
    // bf16 keeps all bits, even those of NaN.
    ASSERT_EQ(std::memcmp(&brain, &fromBrain(i), 4), 0) << i;
  }
  // And what became f32 goes back unchanged, but for quiet NaN.
  Array<uint16_t> back({kAll});
  module().run(kernels->convert[0][1][0], 2, fromBrain, back);
  for (int64_t i = 0; i < kAll; ++i)
    ASSERT_EQ(back(i), toBF16(fromBrain(i))) << i;
}

TEST_P(PackTest, ConvertsEverySize) {
  for (int64_t n : {0, 1, 3, 4, 31, 64, 4095, 4096, 4097, 9001}) {
    Array<float> source({n});
    source.random(1);
    for (int64_t parts : {1, 2, 5}) {
      Array<float> copy({n});
      Array<uint16_t> narrow({n});
      module().run(kernels->convert[0][0][0], parts, source, copy);
      module().run(kernels->convert[0][1][0], parts, source, narrow);
      EXPECT_TRUE(sameBits(source, copy)) << n << " " << parts;
      for (int64_t i = 0; i < n; ++i)
        ASSERT_EQ(narrow(i), toBF16(source(i))) << n << " " << i;
      EXPECT_TRUE(copy.guardIntact() && narrow.guardIntact());
    }
  }
  // Rows with gaps between them.
  constexpr int64_t kPad = 5;
  for (int64_t rows : {0, 1, 7})
    for (int64_t n : {1, 37, 5000}) {
      Array<float> source({rows, n}, 2);
      source.random(2);
      Array<uint16_t> narrow({rows, n}, kPad);
      narrow.fill(0x1234);
      module().run(kernels->convert[0][1][1], 3, source, narrow);
      for (int64_t r = 0; r < rows; ++r) {
        for (int64_t i = 0; i < n; ++i)
          ASSERT_EQ(narrow(r, i), toBF16(source(r, i))) << r << " " << i;
        for (int64_t i = n; i < n + kPad; ++i)
          ASSERT_EQ(narrow.data()[r * (n + kPad) + i], 0x1234);
      }
    }
}

TEST_P(PackTest, NothingCallsALibrary) {
  // Conversions of f16 and bf16 are the candidates.
  const std::string &ir = module().llvmIR();
  EXPECT_EQ(ir.find("fptrunc"), std::string::npos);
  if (!module().target().hasF16C) {
    EXPECT_EQ(ir.find("fpext"), std::string::npos);
  }
}

INSTANTIATE_TEST_SUITE_P(CPUs, PackTest, testing::ValuesIn(testedCPUs()),
                         cpuName);
