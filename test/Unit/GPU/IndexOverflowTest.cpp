//===- IndexOverflowTest.cpp - Kernels beyond element 2^31 ----------------===//
//
// Part of dsv2, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// F047: 70,000 tokens with 6 experts each and a hidden size of 5120 are more
// elements than 31 bits number, and so are the pages of a large cache. The
// emulator's large buffers take memory where they are written alone, and its
// checks report whatever an index that wraps around hits.
//
//===----------------------------------------------------------------------===//

#include "KernelRun.h"
#include "MLAParts.h"

#include "dsv2/CodeGen/GPU/GemmKernels.h"
#include "dsv2/CodeGen/GPU/MLAPrefillKernels.h"
#include "dsv2/CodeGen/GPU/SimtKernels.h"

#include <cmath>

using namespace mlir;
using namespace mlir::dsv2;
using namespace mlir::dsv2::gpu;
using namespace mlir::dsv2::test;

namespace {

constexpr int64_t kLimit = int64_t(1) << 31;
/// Rows of the issue: 70,000 tokens, 6 experts each, hidden size of V2.
constexpr int64_t kRows = 70000 * 6, kWidth = 5120;
static_assert(kWidth * (kRows - 1) > kLimit);

class IndexOverflow : public KernelRun {
protected:
  void SetUp() override {
    KernelRun::SetUp();
    setOptions("memory=65536");
  }
  void TearDown() override {
    setOptions("memory=16384");
    KernelRun::TearDown();
  }

  static Type f32() { return Float32Type::get(&getContext()); }
  static Type bf16() { return BFloat16Type::get(&getContext()); }

  Loaded make(StringRef chip, const std::function<void(ModuleOp)> &build) {
    if (chip == "sm_80")
      setOptions("cc=80");
    std::optional<DeviceCode> code = compileKernel(chip.str(), build);
    return code ? loadKernel(*code) : Loaded();
  }

  /// Memory of `elements`, and where element `index` of it lies.
  template <typename T> CUdeviceptr reserve(int64_t elements) {
    return allocate(elements * sizeof(T));
  }
  template <typename T>
  void put(CUdeviceptr base, int64_t index, const std::vector<T> &values) {
    ASSERT_EQ(emulator.cuMemcpyHtoDAsync_v2(base + index * sizeof(T),
                                            values.data(),
                                            values.size() * sizeof(T), nullptr),
              CUDA_SUCCESS);
  }
  template <typename T>
  std::vector<T> get(CUdeviceptr base, int64_t index, int64_t count) {
    return download<T>(base + index * sizeof(T), count);
  }

  /// A map of a bf16 tensor, sizes and box outermost first.
  CUtensorMap map(CUdeviceptr address, std::vector<uint64_t> sizes,
                  std::vector<uint32_t> box,
                  CUtensorMapSwizzle swizzle = CU_TENSOR_MAP_SWIZZLE_128B) {
    std::reverse(sizes.begin(), sizes.end());
    std::reverse(box.begin(), box.end());
    std::vector<uint64_t> strides;
    uint64_t bytes = 2;
    for (uint64_t size : sizes)
      strides.push_back(bytes *= size);
    std::vector<uint32_t> ones(sizes.size(), 1);
    CUtensorMap result;
    EXPECT_EQ(
        emulator.cuTensorMapEncodeTiled(
            &result, CU_TENSOR_MAP_DATA_TYPE_BFLOAT16, sizes.size(),
            reinterpret_cast<void *>(address), sizes.data(), strides.data(),
            box.data(), ones.data(), CU_TENSOR_MAP_INTERLEAVE_NONE, swizzle,
            CU_TENSOR_MAP_L2_PROMOTION_NONE, CU_TENSOR_MAP_FLOAT_OOB_FILL_NONE),
        CUDA_SUCCESS)
        << report();
    return result;
  }
};

class IndexOverflowOf : public IndexOverflow,
                        public ::testing::WithParamInterface<const char *> {};

} // namespace

