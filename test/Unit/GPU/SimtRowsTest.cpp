//===- SimtRowsTest.cpp - Kernels for rows, run on the emulator -----------===//
//
// Part of dsv2, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "KernelRun.h"

#include "dsv2/CodeGen/GPU/SimtKernels.h"

#include <cmath>

using namespace mlir;
using namespace mlir::dsv2;
using namespace mlir::dsv2::gpu;
using namespace mlir::dsv2::test;

namespace {

/// Rows in device memory: `stride` elements apart, `start` after the address
/// that memory was given.
struct Rows {
  CUdeviceptr address;
  int32_t stride;
};

class SimtRows : public KernelRun {
protected:
  static Type f32() { return Float32Type::get(&getContext()); }
  static Type bf16() { return BFloat16Type::get(&getContext()); }
  static int64_t bytes(Type element) { return element.isF32() ? 4 : 2; }

  /// Uploads [count, width], `pad` elements before and after each row.
  Rows uploadRows(const std::vector<float> &values, int64_t width, Type element,
                  int64_t pad) {
    int64_t stride = width + 2 * pad, count = values.size() / width;
    std::vector<float> padded(std::max<int64_t>(count * stride, 1),
                              std::nanf(""));
    for (int64_t i = 0; i < count; ++i)
      std::copy_n(values.begin() + i * width, width,
                  padded.begin() + i * stride + pad);
    CUdeviceptr address =
        element.isF32() ? upload(padded) : upload(toBF16(padded));
    return {address + pad * bytes(element), int32_t(stride)};
  }
  Rows makeRows(int64_t count, int64_t width, Type element, int64_t pad) {
    return uploadRows(std::vector<float>(count * width, std::nanf("")), width,
                      element, pad);
  }
  std::vector<float> downloadRows(const Rows &rows, int64_t count,
                                  int64_t width, Type element) {
    std::vector<float> result;
    for (int64_t i = 0; i < count; ++i) {
      CUdeviceptr row = rows.address + i * rows.stride * bytes(element);
      std::vector<float> values =
          element.isF32() ? download<float>(row, width)
                          : fromBF16(download<uint16_t>(row, width));
      result.insert(result.end(), values.begin(), values.end());
    }
    return result;
  }

  /// The only kernel that `build` makes, held to the static gate.
  Loaded make(const std::function<void(ModuleOp)> &build) {
    std::optional<DeviceCode> code = compileKernel("sm_90a", build);
    if (!code)
      return {};
    expectGatePasses(*code);
    return loadKernel(*code);
  }
};

/// Widths that fill vectors, threads and blocks or not, and so do rows that lie
/// `pad` elements apart.
constexpr int64_t kWidths[] = {1, 8, 30, 64, 512, 2048, 2056, 8200};
constexpr int64_t kPads[] = {0, 3, 8};

} // namespace

TEST_F(SimtRows, RMSNorm) {
  for (int64_t width : kWidths)
    for (Type input : {f32(), bf16()}) {
      Loaded kernel = make([&](ModuleOp module) {
        getOrCreateRMSNormKernel(module, {width, 1e-6, input, f32(), bf16()});
      });
      ASSERT_NE(kernel.function, nullptr);
      for (int64_t pad : kPads) {
        constexpr int64_t count = 3;
        std::vector<float> x = randomBF16(count * width, width, 3);
        std::vector<float> w = randomBF16(width, width + 1);
        std::vector<float> expected;
        for (int64_t i = 0; i < count; ++i) {
          double squares = 0;
          for (int64_t k = 0; k < width; ++k)
            squares += double(x[i * width + k]) * x[i * width + k];
          for (int64_t k = 0; k < width; ++k)
            expected.push_back(x[i * width + k] * w[k] /
                               std::sqrt(squares / width + 1e-6));
        }
        Rows in = uploadRows(x, width, input, pad);
        Rows out = makeRows(count, width, bf16(), pad);
        run(kernel, count, 1, in.address, in.stride, upload(w), out.address,
            out.stride);
        // Rounded to 8 bits.
        expectClose(downloadRows(out, count, width, bf16()), expected, 1e-6f,
                    1.f / 256, "width " + std::to_string(width));
      }
    }
}

