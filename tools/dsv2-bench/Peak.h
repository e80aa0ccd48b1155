//===- Peak.h - how fast this machine multiplies ----------------*- C++ -*-===//
//
// Part of dsv2, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef DSV2_TOOLS_DSV2_BENCH_PEAK_H
#define DSV2_TOOLS_DSV2_BENCH_PEAK_H

#include <cstdint>
#include <string>
#include <vector>

namespace dsv2bench {

/// The instruction that does the products of an artifact.
struct ProductInstruction {
  /// For people: "vpdpbusd, 512 bits".
  const char *name;
  /// Operations of one instruction: two for every product that is summed.
  int64_t operations;
  /// Runs `rounds` rounds of `instructionsPerRound` independent ones.
  void (*run)(int64_t rounds);

  static constexpr int64_t instructionsPerRound = 12;
};

/// The instruction by which kernels multiply weights of `weightFormat` on a
/// processor with `features`, as lib/CodeGen/CPU chooses it: byte products for
/// q8 and q4, fused multiply-add of f32 for the rest. Attention, the smaller
/// part unless the cache is long, may use another. Code of the instruction may
/// run only where the features are.
const ProductInstruction &
productInstruction(const std::string &weightFormat,
                   const std::vector<std::string> &features);

/// Operations a second that `threads` threads of the OpenMP team reach together
/// with nothing but `instruction`, on values in registers: the best of several
/// tries.
double measurePeak(const ProductInstruction &instruction, int threads);

} // namespace dsv2bench

#endif // DSV2_TOOLS_DSV2_BENCH_PEAK_H
