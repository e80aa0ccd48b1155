//===- kernel_cases_fuzzer.cpp - files of kernel cases --------------------===//
//
// Part of dsv2, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// The input is a file of cases. What is accepted is in range and can be written
// and read again.
//
//===----------------------------------------------------------------------===//

#include "runtime_fuzz_support.h"

#include "dsv2rt/KernelCases.h"

using namespace dsv2rt;
using namespace dsv2rt::fuzz;

extern "C" int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  auto parsed =
      parseKernelCases({reinterpret_cast<const char *>(data), size}, "'file'");
  if (!parsed.ok()) {
    expect(parsed.status().code() == StatusCode::CorruptData ||
               parsed.status().code() == StatusCode::Unsupported,
           "the kinds of failure of a file of cases");
    expectPlainMessage(parsed.status(), parsed.status().code());
    return 0;
  }
  const KernelCases &cases = parsed.value();
  expect(cases.images.size() == cases.code.images.size(), "images have bytes");
  for (const KernelCase &item : cases.cases) {
    expect(item.memory() >= 0, "memory does not overflow");
    for (const CaseBuffer &buffer : item.buffers)
      for (const CaseFill &fill : buffer.fills)
        expect(fill.offset >= 0 && fill.offset + fill.bytes() <= buffer.bytes,
               "fills are in their buffer");
    for (const CaseLaunch &launch : item.launches) {
      expect(size_t(launch.kernel) < cases.code.kernels.size(),
             "launches have a kernel");
      expect(launch.arguments.size() ==
                 cases.code.kernels[size_t(launch.kernel)].parameters.size(),
             "parameters have an argument each");
      for (const CaseArgument &argument : launch.arguments)
        expect(size_t(argument.buffer) < item.buffers.size() ||
                   (argument.kind != CaseArgument::Kind::Pointer &&
                    argument.kind != CaseArgument::Kind::Tensor),
               "pointers have a buffer");
    }
  }
  std::string written = printKernelCases(cases);
  auto again = parseKernelCases(written, "'file'");
  expect(again.ok(), "what is written can be read");
  expect(printKernelCases(again.value()) == written, "and is the same");
  return 0;
}
