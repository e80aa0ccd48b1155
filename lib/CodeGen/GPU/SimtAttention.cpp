//===- SimtAttention.cpp - rope, the latent cache, attention --------------===//
//
// Part of dsv2, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "SimtNames.h"
#include "dsv2/CodeGen/GPU/SimtKernels.h"

#include "llvm/ADT/bit.h"
#include "llvm/Support/FormatVariadic.h"
#include "llvm/Support/MathExtras.h"
#include "llvm/Support/xxhash.h"

#include <limits>

using namespace mlir;
using namespace mlir::dsv2;
using namespace mlir::dsv2::gpu;

//===----------------------------------------------------------------------===//
// Rope
//===----------------------------------------------------------------------===//

/// sum of coefficients[i] * x^i.
static Value evaluate(SimtBuilder &b, Value x, ArrayRef<double> coefficients) {
  Value sum = b.f64(coefficients.back());
  for (double coefficient : llvm::reverse(coefficients.drop_back()))
    sum = b.fma(sum, x, b.f64(coefficient));
  return sum;
}

/// sin and cos of an angle that is an f32 value, in f64, to well below an f32
/// ulp: quarter turns are taken off in two pieces, then Taylor's series, which
/// is short within an eighth of a turn.
static std::pair<Value, Value> emitSinCos(SimtBuilder &b, Value angle) {
  constexpr double quarter = llvm::numbers::pi / 2;
  // What f64 rounds off of a quarter turn.
  constexpr double quarterLow = 6.123233995736766e-17;
  Value turns = LLVM::RintOp::create(b, b.fmul(angle, b.f64(1 / quarter)));
  Value r = b.fma(turns, b.f64(-quarter), angle);
  r = b.fma(turns, b.f64(-quarterLow), r);
  Value square = b.fmul(r, r);
  constexpr double sinCoefficients[] = {
      1.0,          -1.0 / 6,        1.0 / 120,         -1.0 / 5040,
      1.0 / 362880, -1.0 / 39916800, 1.0 / 6227020800.0};
  constexpr double cosCoefficients[] = {
      1.0,         -1.0 / 2,       1.0 / 24,         -1.0 / 720,
      1.0 / 40320, -1.0 / 3628800, 1.0 / 479001600.0};
  Value sin = b.fmul(r, evaluate(b, square, sinCoefficients));
  Value cos = evaluate(b, square, cosCoefficients);
  Value quadrant = b.rem(arith::FPToSIOp::create(b, b.getI32Type(), turns), 4);
  Value isOdd = b.equal(b.rem(quadrant, 2), b.i32(1));
  auto negateIf = [&](Value condition, Value value) {
    return b.select(condition, b.fmul(value, b.f64(-1.0)), value);
  };
  Value first = b.equal(quadrant, b.i32(1));
  Value second = b.equal(quadrant, b.i32(2));
  Value third = b.equal(quadrant, b.i32(3));
  auto either = [&](Value x, Value y) -> Value {
    return arith::OrIOp::create(b, x, y);
  };
  return {negateIf(either(second, third), b.select(isOdd, cos, sin)),
          negateIf(either(first, second), b.select(isOdd, sin, cos))};
}

/// A table of constants in the device's memory, made once under its name.
static Value getConstantTable(SimtBuilder &b, StringRef name,
                              ArrayRef<float> values) {
  auto function = cast<LLVM::LLVMFuncOp>(b.getInsertionBlock()->getParentOp());
  Operation *device = function->getParentOp();
  if (!SymbolTable::lookupSymbolIn(device, name)) {
    OpBuilder::InsertionGuard guard(b);
    b.setInsertionPoint(function);
    auto type = LLVM::LLVMArrayType::get(b.getF32Type(), values.size());
    LLVM::GlobalOp::create(
        b, type, /*isConstant=*/true, LLVM::Linkage::Internal, name,
        DenseElementsAttr::get(
            RankedTensorType::get({static_cast<int64_t>(values.size())},
                                  b.getF32Type()),
            values),
        /*alignment=*/16, kGlobalSpace);
  }
  return LLVM::AddressOfOp::create(
      b, LLVM::LLVMPointerType::get(b.getContext(), kGlobalSpace), name);
}

