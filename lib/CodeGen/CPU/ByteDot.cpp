//===- ByteDot.cpp - Dot products of bytes --------------------------------===//
//
// Part of dsv2, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "ByteDot.h"

#include "PanelReader.h"
#include "mlir/Dialect/LLVMIR/LLVMDialect.h"
#include "mlir/Dialect/Vector/IR/VectorOps.h"

using namespace mlir;
using namespace mlir::dsv2;
using namespace mlir::dsv2::cpu;

static Value callIntrinsic(KernelBuilder &b, StringRef name, Type result,
                           ValueRange operands) {
  return LLVM::CallIntrinsicOp::create(b, result, b.getStringAttr(name),
                                       operands)
      .getResult(0);
}

ByteDot::ByteDot(KernelBuilder &b, PanelFormat format)
    : b(b), format(format), kind(getKind(b.getTarget())) {}

ByteDot::Kind ByteDot::getKind(const CPUTargetInfo &target) {
  if (target.hasVNNI && target.vectorBits >= 256)
    return Kind::DotOfBytes;
  if (target.hasFeature("ssse3") || target.vectorBits >= 256)
    return Kind::PairsOfBytes;
  return Kind::PairsOfWords;
}

bool ByteDot::multipliesPairs(const CPUTargetInfo &target) {
  return getKind(target) == Kind::PairsOfBytes;
}

ByteDot::Weight ByteDot::prepare(Value bytes) const {
  if (kind == Kind::PairsOfWords)
    return toWords(bytes, /*isSigned=*/false);
  if (!movesSign())
    return {bytes, {}};
  Type type = bytes.getType();
  Value value = arith::XOrIOp::create(b, bytes, constant(type, -128));
  Value negated = arith::SubIOp::create(b, constant(type, 0), value);
  return {arith::MaxSIOp::create(b, value, negated), value};
}

Value ByteDot::start(llvm::function_ref<Value()> correction) const {
  if (movesSign())
    return b.splatI32(0);
  Value value = correction();
  if (sumsWords())
    return vector::BitCastOp::create(b, wordsType(), value);
  // It is there for an offset of 128, not of 8.
  if (format == PanelFormat::Q4)
    return arith::ShRSIOp::create(b, value, b.splatI32(4));
  return value;
}

Value ByteDot::accumulate(Value sum, const Weight &w, Value x) const {
  switch (kind) {
  case Kind::DotOfBytes:
    return callIntrinsic(b, ("llvm.x86.avx512.vpdpbusd." + Twine(bits())).str(),
                         sum.getType(), {sum, w.first, x});
  case Kind::PairsOfBytes:
    if (sumsWords())
      return arith::AddIOp::create(b, sum, multiplyBytes(w.first, x));
    return arith::AddIOp::create(
        b, sum, addPairs(multiplyBytes(w.first, moveSign(w.second, x))));
  case Kind::PairsOfWords: {
    auto [even, odd] = toWords(x, /*isSigned=*/true);
    Value both = arith::AddIOp::create(b, multiplyWords(w.first, even),
                                       multiplyWords(w.second, odd));
    return arith::AddIOp::create(b, sum, both);
  }
  }
  llvm_unreachable("unknown kind");
}

Value ByteDot::finish(Value sum) const {
  return sumsWords() ? addPairs(sum) : sum;
}

Value ByteDot::emitCorrection(KernelBuilder &b, Value sums) {
  auto add = [&](Value vector) {
    return vector::ReductionOp::create(b, vector::CombiningKind::ADD, vector);
  };
  if (!multipliesPairs(b.getTarget()))
    return arith::MulIOp::create(b, add(sums), b.i32(-128));
  // One word for each pair of a group. They are only for q4, whose offset is 8,
  // and hold it: 16 elements times 127 times 8.
  constexpr int64_t kGroup = PanelReader::kGroup;
  SmallVector<bool> isFirst;
  for (int64_t lane = 0; lane < b.lanes(); ++lane)
    isFirst.push_back(lane % kGroup < kGroup / 2);
  Value mask = arith::ConstantOp::create(
      b, DenseElementsAttr::get(VectorType::get({b.lanes()}, b.getI1Type()),
                                isFirst));
  auto word = [&](Value pairs) -> Value {
    return arith::MulIOp::create(b, pairs, b.i32(-8));
  };
  Value first = add(b.select(mask, sums, b.splatI32(0)));
  Value second = arith::SubIOp::create(b, add(sums), first);
  Value low = arith::AndIOp::create(b, word(first), b.i32(0xFFFF));
  return arith::OrIOp::create(
      b, low, arith::ShLIOp::create(b, word(second), b.i32(16)));
}

VectorType ByteDot::wordsType() const {
  return VectorType::get({2 * b.lanes()}, b.getI16Type());
}

Value ByteDot::constant(Type type, int64_t value) const {
  auto vector = cast<VectorType>(type);
  return arith::ConstantOp::create(
      b, DenseElementsAttr::get(
             vector, b.getIntegerAttr(vector.getElementType(), value)));
}

Value ByteDot::call(StringRef sse, StringRef avx2, StringRef avx512, Type type,
                    ValueRange operands) const {
  return callIntrinsic(b,
                       bits() == 512   ? avx512
                       : bits() == 256 ? avx2
                                       : sse,
                       type, operands);
}

Value ByteDot::multiplyBytes(Value w, Value x) const {
  return call("llvm.x86.ssse3.pmadd.ub.sw.128", "llvm.x86.avx2.pmadd.ub.sw",
              "llvm.x86.avx512.pmaddubs.w.512", wordsType(), {w, x});
}

Value ByteDot::multiplyWords(Value w, Value x) const {
  return call("llvm.x86.sse2.pmadd.wd", "llvm.x86.avx2.pmadd.wd",
              "llvm.x86.avx512.pmaddw.d.512", b.vecType(b.getI32Type()),
              {w, x});
}

Value ByteDot::addPairs(Value words) const {
  return multiplyWords(words, constant(wordsType(), 1));
}

Value ByteDot::moveSign(Value w, Value x) const {
  if (bits() != 512)
    return call("llvm.x86.ssse3.psign.b.128", "llvm.x86.avx2.psign.b", "",
                x.getType(), {x, w});
  Value zero = constant(x.getType(), 0);
  Value negative = b.lt(w, zero);
  return b.select(negative, arith::SubIOp::create(b, zero, x), x);
}

ByteDot::Weight ByteDot::toWords(Value bytes, bool isSigned) const {
  Value pairs = vector::BitCastOp::create(b, wordsType(), bytes);
  Value eight = constant(wordsType(), 8);
  auto down = [&](Value value) -> Value {
    if (isSigned)
      return arith::ShRSIOp::create(b, value, eight);
    return arith::ShRUIOp::create(b, value, eight);
  };
  return {down(arith::ShLIOp::create(b, pairs, eight)), down(pairs)};
}
