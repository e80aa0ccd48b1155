//===- ArtifactImages.cpp - the device code of an artifact ----------------===//
//
// Part of dsv2, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "ArtifactImages.h"

#include "Variants.h"
#include "mlir/AsmParser/AsmParser.h"
#include "llvm/ADT/StringMap.h"
#include "llvm/BinaryFormat/Magic.h"
#include "llvm/Bitcode/BitcodeReader.h"
#include "llvm/IR/LLVMContext.h"
#include "llvm/IR/Module.h"
#include "llvm/Object/ELFObjectFile.h"
#include "llvm/Support/Endian.h"

using namespace mlir;
using namespace mlir::dsv2;
using namespace dsv2rt;

using ImageKind = DeviceManifest::ImageKind;

bool ArtifactImages::isArtifact(StringRef path) {
  llvm::file_magic magic;
  return !llvm::identify_magic(path, magic) &&
         magic == llvm::file_magic::elf_shared_object;
}

/// What each symbol that an ELF file exports stands for, up to the end of its
/// section.
static llvm::Expected<llvm::StringMap<StringRef>>
readSymbols(llvm::MemoryBufferRef file) {
  auto object = llvm::object::ObjectFile::createELFObjectFile(file);
  if (!object)
    return object.takeError();
  auto *elf = cast<llvm::object::ELFObjectFileBase>(object->get());
  llvm::StringMap<StringRef> symbols;
  for (const llvm::object::ELFSymbolRef &symbol :
       elf->getDynamicSymbolIterators()) {
    auto name = symbol.getName();
    if (!name)
      return name.takeError();
    auto section = symbol.getSection();
    if (!section)
      return section.takeError();
    auto address = symbol.getAddress();
    if (!address)
      return address.takeError();
    if (*section == elf->section_end() || (*section)->isBSS())
      continue;
    auto contents = (*section)->getContents();
    if (!contents)
      return contents.takeError();
    uint64_t offset = *address - (*section)->getAddress();
    if (offset < contents->size())
      symbols[*name] = contents->drop_front(offset);
  }
  return symbols;
}

/// Whether what is said of the manifests' sizes, and of the version, lies in
/// the file: who reads them trusts it.
static bool isWhole(const llvm::StringMap<StringRef> &symbols) {
  constexpr StringRef sizeName = DSV2RT_SYMBOL_MANIFEST_SIZE;
  for (const auto &symbol : symbols) {
    StringRef suffix = symbol.getKey();
    if (suffix == DSV2RT_SYMBOL_ABI_VERSION &&
        symbol.second.size() < sizeof(uint32_t))
      return false;
    if (!suffix.consume_front(sizeName))
      continue;
    StringRef text = symbols.lookup((DSV2RT_SYMBOL_MANIFEST + suffix).str());
    if (symbol.second.size() < sizeof(uint64_t) ||
        llvm::support::endian::read64le(symbol.second.data()) > text.size())
      return false;
  }
  return true;
}

llvm::Expected<ArtifactImages> ArtifactImages::open(StringRef path) {
  ArtifactImages result;
  result.name = path.str();
  auto file = llvm::MemoryBuffer::getFile(path);
  if (!file)
    return llvm::createStringError(file.getError(),
                                   "cannot read '" + path + "'");
  result.file = std::move(*file);
  auto symbols = readSymbols(result.file->getMemBufferRef());
  if (!symbols)
    return llvm::createStringError("artifact '" + path +
                                   "': " + llvm::toString(symbols.takeError()));
  if (!isWhole(*symbols))
    return llvm::createStringError("artifact '" + path +
                                   "': its manifest does not lie in the file");
  ::dsv2rt::Expected<std::vector<ArtifactVariant>> variants =
      readVariants(result.name, [&](const char *symbol) -> void * {
        return const_cast<char *>(symbols->lookup(symbol).data());
      });
  if (!variants.ok())
    return llvm::createStringError(variants.status().message());
  // Code for devices is the same for every processor of the host.
  ArtifactVariant &variant = variants.value().front();
  if (!variant.manifest.device)
    return llvm::createStringError(
        "artifact '" + path +
        "' has no kernels: expected one that was compiled with --target=cuda");
  result.code = std::move(*variant.manifest.device);
  for (const DeviceManifest::Image &image : result.code.images) {
    StringRef bytes = symbols->lookup(image.symbol + variant.suffix);
    if (bytes.size() < size_t(image.bytes))
      return llvm::createStringError(
          "artifact '" + path + "' does not hold the " + Twine(image.bytes) +
          " bytes of '" + image.symbol + "'");
    result.images.push_back(bytes.take_front(image.bytes));
  }
  return result;
}

