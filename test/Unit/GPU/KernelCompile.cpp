//===- KernelCompile.cpp - Tile kernels to images -------------------------===//
//
// Part of dsv2, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "KernelCompile.h"

#include "CaseBuilder.h"
#include "dsv2/InitAll.h"
#include "dsv2/Target/Assembler.h"
#include "llvm/Support/FileSystem.h"
#include "llvm/Support/raw_ostream.h"

#include <gtest/gtest.h>

using namespace mlir;
using namespace mlir::dsv2;

MLIRContext &test::getContext() {
  static MLIRContext *context = [] {
    DialectRegistry registry;
    registerAllDialects(registry);
    registerAllExtensions(registry);
    registerDeviceCodeDialects(registry);
    auto *result = new MLIRContext(registry);
    result->loadAllAvailableDialects();
    return result;
  }();
  return *context;
}

template <typename T>
static std::optional<T> expected(llvm::Expected<T> value) {
  if (value)
    return std::move(*value);
  ADD_FAILURE() << llvm::toString(value.takeError());
  return std::nullopt;
}

/// With DSV2_DUMP_KERNELS=FOLDER, for a look with other tools.
static void dump(StringRef name, StringRef text) {
  const char *folder = std::getenv("DSV2_DUMP_KERNELS");
  if (!folder)
    return;
  std::error_code error;
  llvm::raw_fd_ostream(std::string(folder) + "/" + name.str(), error) << text;
}

std::optional<DeviceCode>
test::compileKernel(const std::string &chip,
                    const std::function<void(ModuleOp)> &build) {
  std::string text;
  std::optional<DeviceCode> code =
      expected(cases::compileKernels(getContext(), chip, [&](ModuleOp module) {
        build(module);
        llvm::raw_string_ostream(text) << module;
      }));
  if (code)
    dump(code->getKernels().front().name + ".mlir", text);
  return code;
}

std::optional<ImageReport> test::expectGatePasses(const DeviceCode &code) {
  std::optional<std::string> ptx = expected(code.getPTX());
  if (!ptx)
    return std::nullopt;
  dump(code.getKernels().front().name + ".ptx", *ptx);
  ImageSources sources;
  sources.ptx = *ptx;
  sources.kernels = code.getKernels().vec();
  sources.module = &code.getModule();
  llvm::Expected<std::string> ptxas = findCUDAProgram("ptxas", "", "--ptxas");
  std::optional<Cubin> cubin;
  if (ptxas) {
    cubin = expected(assemblePTX(*ptx, code.getTarget(), *ptxas));
    if (!cubin)
      return std::nullopt;
    sources.cubin = &*cubin;
  } else {
    llvm::consumeError(ptxas.takeError());
  }
  std::optional<ImageReport> report =
      expected(reportImage(code.getTarget(), sources));
  if (report)
    for (const std::string &finding : checkImage(*report))
      ADD_FAILURE() << finding;
  return report;
}
