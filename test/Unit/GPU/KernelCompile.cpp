//===- KernelCompile.cpp - Tile kernels to images -------------------------===//
//
// Part of dsv2, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "KernelCompile.h"

#include "dsv2/Conversion/Passes.h"
#include "dsv2/InitAll.h"
#include "dsv2/Target/Assembler.h"
#include "mlir/Dialect/GPU/IR/GPUDialect.h"
#include "mlir/IR/Verifier.h"
#include "mlir/Pass/PassManager.h"
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
  OwningOpRef<ModuleOp> module(
      ModuleOp::create(UnknownLoc::get(&getContext())));
  build(*module);
  if (failed(verify(*module))) {
    ADD_FAILURE() << "the kernel is not valid";
    return std::nullopt;
  }
  std::string text;
  llvm::raw_string_ostream(text) << *module;
  PassManager passes(module->getContext());
  passes.addPass(createConvertTileToNVVMPass());
  buildLowerDeviceToLLVMPipeline(passes);
  if (failed(passes.run(*module))) {
    ADD_FAILURE() << "the kernel cannot be lowered";
    return std::nullopt;
  }
  std::optional<GPUTargetInfo> target = expected(GPUTargetInfo::parse(chip));
  if (!target)
    return std::nullopt;
  auto device = *module->getOps<mlir::gpu::GPUModuleOp>().begin();
  std::optional<DeviceCode> code =
      expected(DeviceCode::create(device, *target));
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
