//===- Peak.cpp - how fast this machine multiplies ------------------------===//
//
// Part of dsv2, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// Each probe is a loop over twelve sums, which is more than any processor's
// latency times its units and fits sixteen registers. The instructions are
// assembly, so that the compiler neither hoists a product that never changes
// nor fuses what the artifact does apart.
//
//===----------------------------------------------------------------------===//

#include "Peak.h"

#include <algorithm>
#include <chrono>

#include <immintrin.h>

using namespace dsv2bench;

// A type cannot be in parentheses.
// NOLINTBEGIN(bugprone-macro-parentheses)

/// Defines a function NAME(rounds) that runs CODE on twelve sums of type
/// VECTOR, for processors with TARGET. CODE adds to %0, may use %1, and
/// multiplies %2 and %3.
#define DSV2_PROBE(NAME, TARGET, VECTOR, CODE)                                 \
  __attribute__((target(TARGET), noinline)) static void NAME(int64_t rounds) { \
    constexpr int64_t count = ProductInstruction::instructionsPerRound;        \
    VECTOR sums[count] = {}, a = {}, b = {}, scratch = {};                     \
    for (int64_t round = 0; round < rounds; ++round)                           \
      _Pragma(                                                                 \
          "clang loop unroll(full)") for (int64_t i = 0; i < count;            \
                                          ++i) asm volatile(CODE :             \
                                                            "+v"(sums[i]),     \
                                                            "+v"(scratch) :    \
                                                            "v"(a), "v"(b));   \
  }

DSV2_PROBE(runFMA512, "avx512f", __m512, "vfmadd231ps %2, %3, %0")
DSV2_PROBE(runFMA256, "avx2,fma", __m256, "vfmadd231ps %2, %3, %0")
DSV2_PROBE(runMulAdd256, "avx2", __m256,
           "vmulps %2, %3, %1\n\tvaddps %1, %0, %0")
DSV2_PROBE(runMulAdd128, "sse2", __m128,
           "movaps %2, %1\n\tmulps %3, %1\n\taddps %1, %0")
DSV2_PROBE(runByteDot512, "avx512f,avx512vnni", __m512i, "vpdpbusd %2, %3, %0")
DSV2_PROBE(runByteDot256, "avx2,avxvnni", __m256i,
           "%{vex%} vpdpbusd %2, %3, %0")
DSV2_PROBE(runHalfBytePairs512, "avx512f,avx512bw", __m512i,
           "vpmaddubsw %2, %3, %1\n\tvpaddw %1, %0, %0")
DSV2_PROBE(runHalfBytePairs256, "avx2", __m256i,
           "vpmaddubsw %2, %3, %1\n\tvpaddw %1, %0, %0")
DSV2_PROBE(runHalfBytePairs128, "ssse3", __m128i,
           "movdqa %2, %1\n\tpmaddubsw %3, %1\n\tpaddw %1, %0")
DSV2_PROBE(runBytePairs512, "avx512f,avx512bw", __m512i,
           "vpsubb %2, %3, %1\n\tvpmaddubsw %1, %2, %1\n\t"
           "vpmaddwd %1, %2, %1\n\tvpaddd %1, %0, %0")
DSV2_PROBE(runBytePairs256, "avx2", __m256i,
           "vpsignb %2, %3, %1\n\tvpmaddubsw %1, %2, %1\n\t"
           "vpmaddwd %1, %2, %1\n\tvpaddd %1, %0, %0")
DSV2_PROBE(runBytePairs128, "ssse3", __m128i,
           "movdqa %2, %1\n\tpsignb %3, %1\n\tpmaddubsw %2, %1\n\t"
           "pmaddwd %3, %1\n\tpaddd %1, %0")
DSV2_PROBE(runWordDot128, "sse2", __m128i,
           "movdqa %2, %1\n\tpmaddwd %3, %1\n\tpaddd %1, %0")

