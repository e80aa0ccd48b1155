//===- AsmText.h - a statement of inline assembly, read word by word -*- C++
//-*-===//
//
// Part of dsv2, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef DSV2_LIB_EMULATOR_ASMTEXT_H
#define DSV2_LIB_EMULATOR_ASMTEXT_H

#include "InlineAsm.h"

#include "llvm/IR/InlineAsm.h"

namespace dsv2::emulator {

/// Text with single spaces between words and none beside punctuation, and what
/// its operands `$N` mean.
class AsmText {
public:
  explicit AsmText(const llvm::CallInst &call);

  const std::string &text() const { return whole; }
  bool atEnd() const { return rest.empty(); }
  bool take(llvm::StringRef expected) { return rest.consume_front(expected); }
  /// A decimal number, with a sign.
  bool takeNumber(int64_t &number);
  /// `$N` that is an input; `operand` is its place among the call's operands.
  bool takeOperand(unsigned &operand);
  /// `$N` that is result `number`.
  bool takeResult(unsigned number);
  /// A number, or `$N` that is a constant.
  bool takeImmediate(int64_t &value);

  unsigned numResults() const { return results; }
  /// The input in the same register as result `result`.
  bool tiedOperand(unsigned result, unsigned &operand) const;
  /// Whether all results have such inputs and these are all inputs, in order.
  bool passesThrough() const;

private:
  const llvm::CallInst &call;
  std::string whole;
  llvm::StringRef rest;
  llvm::InlineAsm::ConstraintInfoVector constraints;
  unsigned results = 0, inputs = 0;
};

/// Parses wgmma.mma_async; on success `result` has the operands.
bool parseWgmma(AsmText &text, WgmmaAsm &facts, AsmCall &result);

} // namespace dsv2::emulator

#endif // DSV2_LIB_EMULATOR_ASMTEXT_H
