//===- MLADecodeCase.h - cases of absorbed attention ------------*- C++ -*-===//
//
// Part of dsv2, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef DSV2_TOOLS_DSV2_KERNEL_CASES_MLADECODECASE_H
#define DSV2_TOOLS_DSV2_KERNEL_CASES_MLADECODECASE_H

#include "GemmCase.h"

#include "dsv2/CodeGen/GPU/MLADecodeKernels.h"

namespace mlir::dsv2::cases {

/// A step and what attention gives.
struct MLADecodeProblem {
  /// Token t is of sequence `sequences[t]`, at position `lengths[t]` - 1. Pages
  /// of the cache are in any order. What no token attends to is NaN, and table
  /// entries behind a sequence are no pages; with `isDense` all of the cache is
  /// filled, which takes less of a file.
  MLADecodeProblem(const gpu::MLADecodeShape &shape,
                   const std::vector<int32_t> &lengths,
                   const std::vector<int32_t> &sequences, uint64_t seed,
                   bool isDense = false);

  gpu::MLADecodeShape shape;
  std::vector<int32_t> positions, seqIds, blockTables;
  int64_t tableWidth = 0, pages = 0;
  uint64_t seed;
  bool isDense;

  int64_t tokens() const { return int64_t(seqIds.size()); }

  /// [tokens, heads, row] and [pages, kMLABlock, row], row-major.
  std::vector<float> queries() const;
  std::vector<float> cache() const;
  /// All elements of the output [tokens, heads, latent], by plain loops.
  std::vector<float> expected() const;

  /// Adds the case, which launches the decode kernel of `cases` on `grid`
  /// blocks, then the combination.
  KernelCase &addTo(KernelCases &cases, llvm::StringRef chip, int64_t grid,
                    Extent extent) const;

  /// What each element of the output may differ by: weights are rounded to bf16
  /// before they multiply values, 2^-9 of each, averaged over the positions, of
  /// values of about 1.
  static constexpr double kAbsolute = 4e-3, kRelative = 1.0 / 128;

private:
  /// Element of the cache where a position's row starts.
  int64_t rowOf(int64_t sequence, int64_t position) const;
  std::vector<int64_t> endsOfSequences() const;
  void attend(int64_t token, int64_t head, std::vector<float> &out) const;
  void addCache(KernelCase &item) const;
  void addWork(KernelCase &item) const;
};

} // namespace mlir::dsv2::cases

#endif // DSV2_TOOLS_DSV2_KERNEL_CASES_MLADECODECASE_H
