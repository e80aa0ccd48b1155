//===- DeviceManifest.cpp - an artifact's code for a device ---------------===//
//
// Part of dsv2, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "dsv2rt/DeviceManifest.h"
#include "DeviceManifestReader.h"
#include "Support.h"
#include "dsv2rt/abi.h"

#include <algorithm>
#include <cctype>
#include <cstring>
#include <set>

using namespace dsv2rt;
using nlohmann::json;

// Limits of all compute capabilities (CUDA C++ Programming Guide, "Technical
// Specifications per Compute Capability"); what one device allows is checked
// when the kernels are loaded.
static constexpr int64_t maxBlockThreads = 1024;
static constexpr int64_t maxBlockDepth = 64;
static constexpr int64_t maxClusterBlocks = 16;
static constexpr int64_t maxSharedBytes = 256 << 10;
/// Bytes of the parameters of one kernel, from compute capability 7.0 on.
static constexpr int64_t maxParameterBytes = 32764;
/// Elements of a box in one dimension (CUDA Driver API,
/// cuTensorMapEncodeTiled).
static constexpr int64_t maxBox = 256;
static constexpr int64_t tensorMapBytes = 128;

/// More than any model has; a manifest that claims more is damaged.
static constexpr size_t maxKernels = 1 << 16;
static constexpr size_t maxImages = 64;
static constexpr int64_t maxImageBytes = int64_t(1) << 32;

