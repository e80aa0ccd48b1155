//===- Region.h - what starting a team costs --------------------*- C++ -*-===//
//
// Part of dsv2, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef DSV2_TOOLS_DSV2_BENCH_REGION_H
#define DSV2_TOOLS_DSV2_BENCH_REGION_H

namespace dsv2bench {

/// Seconds that an empty parallel region of `threads` threads takes from start
/// to end, one directly after the other as in a step: the median of several
/// hundred batches. Compiled code starts one region for every kernel.
double measureRegion(int threads);

} // namespace dsv2bench

#endif // DSV2_TOOLS_DSV2_BENCH_REGION_H
