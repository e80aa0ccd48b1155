//===- SassCensus.h - which instructions a cubin has ------------*- C++ -*-===//
//
// Part of dsv2, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// ptxas has the last word on what a GPU executes, and no disassembler comes
// with it. But a cubin is an ELF file, an instruction of all chips of ours has
// 16 bytes, and the lowest 12 bits of it name its opcode and the kinds of its
// operands. That is enough to count the instructions that matter. Where there
// is an nvdisasm, it counts instead.
//
//===----------------------------------------------------------------------===//

#ifndef DSV2_TARGET_SASSCENSUS_H
#define DSV2_TARGET_SASSCENSUS_H

#include "llvm/ADT/ArrayRef.h"
#include "llvm/ADT/StringRef.h"
#include "llvm/Support/Error.h"

#include <cstdint>
#include <map>
#include <string>
#include <vector>

namespace mlir::dsv2 {

/// The instructions of one kernel.
struct SassCensus {
  std::string kernel;
  /// All instructions but the NOPs that fill up the end.
  int64_t instructions = 0;
  /// Number of instructions by mnemonic without modifiers ("HGMMA"): those in
  /// SassForms.def, or all if a disassembler counted.
  std::map<std::string, int64_t> mnemonics;
  /// Number of instructions by their lowest 12 bits; empty if a disassembler
  /// counted.
  std::map<unsigned, int64_t> forms;

  int64_t getCount(llvm::StringRef mnemonic) const;
};

/// Counts the instructions of every kernel in a cubin, in the order of the
/// file. An error, never anything worse, if it is not such a file.
llvm::Expected<std::vector<SassCensus>>
countInstructions(llvm::ArrayRef<char> cubin);

/// The same by running the program `nvdisasm`.
llvm::Expected<std::vector<SassCensus>> disassemble(llvm::ArrayRef<char> cubin,
                                                    llvm::StringRef nvdisasm);

} // namespace mlir::dsv2

#endif // DSV2_TARGET_SASSCENSUS_H
