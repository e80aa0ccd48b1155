//===- Variants.cpp - code for several processors -------------------------===//
//
// Part of dsv2, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "Variants.h"
#include "Json.h"
#include "Support.h"
#include "dsv2rt/CpuFeatures.h"

#include <algorithm>
#include <cctype>
#include <cstring>

using namespace dsv2rt;
using nlohmann::json;

namespace {

/// More than anyone compiles for; a manifest that claims more is damaged.
constexpr size_t maxVariants = 64;

/// Reads what an artifact exports beside its functions.
class Reader {
public:
  Reader(const std::string &name,
         const std::function<void *(const char *)> &find)
      : what("artifact " + quote(name)), find(find) {}

  Expected<std::vector<ArtifactVariant>> read();

private:
  Status checkVersion() const;
  Expected<std::string_view> manifestText(const std::string &suffix) const;
  Expected<std::vector<ArtifactVariant>> readTable(const json &table) const;
  Status complete(ArtifactVariant &variant, bool several) const;

  std::string what;
  const std::function<void *(const char *)> &find;
};

} // namespace

Status Reader::checkVersion() const {
  auto *version =
      static_cast<const uint32_t *>(find(DSV2RT_SYMBOL_ABI_VERSION));
  if (!version)
    return makeError(StatusCode::CorruptData, what,
                     " is not a dsv2 artifact: it does not export '",
                     DSV2RT_SYMBOL_ABI_VERSION, "'");
  if (*version != DSV2RT_ABI_VERSION)
    return makeError(StatusCode::Unsupported, what, " has ABI version ",
                     *version, ", this runtime has ", DSV2RT_ABI_VERSION,
                     "; compile it again");
  return Status();
}

Expected<std::string_view>
Reader::manifestText(const std::string &suffix) const {
  std::string sizeName = DSV2RT_SYMBOL_MANIFEST_SIZE + suffix;
  std::string textName = DSV2RT_SYMBOL_MANIFEST + suffix;
  auto *size = static_cast<const uint64_t *>(find(sizeName.c_str()));
  auto *text = static_cast<const char *>(find(textName.c_str()));
  if (!size || !text)
    return makeError(StatusCode::CorruptData, what,
                     " does not export the symbol ",
                     quote(size ? textName : sizeName));
  return std::string_view(text, size_t(*size));
}

/// Names end up in the names of files, and in messages.
static bool isPlainName(const std::string &name) {
  return !name.empty() && name.size() <= 1024 && name[0] != '.' &&
         std::all_of(name.begin(), name.end(), [](unsigned char c) {
           return std::isalnum(c) || std::strchr("._-+,", c);
         });
}

Expected<std::vector<ArtifactVariant>>
Reader::readTable(const json &table) const {
  Status status;
  std::vector<ArtifactVariant> variants;
  ObjectReader root(table, "manifest", status);
  std::string format = root.string("format");
  if (status.ok() && format != "dsv2-artifact")
    root.fail("format", "'dsv2-artifact'", quote(format));
  int64_t version = root.integer("version", 0, 1 << 20);
  if (status.ok() && version != 1)
    return makeError(StatusCode::Unsupported,
                     "manifest.version: this runtime reads version 1, found ",
                     version);
  const json &list = root.array("variants");
  if (status.ok() && (list.empty() || list.size() > maxVariants))
    root.fail("variants", strCat("1 to ", maxVariants, " variants"),
              std::to_string(list.size()));
  for (size_t i = 0; status.ok() && i < list.size(); ++i) {
    ObjectReader reader(list[i], strCat("manifest.variants[", i, "]"), status);
    ArtifactVariant variant;
    variant.name = reader.string("name");
    variant.suffix = reader.string("suffix");
    if (status.ok() && !isPlainName(variant.name))
      reader.fail("name", "letters, digits and any of ._-+,",
                  quote(variant.name));
    // Without one it would be the symbols of the table itself.
    if (status.ok() &&
        !isPlainName(variant.suffix.substr(variant.suffix.rfind('.', 0) == 0)))
      reader.fail("suffix", "letters, digits and any of ._-+,",
                  quote(variant.suffix));
    for (const ArtifactVariant &other : variants)
      if (other.name == variant.name)
        reader.fail("name", "a name of its own",
                    quote(variant.name) + " again");
    variants.push_back(std::move(variant));
  }
  if (!status.ok())
    return status;
  return variants;
}

/// Reads the variant's own manifest.
Status Reader::complete(ArtifactVariant &variant, bool several) const {
  Expected<std::string_view> text = manifestText(variant.suffix);
  if (!text.ok())
    return text.status();
  std::string whose = several ? "CPU variant " + quote(variant.name) : what;
  Expected<Manifest> manifest = parseManifest(text.value());
  if (!manifest.ok())
    return makeError(manifest.status().code(), several ? what + ", " : "",
                     whose, ": ", manifest.status().message());
  variant.manifest = std::move(manifest.value());
  if (!several)
    variant.name = variant.manifest.target.cpu;
  variant.usable = checkCpuFeatures(variant.manifest.target.features, whose);
  return Status();
}

Expected<std::vector<ArtifactVariant>> Reader::read() {
  Status status = checkVersion();
  if (!status.ok())
    return status;
  Expected<std::string_view> text = manifestText("");
  if (!text.ok())
    return text.status();
  std::vector<ArtifactVariant> variants;
  Expected<json> table = parseStrictJson(text.value(), "the manifest");
  bool several = table.ok() && table.value().is_object() &&
                 table.value().contains("variants");
  if (several) {
    Expected<std::vector<ArtifactVariant>> listed = readTable(table.value());
    if (!listed.ok())
      return makeError(listed.status().code(), what, ": ",
                       listed.status().message());
    variants = std::move(listed.value());
  } else {
    variants.emplace_back();
  }
  for (ArtifactVariant &variant : variants) {
    status = complete(variant, several);
    if (!status.ok())
      return status;
  }
  return variants;
}

Expected<std::vector<ArtifactVariant>>
dsv2rt::readVariants(const std::string &name,
                     const std::function<void *(const char *)> &find) {
  return Reader(name, find).read();
}

Expected<size_t>
dsv2rt::chooseVariant(const std::vector<ArtifactVariant> &variants,
                      const std::string &wanted, const std::string &name) {
  std::string what = "artifact " + quote(name);
  std::string names, reasons;
  for (size_t i = 0; i < variants.size(); ++i) {
    const ArtifactVariant &variant = variants[i];
    if (variant.name == wanted || (wanted.empty() && variant.usable.ok())) {
      if (variant.usable.ok())
        return i;
      if (variants.size() == 1)
        return variant.usable;
      return makeError(variant.usable.code(), what, ", ",
                       variant.usable.message());
    }
    names += (i ? ", " : "") + quote(variant.name);
    reasons += (i ? "; " : "") + variant.usable.message();
  }
  if (!wanted.empty())
    return makeError(StatusCode::InvalidArgument, what,
                     ": expected one of its CPU variants ", names, ", found ",
                     quote(wanted));
  if (variants.size() == 1)
    return variants.front().usable;
  return makeError(StatusCode::Unsupported, what,
                   " has no CPU variant for this host: ", reasons);
}
