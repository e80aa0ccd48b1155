//===- Matrix.cpp - ldmatrix, stmatrix and mma.sync -----------------------===//
//
// Part of dsv2, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "../IntrinsicTable.h"

#include "../Accesses.h"
#include "../Collectives.h"
#include "../SoftFloat.h"
#include "../Visibility.h"

#include <cstring>

using namespace dsv2::emulator;

//===----------------------------------------------------------------------===//
// PTX ISA, "ldmatrix" and "stmatrix", .m8n8 of 16-bit elements: matrix j has
// its row r at the address of lane 8j + r. Lane l holds elements 2(l%4) and
// 2(l%4)+1 of row l/4, with .trans of column l/4.
//===----------------------------------------------------------------------===//

/// Checks and notes the access of `lane` to a row of 16 bytes.
static char *row(Rendezvous &meeting, uint32_t lane, uint64_t address,
                 bool writes) {
  Scheduler &scheduler = machine();
  Thread &thread = *meeting.arrived[lane];
  Block &block = *meeting.block;
  if (!scheduler.options().checks)
    return reinterpret_cast<char *>(address);
  // The rows of one matrix are one pass when there is no conflict.
  if (scheduler.options().banks)
    block.banks.access(thread.warp(), lane, thread.site, address, 16);
  uint64_t offset = address - block.sharedAddress();
  if (address % 16 != 0 || offset >= block.sharedBytes ||
      offset + 16 > block.sharedBytes)
    scheduler.failFor(thread, Kind::Bounds,
                      message("{0}: the row of lane {1} at {2:x} is not "
                              "16 aligned bytes of the {3} of shared "
                              "memory",
                              meeting.op->name, lane, address,
                              block.sharedBytes));
  touchShared(thread, block, offset, 16, touchOf(thread, writes),
              meeting.op->name);
  return block.shared + offset;
}

template <int Matrices, bool Transposed>
static void computeLoad(Rendezvous &meeting) {
  for (int matrix = 0; matrix < Matrices; ++matrix) {
    uint16_t elements[8][8];
    for (uint32_t r = 0; r < 8; ++r) {
      uint32_t lane = 8 * matrix + r;
      std::memcpy(elements[r],
                  row(meeting, lane, meeting.arguments[lane][0], false), 16);
    }
    for (uint32_t lane = 0; lane < warpSize; ++lane) {
      uint32_t major = lane / 4, minor = 2 * (lane % 4);
      uint32_t low =
          Transposed ? elements[minor][major] : elements[major][minor];
      uint32_t high =
          Transposed ? elements[minor + 1][major] : elements[major][minor + 1];
      meeting.results[lane][matrix] = high << 16 | low;
    }
  }
}

template <int Matrices, bool Transposed>
static void computeStore(Rendezvous &meeting) {
  for (int matrix = 0; matrix < Matrices; ++matrix) {
    uint16_t elements[8][8];
    for (uint32_t lane = 0; lane < warpSize; ++lane) {
      uint32_t major = lane / 4, minor = 2 * (lane % 4);
      uint32_t value = meeting.arguments[lane][1 + matrix];
      (Transposed ? elements[minor][major] : elements[major][minor]) = value;
      (Transposed ? elements[minor + 1][major] : elements[major][minor + 1]) =
          value >> 16;
    }
    for (uint32_t r = 0; r < 8; ++r) {
      uint32_t lane = 8 * matrix + r;
      std::memcpy(row(meeting, lane, meeting.arguments[lane][0], true),
                  elements[r], 16);
    }
  }
}

template <int Matrices, bool Transposed>
static void load(const uint64_t *a, uint64_t *r) {
  static const CollectiveOp op = {"ldmatrix",
                                  computeLoad<Matrices, Transposed>};
  gatherWarp(op, ~0u, a, r);
}
template <int Matrices, bool Transposed>
static void store(const uint64_t *a, uint64_t *r) {
  static const CollectiveOp op = {"stmatrix",
                                  computeStore<Matrices, Transposed>};
  gatherWarp(op, ~0u, a, r);
}

//===----------------------------------------------------------------------===//
// PTX ISA, "Matrix fragments for mma.m16n8k8, k16, k32": with g = lane/4 and
// t = lane%4, register r of A is row g + 8(r%2), columns from w t + w 4 (r/2)
// for w elements a register; register r of B rows from w t + 4 w r of column g;
// elements 2h and 2h+1 of C row g + 8h, columns 2t and 2t+1.
//===----------------------------------------------------------------------===//

