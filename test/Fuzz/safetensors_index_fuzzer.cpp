//===- safetensors_index_fuzzer.cpp - Fuzzes the reader of the index ------===//
//
// Part of dsv2, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// The input is model.safetensors.index.json. File names that are accepted
// cannot lead out of the folder.
//
//===----------------------------------------------------------------------===//

#include "runtime_fuzz_support.h"

#include "dsv2rt/Safetensors.h"

using namespace dsv2rt;
using namespace dsv2rt::fuzz;

extern "C" int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  std::string text(reinterpret_cast<const char *>(data), size);
  auto parsed = parseSafetensorsIndex(text, "the input");
  if (!parsed.ok()) {
    expectPlainMessage(parsed.status(), StatusCode::CorruptData);
    return 0;
  }
  expect(!parsed.value().empty(), "an index names tensors");
  for (const auto &[tensor, file] : parsed.value()) {
    expect(file.find('/') == std::string::npos, "no folders in file names");
    expect(file.size() > 12 && file.substr(file.size() - 12) == ".safetensors",
           "file names end as they should");
  }
  return 0;
}
