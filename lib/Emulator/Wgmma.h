//===- Wgmma.h - products of a warpgroup ------------------------*- C++ -*-===//
//
// Part of dsv2, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef DSV2_LIB_EMULATOR_WGMMA_H
#define DSV2_LIB_EMULATOR_WGMMA_H

#include <cstdint>

namespace dsv2::emulator {

/// wgmma.mma_async. Arguments: facts (WgmmaAsm), descriptor of B, descriptor or
/// four registers of A, scale-d and accumulators as far as they are operands.
void wgmma(const uint64_t *arguments, uint64_t *results);

/// wgmma.fence.
void fenceWgmma(const uint64_t *arguments, uint64_t *results);

/// wgmma.wait_group; argument: how many groups may be left.
void waitForWgmma(const uint64_t *arguments, uint64_t *results);

/// Where descriptor `bits` puts 16 bytes of an operand, from the start of the
/// block's shared memory: unit `unit` along the contiguous dimension of row
/// `major` (K-major), or of k `major` (`mnMajor`). PTX ISA, "Shared Memory
/// Matrix Layout".
uint32_t operandOffset(uint64_t bits, bool mnMajor, uint32_t major,
                       uint32_t unit);

} // namespace dsv2::emulator

#endif // DSV2_LIB_EMULATOR_WGMMA_H
