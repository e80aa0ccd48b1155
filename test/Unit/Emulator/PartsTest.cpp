//===- PartsTest.cpp - parts of the emulator that need no kernel ----------===//
//
// Part of dsv2, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "../../../lib/Emulator/Image.h"
#include "../../../lib/Emulator/IntrinsicTable.h"
#include "../../../lib/Emulator/Shadow.h"
#include "../../../lib/Emulator/SoftFloat.h"
#include "../../../lib/Emulator/TensorBox.h"
#include "../../../lib/Emulator/Wgmma.h"

#include "llvm/IR/Intrinsics.h"

#include <gtest/gtest.h>

#include <cmath>
#include <cstring>
#include <set>

using namespace dsv2::emulator;

// A name that LLVM does not have would never be found.
TEST(EmulatorPartsTest, EveryIntrinsicExists) {
  std::set<std::string> seen;
  for (llvm::ArrayRef<IntrinsicEntry> table :
       {registerIntrinsics(), syncIntrinsics(), warpIntrinsics(),
        mathIntrinsics(), clusterIntrinsics(), mbarrierIntrinsics(),
        copyIntrinsics(), bulkIntrinsics(), matrixIntrinsics(),
        wgmmaIntrinsics()})
    for (const IntrinsicEntry &entry : table) {
      EXPECT_NE(llvm::Intrinsic::lookupIntrinsicID(entry.name),
                llvm::Intrinsic::not_intrinsic)
          << entry.name;
      EXPECT_TRUE(seen.insert(entry.name).second) << entry.name;
      EXPECT_EQ(findIntrinsic(entry.name), entry.handler);
    }
  EXPECT_EQ(findIntrinsic("llvm.nvvm.barrier0"), nullptr);
}

//===----------------------------------------------------------------------===//
// Tensor maps
//===----------------------------------------------------------------------===//

namespace {
struct Map {
  CUtensorMapDataType type = CU_TENSOR_MAP_DATA_TYPE_BFLOAT16;
  uint32_t rank = 3;
  uint64_t address = 4096;
  uint64_t dims[5] = {100, 30, 7, 1, 1};
  uint64_t strides[4] = {208, 208 * 30, 0, 0};
  uint32_t box[5] = {64, 8, 2, 1, 1};
  uint32_t elementStrides[5] = {1, 1, 1, 1, 1};
  CUtensorMapSwizzle swizzle = CU_TENSOR_MAP_SWIZZLE_128B;
  CUtensorMapFloatOOBfill fill = CU_TENSOR_MAP_FLOAT_OOB_FILL_NONE;

  std::string encode(CUtensorMap &map) const {
    return encodeTensorMap(map, type, rank, reinterpret_cast<void *>(address),
                           dims, strides, box, elementStrides,
                           CU_TENSOR_MAP_INTERLEAVE_NONE, swizzle,
                           CU_TENSOR_MAP_L2_PROMOTION_NONE, fill);
  }
};
} // namespace

TEST(EmulatorPartsTest, TensorMapRoundTrip) {
  CUtensorMap encoded;
  Map good;
  ASSERT_EQ(good.encode(encoded), "");
  TensorMap map;
  ASSERT_TRUE(decodeTensorMap(&encoded, map));
  EXPECT_EQ(map.address, 4096u);
  EXPECT_EQ(map.rank, 3u);
  EXPECT_EQ(map.swizzle, 3u);
  EXPECT_EQ(map.boxBytes(), 64u * 8 * 2 * 2);
  for (int i = 0; i < 3; ++i) {
    EXPECT_EQ(map.dims[i], good.dims[i]);
    EXPECT_EQ(map.box[i], good.box[i]);
    EXPECT_EQ(map.strides[i], i ? good.strides[i - 1] : 2);
  }
  std::memset(&encoded, 0, sizeof(encoded));
  EXPECT_FALSE(decodeTensorMap(&encoded, map));
}

// The limits of cuTensorMapEncodeTiled.
TEST(EmulatorPartsTest, TensorMapLimits) {
  auto expect = [](const char *what, auto change) {
    Map map;
    change(map);
    CUtensorMap encoded;
    EXPECT_NE(map.encode(encoded).find(what), std::string::npos)
        << map.encode(encoded);
  };
  expect("data type", [](Map &m) { m.type = CUtensorMapDataType(77); });
  expect("rank 0", [](Map &m) { m.rank = 0; });
  expect("rank 6", [](Map &m) { m.rank = 6; });
  expect("multiple of 16", [](Map &m) { m.address += 8; });
  expect("dimension 1 of 0", [](Map &m) { m.dims[1] = 0; });
  expect("2^32", [](Map &m) { m.dims[0] = (1ull << 32) + 1; });
  expect("stride 1 of 204", [](Map &m) { m.strides[0] = 204; });
  expect("2^40", [](Map &m) { m.strides[1] = 1ull << 40; });
  expect("from 1 to 256", [](Map &m) { m.box[1] = 257; });
  expect("from 1 to 256", [](Map &m) { m.box[2] = 0; });
  expect("not a multiple of 16", [](Map &m) { m.box[0] = 4; });
  expect("swizzle", [](Map &m) { m.box[0] = 72; });
  expect("element stride", [](Map &m) { m.elementStrides[1] = 2; });
  expect("does not fit", [](Map &m) { m.box[1] = m.box[2] = 256; });
  expect("only floating-point", [](Map &m) {
    m.type = CU_TENSOR_MAP_DATA_TYPE_UINT16;
    m.fill = CU_TENSOR_MAP_FLOAT_OOB_FILL_NAN_REQUEST_ZERO_FMA;
  });
}

