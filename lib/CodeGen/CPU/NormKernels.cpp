//===- NormKernels.cpp - RMS norm -----------------------------------------===//
//
// Part of dsv2, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "dsv2/CodeGen/CPU/ElementwiseKernels.h"
#include "dsv2/CodeGen/CPU/VectorMath.h"

#include "mlir/Dialect/Math/IR/Math.h"

#include "llvm/Support/FormatVariadic.h"
#include "llvm/Support/MathExtras.h"

using namespace mlir;
using namespace mlir::dsv2;
using namespace mlir::dsv2::cpu;

/// Sum of squares of the `width` elements of row `row`.
static Value emitSquareSum(KernelBuilder &b, Value x, Value row,
                           int64_t width) {
  // Enough independent chains to hide the latency of an addition.
  constexpr int64_t kChains = 4;
  int64_t lanes = b.lanes(), step = kChains * lanes;
  int64_t whole = width / step * step;
  SmallVector<Value> sums =
      b.forCarry(b.index(0), b.index(whole), b.index(step),
                 SmallVector<Value>(kChains, b.splat(0.0f)),
                 [&](Value column, ValueRange carried) {
                   SmallVector<Value> next;
                   for (int64_t c = 0; c < kChains; ++c) {
                     Value v = b.load(x, {row, b.add(column, c * lanes)});
                     next.push_back(b.fma(v, v, carried[c]));
                   }
                   return next;
                 });
  for (int64_t column = whole, c = 0; column < width; column += lanes, ++c) {
    int64_t count = std::min(lanes, width - column);
    Value v = emitLoad(b, x, {row, b.index(column)}, count, lanes);
    sums[c] = b.fma(v, v, sums[c]);
  }
  return b.reduceAdd(
      b.fadd(b.fadd(sums[0], sums[1]), b.fadd(sums[2], sums[3])));
}

func::FuncOp dsv2::cpu::getOrCreateRMSNormKernel(ModuleOp module,
                                                 const RMSNormConfig &config,
                                                 const CPUTargetInfo &target) {
  MLIRContext *ctx = module.getContext();
  int64_t width = config.width;
  // The bits of epsilon, so that the name determines the body.
  float epsilon = static_cast<float>(config.epsilon);
  std::string name = llvm::formatv("rms_norm_{0}_{1:x-}", width,
                                   llvm::bit_cast<uint32_t>(epsilon));
  Type act = getActivationType(ctx);
  return getOrCreateRowKernel(
      module, name, target,
      {act, getStridedType(Float32Type::get(ctx), 1), act},
      [&](KernelBuilder &b, ValueRange args, Value part, Value parts) {
        Value x = args[0], w = args[1], y = args[2];
        auto [first, last] = b.share(b.dim(y, 0), part, parts);
        b.forEach(first, last, [&](Value row) {
          Value mean = b.fdiv(emitSquareSum(b, x, row, width),
                              b.f32(static_cast<float>(width)));
          Value root = math::SqrtOp::create(b, b.fadd(mean, b.f32(epsilon)));
          Value factor = b.broadcast(b.fdiv(b.f32(1.0f), root));
          auto scale = [&](Value column, int64_t count) {
            Value v = emitLoad(b, x, {row, column}, count, b.lanes());
            Value weight = emitLoad(b, w, {column}, count, b.lanes());
            emitStore(b, b.fmul(weight, b.fmul(v, factor)), y, {row, column},
                      count);
          };
          int64_t whole = width / b.lanes() * b.lanes();
          b.forEach(b.index(0), b.index(whole), b.index(b.lanes()),
                    [&](Value column) { scale(column, b.lanes()); });
          if (width > whole)
            scale(b.index(whole), width - whole);
        });
      });
}
