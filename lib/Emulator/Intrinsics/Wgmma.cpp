//===- Wgmma.cpp - products of a warpgroup --------------------------------===//
//
// Part of dsv2, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "../IntrinsicTable.h"

#include "../Collectives.h"
#include "../InlineAsm.h"
#include "../SoftFloat.h"
#include "../TensorBox.h"
#include "../Visibility.h"
#include "../Wgmma.h"

#include <cstring>

using namespace dsv2::emulator;

// PTX ISA, "Asynchronous Warpgroup Level Matrix Instructions". The result is
// there at once; what is asynchronous is the reading of shared memory, which
// lasts until wgmma.wait_group as far as the checks are concerned.

using Type = WgmmaAsm::Type;

//===----------------------------------------------------------------------===//
// Operands in shared memory
//===----------------------------------------------------------------------===//

namespace {
/// PTX ISA, "Matrix descriptor".
struct Descriptor {
  explicit Descriptor(uint64_t bits)
      : start((bits & 0x3FFF) << 4), leading((bits >> 16 & 0x3FFF) << 4),
        stride((bits >> 32 & 0x3FFF) << 4), baseOffset(bits >> 49 & 7) {
    // 1, 2, 3 are 128, 64 and 32 bytes.
    uint32_t mode = bits >> 62;
    swizzle = mode ? 4 - mode : 0;
  }
  uint32_t start, leading, stride, baseOffset;
  /// As in a tensor map: log2 of the 16-byte units of a row; 0 for none.
  uint32_t swizzle;
};
} // namespace

uint32_t dsv2::emulator::operandOffset(uint64_t bits, bool mnMajor,
                                       uint32_t major, uint32_t unit) {
  // In units of 16 bytes: `major` counts rows (K-major) or k (MN-major), `unit`
  // the 16 bytes along the contiguous dimension. Strides as in PTX ISA,
  // "Strides": between groups of 8 of `major`, and between units or, with a
  // swizzle, between rows of units.
  Descriptor d(bits);
  uint32_t units = 1u << d.swizzle;
  uint32_t inGroup = major % 8 * units * 16, group = major / 8;
  uint32_t offset = d.start + inGroup;
  if (d.swizzle == 0)
    // MN-major exchanges the meaning of the two strides.
    offset += mnMajor ? group * d.leading + unit * d.stride
                      : group * d.stride + unit * d.leading;
  else if (mnMajor)
    offset += group * d.stride + unit / units * d.leading + unit % units * 16;
  else
    offset += group * d.stride + unit * 16;
  return uint32_t(swizzled(offset, d.swizzle));
}

static uint32_t bytesOf(Type type) {
  return type == Type::F16 || type == Type::BF16 ? 2 : 1;
}

static float widen(Type type, const unsigned char *from) {
  uint16_t half = uint16_t(from[0] | from[1] << 8);
  switch (type) {
  case Type::F16:
    return fromF16(half);
  case Type::BF16:
    return fromBF16(half);
  case Type::E4M3:
    return fromE4M3(from[0]);
  case Type::E5M2:
    return fromE5M2(from[0]);
  }
  return 0;
}

/// What every thread of the warpgroup has seen.
static const Clock &groupClock(Rendezvous &meeting) {
  GroupClock &kept = meeting.block->groupClocks[meeting.first / warpgroupSize];
  uint64_t versions = 0;
  for (Thread *thread : meeting.arrived)
    versions += thread->clock.version;
  if (kept.versions != versions) {
    kept.clock = meeting.arrived[0]->clock;
    for (Thread *thread : meeting.arrived)
      kept.clock.meet(thread->clock);
    kept.versions = versions;
  }
  return kept.clock;
}

namespace {
/// Reads an operand of `rows` rows and `depth` columns along k.
struct OperandReader {
  Rendezvous &meeting;
  Touch touch;

