//===- GemmCase.cpp - cases of products with weights ----------------------===//
//
// Part of dsv2, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "GemmCase.h"

#include "dsv2/CodeGen/GPU/KernelCosts.h"

#include <algorithm>
#include <cmath>

using namespace mlir::dsv2;
using namespace mlir::dsv2::cases;
using namespace mlir::dsv2::gpu;
using namespace dsv2rt;

/// Of weights, so that sums of any depth have some size.
static constexpr float kWeightScale = 0.2f;

GemmProblem::GemmProblem(const GemmShape &shape,
                         const std::vector<int64_t> &counts, uint64_t seed)
    : shape(shape), seed(seed) {
  if (shape.experts)
    offsets.push_back(0);
  for (int64_t count : counts) {
    rows += count;
    if (shape.experts)
      offsets.push_back(int32_t(rows));
  }
}

int64_t GemmProblem::matrices() const {
  return std::max<int64_t>(std::max(shape.experts, shape.heads), 1);
}

std::vector<float> GemmProblem::activations() const {
  return caseNumbers(3 * seed, 1, rows * pitchA());
}
BlockWeights GemmProblem::blockWeights() const {
  return {shape.format, matrices() * shape.n, shape.k, 3 * seed + 1,
          kWeightScale};
}

float GemmProblem::weight(int64_t row, int64_t k) const {
  if (shape.blocks())
    return fromBFloat16(toBFloat16(blockWeights().at(row, k)));
  return caseNumber(3 * seed + 1, kWeightScale, row * shape.k + k);
}

std::vector<float> GemmProblem::weights() const {
  if (shape.blocks()) {
    std::vector<float> values;
    for (int64_t row = 0; row < matrices() * shape.n; ++row)
      for (int64_t k = 0; k < shape.k; ++k)
        values.push_back(weight(row, k));
    return values;
  }
  return caseNumbers(3 * seed + 1, kWeightScale,
                     matrices() * shape.n * shape.k);
}
std::vector<float> GemmProblem::residual() const {
  return caseNumbers(3 * seed + 2, 1, rows * shape.outputColumns());
}

int64_t GemmProblem::expertOf(int64_t row) const {
  if (!shape.experts)
    return 0;
  return std::upper_bound(offsets.begin(), offsets.end(), row) -
         offsets.begin() - 1;
}

/// One element of the output; `a` and `w` give elements of the operands.
template <typename A, typename W>
float GemmProblem::output(int64_t row, int64_t column, A a, W w) const {
  int64_t head = shape.heads ? column / shape.n : 0;
  column -= head * shape.n;
  auto product = [&](int64_t n) {
    int64_t weight = ((expertOf(row) + head) * shape.n + n) * shape.k;
    int64_t first = row * pitchA() + head * headPitchA();
    double sum = 0;
    for (int64_t k = 0; k < shape.k; ++k)
      sum += double(a(first + k)) * w(weight + k);
    return sum;
  };
  if (shape.epilogue == GemmEpilogue::SwiGLU) {
    double gate = product(column / 8 * 16 + column % 8);
    double up = product(column / 8 * 16 + 8 + column % 8);
    return float(gate / (1 + std::exp(-gate)) * up);
  }
  double sum = product(column);
  if (shape.epilogue == GemmEpilogue::AddResidual)
    sum += caseNumber(3 * seed + 2, 1, row * shape.outputColumns() + column);
  return float(sum);
}

std::vector<float> GemmProblem::expected() const {
  std::vector<float> a = activations(), w = weights(), result;
  for (int64_t t = 0; t < rows; ++t)
    for (int64_t c = 0;
         c < std::max<int64_t>(shape.heads, 1) * shape.outputColumns(); ++c)
      result.push_back(output(
          t, c, [&](int64_t i) { return a[i]; },
          [&](int64_t i) { return w[i]; }));
  return result;
}

double GemmProblem::absolute() const {
  // Sums of k products of about 0.2, each rounded in f32 (2^-24), in another
  // order; SwiGLU multiplies two, with an approximate exponential.
  double result = 2e-5 * std::sqrt(double(shape.k));
  if (shape.epilogue != GemmEpilogue::SwiGLU)
    return result;
  // What one factor is off by counts as often as the other is large.
  double size = kWeightScale * std::sqrt(double(shape.k));
  return result * std::max(10.0, 4 * size);
}

double GemmProblem::relative() const {
  // A bf16 output is rounded to 8 bits.
  return shape.f32Output ? 1e-5 : 1.0 / 256;
}

