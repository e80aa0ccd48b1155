//===- Bandwidth.h - how fast this machine reads memory ---------*- C++ -*-===//
//
// Part of dsv2, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef DSV2_TOOLS_DSV2_BENCH_BANDWIDTH_H
#define DSV2_TOOLS_DSV2_BENCH_BANDWIDTH_H

namespace dsv2bench {

/// Bytes a second that `threads` threads together read from memory, in order,
/// each from a buffer of its own; the best of several passes over memory much
/// larger than the caches. 0 when that memory cannot be had.
double measureReadBandwidth(int threads);

} // namespace dsv2bench

#endif // DSV2_TOOLS_DSV2_BENCH_BANDWIDTH_H