TEST(EmulatorPartsTest, BoxRowsAndTheirParts) {
  CUtensorMap encoded;
  ASSERT_EQ(Map().encode(encoded), "");
  TensorMap map;
  ASSERT_TRUE(decodeTensorMap(&encoded, map));
  // 64 columns from -10, 8 rows from 25 of 30, 2 planes from 6 of 7.
  const int32_t at[] = {-10, 25, 6};
  int rows = 0, inside = 0;
  forBoxRows(map, at, [&](const BoxRow &row) {
    EXPECT_EQ(row.offset, uint32_t(rows) * 128);
    int y = 25 + rows % 8, z = 6 + rows / 8;
    ++rows;
    if (y >= 30 || z >= 7) {
      EXPECT_EQ(row.first, row.last);
      return;
    }
    ++inside;
    EXPECT_EQ(row.first, 20u);
    EXPECT_EQ(row.last, 128u);
    EXPECT_EQ(row.address, 4096u + y * 208u + z * 208u * 30);
  });
  EXPECT_EQ(rows, 16);
  EXPECT_EQ(inside, 5);
  // Past the last column.
  const int32_t last[] = {96, 0, 0};
  forBoxRows(map, last, [&](const BoxRow &row) {
    EXPECT_EQ(row.first, 0u);
    EXPECT_EQ(row.last, 8u);
  });
}

// PTX ISA, figures of the swizzling modes: in rows of 8 chunks of 16 bytes, row
// i of the 128-byte mode has chunk j at j ^ i; the 64-byte mode repeats over
// pairs of rows in halves; the 32-byte mode exchanges neighbours in the second
// half of 8 rows.
TEST(EmulatorPartsTest, SwizzleOfChunks) {
  for (uint64_t i = 0; i < 8; ++i)
    for (uint64_t j = 0; j < 8; ++j)
      EXPECT_EQ(swizzled(i * 128 + j * 16, 3), i * 128 + (j ^ i) * 16);
  for (uint64_t i = 0; i < 8; ++i)
    for (uint64_t j = 0; j < 4; ++j)
      EXPECT_EQ(swizzled(i * 64 + j * 16, 2), i * 64 + (j ^ (i / 2)) * 16);
  for (uint64_t i = 0; i < 8; ++i)
    for (uint64_t j = 0; j < 2; ++j)
      EXPECT_EQ(swizzled(i * 32 + j * 16, 1), i * 32 + (j ^ (i / 4)) * 16);
  EXPECT_EQ(swizzled(0x3F0, 0), 0x3F0u);
}

//===----------------------------------------------------------------------===//
// Numbers
//===----------------------------------------------------------------------===//

TEST(EmulatorPartsTest, NarrowFloats) {
  for (int code = 0; code < 256; ++code) {
    // OCP 8-bit floating point, by its definition.
    int e4 = code >> 3 & 15, m3 = code & 7, e5 = code >> 2 & 31, m2 = code & 3;
    double sign = code & 128 ? -1 : 1;
    if ((code & 127) != 127) {
      double value = e4 ? std::ldexp(8 + m3, e4 - 10) : std::ldexp(m3, -9);
      EXPECT_EQ(fromE4M3(code), float(sign * value)) << code;
      EXPECT_EQ(toE4M3(fromE4M3(code)), code);
    } else {
      EXPECT_TRUE(std::isnan(fromE4M3(code)));
    }
    if (e5 < 31) {
      double value = e5 ? std::ldexp(4 + m2, e5 - 17) : std::ldexp(m2, -16);
      EXPECT_EQ(fromE5M2(code), float(sign * value)) << code;
      EXPECT_EQ(toE5M2(fromE5M2(code)), code);
    }
  }
  EXPECT_EQ(toE4M3(1e9f), 0x7E);
  EXPECT_EQ(toE4M3(-1e9f), 0xFE);
  EXPECT_EQ(toE4M3(NAN), 0x7F);
  // Halfway goes to the even neighbour.
  EXPECT_EQ(toE4M3(1.0625f), toE4M3(1.0f));
  EXPECT_EQ(toE4M3(1.1875f), toE4M3(1.25f));
  EXPECT_EQ(toBF16(1.00390625f), 0x3F80);
  EXPECT_EQ(toBF16(1.01171875f), 0x3F82);
  EXPECT_EQ(toBF16(INFINITY), 0x7F80);
  EXPECT_TRUE(std::isnan(fromBF16(toBF16(NAN))));
  EXPECT_EQ(toF16(1.0f), 0x3C00);
  EXPECT_EQ(fromF16(0x3555), 0.333251953125f);
}

