//===- ImageChoice.cpp - which code of an artifact a device runs ----------===//
//
// Part of dsv2, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "ImageChoice.h"
#include "Support.h"

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

int64_t dsv2rt::suitableImage(const DeviceManifest &code,
                              const Device::Info &device) {
  auto rank = [&](int64_t i) {
    const DeviceManifest::Image &image = code.images[i];
    Chip chip(image.chip);
    return std::make_tuple(image.kind != ImageKind::Ptx, chip.number,
                           chip.exact, chip.family);
  };
  int64_t best = -1;
  for (int64_t i = 0; i < int64_t(code.images.size()); ++i)
    if (canRun(code.images[i], device) && (best < 0 || rank(i) > rank(best)))
      best = i;
  return best;
}

Expected<size_t> cuda::chooseImage(const DeviceManifest &code,
                                   const std::string &name,
                                   const Device::Info &device) {
  int64_t best = suitableImage(code, device);
  if (best >= 0)
    return size_t(best);
  return makeError(StatusCode::Unsupported, name, " has code for ",
                   code.imagesText(), ", but device ", device.name, " ",
                   quote(device.model), " is of compute capability ",
                   device.major, ".", device.minor,
                   device.emulated ? " and emulated, which needs bitcode" : "");
}
