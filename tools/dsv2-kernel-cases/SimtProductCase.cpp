//===- SimtProductCase.cpp - cases of products of few rows ----------------===//
//
// Part of dsv2, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "SimtProductCase.h"

#include <algorithm>
#include <cmath>
#include <random>

using namespace mlir;
using namespace mlir::dsv2;
using namespace mlir::dsv2::cases;
using namespace mlir::dsv2::gpu;
using namespace dsv2rt;

/// Of weights, so that sums of any depth have some size.
static constexpr float kWeightScale = 0.2f;

SimtProductProblem::SimtProductProblem(const ProductConfig &config,
                                       const std::vector<int64_t> &counts,
                                       int64_t pad, uint64_t variant)
    : config(config), headStride(config.inputs),
      stride(config.heads * config.inputs + pad), start(pad), variant(variant) {
  if (config.experts)
    offsets.push_back(0);
  for (int64_t count : counts) {
    rows += count;
    if (config.experts)
      offsets.push_back(int32_t(rows));
  }
  inputRows = rows;
  if (config.gather) {
    inputRows = rows / 2 + 1;
    std::mt19937 random(seed());
    for (int64_t row = 0; row < rows; ++row)
      rowTokens.push_back(int32_t(random() % inputRows));
  }
}

uint64_t SimtProductProblem::seed() const {
  // A multiple of 4 so that no seed of one is another's.
  return uint64_t(config.outputs + 3 * config.inputs + rows) + 4 * variant;
}
int64_t SimtProductProblem::matrices() const {
  return std::max(config.experts, config.heads);
}
int64_t SimtProductProblem::matrixRows() const {
  if (!config.gated)
    return config.outputs;
  return 2 * int64_t(llvm::alignTo(config.outputs, kGatedRowGroup));
}

BlockWeights SimtProductProblem::blockWeights() const {
  return {config.format, matrices() * matrixRows(), config.inputs, seed() + 1,
          kWeightScale};
}

float SimtProductProblem::output(int64_t row, int64_t head,
                                 int64_t column) const {
  int64_t matrix = head;
  if (config.experts)
    matrix = std::upper_bound(offsets.begin(), offsets.end(), row) -
             offsets.begin() - 1;
  int64_t inputRow = config.gather ? rowTokens[row] : row;
  int64_t first = start + inputRow * stride + head * headStride;
  auto weight = [&](int64_t weightRow, int64_t k) {
    if (config.format != PackFormat::Plain)
      return blockWeights().at(weightRow, k);
    return caseNumber(seed() + 1, kWeightScale, weightRow * config.inputs + k);
  };
  auto dot = [&](int64_t weightRow) {
    double sum = 0;
    for (int64_t k = 0; k < config.inputs; ++k)
      sum += double(caseNumber(seed(), 1, first + k)) *
             weight(matrix * matrixRows() + weightRow, k);
    return sum;
  };
  double value;
  if (config.gated) {
    int64_t gateRow =
        column / kGatedRowGroup * 2 * kGatedRowGroup + column % kGatedRowGroup;
    double gate = dot(gateRow);
    value = gate / (1 + std::exp(-gate)) * dot(gateRow + kGatedRowGroup);
  } else {
    value = dot(column);
  }
  if (config.residual)
    value += caseNumber(seed() + 2, 1, row * config.outputs + column);
  return float(value);
}

void SimtProductProblem::addWork(KernelCase &item) const {
  int64_t touched = matrices();
  if (config.experts) {
    touched = 0;
    for (size_t e = 0; e + 1 < offsets.size(); ++e)
      touched += offsets[e + 1] > offsets[e];
  }
  auto bytesOf = [](Type type) { return type.getIntOrFloatBitWidth() / 8.0; };
  double outputs = double(rows) * config.heads * config.outputs;
  double weightRows = config.outputs * (config.gated ? 2.0 : 1.0);
  item.bytes =
      double(config.weightRowBytes()) * touched * weightRows +
      bytesOf(config.input) * double(inputRows) * config.heads * config.inputs +
      bytesOf(config.output) * outputs + (config.residual ? 4 * outputs : 0);
  item.operations +=
      2.0 * double(rows) * config.heads * weightRows * config.inputs;
}

std::string SimtProductProblem::text() const {
  std::string result = std::to_string(rows) + "rows";
  if (start)
    result += ",pad=" + std::to_string(start);
  if (!config.experts)
    return result;
  // Which of the experts have them.
  result += ",of";
  for (size_t e = 0; e + 1 < offsets.size() && e < 8; ++e)
    result += "-" + std::to_string(offsets[e + 1] - offsets[e]);
  return result;
}