//===----------------------------------------------------------------------===//
// Order of accesses
//===----------------------------------------------------------------------===//

namespace {
class ShadowTest : public ::testing::Test {
protected:
  void SetUp() override {
    shadow.reset(1024);
    for (Clock &clock : clocks)
      clock.reset(64);
    for (uint32_t i = 0; i < 4; ++i)
      clocks[i].see(i, 1);
  }
  Conflict::Why touch(uint32_t agent, uint32_t offset, uint32_t bytes,
                      bool writes, bool async = false, bool atomic = false) {
    Touch touch;
    touch.clock = &clocks[agent];
    touch.self = touch.agent = agent;
    touch.epoch = clocks[agent].seen[agent];
    touch.writes = writes;
    touch.async = async;
    touch.atomic = atomic;
    return shadow.touch(offset, bytes, touch).why;
  }
  /// Agent `to` sees what `from` has done.
  void order(uint32_t from, uint32_t to) {
    clocks[to].join(clocks[from]);
    ++clocks[from].seen[from];
  }
  using Why = Conflict::Why;
  Shadow shadow;
  Clock clocks[4];
};
} // namespace

TEST_F(ShadowTest, BytesBesideEachOtherDoNotConflict) {
  for (uint32_t i = 0; i < 4; ++i)
    EXPECT_EQ(touch(i, 16 + 2 * i, 2, true), Why::None);
  EXPECT_EQ(touch(0, 20, 2, false), Why::Race);
  EXPECT_EQ(touch(0, 16, 2, false), Why::None);
}

TEST_F(ShadowTest, WritesAreOrderedAfterReads) {
  EXPECT_EQ(touch(0, 0, 64, true), Why::None);
  order(0, 1);
  order(0, 2);
  EXPECT_EQ(touch(1, 0, 64, false), Why::None);
  EXPECT_EQ(touch(2, 32, 4, false), Why::None);
  order(1, 3);
  // Agent 2's read is not among what 3 has seen.
  EXPECT_EQ(touch(3, 0, 32, true), Why::None);
  EXPECT_EQ(touch(3, 32, 32, true), Why::Race);
  order(2, 3);
  EXPECT_EQ(touch(3, 32, 32, true), Why::None);
  // And what came after the order does not count.
  EXPECT_EQ(touch(3, 0, 4, true), Why::None);
  order(3, 0);
  EXPECT_EQ(touch(3, 0, 4, true), Why::None);
  EXPECT_EQ(touch(0, 0, 4, false), Why::Race);
}

TEST_F(ShadowTest, AsyncProxyNeedsAFence) {
  EXPECT_EQ(touch(0, 0, 16, true), Why::None);
  order(0, 1);
  EXPECT_EQ(touch(1, 0, 16, false, /*async=*/true), Why::Proxy);
  // On the reader's side is as good as on the writer's.
  clocks[1].fence();
  EXPECT_EQ(touch(1, 0, 16, false, /*async=*/true), Why::None);
  // What the async proxy writes everybody can read.
  EXPECT_EQ(touch(1, 16, 16, true, /*async=*/true), Why::None);
  order(1, 2);
  EXPECT_EQ(touch(2, 16, 16, false), Why::None);
}

TEST_F(ShadowTest, AtomicsConflictWithOthersOnly) {
  EXPECT_EQ(touch(0, 0, 4, true, false, /*atomic=*/true), Why::None);
  EXPECT_EQ(touch(1, 0, 4, true, false, /*atomic=*/true), Why::None);
  EXPECT_EQ(touch(2, 0, 4, false), Why::Race);
}

TEST_F(ShadowTest, UnwrittenBytes) {
  EXPECT_EQ(touch(0, 10, 20, true), Why::None);
  EXPECT_EQ(shadow.findUnwritten(10, 20), -1);
  EXPECT_EQ(shadow.findUnwritten(8, 8), 8);
  EXPECT_EQ(shadow.findUnwritten(16, 32), 30);
}

//===----------------------------------------------------------------------===//
// Images
//===----------------------------------------------------------------------===//

TEST(EmulatorPartsTest, OtherImagesAreRefused) {
  std::string bitcode;
  const uint32_t elf[8] = {0x464C457F}, text[8] = {0x7265762E};
  EXPECT_FALSE(readBitcodeImage(elf, bitcode));
  EXPECT_FALSE(readBitcodeImage(text, bitcode));
  // A block that bitcode has not at its top.
  const uint32_t odd[8] = {0xDEC04342, 1 | 9 << 2, 0};
  EXPECT_FALSE(readBitcodeImage(odd, bitcode));
}