  void read(uint64_t bits, Type type, bool mnMajor, uint32_t rows,
            uint32_t depth, const char *name, float *out, bool kOuter) {
    Scheduler &scheduler = machine();
    Thread &thread = *meeting.arrived[0];
    Block &block = *meeting.block;
    Descriptor d(bits);
    if (d.baseOffset != 0)
      scheduler.failFor(thread, Kind::Unsupported,
                        message("wgmma: the descriptor of {0} has a base "
                                "offset",
                                name));
    uint32_t bytes = bytesOf(type), perUnit = 16 / bytes;
    uint32_t majors = mnMajor ? depth : rows, minors = mnMajor ? rows : depth;
    for (uint32_t major = 0; major < majors; ++major)
      for (uint32_t unit = 0; unit < minors / perUnit; ++unit) {
        uint32_t offset = operandOffset(bits, mnMajor, major, unit);
        if (offset + 16 > block.sharedBytes)
          scheduler.failFor(
              thread, Kind::Bounds,
              message("wgmma reads {0} at shared+{1}, where the kernel "
                      "has {2} bytes of shared memory",
                      name, offset, block.sharedBytes));
        if (block.cluster->ordered)
          touchShared(thread, block, offset, 16, touch, name);
        unsigned char data[18] = {};
        std::memcpy(data, block.shared + offset, 16);
        for (uint32_t i = 0; i < perUnit; ++i) {
          uint32_t minor = unit * perUnit + i;
          uint32_t row = mnMajor ? minor : major, k = mnMajor ? major : minor;
          out[kOuter ? k * rows + row : row * depth + k] =
              widen(type, data + i * bytes);
        }
      }
  }
};
} // namespace

//===----------------------------------------------------------------------===//
// The product
//===----------------------------------------------------------------------===//

/// c += a b, with a 64 x depth, b depth x n, c 64 x n, row by row. Products of
/// 16-bit and 8-bit numbers are exact in f32, so that no contraction changes a
/// result.
__attribute__((target_clones("avx512f", "avx2", "default"))) static void
multiply(float *c, const float *a, const float *b, uint32_t n, uint32_t depth) {
  for (uint32_t m = 0; m < 64; ++m)
    for (uint32_t k = 0; k < depth; ++k) {
      float x = a[m * depth + k];
      for (uint32_t j = 0; j < n; ++j)
        c[m * n + j] += x * b[k * n + j];
    }
}

/// Arguments: facts, descriptor of B, A as one or four operands, scale-d if it
/// is an operand, accumulators if they are.
static void compute(Rendezvous &meeting) {
  const auto &facts =
      *reinterpret_cast<const WgmmaAsm *>(meeting.arguments[0][0]);
  uint32_t n = facts.n, depth = facts.k;
  uint32_t numA = facts.registersA ? 4 : 1;
  uint32_t firstAccumulator = 2 + numA + facts.scaleOperand;
  bool adds = facts.scaleOperand ? uint32_t(meeting.arguments[0][2 + numA]) != 0
                                 : facts.scaleLiteral;
  Thread &first = *meeting.arrived[0];
  for (Thread *thread : meeting.arrived) {
    if (!thread->tensorFenced)
      machine().failFor(*thread, Kind::Protocol,
                        "wgmma.mma_async without wgmma.fence since the "
                        "accumulators could be touched");
    if (thread->tensorCommitted != first.tensorCommitted)
      machine().failFor(*thread, Kind::Protocol,
                        "wgmma.mma_async in threads that have committed "
                        "different numbers of groups");
    thread->tensorOpen = true;
  }

  // Buffers that a failed launch may leave: static, as one thread runs all.
  static float a[64 * 32], b[32 * 256], c[64 * 256];
  OperandReader reader{meeting, {}};
  if (meeting.block->cluster->ordered) {
    Touch &touch = reader.touch;
    touch.clock = &groupClock(meeting);
    touch.self = ~0u;
    touch.agent = meeting.block->cluster->agents.group(
        meeting.block->rank, meeting.first / warpgroupSize);
    touch.epoch = first.tensorCommitted + 1;
    touch.async = true;
    touch.site = first.site;
  }
  reader.read(meeting.arguments[0][1], facts.b, facts.transposeB, n, depth,
              "wgmma's operand B", b, /*kOuter=*/true);
  if (!facts.registersA) {
    reader.read(meeting.arguments[0][2], facts.a, facts.transposeA, 64, depth,
                "wgmma's operand A", a, /*kOuter=*/false);
  } else {
    // Register r holds the elements of row 16 w + g + 8 (r % 2) from column
    // e (t + 4 (r / 2)) on, e to a register.
    uint32_t bytes = bytesOf(facts.a), per = 4 / bytes;
    for (uint32_t i = 0; i < warpgroupSize; ++i) {
      uint32_t g = i % 32 / 4, t = i % 4, w = i / 32;
      for (uint32_t r = 0; r < 4; ++r) {
        unsigned char data[6] = {};
        std::memcpy(data, &meeting.arguments[i][2 + r], 4);
        for (uint32_t e = 0; e < per; ++e)
          a[(16 * w + g + 8 * (r % 2)) * depth + per * (t + 4 * (r / 2)) + e] =
              widen(facts.a, data + e * bytes);
      }
    }
  }
  if (facts.negateA != facts.negateB)
    for (uint32_t i = 0; i < 64 * depth; ++i)
      a[i] = -a[i];

  // Accumulator i: row 16 w + g + 8 (i / 2 % 2), column 8 (i / 4) + 2 t + i
  // % 2. f16 ones come in pairs of neighbouring columns.
  auto forAccumulators = [&](auto each) {
    for (uint32_t i = 0; i < warpgroupSize; ++i) {
      uint32_t g = i % 32 / 4, t = i % 4, w = i / 32;
      for (uint32_t j = 0; j < n / 2; ++j)
        each(i, j,
             c[(16 * w + g + 8 * (j / 2 % 2)) * n + 8 * (j / 4) + 2 * t +
               j % 2]);
    }
  };
  forAccumulators([&](uint32_t i, uint32_t j, float &value) {
    const uint64_t *accumulators = meeting.arguments[i] + firstAccumulator;
    value = !adds       ? 0
            : facts.f32 ? asFloat(accumulators[j])
                        : fromF16(accumulators[j / 2] >> (16 * (j % 2)));
  });
  multiply(c, a, b, n, depth);
  forAccumulators([&](uint32_t i, uint32_t j, float &value) {
    uint64_t *results = meeting.results[i];
    if (facts.f32)
      results[j] = asBits(value);
    else if (j % 2 == 0)
      results[j / 2] = toF16(value);
    else
      results[j / 2] |= uint32_t(toF16(value)) << 16;
  });
  machine().counters.tensor_operations += 2ull * 64 * n * depth;
}

