//===- BF16Dot.cpp - Products of pairs of bfloat16 ------------------------===//
//
// Part of dsv2, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "BF16Dot.h"

#include "dsv2/CodeGen/CPU/VectorMath.h"
#include "mlir/Dialect/LLVMIR/LLVMDialect.h"
#include "mlir/Dialect/Vector/IR/VectorOps.h"

using namespace mlir;
using namespace mlir::dsv2;
using namespace mlir::dsv2::cpu;

bool dsv2::cpu::hasBF16Dot(const CPUTargetInfo &target) {
  return target.hasAVX512BF16 && target.vectorBits == 512;
}

VectorType dsv2::cpu::getPairsType(KernelBuilder &b) {
  return VectorType::get({2 * b.lanes()}, b.getBF16Type());
}

static Value callIntrinsic(KernelBuilder &b, StringRef name, Type result,
                           ValueRange operands) {
  return LLVM::CallIntrinsicOp::create(b, result, b.getStringAttr(name),
                                       operands)
      .getResult(0);
}

Value dsv2::cpu::emitBF16Dot(KernelBuilder &b, Value sum, Value x, Value y) {
  return callIntrinsic(b, "llvm.x86.avx512bf16.dpbf16ps.512", sum.getType(),
                       {sum, x, y});
}

Value dsv2::cpu::emitNarrow(KernelBuilder &b, Value low, Value high) {
  return callIntrinsic(b, "llvm.x86.avx512bf16.cvtne2ps2bf16.512",
                       getPairsType(b), {high, low});
}

void dsv2::cpu::emitRoundRow(KernelBuilder &b, const Slice &row, int64_t width,
                             const Slice &to, int64_t offset) {
  int64_t lanes = b.lanes(), whole = width / (2 * lanes) * 2 * lanes;
  b.forEach(b.index(0), b.index(whole), b.index(2 * lanes), [&](Value column) {
    Value low = b.load(row.memref, row.at({column}));
    Value high = b.load(row.memref, row.at({b.add(column, lanes)}));
    vector::StoreOp::create(b, emitNarrow(b, low, high), to.memref,
                            to.at({b.add(column, offset)}));
  });
  for (int64_t column = whole; column < width; column += lanes) {
    int64_t count = std::min(lanes, width - column);
    Value at = b.index(column);
    emitStore(b, emitLoad(b, row.memref, row.at({at}), count, lanes), to.memref,
              to.at({b.add(at, offset)}), count);
  }
}

Value dsv2::cpu::emitZip(KernelBuilder &b, Value low, Value high) {
  Value narrow = emitNarrow(b, low, high);
  SmallVector<int64_t> order;
  for (int64_t i = 0; i < b.lanes(); ++i)
    order.append({i, b.lanes() + i});
  return vector::ShuffleOp::create(b, narrow, narrow, order);
}

Value dsv2::cpu::emitLoadPairs(KernelBuilder &b, Value memref,
                               ValueRange indices, int64_t count) {
  auto type = VectorType::get({count}, b.getBF16Type());
  Value value = vector::LoadOp::create(b, type, memref, indices);
  if (count == 2 * b.lanes())
    return value;
  Value zero = arith::ConstantOp::create(b, b.getZeroAttr(type));
  SmallVector<int64_t> order;
  for (int64_t i = 0; i < 2 * b.lanes(); ++i)
    order.push_back(std::min(i, count));
  return vector::ShuffleOp::create(b, value, zero, order);
}

Value dsv2::cpu::emitUnpack(KernelBuilder &b, Value even, Value odd,
                            int64_t which) {
  int64_t count = 2 * b.lanes();
  SmallVector<int64_t> order;
  for (int64_t segment = 0; segment < count; segment += 8)
    for (int64_t i = 0; i < 4; ++i) {
      int64_t column = segment + 4 * which + i;
      order.append({column, count + column});
    }
  return vector::ShuffleOp::create(b, even, odd, order);
}

Value dsv2::cpu::emitPack(KernelBuilder &b, Value low, Value high,
                          int64_t which) {
  SmallVector<int64_t> order;
  for (int64_t i = 0; i < b.lanes(); ++i) {
    int64_t column = which * b.lanes() + i;
    int64_t lane = column / 8 * 4 + column % 4;
    order.push_back(column % 8 < 4 ? lane : b.lanes() + lane);
  }
  return vector::ShuffleOp::create(b, low, high, order);
}

Value dsv2::cpu::broadcastPair(KernelBuilder &b, Value memref,
                               ValueRange indices) {
  Value pair = vector::LoadOp::create(b, VectorType::get({2}, b.getBF16Type()),
                                      memref, indices);
  pair =
      vector::BitCastOp::create(b, VectorType::get({1}, b.getI32Type()), pair);
  Value bits = vector::ExtractOp::create(b, pair, ArrayRef<int64_t>{0});
  return vector::BitCastOp::create(b, getPairsType(b), b.broadcast(bits));
}
