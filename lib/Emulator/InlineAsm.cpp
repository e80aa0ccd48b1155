//===- InlineAsm.cpp - the PTX strings that kernels may contain -----------===//
//
// Part of dsv2, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "InlineAsm.h"

#include "llvm/ADT/StringExtras.h"
#include "llvm/IR/InlineAsm.h"
#include "llvm/IR/Instructions.h"

using namespace dsv2::emulator;
using namespace llvm;

/// One space between words, none at the ends or beside punctuation.
static std::string normalised(StringRef text) {
  std::string result;
  bool space = false;
  auto isPunctuation = [](char c) { return StringRef(",;{}").contains(c); };
  for (char c : text) {
    if (isSpace(c)) {
      space = true;
      continue;
    }
    if (space && !result.empty() && !isPunctuation(result.back()) &&
        !isPunctuation(c))
      result += ' ';
    space = false;
    result += c;
  }
  return result;
}

/// mov.b32 or mov.b64 of an operand to the only result: hides where a value
/// comes from.
static bool parseMove(StringRef text, AsmCall &result) {
  if (!text.consume_front("mov."))
    return false;
  static const char *types[] = {"b32", "b64", "u32", "u64", "f32"};
  bool known = false;
  for (const char *type : types)
    known = known || text.consume_front(type);
  if (!known || text != " $0,$1;")
    return false;
  result.forwards = {0};
  return true;
}

bool dsv2::emulator::parseAsm(const CallInst &call, AsmTable &table,
                              AsmCall &result, std::string &error) {
  const auto *assembly = cast<InlineAsm>(call.getCalledOperand());
  std::string text = normalised(assembly->getAsmString());
  if (parseMove(text, result) && call.arg_size() == 1 &&
      call.getType() == call.getArgOperand(0)->getType())
    return true;
  error = "inline assembly '" + text + "'";
  return false;
}
