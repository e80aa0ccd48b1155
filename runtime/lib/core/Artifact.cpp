//===- Artifact.cpp - loading a compiled model ----------------------------===//
//
// Part of dsv2, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "dsv2rt/Artifact.h"
#include "Support.h"
#include "Variants.h"
#include "dsv2rt/Buffer.h"

#include <cstring>
#include <filesystem>

#include <dlfcn.h>
#include <elf.h>
#include <link.h>

using namespace dsv2rt;

/// What artifacts call. Nothing else refers to it, and a linker takes from a
/// static library only what something refers to.
[[gnu::used]] static void (*const entryPoints[])() = {
#define DSV2RT_ENTRY(NAME, RESULT, SIGNATURE)                                  \
  reinterpret_cast<void (*)()>(&NAME),
#include "dsv2rt/abi.def"
};

Artifact::~Artifact() {
  if (handle)
    dlclose(handle);
}

/// Checks that the file at `path` is a shared object of this architecture,
/// which gives clearer messages than the dynamic linker does.
static Status checkElf(const std::string &path) {
  Expected<MappedFile> opened = MappedFile::open(path);
  if (!opened.ok())
    return makeError(opened.status().code(),
                     "artifact: ", opened.status().message());
  const MappedFile &file = opened.value();
  auto refuse = [&](const std::string &found) {
    return makeError(StatusCode::CorruptData, "artifact ", quote(path),
                     ": expected an x86-64 ELF shared object, found ", found);
  };
  if (file.size() == 0)
    return refuse("an empty file");
  Elf64_Ehdr header;
  if (file.size() < sizeof(header))
    return refuse(strCat("a file of ", file.size(), " bytes"));
  std::memcpy(&header, file.data(), sizeof(header));
  if (std::memcmp(header.e_ident, ELFMAG, SELFMAG) != 0)
    return refuse("another kind of file");
  if (header.e_ident[EI_CLASS] != ELFCLASS64 ||
      header.e_ident[EI_DATA] != ELFDATA2LSB || header.e_machine != EM_X86_64)
    return refuse(strCat("an ELF file for machine ", header.e_machine));
  if (header.e_type != ET_DYN)
    return refuse(strCat("an ELF file of type ", header.e_type));
  uint64_t tableEnd = header.e_shoff + uint64_t(header.e_shnum) * 64;
  if (header.e_shoff && (tableEnd < header.e_shoff || tableEnd > file.size()))
    return refuse(strCat("a truncated file: ", file.size(), " of at least ",
                         tableEnd, " bytes"));
  return Status();
}

Status Artifact::open(const std::string &path) {
  name = path;
  Status status = checkElf(path);
  if (!status.ok())
    return status;
  // A name without a slash would be searched for in the library path.
  std::string absolute = std::filesystem::absolute(path).string();
  handle = dlopen(absolute.c_str(), RTLD_NOW | RTLD_LOCAL);
  if (handle)
    return Status();
  const char *reason = dlerror();
  return makeError(StatusCode::CorruptData, "artifact ", quote(path),
                   " cannot be loaded: ", reason ? reason : "unknown");
}

Expected<std::shared_ptr<const Artifact>>
Artifact::load(const std::string &path, const std::string &variant) {
  using Result = Expected<std::shared_ptr<const Artifact>>;
  return guarded([&]() -> Result {
    std::shared_ptr<Artifact> artifact(new Artifact());
    Status status = artifact->open(path);
    if (status.ok())
      status = artifact->bind(
          [&](const char *symbol) { return dlsym(artifact->handle, symbol); },
          variant);
    if (!status.ok())
      return status;
    return std::shared_ptr<const Artifact>(std::move(artifact));
  });
}

Expected<std::vector<ArtifactVariant>>
Artifact::inspect(const std::string &path) {
  using Result = Expected<std::vector<ArtifactVariant>>;
  return guarded([&]() -> Result {
    if (path.empty() && !inProcess())
      return makeError(StatusCode::NotFound,
                       "no artifact is linked into this program");
    Artifact artifact;
    Status status = path.empty() ? Status() : artifact.open(path);
    if (!status.ok())
      return status;
    void *handle = path.empty() ? RTLD_DEFAULT : artifact.handle;
    return readVariants(path.empty() ? "(built in)" : path,
                        [&](const char *name) { return dlsym(handle, name); });
  });
}

bool Artifact::inProcess() {
  return dlsym(RTLD_DEFAULT, DSV2RT_SYMBOL_ABI_VERSION) != nullptr;
}

Expected<std::shared_ptr<const Artifact>>
Artifact::fromProcess(const std::string &variant) {
  if (!inProcess())
    return makeError(StatusCode::NotFound,
                     "no artifact is linked into this program");
  // Named after the program, beside which its packed weights will stand.
  std::error_code code;
  std::filesystem::path program =
      std::filesystem::read_symlink("/proc/self/exe", code);
  return fromSymbols(
      code ? "(built in)" : program.string(),
      [](const char *symbol) { return dlsym(RTLD_DEFAULT, symbol); }, variant);
}