TEST_F(IndexOverflow, F047_RowsThatAreGathered) {
  Loaded kernel = make("sm_90a", [](ModuleOp module) {
    getOrCreateGatherRowsKernel(module, {kWidth, bf16(), f32()});
  });
  std::vector<float> values = randomBF16(kWidth, 1);
  CUdeviceptr table = reserve<uint16_t>(kRows * kWidth);
  put(table, (kRows - 1) * kWidth, toBF16(values));
  // The third row of the output starts at the limit.
  constexpr int64_t stride = kLimit / 2;
  CUdeviceptr out = reserve<float>(2 * stride + kWidth);
  std::vector<int32_t> rows(3, kRows - 1);
  run(kernel, 3, 1, upload(rows), table, int32_t(kWidth), out, int32_t(stride));
  for (int64_t token = 0; token < 3; ++token)
    EXPECT_EQ(get<float>(out, token * stride, kWidth), values) << token;
}

TEST_F(IndexOverflow, F047_RowsOfExpertsThatAreCombined) {
  CombineConfig config{kWidth, /*topK=*/6, false, false};
  Loaded kernel = make("sm_90a", [&](ModuleOp module) {
    getOrCreateCombineKernel(module, config);
  });
  std::vector<float> values = randomBF16(kWidth, 2);
  CUdeviceptr experts = reserve<float>(kRows * kWidth);
  std::vector<int32_t> rows;
  for (int64_t slot = 0; slot < 6; ++slot) {
    rows.push_back(kRows - 6 + slot);
    put(experts, rows.back() * kWidth, values);
  }
  CUdeviceptr out = reserve<float>(kWidth);
  run(kernel, 1, 1, experts, int32_t(kWidth), upload(rows),
      upload(std::vector<float>{1, 0, 0, 0, 0, 1}), out, int32_t(kWidth));
  for (float &value : values)
    value *= 2;
  EXPECT_EQ(get<float>(out, 0, kWidth), values);
}

TEST_F(IndexOverflow, F047_RowsThatAreNormalised) {
  Loaded kernel = make("sm_90a", [](ModuleOp module) {
    getOrCreateRMSNormKernel(module, {kWidth, 1e-6, f32(), f32(), f32()});
  });
  constexpr int64_t stride = kLimit / 2;
  CUdeviceptr x = reserve<float>(2 * stride + kWidth);
  CUdeviceptr out = reserve<float>(2 * stride + kWidth);
  for (int64_t token = 0; token < 3; ++token)
    put(x, token * stride, std::vector<float>(kWidth, token + 1));
  run(kernel, 3, 1, x, int32_t(stride), upload(std::vector<float>(kWidth, 1)),
      out, int32_t(stride));
  for (int64_t token = 0; token < 3; ++token)
    expectClose(get<float>(out, token * stride, kWidth),
                std::vector<float>(kWidth, 1), 0, 1e-5f,
                "token " + std::to_string(token));
}

TEST_F(IndexOverflow, F047_WeightsOfTheLastExpert) {
  constexpr int64_t experts = 2000, inputs = 67200, outputs = 16;
  static_assert((experts - 1) * outputs * inputs > kLimit);
  ProductConfig config{outputs, inputs, bf16(), bf16(), f32()};
  config.experts = experts;
  Loaded kernel = make("sm_90a", [&](ModuleOp module) {
    getOrCreateProductKernel(module, config);
  });
  CUdeviceptr weights = reserve<uint16_t>(experts * outputs * inputs);
  std::vector<float> last(outputs * inputs, 0), expected;
  for (int64_t i = 0; i < outputs; ++i) {
    last[i * inputs + inputs - 1] = i + 1;
    expected.push_back(i + 1);
  }
  put(weights, (experts - 1) * outputs * inputs, toBF16(last));
  CUdeviceptr x = upload(toBF16(std::vector<float>(inputs, 1)));
  std::vector<int32_t> offsets(experts + 1, 0);
  offsets.back() = 1;
  CUdeviceptr out = reserve<float>(outputs);
  auto grid = getProductGrid(config, /*rows=*/1);
  run(kernel, grid[0], grid[1], x, int32_t(inputs), weights, upload(offsets),
      out, int32_t(outputs), /*rows=*/int32_t(1));
  EXPECT_EQ(get<float>(out, 0, outputs), expected);
}

