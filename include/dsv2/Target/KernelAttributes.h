//===- KernelAttributes.h - names of what kernels say -----------*- C++ -*-===//
//
// Part of dsv2, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef DSV2_TARGET_KERNELATTRIBUTES_H
#define DSV2_TARGET_KERNELATTRIBUTES_H

#include "llvm/ADT/StringRef.h"

namespace mlir::dsv2 {

/// A unit attribute that says: the results of this kernel's atomics are used,
/// and nothing that other threads wrote is read because of them. The static
/// gate then asks for no fences.
inline constexpr llvm::StringLiteral kRelaxedAtomicsAttr =
    "dsv2.relaxed_atomics";
/// A dictionary from names of instruction counts (InstructionCounts.def) to
/// the least number that the kernel's PTX must have of each.
inline constexpr llvm::StringLiteral kExpectAttr = "dsv2.expect";
/// A dictionary of what the kernel computes, as KernelCosts.h writes it. It
/// stays on functions of bitcode, as text.
inline constexpr llvm::StringLiteral kCostFactsAttr = "dsv2.cost_facts";
/// A unit attribute that says: the kernel may be started before the launches
/// before it are over, and waits for them itself (griddepcontrol.wait). Chips
/// before sm_90 have no such starts: kernels for them lose the instruction.
inline constexpr llvm::StringLiteral kEarlyStartAttr = "dsv2.early_start";
/// The external array that dynamic shared memory is addressed by.
inline constexpr llvm::StringLiteral kSharedMemorySymbol = "dsv2_smem";

} // namespace mlir::dsv2

#endif // DSV2_TARGET_KERNELATTRIBUTES_H
