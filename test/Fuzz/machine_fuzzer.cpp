//===- machine_fuzzer.cpp - Fuzzes the reader of machine descriptions -----===//
//
// Part of dsv2, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// Any bytes must give rates that can be divided by, or an error that fits a
// terminal.
//
//===----------------------------------------------------------------------===//

#include "dsv2/Import/MachineDescription.h"
#include "llvm/Support/JSON.h"
#include "llvm/Support/raw_ostream.h"

#include <cmath>
#include <cstdint>
#include <cstdlib>

using namespace dsv2;
using namespace llvm;

/// Stops the fuzzer with the broken promise on stderr.
static void expect(bool condition, StringRef promise) {
  if (condition)
    return;
  errs() << "broken promise: " << promise << "\n";
  std::abort();
}

extern "C" int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  StringRef text(reinterpret_cast<const char *>(data), size);
  Expected<MachineDescription> machine = parseMachineDescription(text, "fuzz");
  if (!machine) {
    std::string message = toString(machine.takeError());
    expect(!message.empty() && message.size() < 10000,
           "a message of some size");
    expect(json::isUTF8(message), "a message is UTF-8");
    for (char c : message)
      expect(static_cast<unsigned char>(c) >= 0x20 && c != 0x7f,
             "a message holds no control character");
    return 0;
  }
  auto isRate = [](double rate) { return std::isfinite(rate) && rate > 0; };
  expect(machine->memoryBytes > 0, "some memory");
  expect(isRate(machine->memoryBytesPerSecond) &&
             isRate(machine->flopsPerSecond),
         "positive rates");
  for (const LinkDescription &link : {machine->tp, machine->ep})
    expect(isRate(link.bytesPerSecond) && std::isfinite(link.latencySeconds) &&
               link.latencySeconds >= 0,
           "links that carry something");
  expect(machine->ranksPerHost.value_or(1) > 0, "ranks on a host");
  return 0;
}
