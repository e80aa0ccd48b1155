//===- SimtLatent.cpp - rows of the latent cache --------------------------===//
//
// Part of dsv2, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "SimtLatent.h"

#include "SimtNames.h"
#include "SimtReduce.h"
#include "SimtRope.h"
#include "dsv2/CodeGen/GPU/KernelCosts.h"

#include "llvm/ADT/bit.h"
#include "llvm/Support/FormatVariadic.h"
#include "llvm/Support/MathExtras.h"

using namespace mlir;
using namespace mlir::dsv2;
using namespace mlir::dsv2::gpu;

std::string dsv2::gpu::getCacheName(const LatentCacheConfig &config) {
  return llvm::formatv("{0}_{1}_page{2}_{3}", config.latent, config.rope,
                       config.page, elementName(config.element));
}

Value dsv2::gpu::getCacheRow(SimtBuilder &b, const LatentCacheConfig &config,
                             Value cache, Value pageStride, Value blocks,
                             Value position) {
  Type i32 = b.getI32Type();
  Value page = b.load(i32, b.at(blocks, i32, b.div(position, config.page)));
  Value offset = b.mul(b.rem(position, config.page), config.row());
  return b.at(cache, config.element, page, pageStride, offset);
}

LLVM::LLVMFuncOp
dsv2::gpu::getOrCreateLatentAppendKernel(ModuleOp module,
                                         const LatentAppendConfig &config) {
  const LatentCacheConfig &cache = config.cache;
  constexpr int64_t threads = 128;
  std::string name =
      llvm::formatv("latent_append_{0}_{1}_{2}", getCacheName(cache),
                    elementName(config.latent), elementName(config.rope));
  MLIRContext *c = module.getContext();
  auto kernel = getOrCreateKernel(
      module, name, threads,
      {pointerOf(c, 0), strideOf(c, 0, 0), pointerOf(c, 1), strideOf(c, 1, 0),
       pointerOf(c, 2), pointerOf(c, 3), pointerOf(c, 4), strideOf(c, 4, 0),
       pointerOf(c, 5), strideOf(c, 5, 0)},
      [&](SimtBuilder &b, ValueRange args) {
        Type i32 = b.getI32Type();
        Value token = b.blockId();
        Value position = b.load(i32, b.at(args[4], i32, token));
        Value sequence = b.load(i32, b.at(args[5], i32, token));
        Value blocks = b.at(args[6], i32, sequence, args[7], b.i32(0));
        Value row = getCacheRow(b, cache, args[8], args[9], blocks, position);
        constexpr int64_t kVector = 8;
        auto copyBy = [&](int64_t vector, Value from, Value stride,
                          Type element, int64_t width, int64_t first) {
          b.forEach(
              b.mul(b.threadId(), vector), b.i32(width),
              b.i32(threads * vector), [&](Value column) {
                SmallVector<Value> values =
                    b.loadFloats(element, vector,
                                 b.at(from, element, token, stride, column));
                b.storeFloats(values, cache.element,
                              b.at(row, cache.element, b.add(column, first)));
              });
        };
        auto copy = [&](Value from, Value stride, Type element, int64_t width,
                        int64_t first) {
          if (width % kVector != 0 || first % kVector != 0 ||
              cache.row() % kVector != 0)
            return copyBy(1, from, stride, element, width, first);
          b.ifElse(
              b.areMultiplesOf16({from, args[8]},
                                 {{stride, element}, {args[9], cache.element}}),
              [&] { copyBy(kVector, from, stride, element, width, first); },
              [&] { copyBy(1, from, stride, element, width, first); });
        };
        copy(args[0], args[1], config.latent, cache.latent, 0);
        copy(args[2], args[3], config.rope, cache.rope, cache.latent);
      });
  setCostFacts(kernel, config);
  return kernel;
}

//===----------------------------------------------------------------------===//
// Rows of all positions
//===----------------------------------------------------------------------===//

Value dsv2::gpu::getContextRowsBlocks(ImplicitLocOpBuilder &b, Value rows) {
  return arith::CeilDivUIOp::create(
      b, rows, arith::ConstantIndexOp::create(b, kContextRows));
}