void SimtProductProblem::addTo(KernelCase &item, LaunchBuilder &launch,
                               Extent extent) const {
  auto element = [](Type type) {
    return type.isF32() ? CaseElement::F32 : CaseElement::BF16;
  };
  // There is no memory of no bytes.
  int64_t some = std::max<int64_t>(rows, 1);
  int64_t width = config.outputs, outStride = config.heads * width;
  int64_t x =
      addNormal(item, "input", start + std::max<int64_t>(inputRows, 1) * stride,
                seed(), 1, element(config.input));
  int64_t w = config.format != PackFormat::Plain
                  ? blockWeights().addTo(item, "weights")
                  : addNormal(item, "weights",
                              matrices() * matrixRows() * config.inputs,
                              seed() + 1, kWeightScale, element(config.weight));
  int64_t out = addOutput(item, "output",
                          some * outStride * (config.output.isF32() ? 4 : 2));
  launch.pointer(x, start * elementBytes(element(config.input))).i32(stride);
  if (config.heads > 1)
    launch.i32(headStride);
  launch.pointer(w);
  if (config.residual)
    launch
        .pointer(addNormal(item, "residual", some * width, seed() + 2, 1,
                           CaseElement::F32))
        .i32(width);
  if (config.experts)
    launch.pointer(addValues(item, "offsets", offsets));
  if (config.gather) {
    std::vector<int32_t> tokens = rowTokens;
    tokens.resize(some);
    launch.pointer(addValues(item, "rowTokens", tokens));
  }
  launch.pointer(out).i32(outStride);
  if (config.heads > 1)
    launch.i32(width);
  launch.i32(rows);
  addCheck(item, out, extent);
  addWork(item);
}

void SimtProductProblem::addCheck(KernelCase &item, int64_t out,
                                  Extent extent) const {
  int64_t width = config.outputs, outStride = config.heads * width;
  // Sums of k products of about 0.2, each rounded in f32 (2^-24), in another
  // order; a bf16 output is rounded to 8 bits. Gates use an approximate
  // exponential, and what one factor is off by counts as often as the other is
  // large.
  double absolute = 2e-5 * std::sqrt(double(config.inputs));
  if (config.gated)
    absolute *=
        std::max(10.0, 4 * kWeightScale * std::sqrt(double(config.inputs)));
  CaseCheck &check = cases::addCheck(item, out, config.output.isF32(), absolute,
                                     config.output.isF32() ? 1e-5 : 1.0 / 256);
  check.finite = rows > 0;
  auto expect = [&](int64_t row, int64_t head, int64_t column, int64_t count) {
    check.spans.emplace_back(row * outStride + head * width + column, count);
    for (int64_t i = 0; i < count; ++i)
      check.expected.push_back(output(row, head, column + i));
  };
  if (extent == Extent::All) {
    for (int64_t row = 0; row < rows; ++row)
      for (int64_t head = 0; head < config.heads; ++head)
        expect(row, head, 0, width);
    return;
  }
  constexpr int64_t samples = 24;
  int64_t run = std::min<int64_t>(8, width);
  for (int64_t i = 0; i < samples && rows > 0; ++i) {
    // The corners, then anywhere.
    uint64_t at = uint64_t(i) * 0x9E3779B97F4A7C15;
    expect(i == 0   ? 0
           : i == 1 ? rows - 1
                    : int64_t(at >> 32) % rows,
           int64_t(at >> 16 & 0xFFFF) % config.heads,
           i == 1 ? width - run : int64_t(at & 0xFFFF) % (width / run) * run,
           run);
  }
}

static std::vector<ProductConfig>
configsOf(ArrayRef<SimtProductProblem> problems) {
  std::vector<ProductConfig> configs;
  for (const SimtProductProblem &problem : problems)
    configs.push_back(problem.config);
  return configs;
}

void cases::getOrCreateProducts(ModuleOp module,
                                ArrayRef<SimtProductProblem> problems) {
  if (problems.size() == 1)
    getOrCreateProductKernel(module, problems.front().config);
  else
    getOrCreateProductsKernel(module, configsOf(problems));
}

int64_t cases::countBlocks(ArrayRef<SimtProductProblem> problems) {
  std::vector<int64_t> rows;
  for (const SimtProductProblem &problem : problems)
    rows.push_back(problem.rows);
  return getProductsGrid(configsOf(problems), rows);
}

KernelCase &cases::addProducts(KernelCases &cases, StringRef chip,
                               ArrayRef<SimtProductProblem> problems,
                               Extent extent) {
  KernelCase &item = cases.cases.emplace_back();
  item.name = cases.code.kernels.front().name + "_" + chip.str() + "/";
  for (const SimtProductProblem &problem : problems)
    item.name += (&problem == &problems.front() ? "" : "+") + problem.text();
  std::array<int64_t, 3> grid =
      getProductGrid(problems.front().config, problems.front().rows);
  if (problems.size() > 1)
    grid = {countBlocks(problems), 1, 1};
  // Without rows, what blocks do then.
  for (int64_t &blocks : grid)
    blocks = std::max<int64_t>(blocks, 1);
  LaunchBuilder launch(cases, item, 0, grid[0], grid[1], grid[2]);
  for (const SimtProductProblem &problem : problems)
    problem.addTo(item, launch, extent);
  return item;
}