TEST_F(IndexOverflow, F047_RowsOfTheLastTokens) {
  // An expert whose first row is the last of all.
  ProductConfig config{/*outputs=*/kWidth, /*inputs=*/kWidth, bf16(), bf16(),
                       f32()};
  config.outputs = 16;
  config.experts = 1;
  Loaded kernel = make("sm_90a", [&](ModuleOp module) {
    getOrCreateProductKernel(module, config);
  });
  CUdeviceptr x = reserve<uint16_t>(kRows * kWidth);
  put(x, (kRows - 1) * kWidth, toBF16(std::vector<float>(kWidth, 1)));
  std::vector<float> weights(16 * kWidth, 0), expected;
  for (int64_t i = 0; i < 16; ++i) {
    weights[i * kWidth + i] = i + 1;
    expected.push_back(i + 1);
  }
  CUdeviceptr out = reserve<float>(kRows * kWidth);
  auto grid = getProductGrid(config, /*rows=*/1);
  run(kernel, grid[0], grid[1], x, int32_t(kWidth), upload(toBF16(weights)),
      upload(std::vector<int32_t>{kRows - 1, kRows}), out, int32_t(kWidth),
      /*rows=*/int32_t(kRows));
  EXPECT_EQ(get<float>(out, (kRows - 1) * kWidth, 16), expected);
}

/// The last page of a large pool.
static constexpr int64_t kPages = 60001, kRow = 576, kPage = 64 * kRow;
static_assert(kPage * (kPages - 1) > kLimit);

TEST_F(IndexOverflow, F047_PagesOfTheCache) {
  LatentCacheConfig cache{512, 64, 64, bf16()};
  Loaded append = make("sm_90a", [&](ModuleOp module) {
    getOrCreateLatentAppendKernel(module, {cache, f32(), f32()});
  });
  Loaded attend = make("sm_90a", [&](ModuleOp module) {
    getOrCreateAttentionKernel(module,
                               {cache, /*heads=*/1, 1.0f, bf16(), f32()});
  });
  CUdeviceptr pages = reserve<uint16_t>(kPages * kPage);
  std::vector<float> row = randomBF16(kRow, 3);
  std::vector<float> latent(row.begin(), row.begin() + 512);
  std::vector<float> key(row.begin() + 512, row.end());
  CUdeviceptr zero = upload(std::vector<int32_t>{0});
  CUdeviceptr table = upload(std::vector<int32_t>{kPages - 1});
  run(append, 1, 1, upload(latent), int32_t(512), upload(key), int32_t(64),
      zero, zero, table, int32_t(1), pages, int32_t(kPage));
  EXPECT_EQ(get<uint16_t>(pages, (kPages - 1) * kPage, kRow), toBF16(row));
  // The weight of the only position is 1.
  CUdeviceptr query = upload(toBF16(randomBF16(kRow, 4)));
  CUdeviceptr out = reserve<float>(512);
  run(attend, 1, 1, query, int32_t(512), int32_t(512), query, int32_t(64),
      int32_t(64), pages, int32_t(kPage), zero, zero, table, int32_t(1), out,
      int32_t(512), int32_t(512));
  EXPECT_EQ(get<float>(out, 0, 512), latent);
}

