//===- ImageChoice.h - which code of an artifact a device runs --*- C++ -*-===//
//
// Part of dsv2, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef DSV2RT_LIB_CUDA_IMAGECHOICE_H
#define DSV2RT_LIB_CUDA_IMAGECHOICE_H

#include "dsv2rt/Artifact.h"
#include "dsv2rt/Device.h"
#include "dsv2rt/Status.h"

#include <cstddef>
#include <string>
#include <vector>

namespace dsv2rt::cuda {

/// The number in a chip's name, which the manifest's reader has checked: 90 of
/// "sm_90a".
int chipNumber(const std::string &chip);

/// Whether the device runs the image; suitableImage() has the rules.
bool canRun(const DeviceManifest::Image &image, const Device::Info &device);

/// Indices of the images of `code` that the device runs, the best first, as of
/// suitableImage(). Errors: Unsupported if there are none, naming the device's
/// compute capability and all images; `name` is what the message calls their
/// owner.
Expected<std::vector<size_t>> chooseImages(const DeviceManifest &code,
                                           const std::string &name,
                                           const Device::Info &device);

} // namespace dsv2rt::cuda

#endif // DSV2RT_LIB_CUDA_IMAGECHOICE_H
