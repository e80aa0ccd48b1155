//===- Halves.cpp - bfloat16 rows as two f32 vectors ----------------------===//
//
// Part of dsv2, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "Halves.h"

#include "dsv2/CodeGen/CPU/VectorMath.h"
#include "mlir/Dialect/Vector/IR/VectorOps.h"

using namespace mlir;
using namespace mlir::dsv2;
using namespace mlir::dsv2::cpu;

SmallVector<Value, 2> dsv2::cpu::emitHalves(KernelBuilder &b, Value memref,
                                            ValueRange indices, int64_t count) {
  int64_t lanes = b.lanes();
  auto vectorOf = [](int64_t size, Type element) {
    return VectorType::get({size}, element);
  };
  Value elements = vector::LoadOp::create(b, vectorOf(count, b.getBF16Type()),
                                          memref, indices);
  if (count < 2 * lanes) {
    auto type = vectorOf(count, b.getI16Type());
    elements = vector::BitCastOp::create(b, type, elements);
    Value zero = arith::ConstantOp::create(b, b.getZeroAttr(type));
    SmallVector<int64_t> order;
    for (int64_t i = 0; i < 2 * lanes; ++i)
      order.push_back(std::min(i, count));
    elements = vector::ShuffleOp::create(b, elements, zero, order);
  }
  Value words =
      vector::BitCastOp::create(b, b.vecType(b.getI32Type()), elements);
  auto constant = [&](int32_t bits) {
    return b.broadcast(arith::ConstantIntOp::create(b, b.getI32Type(), bits));
  };
  auto asFloats = [&](Value bits) {
    return vector::BitCastOp::create(b, b.vecType(b.getF32Type()), bits);
  };
  Value even = arith::ShLIOp::create(b, words, constant(16));
  Value odd = arith::AndIOp::create(b, words, constant(int32_t(0xFFFF0000)));
  return {asFloats(even), asFloats(odd)};
}

Value dsv2::cpu::emitEverySecond(KernelBuilder &b, Value low, Value high,
                                 int64_t which) {
  SmallVector<int64_t> order;
  for (int64_t i = 0; i < b.lanes(); ++i)
    order.push_back(2 * i + which);
  return vector::ShuffleOp::create(b, low, high, order);
}

Value dsv2::cpu::emitInterleave(KernelBuilder &b, Value even, Value odd,
                                int64_t which) {
  int64_t lanes = b.lanes();
  SmallVector<int64_t> order;
  for (int64_t i = which * lanes / 2; i < (which + 1) * lanes / 2; ++i)
    order.append({i, lanes + i});
  return vector::ShuffleOp::create(b, even, odd, order);
}

void dsv2::cpu::emitCopyRow(KernelBuilder &b, const Slice &row, int64_t width,
                            const Slice &to, int64_t offset) {
  int64_t lanes = b.lanes(), whole = width / lanes * lanes;
  auto copy = [&](Value column, int64_t count) {
    emitStore(b, emitLoad(b, row.memref, row.at({column}), count, lanes),
              to.memref, to.at({b.add(column, offset)}), count);
  };
  b.forEach(b.index(0), b.index(whole), b.index(lanes),
            [&](Value column) { copy(column, lanes); });
  if (width > whole)
    copy(b.index(whole), width - whole);
}
