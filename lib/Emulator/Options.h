//===- Options.h - options of the emulator ----------------------*- C++ -*-===//
//
// Part of dsv2, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef DSV2_LIB_EMULATOR_OPTIONS_H
#define DSV2_LIB_EMULATOR_OPTIONS_H

#include <cstdint>
#include <string>

namespace dsv2::emulator {

/// What dsv2_emulator_set_options sets; meanings are with that function.
struct Options {
  uint64_t seed = 1;
  uint64_t schedules = 1;
  uint64_t checks = 1;
  uint64_t sms = 4;
  uint64_t cc = 90;
  uint64_t memory = 16384;
  uint64_t banks = 0;
  uint64_t pdl = 0;
};

/// Reads a list "NAME=NUMBER,..." over `options`. Returns an empty string, or
/// what is wrong, in which case `options` keeps its values. Never trusts its
/// input.
std::string parseOptions(const char *text, Options &options);

} // namespace dsv2::emulator

#endif // DSV2_LIB_EMULATOR_OPTIONS_H
