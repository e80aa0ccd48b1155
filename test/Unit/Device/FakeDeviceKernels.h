//===- FakeDeviceKernels.h - kernels for the stub driver --------*- C++ -*-===//
//
// Part of dsv2, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef DSV2_TEST_UNIT_DEVICE_FAKEDEVICEKERNELS_H
#define DSV2_TEST_UNIT_DEVICE_FAKEDEVICEKERNELS_H

#include "FakeModel.h"
#include "StubDriver.h"

#include <cstring>

namespace fake {

/// The value of parameter `index`.
template <class T> inline T value(void *const *parameters, int index) {
  T result;
  std::memcpy(&result, parameters[index], sizeof(T));
  return result;
}

/// Where the device address in parameter `index` is.
template <class T> inline T *memory(void *const *parameters, int index) {
  return stub::host<T>(value<uint64_t>(parameters, index));
}

/// Row of the cache for a position of a token's sequence.
struct CacheView {
  explicit CacheView(void *const *p)
      : seqIds(memory<int32_t>(p, 1)), tables(memory<int32_t>(p, 2)),
        cache(memory<float>(p, 3)), width(value<int64_t>(p, 6)),
        pages(value<int64_t>(p, 7)), layer(value<int32_t>(p, 8)) {}

  float *place(int64_t token, int64_t position) const {
    int32_t number = tables[seqIds[token] * width + position / page];
    return cache + ((layer * pages + number) * page + position % page) * hidden;
  }

  const int32_t *seqIds, *tables;
  float *cache;
  int64_t width, pages;
  int32_t layer;
};

/// (tokens, embedding, state, count)
inline void embed(const CUlaunchConfig &, void *const *p) {
  for (int64_t t = 0; t < value<int64_t>(p, 3); ++t)
    std::memcpy(memory<float>(p, 2) + t * hidden,
                memory<float>(p, 1) + memory<int32_t>(p, 0)[t] * hidden,
                hidden * 4);
}

/// (positions, seqIds, tables, cache, state, count, width, pages, layer)
inline void append(const CUlaunchConfig &, void *const *p) {
  CacheView view(p);
  for (int64_t t = 0; t < value<int64_t>(p, 5); ++t)
    std::memcpy(view.place(t, memory<int32_t>(p, 0)[t]),
                memory<float>(p, 4) + t * hidden, hidden * 4);
}

/// (positions, seqIds, tables, cache, mean, count, width, pages, layer)
inline void attend(const CUlaunchConfig &, void *const *p) {
  CacheView view(p);
  for (int64_t t = 0; t < value<int64_t>(p, 5); ++t) {
    int64_t position = memory<int32_t>(p, 0)[t];
    for (int64_t i = 0; i < hidden; ++i) {
      float sum = 0;
      for (int64_t at = 0; at <= position; ++at)
        sum += view.place(t, at)[i];
      memory<float>(p, 4)[t * hidden + i] = sum / float(position + 1);
    }
  }
}

} // namespace fake

#endif // DSV2_TEST_UNIT_DEVICE_FAKEDEVICEKERNELS_H
