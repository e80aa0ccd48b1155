//===- MLAPrefillCase.h - cases of expanded attention -----------*- C++ -*-===//
//
// Part of dsv2, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef DSV2_TOOLS_DSV2_KERNEL_CASES_MLAPREFILLCASE_H
#define DSV2_TOOLS_DSV2_KERNEL_CASES_MLAPREFILLCASE_H

#include "GemmCase.h"

#include "dsv2/CodeGen/GPU/MLAPrefillKernels.h"

namespace mlir::dsv2::cases {

/// A step and what attention gives.
struct MLAPrefillProblem {
  /// Sequence s has `chunks[s]` queries behind `pasts[s]` earlier positions.
  MLAPrefillProblem(const gpu::MLAPrefillShape &shape,
                    const std::vector<int32_t> &chunks,
                    const std::vector<int32_t> &pasts, uint64_t seed);

  gpu::MLAPrefillShape shape;
  std::vector<int32_t> seqStarts{0}, rowStarts{0};
  uint64_t seed;

  int64_t tokens() const { return seqStarts.back(); }
  int64_t rows() const { return rowStarts.back(); }
  int64_t sequences() const { return int64_t(seqStarts.size()) - 1; }
  /// Tiles of queries, the kernel's grid.
  int64_t countTiles() const;

  /// [tokens, heads, query], [rows, heads, nope], [rows, heads, value] and
  /// [rows, rope].
  std::vector<float> queries() const;
  std::vector<float> keys() const;
  std::vector<float> values() const;
  std::vector<float> rotated() const;
  /// All elements of the output [tokens, heads, value], by plain loops.
  std::vector<float> expected() const;

  /// Adds the case, which launches kernel 0 of `cases` on `extraTiles` more
  /// tiles than there are.
  KernelCase &addTo(KernelCases &cases, llvm::StringRef chip, Extent extent,
                    int64_t extraTiles = 0) const;

  /// As of MLADecodeProblem.
  static constexpr double kAbsolute = 8e-3, kRelative = 1.0 / 128;

private:
  void attend(int64_t token, int64_t head, std::vector<float> &out) const;
  void addWork(KernelCase &item) const;
};

} // namespace mlir::dsv2::cases

#endif // DSV2_TOOLS_DSV2_KERNEL_CASES_MLAPREFILLCASE_H
