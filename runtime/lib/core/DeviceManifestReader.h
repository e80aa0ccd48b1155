//===- DeviceManifestReader.h - reads a manifest's device -------*- C++ -*-===//
//
// Part of dsv2, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef DSV2RT_LIB_CORE_DEVICEMANIFESTREADER_H
#define DSV2RT_LIB_CORE_DEVICEMANIFESTREADER_H

#include "Json.h"
#include "dsv2rt/DeviceManifest.h"
#include "dsv2rt/Status.h"

#include <string>

namespace dsv2rt {

/// Reads and validates the member `device` of a manifest, which messages call
/// `path`. The first failure is left in `status`: CorruptData naming the key,
/// the expected and the found value; Unsupported for another kind of device.
DeviceManifest readDeviceManifest(const nlohmann::json &object,
                                  const std::string &path, Status &status);

} // namespace dsv2rt

#endif // DSV2RT_LIB_CORE_DEVICEMANIFESTREADER_H
