//===- SimtProductEmitter.cpp - one product in a kernel -------------------===//
//
// Part of dsv2, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "SimtProductEmitter.h"

#include "dsv2/CodeGen/GPU/DeviceParts.h"

#include "llvm/Support/MathExtras.h"

using namespace mlir;
using namespace mlir::dsv2;
using namespace mlir::dsv2::gpu;

SmallVector<KernelParameter>
ProductParameters::list(MLIRContext *c, const ProductConfig &config,
                        int64_t firstInput, int64_t output) {
  bool byHead = config.heads > 1;
  int64_t input = firstInput;
  SmallVector<KernelParameter> parameters = {pointerOf(c, input),
                                             strideOf(c, input, 0)};
  if (byHead)
    parameters.push_back(strideOf(c, input, 1));
  parameters.push_back(pointerOf(c, ++input));
  if (config.residual) {
    ++input;
    parameters.append({pointerOf(c, input), strideOf(c, input, 0)});
  }
  if (config.experts)
    parameters.push_back(pointerOf(c, ++input));
  if (config.gather)
    parameters.push_back(pointerOf(c, ++input));
  parameters.append({pointerOf(c, output), strideOf(c, output, 0)});
  if (byHead)
    parameters.push_back(strideOf(c, output, 1));
  parameters.push_back(sizeOf(c, output, 0));
  return parameters;
}

ProductParameters::ProductParameters(const ProductConfig &config,
                                     ValueRange &args) {
  auto take = [&](Value &value) {
    value = args.front();
    args = args.drop_front();
  };
  bool byHead = config.heads > 1;
  take(x);
  take(xStride);
  if (byHead)
    take(xHeadStride);
  take(weights);
  if (config.residual) {
    take(residual);
    take(residualStride);
  }
  if (config.experts)
    take(offsets);
  if (config.gather)
    take(rowTokens);
  take(out);
  take(outStride);
  if (byHead)
    take(outHeadStride);
  take(rows);
}

Value ProductEmitter::getInputRow(Value row) {
  if (config.gather)
    row = b.load(i32, b.at(args.rowTokens, i32, row));
  Value column = args.xHeadStride ? b.mul(head, args.xHeadStride) : b.i32(0);
  return b.at(args.x, config.input, row, args.xStride, column);
}

Value ProductEmitter::getWeightRow(Value output, int64_t part) {
  output = b.min(output, b.i32(config.outputs - 1));
  constexpr int64_t group = kGatedRowGroup;
  Value row = output;
  int64_t matrixRows = config.outputs;
  if (config.gated) {
    row = b.add(
        b.add(b.mul(b.div(output, group), 2 * group), b.rem(output, group)),
        part * group);
    matrixRows = 2 * llvm::alignTo(config.outputs, group);
  }
  // Rows of all matrices, numbered through.
  if (matrix)
    row = b.add(b.mul(matrix, matrixRows), row);
  return b.at(args.weights, b.getI8Type(), row, b.i32(config.weightRowBytes()),
              b.i32(0));
}

void ProductEmitter::forExpert(
    Value slot, llvm::function_ref<void(Value, Value, Value)> body) {
  // Every warp finds it for itself: lane l looks at the experts l, l + 32, ...
  Value lane = b.lane();
  Value lower = b.lowerLanes();
  struct Group {
    Value begin, end, hasRows;
  };
  SmallVector<Group> groups;
  for (int64_t first = 0; first < config.experts; first += kWarpSize) {
    Value expert = b.add(lane, first);
    Value isExpert = b.less(expert, b.i32(config.experts));
    // Beyond the last expert both are the number of rows.
    Value at = b.min(expert, b.i32(config.experts));
    Value next = b.min(b.add(expert, 1), b.i32(config.experts));
    Value begin = b.load(i32, b.at(args.offsets, i32, at));
    Value end = b.load(i32, b.at(args.offsets, i32, next));
    groups.push_back({begin, end, b.logicalAnd(isExpert, b.less(begin, end))});
  }
  Value zero = b.i32(0), found = b.i32(-1), before = zero, begin = zero,
        end = zero;
  for (auto [i, group] : llvm::enumerate(groups)) {
    Value all = b.ballot(group.hasRows);
    Value own =
        b.add(before, b.countBits(arith::AndIOp::create(b, all, lower)));
    Value hit = b.ballot(b.logicalAnd(group.hasRows, b.equal(own, slot)));
    Value isHere = b.less(zero, b.countBits(hit));
    Value holder = b.lowestBit(b.select(isHere, hit, b.i32(1)));
    found = b.select(isHere, b.add(holder, i * kWarpSize), found);
    begin = b.select(isHere, b.shuffleFrom(group.begin, holder), begin);
    end = b.select(isHere, b.shuffleFrom(group.end, holder), end);
    before = b.add(before, b.countBits(all));
  }
  b.ifThen(b.less(b.i32(-1), found), [&] { body(found, begin, end); });
}