LLVM::LLVMFuncOp
dsv2::gpu::getOrCreateRopeTableKernel(ModuleOp module,
                                      const RopeTableConfig &config) {
  ArrayRef<float> frequencies = config.inverseFrequencies;
  int64_t pairs = frequencies.size();
  uint64_t hash = llvm::xxh3_64bits(
      ArrayRef(reinterpret_cast<const uint8_t *>(frequencies.data()),
               frequencies.size() * sizeof(float)));
  std::string name =
      llvm::formatv("rope_table_{0}_{1:x-}_{2:x-}", 2 * pairs, hash,
                    llvm::bit_cast<uint32_t>(config.multiplier));
  MLIRContext *c = module.getContext();
  return getOrCreateKernel(
      module, name, kWarpSize,
      {pointerOf(c, 0), pointerOf(c, 1), strideOf(c, 1, 0)},
      [&](SimtBuilder &b, ValueRange args) {
        Type f32 = b.getF32Type(), i32 = b.getI32Type();
        Value table = getConstantTable(b, name + "_frequencies", frequencies);
        Value token = b.blockId();
        Value position = arith::SIToFPOp::create(
            b, f32, b.load(i32, b.at(args[0], i32, token)));
        b.forEach(
            b.threadId(), b.i32(pairs), b.i32(kWarpSize), [&](Value pair) {
              Value angle =
                  b.fmul(position, b.load(f32, b.at(table, f32, pair)));
              auto [sin, cos] = emitSinCos(
                  b, arith::ExtFOp::create(b, b.getF64Type(), angle));
              auto write = [&](Value value, Value column) {
                value = arith::TruncFOp::create(b, f32, value);
                value = b.fmul(value, b.f32(config.multiplier));
                b.store(value, b.at(args[1], f32, token, args[2], column));
              };
              write(cos, pair);
              write(sin, b.add(pair, pairs));
            });
      });
}

LLVM::LLVMFuncOp
dsv2::gpu::getOrCreateApplyRopeKernel(ModuleOp module,
                                      const ApplyRopeConfig &config) {
  int64_t pairs = config.width / 2;
  // Of few tokens, each has a thread for what it moves at a time.
  constexpr int64_t kPairs = 4;
  int64_t threads = std::clamp<int64_t>(
      llvm::alignTo(config.heads * pairs / kPairs, kWarpSize), kWarpSize, 256);
  std::string name =
      llvm::formatv("apply_rope_{0}x{1}_{2}_{3}", config.heads, config.width,
                    elementName(config.input), elementName(config.output));
  if (config.inPlace)
    name += "_in_place";
  MLIRContext *c = module.getContext();
  // In place there is one operand for what is read and written, behind the
  // table.
  int64_t x = config.inPlace ? 1 : 0, table = config.inPlace ? 0 : 1;
  int64_t out = config.inPlace ? 1 : 2;
  return getOrCreateKernel(
      module, name, threads,
      {pointerOf(c, x), strideOf(c, x, 0), strideOf(c, x, 1),
       pointerOf(c, table), strideOf(c, table, 0), pointerOf(c, out),
       strideOf(c, out, 0), strideOf(c, out, 1)},
      [&](SimtBuilder &b, ValueRange args) {
        Type f32 = b.getF32Type();
        Value token = b.blockId();
        // `count` adjacent pairs at a time.
        auto rotate = [&](int64_t count) {
          int64_t units = pairs / count;
          b.forEach(
              b.threadId(), b.i32(config.heads * units), b.i32(threads),
              [&](Value item) {
                Value head = b.div(item, units);
                Value pair = b.mul(b.rem(item, units), count);
                auto at = [&](int64_t operand, Type element) {
                  return b.at(
                      args[operand], element, token, args[operand + 1],
                      b.add(b.mul(head, args[operand + 2]), b.mul(pair, 2)));
                };
                SmallVector<Value> x, results;
                if (count > 1)
                  x = b.loadFloats(config.input, 2 * count,
                                   at(0, config.input));
                else
                  for (int64_t odd : {0, 1})
                    x.push_back(b.loadFloat(
                        config.input,
                        b.at(at(0, config.input), config.input, b.i32(odd))));
                auto factors = [&](Value column) {
                  return b.loadFloats(
                      f32, count, b.at(args[3], f32, token, args[4], column));
                };
                SmallVector<Value> cos = factors(pair);
                SmallVector<Value> sin = factors(b.add(pair, pairs));
                for (int64_t i = 0; i < count; ++i) {
                  Value even = x[2 * i], odd = x[2 * i + 1];
                  results.push_back(
                      b.fsub(b.fmul(even, cos[i]), b.fmul(odd, sin[i])));
                  results.push_back(
                      b.fadd(b.fmul(odd, cos[i]), b.fmul(even, sin[i])));
                }
                if (count > 1)
                  return b.storeFloats(results, config.output,
                                       at(5, config.output));
                for (int64_t odd : {0, 1})
                  b.storeFloat(
                      results[odd], config.output,
                      b.at(at(5, config.output), config.output, b.i32(odd)));
              });
        };
        if (pairs % kPairs != 0)
          return rotate(1);
        b.ifElse(
            b.areMultiplesOf16({args[0], args[3], args[5]},
                               {{args[1], config.input},
                                {args[2], config.input},
                                {args[4], f32},
                                {args[6], config.output},
                                {args[7], config.output}}),
            [&] { rotate(kPairs); }, [&] { rotate(1); });
      });
}

