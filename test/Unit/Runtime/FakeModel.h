//===- FakeModel.h - sizes of the fake artifacts' model ---------*- C++ -*-===//
//
// Part of dsv2, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef DSV2_TEST_UNIT_RUNTIME_FAKEMODEL_H
#define DSV2_TEST_UNIT_RUNTIME_FAKEMODEL_H

#include "dsv2rt/abi.h"

#include <cstdint>

#define EXPORT extern "C" __attribute__((visibility("default")))

namespace fake {

constexpr int64_t vocabulary = 64, hidden = 8, layers = 2, page = 4;
constexpr int64_t experts = 4, intermediate = 3;

template <class T> T *base(const dsv2rt_memref1d *memory) {
  return static_cast<T *>(memory->aligned) + memory->offset;
}

} // namespace fake

#endif // DSV2_TEST_UNIT_RUNTIME_FAKEMODEL_H
