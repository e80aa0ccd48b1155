//===- QuantKernels.cpp - Quantisation of rows and of weights -------------===//
//
// Part of dsv2, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "dsv2/CodeGen/CPU/QuantKernels.h"

#include "QuantTile.h"
#include "dsv2/CodeGen/CPU/VectorMath.h"
#include "dsv2/Support/BlockFormat.h"
#include "mlir/Dialect/Math/IR/Math.h"
#include "mlir/Dialect/Vector/IR/VectorOps.h"
#include "llvm/ADT/STLExtras.h"

using namespace mlir;
using namespace mlir::dsv2;
using namespace mlir::dsv2::cpu;

MemRefType dsv2::cpu::getQuantizedActivationType(MLIRContext *context) {
  return getStridedType(IntegerType::get(context, 8), 2);
}

//===----------------------------------------------------------------------===//
// One block
//===----------------------------------------------------------------------===//

namespace {
/// 32 adjacent elements of a row, zero where the row has ended.
struct BlockOfRow {
  SmallVector<Value> vectors;
  /// Largest magnitude; NaN if there is one.
  Value largest;
};
} // namespace

static BlockOfRow loadBlock(KernelBuilder &b, const Slice &row, Value first,
                            Value columns) {
  int64_t lanes = b.lanes(), count = kQ8Format.elements / lanes;
  auto load = [&](bool whole) {
    SmallVector<Value> vectors;
    for (int64_t i = 0; i < count; ++i) {
      Value at = b.add(first, i * lanes);
      Value left = whole ? Value() : b.max(b.sub(columns, at), 0);
      // What is not read must not be addressed beyond the row either.
      vectors.push_back(b.load(row.memref, row.at({at}), left));
    }
    return vectors;
  };
  BlockOfRow block;
  block.vectors = b.ifYield(
      b.le(b.add(first, kQ8Format.elements), columns),
      [&] { return load(true); }, [&] { return load(false); });
  for (Value v : block.vectors) {
    Value magnitude = math::AbsFOp::create(b, v);
    block.largest =
        block.largest ? b.fmax(block.largest, magnitude) : magnitude;
  }
  block.largest = b.reduceMax(block.largest);
  return block;
}

/// round(v * inverse) to the nearest integer, ties to even, as i32. Values that
/// are not finite come out as anything in range: the scale tells of them.
static Value emitRound(KernelBuilder &b, Value v, Value inverse) {
  Value limit = b.splat(127.0f);
  Value scaled = b.fmul(v, inverse);
  // emitMax and its mirror return a number even for a NaN.
  scaled = emitMax(b, scaled, b.fneg(limit));
  scaled =
      b.select(b.fcmp(arith::CmpFPredicate::OLT, scaled, limit), scaled, limit);
  Value rounded = math::RoundEvenOp::create(b, scaled);
  return arith::FPToSIOp::create(b, b.vecType(b.getI32Type()), rounded);
}

/// 127 / largest, or 0 for a block of zeros.
static Value emitInverse(KernelBuilder &b, Value scale) {
  Value zero = b.f32(0.0f);
  return b.select(b.fcmp(arith::CmpFPredicate::OEQ, scale, zero), zero,
                  b.fdiv(b.f32(1.0f), scale));
}

static Value toBytes(KernelBuilder &b, Value ints) {
  return arith::TruncIOp::create(b, b.vecType(b.getI8Type()), ints);
}

//===----------------------------------------------------------------------===//
// Rows
//===----------------------------------------------------------------------===//

