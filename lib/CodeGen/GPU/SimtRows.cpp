//===- SimtRows.cpp - one block a row -------------------------------------===//
//
// Part of dsv2, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "SimtColumns.h"
#include "SimtNames.h"
#include "SimtReduce.h"
#include "dsv2/CodeGen/GPU/KernelCosts.h"
#include "dsv2/CodeGen/GPU/SimtKernels.h"

#include "llvm/ADT/bit.h"
#include "llvm/Support/FormatVariadic.h"
#include "llvm/Support/MathExtras.h"

using namespace mlir;
using namespace mlir::dsv2;
using namespace mlir::dsv2::gpu;

int64_t dsv2::gpu::getRowThreads(int64_t width) {
  return std::clamp<int64_t>(
      llvm::alignTo(llvm::divideCeil(width, kVector), kWarpSize), kWarpSize,
      512);
}

void dsv2::gpu::emitByVector(SimtBuilder &b, int64_t width, ValueRange pointers,
                             ArrayRef<std::pair<Value, Type>> strides,
                             llvm::function_ref<void(int64_t)> body) {
  if (width % kVector != 0)
    return body(1);
  b.ifElse(
      b.areMultiplesOf16(pointers, strides), [&] { body(kVector); },
      [&] { body(1); });
}

void dsv2::gpu::forColumns(SimtBuilder &b, int64_t width, int64_t vector,
                           llvm::function_ref<void(Value)> body) {
  b.forEach(b.mul(b.threadId(), vector), b.i32(width),
            b.i32(getRowThreads(width) * vector), body);
}

LLVM::LLVMFuncOp
dsv2::gpu::getOrCreateGatherRowsKernel(ModuleOp module,
                                       const GatherRowsConfig &config) {
  MLIRContext *c = module.getContext();
  using Rows = GatherRowsConfig::Rows;
  StringRef suffix = config.rows == Rows::Limited ? "_limited"
                     : config.rows == Rows::Part  ? "_part"
                                                  : "";
  std::string name =
      llvm::formatv("gather_rows_{0}_{1}_{2}{3}", config.width,
                    elementName(config.from), elementName(config.to), suffix);
  int64_t out = config.rows == Rows::All ? 2 : 3;
  SmallVector<KernelParameter> parameters = {
      pointerOf(c, 0), pointerOf(c, 1), strideOf(c, 1, 0), pointerOf(c, out),
      strideOf(c, out, 0)};
  if (config.rows == Rows::Limited)
    parameters.push_back(pointerOf(c, 2));
  if (config.rows == Rows::Part)
    parameters.append({valueOf(c, 2), sizeOf(c, 1, 0)});
  auto kernel = getOrCreateKernel(
      module, name, getRowThreads(config.width), parameters,
      [&](SimtBuilder &b, ValueRange args) {
        Value token = b.blockId();
        Type i32 = b.getI32Type();
        /// Copies the row if `isThere`, which may be null for always, else
        /// writes zeros.
        auto copy = [&](Value row, Value isThere) {
          emitByVector(b, config.width, {args[1], args[3]},
                       {{args[2], config.from}, {args[4], config.to}},
                       [&](int64_t vector) {
                         forColumns(b, config.width, vector, [&](Value column) {
                           SmallVector<Value> values =
                               b.loadFloats(config.from, vector,
                                            b.at(args[1], config.from, row,
                                                 args[2], column));
                           if (isThere)
                             for (Value &value : values)
                               value = b.select(isThere, value, b.f32(0.0));
                           b.storeFloats(values, config.to,
                                         b.at(args[3], config.to, token,
                                              args[4], column));
                         });
                       });
        };
        auto loadRow = [&] { return b.load(i32, b.at(args[0], i32, token)); };
        switch (config.rows) {
        case Rows::All:
          return copy(loadRow(), Value());
        case Rows::Limited:
          // Behind the limit, numbers of rows are anything.
          return b.ifThen(b.less(token, b.load(i32, args[5])),
                          [&] { copy(loadRow(), Value()); });
        case Rows::Part: {
          Value row = b.sub(loadRow(), args[5]);
          Value isThere =
              b.logicalAnd(b.less(b.i32(-1), row), b.less(row, args[6]));
          return copy(b.select(isThere, row, b.i32(0)), isThere);
        }
        }
      });
  setCostFacts(kernel, config);
  return kernel;
}

Value dsv2::gpu::sumBlock(SimtBuilder &b, Value value, Value shared,
                          int64_t warps) {
  Type f32 = b.getF32Type();
  auto plus = [&](Value x, Value y) { return b.fadd(x, y); };
  Value partial = b.warpReduce(value, plus);
  if (warps == 1)
    return partial;
  b.ifThen(b.equal(b.lane(), b.i32(0)),
           [&] { b.store(partial, b.at(shared, f32, b.warp())); });
  b.barrier();
  Value sum = b.load(f32, b.at(shared, f32, b.i32(0)));
  for (int64_t i = 1; i < warps; ++i)
    sum = b.fadd(sum, b.load(f32, b.at(shared, f32, b.i32(i))));
  return sum;
}