/// Copies `width` elements by the threads of a warp, 16 bytes at a time or one
/// element.
static void copyByWarp(SimtBuilder &b, Type element, int64_t width, Value from,
                       Value to, bool inWords) {
  int64_t vector = inWords ? 128 / element.getIntOrFloatBitWidth() : 1;
  b.forEach(b.mul(b.lane(), vector), b.i32(width), b.i32(kWarpSize * vector),
            [&](Value column) {
              Value source = b.at(from, element, column);
              Value target = b.at(to, element, column);
              if (inWords)
                b.storeWords(b.loadWords(4, source), target);
              else
                b.store(b.load(element, source), target);
            });
}

LLVM::LLVMFuncOp
dsv2::gpu::getOrCreateContextRowsKernel(ModuleOp module,
                                        const ContextRowsConfig &config) {
  const LatentCacheConfig &cache = config.cache;
  std::string name = "context_rows_" + getCacheName(cache);
  MLIRContext *c = module.getContext();
  auto kernel = getOrCreateKernel(
      module, name, kContextRows * kWarpSize,
      {pointerOf(c, 0), pointerOf(c, 1), pointerOf(c, 2), strideOf(c, 2, 0),
       pointerOf(c, 3), strideOf(c, 3, 0), pointerOf(c, 4), pointerOf(c, 5),
       pointerOf(c, 6), sizeOf(c, 2, 0)},
      [&](SimtBuilder &b, ValueRange args) {
        Type i32 = b.getI32Type();
        Value positions = args[0], seqStarts = args[1], tables = args[2];
        Value tableStride = args[3], pages = args[4], pageStride = args[5];
        Value latents = args[6], keys = args[7], starts = args[8];
        Value sequences = args[9], zero = b.i32(0), one = b.i32(1);
        Value row = b.add(b.mul(b.blockId(), kContextRows), b.warp());
        // The rows of the sequence that has this one: number, begin and end.
        SmallVector<Value> found = b.forCarry(
            zero, sequences, one, {zero, zero, zero, zero},
            [&](Value sequence, ValueRange state) -> SmallVector<Value> {
              Value next =
                  b.load(i32, b.at(seqStarts, i32, b.add(sequence, one)));
              Value last = b.load(i32, b.at(positions, i32, b.sub(next, one)));
              Value begin = state[0], end = b.add(begin, b.add(last, one));
              Value isOurs = b.logicalAnd(b.less(begin, b.add(row, one)),
                                          b.less(row, end));
              return {end, b.select(isOurs, sequence, state[1]),
                      b.select(isOurs, begin, state[2]),
                      b.select(isOurs, end, state[3])};
            });
        Value sequence = found[1], begin = found[2], end = found[3];
        // The last block may have more warps than rows.
        b.ifThen(b.less(row, end), [&] {
          b.ifThen(b.equal(b.lane(), zero), [&] {
            b.ifThen(b.equal(row, zero),
                     [&] { b.store(zero, b.at(starts, i32, zero)); });
            b.ifThen(b.equal(b.add(row, one), end), [&] {
              b.store(end, b.at(starts, i32, b.add(sequence, one)));
            });
          });
          Value blocks = b.at(tables, i32, sequence, tableStride, zero);
          Value source = getCacheRow(b, cache, pages, pageStride, blocks,
                                     b.sub(row, begin));
          auto copy = [&](bool inWords) {
            copyByWarp(
                b, cache.element, cache.latent, source,
                b.at(latents, cache.element, row, b.i32(cache.latent), zero),
                inWords);
            copyByWarp(b, cache.element, cache.rope,
                       b.at(source, cache.element, b.i32(cache.latent)),
                       b.at(keys, cache.element, row, b.i32(cache.rope), zero),
                       inWords);
          };
          int64_t vector = 128 / cache.element.getIntOrFloatBitWidth();
          if (cache.latent % vector != 0 || cache.rope % vector != 0)
            return copy(false);
          b.ifElse(
              b.areMultiplesOf16({pages, latents, keys},
                                 {{pageStride, cache.element}}),
              [&] { copy(true); }, [&] { copy(false); });
        });
      });
  setCostFacts(kernel, config);
  return kernel;
}

