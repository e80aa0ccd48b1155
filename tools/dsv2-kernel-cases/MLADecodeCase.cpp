//===- MLADecodeCase.cpp - cases of absorbed attention --------------------===//
//
// Part of dsv2, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "MLADecodeCase.h"

#include "dsv2/CodeGen/GPU/KernelCosts.h"

#include <algorithm>
#include <cmath>
#include <numeric>
#include <random>

using namespace mlir;
using namespace mlir::dsv2;
using namespace mlir::dsv2::cases;
using namespace mlir::dsv2::gpu;
using namespace dsv2rt;

MLADecodeProblem::MLADecodeProblem(const MLADecodeShape &shape,
                                   const std::vector<int32_t> &lengths,
                                   const std::vector<int32_t> &sequences,
                                   uint64_t seed, bool isDense)
    : shape(shape), seqIds(sequences), seed(seed), isDense(isDense) {
  for (int32_t length : lengths)
    positions.push_back(length - 1);
  int64_t count = *std::max_element(seqIds.begin(), seqIds.end()) + 1;
  int64_t longest = *std::max_element(lengths.begin(), lengths.end());
  tableWidth = (longest + kMLABlock - 1) / kMLABlock;
  // Pages for what there is, and one that nobody has.
  std::vector<int64_t> ends = endsOfSequences();
  for (int64_t end : ends)
    pages += (end + kMLABlock - 1) / kMLABlock;
  ++pages;
  std::vector<int32_t> order(pages);
  std::iota(order.begin(), order.end(), 0);
  std::mt19937 random(seed);
  std::shuffle(order.begin(), order.end(), random);
  auto next = order.begin();
  for (int64_t s = 0; s < count; ++s)
    for (int64_t block = 0; block < tableWidth; ++block)
      blockTables.push_back(block * kMLABlock < ends[s] ? *next++ : 1 << 30);
}

std::vector<int64_t> MLADecodeProblem::endsOfSequences() const {
  std::vector<int64_t> ends(*std::max_element(seqIds.begin(), seqIds.end()) +
                            1);
  for (auto [sequence, position] : llvm::zip_equal(seqIds, positions))
    ends[sequence] = std::max<int64_t>(ends[sequence], position + 1);
  return ends;
}

int64_t MLADecodeProblem::rowOf(int64_t sequence, int64_t position) const {
  int64_t page = blockTables[sequence * tableWidth + position / kMLABlock];
  return (page * kMLABlock + position % kMLABlock) * shape.row();
}

std::vector<float> MLADecodeProblem::queries() const {
  return caseNumbers(2 * seed, 1, tokens() * shape.heads * shape.row());
}

std::vector<float> MLADecodeProblem::cache() const {
  int64_t count = pages * kMLABlock * shape.row();
  if (isDense)
    return caseNumbers(2 * seed + 1, 1, count);
  std::vector<float> values(count, std::nanf(""));
  for (auto [sequence, end] : llvm::enumerate(endsOfSequences()))
    for (int64_t p = 0; p < end; ++p) {
      int64_t row = rowOf(sequence, p);
      for (int64_t i = row; i < row + shape.row(); ++i)
        values[i] = caseNumber(2 * seed + 1, 1, i);
    }
  return values;
}

/// One head of one token.
void MLADecodeProblem::attend(int64_t token, int64_t head,
                              std::vector<float> &out) const {
  int64_t width = shape.row(), count = positions[token] + 1;
  std::vector<float> query =
      caseNumbers(2 * seed, 1, width, (token * shape.heads + head) * width);
  std::vector<float> rows;
  std::vector<double> scores;
  for (int64_t p = 0; p < count; ++p) {
    std::vector<float> key =
        caseNumbers(2 * seed + 1, 1, width, rowOf(seqIds[token], p));
    double sum = 0;
    for (int64_t i = 0; i < width; ++i)
      sum += double(query[i]) * key[i];
    scores.push_back(sum * shape.scale);
    rows.insert(rows.end(), key.begin(), key.begin() + shape.latent);
  }
  double largest = *std::max_element(scores.begin(), scores.end());
  double sum = 0;
  std::vector<double> values(shape.latent);
  for (int64_t p = 0; p < count; ++p) {
    double weight = std::exp(scores[p] - largest);
    sum += weight;
    for (int64_t i = 0; i < shape.latent; ++i)
      values[i] += weight * rows[p * shape.latent + i];
  }
  for (double value : values)
    out.push_back(float(value / sum));
}

