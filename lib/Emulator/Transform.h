//===- Transform.h - from a module for NVPTX to one for the CPU -*- C++ -*-===//
//
// Part of dsv2, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef DSV2_LIB_EMULATOR_TRANSFORM_H
#define DSV2_LIB_EMULATOR_TRANSFORM_H

#include "InlineAsm.h"

#include "llvm/ADT/DenseMap.h"
#include "llvm/ADT/StringMap.h"

#include <string>
#include <vector>

namespace llvm {
class Function;
class Instruction;
class Module;
} // namespace llvm

namespace dsv2::emulator {

/// Numbers of the instructions of a module, in order.
using SiteMap = llvm::DenseMap<const llvm::Instruction *, uint32_t>;

SiteMap numberInstructions(const llvm::Module &module);

/// Bytes of shared memory that the globals of address space 3 take, by the name
/// of the kernel; the dynamic part, the external arrays, starts behind them.
struct SharedLayout {
  llvm::StringMap<uint32_t> staticBytes;
};

/// Puts the globals of address space 3 at fixed offsets from the block's shared
/// memory, whose address the handler `sharedBase` gives.
SharedLayout replaceSharedGlobals(llvm::Module &module);

/// Makes every access of memory call a check first, and every access that may
/// wait for another thread (atomic or volatile) give others a turn. With
/// `checks` off only the latter.
void instrumentAccesses(llvm::Module &module, const SiteMap &sites,
                        bool checks);

/// Replaces intrinsics and inline assembly by calls of handlers. Returns false
/// with everything that is unknown in `error`.
bool replaceIntrinsics(llvm::Module &module, const SiteMap &sites,
                       AsmTable &table, std::string &error);

/// What the names of entries start with, before those of the kernels.
inline constexpr char entryPrefix[] = "dsv2.entry.";
/// Adds void @dsv2.entry.NAME(ptr), which calls `kernel` with parameters loaded
/// from the array of pointers to their values, or with the pointers themselves
/// where `byReference` says so.
llvm::Function *addEntry(llvm::Function &kernel,
                         const std::vector<bool> &byReference);

} // namespace dsv2::emulator

#endif // DSV2_LIB_EMULATOR_TRANSFORM_H