//===----------------------------------------------------------------------===//
// All that attention needs of new tokens
//===----------------------------------------------------------------------===//

namespace {

/// Emits the block of one token.
class LatentInput {
public:
  LatentInput(SimtBuilder &b, const LatentInputConfig &config, ValueRange args);

  static constexpr int64_t kThreads = 256;

  void emit();

private:
  static constexpr int64_t kVector = 2 * kRopePairs;

  /// What moves `vector` elements at a time: kVector or 1.
  void emitBy(int64_t vector);
  /// Normalises the latent into the row of the cache.
  void normalize(int64_t vector);
  /// Rotates pairs, `count` at a time.
  void rotate(int64_t count);
  Value isAligned();

  SimtBuilder &b;
  const LatentInputConfig &config;
  const LatentCacheConfig &cache;
  Type f32, i32;
  Value token, thread;
  Value queries, queryStride, queryHeadStride, latent, latentStride;
  Value key, keyStride, weight, positions, seqIds, blockTables, tableStride;
  Value pages, pageStride, out, outStride, outHeadStride;
  /// cos and sin of the token's angles, sums of warps.
  Value factors, sums;
  Value row;
};

} // namespace

LatentInput::LatentInput(SimtBuilder &b, const LatentInputConfig &config,
                         ValueRange args)
    : b(b), config(config), cache(config.cache), f32(b.getF32Type()),
      i32(b.getI32Type()), token(b.blockId()), thread(b.threadId()) {
  for (Value *value :
       {&queries, &queryStride, &queryHeadStride, &latent, &latentStride, &key,
        &keyStride, &weight, &positions, &seqIds, &blockTables, &tableStride,
        &pages, &pageStride, &out, &outStride, &outHeadStride}) {
    *value = args.front();
    args = args.drop_front();
  }
  factors = b.sharedArray("factors", f32, cache.rope);
  sums = b.sharedArray("sums", f32, kThreads / kWarpSize);
}

Value LatentInput::isAligned() {
  return b.areMultiplesOf16({queries, latent, key, weight, pages, out},
                            {{queryStride, config.query},
                             {queryHeadStride, config.query},
                             {latentStride, config.latent},
                             {keyStride, config.key},
                             {pageStride, cache.element},
                             {outStride, config.output},
                             {outHeadStride, config.output}});
}

void LatentInput::normalize(int64_t vector) {
  int64_t stride = kThreads * vector;
  SmallVector<Value> columns;
  SmallVector<SmallVector<Value>> values, weights;
  for (int64_t first = 0; first < cache.latent; first += stride) {
    columns.push_back(b.add(b.mul(thread, vector), first));
    // Threads past the end have the last columns again.
    Value column = b.min(columns.back(), b.i32(cache.latent - vector));
    values.push_back(
        b.loadFloats(config.latent, vector,
                     b.at(latent, config.latent, token, latentStride, column)));
    weights.push_back(b.loadFloats(config.weight, vector,
                                   b.at(weight, config.weight, column)));
  }
  auto isInside = [&](Value column) {
    return b.less(column, b.i32(cache.latent));
  };
  Value sum = b.f32(0.0);
  for (auto [column, part] : llvm::zip(columns, values)) {
    Value squares = sum;
    for (Value value : part)
      squares = b.fma(value, value, squares);
    sum = b.select(isInside(column), squares, sum);
  }
  // The barrier in it is for the factors of the rotation too.
  Value total = sumBlock(b, sum, sums, kThreads / kWarpSize);
  Value factor = b.rsqrt(b.fadd(b.fmul(total, b.f32(1.0f / cache.latent)),
                                b.f32(static_cast<float>(config.eps))));
  for (size_t i = 0; i < columns.size(); ++i)
    b.ifThen(isInside(columns[i]), [&] {
      SmallVector<Value> results;
      for (auto [value, scale] : llvm::zip(values[i], weights[i]))
        results.push_back(b.fmul(b.fmul(value, factor), scale));
      b.storeFloats(results, cache.element,
                    b.at(row, cache.element, columns[i]));
    });
}

