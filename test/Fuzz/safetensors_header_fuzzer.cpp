//===- safetensors_header_fuzzer.cpp - Fuzzes the safetensors reader ------===//
//
// Part of dsv2, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// The input is a whole file. Whatever the reader accepts has to be consistent:
// every tensor lies in the file and they cover its data exactly.
//
//===----------------------------------------------------------------------===//

#include "runtime_fuzz_support.h"

#include "dsv2rt/Safetensors.h"

#include <set>

using namespace dsv2rt;
using namespace dsv2rt::fuzz;

extern "C" int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  auto parsed = parseSafetensors(data, size, "the input");
  if (!parsed.ok()) {
    expectPlainMessage(parsed.status(), StatusCode::CorruptData);
    return 0;
  }
  uint64_t covered = 0, first = size;
  std::set<std::string> names;
  for (const SafetensorsEntry &entry : parsed.value()) {
    expect(entry.begin <= entry.end && entry.end <= size, "data in the file");
    expect(entry.begin >= 8, "data after the length");
    expect(names.insert(entry.name).second, "names occur once");
    covered += entry.end - entry.begin;
    first = std::min(first, entry.begin);
  }
  expect(covered == size - first || parsed.value().empty(), "no hole, no rest");
  return 0;
}