TEST_F(SimtRows, GatherRows) {
  for (int64_t width : kWidths)
    for (Type from : {f32(), bf16()}) {
      Loaded kernel = make([&](ModuleOp module) {
        getOrCreateGatherRowsKernel(module, {width, from, f32()});
      });
      ASSERT_NE(kernel.function, nullptr);
      for (int64_t pad : kPads) {
        std::vector<int32_t> rows = {4, 0, 4, 2};
        std::vector<float> table = randomBF16(5 * width, width);
        std::vector<float> expected;
        for (int32_t row : rows)
          expected.insert(expected.end(), table.begin() + row * width,
                          table.begin() + (row + 1) * width);
        Rows in = uploadRows(table, width, from, pad);
        Rows out = makeRows(rows.size(), width, f32(), pad);
        run(kernel, rows.size(), 1, upload(rows), in.address, in.stride,
            out.address, out.stride);
        expectClose(downloadRows(out, rows.size(), width, f32()), expected, 0,
                    0, "width " + std::to_string(width));
      }
    }
}

TEST_F(SimtRows, Add) {
  for (int64_t width : kWidths) {
    Loaded kernel =
        make([&](ModuleOp module) { getOrCreateAddKernel(module, {width}); });
    ASSERT_NE(kernel.function, nullptr);
    for (int64_t pad : kPads) {
      std::vector<float> a = randomBF16(2 * width, 1),
                         c = randomBF16(2 * width, 2), expected;
      for (size_t i = 0; i < a.size(); ++i)
        expected.push_back(a[i] + c[i]);
      Rows first = uploadRows(a, width, f32(), pad);
      Rows second = uploadRows(c, width, f32(), 0);
      Rows out = makeRows(2, width, f32(), pad);
      run(kernel, 2, 1, first.address, first.stride, second.address,
          second.stride, out.address, out.stride);
      expectClose(downloadRows(out, 2, width, f32()), expected, 0, 0,
                  "width " + std::to_string(width));
    }
  }
}

TEST_F(SimtRows, Combine) {
  for (int64_t width : {5, 64, 2048})
    for (bool both : {false, true}) {
      constexpr int64_t topK = 3, tokens = 2;
      Loaded kernel = make([&](ModuleOp module) {
        getOrCreateCombineKernel(module, {width, topK, both, both});
      });
      ASSERT_NE(kernel.function, nullptr);
      for (int64_t pad : kPads) {
        std::vector<int32_t> rows = {5, 0, 2, 4, 1, 3};
        std::vector<float> y = randomBF16(6 * width, 1),
                           weights = randomBF16(6, 2),
                           shared = randomBF16(tokens * width, 3),
                           residual = randomBF16(tokens * width, 4), expected;
        for (int64_t t = 0; t < tokens; ++t)
          for (int64_t i = 0; i < width; ++i) {
            float sum = 0;
            for (int64_t j = 0; j < topK; ++j)
              sum = std::fma(weights[t * topK + j],
                             y[rows[t * topK + j] * width + i], sum);
            if (both)
              sum = residual[t * width + i] + (shared[t * width + i] + sum);
            expected.push_back(sum);
          }
        Rows in = uploadRows(y, width, f32(), pad);
        Rows more = uploadRows(shared, width, f32(), pad);
        Rows old = uploadRows(residual, width, f32(), pad);
        Rows out = makeRows(tokens, width, f32(), pad);
        if (both)
          run(kernel, tokens, 1, in.address, in.stride, upload(rows),
              upload(weights), more.address, more.stride, old.address,
              old.stride, out.address, out.stride);
        else
          run(kernel, tokens, 1, in.address, in.stride, upload(rows),
              upload(weights), out.address, out.stride);
        // The same operations in the same order.
        expectClose(downloadRows(out, tokens, width, f32()), expected, 0, 0,
                    "width " + std::to_string(width));
      }
    }
}

