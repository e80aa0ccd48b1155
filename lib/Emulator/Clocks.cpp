//===- Clocks.cpp - who has seen what, as vector clocks -------------------===//
//
// Part of dsv2, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "Clocks.h"

#include "llvm/Support/MathExtras.h"

using namespace dsv2::emulator;

// The emulator spends a good part of its time here, and only AVX2 has what it
// takes: the maximum of unsigned words.
#if defined(__x86_64__)
#define DSV2_VECTOR_CLONES __attribute__((target_clones("avx2", "default")))
#else
#define DSV2_VECTOR_CLONES
#endif

DSV2_VECTOR_CLONES
static void joinInto(std::vector<Epoch> &to, const std::vector<Epoch> &from) {
  Epoch *a = to.data();
  const Epoch *b = from.data();
  for (size_t i = 0, e = to.size(); i < e; ++i)
    a[i] = a[i] > b[i] ? a[i] : b[i];
}

DSV2_VECTOR_CLONES
static void meetInto(std::vector<Epoch> &to, const std::vector<Epoch> &from) {
  Epoch *a = to.data();
  const Epoch *b = from.data();
  for (size_t i = 0, e = to.size(); i < e; ++i)
    a[i] = a[i] < b[i] ? a[i] : b[i];
}

void Clock::join(const Clock &other) {
  joinInto(seen, other.seen);
  joinInto(fenced, other.fenced);
  ++version;
}

void Clock::adopt(const Clock &other, uint32_t agent) {
  Epoch own = seen[agent];
  seen = other.seen;
  seen[agent] = own;
  fenced = other.fenced;
  ++version;
}

void Clock::fence() {
  joinInto(fenced, seen);
  ++version;
}

void Clock::meet(const Clock &other) {
  meetInto(seen, other.seen);
  meetInto(fenced, other.fenced);
}

AgentNumbers::AgentNumbers(uint32_t blocks, uint32_t threads, bool copies,
                           bool bulk) {
  threadsPerBlock = llvm::alignTo(threads, 32);
  groupsPerBlock = llvm::divideCeil(threads, 128);
  firstGroup = blocks * threadsPerBlock;
  firstCopy = firstGroup + llvm::alignTo(blocks * groupsPerBlock, 32);
  firstBulk = firstCopy + (copies ? blocks * threadsPerBlock : 0);
  count = firstBulk + (bulk ? bulkSlots : 0);
}
