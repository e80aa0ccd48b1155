//===- RegisterHazards.h - operands that are written too early --*- C++ -*-===//
//
// Part of dsv2, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// Needs nothing but LLVM, so that the emulator can have it.
//
//===----------------------------------------------------------------------===//

#ifndef DSV2_TARGET_NVPTX_REGISTERHAZARDS_H
#define DSV2_TARGET_NVPTX_REGISTERHAZARDS_H

#include <map>
#include <string>

namespace llvm {
class Module;
} // namespace llvm

namespace mlir::dsv2 {

/// Says of each kernel of `module`, by the kernel's name, in which registers
/// are written while a `wgmma` that reads its left operand from them may be
/// under way (PTX ISA, "wgmma.mma_async"), what was expected and found. ptxas
/// takes such code without a word, and what the product reads is a matter of
/// time.
///
/// A value has one register here, as it has in the PTX that LLVM makes of it: a
/// loop that computes it again writes there. Needs debug information for
/// places.
std::map<std::string, std::string>
getRegisterHazards(const llvm::Module &module);

} // namespace mlir::dsv2

#endif // DSV2_TARGET_NVPTX_REGISTERHAZARDS_H
