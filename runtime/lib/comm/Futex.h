//===- Futex.h - sleeping until a shared number changes ---------*- C++ -*-===//
//
// Part of dsv2, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef DSV2RT_LIB_COMM_FUTEX_H
#define DSV2RT_LIB_COMM_FUTEX_H

#include <atomic>
#include <climits>
#include <cstdint>
#include <ctime>

#include <linux/futex.h>
#include <sys/syscall.h>
#include <unistd.h>

namespace dsv2rt::comm {

/// The lower half of `number`, which is what the system compares.
inline uint32_t *futexWord(std::atomic<uint64_t> &number) {
  static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__);
  return reinterpret_cast<uint32_t *>(&number);
}

/// Sleeps until someone wakes the sleepers of `number`, for `nanoseconds`
/// (below a second) at most, and not at all when it no longer is `seen`.
inline void sleepWhile(std::atomic<uint64_t> &number, uint64_t seen,
                       int64_t nanoseconds) {
  timespec limit = {0, nanoseconds};
  syscall(SYS_futex, futexWord(number), FUTEX_WAIT, uint32_t(seen), &limit,
          nullptr, 0);
}

/// Wakes all that sleep for `number`, in whatever process.
inline void wakeSleepers(std::atomic<uint64_t> &number) {
  syscall(SYS_futex, futexWord(number), FUTEX_WAKE, INT_MAX, nullptr, nullptr,
          0);
}

} // namespace dsv2rt::comm

#endif // DSV2RT_LIB_COMM_FUTEX_H
