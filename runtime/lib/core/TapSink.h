//===- TapSink.h - receives intermediate values of a step -------*- C++ -*-===//
//
// Part of dsv2, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef DSV2RT_LIB_CORE_TAPSINK_H
#define DSV2RT_LIB_CORE_TAPSINK_H

#include "dsv2rt/abi.h"

#include <cstdint>

namespace dsv2rt {

/// Receives what the taps of a step show.
class TapSink {
public:
  virtual ~TapSink() = default;

  /// One intermediate matrix; the arguments are those of dsv2rt_tap. Only the
  /// values of a reference may be changed.
  virtual void tap(int32_t site, int64_t layer, void *data, int64_t rows,
                   int64_t columns, int64_t rowStride, int32_t dtype) = 0;
};

/// True when every one of `count` elements of `dtype` at `data` is finite.
bool allFinite(const void *data, int64_t count, int32_t dtype);

} // namespace dsv2rt

#endif // DSV2RT_LIB_CORE_TAPSINK_H
