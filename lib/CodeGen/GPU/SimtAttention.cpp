//===- SimtAttention.cpp - attention over the latent cache ----------------===//
//
// Part of dsv2, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "SimtLatent.h"
#include "SimtNames.h"
#include "dsv2/CodeGen/GPU/KernelCosts.h"

#include "llvm/ADT/bit.h"
#include "llvm/Support/FormatVariadic.h"
#include "llvm/Support/MathExtras.h"

#include <limits>

using namespace mlir;
using namespace mlir::dsv2;
using namespace mlir::dsv2::gpu;

LLVM::LLVMFuncOp
dsv2::gpu::getOrCreateAttentionKernel(ModuleOp module,
                                      const AttentionConfig &config) {
  // Positions of a block are dealt to the threads for scores, columns of the
  // latent for values.
  constexpr int64_t threads = 128;
  const LatentCacheConfig &cache = config.cache;
  int64_t columns = llvm::divideCeil(cache.latent, threads);
  std::string name = llvm::formatv(
      "attention_{0}_heads{1}_{2:x-}_{3}_{4}", getCacheName(cache),
      config.heads, llvm::bit_cast<uint32_t>(config.scale),
      elementName(config.input), elementName(config.output));
  MLIRContext *c = module.getContext();
  SmallVector<KernelParameter> parameters;
  for (int64_t operand : {0, 1})
    parameters.append({pointerOf(c, operand), strideOf(c, operand, 0),
                       strideOf(c, operand, 1)});
  parameters.append({pointerOf(c, 2), strideOf(c, 2, 0), pointerOf(c, 3),
                     pointerOf(c, 4), pointerOf(c, 5), strideOf(c, 5, 0),
                     pointerOf(c, 6), strideOf(c, 6, 0), strideOf(c, 6, 1)});
  auto kernel = getOrCreateKernel(
      module, name, threads, parameters, [&](SimtBuilder &b, ValueRange args) {
        Type f32 = b.getF32Type(), i32 = b.getI32Type();
        Value query = b.sharedArray("query", f32, cache.row());
        Value scores = b.sharedArray("scores", f32, threads);
        Value token = b.blockId(), head = b.blockId(1);
        Value thread = b.threadId();
        auto copy = [&](int64_t first, int64_t width, int64_t column) {
          Value from = b.at(args[first], config.input, token, args[first + 1],
                            b.mul(head, args[first + 2]));
          b.forEach(thread, b.i32(width), b.i32(threads), [&](Value i) {
            Value value =
                b.loadFloat(config.input, b.at(from, config.input, i));
            b.store(b.fmul(value, b.f32(config.scale)),
                    b.at(query, f32, b.add(i, column)));
          });
        };
        copy(0, cache.latent, 0);
        copy(3, cache.rope, cache.latent);
        Value position = b.load(i32, b.at(args[8], i32, token));
        Value sequence = b.load(i32, b.at(args[9], i32, token));
        Value blocks = b.at(args[10], i32, sequence, args[11], b.i32(0));
        Value count = b.add(position, 1);
        b.barrier();

        auto rowOf = [&](Value at) {
          return getCacheRow(b, cache, args[6], args[7], blocks, at);
        };
        constexpr float infinity = std::numeric_limits<float>::infinity();
        // The largest score so far, the sum, and this thread's columns.
        SmallVector<Value> carried(2 + columns, b.f32(0.0f));
        carried[0] = b.f32(-infinity);
        carried = b.forCarry(
            b.i32(0), count, b.i32(threads), carried,
            [&](Value first, ValueRange state) {
              Value mine = b.add(first, thread);
              Value isInside = b.less(mine, count);
              // Threads past the end repeat the last position, which exists.
              Value row =
                  rowOf(b.select(isInside, mine, b.sub(count, b.i32(1))));
              Value score =
                  b.forCarry(b.i32(0), b.i32(cache.row()), b.i32(1),
                             b.f32(0.0f),
                             [&](Value i, ValueRange sum) {
                               Value k = b.loadFloat(
                                   cache.element, b.at(row, cache.element, i));
                               Value q = b.load(f32, b.at(query, f32, i));
                               return SmallVector<Value>{b.fma(q, k, sum[0])};
                             })
                      .front();
              score = b.select(isInside, score, b.f32(-infinity));
              b.store(score, b.at(scores, f32, thread));
              b.barrier();
              Value here = b.min(b.sub(count, first), b.i32(threads));
              // Every thread finds the same maximum.
              Value largest =
                  b.forCarry(b.i32(0), here, b.i32(1), state[0],
                             [&](Value i, ValueRange max) {
                               return SmallVector<Value>{b.fmax(
                                   max[0], b.load(f32, b.at(scores, f32, i)))};
                             })
                      .front();
              Value rescale = b.exp(b.fsub(state[0], largest));
              SmallVector<Value> sums = {b.fmul(state[1], rescale)};
              for (int64_t i = 0; i < columns; ++i)
                sums.push_back(b.fmul(state[2 + i], rescale));
              sums = b.forCarry(
                  b.i32(0), here, b.i32(1), sums, [&](Value i, ValueRange sum) {
                    Value weight = b.exp(
                        b.fsub(b.load(f32, b.at(scores, f32, i)), largest));
                    Value row = rowOf(b.add(first, i));
                    SmallVector<Value> next = {b.fadd(sum[0], weight)};
                    for (int64_t i = 0; i < columns; ++i) {
                      Value column = b.add(thread, i * threads);
                      // A column too many is computed and not stored.
                      column = b.min(column, b.i32(cache.latent - 1));
                      Value value = b.loadFloat(
                          cache.element, b.at(row, cache.element, column));
                      next.push_back(b.fma(weight, value, sum[1 + i]));
                    }
                    return next;
                  });
              // Scores are read until here; the next turn overwrites them.
              b.barrier();
              SmallVector<Value> next = {largest};
              llvm::append_range(next, sums);
              return next;
            });
        Value inverse = b.fdiv(b.f32(1.0f), carried[1]);
        for (int64_t i = 0; i < columns; ++i) {
          Value column = b.add(thread, i * threads);
          b.ifThen(b.less(column, b.i32(cache.latent)), [&] {
            b.storeFloat(b.fmul(carried[2 + i], inverse), config.output,
                         b.at(args[12], config.output, token, args[13],
                              b.add(b.mul(head, args[14]), column)));
          });
        }
      });
  setCostFacts(kernel, config);
  return kernel;
}
