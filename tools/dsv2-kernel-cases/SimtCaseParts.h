//===- SimtCaseParts.h - what cases without products share ------*- C++ -*-===//
//
// Part of dsv2, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef DSV2_TOOLS_DSV2_KERNEL_CASES_SIMTCASEPARTS_H
#define DSV2_TOOLS_DSV2_KERNEL_CASES_SIMTCASEPARTS_H

#include "SimtCase.h"

#include <algorithm>
#include <cmath>

namespace mlir::dsv2::cases {

/// Adds a case to `cases`, called after its first kernel and `text`.
KernelCase &startCase(KernelCases &cases, const std::string &text);
/// The same after the number of its tokens, and after the longest sequence.
KernelCase &startCase(KernelCases &cases, int64_t tokens);
KernelCase &startCase(KernelCases &cases, const TokenPlaces &places);

CaseElement elementOf(Type element);

/// A buffer of rows of random numbers.
struct RandomRows {
  int64_t buffer, stride;
  uint64_t seed;

  float at(int64_t row, int64_t column) const {
    return ::dsv2rt::caseNumber(seed, 1, row * stride + column);
  }
};
/// Rows of `width` elements, which lie a few elements apart.
RandomRows addRows(KernelCase &item, std::string name, int64_t rows,
                   int64_t width, CaseElement element, uint64_t seed);

/// Adds a buffer for `count` elements that a kernel writes.
int64_t addResult(KernelCase &item, std::string name, int64_t count,
                  CaseElement element);

/// A sum, and the sum of the magnitudes of its terms.
struct Sum {
  double value = 0, terms = 0;

  void add(double term) {
    value += term;
    terms += std::fabs(term);
  }
};

/// What the elements of an output have to be.
class Expectation {
public:
  /// `zeros` elements are 0 until they are set; others are added behind them.
  explicit Expectation(int64_t zeros = 0) : values(zeros) {}

  void set(int64_t index, const Sum &sum) {
    values[index] = float(sum.value);
    largest = std::max(largest, sum.terms);
  }
  /// The next element.
  void add(const Sum &sum) {
    values.push_back(0);
    set(int64_t(values.size()) - 1, sum);
  }
  /// One that is not rounded, or only to what the output holds.
  void addExact(double value) { values.push_back(float(value)); }

  /// Adds the check of the first elements of `buffer`. Each comes about by at
  /// most `roundings` roundings to f32, each of 2^-24 of its terms, and one to
  /// the element of the output.
  CaseCheck &check(KernelCase &item, int64_t buffer, CaseElement element,
                   double roundings);

private:
  std::vector<float> values;
  double largest = 0;
};

/// Row `row` of `x` after a root mean square norm of `width` elements.
std::vector<Sum> normalize(const RandomRows &x, int64_t row, int64_t width,
                           double eps, const RandomRows &weight);
/// Roundings of such a norm: those of the sum of squares grow like its root;
/// the approximate root's (2^-22.9) and the products' are few.
inline double normRoundings(int64_t width) {
  return 8 + std::sqrt(double(width));
}

/// Adds the check of integers, `first` ones of `buffer`.
void checkIntegers(KernelCase &item, int64_t buffer,
                   const std::vector<int32_t> &first);

} // namespace mlir::dsv2::cases

#endif // DSV2_TOOLS_DSV2_KERNEL_CASES_SIMTCASEPARTS_H
