//===- runtime_fuzz_support.h - checks of the runtime's fuzzers -*- C++ -*-===//
//
// Part of dsv2, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef DSV2_TEST_FUZZ_RUNTIME_FUZZ_SUPPORT_H
#define DSV2_TEST_FUZZ_RUNTIME_FUZZ_SUPPORT_H

#include "dsv2rt/Status.h"

#include <cstdint>
#include <cstdio>
#include <cstdlib>

namespace dsv2rt::fuzz {

/// Ends the process, so that the fuzzer keeps the input.
inline void expect(bool condition, const char *what) {
  if (condition)
    return;
  std::fprintf(stderr, "expected: %s\n", what);
  std::abort();
}

/// A failure of this kind, with a message of printable ASCII only.
inline void expectPlainMessage(const Status &status, StatusCode code) {
  expect(status.code() == code, "the documented kind of failure");
  expect(!status.message().empty(), "a message");
  for (unsigned char byte : status.message())
    expect(byte >= 0x20 && byte < 0x7f, "a message of plain text");
}

} // namespace dsv2rt::fuzz

#endif // DSV2_TEST_FUZZ_RUNTIME_FUZZ_SUPPORT_H
