//===- InlineAsm.cpp - The closed list of inline assembly -----------------===//
//
// Part of dsv2, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "dsv2/Target/NVPTX/InlineAsm.h"

#include "llvm/ADT/StringExtras.h"
#include "llvm/Support/raw_ostream.h"

#include <tuple>

using namespace mlir::dsv2::nvptx;
using llvm::StringRef;

static auto fieldsOf(const AsmStatement &s) {
  return std::tie(s.kind, s.barrier, s.threads, s.pending, s.floats, s.words,
                  s.n, s.registersA, s.transposeB, s.accumulate);
}

bool AsmStatement::operator==(const AsmStatement &other) const {
  return fieldsOf(*this) == fieldsOf(other);
}

//===----------------------------------------------------------------------===//
// Printing
//===----------------------------------------------------------------------===//

/// `floats` float registers and `words` integer ones, each an output and an
/// input in the same register.
static std::string tiedConstraints(int64_t floats, int64_t words) {
  std::string result;
  llvm::raw_string_ostream os(result);
  llvm::ListSeparator comma(",");
  for (int64_t i = 0; i < floats; ++i)
    os << comma << "=f";
  for (int64_t i = 0; i < words; ++i)
    os << comma << "=r";
  for (int64_t i = 0; i < floats + words; ++i)
    os << comma << i;
  return result;
}

static AsmText printWgmma(const AsmStatement &s) {
  int64_t registers = s.n / 2;
  AsmText result;
  llvm::raw_string_ostream text(result.text), constraints(result.constraints);
  int64_t next = s.accumulate ? 2 * registers : registers;
  text << "{\n.reg .pred p;\nsetp.ne.b32 p, " << (s.accumulate ? 1 : 0)
       << ", 0;\nwgmma.mma_async.sync.aligned.m64n" << s.n
       << "k16.f32.bf16.bf16 {";
  llvm::ListSeparator textComma(", "), comma(",");
  for (int64_t i = 0; i < registers; ++i) {
    text << textComma << '$' << i;
    constraints << comma << "=f";
  }
  text << "}, ";
  if (s.accumulate)
    for (int64_t i = 0; i < registers; ++i)
      constraints << comma << i;
  if (s.registersA) {
    text << "{$" << next << ", $" << next + 1 << ", $" << next + 2 << ", $"
         << next + 3 << "}";
    constraints << ",r,r,r,r";
    next += 4;
  } else {
    text << '$' << next++;
    constraints << ",l";
  }
  text << ", $" << next << ", p, 1, 1" << (s.registersA ? "" : ", 0") << ", "
       << (s.transposeB ? 1 : 0) << ";\n}";
  constraints << ",l";
  return result;
}

AsmText mlir::dsv2::nvptx::printAsm(const AsmStatement &s) {
  switch (s.kind) {
  case AsmKind::OpaqueMove:
    return {"mov.b64 $0, $1;", "=l,l"};
  case AsmKind::BarrierArrive:
    return {"bar.arrive " + std::to_string(s.barrier) + ", " +
                std::to_string(s.threads) + ";",
            "~{memory}"};
  case AsmKind::WgmmaFence:
    return {"wgmma.fence.sync.aligned;", tiedConstraints(s.floats, s.words)};
  case AsmKind::WgmmaWait:
    return {"wgmma.wait_group.sync.aligned " + std::to_string(s.pending) + ";",
            tiedConstraints(s.floats, 0) +
                (s.floats ? ",~{memory}" : "~{memory}")};
  case AsmKind::Wgmma:
    return printWgmma(s);
  }
  llvm_unreachable("unknown statement");
}

//===----------------------------------------------------------------------===//
// Parsing: guess the fields, print them, and demand the same text
//===----------------------------------------------------------------------===//

/// The number of constraints that are exactly `name`.
static int64_t countConstraints(StringRef constraints, StringRef name) {
  llvm::SmallVector<StringRef> parts;
  constraints.split(parts, ',');
  return llvm::count(parts, name);
}

std::optional<AsmStatement> mlir::dsv2::nvptx::parseAsm(StringRef text,
                                                        StringRef constraints) {
  AsmStatement s;
  StringRef rest = text;
  if (rest == "mov.b64 $0, $1;") {
    s.kind = AsmKind::OpaqueMove;
  } else if (rest.consume_front("bar.arrive ")) {
    s.kind = AsmKind::BarrierArrive;
    if (rest.consumeInteger(10, s.barrier) || !rest.consume_front(", ") ||
        rest.consumeInteger(10, s.threads))
      return std::nullopt;
  } else if (rest.starts_with("wgmma.fence")) {
    s.kind = AsmKind::WgmmaFence;
    s.floats = countConstraints(constraints, "=f");
    s.words = countConstraints(constraints, "=r");
  } else if (rest.consume_front("wgmma.wait_group.sync.aligned ")) {
    s.kind = AsmKind::WgmmaWait;
    if (rest.consumeInteger(10, s.pending))
      return std::nullopt;
    s.floats = countConstraints(constraints, "=f");
  } else if (rest.consume_front("{\n.reg .pred p;\nsetp.ne.b32 p, ")) {
    s.kind = AsmKind::Wgmma;
    s.accumulate = rest.consume_front("1");
    if (!s.accumulate && !rest.consume_front("0"))
      return std::nullopt;
    if (!rest.consume_front(", 0;\nwgmma.mma_async.sync.aligned.m64n") ||
        rest.consumeInteger(10, s.n) || s.n < 8 || s.n > 256 || s.n % 8 != 0)
      return std::nullopt;
    s.registersA = countConstraints(constraints, "r") == 4;
    s.transposeB = rest.ends_with(", 1;\n}");
  } else {
    return std::nullopt;
  }
  AsmText expected = printAsm(s);
  if (text != expected.text || constraints != expected.constraints)
    return std::nullopt;
  return s;
}