//===----------------------------------------------------------------------===//
// Cache
//===----------------------------------------------------------------------===//

static std::string cacheName(const LatentCacheConfig &config) {
  return llvm::formatv("{0}_{1}_page{2}_{3}", config.latent, config.rope,
                       config.page, elementName(config.element));
}

/// Address of the row of `position` in the cache, for a sequence whose block
/// table starts at `blocks`.
static Value cacheRow(SimtBuilder &b, const LatentCacheConfig &config,
                      Value cache, Value pageStride, Value blocks,
                      Value position) {
  Type i32 = b.getI32Type();
  Value page = b.load(i32, b.at(blocks, i32, b.div(position, config.page)));
  Value offset = b.mul(b.rem(position, config.page), config.row());
  return b.at(cache, config.element, page, pageStride, offset);
}

LLVM::LLVMFuncOp dsv2::gpu::getOrCreateLatentAppendKernel(
    ModuleOp module, const LatentCacheConfig &config, Type latent, Type rope) {
  constexpr int64_t threads = 128;
  std::string name =
      llvm::formatv("latent_append_{0}_{1}_{2}", cacheName(config),
                    elementName(latent), elementName(rope));
  MLIRContext *c = module.getContext();
  return getOrCreateKernel(
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
        Value row = cacheRow(b, config, args[8], args[9], blocks, position);
        constexpr int64_t kVector = 8;
        auto copyBy = [&](int64_t vector, Value from, Value stride,
                          Type element, int64_t width, int64_t first) {
          b.forEach(
              b.mul(b.threadId(), vector), b.i32(width),
              b.i32(threads * vector), [&](Value column) {
                SmallVector<Value> values =
                    b.loadFloats(element, vector,
                                 b.at(from, element, token, stride, column));
                b.storeFloats(values, config.element,
                              b.at(row, config.element, b.add(column, first)));
              });
        };
        auto copy = [&](Value from, Value stride, Type element, int64_t width,
                        int64_t first) {
          if (width % kVector != 0 || first % kVector != 0 ||
              config.row() % kVector != 0)
            return copyBy(1, from, stride, element, width, first);
          b.ifElse(
              b.areMultiplesOf16({from, args[8]}, {{stride, element},
                                                   {args[9], config.element}}),
              [&] { copyBy(kVector, from, stride, element, width, first); },
              [&] { copyBy(1, from, stride, element, width, first); });
        };
        copy(args[0], args[1], latent, config.latent, 0);
        copy(args[2], args[3], rope, config.rope, config.latent);
      });
}

//===----------------------------------------------------------------------===//
// Attention
//===----------------------------------------------------------------------===//

LLVM::LLVMFuncOp
dsv2::gpu::getOrCreateAttentionKernel(ModuleOp module,
                                      const AttentionConfig &config) {
  // Positions of a block are dealt to the threads for scores, columns of the
  // latent for values.
  constexpr int64_t threads = 128;
  const LatentCacheConfig &cache = config.cache;
  int64_t columns = llvm::divideCeil(cache.latent, threads);
  std::string name =
      llvm::formatv("attention_{0}_{1:x-}_{2}_{3}", cacheName(cache),
                    llvm::bit_cast<uint32_t>(config.scale),
                    elementName(config.input), elementName(config.output));
  MLIRContext *c = module.getContext();
  SmallVector<KernelParameter> parameters;
  for (int64_t operand : {0, 1})
    parameters.append({pointerOf(c, operand), strideOf(c, operand, 0),
                       strideOf(c, operand, 1)});
  parameters.append({pointerOf(c, 2), strideOf(c, 2, 0), pointerOf(c, 3),
                     pointerOf(c, 4), pointerOf(c, 5), strideOf(c, 5, 0),
                     pointerOf(c, 6), strideOf(c, 6, 0), strideOf(c, 6, 1)});
  return getOrCreateKernel(
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
          return cacheRow(b, cache, args[6], args[7], blocks, at);
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
}
