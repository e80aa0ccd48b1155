//===- Support.h - small helpers of the runtime core ------------*- C++ -*-===//
//
// Part of dsv2, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef DSV2RT_LIB_CORE_SUPPORT_H
#define DSV2RT_LIB_CORE_SUPPORT_H

#include "dsv2rt/Status.h"

#include <algorithm>
#include <cstdint>
#include <exception>
#include <limits>
#include <new>
#include <sstream>
#include <string>
#include <thread>
#include <type_traits>
#include <vector>

namespace dsv2rt {

/// The arguments, one after the other, as text.
template <class... Ts> std::string strCat(const Ts &...parts) {
  std::ostringstream out;
  out.imbue(std::locale::classic());
  (out << ... << parts);
  return out.str();
}

/// A failed Status with a message made of `parts`.
template <class... Ts> Status makeError(StatusCode code, const Ts &...parts) {
  return Status::error(code, strCat(parts...));
}

/// `text` in single quotes with bytes outside printable ASCII escaped and long
/// text cut, fit for an error message whatever the input was.
std::string quote(const std::string &text);

/// A shape as "[2, 3]".
std::string shapeText(const std::vector<int64_t> &shape);

/// `bytes` with the exact number and, from 1 MiB, a rounded binary unit.
std::string bytesText(uint64_t bytes);

/// `a * b` into `result`; false when it does not fit in 63 bits.
inline bool mulFits(int64_t a, int64_t b, int64_t &result) {
  return !__builtin_mul_overflow(a, b, &result);
}

/// `a + b` into `result`; false when it does not fit in 63 bits.
inline bool addFits(int64_t a, int64_t b, int64_t &result) {
  return !__builtin_add_overflow(a, b, &result);
}

/// The number of elements of `shape`, or -1 when a size is negative or the
/// product does not fit in 63 bits.
int64_t elementCount(const std::vector<int64_t> &shape);

/// `value` rounded up to a multiple of `unit`.
inline int64_t roundUp(int64_t value, int64_t unit) {
  return (value + unit - 1) / unit * unit;
}

/// Runs `body` and turns exceptions of the standard library into a Status, so
/// that none crosses a public function. `body` returns Status or Expected<T>.
template <class F> auto guarded(F &&body) -> std::invoke_result_t<F> {
  try {
    return body();
  } catch (const std::bad_alloc &) {
    return Status::error(StatusCode::OutOfMemory,
                         "memory allocation failed in the runtime");
  } catch (const std::length_error &) {
    return Status::error(StatusCode::OutOfMemory,
                         "a container grew past its maximum in the runtime");
  } catch (const std::exception &error) {
    return makeError(StatusCode::Internal,
                     "unexpected exception: ", error.what());
  }
}

/// Calls body(begin, end) on `threads` threads over disjoint parts of [0, n)
/// that start at multiples of `grain`. Runs inline when one part is enough or
/// a thread cannot be started.
template <class F>
void parallelFor(int64_t n, int64_t grain, int threads, F &&body) {
  int64_t parts = std::min<int64_t>(
      std::max(threads, 1), (n + grain - 1) / std::max<int64_t>(grain, 1));
  if (parts <= 1) {
    body(int64_t(0), n);
    return;
  }
  int64_t share = roundUp((n + parts - 1) / parts, grain);
  std::vector<std::thread> workers;
  workers.reserve(parts);
  int64_t next = 0;
  for (; next + share < n; next += share) {
    try {
      workers.emplace_back([&body, next, share] { body(next, next + share); });
    } catch (const std::system_error &) {
      break;
    }
  }
  body(next, n);
  for (std::thread &worker : workers)
    worker.join();
}

} // namespace dsv2rt

#endif // DSV2RT_LIB_CORE_SUPPORT_H