TEST_P(IndexOverflowOf, F047_PagesOfTheCacheOnTensorCores) {
  StringRef chip = GetParam();
  MLADecodeShape shape;
  shape.heads = 16;
  shape.f32Output = true;
  Loaded kernel = make(chip, [&](ModuleOp module) {
    getOrCreateMLADecode(module, shape, chip);
  });
  CUdeviceptr pages = reserve<uint16_t>(kPages * kPage);
  std::vector<float> row = randomBF16(kRow, 3), expected;
  put(pages, (kPages - 1) * kPage, toBF16(row));
  for (int64_t head = 0; head < shape.heads; ++head)
    expected.insert(expected.end(), row.begin(), row.begin() + shape.latent);
  CUdeviceptr query = upload(toBF16(randomBF16(16 * kRow, 4)));
  CUdeviceptr out = reserve<float>(expected.size());
  CUdeviceptr sums = allocate(shape.sumBytes(1)),
              logs = allocate(shape.logBytes(1));
  CUdeviceptr zero = upload(std::vector<int32_t>{0});
  CUdeviceptr table = upload(std::vector<int32_t>{kPages - 1});
  if (chip == "sm_90a")
    run(kernel, 1, 1, map(query, {1, 16, kRow}, {4, 16, 64}),
        map(pages, {kPages, 64, kRow}, {1, 64, 64}), out, sums, logs, zero,
        zero, table, int32_t(1), int32_t(1));
  else
    run(kernel, 1, 1, query, pages, out, sums, logs, zero, zero, table,
        int32_t(1), int32_t(1));
  EXPECT_EQ(get<float>(out, 0, expected.size()), expected);
}

TEST_P(IndexOverflowOf, F047_KeysAndValuesOfTheLastTokens) {
  StringRef chip = GetParam();
  MLAPrefillShape shape;
  shape.heads = 16;
  shape.f32Output = true;
  constexpr int64_t rows = 1100001;
  int64_t width = shape.heads * shape.nope;
  ASSERT_EQ(shape.nope, shape.value);
  ASSERT_GT((rows - 1) * width, kLimit);
  Loaded kernel = make(chip, [&](ModuleOp module) {
    getOrCreateMLAPrefill(module, shape, chip);
  });
  CUdeviceptr keys = reserve<uint16_t>(rows * width);
  CUdeviceptr values = reserve<uint16_t>(rows * width);
  CUdeviceptr rotated = reserve<uint16_t>(rows * shape.rope);
  std::vector<float> expected = randomBF16(width, 5);
  put(keys, (rows - 1) * width, toBF16(randomBF16(width, 8)));
  put(values, (rows - 1) * width, toBF16(expected));
  put(rotated, (rows - 1) * shape.rope, toBF16(randomBF16(shape.rope, 6)));
  CUdeviceptr query = upload(toBF16(randomBF16(16 * shape.query(), 7)));
  CUdeviceptr out = reserve<float>(expected.size());
  CUdeviceptr starts = upload(std::vector<int32_t>{0, 1});
  CUdeviceptr rowStarts = upload(std::vector<int32_t>{rows - 1, rows});
  if (chip == "sm_90a")
    run(kernel, 1, 16, map(query, {1, 16, 192}, {128, 1, 64}),
        map(keys, {rows, 16, 128}, {128, 1, 64}),
        map(values, {rows, 16, 128}, {128, 1, 64}),
        map(rotated, {rows, 64}, {128, 64}), out, starts, rowStarts,
        int32_t(1));
  else
    run(kernel, 1, 16, query, keys, values, rotated, out, starts, rowStarts,
        int32_t(1));
  expectClose(get<float>(out, 0, expected.size()), expected, 0, 1e-6f, "value");
}