TEST_F(SimtRows, ApplyRope) {
  for (auto [heads, width] :
       {std::pair<int64_t, int64_t>(1, 64), std::pair<int64_t, int64_t>(16, 64),
        std::pair<int64_t, int64_t>(3, 6), std::pair<int64_t, int64_t>(2, 8)})
    for (Type type : {f32(), bf16()}) {
      ApplyRopeConfig config{heads, width, type, type};
      Loaded kernel = make(
          [&](ModuleOp module) { getOrCreateApplyRopeKernel(module, config); });
      ASSERT_NE(kernel.function, nullptr);
      for (int64_t pad : kPads) {
        constexpr int64_t tokens = 2;
        int64_t rows = tokens * heads, pairs = width / 2;
        std::vector<float> x = randomBF16(rows * width, 1),
                           table = randomBF16(tokens * width, 2), expected;
        for (int64_t row = 0; row < rows; ++row)
          for (int64_t i = 0; i < width; ++i) {
            const float *factors = &table[row / heads * width];
            float cos = factors[i / 2], sin = factors[pairs + i / 2];
            float own = x[row * width + i], other = x[row * width + (i ^ 1)];
            expected.push_back(i % 2 ? own * cos + other * sin
                                     : own * cos - other * sin);
          }
        Rows in = uploadRows(x, width, type, pad);
        Rows out = makeRows(rows, width, type, pad);
        run(kernel, tokens, 1, in.address, int32_t(heads * in.stride),
            in.stride, upload(table), int32_t(width), out.address,
            int32_t(heads * out.stride), out.stride);
        expectClose(downloadRows(out, rows, width, type), expected, 1e-6f,
                    type.isF32() ? 1e-6f : 1.f / 256,
                    std::to_string(heads) + " heads of " +
                        std::to_string(width));
      }
    }
}

TEST_F(SimtRows, LatentAppend) {
  for (auto [latent, rope] :
       {std::pair<int64_t, int64_t>(512, 64),
        std::pair<int64_t, int64_t>(24, 8), std::pair<int64_t, int64_t>(5, 4)})
    for (Type element : {f32(), bf16()}) {
      LatentCacheConfig cache{latent, rope, /*page=*/4, element};
      Loaded kernel = make([&](ModuleOp module) {
        getOrCreateLatentAppendKernel(module, {cache, bf16(), f32()});
      });
      ASSERT_NE(kernel.function, nullptr);
      for (int64_t pad : kPads) {
        std::vector<float> c = randomBF16(3 * latent, 1),
                           key = randomBF16(3 * rope, 2);
        std::vector<int32_t> positions = {5, 2, 3}, sequences = {0, 1, 1},
                             blocks = {3, 1, 2, 0};
        Rows latents = uploadRows(c, latent, bf16(), pad);
        Rows keys = uploadRows(key, rope, f32(), pad);
        int64_t row = latent + rope;
        Rows pages = makeRows(4, 4 * row, element, 0);
        run(kernel, 3, 1, latents.address, latents.stride, keys.address,
            keys.stride, upload(positions), upload(sequences), upload(blocks),
            int32_t(2), pages.address, pages.stride);
        std::vector<float> actual =
            downloadRows({pages.address, int32_t(row)}, 16, row, element);
        for (int64_t t = 0; t < 3; ++t) {
          int64_t at = blocks[2 * sequences[t] + positions[t] / 4] * 4 +
                       positions[t] % 4;
          std::vector<float> expected(c.begin() + t * latent,
                                      c.begin() + (t + 1) * latent);
          expected.insert(expected.end(), key.begin() + t * rope,
                          key.begin() + (t + 1) * rope);
          expectClose(
              {actual.begin() + at * row, actual.begin() + (at + 1) * row},
              expected, 0, 0, "token " + std::to_string(t));
        }
      }
    }
}

