//===- TestCache.h - A latent cache that tests write and read ---*- C++ -*-===//
//
// Part of dsv2, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef DSV2_TEST_UNIT_CODEGEN_TESTCACHE_H
#define DSV2_TEST_UNIT_CODEGEN_TESTCACHE_H

#include "KernelTestUtils.h"

#include "dsv2/CodeGen/CPU/AttentionKernels.h"

namespace mlir::dsv2::cpu::test {

/// Pages of one layer's latent cache in any format. Rows are rounded and read
/// by plain loops over what CacheFormat.h says, independent of the kernels.
class TestCache {
public:
  /// All rows read as NaN.
  TestCache(const LatentCacheConfig &config, int64_t pages);

  /// Stores `[latent | rope key]`.
  void setRow(int64_t page, int64_t row, llvm::ArrayRef<float> values);
  /// Element `column` of a row, as setRow() left it.
  float at(int64_t page, int64_t row, int64_t column) const {
    return decoded(page, row, column);
  }

  Descriptor descriptor();
  uint8_t *row(int64_t page, int64_t row) { return &memory(page, row, 0); }
  bool guardIntact() const { return memory.guardIntact(); }
  bool sameBits(const TestCache &other) const {
    return std::memcmp(memory.data(), other.memory.data(), memory.size()) == 0;
  }

private:
  LatentCacheConfig config;
  Array<uint8_t> memory;
  Array<float> decoded;
};

} // namespace mlir::dsv2::cpu::test

#endif // DSV2_TEST_UNIT_CODEGEN_TESTCACHE_H
