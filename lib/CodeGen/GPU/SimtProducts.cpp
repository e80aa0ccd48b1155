//===- SimtProducts.cpp - products, one warp an output --------------------===//
//
// Part of dsv2, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "SimtNames.h"
#include "dsv2/CodeGen/GPU/SimtKernels.h"

#include "llvm/Support/FormatVariadic.h"
#include "llvm/Support/MathExtras.h"

using namespace mlir;
using namespace mlir::dsv2;
using namespace mlir::dsv2::gpu;

static std::string getName(const ProductConfig &config) {
  std::string name =
      llvm::formatv("product_{0}x{1}_{2}_{3}_{4}", config.outputs,
                    config.inputs, elementName(config.input),
                    elementName(config.weight), elementName(config.output));
  if (config.heads > 1)
    name += "_heads" + std::to_string(config.heads);
  if (config.experts)
    name += "_experts" + std::to_string(config.experts);
  for (auto [flag, suffix] :
       {std::pair(config.gated, "_gated"), std::pair(config.residual, "_add"),
        std::pair(config.gather, "_gather")})
    if (flag)
      name += suffix;
  return name;
}

/// The expert whose rows `row` belongs to: the number of experts that end at or
/// before it. `offsets` is i32 [experts + 1].
static Value findExpert(SimtBuilder &b, Value offsets, int64_t experts,
                        Value row) {
  Type i32 = b.getI32Type();
  return b
      .forCarry(b.i32(1), b.i32(experts), b.i32(1), b.i32(0),
                [&](Value expert, ValueRange carried) {
                  Value begin = b.load(i32, b.at(offsets, i32, expert));
                  Value isBehind = b.less(row, begin);
                  return SmallVector<Value>{
                      b.select(isBehind, carried[0], b.add(carried[0], 1))};
                })
      .front();
}

LLVM::LLVMFuncOp
dsv2::gpu::getOrCreateProductKernel(ModuleOp module,
                                    const ProductConfig &config) {
  MLIRContext *c = module.getContext();
  bool byHead = config.heads > 1;
  // x, weights, then what is optional, then the output.
  SmallVector<KernelParameter> parameters = {pointerOf(c, 0),
                                             strideOf(c, 0, 0)};
  if (byHead)
    parameters.push_back(strideOf(c, 0, 1));
  parameters.push_back(pointerOf(c, 1));
  int64_t operand = 2;
  if (config.residual) {
    parameters.append({pointerOf(c, operand), strideOf(c, operand, 0)});
    ++operand;
  }
  if (config.experts)
    parameters.push_back(pointerOf(c, operand++));
  if (config.gather)
    parameters.push_back(pointerOf(c, operand++));
  parameters.append({pointerOf(c, operand), strideOf(c, operand, 0)});
  if (byHead)
    parameters.push_back(strideOf(c, operand, 1));

  return getOrCreateKernel(
      module, getName(config), kProductWarps * kWarpSize, parameters,
      [&](SimtBuilder &b, ValueRange args) {
        Type f32 = b.getF32Type(), i32 = b.getI32Type();
        size_t next = 0;
        Value x = args[next++], xStride = args[next++];
        Value xHeadStride = byHead ? args[next++] : Value();
        Value weights = args[next++];
        Value residual, residualStride, offsets, rowTokens;
        if (config.residual) {
          residual = args[next++];
          residualStride = args[next++];
        }
        if (config.experts)
          offsets = args[next++];
        if (config.gather)
          rowTokens = args[next++];
        Value out = args[next++], outStride = args[next++];
        Value outHeadStride = byHead ? args[next++] : Value();

        Value row = b.blockId(0), head = b.blockId(2);
        Value output = b.add(b.mul(b.blockId(1), kProductWarps), b.warp());
        int64_t rowsPerOutput = config.gated ? 2 : 1;
        b.ifThen(b.less(output, b.i32(config.outputs)), [&] {
          Value matrix = head;
          if (config.experts)
            matrix = findExpert(b, offsets, config.experts, row);
          Value inputRow = row;
          if (config.gather)
            inputRow = b.load(i32, b.at(rowTokens, i32, row));
          Value xRow = b.at(x, config.input, inputRow, xStride,
                            byHead ? b.mul(head, xHeadStride) : b.i32(0));
          // Rows of all matrices, numbered through; those of a gate and its up
          // lie a group apart (kGatedRowGroup).
          constexpr int64_t group = kGatedRowGroup;
          Value firstRow, rowStep = b.i32(group);
          if (config.gated)
            firstRow =
                b.add(b.mul(matrix, 2 * llvm::alignTo(config.outputs, group)),
                      b.add(b.mul(b.div(output, group), 2 * group),
                            b.rem(output, group)));
          else
            firstRow = b.add(b.mul(matrix, config.outputs), output);
          SmallVector<Value> sums(rowsPerOutput, b.f32(0.0f));
          sums = b.forCarry(
              b.lane(), b.i32(config.inputs), b.i32(kWarpSize), sums,
              [&](Value k, ValueRange carried) {
                Value value =
                    b.loadFloat(config.input, b.at(xRow, config.input, k));
                SmallVector<Value> results;
                for (int64_t i = 0; i < rowsPerOutput; ++i) {
                  Value weight =
                      b.loadFloat(config.weight,
                                  b.at(weights, config.weight,
                                       i ? b.add(firstRow, rowStep) : firstRow,
                                       b.i32(config.inputs), k));
                  results.push_back(b.fma(value, weight, carried[i]));
                }
                return results;
              });
          for (Value &sum : sums)
            sum = b.warpReduce(sum,
                               [&](Value p, Value q) { return b.fadd(p, q); });
          b.ifThen(b.equal(b.lane(), b.i32(0)), [&] {
            Value result = sums[0];
            if (config.gated) {
              Value negative = b.fmul(result, b.f32(-1.0f));
              Value sigmoid =
                  b.fdiv(b.f32(1.0f), b.fadd(b.f32(1.0f), b.exp(negative)));
              result = b.fmul(b.fmul(result, sigmoid), sums[1]);
            }
            if (config.residual)
              result = b.fadd(
                  b.load(f32, b.at(residual, f32, row, residualStride, output)),
                  result);
            Value column = output;
            if (byHead)
              column = b.add(b.mul(head, outHeadStride), output);
            b.storeFloat(result, config.output,
                         b.at(out, config.output, row, outStride, column));
          });
        });
      });
}