template <float (*Widen)(uint16_t)>
static float element16(uint64_t bits, int i) {
  return Widen(uint16_t(bits >> (16 * i)));
}
template <float (*Widen)(uint8_t)> static float element8(uint64_t bits, int i) {
  return Widen(uint8_t(bits >> (8 * i)));
}
/// tf32 ignores the low 13 bits.
static float elementTF32(uint64_t bits, int) {
  return asFloat(bits & ~0x1FFFull);
}

template <float (*Element)(uint64_t, int), int PerRegister, int Depth>
static void computeMma(Rendezvous &meeting) {
  constexpr int numA = Depth / (2 * PerRegister);
  constexpr int numB = Depth / (4 * PerRegister);
  float a[16][Depth], b[Depth][8];
  for (uint32_t lane = 0; lane < warpSize; ++lane) {
    uint32_t g = lane / 4, t = lane % 4;
    const uint64_t *values = meeting.arguments[lane];
    for (int r = 0; r < numA; ++r)
      for (int i = 0; i < PerRegister; ++i)
        a[g + 8 * (r % 2)][PerRegister * (t + 4 * (r / 2)) + i] =
            Element(values[r], i);
    for (int r = 0; r < numB; ++r)
      for (int i = 0; i < PerRegister; ++i)
        b[PerRegister * (t + 4 * r) + i][g] = Element(values[numA + r], i);
  }
  for (uint32_t lane = 0; lane < warpSize; ++lane) {
    uint32_t g = lane / 4, t = lane % 4;
    for (int i = 0; i < 4; ++i) {
      uint32_t m = g + 8 * (i / 2), n = 2 * t + i % 2;
      float sum = 0;
      for (int k = 0; k < Depth; ++k)
        sum += a[m][k] * b[k][n];
      meeting.results[lane][i] =
          asBits(sum + asFloat(meeting.arguments[lane][numA + numB + i]));
    }
  }
  machine().counters.tensor_operations += 2 * 16 * 8 * Depth;
}

template <float (*Element)(uint64_t, int), int PerRegister, int Depth>
static void mma(const uint64_t *a, uint64_t *r) {
  static const CollectiveOp op = {"mma.sync",
                                  computeMma<Element, PerRegister, Depth>};
  gatherWarp(op, ~0u, a, r);
}

#define DSV2_MATRIX(op, function, count, trans, suffix)                        \
  {"llvm.nvvm." op ".sync.aligned.m8n8.x" #count suffix,                       \
   located<function<count, trans>>}
#define DSV2_MMA(shape, types, element, per, depth)                            \
  {"llvm.nvvm.mma." shape ".row.col." types, located<mma<element, per, depth>>}

llvm::ArrayRef<IntrinsicEntry> dsv2::emulator::matrixIntrinsics() {
  static const IntrinsicEntry table[] = {
      DSV2_MATRIX("ldmatrix", load, 1, false, ".b16"),
      DSV2_MATRIX("ldmatrix", load, 2, false, ".b16"),
      DSV2_MATRIX("ldmatrix", load, 4, false, ".b16"),
      DSV2_MATRIX("ldmatrix", load, 1, true, ".trans.b16"),
      DSV2_MATRIX("ldmatrix", load, 2, true, ".trans.b16"),
      DSV2_MATRIX("ldmatrix", load, 4, true, ".trans.b16"),
      DSV2_MATRIX("stmatrix", store, 1, false, ".b16"),
      DSV2_MATRIX("stmatrix", store, 2, false, ".b16"),
      DSV2_MATRIX("stmatrix", store, 4, false, ".b16"),
      DSV2_MATRIX("stmatrix", store, 1, true, ".trans.b16"),
      DSV2_MATRIX("stmatrix", store, 2, true, ".trans.b16"),
      DSV2_MATRIX("stmatrix", store, 4, true, ".trans.b16"),
      DSV2_MMA("m16n8k8", "bf16", element16<fromBF16>, 2, 8),
      DSV2_MMA("m16n8k16", "bf16", element16<fromBF16>, 2, 16),
      DSV2_MMA("m16n8k8", "f32.f32", element16<fromF16>, 2, 8),
      DSV2_MMA("m16n8k16", "f32.f32", element16<fromF16>, 2, 16),
      DSV2_MMA("m16n8k4", "tf32", elementTF32, 1, 4),
      DSV2_MMA("m16n8k8", "tf32", elementTF32, 1, 8),
      DSV2_MMA("m16n8k32", "f32.e4m3.e4m3.f32", element8<fromE4M3>, 4, 32),
      DSV2_MMA("m16n8k32", "f32.e5m2.e5m2.f32", element8<fromE5M2>, 4, 32),
  };
  return table;
}