func::FuncOp
dsv2::cpu::getOrCreateQuantizeRowsKernel(ModuleOp module,
                                         const CPUTargetInfo &target) {
  using Activation = QuantizedActivation;
  MLIRContext *context = module.getContext();
  return getOrCreateKernel(
      module, "dsv2_quantize_rows", target,
      {getActivationType(context), getQuantizedActivationType(context)},
      [&](KernelBuilder &b, ValueRange args, Value part, Value parts) {
        Value x = args[0], out = args[1];
        Value columns = b.dim(x, 1);
        Value blocks = b.ceilDiv(columns, kQ8Format.elements);
        shareGrid(
            b, b.dim(x, 0), blocks, part, parts,
            [&](Value t, Value lo, Value hi) {
              Slice row{x, {t}}, to{out, {t}};
              b.forEach(lo, hi, [&](Value k) {
                BlockOfRow block =
                    loadBlock(b, row, b.mul(k, kQ8Format.elements), columns);
                Value scale = b.fmul(block.largest, b.f32(1.0f / 127));
                Value inverse = b.broadcast(emitInverse(b, scale));
                Value at = b.mul(k, Activation::kBlockBytes);
                Value sum;
                for (auto [i, v] : llvm::enumerate(block.vectors)) {
                  Value ints = emitRound(b, v, inverse);
                  sum = sum ? Value(arith::AddIOp::create(b, sum, ints)) : ints;
                  vector::StoreOp::create(
                      b, toBytes(b, ints), out,
                      to.at({b.add(at, static_cast<int64_t>(i) * b.lanes())}));
                }
                Value total = vector::ReductionOp::create(
                    b, vector::CombiningKind::ADD, sum);
                Value correction = arith::MulIOp::create(b, total, b.i32(-128));
                auto store = [&](Value value, int64_t byte) {
                  Value one = vector::BroadcastOp::create(
                      b, VectorType::get({1}, value.getType()), value);
                  Value bytes = vector::BitCastOp::create(
                      b, VectorType::get({4}, b.getI8Type()), one);
                  vector::StoreOp::create(b, bytes, out,
                                          to.at({b.add(at, byte)}));
                };
                store(scale, Activation::kScaleByte);
                store(correction, Activation::kCorrectionByte);
              });
            });
      });
}

//===----------------------------------------------------------------------===//
// Weights
//===----------------------------------------------------------------------===//

/// `value` rounded to bf16, and its bits. By way of integers: a scalar of type
/// bf16 makes LLVM call a library.
static std::pair<Value, Value> roundToBF16(KernelBuilder &b, Value value) {
  Value bits = vector::BitCastOp::create(b, b.vecType(b.getI16Type()),
                                         b.narrowToBF16(b.broadcast(value)));
  bits = vector::ExtractOp::create(b, bits, ArrayRef<int64_t>{0});
  Value wide = arith::ExtUIOp::create(b, b.getI32Type(), bits);
  wide = arith::ShLIOp::create(b, wide, b.i32(16));
  Value rounded = arith::BitcastOp::create(b, b.getF32Type(), wide);
  return {rounded, bits};
}

void dsv2::cpu::packQ8Rows(KernelBuilder &b, const Slice &src, const Slice &dst,
                           Value first, Value width, Value depth) {
  constexpr int64_t kGroup = 4;
  int64_t lanes = b.lanes(), panelWidth = b.getTarget().panelWidth();
  auto pair = VectorType::get({kGroup}, b.getI8Type());
  b.forEach(b.index(0), b.ceilDiv(depth, kQ8Format.elements), [&](Value k) {
    b.forEach(b.index(0), b.index(panelWidth), [&](Value n) {
      // Rows past the end are padding: the row that is read in their place
      // exists, and its values are dropped.
      Value valid = b.lt(b.add(first, n), width);
      Slice row{src.memref, src.at({b.select(valid, b.add(first, n), first)})};
      BlockOfRow block = loadBlock(b, row, b.mul(k, kQ8Format.elements), depth);
      Value largest = b.select(valid, block.largest, b.f32(0.0f));
      // The scale is rounded first, and the elements to multiples of what it
      // was rounded to.
      auto [scale, stored] = roundToBF16(b, b.fmul(largest, b.f32(1.0f / 127)));
      Value inverse = b.broadcast(emitInverse(b, scale));
      Value offset = b.splatI32(128);
      auto at = [&](Value byte) {
        SmallVector<Value> indices = dst.at({k});
        indices.push_back(byte);
        return indices;
      };
      for (auto [i, v] : llvm::enumerate(block.vectors)) {
        Value ints = emitRound(b, b.select(valid, v, b.splat(0.0f)), inverse);
        Value bytes = toBytes(b, arith::AddIOp::create(b, ints, offset));
        for (int64_t j = 0; j < lanes; j += kGroup) {
          Value four = vector::ExtractStridedSliceOp::create(
              b, pair, bytes, b.getI64ArrayAttr({j}),
              b.getI64ArrayAttr({kGroup}), b.getI64ArrayAttr({1}));
          int64_t group = (static_cast<int64_t>(i) * lanes + j) / kGroup;
          Value byte = b.add(b.mul(n, kGroup), group * kGroup * panelWidth);
          vector::StoreOp::create(b, four, dst.memref, at(byte));
        }
      }
      Value scaleBytes = vector::BitCastOp::create(
          b, VectorType::get({2}, b.getI8Type()),
          vector::BroadcastOp::create(b, VectorType::get({1}, b.getI16Type()),
                                      stored));
      vector::StoreOp::create(b, scaleBytes, dst.memref,
                              at(b.add(b.mul(n, kQ8Format.scaleBytes),
                                       kQ8Format.elements * panelWidth)));
    });
  });
}