Expected<std::shared_ptr<const Artifact>>
Artifact::fromSymbols(const std::string &name,
                      const std::function<void *(const char *)> &find,
                      const std::string &variant) {
  return guarded([&]() -> Expected<std::shared_ptr<const Artifact>> {
    std::shared_ptr<Artifact> artifact(new Artifact());
    artifact->name = name;
    Status status = artifact->bind(find, variant);
    if (!status.ok())
      return status;
    return std::shared_ptr<const Artifact>(std::move(artifact));
  });
}

Status Artifact::bind(const std::function<void *(const char *)> &find,
                      const std::string &variant) {
  Expected<std::vector<ArtifactVariant>> list = readVariants(name, find);
  if (!list.ok())
    return list.status();
  Expected<size_t> choice = chooseVariant(list.value(), variant, name);
  if (!choice.ok())
    return choice.status();
  ArtifactVariant &chosen = list.value()[choice.value()];
  variants = list.value().size();
  variantName = chosen.name;
  contents = std::move(chosen.manifest);

  auto findOwn = [&](const char *symbol) {
    return find((symbol + chosen.suffix).c_str());
  };
  Status status = bindFunctions(findOwn);
  if (!status.ok() || !contents.reference)
    return status;
  reference.reset(new Artifact());
  reference->name = name + ".reference";
  reference->variantName = variantName;
  reference->variants = variants;
  reference->contents = *contents.reference;
  return reference->bindFunctions(findOwn);
}

Status
Artifact::bindFunctions(const std::function<void *(const char *)> &find) {
  Status status;
  auto symbol = [&](const std::string &wanted) {
    void *address = find(wanted.c_str());
    if (!address && status.ok())
      status = makeError(StatusCode::CorruptData, "artifact ", quote(name),
                         " does not export the symbol ", quote(wanted));
    return address;
  };
  size_t numExact = 0;
  for (const Manifest::Entry &entry : contents.entries) {
    Entry step{entry.name, entry.form, nullptr, nullptr, entry.capacity};
    step.step = reinterpret_cast<dsv2rt_step_fn>(symbol(entry.symbol));
    step.workspace =
        reinterpret_cast<dsv2rt_workspace_fn>(symbol(entry.workspace));
    if (entry.capacity)
      fixedIndex = steps.size();
    else
      (entry.name == "prefill" ? prefillIndex : decodeIndex) = steps.size();
    numExact += !entry.capacity;
    steps.push_back(std::move(step));
  }
  // With one entry it does the work of both.
  if (numExact == 1)
    prefillIndex = decodeIndex = std::max(prefillIndex, decodeIndex);
  if (!contents.copyPages.empty())
    copy = reinterpret_cast<dsv2rt_copy_pages_fn>(symbol(contents.copyPages));
  if (!contents.sample.empty())
    choose = reinterpret_cast<dsv2rt_sample_fn>(symbol(contents.sample));
  for (DType dtype : {DType::F32, DType::BF16, DType::F16})
    if (!contents.convert(dtype).empty())
      conversions[int(dtype)] =
          reinterpret_cast<dsv2rt_convert_fn>(symbol(contents.convert(dtype)));
  for (const Manifest::Prepare &prepare : contents.prepare)
    preparations.push_back(
        reinterpret_cast<dsv2rt_prepare_fn>(symbol(prepare.symbol)));
  if (status.ok() && contents.device)
    status = bindImages(find);
  return status;
}

/// Bytes of the symbol at `address`, or -1 when the dynamic linker does not
/// know.
static int64_t symbolBytes(const void *address) {
  Dl_info info;
  void *entry = nullptr;
  if (!dladdr1(address, &info, &entry, RTLD_DL_SYMENT) || !entry ||
      info.dli_saddr != address)
    return -1;
  return int64_t(static_cast<const ElfW(Sym) *>(entry)->st_size);
}

Status Artifact::bindImages(const std::function<void *(const char *)> &find) {
  for (const DeviceManifest::Image &image : contents.device->images) {
    const void *data = find(image.symbol.c_str());
    if (!data)
      return makeError(StatusCode::CorruptData, "artifact ", quote(name),
                       " does not export the symbol ", quote(image.symbol));
    int64_t held = symbolBytes(data);
    if (held >= 0 && held < image.bytes)
      return makeError(StatusCode::CorruptData, "artifact ", quote(name),
                       ": expected ", image.bytes, " bytes of ",
                       imageKindName(image.kind), " for ", image.chip, " in ",
                       quote(image.symbol), ", found ", held);
    imageData.push_back(data);
  }
  return Status();
}

std::string Artifact::targetText() const {
  if (!contents.device)
    return "the CPU";
  return strCat("a CUDA device: ", contents.device->imagesText());
}

std::shared_ptr<const Artifact>
Artifact::referenceOf(const std::shared_ptr<const Artifact> &artifact) {
  // Shares the ownership of what holds the code.
  return {artifact, artifact->reference.get()};
}

const Artifact::Entry &Artifact::entryFor(int64_t longest) const {
  return steps[longest >= contents.prefillMinTokens ? prefillIndex
                                                    : decodeIndex];
}

const Artifact::Entry *Artifact::fixedEntryFor(int64_t longest) const {
  bool decodes = longest < contents.prefillMinTokens;
  return fixedIndex && decodes ? &steps[*fixedIndex] : nullptr;
}
