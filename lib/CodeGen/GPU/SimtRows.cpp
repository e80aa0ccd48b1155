//===- SimtRows.cpp - one block a row -------------------------------------===//
//
// Part of dsv2, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "SimtNames.h"
#include "dsv2/CodeGen/GPU/SimtKernels.h"

#include "llvm/ADT/bit.h"
#include "llvm/Support/FormatVariadic.h"

using namespace mlir;
using namespace mlir::dsv2;
using namespace mlir::dsv2::gpu;

/// Threads of a block that works on one row.
static constexpr int64_t kRowThreads = 128;

/// Calls `body` for each column of a row, the columns dealt to the threads.
static void forColumns(SimtBuilder &b, int64_t width,
                       llvm::function_ref<void(Value)> body) {
  b.forEach(b.threadId(), b.i32(width), b.i32(kRowThreads), body);
}

LLVM::LLVMFuncOp
dsv2::gpu::getOrCreateGatherRowsKernel(ModuleOp module,
                                       const GatherRowsConfig &config) {
  MLIRContext *c = module.getContext();
  std::string name =
      llvm::formatv("gather_rows_{0}_{1}_{2}", config.width,
                    elementName(config.from), elementName(config.to));
  return getOrCreateKernel(
      module, name, kRowThreads,
      {pointerOf(c, 0), pointerOf(c, 1), strideOf(c, 1, 0), pointerOf(c, 2),
       strideOf(c, 2, 0)},
      [&](SimtBuilder &b, ValueRange args) {
        Value token = b.blockId();
        Value row =
            b.load(b.getI32Type(), b.at(args[0], b.getI32Type(), token));
        forColumns(b, config.width, [&](Value column) {
          Value value = b.loadFloat(
              config.from, b.at(args[1], config.from, row, args[2], column));
          b.storeFloat(value, config.to,
                       b.at(args[3], config.to, token, args[4], column));
        });
      });
}

/// The sum of `value` over a block of kRowThreads.
static Value sumBlock(SimtBuilder &b, Value value) {
  constexpr int64_t warps = kRowThreads / kWarpSize;
  Type f32 = b.getF32Type();
  auto plus = [&](Value x, Value y) { return b.fadd(x, y); };
  Value partial = b.warpReduce(value, plus);
  Value shared = b.sharedArray("sums", f32, warps);
  // Every lane holds the sum: all write the same value.
  b.ifThen(b.equal(b.lane(), b.i32(0)),
           [&] { b.store(partial, b.at(shared, f32, b.warp())); });
  b.barrier();
  Value sum = b.load(f32, b.at(shared, f32, b.i32(0)));
  for (int64_t i = 1; i < warps; ++i)
    sum = b.fadd(sum, b.load(f32, b.at(shared, f32, b.i32(i))));
  return sum;
}

LLVM::LLVMFuncOp
dsv2::gpu::getOrCreateRMSNormKernel(ModuleOp module,
                                    const RMSNormConfig &config) {
  MLIRContext *c = module.getContext();
  float eps = static_cast<float>(config.eps);
  std::string name =
      llvm::formatv("rms_norm_{0}_{1:x-}_{2}_{3}_{4}", config.width,
                    llvm::bit_cast<uint32_t>(eps), elementName(config.input),
                    elementName(config.weight), elementName(config.output));
  return getOrCreateKernel(
      module, name, kRowThreads,
      {pointerOf(c, 0), strideOf(c, 0, 0), pointerOf(c, 1), pointerOf(c, 2),
       strideOf(c, 2, 0)},
      [&](SimtBuilder &b, ValueRange args) {
        Value token = b.blockId();
        auto loadColumn = [&](Value column) {
          return b.loadFloat(config.input, b.at(args[0], config.input, token,
                                                args[1], column));
        };
        Value sum =
            b.forCarry(b.threadId(), b.i32(config.width), b.i32(kRowThreads),
                       b.f32(0.0f),
                       [&](Value column, ValueRange carried) {
                         Value x = loadColumn(column);
                         return SmallVector<Value>{b.fma(x, x, carried[0])};
                       })
                .front();
        Value mean = b.fmul(sumBlock(b, sum), b.f32(1.0f / config.width));
        Value factor = b.rsqrt(b.fadd(mean, b.f32(eps)));
        forColumns(b, config.width, [&](Value column) {
          Value weight =
              b.loadFloat(config.weight, b.at(args[2], config.weight, column));
          Value value = b.fmul(b.fmul(loadColumn(column), factor), weight);
          b.storeFloat(value, config.output,
                       b.at(args[3], config.output, token, args[4], column));
        });
      });
}

LLVM::LLVMFuncOp dsv2::gpu::getOrCreateAddKernel(ModuleOp module,
                                                 int64_t width) {
  MLIRContext *c = module.getContext();
  return getOrCreateKernel(
      module, llvm::formatv("add_{0}", width).str(), kRowThreads,
      {pointerOf(c, 0), strideOf(c, 0, 0), pointerOf(c, 1), strideOf(c, 1, 0),
       pointerOf(c, 2), strideOf(c, 2, 0)},
      [&](SimtBuilder &b, ValueRange args) {
        Value token = b.blockId();
        Type f32 = b.getF32Type();
        forColumns(b, width, [&](Value column) {
          Value x = b.load(f32, b.at(args[0], f32, token, args[1], column));
          Value y = b.load(f32, b.at(args[2], f32, token, args[3], column));
          b.store(b.fadd(x, y), b.at(args[4], f32, token, args[5], column));
        });
      });
}

LLVM::LLVMFuncOp
dsv2::gpu::getOrCreateCombineKernel(ModuleOp module,
                                    const CombineConfig &config) {
  MLIRContext *c = module.getContext();
  std::string name = llvm::formatv("combine_{0}_{1}{2}{3}", config.width,
                                   config.topK, config.hasShared ? "_s" : "",
                                   config.hasResidual ? "_r" : "");
  SmallVector<KernelParameter> parameters = {pointerOf(c, 0), strideOf(c, 0, 0),
                                             pointerOf(c, 1), pointerOf(c, 2)};
  int64_t operand = 3;
  for (bool present : {config.hasShared, config.hasResidual, true}) {
    if (!present)
      continue;
    parameters.append({pointerOf(c, operand), strideOf(c, operand, 0)});
    ++operand;
  }
  return getOrCreateKernel(
      module, name, kRowThreads, parameters,
      [&](SimtBuilder &b, ValueRange args) {
        Value token = b.blockId();
        Type f32 = b.getF32Type(), i32 = b.getI32Type();
        SmallVector<Value> rows, weights;
        for (int64_t slot = 0; slot < config.topK; ++slot) {
          Value index = b.add(b.mul(token, config.topK), slot);
          rows.push_back(b.load(i32, b.at(args[2], i32, index)));
          weights.push_back(b.load(f32, b.at(args[3], f32, index)));
        }
        forColumns(b, config.width, [&](Value column) {
          Value sum = b.f32(0.0f);
          for (auto [row, weight] : llvm::zip(rows, weights))
            sum = b.fma(weight,
                        b.load(f32, b.at(args[0], f32, row, args[1], column)),
                        sum);
          int64_t next = 4;
          for (bool present : {config.hasShared, config.hasResidual}) {
            if (!present)
              continue;
            sum = b.fadd(b.load(f32, b.at(args[next], f32, token,
                                          args[next + 1], column)),
                         sum);
            next += 2;
          }
          b.store(sum, b.at(args[next], f32, token, args[next + 1], column));
        });
      });
}
