//===- ImageChoice.cpp - which code of an artifact a device runs ----------===//
//
// Part of dsv2, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "ImageChoice.h"
#include "Support.h"

#include <algorithm>
#include <cstdlib>
#include <tuple>

using namespace dsv2rt;
using namespace dsv2rt::cuda;

using ImageKind = DeviceManifest::ImageKind;

namespace {

/// What "sm_90a" says.
struct Chip {
  int number = 0;
  bool exact = false, family = false;

  /// `name` has been validated with the manifest.
  explicit Chip(const std::string &name)
      : number(chipNumber(name)), exact(name.back() == 'a'),
        family(name.back() == 'f') {}
};

} // namespace

int cuda::chipNumber(const std::string &chip) {
  return std::atoi(chip.c_str() + 3);
}

bool cuda::canRun(const DeviceManifest::Image &image,
                  const Device::Info &device) {
  if (device.emulated != (image.kind == ImageKind::Bitcode))
    return false;
  Chip chip(image.chip);
  int own = device.major * 10 + device.minor;
  if (chip.exact)
    return chip.number == own;
  bool sameMajor = chip.number / 10 == device.major;
  if (image.kind == ImageKind::Cubin || chip.family)
    return sameMajor && chip.number <= own;
  return chip.number <= own;
}

/// Of the images those that the device runs, the best first.
static std::vector<size_t> suitableImages(const DeviceManifest &code,
                                          const Device::Info &device) {
  auto rank = [&](size_t i) {
    const DeviceManifest::Image &image = code.images[i];
    Chip chip(image.chip);
    // Of equals the first.
    return std::make_tuple(image.kind != ImageKind::Ptx, chip.number,
                           chip.exact, chip.family, code.images.size() - i);
  };
  std::vector<size_t> suitable;
  for (size_t i = 0; i < code.images.size(); ++i)
    if (canRun(code.images[i], device))
      suitable.push_back(i);
  std::sort(suitable.begin(), suitable.end(),
            [&](size_t a, size_t b) { return rank(a) > rank(b); });
  return suitable;
}

int64_t dsv2rt::suitableImage(const DeviceManifest &code,
                              const Device::Info &device) {
  std::vector<size_t> suitable = suitableImages(code, device);
  return suitable.empty() ? -1 : int64_t(suitable.front());
}

Expected<std::vector<size_t>> cuda::chooseImages(const DeviceManifest &code,
                                                 const std::string &name,
                                                 const Device::Info &device) {
  std::vector<size_t> suitable = suitableImages(code, device);
  if (!suitable.empty())
    return suitable;
  return makeError(StatusCode::Unsupported, name, " has code for ",
                   code.imagesText(), ", but device ", device.name, " ",
                   quote(device.model), " is of compute capability ",
                   device.major, ".", device.minor,
                   device.emulated ? " and emulated, which needs bitcode" : "");
}
