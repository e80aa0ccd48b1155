//===- PTX.h - what a PTX text says of its kernels --------------*- C++ -*-===//
//
// Part of dsv2, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef DSV2_TARGET_PTX_H
#define DSV2_TARGET_PTX_H

#include "llvm/ADT/StringRef.h"
#include "llvm/Support/Error.h"

#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

namespace mlir::dsv2 {

/// Kinds of instructions that are counted; see InstructionCounts.def.
enum class InstructionKind {
#define DSV2_COUNT(Enumerator, Name, Sass) Enumerator,
#include "dsv2/Target/InstructionCounts.def"
};
inline constexpr size_t kInstructionKinds = 0
#define DSV2_COUNT(Enumerator, Name, Sass) +1
#include "dsv2/Target/InstructionCounts.def"
    ;

/// "wgmma", "global_load_16", ...
llvm::StringRef getName(InstructionKind kind);
/// The kind of that name, or nothing.
std::optional<InstructionKind> findInstructionKind(llvm::StringRef name);
/// "LDG", "HGMMA|QGMMA", ..., or empty: see InstructionCounts.def.
llvm::StringRef getSassMnemonics(InstructionKind kind);

/// How many of each kind.
class InstructionCounts {
public:
  int64_t &operator[](InstructionKind kind) {
    return counts[static_cast<size_t>(kind)];
  }
  int64_t operator[](InstructionKind kind) const {
    return counts[static_cast<size_t>(kind)];
  }

private:
  std::array<int64_t, kInstructionKinds> counts = {};
};

/// A read-modify-write of memory, in the words of the PTX ISA ("Parallel
/// Synchronization and Communication Instructions: atom, red").
struct AtomicAccess {
  /// "add", "cas", ...
  std::string operation;
  /// "relaxed", "acquire", "release", "acq_rel" or "seq_cst".
  std::string order = "relaxed";
  /// "cta", "cluster", "gpu" or "sys".
  std::string scope = "gpu";
  /// "global", "shared", ...; empty: generic.
  std::string space;
  /// Whether anything depends on what was in memory.
  bool isResultUsed = false;
  /// The whole instruction's name, and its line, from 1.
  std::string opcode;
  unsigned line = 0;
};

/// One place that a check objects to, or relies on.
struct PTXPlace {
  std::string opcode;
  unsigned line = 0;
};

/// One `.entry`. Counts are of the text: a loop counts once.
struct PTXKernel {
  std::string name;
  /// `.maxntid` or `.reqntid`; absent: zeros.
  std::array<int64_t, 3> block = {0, 0, 0};
  /// `.reqnctapercluster`; absent: all 1.
  std::array<int64_t, 3> cluster = {1, 1, 1};
  /// `.minnctapersm`.
  int64_t blocksPerMultiprocessor = 1;
  InstructionCounts counts;
  std::vector<AtomicAccess> atomics;
  /// fence.acq_rel, fence.sc and membar of scope gpu or sys.
  std::vector<PTXPlace> deviceFences;
  /// Accesses without a state space.
  std::vector<PTXPlace> genericAccesses;
  /// Accesses to, and variables in, `.local` memory.
  std::vector<PTXPlace> localAccesses;
  std::vector<PTXPlace> calls;
};

/// Splits a text into its kernels and counts. An error if it is not PTX as far
/// as this has to understand it: a body that does not end.
llvm::Expected<std::vector<PTXKernel>> parsePTX(llvm::StringRef text);

} // namespace mlir::dsv2

#endif // DSV2_TARGET_PTX_H
