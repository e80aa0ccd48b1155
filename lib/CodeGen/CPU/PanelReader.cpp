//===- PanelReader.cpp - Weights of a panel in blocks ---------------------===//
//
// Part of dsv2, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "PanelReader.h"

#include "mlir/Dialect/MemRef/IR/MemRef.h"
#include "mlir/Dialect/Vector/IR/VectorOps.h"

using namespace mlir;
using namespace mlir::dsv2;
using namespace mlir::dsv2::cpu;

Value dsv2::cpu::loadBytes(KernelBuilder &b, const Slice &slice, Value at,
                           VectorType type) {
  int64_t bytes = type.getNumElements() * type.getElementTypeBitWidth() / 8;
  Value loaded = vector::LoadOp::create(
      b, VectorType::get({bytes}, b.getI8Type()), slice.memref, slice.at({at}));
  if (type.getElementType().isInteger(8))
    return loaded;
  return vector::BitCastOp::create(b, type, loaded);
}

PanelReader::PanelReader(KernelBuilder &b, PanelFormat format)
    : b(b), format(format), blocks(*getBlockFormat(format)),
      width(b.getTarget().panelWidth()), lanes(b.lanes()) {}

SmallVector<Value> PanelReader::getGroups(const Slice &panel, Value k,
                                          Value index, Value half) const {
  auto bytes = VectorType::get({kGroup * lanes}, b.getI8Type());
  Value byte = b.add(b.mul(half, lanes * kGroup), b.mul(index, width * kGroup));
  Value loaded = load(panel, k, byte, bytes);
  if (format == PanelFormat::Q8)
    return {loaded};
  // There is no shift of bytes; what words shift across is masked.
  Value mask = arith::ConstantOp::create(
      b, DenseElementsAttr::get(bytes, b.getI8IntegerAttr(15)));
  auto words = VectorType::get({2 * lanes}, b.getI16Type());
  Value four = arith::ConstantOp::create(
      b, DenseElementsAttr::get(words, b.getI16IntegerAttr(4)));
  Value high = arith::ShRUIOp::create(
      b, vector::BitCastOp::create(b, words, loaded), four);
  high = vector::BitCastOp::create(b, bytes, high);
  return {arith::AndIOp::create(b, loaded, mask),
          arith::AndIOp::create(b, high, mask)};
}

Value PanelReader::getScales(const Slice &panel, Value k, Value half) const {
  Value first = b.add(b.mul(half, lanes * blocks.scaleBytes),
                      blocks.elements * blocks.elementBits / 8 * width);
  if (format == PanelFormat::Q8)
    return b.widen(
        load(panel, k, first, VectorType::get({lanes}, b.getBF16Type())));
  Value codes = load(panel, k, first, VectorType::get({lanes}, b.getI8Type()));
  // Sign-extended and shifted, the sign stands at its place and at that of
  // the exponent's highest bit, which is always set.
  VectorType words = b.vecType(b.getI16Type());
  auto constant = [&](int64_t value) {
    return arith::ConstantOp::create(
        b, DenseElementsAttr::get(words, b.getI16IntegerAttr(value)));
  };
  Value bits = arith::ShLIOp::create(b, arith::ExtSIOp::create(b, words, codes),
                                     constant(7));
  bits = arith::OrIOp::create(b, bits, constant(0x4000));
  Value halves = vector::BitCastOp::create(b, b.vecType(b.getF16Type()), bits);
  return b.fmul(b.widen(halves), b.splat(0x1p-14f));
}

Value PanelReader::load(const Slice &panel, Value k, Value byte,
                        VectorType type) const {
  Slice block = panel;
  block.prefix.push_back(k);
  return loadBytes(b, block, byte, type);
}

void dsv2::cpu::emitReadAhead(KernelBuilder &b, const Slice &panel, Value k,
                              const ReadAhead &ahead, bool keepClose) {
  Value from = b.add(ahead.first, b.mul(k, ahead.stride));
  // All of it lies within the panel and what follows it in memory, counted
  // from the panel's block 0.
  Slice start = panel;
  start.prefix.push_back(b.index(0));
  b.forEach(b.index(0), ahead.lines, [&](Value line) {
    memref::PrefetchOp::create(
        b, start.memref, start.at({b.add(from, b.mul(line, kCacheLine))}),
        /*isWrite=*/false, /*localityHint=*/keepClose ? 3 : 2,
        /*isDataCache=*/true);
  });
  if (ahead.fewLines)
    keepRolled(&*std::prev(b.getInsertionPoint()));
}