TEST_P(IndexOverflowOf, F047_RowsOfAGroupedProduct) {
  StringRef chip = GetParam();
  // Once the input is long, once the output.
  for (auto [n, k] : {std::pair<int64_t, int64_t>(16, kWidth),
                      std::pair<int64_t, int64_t>(kWidth, 64)}) {
    GemmShape shape;
    shape.n = n;
    shape.k = k;
    shape.experts = 1;
    shape.f32Output = true;
    GemmConfig config = chooseGemmConfig(chip, 132, shape, 64);
    Loaded kernel = make(chip, [&, shape = shape](ModuleOp module) {
      getOrCreateGemm(module, shape, config);
    });
    CUdeviceptr x = reserve<uint16_t>(kRows * k);
    put(x, (kRows - 1) * k, toBF16(std::vector<float>(k, 1)));
    std::vector<float> weights(n * k, 0), expected;
    for (int64_t i = 0; i < n; ++i) {
      weights[i * k + i % k] = i % 100;
      expected.push_back(i % 100);
    }
    CUdeviceptr w = upload(toBF16(weights));
    CUdeviceptr out = reserve<float>(kRows * n);
    CUdeviceptr offsets = upload(std::vector<int32_t>{kRows - 1, kRows});
    if (chip == "sm_90a")
      run(kernel, 4, 1,
          map(x, {kRows, uint64_t(k)}, {uint32_t(config.tileM), 64}),
          map(w, {1, uint64_t(n), uint64_t(k)},
              {1, uint32_t(config.tileN), 64}),
          out, offsets);
    else
      run(kernel, 4, 1, x, w, out, offsets);
    EXPECT_EQ(get<float>(out, (kRows - 1) * n, n), expected) << n;
  }
}

TEST_P(IndexOverflowOf, F047_SharesOfManyBlocksOfWork) {
  StringRef chip = GetParam();
  // Says whether shares of a decode kernel's work are where they should be.
  Loaded kernel = make(chip, [&](ModuleOp module) {
    module.getContext()->getOrLoadDialect<tile::TileDialect>();
    Type i32 = IntegerType::get(module.getContext(), 32);
    Type address = tile::GlobalType::get(module.getContext(), f32());
    TileBuilder b(module, "shares", {address, i32, i32, i32, i32, i32, i32},
                  chip, 32);
    b.role("all", 0, 1, 1, /*registers=*/0, /*single=*/false, [&](Value) {
      MLADecodeShape shape;
      shape.heads = 1;
      MLAShares shares(b, shape, b.argument(1), b.argument(2));
      Value start = shares.begin(b, b.argument(3));
      Value share = shares.find(b, b.argument(5));
      Value isRight = b.logicalAnd(b.equal(start, b.argument(4)),
                                   b.equal(share, b.argument(6)));
      Value answer = b.select(isRight, b.f32(1), b.f32(0));
      Value zero = b.i32(0), one = b.i32(1);
      auto splat =
          tile::SplatOp::create(b, b.fragment(16, 8, /*warps=*/1), answer);
      tile::StoreOp::create(b, splat, b.argument(0), zero, zero, b.i32(8), one,
                            b.i32(2));
    });
  });
  ASSERT_NE(kernel.function, nullptr);
  CUdeviceptr out = reserve<float>(16);
  // Fewer blocks than shares, about as many, and what 8192 tokens at the end of
  // a context of 163840 have, of 128 heads: 132 times that needs 33 bits.
  for (int64_t total : {1, 7, 131, 132, 133, 1000, 16777217, 41943040, 1 << 30})
    for (int64_t shares : {1, 2, 108, 132})
      for (int64_t i = 0; i < 5; ++i) {
        int64_t share = (shares * i + 3) / 4;
        auto begin = [&](int64_t s) {
          return s * (total / shares) + std::min(s, total % shares);
        };
        int64_t start = begin(share);
        int64_t block = i == 0 ? 0 : i == 4 ? total - 1 : start - (i == 2);
        block = std::clamp<int64_t>(block, 0, total - 1);
        int64_t expected = 0;
        while (begin(expected + 1) <= block)
          ++expected;
        run(kernel, 1, 1, out, int32_t(total), int32_t(shares), int32_t(share),
            int32_t(start), int32_t(block), int32_t(expected));
        EXPECT_EQ(get<float>(out, 0, 1).front(), 1)
            << "share " << share << " of " << shares << ", block " << block
            << " of " << total;
      }
}

INSTANTIATE_TEST_SUITE_P(Chips, IndexOverflowOf,
                         ::testing::Values("sm_90a", "sm_80"),
                         [](const auto &info) {
                           return std::string(info.param);
                         });
