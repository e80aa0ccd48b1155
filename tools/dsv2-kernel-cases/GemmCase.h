//===- GemmCase.h - cases of products with weights --------------*- C++ -*-===//
//
// Part of dsv2, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef DSV2_TOOLS_DSV2_KERNEL_CASES_GEMMCASE_H
#define DSV2_TOOLS_DSV2_KERNEL_CASES_GEMMCASE_H

#include "BlockWeights.h"
#include "CaseBuilder.h"

#include "dsv2/CodeGen/GPU/GemmKernels.h"

namespace mlir::dsv2::cases {

/// How much of a result is computed by plain loops, to be compared with.
enum class Extent {
  All,
  /// Some elements, and the rest has to be finite: for large cases.
  Samples,
};

/// A product and what it has to give.
struct GemmProblem {
  /// `counts`: rows of each expert, or of the one product.
  GemmProblem(const gpu::GemmShape &shape, const std::vector<int64_t> &counts,
              uint64_t seed);

  gpu::GemmShape shape;
  /// First row of each expert, then the number of rows; empty without experts.
  std::vector<int32_t> offsets;
  int64_t rows = 0;
  uint64_t seed;

  /// [rows, pitchA], [matrices, n, k], [rows, outputColumns], row-major.
  std::vector<float> activations() const;
  std::vector<float> weights() const;
  std::vector<float> residual() const;
  /// The weights, if they are in blocks.
  BlockWeights blockWeights() const;

  /// Elements from a row of A, and of the output, to the next, and from a head
  /// to the next: with heads there is something between them.
  int64_t headPitchA() const { return shape.k + kGap; }
  int64_t pitchA() const {
    return shape.heads ? shape.heads * headPitchA() : shape.k;
  }
  int64_t outputHeadPitch() const { return shape.n + kGap; }
  int64_t outputPitch() const {
    return shape.heads ? shape.heads * outputHeadPitch()
                       : shape.outputColumns();
  }

  /// All elements of the output, of all heads, by plain loops.
  std::vector<float> expected() const;

  /// What each element of the output may differ by.
  double absolute() const;
  double relative() const;

  /// Adds the case, which launches kernel 0 of `cases` on `blocks` blocks.
  KernelCase &addTo(KernelCases &cases, const gpu::GemmConfig &config,
                    int64_t blocks, Extent extent) const;

private:
  /// Elements between heads.
  static constexpr int64_t kGap = 8;

  int64_t matrices() const;
  int64_t expertOf(int64_t row) const;
  /// Element `k` of a row of all matrices, as products take it.
  float weight(int64_t row, int64_t k) const;
  template <typename A, typename W>
  float output(int64_t row, int64_t column, A a, W w) const;
};

} // namespace mlir::dsv2::cases

#endif // DSV2_TOOLS_DSV2_KERNEL_CASES_GEMMCASE_H
