//===- SimtCaseParts.cpp - what cases without products share --------------===//
//
// Part of dsv2, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "SimtCaseParts.h"

#include <cmath>

using namespace mlir;
using namespace mlir::dsv2;
using namespace mlir::dsv2::cases;

KernelCase &cases::startCase(KernelCases &cases, const std::string &text) {
  KernelCase &item = cases.cases.emplace_back();
  item.name = cases.code.kernels.front().name + "/" + text;
  return item;
}

KernelCase &cases::startCase(KernelCases &cases, int64_t tokens) {
  return startCase(cases, std::to_string(tokens) + "tokens");
}

KernelCase &cases::startCase(KernelCases &cases, const TokenPlaces &places) {
  int32_t last =
      *std::max_element(places.positions.begin(), places.positions.end());
  return startCase(cases, std::to_string(places.tokens()) +
                              "tokens,longest=" + std::to_string(last + 1));
}

CaseElement cases::elementOf(Type element) {
  return element.isF32() ? CaseElement::F32 : CaseElement::BF16;
}

RandomRows cases::addRows(KernelCase &item, std::string name, int64_t rows,
                          int64_t width, CaseElement element, uint64_t seed) {
  // Of 16 bytes, which is what kernels load at once, if rows have those too.
  constexpr int64_t apart = 8;
  int64_t stride = width + apart;
  int64_t buffer =
      addNormal(item, std::move(name), rows * stride, seed, 1, element);
  return {buffer, stride, seed};
}

int64_t cases::addResult(KernelCase &item, std::string name, int64_t count,
                         CaseElement element) {
  return addOutput(item, std::move(name),
                   count * ::dsv2rt::elementBytes(element));
}

CaseCheck &cases::Expectation::check(KernelCase &item, int64_t buffer,
                                     CaseElement element, double roundings) {
  bool isF32 = element == CaseElement::F32;
  CaseCheck &check =
      addCheck(item, buffer, isF32, std::ldexp(roundings, -24) * largest,
               std::ldexp(1.0, isF32 ? -24 : -8));
  check.spans.emplace_back(0, int64_t(values.size()));
  check.expected = values;
  return check;
}

std::vector<Sum> cases::normalize(const RandomRows &x, int64_t row,
                                  int64_t width, double eps,
                                  const RandomRows &weight) {
  double squares = 0;
  for (int64_t i = 0; i < width; ++i)
    squares += double(x.at(row, i)) * x.at(row, i);
  double factor = 1 / std::sqrt(squares / width + eps);
  std::vector<Sum> result(width);
  for (int64_t i = 0; i < width; ++i)
    result[i].add(x.at(row, i) * factor * weight.at(0, i));
  return result;
}

void cases::checkIntegers(KernelCase &item, int64_t buffer,
                          const std::vector<int32_t> &first) {
  CaseCheck &check = addCheck(item, buffer, /*f32=*/true, 0, 0);
  check.element = CaseElement::I32;
  check.spans.emplace_back(0, int64_t(first.size()));
  check.expected.assign(first.begin(), first.end());
}