Value ProductEmitter::isAligned() {
  SmallVector<std::pair<Value, Type>> strides = {{args.xStride, config.input}};
  if (args.xHeadStride)
    strides.emplace_back(args.xHeadStride, config.input);
  return b.areMultiplesOf16({args.x, args.weights}, strides);
}

Value ProductEmitter::loadResidual(Value row, Value output) {
  if (!config.residual)
    return {};
  return b.load(f32,
                b.at(args.residual, f32, row, args.residualStride, output));
}

void ProductEmitter::finish(Value row, Value output, ArrayRef<Value> sums,
                            Value residual) {
  Value result = sums[0];
  if (config.gated) {
    Value negative = b.fmul(result, b.f32(-1.0f));
    Value sigmoid = b.fdiv(b.f32(1.0f), b.fadd(b.f32(1.0f), b.exp(negative)));
    result = b.fmul(b.fmul(result, sigmoid), sums[1]);
  }
  if (residual)
    result = b.fadd(residual, result);
  Value column = output;
  if (args.outHeadStride)
    column = b.add(b.mul(head, args.outHeadStride), output);
  b.storeFloat(result, config.output,
               b.at(args.out, config.output, row, args.outStride, column));
}

void ProductEmitter::emitNarrow(Value first, Value count) {
  if (!config.experts)
    b.awaitPredecessors();
  Value items = b.mul(count, tiling.blockOutputs());
  b.forEach(b.warp(), items, b.i32(tiling.warps), [&](Value item) {
    Value row = b.add(first, b.div(item, tiling.blockOutputs()));
    Value output = b.add(firstOutput, b.rem(item, tiling.blockOutputs()));
    Value x = getInputRow(row);
    SmallVector<Value> weights, sums;
    for (int64_t part = 0; part < rowsPerOutput(config); ++part) {
      weights.push_back(getWeightRow(output, part));
      sums.push_back(b.f32(0.0f));
    }
    sums = b.forCarry(
        b.lane(), b.i32(config.inputs), b.i32(kWarpSize), sums,
        [&](Value k, ValueRange carried) {
          // Unrolled it would take the registers that decide how many blocks of
          // the other path there can be.
          k = hide(b, k);
          Value value = b.loadFloat(config.input, b.at(x, config.input, k));
          SmallVector<Value> next;
          for (auto [weight, sum] : llvm::zip(weights, carried))
            next.push_back(b.fma(value, loadWeight(b, config, weight, k), sum));
          return next;
        });
    for (Value &sum : sums)
      sum = b.warpReduce(sum, [&](Value p, Value q) { return b.fadd(p, q); });
    Value isResult = b.logicalAnd(b.equal(b.lane(), b.i32(0)),
                                  b.less(output, b.i32(config.outputs)));
    b.ifThen(isResult,
             [&] { finish(row, output, sums, loadResidual(row, output)); });
  });
}