namespace {
/// Emits the norm of one row.
class NormRow {
public:
  NormRow(SimtBuilder &b, const RMSNormConfig &config, ValueRange args)
      : b(b), config(config), args(args), token(b.blockId()),
        threads(getRowThreads(config.width)) {
    if (threads > kWarpSize)
      shared = b.sharedArray("sums", b.getF32Type(), threads / kWarpSize);
  }

  void emit(int64_t vector) {
    // What a thread reads of its row it keeps, unless that is too much.
    constexpr int64_t kKept = 32;
    int64_t stride = threads * vector;
    int64_t turns = llvm::divideCeil(config.width, stride);
    Value first = b.mul(b.threadId(), vector);
    if (turns * vector <= kKept) {
      SmallVector<Value> columns;
      SmallVector<SmallVector<Value>> values, weights;
      for (int64_t turn = 0; turn < turns; ++turn) {
        columns.push_back(b.add(first, turn * stride));
        // Threads past the end have the last columns again.
        Value column = b.min(columns.back(), b.i32(config.width - vector));
        values.push_back(load(vector, column));
        weights.push_back(loadWeights(vector, column));
      }
      Value sum = b.f32(0.0);
      for (auto [column, row] : llvm::zip(columns, values))
        sum = b.select(isInside(column), addSquares(row, sum), sum);
      Value factor = getFactor(sum);
      for (int64_t i = 0; i < turns; ++i)
        b.ifThen(isInside(columns[i]),
                 [&] { store(columns[i], values[i], weights[i], factor); });
      return;
    }
    Value sum =
        b.forCarry(first, b.i32(config.width), b.i32(stride), b.f32(0.0),
                   [&](Value column, ValueRange carried) {
                     return SmallVector<Value>{
                         addSquares(load(vector, column), carried[0])};
                   })
            .front();
    Value factor = getFactor(sum);
    forColumns(b, config.width, vector, [&](Value column) {
      store(column, load(vector, column), loadWeights(vector, column), factor);
    });
  }

private:
  Value isInside(Value column) { return b.less(column, b.i32(config.width)); }
  SmallVector<Value> load(int64_t vector, Value column) {
    return b.loadFloats(config.input, vector,
                        b.at(args[0], config.input, token, args[1], column));
  }
  SmallVector<Value> loadWeights(int64_t vector, Value column) {
    return b.loadFloats(config.weight, vector,
                        b.at(args[2], config.weight, column));
  }
  Value addSquares(ArrayRef<Value> values, Value sum) {
    for (Value value : values)
      sum = b.fma(value, value, sum);
    return sum;
  }
  Value getFactor(Value sum) {
    Value total = sumBlock(b, sum, shared, threads / kWarpSize);
    Value mean = b.fmul(total, b.f32(1.0f / config.width));
    return b.rsqrt(b.fadd(mean, b.f32(static_cast<float>(config.eps))));
  }
  void store(Value column, ArrayRef<Value> values, ArrayRef<Value> weights,
             Value factor) {
    SmallVector<Value> results;
    for (auto [value, weight] : llvm::zip(values, weights))
      results.push_back(b.fmul(b.fmul(value, factor), weight));
    b.storeFloats(results, config.output,
                  b.at(args[3], config.output, token, args[4], column));
  }

  SimtBuilder &b;
  const RMSNormConfig &config;
  ValueRange args;
  Value token;
  int64_t threads;
  Value shared;
};
} // namespace

LLVM::LLVMFuncOp
dsv2::gpu::getOrCreateRMSNormKernel(ModuleOp module,
                                    const RMSNormConfig &config) {
  MLIRContext *c = module.getContext();
  float eps = static_cast<float>(config.eps);
  std::string name =
      llvm::formatv("rms_norm_{0}_{1:x-}_{2}_{3}_{4}", config.width,
                    llvm::bit_cast<uint32_t>(eps), elementName(config.input),
                    elementName(config.weight), elementName(config.output));
  auto kernel = getOrCreateKernel(
      module, name, getRowThreads(config.width),
      {pointerOf(c, 0), strideOf(c, 0, 0), pointerOf(c, 1), pointerOf(c, 2),
       strideOf(c, 2, 0)},
      [&](SimtBuilder &b, ValueRange args) {
        NormRow row(b, config, args);
        emitByVector(b, config.width, {args[0], args[2], args[3]},
                     {{args[1], config.input}, {args[4], config.output}},
                     [&](int64_t vector) { row.emit(vector); });
      });
  setCostFacts(kernel, config);
  return kernel;
}

