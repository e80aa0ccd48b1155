//===- Clocks.cpp - who has seen what, as vector clocks -------------------===//
//
// Part of dsv2, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "Clocks.h"

#include "llvm/Support/MathExtras.h"

using namespace dsv2::emulator;

static void joinInto(std::vector<Epoch> &to, const std::vector<Epoch> &from) {
  Epoch *a = to.data();
  const Epoch *b = from.data();
  for (size_t i = 0, e = to.size(); i < e; ++i)
    a[i] = a[i] > b[i] ? a[i] : b[i];
}

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
