//===- SoftFloat.cpp - conversions of 16- and 8-bit floats ----------------===//
//
// Part of dsv2, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "SoftFloat.h"

#include "llvm/ADT/APFloat.h"
#include "llvm/ADT/bit.h"
#include "llvm/ExecutionEngine/Orc/Core.h"

#include <array>
#include <cmath>

using namespace dsv2::emulator;

/// By LLVM's own arithmetic, through `semantics`.
static float widen(const llvm::fltSemantics &semantics, unsigned width,
                   uint64_t bits) {
  llvm::APFloat value(semantics, llvm::APInt(width, bits));
  bool lost;
  value.convert(llvm::APFloat::IEEEsingle(), llvm::APFloat::rmNearestTiesToEven,
                &lost);
  return value.convertToFloat();
}

static uint64_t narrow(const llvm::fltSemantics &semantics, float value) {
  llvm::APFloat result(value);
  bool lost;
  result.convert(semantics, llvm::APFloat::rmNearestTiesToEven, &lost);
  return result.bitcastToAPInt().getZExtValue();
}

float dsv2::emulator::fromBF16(uint16_t bits) {
  return llvm::bit_cast<float>(uint32_t(bits) << 16);
}

float dsv2::emulator::fromF16(uint16_t bits) {
  return float(llvm::bit_cast<_Float16>(bits));
}

/// A value for each of the 256 codes.
template <typename Decode> static const float *decodeTable(Decode decode) {
  static const auto table = [&] {
    std::array<float, 256> values;
    for (int i = 0; i < 256; ++i)
      values[i] = decode(i);
    return values;
  }();
  return table.data();
}

float dsv2::emulator::fromE4M3(uint8_t bits) {
  static const float *table = decodeTable(
      [](int code) { return widen(llvm::APFloat::Float8E4M3FN(), 8, code); });
  return table[bits];
}

float dsv2::emulator::fromE5M2(uint8_t bits) {
  static const float *table = decodeTable(
      [](int code) { return widen(llvm::APFloat::Float8E5M2(), 8, code); });
  return table[bits];
}

uint16_t dsv2::emulator::toBF16(float value) {
  uint32_t bits = llvm::bit_cast<uint32_t>(value);
  // NaN stays NaN whatever its low bits say.
  if (value != value)
    return 0x7FFF;
  return (bits + 0x7FFF + (bits >> 16 & 1)) >> 16;
}

uint16_t dsv2::emulator::toF16(float value) {
  return llvm::bit_cast<uint16_t>(_Float16(value));
}

/// `largest` is the code of the largest finite value.
static uint8_t narrowSaturated(const llvm::fltSemantics &semantics,
                               uint8_t largest, float value) {
  if (value != value)
    return 0x7F;
  uint8_t sign = std::signbit(value) ? 0x80 : 0;
  float magnitude = std::fabs(value);
  if (magnitude >= widen(semantics, 8, largest))
    return sign | largest;
  return sign | uint8_t(narrow(semantics, magnitude));
}

uint8_t dsv2::emulator::toE4M3(float value) {
  return narrowSaturated(llvm::APFloat::Float8E4M3FN(), 0x7E, value);
}

uint8_t dsv2::emulator::toE5M2(float value) {
  return narrowSaturated(llvm::APFloat::Float8E5M2(), 0x7B, value);
}

//===----------------------------------------------------------------------===//
// For compiled code, which passes half and bfloat in vector registers
//===----------------------------------------------------------------------===//

/// The bits of a bfloat, typed as the half that comes back in the same way: the
/// compiler's own bfloat would call the very functions that are defined here.
static _Float16 truncateToBF16(float value) {
  return llvm::bit_cast<_Float16>(toBF16(value));
}
static _Float16 truncateDoubleToBF16(double value) {
  // Through a float that is odd where bits were lost, so that it is rounded
  // only once.
  float single = float(value);
  uint32_t bits = llvm::bit_cast<uint32_t>(single);
  if (double(single) != value && value == value) {
    if (std::fabs(double(single)) > std::fabs(value))
      --bits;
    bits |= 1;
  }
  return truncateToBF16(llvm::bit_cast<float>(bits));
}
static float extendF16(_Float16 value) { return float(value); }
static _Float16 truncateToF16(float value) { return _Float16(value); }
static _Float16 truncateDoubleToF16(double value) { return _Float16(value); }

llvm::orc::SymbolMap
dsv2::emulator::softFloatSymbols(llvm::orc::ExecutionSession &session) {
  llvm::orc::SymbolMap symbols;
  auto add = [&](const char *name, auto *function) {
    symbols[session.intern(name)] = {llvm::orc::ExecutorAddr::fromPtr(function),
                                     llvm::JITSymbolFlags::Exported |
                                         llvm::JITSymbolFlags::Callable};
  };
  add("__truncsfbf2", truncateToBF16);
  add("__truncdfbf2", truncateDoubleToBF16);
  add("__extendhfsf2", extendF16);
  add("__truncsfhf2", truncateToF16);
  add("__truncdfhf2", truncateDoubleToF16);
  return symbols;
}