namespace {

template <class Value> struct Name {
  const char *name;
  Value value;
};

using Element = DeviceManifest::Element;
using ParameterKind = DeviceManifest::ParameterKind;
using ImageKind = DeviceManifest::ImageKind;

constexpr Name<Element> elementNames[] = {
    {"u8", Element::U8},     {"u16", Element::U16}, {"u32", Element::U32},
    {"i32", Element::I32},   {"f16", Element::F16}, {"f32", Element::F32},
    {"bf16", Element::BF16},
};

constexpr Name<ParameterKind> parameterNames[] = {
    {"pointer", ParameterKind::Pointer},
    {"i32", ParameterKind::I32},
    {"i64", ParameterKind::I64},
    {"f32", ParameterKind::F32},
    {"tensor_map", ParameterKind::TensorMap},
};

constexpr Name<ImageKind> imageNames[] = {
    {"cubin", ImageKind::Cubin},
    {"ptx", ImageKind::Ptx},
    {"bitcode", ImageKind::Bitcode},
};

/// Reads a string that has to be one of `names`.
template <class Value, size_t count>
Value readName(ObjectReader &reader, const char *key,
               const Name<Value> (&names)[count]) {
  std::string text = reader.string(key);
  std::string expected;
  for (size_t i = 0; i < count; ++i) {
    if (text == names[i].name)
      return names[i].value;
    expected += (i == 0           ? "'"
                 : i + 1 == count ? " or '"
                                  : ", '") +
                std::string(names[i].name) + "'";
  }
  reader.fail(key, expected, quote(text));
  return names[0].value;
}

/// Reads three sizes of 1 to `limit`, whose product is at most `limit` too.
DeviceManifest::Extent readExtent(ObjectReader &reader, const char *key,
                                  int64_t limit) {
  std::vector<int64_t> sizes = reader.integers(key, 1, limit);
  // A failure of the array itself has been noted.
  if (sizes.size() == 3 && sizes[0] * sizes[1] * sizes[2] <= limit)
    return {sizes[0], sizes[1], sizes[2]};
  reader.fail(key, strCat("three sizes with a product of at most ", limit),
              shapeText(sizes));
  return {1, 1, 1};
}

DeviceManifest::TensorMap readTensorMap(ObjectReader &reader) {
  DeviceManifest::TensorMap map;
  map.element = readName(reader, "dtype", elementNames);
  map.rank = reader.integer("rank", 1, DSV2RT_MAX_TENSOR_RANK);
  map.box = reader.integers("box", 1, maxBox);
  map.swizzle = reader.integer("swizzle", 0, 128);
  if (int64_t(map.box.size()) != map.rank) {
    reader.fail("box", strCat(map.rank, " sizes, as many as the rank"),
                shapeText(map.box));
    return map;
  }
  if (map.swizzle && map.swizzle != 32 && map.swizzle != 64 &&
      map.swizzle != 128)
    reader.fail("swizzle", "0, 32, 64 or 128", std::to_string(map.swizzle));
  int64_t inner = map.box[0] * elementBytes(map.element);
  if (inner % 16 || (map.swizzle && inner > map.swizzle))
    reader.fail("box",
                strCat("an innermost size of a multiple of 16 bytes",
                       map.swizzle ? strCat(", at most ", map.swizzle) : ""),
                strCat(inner, " bytes"));
  int64_t bytes = elementBytes(map.element);
  for (int64_t size : map.box)
    bytes *= size;
  if (bytes > maxSharedBytes)
    reader.fail("box", strCat("at most ", maxSharedBytes, " bytes"),
                shapeText(map.box));
  return map;
}

bool isKernelName(const std::string &name) {
  return !name.empty() && name.size() <= 1024 &&
         std::all_of(name.begin(), name.end(), [](unsigned char c) {
           return std::isalnum(c) || c == '_' || c == '$' || c == '.';
         });
}

/// "sm_" and a number of two or three digits, possibly followed by "a" (this
/// architecture only) or "f" (its family).
bool isChipName(const std::string &name) {
  if (name.rfind("sm_", 0) != 0)
    return false;
  size_t end = name.find_first_not_of("0123456789", 3);
  std::string suffix = end == std::string::npos ? "" : name.substr(end);
  size_t digits = name.size() - 3 - suffix.size();
  return (digits == 2 || digits == 3) && name[3] != '0' &&
         (suffix.empty() || suffix == "a" || suffix == "f");
}

DeviceManifest::Kernel readKernel(const json &object, const std::string &path,
                                  Status &status) {
  ObjectReader reader(object, path, status);
  DeviceManifest::Kernel kernel;
  kernel.name = reader.string("name");
  if (!isKernelName(kernel.name))
    reader.fail("name", "letters, digits and any of _$.", quote(kernel.name));
  kernel.chip = reader.stringOr("chip", "");
  if (!kernel.chip.empty() && !isChipName(kernel.chip))
    reader.fail("chip", "a name as 'sm_90' or 'sm_90a'", quote(kernel.chip));
  kernel.block = readExtent(reader, "block", maxBlockThreads);
  if (kernel.block[2] > maxBlockDepth)
    reader.fail("block", strCat("at most ", maxBlockDepth, " in z"),
                std::to_string(kernel.block[2]));
  if (reader.find("cluster"))
    kernel.cluster = readExtent(reader, "cluster", maxClusterBlocks);
  kernel.sharedBytes = reader.integer("shared_bytes", 0, maxSharedBytes);
  kernel.programmaticLaunch = reader.find("pdl") && reader.boolean("pdl");
  const json &list = reader.array("parameters");
  int64_t bytes = 0;
  for (size_t i = 0; i < list.size(); ++i) {
    ObjectReader item(list[i], strCat(path, ".parameters[", i, "]"), status);
    DeviceManifest::Parameter parameter;
    parameter.kind = readName(item, "kind", parameterNames);
    if (parameter.kind == ParameterKind::TensorMap)
      parameter.map = readTensorMap(item);
    int64_t size = parameterBytes(parameter.kind);
    // A tensor map is aligned to half its size.
    bytes = roundUp(bytes, std::min<int64_t>(size, 64)) + size;
    if (bytes > maxParameterBytes)
      reader.fail("parameters", strCat("at most ", maxParameterBytes, " bytes"),
                  strCat(list.size(), " parameters"));
    if (!status.ok())
      break;
    kernel.parameters.push_back(std::move(parameter));
  }
  return kernel;
}

DeviceManifest::Image readImage(const json &object, const std::string &path,
                                Status &status) {
  ObjectReader reader(object, path, status);
  DeviceManifest::Image image;
  image.chip = reader.string("chip");
  if (!isChipName(image.chip))
    reader.fail("chip", "a name as 'sm_90' or 'sm_90a'", quote(image.chip));
  image.kind = readName(reader, "kind", imageNames);
  image.symbol = reader.string("symbol");
  if (image.symbol.empty() || image.symbol.find('\0') != std::string::npos)
    reader.fail("symbol", "the name of a symbol", quote(image.symbol));
  image.bytes = reader.integer("size", 1, maxImageBytes);
  return image;
}

} // namespace

