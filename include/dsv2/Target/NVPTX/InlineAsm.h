//===- InlineAsm.h - The closed list of inline assembly ---------*- C++ -*-===//
//
// Part of dsv2, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// Kernels use intrinsics for everything that LLVM has one for. What is left is
// listed here, once: the lowering prints these statements and the emulator
// parses them with the functions of this file, so that neither can know a
// statement that the other does not. Anything else in a kernel is an error.
//
// Needs nothing but LLVM's support library.
//
//===----------------------------------------------------------------------===//

#ifndef DSV2_TARGET_NVPTX_INLINEASM_H
#define DSV2_TARGET_NVPTX_INLINEASM_H

#include "llvm/ADT/StringRef.h"

#include <cstdint>
#include <optional>
#include <string>

namespace mlir::dsv2::nvptx {

/// What an inline assembly statement does.
enum class AsmKind {
  /// `mov.b64`: the result is the operand. Keeps LLVM from computing addresses
  /// outside of the loop that needs them.
  OpaqueMove,
  /// `bar.arrive`: arrives at named barrier `barrier` of `threads` threads
  /// without waiting. No operands (PTX ISA, "bar, barrier").
  BarrierArrive,
  /// `wgmma.fence`: orders accesses of `floats` accumulator registers, and of
  /// `words` registers of packed pairs, before the products that follow. Takes
  /// all of them, floats first, and returns them unchanged, so that no compiler
  /// moves an access across (PTX ISA, "wgmma.fence").
  WgmmaFence,
  /// `wgmma.wait_group`: waits until at most `pending` groups of products are
  /// under way. Takes and returns `floats` accumulator registers (PTX ISA,
  /// "wgmma.wait_group").
  WgmmaWait,
  /// `wgmma.mma_async` m64nNk16, f32 += bf16 x bf16 (PTX ISA,
  /// "wgmma.mma_async"). Results: the n / 2 accumulator registers. Operands:
  /// if `accumulate`, these registers' values before; then A, either four
  /// registers of packed pairs or a descriptor (i64); then the descriptor of B.
  Wgmma,
};

/// One statement. Fields that its kind does not name are zero.
struct AsmStatement {
  AsmKind kind;
  int64_t barrier = 0;
  int64_t threads = 0;
  int64_t pending = 0;
  int64_t floats = 0;
  int64_t words = 0;
  /// Columns of the product: a multiple of 8 from 8 to 256.
  int64_t n = 0;
  /// Whether A is in registers.
  bool registersA = false;
  /// Whether B lies in memory with n, not k, as the contiguous dimension.
  bool transposeB = false;
  /// Whether the product is added to what the registers held.
  bool accumulate = false;

  bool operator==(const AsmStatement &other) const;
};

/// Text and constraints of a statement, as LLVM's `InlineAsm` takes them.
/// Results are one value for one register, else a struct of them in order. All
/// statements have side effects.
struct AsmText {
  std::string text;
  std::string constraints;
};

/// Prints a statement; its fields have to be in the ranges documented above.
AsmText printAsm(const AsmStatement &statement);

/// The statement with exactly this text and these constraints, or nothing.
std::optional<AsmStatement> parseAsm(llvm::StringRef text,
                                     llvm::StringRef constraints);

} // namespace mlir::dsv2::nvptx

#endif // DSV2_TARGET_NVPTX_INLINEASM_H
