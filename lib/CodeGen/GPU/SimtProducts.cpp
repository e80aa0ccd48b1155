//===- SimtProducts.cpp - products of few rows ----------------------------===//
//
// Part of dsv2, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "SimtNames.h"
#include "SimtProductParts.h"

#include "mlir/Dialect/LLVMIR/NVVMDialect.h"
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

//===----------------------------------------------------------------------===//
// Grids
//===----------------------------------------------------------------------===//

std::array<int64_t, 3> dsv2::gpu::getProductGrid(const ProductConfig &config,
                                                 int64_t rows) {
  int64_t groups = config.experts ? std::min(rows, config.experts)
                                  : llvm::divideCeil(rows, kProductRows);
  int64_t blocks =
      llvm::divideCeil(config.outputs, ProductTiling(config).blockOutputs());
  return {groups, blocks, config.heads};
}

SmallVector<Value> dsv2::gpu::getProductGrid(ImplicitLocOpBuilder &b,
                                             const ProductConfig &config,
                                             Value rows) {
  auto index = [&](int64_t value) -> Value {
    return arith::ConstantIndexOp::create(b, value);
  };
  auto [unused, outputs, heads] = getProductGrid(config, 1);
  Value groups =
      config.experts
          ? b.createOrFold<arith::MinUIOp>(rows, index(config.experts))
          : b.createOrFold<arith::DivUIOp>(
                b.createOrFold<arith::AddIOp>(rows, index(kProductRows - 1)),
                index(kProductRows));
  return {groups, index(outputs), index(heads)};
}

//===----------------------------------------------------------------------===//
// Kernels
//===----------------------------------------------------------------------===//

namespace {

/// The kernel's parameters: x, weights, then what is optional, then the output.
struct ProductParameters {
  Value x, xStride, xHeadStride, weights;
  Value residual, residualStride, offsets, rowTokens;
  Value out, outStride, outHeadStride, rows;

  /// Either lists them in order or takes them off a list.
  static SmallVector<KernelParameter> list(MLIRContext *c,
                                           const ProductConfig &config);
  ProductParameters(const ProductConfig &config, ValueRange args);
};

/// Emits one kernel.
class ProductEmitter : public ProductRows {
public:
  ProductEmitter(SimtBuilder &b, const ProductConfig &config, ValueRange args)
      : b(b), config(config), args(config, args), tiling(config),
        f32(b.getF32Type()), i32(b.getI32Type()) {}

  void emit();

private:
  Value getInputRow(Value row) override;
  Value getWeightRow(Value output, int64_t part) override;

  /// Finds the expert whose rows the block computes: of those that have any,
  /// number `slot`. Calls `body` with the number of the expert, if there is
  /// one.
  void forExpert(Value slot, llvm::function_ref<void(Value)> body);
  /// Whether rows of the input and of the weights start at multiples of 16
  /// bytes.
  Value isAligned();
  /// Rows `first` to `first + count`, 1 to kProductRows of them.
  void emitRows(Value first, Value count);
  void emitWide(Value first, Value count, bool oneRow);
  /// Each warp takes output by output, one element a load.
  void emitNarrow(Value first, Value count);
  /// The f32 that the result of `row` and `output` is added to, or null.
  Value loadResidual(Value row, Value output);
  /// Makes a result of the sums of an output and stores it.
  void finish(Value row, Value output, ArrayRef<Value> sums, Value residual);

  SimtBuilder &b;
  const ProductConfig &config;
  ProductParameters args;
  ProductTiling tiling;
  Type f32, i32;
  /// Which of the matrices of weights, the block's first output.
  Value matrix, firstOutput;
  /// What warps add up, for the block.
  Value shared;
};

} // namespace

SmallVector<KernelParameter>
ProductParameters::list(MLIRContext *c, const ProductConfig &config) {
  bool byHead = config.heads > 1;
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
  if (!config.experts)
    parameters.push_back(sizeOf(c, operand, 0));
  return parameters;
}

ProductParameters::ProductParameters(const ProductConfig &config,
                                     ValueRange args) {
  auto take = [&, next = 0](Value &value) mutable { value = args[next++]; };
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
  if (!config.experts)
    take(rows);
}