#undef DSV2_PROBE
// NOLINTEND(bugprone-macro-parentheses)

const ProductInstruction &
dsv2bench::productInstruction(const std::string &weightFormat,
                              const std::vector<std::string> &features) {
  static const ProductInstruction fma512{"f32 FMA, 512 bits", 32, runFMA512};
  static const ProductInstruction fma256{"f32 FMA, 256 bits", 16, runFMA256};
  static const ProductInstruction mulAdd256{"f32 multiply and add, 256 bits",
                                            16, runMulAdd256};
  static const ProductInstruction mulAdd128{"f32 multiply and add, 128 bits", 8,
                                            runMulAdd128};
  static const ProductInstruction byte512{"vpdpbusd, 512 bits", 128,
                                          runByteDot512};
  static const ProductInstruction byte256{"vpdpbusd, 256 bits", 64,
                                          runByteDot256};
  static const ProductInstruction halves512{"vpmaddubsw and vpaddw, 512 bits",
                                            128, runHalfBytePairs512};
  static const ProductInstruction halves256{"vpmaddubsw and vpaddw, 256 bits",
                                            64, runHalfBytePairs256};
  static const ProductInstruction halves128{"pmaddubsw and paddw, 128 bits", 32,
                                            runHalfBytePairs128};
  static const ProductInstruction pairs512{
      "vpsubb, vpmaddubsw, vpmaddwd and vpaddd, 512 bits", 128,
      runBytePairs512};
  static const ProductInstruction pairs256{
      "vpsignb, vpmaddubsw, vpmaddwd and vpaddd, 256 bits", 64,
      runBytePairs256};
  static const ProductInstruction pairs128{
      "psignb, pmaddubsw, pmaddwd and paddd, 128 bits", 32, runBytePairs128};
  static const ProductInstruction word128{"pmaddwd and paddd, 128 bits", 16,
                                          runWordDot128};
  auto has = [&](const char *name) {
    return std::find(features.begin(), features.end(), name) != features.end();
  };
  // The widths of CPUTargetInfo.
  bool wide =
      has("avx512f") && has("avx512bw") && has("avx512dq") && has("avx512vl");
  bool middle = has("avx2");
  // Rules for single weights leave what most weights are.
  bool isQ4 = weightFormat.rfind("q4", 0) == 0;
  if (isQ4 || weightFormat.rfind("q8", 0) == 0) {
    if (wide)
      return has("avx512vnni") ? byte512 : isQ4 ? halves512 : pairs512;
    if (middle)
      return has("avxvnni") ? byte256 : isQ4 ? halves256 : pairs256;
    if (has("ssse3"))
      return isQ4 ? halves128 : pairs128;
    return word128;
  }
  if (!has("fma"))
    return middle ? mulAdd256 : mulAdd128;
  return wide ? fma512 : middle ? fma256 : mulAdd128;
}

double dsv2bench::measurePeak(const ProductInstruction &instruction,
                              int threads) {
  constexpr int tries = 8;
  constexpr double seconds = 0.02;
  using Clock = std::chrono::steady_clock;
  double best = 0;
  int64_t rounds = 1000;
  // The first tries only find how many rounds take long enough to measure.
  for (int i = 0; i < tries;) {
    std::vector<Clock::time_point> begins(threads), ends(threads);
#pragma omp parallel for num_threads(threads) schedule(static, 1)
    for (int thread = 0; thread < threads; ++thread) {
      begins[thread] = Clock::now();
      instruction.run(rounds);
      ends[thread] = Clock::now();
    }
    std::chrono::duration<double> spent =
        *std::max_element(ends.begin(), ends.end()) -
        *std::min_element(begins.begin(), begins.end());
    if (spent.count() < seconds / 2) {
      rounds *= 2;
      continue;
    }
    ++i;
    best = std::max(
        best, double(rounds) * ProductInstruction::instructionsPerRound *
                  double(instruction.operations) * threads / spent.count());
  }
  return best;
}
