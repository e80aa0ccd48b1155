//===- compiler_fuzz_support.h - checks of compiler fuzzers -----*- C++ -*-===//
//
// Part of dsv2, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef DSV2_TEST_FUZZ_COMPILER_FUZZ_SUPPORT_H
#define DSV2_TEST_FUZZ_COMPILER_FUZZ_SUPPORT_H

#include "llvm/ADT/StringRef.h"
#include "llvm/Support/JSON.h"
#include "llvm/Support/raw_ostream.h"

#include <cstdint>
#include <cstdlib>

namespace dsv2::fuzz {

/// Stops the fuzzer with the broken promise on stderr.
inline void expect(bool condition, llvm::StringRef promise) {
  if (condition)
    return;
  llvm::errs() << "broken promise: " << promise << "\n";
  std::abort();
}

/// A message is UTF-8 without control characters.
inline void expectPrintable(llvm::StringRef message) {
  expect(!message.empty(), "a message has text");
  expect(llvm::json::isUTF8(message), "a message is UTF-8");
  for (char c : message)
    expect(static_cast<unsigned char>(c) >= 0x20 && c != 0x7f,
           "a message holds no control character");
}

/// The same of one that is read in a terminal.
inline void expectShort(llvm::StringRef message) {
  expectPrintable(message);
  expect(message.size() < 10000, "a message of some size");
}

} // namespace dsv2::fuzz

#endif // DSV2_TEST_FUZZ_COMPILER_FUZZ_SUPPORT_H
