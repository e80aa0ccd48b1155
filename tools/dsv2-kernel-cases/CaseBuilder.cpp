//===- CaseBuilder.cpp - builds cases of kernels --------------------------===//
//
// Part of dsv2, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "CaseBuilder.h"

#include "dsv2/Conversion/Passes.h"
#include "dsv2/Target/Assembler.h"
#include "mlir/Dialect/GPU/IR/GPUDialect.h"
#include "mlir/IR/BuiltinOps.h"
#include "mlir/IR/OwningOpRef.h"
#include "mlir/IR/Verifier.h"
#include "mlir/Pass/PassManager.h"
#include "llvm/ADT/STLExtras.h"

#include <algorithm>
#include <cassert>

using namespace mlir;
using namespace mlir::dsv2;
using namespace dsv2rt;

llvm::Expected<DeviceCode>
cases::compileKernels(MLIRContext &context, StringRef chip,
                      llvm::function_ref<void(ModuleOp)> build) {
  OwningOpRef<ModuleOp> module(ModuleOp::create(UnknownLoc::get(&context)));
  build(*module);
  if (failed(verify(*module)))
    return llvm::createStringError("the kernel is not valid");
  llvm::Expected<GPUTargetInfo> target = GPUTargetInfo::parse(chip);
  if (!target)
    return target.takeError();
  return compileKernels(*module, *target);
}

LogicalResult cases::lowerKernels(ModuleOp module) {
  PassManager passes(module.getContext());
  // Verified once, at the end: see Driver.cpp.
  passes.enableVerifier(false);
  passes.addPass(createConvertTileToNVVMPass());
  buildLowerDeviceToLLVMPipeline(passes);
  return success(succeeded(passes.run(module)) && succeeded(verify(module)));
}

llvm::Expected<DeviceCode> cases::compileKernels(ModuleOp module,
                                                 const GPUTargetInfo &target) {
  if (failed(lowerKernels(module)))
    return llvm::createStringError("the kernel cannot be lowered");
  auto devices = module.getOps<mlir::gpu::GPUModuleOp>();
  if (devices.empty())
    return llvm::createStringError("there is no kernel");
  return DeviceCode::create(*devices.begin(), target);
}

static void addImage(KernelCases &cases, StringRef chip,
                     DeviceManifest::ImageKind kind, ArrayRef<char> bytes) {
  DeviceManifest::Image &image = cases.code.images.emplace_back();
  image.chip = chip.str();
  image.kind = kind;
  image.symbol = "image_" + std::to_string(cases.images.size());
  image.bytes = int64_t(bytes.size());
  cases.images.emplace_back(bytes.begin(), bytes.end());
}

llvm::Error cases::addCode(KernelCases &cases, const DeviceCode &code,
                           const ImageKinds &kinds) {
  assert(cases.code.kernels.empty() && "kernels of one module");
  cases.code.kind = "cuda";
  const GPUTargetInfo &target = code.getTarget();
  // Code for a chip without early starts has no wait, wherever it runs.
  constexpr unsigned firstWithEarlyStarts = 90;
  for (const KernelInfo &info : code.getKernels()) {
    DeviceManifest::Kernel &kernel = cases.code.kernels.emplace_back();
    kernel.name = info.name;
    kernel.block = info.block;
    kernel.cluster = info.cluster;
    kernel.sharedBytes = info.dynamicSharedBytes;
    kernel.programmaticLaunch =
        info.earlyStart && target.number >= firstWithEarlyStarts;
  }
  if (kinds.bitcode)
    addImage(cases, target.chip, DeviceManifest::ImageKind::Bitcode,
             code.getBitcode());
  if (!kinds.ptx && !kinds.cubin)
    return llvm::Error::success();
  llvm::Expected<std::string> ptx = code.getPTX();
  if (!ptx)
    return ptx.takeError();
  if (kinds.ptx) {
    // The driver takes text without a length.
    std::string text = *ptx + '\0';
    addImage(cases, target.chip, DeviceManifest::ImageKind::Ptx,
             ArrayRef(text.data(), text.size()));
  }
  if (!kinds.cubin)
    return llvm::Error::success();
  SmallVector<StringRef> chips = {target.chip};
  if (target.chip == "sm_80")
    chips.push_back("sm_90");
  for (StringRef chip : chips) {
    GPUTargetInfo assembled = target;
    assembled.chip = chip;
    llvm::Expected<Cubin> cubin = assemblePTX(*ptx, assembled, kinds.ptxas);
    if (!cubin)
      return cubin.takeError();
    addImage(cases, chip, DeviceManifest::ImageKind::Cubin, cubin->image);
  }
  return llvm::Error::success();
}

