//===- npy_fuzzer.cpp - Fuzzes the reader of .npy files -------------------===//
//
// Part of dsv2, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// The input is a file. What is accepted has exactly the rows that it says, and
// they can be read; everything else is an error that fits a terminal.
//
//===----------------------------------------------------------------------===//

#include "runtime_fuzz_support.h"

#include "dsv2rt/Npy.h"

#include <string>
#include <vector>

#include <sys/mman.h>
#include <unistd.h>

using namespace dsv2rt;
using namespace dsv2rt::fuzz;

extern "C" int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  // A file without a name, which goes with its descriptor.
  static const int file = memfd_create("npy_fuzzer", 0);
  expect(file >= 0 && ftruncate(file, 0) == 0 &&
             pwrite(file, data, size, 0) == static_cast<ssize_t>(size),
         "a file to write to");
  auto opened = NpyReader::open("/proc/self/fd/" + std::to_string(file));
  if (!opened.ok()) {
    expectPlainMessage(opened.status(), StatusCode::CorruptData);
    expect(opened.status().message().size() < 1000, "a message of some size");
    return 0;
  }
  NpyReader &reader = *opened.value();
  int64_t rows = reader.rows(), columns = reader.columns();
  expect(rows >= 0 && columns >= 0, "sizes are not negative");
  expect(columns == 0 || rows <= static_cast<int64_t>(size) / 4 / columns,
         "elements are in the file");
  std::vector<float> elements(rows * columns);
  int64_t first = rows / 2;
  expect(reader.read(elements.data(), first).ok(), "the first rows");
  expect(reader.read(elements.data(), rows - first).ok(), "the other rows");
  expect(!reader.read(elements.data(), 1).ok(), "no row after the last");
  return 0;
}
