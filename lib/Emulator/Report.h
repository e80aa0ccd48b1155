//===- Report.h - what a failed check says ----------------------*- C++ -*-===//
//
// Part of dsv2, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef DSV2_LIB_EMULATOR_REPORT_H
#define DSV2_LIB_EMULATOR_REPORT_H

#include "llvm/Support/FormatVariadic.h"

#include <string>
#include <tuple>
#include <utility>

namespace dsv2::emulator {

/// What went wrong. Its name starts the first line of a report and is part of
/// the interface: tests and people match on it.
enum class Kind {
  /// Two accesses to the same bytes, one of them a write, that nothing orders.
  Race,
  /// Ordered, but not across the generic and the async proxy.
  Proxy,
  /// Use of an mbarrier outside of its life, or of a barrier that the async
  /// proxy cannot see yet.
  Lifetime,
  /// Every thread waits for something that nobody is left to do.
  Deadlock,
  /// The same, but some threads poll instead of waiting.
  Livelock,
  /// Access outside of every allocation or to a misaligned address.
  Bounds,
  /// Read of shared memory that was never written.
  Poison,
  /// An instruction used against its rules: masks, counts, operands.
  Protocol,
  /// The kernel executed a trap.
  Trap,
  /// Something in the module that the emulator does not know.
  Unsupported,
  /// A bad option.
  Option,
};

/// The name of `kind` in a report.
const char *kindName(Kind kind);

/// Formats a message as llvm::formatv does. A failed launch abandons the frames
/// of its fibers, so nothing that owns memory may stay behind in them: this
/// takes its arguments over, since those of a call live as long as the
/// statement does, and leaves one string, which whoever ends the launch takes
/// over.
template <typename... Values>
std::string message(const char *format, Values... values) {
  std::tuple<Values...> owned(std::move(values)...);
  return std::apply(
      [&](const Values &...each) {
        return llvm::formatv(format, each...).str();
      },
      owned);
}

/// The first line of a report: "KIND: message".
std::string reportLine(Kind kind, const std::string &message);

} // namespace dsv2::emulator

#endif // DSV2_LIB_EMULATOR_REPORT_H