LLVM::LLVMFuncOp dsv2::gpu::getOrCreateAddKernel(ModuleOp module,
                                                 const AddConfig &config) {
  int64_t width = config.width;
  MLIRContext *c = module.getContext();
  auto kernel = getOrCreateKernel(
      module, llvm::formatv("add_{0}", width).str(), getRowThreads(width),
      {pointerOf(c, 0), strideOf(c, 0, 0), pointerOf(c, 1), strideOf(c, 1, 0),
       pointerOf(c, 2), strideOf(c, 2, 0)},
      [&](SimtBuilder &b, ValueRange args) {
        Value token = b.blockId();
        Type f32 = b.getF32Type();
        emitByVector(b, width, {args[0], args[2], args[4]},
                     {{args[1], f32}, {args[3], f32}, {args[5], f32}},
                     [&](int64_t vector) {
                       forColumns(b, width, vector, [&](Value column) {
                         auto load = [&](int64_t operand) {
                           return b.loadFloats(f32, vector,
                                               b.at(args[operand], f32, token,
                                                    args[operand + 1], column));
                         };
                         SmallVector<Value> x = load(0), y = load(2);
                         for (auto [sum, other] : llvm::zip(x, y))
                           sum = b.fadd(sum, other);
                         b.storeFloats(
                             x, f32,
                             b.at(args[4], f32, token, args[5], column));
                       });
                     });
      });
  setCostFacts(kernel, config);
  return kernel;
}

LLVM::LLVMFuncOp
dsv2::gpu::getOrCreateCombineKernel(ModuleOp module,
                                    const CombineConfig &config) {
  MLIRContext *c = module.getContext();
  std::string name = llvm::formatv("combine_{0}_{1}{2}{3}{4}", config.width,
                                   config.topK, config.hasShared ? "_s" : "",
                                   config.hasResidual ? "_r" : "",
                                   config.partial ? "_partial" : "");
  SmallVector<KernelParameter> parameters = {pointerOf(c, 0), strideOf(c, 0, 0),
                                             pointerOf(c, 1), pointerOf(c, 2)};
  int64_t operand = 3;
  for (bool present : {config.hasShared, config.hasResidual, true}) {
    if (!present)
      continue;
    parameters.append({pointerOf(c, operand), strideOf(c, operand, 0)});
    ++operand;
  }
  auto kernel = getOrCreateKernel(
      module, name, getRowThreads(config.width), parameters,
      [&](SimtBuilder &b, ValueRange args) {
        Value token = b.blockId();
        Type f32 = b.getF32Type(), i32 = b.getI32Type();
        SmallVector<Value> rows, weights, isThere;
        for (int64_t slot = 0; slot < config.topK; ++slot) {
          Value index = b.add(b.mul(token, config.topK), slot);
          rows.push_back(b.load(i32, b.at(args[2], i32, index)));
          if (config.partial) {
            // Row 0 stands in for those that are not there.
            isThere.push_back(b.less(b.i32(-1), rows.back()));
            rows.back() = b.max(rows.back(), b.i32(0));
          }
          weights.push_back(b.load(f32, b.at(args[3], f32, index)));
        }
        // The sums of experts, what is added to them, and the results.
        SmallVector<Value> pointers = {args[0]};
        SmallVector<std::pair<Value, Type>> strides = {{args[1], f32}};
        for (size_t i = 4; i < args.size(); i += 2) {
          pointers.push_back(args[i]);
          strides.emplace_back(args[i + 1], f32);
        }
        emitByVector(b, config.width, pointers, strides, [&](int64_t vector) {
          forColumns(b, config.width, vector, [&](Value column) {
            auto load = [&](size_t operand, Value row) {
              return b.loadFloats(
                  f32, vector,
                  b.at(args[operand], f32, row, args[operand + 1], column));
            };
            // All loads, then sums.
            SmallVector<SmallVector<Value>> outputs, others;
            for (Value row : rows)
              outputs.push_back(load(0, row));
            size_t result = args.size() - 2;
            for (size_t operand = 4; operand < result; operand += 2)
              others.push_back(load(operand, token));
            SmallVector<Value> sums(vector, b.f32(0.0));
            for (int64_t slot = 0; slot < config.topK; ++slot)
              for (auto [value, sum] : llvm::zip(outputs[slot], sums)) {
                Value added = b.fma(weights[slot], value, sum);
                sum = config.partial ? b.select(isThere[slot], added, sum)
                                     : added;
              }
            for (ArrayRef<Value> values : others)
              for (auto [value, sum] : llvm::zip(values, sums))
                sum = b.fadd(value, sum);
            b.storeFloats(
                sums, f32,
                b.at(args[result], f32, token, args[result + 1], column));
          });
        });
      });
  setCostFacts(kernel, config);
  return kernel;
}