void LatentInput::rotate(int64_t count) {
  int64_t pairs = cache.rope / 2, units = pairs / count;
  auto factor = [&](Value column) { return b.at(factors, f32, column); };
  b.forEach(
      thread, b.i32(config.heads * units), b.i32(kThreads), [&](Value item) {
        Value head = b.div(item, units);
        Value pair = b.mul(b.rem(item, units), count);
        Value column = b.mul(pair, 2);
        rotatePairs(b, count, config.query,
                    b.at(queries, config.query, token, queryStride,
                         b.add(b.mul(head, queryHeadStride), column)),
                    factor(pair), factor(b.add(pair, pairs)), config.output,
                    b.at(out, config.output, token, outStride,
                         b.add(b.mul(head, outHeadStride), column)));
      });
  // The last threads, which have no part in a short latent.
  Value fromEnd = b.sub(b.i32(kThreads - 1), thread);
  b.forEach(fromEnd, b.i32(units), b.i32(kThreads), [&](Value unit) {
    Value pair = b.mul(unit, count);
    Value column = b.mul(pair, 2);
    rotatePairs(b, count, config.key,
                b.at(key, config.key, token, keyStride, column), factor(pair),
                factor(b.add(pair, pairs)), cache.element,
                b.at(row, cache.element, b.add(column, cache.latent)));
  });
}

void LatentInput::emitBy(int64_t vector) {
  normalize(vector);
  rotate(vector == kVector ? kRopePairs : 1);
}

void LatentInput::emit() {
  // Positions and tables are copied before a step, so that only the rest has to
  // wait for the launches before this one.
  Value position = b.load(i32, b.at(positions, i32, token));
  emitRopeFactors(b, config.rope, position, kThreads,
                  [&](Value value, Value column) {
                    b.store(value, b.at(factors, f32, column));
                  });
  Value sequence = b.load(i32, b.at(seqIds, i32, token));
  Value blocks = b.at(blockTables, i32, sequence, tableStride, b.i32(0));
  row = getCacheRow(b, cache, pages, pageStride, blocks, position);
  b.awaitPredecessors();
  if (cache.latent % kVector != 0 || cache.rope % kVector != 0)
    return emitBy(1);
  b.ifElse(isAligned(), [&] { emitBy(kVector); }, [&] { emitBy(1); });
}

LLVM::LLVMFuncOp
dsv2::gpu::getOrCreateLatentInputKernel(ModuleOp module,
                                        const LatentInputConfig &config) {
  assert(config.cache.rope ==
             2 * static_cast<int64_t>(config.rope.inverseFrequencies.size()) &&
         "expected angles for all pairs");
  MLIRContext *c = module.getContext();
  std::string name = llvm::formatv(
      "latent_input_{0}_{1}_heads{2}_{3:x-}_{4}_{5}_{6}_{7}_{8}",
      getCacheName(config.cache), getRopeName(config.rope), config.heads,
      llvm::bit_cast<uint32_t>(static_cast<float>(config.eps)),
      elementName(config.query), elementName(config.latent),
      elementName(config.key), elementName(config.weight),
      elementName(config.output));
  auto kernel = getOrCreateKernel(
      module, name, LatentInput::kThreads,
      {pointerOf(c, 0), strideOf(c, 0, 0), strideOf(c, 0, 1), pointerOf(c, 1),
       strideOf(c, 1, 0), pointerOf(c, 2), strideOf(c, 2, 0), pointerOf(c, 3),
       pointerOf(c, 4), pointerOf(c, 5), pointerOf(c, 6), strideOf(c, 6, 0),
       pointerOf(c, 7), strideOf(c, 7, 0), pointerOf(c, 8), strideOf(c, 8, 0),
       strideOf(c, 8, 1)},
      [&](SimtBuilder &b, ValueRange args) {
        LatentInput(b, config, args).emit();
      },
      Waiting::Inside);
  setCostFacts(kernel, config);
  return kernel;
}