std::vector<float> MLADecodeProblem::expected() const {
  std::vector<float> result;
  for (int64_t t = 0; t < tokens(); ++t)
    for (int64_t h = 0; h < shape.heads; ++h)
      attend(t, h, result);
  return result;
}

void MLADecodeProblem::addCache(KernelCase &item) const {
  int64_t width = shape.row();
  addOutput(item, "cache", pages * kMLABlock * width * 2);
  CaseBuffer &buffer = item.buffers.back();
  auto fill = [&](int64_t first, int64_t count) {
    CaseFill &added = buffer.fills.emplace_back();
    added.offset = 2 * first;
    added.count = count;
    added.seed = 2 * seed + 1;
  };
  if (isDense)
    return fill(0, pages * kMLABlock * width);
  for (auto [sequence, end] : llvm::enumerate(endsOfSequences()))
    for (int64_t p = 0; p < end; p += kMLABlock)
      fill(rowOf(sequence, p), std::min(kMLABlock, end - p) * width);
}

void MLADecodeProblem::addWork(KernelCase &item) const {
  // Of the cache each sequence once, whatever the number of its tokens.
  double cacheRows = 0, pairs = 0;
  for (int64_t end : endsOfSequences())
    cacheRows += end;
  for (int32_t position : positions)
    pairs += position + 1;
  KernelWork work = getMLADecodeWork(shape, tokens(), cacheRows, pairs);
  item.bytes = work.bytes;
  item.operations = work.operations;
}

KernelCase &MLADecodeProblem::addTo(KernelCases &cases, StringRef chip,
                                    int64_t grid, Extent extent) const {
  KernelCase &item = cases.cases.emplace_back();
  int64_t heads = shape.heads, row = shape.row();
  int64_t longest = *std::max_element(positions.begin(), positions.end()) + 1;
  item.name = getMLADecodeName(shape, chip) + "/" + std::to_string(tokens()) +
              "tokens,longest=" + std::to_string(longest) +
              ",grid=" + std::to_string(grid) + ",seed=" + std::to_string(seed);
  int64_t queries =
      addNormal(item, "queries", tokens() * heads * row, 2 * seed);
  addCache(item);
  int64_t cache = int64_t(item.buffers.size()) - 1;
  int64_t outputs = tokens() * heads * shape.latent;
  int64_t out = addOutput(item, "output", outputs * (shape.f32Output ? 4 : 2));
  // What was there before does not count.
  int64_t sums = addOutput(item, "sums", shape.sumBytes(grid));
  int64_t logs = addOutput(item, "logarithms", shape.logBytes(grid));
  int64_t places = addValues(item, "positions", positions);
  int64_t ids = addValues(item, "seqIds", seqIds);
  int64_t tables = addValues(item, "blockTables", blockTables);

  LaunchBuilder decode(cases, item,
                       findKernel(cases, getMLADecodeName(shape, chip)), grid);
  std::array<int64_t, 3> box = shape.getQueryBox();
  if (chip == "sm_90a")
    decode.tensor(queries, {tokens(), heads, row}, {box.begin(), box.end()})
        .tensor(cache, {pages, kMLABlock, row}, {1, 64, 64});
  else
    decode.pointer(queries).pointer(cache);
  decode.pointer(out).pointer(sums).pointer(logs).pointer(places).pointer(ids);
  decode.pointer(tables).i32(tokens()).i32(tableWidth);
  auto [least, most] = getMLACombineBlocks(shape);
  LaunchBuilder(
      cases, item, findKernel(cases, getMLACombineName(shape, chip)), tokens(),
      std::clamp((kMLACombineBlocks + tokens() - 1) / tokens(), least, most))
      .pointer(out)
      .pointer(sums)
      .pointer(logs)
      .pointer(places)
      .pointer(ids)
      .i32(tokens())
      .i32(grid);

  CaseCheck &check = addCheck(item, out, shape.f32Output, kAbsolute, kRelative);
  if (extent == Extent::All) {
    check.spans.emplace_back(0, outputs);
    check.expected = expected();
  } else {
    constexpr int64_t samples = 4;
    for (int64_t i = 0; i < samples; ++i) {
      int64_t token = i == 0 ? 0 : tokens() - 1 - (i - 1) * 7 % tokens();
      int64_t head = (heads - 1) * i / (samples - 1);
      int64_t first = (token * heads + head) * shape.latent;
      if (llvm::any_of(check.spans,
                       [&](auto span) { return span.first == first; }))
        continue;
      check.spans.emplace_back(first, shape.latent);
      attend(token, head, check.expected);
    }
  }
  addWork(item);
  return item;
}
