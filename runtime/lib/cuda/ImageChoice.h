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

namespace dsv2rt::cuda {

/// Whether the device runs the image. Machine code for sm_XY runs on devices of
/// major version X and a minor version of at least Y, PTX on all of at least
/// X.Y, and either of sm_XYa on X.Y alone (CUDA C++ Programming Guide, "Binary
/// Compatibility", "Feature Set Compiler Targets"). The family sm_XYf is taken
/// as machine code of sm_XY is. The emulator runs bitcode, as PTX.
bool canRun(const DeviceManifest::Image &image, const Device::Info &device);

/// Index of the image to load: of those that can run machine code before PTX,
/// and then the newest architecture. Errors: Unsupported, naming the device's
/// compute capability and all images.
Expected<size_t> chooseImage(const Artifact &artifact,
                             const Device::Info &device);

} // namespace dsv2rt::cuda

#endif // DSV2RT_LIB_CUDA_IMAGECHOICE_H
