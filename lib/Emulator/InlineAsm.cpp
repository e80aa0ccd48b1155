//===- InlineAsm.cpp - the PTX strings that kernels may contain -----------===//
//
// Part of dsv2, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "InlineAsm.h"

#include "AsmText.h"
#include "Barriers.h"
#include "Wgmma.h"

#include "llvm/ADT/StringExtras.h"
#include "llvm/IR/Constants.h"
#include "llvm/IR/Instructions.h"

using namespace dsv2::emulator;
using namespace llvm;

static std::string normalised(StringRef text) {
  std::string result;
  bool space = false;
  auto isPunctuation = [](char c) { return StringRef(",;{}").contains(c); };
  for (char c : text) {
    if (isSpace(c)) {
      space = true;
      continue;
    }
    // A brace stays apart from the word before it.
    bool joins = isPunctuation(c) && c != '{';
    if (space && !result.empty() && !isPunctuation(result.back()) && !joins)
      result += ' ';
    space = false;
    result += c;
  }
  return result;
}

AsmText::AsmText(const CallInst &call)
    : call(call),
      whole(
          normalised(cast<InlineAsm>(call.getCalledOperand())->getAsmString())),
      rest(whole),
      constraints(
          cast<InlineAsm>(call.getCalledOperand())->ParseConstraints()) {
  for (const InlineAsm::ConstraintInfo &constraint : constraints) {
    results += constraint.Type == InlineAsm::isOutput;
    inputs += constraint.Type == InlineAsm::isInput;
  }
}

bool AsmText::takeNumber(int64_t &number) {
  return !rest.consumeInteger(10, number);
}

bool AsmText::takeOperand(unsigned &operand) {
  StringRef before = rest;
  unsigned number;
  if (rest.consume_front("$") && !rest.consumeInteger(10, number) &&
      number >= results && number < results + inputs) {
    operand = number - results;
    return true;
  }
  rest = before;
  return false;
}

bool AsmText::takeResult(unsigned number) {
  StringRef before = rest;
  unsigned found;
  if (rest.consume_front("$") && !rest.consumeInteger(10, found) &&
      found == number && number < results)
    return true;
  rest = before;
  return false;
}

bool AsmText::takeImmediate(int64_t &value) {
  unsigned operand;
  if (!takeOperand(operand))
    return takeNumber(value);
  const auto *constant = dyn_cast<ConstantInt>(call.getArgOperand(operand));
  if (constant)
    value = constant->getSExtValue();
  return constant;
}

bool AsmText::tiedOperand(unsigned result, unsigned &operand) const {
  if (result >= constraints.size() || !constraints[result].hasMatchingInput())
    return false;
  operand = constraints[result].MatchingInput - results;
  return true;
}

bool AsmText::passesThrough() const {
  if (results != inputs)
    return false;
  for (unsigned i = 0; i < results; ++i) {
    unsigned operand;
    if (!tiedOperand(i, operand) || operand != i)
      return false;
  }
  return true;
}

/// mov of an operand to the only result: hides where a value comes from.
static bool parseMove(AsmText &text, const CallInst &call, AsmCall &result) {
  if (!text.take("mov.b32 ") && !text.take("mov.b64 "))
    return false;
  unsigned operand;
  if (!text.takeResult(0) || !text.take(",") || !text.takeOperand(operand) ||
      !text.take(";") || !text.atEnd() || text.numResults() != 1 ||
      call.arg_size() != 1 ||
      call.getType() != call.getArgOperand(0)->getType())
    return false;
  result.forwards = {operand};
  return true;
}

/// Arguments: barrier, threads.
static void arrive(const uint64_t *arguments, uint64_t *) {
  arriveAtBarrier(arguments[0], arguments[1], /*waits=*/false);
}

/// bar.arrive of two operands or two numbers.
static bool parseArrive(AsmText &text, AsmCall &result) {
  if (!text.take("bar.arrive "))
    return false;
  result.handler = located<arrive>;
  unsigned barrier, threads;
  if (text.takeOperand(barrier)) {
    if (!text.take(",") || !text.takeOperand(threads))
      return false;
    result.operands = {barrier, threads};
  } else {
    int64_t number, count;
    if (!text.takeImmediate(number) || !text.take(",") ||
        !text.takeImmediate(count))
      return false;
    result.literals = {uint64_t(number), uint64_t(count)};
  }
  return text.take(";") && text.atEnd();
}

/// wgmma.fence and wgmma.wait_group with registers that pass through, so that
/// no compiler moves their uses across.
static bool parseTied(AsmText &text, AsmCall &result) {
  int64_t left;
  if (text.take("wgmma.fence.sync.aligned")) {
    result.handler = located<fenceWgmma>;
  } else if (text.take("wgmma.wait_group.sync.aligned ") &&
             text.takeImmediate(left) && left >= 0) {
    result.handler = located<waitForWgmma>;
    result.literals = {uint64_t(left)};
  } else {
    return false;
  }
  for (unsigned i = 0; i < text.numResults(); ++i)
    result.forwards.push_back(i);
  return text.take(";") && text.atEnd() && text.passesThrough();
}

bool dsv2::emulator::parseAsm(const CallInst &call, AsmTable &table,
                              AsmCall &result, std::string &error) {
  auto attempt = [&](auto parse) {
    AsmText text(call);
    AsmCall parsed;
    if (!parse(text, parsed))
      return false;
    result = std::move(parsed);
    return true;
  };
  WgmmaAsm facts;
  if (attempt([&](AsmText &text, AsmCall &parsed) {
        return parseMove(text, call, parsed);
      }) ||
      attempt(parseArrive) || attempt(parseTied))
    return true;
  if (attempt([&](AsmText &text, AsmCall &parsed) {
        return parseWgmma(text, facts, parsed);
      })) {
    table.wgmma.push_back(facts);
    result.handler = located<wgmma>;
    result.facts = &table.wgmma.back();
    return true;
  }
  error = "inline assembly '" + AsmText(call).text() + "'";
  return false;
}
