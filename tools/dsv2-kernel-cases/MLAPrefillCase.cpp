//===- MLAPrefillCase.cpp - cases of expanded attention -------------------===//
//
// Part of dsv2, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "MLAPrefillCase.h"

#include "dsv2/CodeGen/GPU/KernelCosts.h"

#include <algorithm>
#include <cmath>

using namespace mlir;
using namespace mlir::dsv2;
using namespace mlir::dsv2::cases;
using namespace mlir::dsv2::gpu;
using namespace dsv2rt;

MLAPrefillProblem::MLAPrefillProblem(const MLAPrefillShape &shape,
                                     const std::vector<int32_t> &chunks,
                                     const std::vector<int32_t> &pasts,
                                     uint64_t seed)
    : shape(shape), seed(seed) {
  for (auto [chunk, past] : llvm::zip_equal(chunks, pasts)) {
    seqStarts.push_back(seqStarts.back() + chunk);
    rowStarts.push_back(rowStarts.back() + chunk + past);
  }
}

int64_t MLAPrefillProblem::countTiles() const {
  int64_t tiles = 0;
  for (int64_t s = 0; s < sequences(); ++s)
    tiles +=
        (seqStarts[s + 1] - seqStarts[s] + kPrefillRows - 1) / kPrefillRows;
  return tiles;
}

std::vector<float> MLAPrefillProblem::queries() const {
  return caseNumbers(4 * seed, 1, tokens() * shape.heads * shape.query());
}
std::vector<float> MLAPrefillProblem::keys() const {
  return caseNumbers(4 * seed + 1, 1, rows() * shape.heads * shape.nope);
}
std::vector<float> MLAPrefillProblem::values() const {
  return caseNumbers(4 * seed + 3, 1, rows() * shape.heads * shape.value);
}
std::vector<float> MLAPrefillProblem::rotated() const {
  return caseNumbers(4 * seed + 2, 1, rows() * shape.rope);
}

/// One head of one token.
void MLAPrefillProblem::attend(int64_t token, int64_t head,
                               std::vector<float> &out) const {
  // The last of them that begins at or before the token has it.
  int64_t s = std::upper_bound(seqStarts.begin(), seqStarts.end(), token) -
              seqStarts.begin() - 1;
  int64_t begin = rowStarts[s];
  int64_t last = rowStarts[s + 1] - (seqStarts[s + 1] - token);
  std::vector<float> query = caseNumbers(
      4 * seed, 1, shape.query(), (token * shape.heads + head) * shape.query());
  std::vector<float> rowValues;
  std::vector<double> scores;
  for (int64_t row = begin; row <= last; ++row) {
    int64_t place = row * shape.heads + head;
    std::vector<float> key =
        caseNumbers(4 * seed + 1, 1, shape.nope, place * shape.nope);
    std::vector<float> value =
        caseNumbers(4 * seed + 3, 1, shape.value, place * shape.value);
    double sum = 0;
    for (int64_t i = 0; i < shape.nope; ++i)
      sum += double(query[i]) * key[i];
    for (int64_t i = 0; i < shape.rope; ++i)
      sum += double(query[shape.nope + i]) *
             caseNumber(4 * seed + 2, 1, row * shape.rope + i);
    scores.push_back(sum * shape.scale);
    rowValues.insert(rowValues.end(), value.begin(), value.end());
  }
  double largest = *std::max_element(scores.begin(), scores.end());
  double sum = 0;
  std::vector<double> values(shape.value);
  for (size_t row = 0; row < scores.size(); ++row) {
    double weight = std::exp(scores[row] - largest);
    sum += weight;
    for (int64_t i = 0; i < shape.value; ++i)
      values[i] += weight * rowValues[row * shape.value + i];
  }
  for (double value : values)
    out.push_back(float(value / sum));
}

std::vector<float> MLAPrefillProblem::expected() const {
  std::vector<float> result;
  for (int64_t t = 0; t < tokens(); ++t)
    for (int64_t h = 0; h < shape.heads; ++h)
      attend(t, h, result);
  return result;
}

void MLAPrefillProblem::addWork(KernelCase &item) const {
  double pairs = 0;
  for (int64_t s = 0; s < sequences(); ++s) {
    double chunk = seqStarts[s + 1] - seqStarts[s];
    double past = rowStarts[s + 1] - rowStarts[s] - chunk;
    pairs += chunk * past + chunk * (chunk + 1) / 2;
  }
  KernelWork work = getMLAPrefillWork(shape, tokens(), rows(), pairs);
  item.bytes = work.bytes;
  item.operations = work.operations;
}

KernelCase &MLAPrefillProblem::addTo(KernelCases &cases, StringRef chip,
                                     Extent extent, int64_t extraTiles) const {
  KernelCase &item = cases.cases.emplace_back();
  int64_t heads = shape.heads;
  item.name = getMLAPrefillName(shape, chip) + "/" + std::to_string(tokens()) +
              "of" + std::to_string(rows()) +
              ",sequences=" + std::to_string(sequences()) +
              ",seed=" + std::to_string(seed);
  int64_t queries =
      addNormal(item, "queries", tokens() * heads * shape.query(), 4 * seed);
  int64_t keys =
      addNormal(item, "keys", rows() * heads * shape.nope, 4 * seed + 1);
  int64_t values =
      addNormal(item, "values", rows() * heads * shape.value, 4 * seed + 3);
  int64_t rotated =
      addNormal(item, "rotated", rows() * shape.rope, 4 * seed + 2);
  int64_t outputs = tokens() * heads * shape.value;
  int64_t out = addOutput(item, "output", outputs * (shape.f32Output ? 4 : 2));
  int64_t starts = addValues(item, "seqStarts", seqStarts);
  int64_t firstRows = addValues(item, "rowStarts", rowStarts);

  LaunchBuilder launch(cases, item, 0, countTiles() + extraTiles, heads);
  if (chip == "sm_90a") {
    int64_t swizzle = shape.swizzle(), panel = swizzle / 2;
    launch
        .tensor(queries, {tokens(), heads, shape.query()}, {128, 1, panel},
                swizzle)
        .tensor(keys, {rows(), heads, shape.nope}, {128, 1, panel}, swizzle)
        .tensor(values, {rows(), heads, shape.value}, {128, 1, panel}, swizzle)
        .tensor(rotated, {rows(), shape.rope}, {128, panel}, swizzle);
  } else {
    launch.pointer(queries).pointer(keys).pointer(values).pointer(rotated);
  }
  launch.pointer(out).pointer(starts).pointer(firstRows).i32(sequences());

  CaseCheck &check = addCheck(item, out, shape.f32Output, kAbsolute, kRelative);
  if (extent == Extent::All) {
    check.spans.emplace_back(0, outputs);
    check.expected = expected();
  } else {
    constexpr int64_t samples = 6;
    for (int64_t i = 0; i < samples; ++i) {
      int64_t token = (tokens() - 1) * i / (samples - 1);
      int64_t head = i * 5 % heads;
      check.spans.emplace_back((token * heads + head) * shape.value,
                               shape.value);
      attend(token, head, check.expected);
    }
  }
  addWork(item);
  return item;
}
