//===- DeviceEngine.h - sessions on a device --------------------*- C++ -*-===//
//
// Part of dsv2, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef DSV2RT_LIB_CUDA_DEVICEENGINE_H
#define DSV2RT_LIB_CUDA_DEVICEENGINE_H

#include "Engine.h"
#include "Planning.h"
#include "StepStream.h"
#include "dsv2rt/Device.h"

#include <memory>

namespace dsv2rt {

/// What a session with these complete options may take of the device's memory
/// for what is planned: the budget, or what is free, but for a reserve that is
/// the driver's and for the input of a step. Weights that are on the device
/// already are not charged. Errors: those of the driver.
Expected<MemoryLimits> deviceLimits(const Artifact &artifact,
                                    const PackedWeights &weights,
                                    const SessionOptions &options);

/// An engine on options.device, which `artifact` is for. `options` are
/// complete. Loads the kernels and copies the weights. Steps run on `stream`
/// and reach other ranks by `collectives`; both have to outlive the engine.
/// Errors: Unsupported, CorruptData, OutOfMemory, DeviceError; they name what
/// was being done.
Expected<std::unique_ptr<Engine>>
makeDeviceEngine(std::shared_ptr<const Artifact> artifact,
                 std::shared_ptr<const PackedWeights> weights,
                 const SessionOptions &options, cuda::StepStream &stream,
                 StepCollectives &collectives);

} // namespace dsv2rt

#endif // DSV2RT_LIB_CUDA_DEVICEENGINE_H
