//===- ReferenceCheck.cpp - compiled values against the reference ---------===//
//
// Part of dsv2, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "ReferenceCheck.h"
#include "Support.h"

#include <algorithm>
#include <cfloat>
#include <cmath>
#include <cstring>

using namespace dsv2rt;

/// Sites of a router (docs/RuntimeABI.md).
static const char routerScores[] = "mlp.gate";

static std::string place(const std::string &site, int64_t layer) {
  return layer < 0 ? quote(site) : strCat(quote(site), " of layer ", layer);
}

bool ReferenceCheck::hasBlocks(const Manifest &compiled) {
  return std::any_of(compiled.slots.begin(), compiled.slots.end(),
                     [](const Manifest::Slot &slot) {
                       return slot.dtype == "Q8" || slot.dtype == "Q4";
                     });
}

float ReferenceCheck::toleranceOf(const Manifest &compiled) {
  if (compiled.device)
    return deviceTolerance;
  return hasBlocks(compiled) ? quantizedTolerance : exactTolerance;
}

ReferenceCheck::Matrix ReferenceCheck::copy(const void *data, int64_t rows,
                                            int64_t columns, int64_t rowStride,
                                            int32_t dtype) {
  Matrix matrix;
  matrix.rows = rows, matrix.columns = columns, matrix.dtype = dtype;
  if (dtype == DSV2RT_F32 || dtype == DSV2RT_I32) {
    matrix.words.resize(size_t(rows) * size_t(columns));
    for (int64_t row = 0; row < rows; ++row)
      std::memcpy(matrix.words.data() + row * columns,
                  static_cast<const uint32_t *>(data) + row * rowStride,
                  size_t(columns) * 4);
  } else if (dtype == DSV2RT_BF16) {
    // The upper half of an f32.
    matrix.dtype = DSV2RT_F32;
    matrix.words.reserve(size_t(rows) * size_t(columns));
    for (int64_t row = 0; row < rows; ++row) {
      auto *values = static_cast<const uint16_t *>(data) + row * rowStride;
      for (int64_t i = 0; i < columns; ++i)
        matrix.words.push_back(uint32_t(values[i]) << 16);
    }
  }
  return matrix;
}

void ReferenceCheck::record(const std::string &site, int64_t layer,
                            const void *data, int64_t rows, int64_t columns,
                            int64_t rowStride, int32_t dtype) {
  recorded[{site, layer}] = copy(data, rows, columns, rowStride, dtype);
}

template <class... Parts>
void ReferenceCheck::fail(const Key &key, Parts &&...parts) {
  if (failure.ok())
    failure = makeError(StatusCode::Mismatch, place(key.first, key.second),
                        " differs from the reference: ", parts...);
}

void ReferenceCheck::compareFloats(const Key &key, const Matrix &found,
                                   const float *data, int64_t rowStride) {
  auto *values = reinterpret_cast<const float *>(found.words.data());
  for (int64_t row = 0; row < found.rows; ++row) {
    const float *actual = values + row * found.columns;
    const float *expected = data + row * rowStride;
    float largest = FLT_MIN;
    for (int64_t i = 0; i < found.columns; ++i)
      if (std::isfinite(expected[i]))
        largest = std::max(largest, std::abs(expected[i]));
    for (int64_t i = 0; i < found.columns; ++i) {
      // Infinities and NaNs are for the non-finite guard to report.
      bool bothBad = !std::isfinite(actual[i]) && !std::isfinite(expected[i]);
      float error = bothBad ? 0 : std::abs(actual[i] - expected[i]) / largest;
      // Written so that a NaN on one side fails.
      if (!(error <= tolerance))
        return fail(key, "row ", row, ", column ", i, ": expected ",
                    expected[i], ", found ", actual[i], ", an error of ", error,
                    " of the row's largest value, at most ", tolerance,
                    " is allowed");
      if (error > summary.largestError) {
        summary.largestError = error;
        summary.largestErrorAt = place(key.first, key.second);
      }
    }
  }
  summary.values += found.rows * found.columns;
}

/// Ids are exact, except where rounding decided between two experts.
void ReferenceCheck::compareIds(const Key &key, const Matrix &found,
                                const int32_t *data, int64_t rowStride) {
  auto *values = reinterpret_cast<const int32_t *>(found.words.data());
  auto *allScores = reinterpret_cast<const float *>(scores.words.data());
  for (int64_t row = 0; row < found.rows; ++row) {
    for (int64_t i = 0; i < found.columns; ++i) {
      int32_t actual = values[row * found.columns + i];
      int32_t expected = data[row * rowStride + i];
      if (actual == expected)
        continue;
      bool known = row < scores.rows && actual >= 0 &&
                   actual < scores.columns && expected >= 0 &&
                   expected < scores.columns;
      const float *score = allScores + row * scores.columns;
      float largest = FLT_MIN;
      for (int64_t e = 0; known && e < scores.columns; ++e)
        largest = std::max(largest, std::abs(score[e]));
      if (!known ||
          !(std::abs(score[actual] - score[expected]) <= tolerance * largest))
        return fail(key, "row ", row, ", slot ", i, ": expected ", expected,
                    ", found ", actual);
      ++summary.ties;
    }
  }
  summary.values += found.rows * found.columns;
}

void ReferenceCheck::tap(int32_t site, int64_t layer, void *data, int64_t rows,
                         int64_t columns, int64_t rowStride, int32_t dtype) {
  if (site < 0 || size_t(site) >= manifest.sites.size())
    return;
  const std::string &name = manifest.sites[site].name;
  // Kept as the reference has them, to judge its choice of experts by.
  if (name == routerScores)
    scores = copy(data, rows, columns, rowStride, dtype);
  auto it = recorded.find({name, layer});
  if (it == recorded.end())
    return;
  Matrix &matrix = it->second;
  matrix.compared = true;
  if (matrix.rows != rows || matrix.columns != columns || matrix.dtype != dtype)
    return fail(it->first, "expected ", rows, " rows of ", columns,
                " elements, found ", matrix.rows, " of ", matrix.columns);
  if (dtype == DSV2RT_F32)
    compareFloats(it->first, matrix, static_cast<float *>(data), rowStride);
  else if (dtype == DSV2RT_I32)
    compareIds(it->first, matrix, static_cast<int32_t *>(data), rowStride);
  for (int64_t row = 0; !matrix.words.empty() && row < rows; ++row)
    std::memcpy(static_cast<uint32_t *>(data) + row * rowStride,
                matrix.words.data() + row * columns, size_t(columns) * 4);
}

Status ReferenceCheck::finish(int64_t step) {
  ++summary.steps;
  if (!failure.ok())
    return makeError(failure.code(), "step ", step, ": ", failure.message());
  for (const auto &[key, matrix] : recorded)
    if (!matrix.compared)
      return makeError(StatusCode::Internal, "step ", step,
                       ": the reference has no value for ",
                       place(key.first, key.second));
  summary.sites = std::max(summary.sites, int64_t(recorded.size()));
  return Status();
}