std::vector<std::string> ArtifactImages::getChips() const {
  std::vector<std::string> chips;
  for (const DeviceManifest::Image &image : code.images)
    if (!llvm::is_contained(chips, image.chip))
      chips.push_back(image.chip);
  return chips;
}

llvm::Expected<StringRef> ArtifactImages::getImage(StringRef chip,
                                                   ImageKind kind) const {
  for (auto [image, bytes] : llvm::zip_equal(code.images, images))
    if (image.chip == chip && image.kind == kind)
      return bytes;
  return llvm::createStringError(
      "artifact '" + name + "' has no " + imageKindName(kind) + " for " + chip +
      ", only " + code.imagesText() + ": compile it with --gpu-code=" +
      imageKindName(kind) + " --gpu-chip=" + chip);
}

llvm::Error ArtifactImages::addFacts(MLIRContext &context, StringRef bitcode,
                                     std::vector<NamedKernel> &kernels) const {
  llvm::LLVMContext llvmContext;
  auto module = llvm::getLazyBitcodeModule(
      llvm::MemoryBufferRef(bitcode, "bitcode"), llvmContext);
  if (!module)
    return llvm::createStringError("artifact '" + name + "': its bitcode: " +
                                   llvm::toString(module.takeError()));
  for (NamedKernel &kernel : kernels) {
    llvm::Function *function = (*module)->getFunction(kernel.name);
    if (!function || !function->hasFnAttribute(kCostFactsAttr))
      continue;
    StringRef text =
        function->getFnAttribute(kCostFactsAttr).getValueAsString();
    // Text that does not parse is not valid either.
    Attribute value = parseAttribute(text, &context);
    auto facts =
        readFacts(kernel.name, value ? value : UnitAttr::get(&context));
    if (!facts)
      return facts.takeError();
    kernel.facts = std::move(*facts);
  }
  return llvm::Error::success();
}

llvm::Expected<std::vector<NamedKernel>>
ArtifactImages::listKernels(MLIRContext &context,
                            ArrayRef<GPUTargetInfo> targets) const {
  std::vector<NamedKernel> kernels;
  for (const DeviceManifest::Kernel &kernel : code.kernels)
    kernels.push_back({kernel.name, kernel.chip, std::nullopt, nullptr});
  llvm::erase_if(kernels, [&](const NamedKernel &kernel) {
    return llvm::none_of(targets, [&](const GPUTargetInfo &target) {
      return kernel.isFor(target);
    });
  });
  for (const GPUTargetInfo &target : targets) {
    auto bitcode = getImage(target.chip, ImageKind::Bitcode);
    if (!bitcode)
      llvm::consumeError(bitcode.takeError());
    else if (llvm::Error error = addFacts(context, *bitcode, kernels))
      return error;
  }
  return kernels;
}

llvm::Expected<std::shared_ptr<KernelCases>>
ArtifactImages::getCases(StringRef chip, ArrayRef<std::string> names) const {
  auto bitcode = getImage(chip, ImageKind::Bitcode);
  if (!bitcode)
    return bitcode.takeError();
  auto result = std::make_shared<KernelCases>();
  result->code.kind = code.kind;
  for (const std::string &wanted : names)
    for (const DeviceManifest::Kernel &kernel : code.kernels)
      if (kernel.name == wanted)
        result->code.kernels.push_back(kernel);
  DeviceManifest::Image &image = result->code.images.emplace_back();
  image.chip = chip.str();
  image.kind = ImageKind::Bitcode;
  image.symbol = "bitcode";
  image.bytes = int64_t(bitcode->size());
  result->images.emplace_back(bitcode->begin(), bitcode->end());
  return result;
}
