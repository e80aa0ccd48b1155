//===- InlineAsm.h - the PTX strings that kernels may contain ---*- C++ -*-===//
//
// Part of dsv2, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef DSV2_LIB_EMULATOR_INLINEASM_H
#define DSV2_LIB_EMULATOR_INLINEASM_H

#include "IntrinsicTable.h"

#include "llvm/ADT/SmallVector.h"

#include <deque>
#include <string>

namespace llvm {
class CallInst;
} // namespace llvm

namespace dsv2::emulator {

/// wgmma.mma_async as its PTX says it (PTX ISA, "wgmma.mma_async").
struct WgmmaAsm {
  /// Columns of the product, and depth of one instruction.
  uint32_t n = 0, k = 0;
  enum class Type : uint8_t { F16, BF16, E4M3, E5M2 } a = Type::BF16,
                                                      b = Type::BF16;
  /// The accumulators are f32; f16 otherwise, two a register.
  bool f32 = true;
  /// A comes from four registers instead of a descriptor.
  bool registersA = false;
  bool negateA = false, negateB = false;
  /// MN-major operands in shared memory.
  bool transposeA = false, transposeB = false;
  /// Registers of the accumulators.
  uint32_t numAccumulators = 0;
  /// Whether scale-d is an operand (true) or the literal below.
  bool scaleOperand = true;
  bool scaleLiteral = true;
};

/// Keeps what compiled code refers to by address.
struct AsmTable {
  std::deque<WgmmaAsm> wgmma;
};

/// What to do for a call of inline assembly: call `handler` with an optional
/// address of static facts, literals and the call's operands `operands`, in
/// that order.
struct AsmCall {
  Handler handler = nullptr;
  const void *facts = nullptr;
  llvm::SmallVector<uint64_t> literals;
  llvm::SmallVector<unsigned> operands;
  /// Each result is the operand named here, in order: an opaque mov, which has
  /// no handler, or a wait through which registers pass.
  llvm::SmallVector<unsigned> forwards;
};

/// Parses the assembly of `call`. The list is closed: the opaque mov,
/// bar.arrive and wgmma, spelled as PTX spells them. Returns false with the
/// reason in `error` for anything else.
bool parseAsm(const llvm::CallInst &call, AsmTable &table, AsmCall &result,
              std::string &error);

} // namespace dsv2::emulator

#endif // DSV2_LIB_EMULATOR_INLINEASM_H
