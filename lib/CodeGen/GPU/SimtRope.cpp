//===- SimtRope.cpp - rotation of pairs -----------------------------------===//
//
// Part of dsv2, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "SimtRope.h"

#include "SimtNames.h"
#include "dsv2/CodeGen/GPU/KernelCosts.h"

#include "llvm/ADT/bit.h"
#include "llvm/Support/FormatVariadic.h"
#include "llvm/Support/MathExtras.h"
#include "llvm/Support/xxhash.h"

using namespace mlir;
using namespace mlir::dsv2;
using namespace mlir::dsv2::gpu;

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

std::string dsv2::gpu::getRopeName(const RopeTableConfig &config) {
  ArrayRef<float> frequencies = config.inverseFrequencies;
  uint64_t hash = llvm::xxh3_64bits(
      ArrayRef(reinterpret_cast<const uint8_t *>(frequencies.data()),
               frequencies.size() * sizeof(float)));
  return llvm::formatv("{0}_{1:x-}_{2:x-}", 2 * frequencies.size(), hash,
                       llvm::bit_cast<uint32_t>(config.multiplier));
}

void dsv2::gpu::emitRopeFactors(SimtBuilder &b, const RopeTableConfig &config,
                                Value position, int64_t threads,
                                llvm::function_ref<void(Value, Value)> store) {
  Type f32 = b.getF32Type();
  int64_t pairs = config.inverseFrequencies.size();
  Value table = getConstantTable(b, "rope_frequencies_" + getRopeName(config),
                                 config.inverseFrequencies);
  position = arith::SIToFPOp::create(b, f32, position);
  b.forEach(b.threadId(), b.i32(pairs), b.i32(threads), [&](Value pair) {
    Value angle = b.fmul(position, b.load(f32, b.at(table, f32, pair)));
    auto [sin, cos] =
        emitSinCos(b, arith::ExtFOp::create(b, b.getF64Type(), angle));
    auto finish = [&](Value value, Value column) {
      value = arith::TruncFOp::create(b, f32, value);
      store(b.fmul(value, b.f32(config.multiplier)), column);
    };
    finish(cos, pair);
    finish(sin, b.add(pair, pairs));
  });
}

void dsv2::gpu::rotatePairs(SimtBuilder &b, int64_t count, Type input,
                            Value from, Value cos, Value sin, Type output,
                            Value to) {
  SmallVector<Value> x, results;
  if (count > 1)
    x = b.loadFloats(input, 2 * count, from);
  else
    for (int64_t odd : {0, 1})
      x.push_back(b.loadFloat(input, b.at(from, input, b.i32(odd))));
  SmallVector<Value> cosines = b.loadFloats(b.getF32Type(), count, cos);
  SmallVector<Value> sines = b.loadFloats(b.getF32Type(), count, sin);
  for (int64_t i = 0; i < count; ++i) {
    Value even = x[2 * i], odd = x[2 * i + 1];
    results.push_back(b.fsub(b.fmul(even, cosines[i]), b.fmul(odd, sines[i])));
    results.push_back(b.fadd(b.fmul(odd, cosines[i]), b.fmul(even, sines[i])));
  }
  if (count > 1)
    return b.storeFloats(results, output, to);
  for (int64_t odd : {0, 1})
    b.storeFloat(results[odd], output, b.at(to, output, b.i32(odd)));
}

LLVM::LLVMFuncOp
dsv2::gpu::getOrCreateRopeTableKernel(ModuleOp module,
                                      const RopeTableConfig &config) {
  MLIRContext *c = module.getContext();
  auto kernel = getOrCreateKernel(
      module, "rope_table_" + getRopeName(config), kWarpSize,
      {pointerOf(c, 0), pointerOf(c, 1), strideOf(c, 1, 0)},
      [&](SimtBuilder &b, ValueRange args) {
        Type f32 = b.getF32Type();
        Value token = b.blockId();
        Value position =
            b.load(b.getI32Type(), b.at(args[0], b.getI32Type(), token));
        emitRopeFactors(
            b, config, position, kWarpSize, [&](Value value, Value column) {
              b.store(value, b.at(args[1], f32, token, args[2], column));
            });
      });
  setCostFacts(kernel, config);
  return kernel;
}

LLVM::LLVMFuncOp
dsv2::gpu::getOrCreateApplyRopeKernel(ModuleOp module,
                                      const ApplyRopeConfig &config) {
  int64_t pairs = config.width / 2;
  // Of few tokens, each has a thread for what it moves at a time.
  int64_t threads = std::clamp<int64_t>(
      llvm::alignTo(config.heads * pairs / kRopePairs, kWarpSize), kWarpSize,
      256);
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
  auto kernel = getOrCreateKernel(
      module, name, threads,
      {pointerOf(c, x), strideOf(c, x, 0), strideOf(c, x, 1),
       pointerOf(c, table), strideOf(c, table, 0), pointerOf(c, out),
       strideOf(c, out, 0), strideOf(c, out, 1)},
      [&](SimtBuilder &b, ValueRange args) {
        Type f32 = b.getF32Type();
        Value token = b.blockId();
        auto rotate = [&](int64_t count) {
          int64_t units = pairs / count;
          b.forEach(b.threadId(), b.i32(config.heads * units), b.i32(threads),
                    [&](Value item) {
                      Value head = b.div(item, units);
                      Value pair = b.mul(b.rem(item, units), count);
                      auto at = [&](int64_t operand, Type element) {
                        return b.at(args[operand], element, token,
                                    args[operand + 1],
                                    b.add(b.mul(head, args[operand + 2]),
                                          b.mul(pair, 2)));
                      };
                      auto factor = [&](Value column) {
                        return b.at(args[3], f32, token, args[4], column);
                      };
                      rotatePairs(b, count, config.input, at(0, config.input),
                                  factor(pair), factor(b.add(pair, pairs)),
                                  config.output, at(5, config.output));
                    });
        };
        if (pairs % kRopePairs != 0)
          return rotate(1);
        b.ifElse(
            b.areMultiplesOf16({args[0], args[3], args[5]},
                               {{args[1], config.input},
                                {args[2], config.input},
                                {args[4], f32},
                                {args[6], config.output},
                                {args[7], config.output}}),
            [&] { rotate(kRopePairs); }, [&] { rotate(1); });
      });
  setCostFacts(kernel, config);
  return kernel;
}
