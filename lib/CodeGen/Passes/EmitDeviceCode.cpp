//===- EmitDeviceCode.cpp - kernels of the device to images ---------------===//
//
// Part of dsv2, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "dsv2/CodeGen/Passes.h"

#include "dsv2/Support/GPUTargetInfo.h"
#include "dsv2/Target/Assembler.h"
#include "dsv2/Target/DeviceCode.h"
#include "mlir/Dialect/GPU/IR/GPUDialect.h"
#include "mlir/Dialect/LLVMIR/LLVMDialect.h"
#include "llvm/ADT/StringExtras.h"

namespace mlir::dsv2 {
#define GEN_PASS_DEF_EMITDEVICECODEPASS
#include "dsv2/CodeGen/Passes.h.inc"
} // namespace mlir::dsv2

using namespace mlir;
using namespace mlir::dsv2;

namespace {

struct Image {
  std::string chip, kind;
  SmallVector<char, 0> bytes;
};

struct EmitDeviceCode
    : public mlir::dsv2::impl::EmitDeviceCodePassBase<EmitDeviceCode> {
  using EmitDeviceCodePassBase::EmitDeviceCodePassBase;

  void runOnOperation() override {
    ModuleOp module = getOperation();
    auto device = module.lookupSymbol<mlir::gpu::GPUModuleOp>(kDeviceModule);
    if (!device) {
      module.emitError() << "expected a gpu.module @" << kDeviceModule
                         << " with the kernels of the device";
      return signalPassFailure();
    }
    std::vector<Image> images;
    if (llvm::Error error = emit(device, images)) {
      module.emitError() << llvm::toString(std::move(error));
      return signalPassFailure();
    }
    device.erase();
    addImages(images);
  }

private:
  /// The kinds of code that are asked for, and ptxas if one of them needs it.
  llvm::Expected<SmallVector<StringRef>> getKinds(std::string &assembler) {
    auto found = findCUDAProgram("ptxas", ptxas, "--ptxas");
    if (gpuCode == "auto") {
      if (!found && !ptxas.empty())
        return found.takeError();
      bool exists = static_cast<bool>(found);
      if (exists)
        assembler = *found;
      else
        llvm::consumeError(found.takeError());
      // A driver may be too old for the code of this ptxas, and new enough for
      // the text.
      return exists ? SmallVector<StringRef>{"cubin", "ptx"}
                    : SmallVector<StringRef>{"ptx"};
    }
    SmallVector<StringRef> kinds;
    StringRef(gpuCode).split(kinds, ',');
    for (auto [i, kind] : llvm::enumerate(kinds)) {
      bool known = kind == "cubin" || kind == "ptx" || kind == "bitcode";
      if (known && !llvm::is_contained(ArrayRef(kinds).take_front(i), kind))
        continue;
      if (!found)
        llvm::consumeError(found.takeError());
      return llvm::createStringError(
          "gpu-code: expected auto, or different ones of cubin, ptx and "
          "bitcode, got '" +
          gpuCode + "'");
    }
    if (!found) {
      if (llvm::is_contained(kinds, "cubin"))
        return found.takeError();
      llvm::consumeError(found.takeError());
    } else {
      assembler = *found;
    }
    return kinds;
  }

  llvm::Error emit(mlir::gpu::GPUModuleOp device, std::vector<Image> &images) {
    auto chips = GPUTargetInfo::parseList(gpuChips);
    if (!chips)
      return chips.takeError();
    std::string assembler;
    auto kinds = getKinds(assembler);
    if (!kinds)
      return kinds.takeError();
    for (const GPUTargetInfo &chip : *chips) {
      auto code = DeviceCode::create(device, chip);
      if (!code)
        return code.takeError();
      std::string ptx;
      if (llvm::any_of(*kinds,
                       [](StringRef kind) { return kind != "bitcode"; })) {
        auto text = code->getPTX();
        if (!text)
          return text.takeError();
        ptx = std::move(*text);
      }
      for (StringRef kind : *kinds) {
        Image &image = images.emplace_back();
        image.chip = chip.chip.str();
        image.kind = kind.str();
        if (kind == "bitcode") {
          image.bytes = code->getBitcode();
          continue;
        }
        if (kind == "ptx") {
          image.bytes.append(ptx.begin(), ptx.end());
          // The driver takes text without a length.
          image.bytes.push_back('\0');
          continue;
        }
        auto cubin = assemblePTX(ptx, chip, assembler);
        if (!cubin)
          return cubin.takeError();
        image.bytes = std::move(cubin->image);
      }
    }
    return llvm::Error::success();
  }

  void addImages(ArrayRef<Image> images) {
    ModuleOp module = getOperation();
    OpBuilder b = OpBuilder::atBlockBegin(module.getBody());
    SmallVector<Attribute> list;
    for (auto [i, image] : llvm::enumerate(images)) {
      std::string symbol = "dsv2_image_" + std::to_string(i);
      StringRef bytes(image.bytes.data(), image.bytes.size());
      LLVM::GlobalOp::create(
          b, module.getLoc(),
          LLVM::LLVMArrayType::get(b.getI8Type(), bytes.size()),
          /*isConstant=*/true, LLVM::Linkage::External, symbol,
          b.getStringAttr(bytes), /*alignment=*/64);
      list.push_back(b.getDictionaryAttr({
          b.getNamedAttr("chip", b.getStringAttr(image.chip)),
          b.getNamedAttr("kind", b.getStringAttr(image.kind)),
          b.getNamedAttr("symbol", b.getStringAttr(symbol)),
          b.getNamedAttr("size", b.getI64IntegerAttr(bytes.size())),
      }));
    }
    setManifestEntry(module, "device", "images", b.getArrayAttr(list));
  }
};

} // namespace