void ProductEmitter::emitWide(Value first, Value count, bool oneRow) {
  int64_t warpElements = ProductSums::sharedElements(config);
  int64_t pitch = ProductSums::pitch(config);
  // Results are dealt to the threads: outputs of the block adjacent, then rows.
  int64_t outputs = tiling.blockOutputs();
  int64_t turns =
      llvm::divideCeil(outputs * (oneRow ? 1 : kProductRows), tiling.threads());
  struct Result {
    Value number, row, output, residual;
  };
  SmallVector<Result> results;
  for (int64_t turn = 0; turn < turns; ++turn) {
    Value number = b.add(b.threadId(), turn * tiling.threads());
    results.push_back({number, b.add(first, b.div(number, outputs)),
                       b.add(firstOutput, b.rem(number, outputs)), Value()});
  }

  Value tile = b.div(b.warp(), tiling.splits);
  auto sums = ProductSums::create(
      b, config, *this, b.add(firstOutput, b.mul(tile, tiling.tileOutputs)),
      b.rem(b.warp(), tiling.splits), oneRow, ring);
  sums->emit(first, count, b.at(shared, f32, b.mul(b.warp(), warpElements)),
             [&] {
               // Weights of experts took waiting to find.
               if (!config.experts)
                 b.awaitPredecessors();
               // Early, so that it is there when the sums are.
               for (Result &result : results)
                 result.residual = loadResidual(
                     b.min(result.row, b.sub(b.add(first, count), b.i32(1))),
                     b.min(result.output, b.i32(config.outputs - 1)));
             });
  b.barrier();
  for (const Result &result : results) {
    Value isResult = b.logicalAnd(b.less(result.row, b.add(first, count)),
                                  b.less(result.output, b.i32(config.outputs)));
    b.ifThen(isResult, [&] {
      Value within = b.rem(result.number, outputs);
      Value warp = b.mul(b.div(within, tiling.tileOutputs), tiling.splits);
      Value at = b.add(b.add(b.mul(warp, warpElements),
                             b.mul(b.div(result.number, outputs), pitch)),
                       b.rem(within, tiling.tileOutputs));
      SmallVector<Value> totals;
      for (int64_t part = 0; part < rowsPerOutput(config); ++part) {
        Value total;
        for (int64_t split = 0; split < tiling.splits; ++split) {
          Value sum =
              b.load(f32, b.at(shared, f32,
                               b.add(at, split * warpElements +
                                             part * tiling.tileOutputs)));
          total = total ? b.fadd(total, sum) : sum;
        }
        totals.push_back(total);
      }
      finish(result.row, result.output, totals, result.residual);
    });
  }
}

void ProductEmitter::emitRows(Value first, Value count) {
  if (!tiling.isWide)
    return emitNarrow(first, count);
  b.ifElse(
      isAligned(),
      [&] {
        // Tensor cores take 8 rows in any case.
        if (tiling.onTensorCores)
          return emitWide(first, count, /*oneRow=*/false);
        b.ifElse(
            b.equal(count, b.i32(1)),
            [&] { emitWide(first, count, /*oneRow=*/true); },
            [&] { emitWide(first, count, /*oneRow=*/false); });
      },
      [&] { emitNarrow(first, count); });
}

void ProductEmitter::emit(const ProductBlock &block) {
  firstOutput = b.mul(block.outputs, tiling.blockOutputs());
  head = block.head;
  if (config.experts) {
    b.awaitPredecessors();
    forExpert(block.group, [&](Value expert, Value begin, Value end) {
      matrix = expert;
      b.forEach(begin, end, b.i32(kProductRows), [&](Value first) {
        emitRows(first, b.min(b.sub(end, first), b.i32(kProductRows)));
        // Sums of these rows are read until here.
        b.barrier();
      });
    });
    return;
  }
  if (config.heads > 1)
    matrix = head;
  Value first = b.mul(block.group, kProductRows);
  b.ifElse(
      b.less(first, args.rows),
      [&] {
        emitRows(first, b.min(b.sub(args.rows, first), b.i32(kProductRows)));
      },
      [&] { b.awaitPredecessors(); });
}
