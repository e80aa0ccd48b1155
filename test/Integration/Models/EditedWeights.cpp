//===- EditedWeights.cpp - a checkpoint with values changed ---------------===//
//
// Part of dsv2, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "EditedWeights.h"

#include "dsv2rt/Buffer.h"

#include <cstring>

using namespace dsv2test;
using namespace dsv2rt;

Status EditedWeights::require(const std::vector<TensorSpec> &) {
  return Status();
}

Expected<std::string> EditedWeights::identity(const std::vector<TensorSpec> &) {
  // Never kept, so every source may have the same.
  return std::string(64, '0');
}

Expected<TensorView> EditedWeights::read(const TensorSpec &spec,
                                         const TensorSlice &slice,
                                         Buffer &scratch) {
  int64_t count = 1;
  for (int64_t size : spec.shape)
    count *= size;
  std::vector<uint16_t> bits(count);
  Status status = fillRandomWeights(seed, spec, 0, count, bits.data());
  if (!status.ok())
    return status;
  std::vector<float> values(count);
  for (int64_t i = 0; i < count; ++i) {
    uint32_t word = uint32_t(bits[i]) << 16;
    std::memcpy(&values[i], &word, 4);
  }
  edit(spec.name, values);
  if (slice.dim >= 0) {
    // Edits see the whole tensor, callers their part of it.
    int64_t inner = 1;
    for (size_t i = slice.dim + 1; i < spec.shape.size(); ++i)
      inner *= spec.shape[i];
    std::vector<float> part;
    for (int64_t i = 0; i < count; ++i) {
      int64_t index = i / inner % spec.shape[slice.dim];
      if (index >= slice.begin && index < slice.begin + slice.size)
        part.push_back(values[i]);
    }
    values = std::move(part);
    count = int64_t(values.size());
  }
  int64_t bytes = count * (dtype == DType::F32 ? 4 : 2);
  status = scratch.reserve(bytes, "a tensor");
  if (!status.ok())
    return status;
  if (dtype == DType::F32) {
    std::memcpy(scratch.data(), values.data(), bytes);
  } else {
    auto *halves = static_cast<_Float16 *>(scratch.data());
    for (int64_t i = 0; i < count; ++i)
      halves[i] = static_cast<_Float16>(values[i]);
  }
  return TensorView{dtype, scratch.data(), count};
}
