//===- SoftFloat.h - conversions of 16- and 8-bit floats --------*- C++ -*-===//
//
// Part of dsv2, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef DSV2_LIB_EMULATOR_SOFTFLOAT_H
#define DSV2_LIB_EMULATOR_SOFTFLOAT_H

#include "llvm/ExecutionEngine/Orc/CoreContainers.h"

#include <cstdint>

namespace llvm::orc {
class ExecutionSession;
} // namespace llvm::orc

namespace dsv2::emulator {

/// f32 from bits of bf16, f16, e4m3 and e5m2 (OCP 8-bit formats; e4m3 has no
/// infinity).
float fromBF16(uint16_t bits);
float fromF16(uint16_t bits);
float fromE4M3(uint8_t bits);
float fromE5M2(uint8_t bits);

/// Back, rounding to nearest even. Too large f16 and bf16 become infinity,
/// 8-bit ones the largest finite value (PTX ISA, "cvt", .satfinite).
uint16_t toBF16(float value);
uint16_t toF16(float value);
uint8_t toE4M3(float value);
uint8_t toE5M2(float value);

/// The functions that LLVM's code generator calls for half and bfloat.
llvm::orc::SymbolMap softFloatSymbols(llvm::orc::ExecutionSession &session);

} // namespace dsv2::emulator

#endif // DSV2_LIB_EMULATOR_SOFTFLOAT_H