Value ProductEmitter::getInputRow(Value row) {
  if (config.gather)
    row = b.load(i32, b.at(args.rowTokens, i32, row));
  Value column =
      args.xHeadStride ? b.mul(b.blockId(2), args.xHeadStride) : b.i32(0);
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
  return b.at(args.weights, config.weight, row, b.i32(config.inputs), b.i32(0));
}

void ProductEmitter::forExpert(Value slot,
                               llvm::function_ref<void(Value)> body) {
  // Every warp finds it for itself: lane l looks at the experts l, l + 32, ...
  Value lane = b.lane();
  Value lower = b.lowerLanes();
  Value found = b.i32(-1), before = b.i32(0);
  for (int64_t first = 0; first < config.experts; first += kWarpSize) {
    Value expert = b.add(lane, first);
    Value isExpert = b.less(expert, b.i32(config.experts));
    // Beyond the last expert both are the number of rows.
    Value at = b.min(expert, b.i32(config.experts));
    Value end = b.min(b.add(expert, 1), b.i32(config.experts));
    Value hasRows = b.logicalAnd(
        isExpert, b.less(b.load(i32, b.at(args.offsets, i32, at)),
                         b.load(i32, b.at(args.offsets, i32, end))));
    Value all = b.ballot(hasRows);
    Value own =
        b.add(before, b.countBits(arith::AndIOp::create(b, all, lower)));
    Value hit = b.ballot(b.logicalAnd(hasRows, b.equal(own, slot)));
    found =
        b.select(b.equal(hit, b.i32(0)), found, b.add(b.lowestBit(hit), first));
    before = b.add(before, b.countBits(all));
  }
  b.ifThen(b.less(b.i32(-1), found), [&] { body(found); });
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
    column = b.add(b.mul(b.blockId(2), args.outHeadStride), output);
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
          Value value = b.loadFloat(config.input, b.at(x, config.input, k));
          SmallVector<Value> next;
          for (auto [weight, sum] : llvm::zip(weights, carried))
            next.push_back(b.fma(
                value,
                b.loadFloat(config.weight, b.at(weight, config.weight, k)),
                sum));
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
      b.rem(b.warp(), tiling.splits), oneRow);
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

void ProductEmitter::emit() {
  if (tiling.isWide)
    shared = b.sharedArray("sums", f32,
                           tiling.warps * ProductSums::sharedElements(config));
  firstOutput = b.mul(b.blockId(1), tiling.blockOutputs());
  if (config.experts) {
    b.awaitPredecessors();
    forExpert(b.blockId(0), [&](Value expert) {
      matrix = expert;
      Value begin = b.load(i32, b.at(args.offsets, i32, expert));
      Value end = b.load(i32, b.at(args.offsets, i32, b.add(expert, 1)));
      b.forEach(begin, end, b.i32(kProductRows), [&](Value first) {
        emitRows(first, b.min(b.sub(end, first), b.i32(kProductRows)));
        // Sums of these rows are read until here.
        b.barrier();
      });
    });
    return;
  }
  if (config.heads > 1)
    matrix = b.blockId(2);
  Value first = b.mul(b.blockId(0), kProductRows);
  b.ifElse(
      b.less(first, args.rows),
      [&] {
        emitRows(first, b.min(b.sub(args.rows, first), b.i32(kProductRows)));
      },
      [&] { b.awaitPredecessors(); });
}

LLVM::LLVMFuncOp
dsv2::gpu::getOrCreateProductKernel(ModuleOp module,
                                    const ProductConfig &config) {
  assert((config.heads == 1 || (!config.residual && !config.experts)) &&
         "products by heads have neither residual nor experts");
  ProductTiling tiling(config);
  auto kernel = getOrCreateKernel(
      module, getName(config), tiling.threads(),
      ProductParameters::list(module.getContext(), config),
      [&](SimtBuilder &b, ValueRange args) {
        ProductEmitter(b, config, args).emit();
      },
      Waiting::Inside);
  // 16 warps, 2 blocks of 8 or 4 of 4, can then have their loads under way.
  if (tiling.onTensorCores)
    kernel->setAttr(
        NVVM::NVVMDialect::getMinctasmAttrName(),
        Builder(module.getContext()).getI32IntegerAttr(16 / tiling.warps));
  return kernel;
}
