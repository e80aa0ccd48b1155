//===- QuantTile.cpp - Register tiles of integer products -----------------===//
//
// Part of dsv2, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "QuantTile.h"

#include "dsv2/Support/BlockFormat.h"
#include "mlir/Dialect/LLVMIR/LLVMDialect.h"
#include "mlir/Dialect/Math/IR/Math.h"
#include "mlir/Dialect/Vector/IR/VectorOps.h"
#include "llvm/ADT/STLExtras.h"

using namespace mlir;
using namespace mlir::dsv2;
using namespace mlir::dsv2::cpu;

//===----------------------------------------------------------------------===//
// Bytes in memory
//===----------------------------------------------------------------------===//

/// `type`, read at byte `at` of `slice`.
static Value loadBytes(KernelBuilder &b, const Slice &slice, Value at,
                       VectorType type) {
  int64_t bytes = type.getNumElements() * type.getElementTypeBitWidth() / 8;
  Value loaded = vector::LoadOp::create(
      b, VectorType::get({bytes}, b.getI8Type()), slice.memref, slice.at({at}));
  if (type.getElementType().isInteger(8))
    return loaded;
  return vector::BitCastOp::create(b, type, loaded);
}

/// A scalar of 4 bytes at byte `at`, in every lane.
static Value broadcastBytes(KernelBuilder &b, const Slice &slice, Value at,
                            Type type) {
  Value one = loadBytes(b, slice, at, VectorType::get({1}, type));
  return b.broadcast(vector::ExtractOp::create(b, one, ArrayRef<int64_t>{0}));
}

//===----------------------------------------------------------------------===//
// Dot products of bytes
//===----------------------------------------------------------------------===//

static Value callIntrinsic(KernelBuilder &b, StringRef name, Type result,
                           ValueRange operands) {
  return LLVM::CallIntrinsicOp::create(b, result, b.getStringAttr(name),
                                       operands)
      .getResult(0);
}

/// sum[i] + the four products of bytes 4 i to 4 i + 3 of `w`, unsigned, and
/// `x`, signed. `x` holds no -128.
static Value emitByteDot(KernelBuilder &b, Value sum, Value w, Value x) {
  const CPUTargetInfo &target = b.getTarget();
  int64_t bits = target.vectorBits;
  Type sums = sum.getType();
  if (target.hasVNNI && bits >= 256)
    return callIntrinsic(b, ("llvm.x86.avx512.vpdpbusd." + Twine(bits)).str(),
                         sums, {sum, w, x});

  // Without the instruction pairs are summed in 16 bits, where 2 * 255 * 127
  // does not fit. Sum the even and the odd bytes apart, each widened: what is
  // left of a pair is one product.
  int64_t lanes = b.lanes();
  auto words = VectorType::get({2 * lanes}, b.getI16Type());
  auto split = [&](Value bytes, bool isSigned) {
    Value pairs = vector::BitCastOp::create(b, words, bytes);
    Value eight = arith::ConstantOp::create(
        b, DenseElementsAttr::get(words, b.getI16IntegerAttr(8)));
    Value high = pairs, low = arith::ShLIOp::create(b, pairs, eight);
    auto down = [&](Value value) -> Value {
      if (isSigned)
        return arith::ShRSIOp::create(b, value, eight);
      return arith::ShRUIOp::create(b, value, eight);
    };
    return std::make_pair(down(low), down(high));
  };
  auto [wEven, wOdd] = split(w, /*isSigned=*/false);
  auto [xEven, xOdd] = split(x, /*isSigned=*/true);
  StringRef name = bits == 512   ? "llvm.x86.avx512.pmaddw.d.512"
                   : bits == 256 ? "llvm.x86.avx2.pmadd.wd"
                                 : "llvm.x86.sse2.pmadd.wd";
  Value even = callIntrinsic(b, name, sums, {wEven, xEven});
  Value odd = callIntrinsic(b, name, sums, {wOdd, xOdd});
  return arith::AddIOp::create(b, sum, arith::AddIOp::create(b, even, odd));
}