void dsv2::emulator::wgmma(const uint64_t *arguments, uint64_t *results) {
  // Facts, descriptors and scale-d are the same in all threads; registers of A
  // are not.
  static const CollectiveOp shared = {"wgmma.mma_async", compute, 0b111};
  static const CollectiveOp registers = {"wgmma.mma_async", compute, 0b11};
  const auto &facts = *reinterpret_cast<const WgmmaAsm *>(arguments[0]);
  gatherWarpgroup(facts.registersA ? registers : shared, arguments, results);
}

//===----------------------------------------------------------------------===//
// Groups
//===----------------------------------------------------------------------===//

void dsv2::emulator::fenceWgmma(const uint64_t *, uint64_t *) {
  machine().current().tensorFenced = true;
}

static void commitProducts(const uint64_t *, uint64_t *) {
  Thread &thread = machine().current();
  ++thread.tensorCommitted;
  thread.tensorOpen = false;
}

void dsv2::emulator::waitForWgmma(const uint64_t *arguments, uint64_t *) {
  Thread &thread = machine().current();
  Block &block = *thread.block;
  uint32_t left = uint32_t(arguments[0]);
  if (left < thread.tensorCommitted)
    thread.tensorWaited =
        std::max(thread.tensorWaited, thread.tensorCommitted - left);
  // The accumulators may be touched from here on.
  thread.tensorFenced = false;
  if (block.cluster->ordered)
    thread.clock.see(
        block.cluster->agents.group(block.rank, thread.index / warpgroupSize),
        thread.tensorWaited);
}

llvm::ArrayRef<IntrinsicEntry> dsv2::emulator::wgmmaIntrinsics() {
  static const IntrinsicEntry table[] = {
      {"llvm.nvvm.wgmma.fence.sync.aligned", located<fenceWgmma>},
      {"llvm.nvvm.wgmma.commit_group.sync.aligned", located<commitProducts>},
      {"llvm.nvvm.wgmma.wait_group.sync.aligned", located<waitForWgmma>},
  };
  return table;
}
