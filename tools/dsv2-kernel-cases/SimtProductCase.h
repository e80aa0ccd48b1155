//===- SimtProductCase.h - cases of products of few rows --------*- C++ -*-===//
//
// Part of dsv2, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef DSV2_TOOLS_DSV2_KERNEL_CASES_SIMTPRODUCTCASE_H
#define DSV2_TOOLS_DSV2_KERNEL_CASES_SIMTPRODUCTCASE_H

#include "BlockWeights.h"
#include "GemmCase.h"
#include "SimtCase.h"

#include "dsv2/CodeGen/GPU/SimtKernels.h"

namespace mlir::dsv2::cases {

/// One product of few rows and what it has to give by plain loops.
struct SimtProductProblem {
  /// `counts` are rows by expert, or the number of rows. `pad` elements come
  /// before the input and after each row of it. `variant` tells problems with
  /// the same sizes and different numbers apart.
  SimtProductProblem(const gpu::ProductConfig &config,
                     const std::vector<int64_t> &counts, int64_t pad = 0,
                     uint64_t variant = 0);

  gpu::ProductConfig config;
  int64_t rows = 0;
  /// First row of each expert, then the number of rows; empty without experts.
  std::vector<int32_t> offsets;
  /// With gather: row of the input for each row.
  std::vector<int32_t> rowTokens;
  int64_t inputRows;
  /// Elements between heads and rows of the input, and before its first.
  int64_t headStride, stride, start;
  uint64_t variant;

  /// Adds what is special to this product to a case with a launch of its
  /// kernel: buffers, arguments, what it has to give, and the work.
  void addTo(KernelCase &item, LaunchBuilder &launch, Extent extent) const;

  /// "3rows,of-2-1", for names of cases.
  std::string text() const;

private:
  int64_t matrices() const;
  int64_t matrixRows() const;
  /// Seed of the input; weights and residual have the next ones.
  uint64_t seed() const;
  /// The weights, if they are in blocks.
  BlockWeights blockWeights() const;
  float output(int64_t row, int64_t head, int64_t column) const;
  void addCheck(KernelCase &item, int64_t out, Extent extent) const;
  void addWork(KernelCase &item) const;
};

/// Adds the kernel for these products, which is one of their own if they are
/// several.
void getOrCreateProducts(ModuleOp module,
                         llvm::ArrayRef<SimtProductProblem> problems);

/// Blocks of a launch of all of them.
int64_t countBlocks(llvm::ArrayRef<SimtProductProblem> problems);

/// Adds a case that computes them in one launch of kernel 0 of `cases` that
/// routes tokens too.
void addRouteProductsCase(KernelCases &cases, const gpu::RouteConfig &route,
                          llvm::ArrayRef<SimtProductProblem> products,
                          int64_t tokens, CaseSeed seed, Extent extent);

/// Adds a case that computes them in one launch of kernel 0 of `cases`.
KernelCase &addProducts(KernelCases &cases, llvm::StringRef chip,
                        llvm::ArrayRef<SimtProductProblem> problems,
                        Extent extent);

} // namespace mlir::dsv2::cases

#endif // DSV2_TOOLS_DSV2_KERNEL_CASES_SIMTPRODUCTCASE_H