KernelCase &GemmProblem::addTo(KernelCases &cases, const GemmConfig &config,
                               int64_t blocks, Extent extent) const {
  KernelCase &item = cases.cases.emplace_back();
  item.name = getGemmName(shape, config) + "/" + std::to_string(rows) + "rows";
  if (shape.experts)
    item.name +=
        "-of-" +
        std::to_string(*std::max_element(offsets.begin(), offsets.end())) +
        "-seed" + std::to_string(seed);
  // There is no memory of no bytes.
  int64_t columns = outputPitch(), some = std::max<int64_t>(rows, 1);
  bool hasResidual = shape.epilogue == GemmEpilogue::AddResidual;
  int64_t a = addNormal(item, "activations", some * pitchA(), 3 * seed);
  int64_t w = shape.blocks()
                  ? blockWeights().addTo(item, "weights")
                  : addNormal(item, "weights", matrices() * shape.n * shape.k,
                              3 * seed + 1, kWeightScale);
  int64_t out =
      addOutput(item, "output", some * columns * (shape.f32Output ? 4 : 2));
  if (hasResidual) {
    // The output is the residual too, as in a model.
    CaseFill &fill = item.buffers[out].fills.emplace_back();
    fill.element = shape.f32Output ? CaseElement::F32 : CaseElement::BF16;
    fill.count = some * columns;
    fill.seed = 3 * seed + 2;
  }

  int64_t first = 0;
  if (shape.experts)
    first = addValues(item, "offsets", offsets);
  LaunchBuilder launch(cases, item, 0, blocks);
  if (config.chip == "sm_90a") {
    if (shape.heads)
      launch.tensor(a, {rows, shape.heads, shape.k}, {config.tileM, 1, 64}, 128,
                    {pitchA(), headPitchA()});
    else
      launch.tensor(a, {rows, shape.k}, {config.tileM, 64});
    std::vector<int64_t> sizes = {shape.n, shape.k};
    if (shape.blocks())
      sizes.back() = shape.weightRowBytes();
    if (shape.experts || shape.heads)
      sizes.insert(sizes.begin(), matrices());
    auto map = [&](int64_t columns, int64_t swizzle) {
      std::vector<int64_t> box(sizes.size(), 1);
      box[sizes.size() - 2] = config.tileN;
      box.back() = columns;
      launch.tensor(w, sizes, box, swizzle, {}, shape.blocks() ? 1 : 2);
    };
    map(64, shape.blocks() ? 64 : 128);
    if (shape.blocks())
      map(16, 0);
  } else {
    launch.pointer(a).pointer(w);
  }
  launch.pointer(out);
  if (hasResidual)
    launch.pointer(out);
  if (shape.experts)
    launch.pointer(first);
  else
    launch.i32(rows);
  if (shape.heads) {
    launch.i32(outputPitch()).i32(outputHeadPitch());
    if (config.chip != "sm_90a")
      launch.i32(pitchA()).i32(headPitchA());
  }

  CaseCheck &check =
      addCheck(item, out, shape.f32Output, absolute(), relative());
  // Of no rows the output is of none; its memory stays as it was.
  check.finite = rows > 0;
  if (shape.heads) {
    // What is between them stays as it was.
    check.finite = false;
    for (int64_t i = 0; i < rows * shape.heads; ++i)
      check.spans.emplace_back(i * outputHeadPitch(), shape.n);
    check.expected = expected();
  } else if (extent == Extent::All) {
    check.spans.emplace_back(0, rows * columns);
    check.expected = expected();
  } else {
    constexpr int64_t samples = 24, run = 8;
    for (int64_t i = 0; i < samples && rows > 0; ++i) {
      // The corners, then anywhere.
      uint64_t at = uint64_t(i) * 0x9E3779B97F4A7C15;
      int64_t t = i == 0 ? 0 : i == 1 ? rows - 1 : int64_t(at >> 32) % rows;
      int64_t c = i == 1 ? columns - run
                         : int64_t(at & 0xFFFFFFFF) % (columns / run) * run;
      check.spans.emplace_back(t * columns + c, run);
      for (int64_t j = 0; j < run; ++j)
        check.expected.push_back(output(
            t, c + j, [&](int64_t k) { return caseNumber(3 * seed, 1, k); },
            [&](int64_t i) { return weight(i / shape.k, i % shape.k); }));
    }
  }

  int64_t touched = matrices();
  if (shape.experts) {
    touched = 0;
    for (size_t e = 0; e + 1 < offsets.size(); ++e)
      touched += offsets[e + 1] > offsets[e];
  }
  KernelWork work = getGemmWork(shape, rows, touched);
  item.bytes = work.bytes;
  item.operations = work.operations;
  return item;
}
