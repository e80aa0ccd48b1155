//===- WgmmaParse.cpp - wgmma.mma_async out of its PTX --------------------===//
//
// Part of dsv2, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "AsmText.h"

#include "Wgmma.h"

#include "llvm/ADT/SmallVector.h"

using namespace dsv2::emulator;
using namespace llvm;

static bool parseType(AsmText &text, WgmmaAsm::Type &type) {
  using Type = WgmmaAsm::Type;
  static const std::pair<const char *, Type> names[] = {{".bf16", Type::BF16},
                                                        {".f16", Type::F16},
                                                        {".e4m3", Type::E4M3},
                                                        {".e5m2", Type::E5M2}};
  for (auto [name, value] : names)
    if (text.take(name)) {
      type = value;
      return true;
    }
  return false;
}

/// 1 or -1.
static bool parseSign(AsmText &text, bool &negative) {
  int64_t value;
  if (!text.takeImmediate(value) || (value != 1 && value != -1))
    return false;
  negative = value == -1;
  return true;
}

static bool parseBit(AsmText &text, bool &bit) {
  int64_t value;
  if (!text.takeImmediate(value) || (value != 0 && value != 1))
    return false;
  bit = value;
  return true;
}

bool dsv2::emulator::parseWgmma(AsmText &text, WgmmaAsm &facts,
                                AsmCall &result) {
  if (!text.take("{.reg .pred p;setp.ne.b32 p,"))
    return false;
  unsigned scale = 0;
  int64_t literal = 0;
  facts.scaleOperand = text.takeOperand(scale);
  if (!facts.scaleOperand && !text.takeImmediate(literal))
    return false;
  facts.scaleLiteral = literal != 0;
  int64_t n, k;
  if (!text.take(",0;wgmma.mma_async.sync.aligned.m64n") ||
      !text.takeNumber(n) || !text.take("k") || !text.takeNumber(k))
    return false;
  facts.f32 = text.take(".f32");
  if (!facts.f32 && !text.take(".f16"))
    return false;
  if (!parseType(text, facts.a) || !parseType(text, facts.b))
    return false;
  using Type = WgmmaAsm::Type;
  auto isByte = [](Type type) {
    return type == Type::E4M3 || type == Type::E5M2;
  };
  // PTX ISA, the table of shapes: 16-bit operands have one type.
  bool bytes = isByte(facts.a);
  if (n < 8 || n > 256 || n % 8 != 0 || k != (bytes ? 32 : 16) ||
      isByte(facts.b) != bytes || (!bytes && facts.a != facts.b) ||
      (facts.a == Type::BF16 && !facts.f32))
    return false;
  facts.n = n;
  facts.k = k;
  facts.numAccumulators = facts.f32 ? n / 2 : n / 4;

  // The accumulators are the results, in order.
  if (!text.take(" {"))
    return false;
  for (unsigned i = 0; i < facts.numAccumulators; ++i)
    if ((i > 0 && !text.take(",")) || !text.takeResult(i))
      return false;
  if (!text.take("},"))
    return false;
  SmallVector<unsigned> a;
  facts.registersA = text.take("{");
  for (unsigned i = 0; i < (facts.registersA ? 4u : 1u); ++i) {
    unsigned operand;
    if ((i > 0 && !text.take(",")) || !text.takeOperand(operand))
      return false;
    a.push_back(operand);
  }
  unsigned b;
  if ((facts.registersA && !text.take("}")) || !text.take(",") ||
      !text.takeOperand(b) || !text.take(",p,") ||
      !parseSign(text, facts.negateA) || !text.take(",") ||
      !parseSign(text, facts.negateB))
    return false;
  // Only 16-bit operands in shared memory can be transposed.
  if (!bytes && ((!facts.registersA &&
                  (!text.take(",") || !parseBit(text, facts.transposeA))) ||
                 !text.take(",") || !parseBit(text, facts.transposeB)))
    return false;
  if (!text.take(";}") || !text.atEnd() ||
      text.numResults() != facts.numAccumulators)
    return false;

  result.operands.push_back(b);
  result.operands.append(a.begin(), a.end());
  if (facts.scaleOperand)
    result.operands.push_back(scale);
  bool tied = true;
  for (unsigned i = 0; i < facts.numAccumulators; ++i) {
    unsigned operand;
    tied &= text.tiedOperand(i, operand);
    if (tied)
      result.operands.push_back(operand);
  }
  // Registers that come from nowhere may not be added to.
  return tied || (!facts.scaleOperand && !facts.scaleLiteral);
}