//===----------------------------------------------------------------------===//
// Tiles
//===----------------------------------------------------------------------===//

TileSums dsv2::cpu::emitQuantTile(KernelBuilder &b, ArrayRef<Slice> rows,
                                  ArrayRef<Slice> panels, Value blocks) {
  constexpr BlockFormat format = kQ8Format;
  using Activation = QuantizedActivation;
  constexpr int64_t kGroup = 4; // bytes of a lane that one instruction takes
  int64_t lanes = b.lanes(), width = b.getTarget().panelWidth();
  int64_t numRows = rows.size(), numPanels = panels.size();
  auto bytes = VectorType::get({kGroup * lanes}, b.getI8Type());
  int64_t scales = format.elements * width;

  auto block = [&](Value k, ValueRange state) {
    Value xAt = b.mul(k, Activation::kBlockBytes);
    auto vectorOf = [&](const Slice &panel, int64_t byte, VectorType type) {
      Slice inBlock = panel;
      inBlock.prefix.push_back(k);
      return loadBytes(b, inBlock, b.index(byte), type);
    };

    // One correction a row is where all of its integer sums start.
    SmallVector<Value> ints;
    for (const Slice &row : rows) {
      Value correction = broadcastBytes(
          b, row, b.add(xAt, Activation::kCorrectionByte), b.getI32Type());
      ints.append(2 * numPanels, correction);
    }
    for (int64_t group = 0; group < format.elements / kGroup; ++group) {
      SmallVector<Value> xs;
      for (const Slice &row : rows)
        xs.push_back(vector::BitCastOp::create(
            b, bytes,
            broadcastBytes(b, row, b.add(xAt, group * kGroup),
                           b.getI32Type())));
      for (int64_t p = 0; p < numPanels; ++p)
        for (int64_t half : {0, 1}) {
          Value w = vectorOf(panels[p], (group * width + half * lanes) * kGroup,
                             bytes);
          for (int64_t r = 0; r < numRows; ++r) {
            Value &sum = ints[(r * numPanels + p) * 2 + half];
            sum = emitByteDot(b, sum, w, xs[r]);
          }
        }
    }

    SmallVector<Value> next(state.begin(), state.end());
    SmallVector<Value> xScales;
    for (const Slice &row : rows)
      xScales.push_back(broadcastBytes(
          b, row, b.add(xAt, Activation::kScaleByte), b.getF32Type()));
    for (int64_t p = 0; p < numPanels; ++p)
      for (int64_t half : {0, 1}) {
        Value stored =
            vectorOf(panels[p], scales + half * lanes * format.scaleBytes,
                     VectorType::get({lanes}, b.getBF16Type()));
        Value wScale = b.widen(stored);
        for (int64_t r = 0; r < numRows; ++r) {
          int64_t at = (r * numPanels + p) * 2 + half;
          Value sum = arith::SIToFPOp::create(b, b.f32VecType(), ints[at]);
          next[at] = b.fma(sum, b.fmul(wScale, xScales[r]), next[at]);
        }
      }
    return next;
  };

  SmallVector<Value> sums(numRows * numPanels * 2, b.splat(0.0f));
  sums = b.forCarry(b.index(0), blocks, b.index(1), sums, block);
  return TileSums(std::move(sums), numPanels);
}

TilePlan dsv2::cpu::getQuantTilePlan(const CPUTargetInfo &target,
                                     int64_t streams) {
  TilePlan plan;
  plan.streams = streams;
  if (target.vectorRegisters >= 32) {
    plan.rowTiles = {6, 3, 2, 1};
    plan.fewRows = 3;
    plan.accumulators = 12;
  } else {
    plan.rowTiles = {3, 2, 1};
    plan.fewRows = 2;
    plan.accumulators = 4;
  }
  return plan;
}