int64_t cases::findKernel(const KernelCases &cases, StringRef name) {
  auto found = llvm::find_if(cases.code.kernels, [&](const auto &kernel) {
    return kernel.name == name;
  });
  assert(found != cases.code.kernels.end() && "expected the kernel");
  return found - cases.code.kernels.begin();
}

int64_t cases::addOutput(KernelCase &item, std::string name, int64_t bytes) {
  CaseBuffer buffer;
  buffer.name = std::move(name);
  buffer.bytes = bytes;
  item.buffers.push_back(std::move(buffer));
  return int64_t(item.buffers.size()) - 1;
}

int64_t cases::addNormal(KernelCase &item, std::string name, int64_t count,
                         uint64_t seed, float scale, CaseElement element) {
  int64_t index =
      addOutput(item, std::move(name), elementBytes(element) * count);
  CaseFill &fill = item.buffers.back().fills.emplace_back();
  fill.element = element;
  fill.count = count;
  fill.seed = seed;
  fill.scale = scale;
  return index;
}

cases::LaunchBuilder::LaunchBuilder(KernelCases &cases, KernelCase &item,
                                    int64_t kernel, int64_t gridX,
                                    int64_t gridY, int64_t gridZ)
    : cases(cases), item(item), launch(item.launches.size()) {
  CaseLaunch &added = item.launches.emplace_back();
  added.kernel = kernel;
  added.grid = {gridX, gridY, gridZ};
}

CaseArgument &cases::LaunchBuilder::add(CaseArgument::Kind kind,
                                        DeviceManifest::Parameter parameter) {
  CaseLaunch &added = item.launches[launch];
  auto &parameters = cases.code.kernels[size_t(added.kernel)].parameters;
  size_t index = added.arguments.size();
  if (index == parameters.size())
    parameters.push_back(std::move(parameter));
  CaseArgument &argument = added.arguments.emplace_back();
  argument.kind = kind;
  return argument;
}

cases::LaunchBuilder &cases::LaunchBuilder::pointer(int64_t buffer,
                                                    int64_t offset) {
  CaseArgument &argument = add(CaseArgument::Kind::Pointer, {});
  argument.buffer = buffer;
  argument.offset = offset;
  return *this;
}

cases::LaunchBuilder &cases::LaunchBuilder::i32(int64_t value) {
  DeviceManifest::Parameter parameter;
  parameter.kind = DeviceManifest::ParameterKind::I32;
  add(CaseArgument::Kind::I32, parameter).integer = value;
  return *this;
}

cases::LaunchBuilder &cases::LaunchBuilder::tensor(
    int64_t buffer, std::vector<int64_t> sizes, std::vector<int64_t> box,
    int64_t swizzle, std::vector<int64_t> pitches, int64_t elementBytes) {
  DeviceManifest::Parameter parameter;
  parameter.kind = DeviceManifest::ParameterKind::TensorMap;
  parameter.map.rank = int64_t(sizes.size());
  parameter.map.box.assign(box.rbegin(), box.rend());
  parameter.map.swizzle = swizzle;
  if (elementBytes == 1)
    parameter.map.element = DeviceManifest::Element::U8;
  CaseArgument &argument = add(CaseArgument::Kind::Tensor, parameter);
  argument.buffer = buffer;
  argument.dims.assign(sizes.rbegin(), sizes.rend());
  int64_t stride = elementBytes;
  for (int64_t &dim : argument.dims) {
    argument.strides.push_back(stride);
    dim = std::max<int64_t>(dim, 1);
    stride *= dim;
  }
  for (size_t i = 0; i < pitches.size(); ++i)
    argument.strides[pitches.size() - i] = elementBytes * pitches[i];
  return *this;
}

std::vector<float> cases::caseNumbers(uint64_t seed, float scale, int64_t count,
                                      int64_t first) {
  std::vector<float> values(count);
  for (int64_t i = 0; i < count; ++i)
    values[i] = caseNumber(seed, scale, first + i);
  return values;
}

CaseCheck &cases::addCheck(KernelCase &item, int64_t buffer, bool f32,
                           double absolute, double relative) {
  CaseCheck &check = item.checks.emplace_back();
  check.what = item.buffers[buffer].name;
  check.buffer = buffer;
  check.element = f32 ? CaseElement::F32 : CaseElement::BF16;
  check.absolute = absolute;
  check.relative = relative;
  return check;
}