TEST_F(SimtRows, LatentInput) {
  for (auto shape : {std::pair<int64_t, int64_t>(512, 64),
                     std::pair<int64_t, int64_t>(24, 8),
                     std::pair<int64_t, int64_t>(2056, 16),
                     std::pair<int64_t, int64_t>(5, 6)})
    for (Type element : {f32(), bf16()}) {
      const int64_t latent = shape.first, rope = shape.second;
      constexpr int64_t heads = 3, tokens = 3, pages = 4, page = 4;
      LatentInputConfig config;
      config.cache = {latent, rope, page, element};
      for (int64_t i = 0; i < rope / 2; ++i)
        config.rope.inverseFrequencies.push_back(
            std::pow(100.f, -2.f * i / rope));
      config.rope.multiplier = 1.25f;
      config.heads = heads;
      config.eps = 1e-6;
      config.query = bf16();
      config.latent = config.key = config.weight = f32();
      config.output = bf16();
      Loaded kernel = make([&](ModuleOp module) {
        getOrCreateLatentInputKernel(module, config);
      });
      ASSERT_NE(kernel.function, nullptr);
      for (int64_t pad : kPads) {
        std::vector<float> queries = randomBF16(tokens * heads * rope, 1),
                           c = randomBF16(tokens * latent, 2, 3),
                           key = randomBF16(tokens * rope, 3),
                           weight = randomBF16(latent, 4);
        std::vector<int32_t> positions = {13, 2, 3}, sequences = {0, 1, 1},
                             blocks = {3, 1, 2, 0, 3, 1, 2, 0};
        Rows inQueries = uploadRows(queries, rope, bf16(), pad);
        Rows inLatents = uploadRows(c, latent, f32(), pad);
        Rows inKeys = uploadRows(key, rope, f32(), pad);
        Rows rotated = makeRows(tokens * heads, rope, bf16(), pad);
        int64_t row = latent + rope;
        Rows cache = makeRows(pages, page * row, element, 0);
        run(kernel, tokens, 1, inQueries.address,
            int32_t(heads * inQueries.stride), inQueries.stride,
            inLatents.address, inLatents.stride, inKeys.address, inKeys.stride,
            upload(weight), upload(positions), upload(sequences),
            upload(blocks), int32_t(4), cache.address, cache.stride,
            rotated.address, int32_t(heads * rotated.stride), rotated.stride);

        auto rotate = [&](const float *x, int64_t token) {
          std::vector<float> result;
          for (int64_t i = 0; i < rope; ++i) {
            float angle =
                positions[token] * config.rope.inverseFrequencies[i / 2];
            float cos = std::cos(double(angle)) * config.rope.multiplier;
            float sin = std::sin(double(angle)) * config.rope.multiplier;
            result.push_back(i % 2 ? x[i] * cos + x[i - 1] * sin
                                   : x[i] * cos - x[i + 1] * sin);
          }
          return result;
        };
        std::vector<float> expected;
        for (int64_t i = 0; i < tokens * heads; ++i)
          for (float value : rotate(&queries[i * rope], i / heads))
            expected.push_back(value);
        // Rounded to 8 bits.
        expectClose(downloadRows(rotated, tokens * heads, rope, bf16()),
                    expected, 1e-6f, 1.f / 256, "queries");
        std::vector<float> actual = downloadRows({cache.address, int32_t(row)},
                                                 pages * page, row, element);
        for (int64_t t = 0; t < tokens; ++t) {
          double squares = 0;
          for (int64_t i = 0; i < latent; ++i)
            squares += double(c[t * latent + i]) * c[t * latent + i];
          expected.clear();
          for (int64_t i = 0; i < latent; ++i)
            expected.push_back(c[t * latent + i] * weight[i] /
                               std::sqrt(squares / latent + 1e-6));
          for (float value : rotate(&key[t * rope], t))
            expected.push_back(value);
          int64_t at = blocks[4 * sequences[t] + positions[t] / page] * page +
                       positions[t] % page;
          expectClose(
              {actual.begin() + at * row, actual.begin() + (at + 1) * row},
              expected, 1e-5f, element.isF32() ? 1e-5f : 1.f / 256,
              "token " + std::to_string(t));
        }
      }
    }
}
