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

#include "compiler_fuzz_support.h"

#include "dsv2/Import/MachineDescription.h"

#include <cmath>

using namespace dsv2;
using namespace dsv2::fuzz;
using namespace llvm;

extern "C" int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  StringRef text(reinterpret_cast<const char *>(data), size);
  Expected<MachineDescription> machine = parseMachineDescription(text, "fuzz");
  if (!machine) {
    expectShort(toString(machine.takeError()));
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