const char *dsv2rt::imageKindName(DeviceManifest::ImageKind kind) {
  return imageNames[int(kind)].name;
}

const char *dsv2rt::elementName(DeviceManifest::Element element) {
  return elementNames[int(element)].name;
}

int64_t dsv2rt::parameterBytes(DeviceManifest::ParameterKind kind) {
  switch (kind) {
  case ParameterKind::I32:
  case ParameterKind::F32:
    return 4;
  case ParameterKind::Pointer:
  case ParameterKind::I64:
    return 8;
  case ParameterKind::TensorMap:
    return tensorMapBytes;
  }
  return tensorMapBytes;
}

int64_t dsv2rt::elementBytes(DeviceManifest::Element element) {
  switch (element) {
  case Element::U8:
    return 1;
  case Element::U16:
  case Element::F16:
  case Element::BF16:
    return 2;
  case Element::U32:
  case Element::I32:
  case Element::F32:
    return 4;
  }
  return 4;
}

std::string DeviceManifest::imagesText() const {
  std::string text;
  for (const Image &image : images)
    text += strCat(text.empty() ? "" : ", ", image.chip, " (",
                   imageKindName(image.kind), ")");
  return text;
}

DeviceManifest dsv2rt::readDeviceManifest(const json &object,
                                          const std::string &path,
                                          Status &status) {
  ObjectReader reader(object, path, status);
  DeviceManifest device;
  device.kind = reader.string("kind");
  if (status.ok() && device.kind != "cuda")
    status = makeError(StatusCode::Unsupported, path,
                       ".kind: this runtime runs 'cuda', found ",
                       quote(device.kind));

  const json &kernels = reader.array("kernels");
  if (kernels.size() > maxKernels)
    reader.fail("kernels", strCat("at most ", maxKernels),
                std::to_string(kernels.size()));
  std::set<std::string> names;
  for (size_t i = 0; status.ok() && i < kernels.size(); ++i) {
    DeviceManifest::Kernel kernel =
        readKernel(kernels[i], strCat(path, ".kernels[", i, "]"), status);
    if (status.ok() && !names.insert(kernel.name).second)
      reader.fail(strCat("kernels[", i, "].name"), "a name of its own",
                  quote(kernel.name) + " again");
    device.kernels.push_back(std::move(kernel));
  }

  const json &images = reader.array("images");
  if (status.ok() && (images.empty() || images.size() > maxImages))
    reader.fail("images", strCat("1 to ", maxImages, " images"),
                std::to_string(images.size()));
  for (size_t i = 0; status.ok() && i < images.size(); ++i) {
    DeviceManifest::Image image =
        readImage(images[i], strCat(path, ".images[", i, "]"), status);
    for (const DeviceManifest::Image &other : device.images)
      if (other.chip == image.chip && other.kind == image.kind)
        reader.fail(strCat("images[", i, "].chip"),
                    "one image of a kind for every chip",
                    quote(image.chip) + " again");
    device.images.push_back(std::move(image));
  }
  if (reader.find("sites"))
    device.sites = reader.strings("sites");
  return device;
}
