//===- Device.cpp - state behind the driver's interface -------------------===//
//
// Part of dsv2, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "Device.h"

#include "llvm/Support/FormatVariadic.h"
#include "llvm/Support/MathExtras.h"

#include <cstdlib>
#include <cstring>

using namespace dsv2::emulator;

/// Largest shared memory of a block, by compute capability (CUDA Programming
/// Guide, "Technical Specifications per Compute Capability").
static uint32_t maxShared(uint64_t cc) { return (cc >= 90 ? 227 : 163) << 10; }

Device &Device::get() {
  // Never destroyed: programs may call until they end.
  static Device &device = *new Device;
  return device;
}

Device::Device() {
  if (const char *text = std::getenv("DSV2_EMULATOR"))
    environmentError = parseOptions(text, options);
  if (!environmentError.empty()) {
    environmentError = "DSV2_EMULATOR: " + environmentError;
    report = reportLine(Kind::Option, environmentError);
  }
}

Stream *Device::find(CUstream stream) {
  if (!stream)
    return &defaultStream;
  auto it = streams.find(reinterpret_cast<Stream *>(stream));
  return it == streams.end() ? nullptr : *it;
}

CUresult Device::submit(CUstream handle, Work work) {
  Stream *stream = find(handle);
  if (!stream)
    return CUDA_ERROR_INVALID_HANDLE;
  if (stream->capture) {
    stream->capture->nodes.push_back(std::move(work));
    return CUDA_SUCCESS;
  }
  return work();
}

bool Device::breakCaptures() {
  bool any = false;
  for (Stream *stream : streams)
    if (stream->capture) {
      stream->captureBroken = true;
      any = true;
    }
  return any;
}

void Device::reset() {
  for (Stream *stream : streams)
    delete stream;
  for (Event *event : events)
    delete event;
  for (Graph *graph : graphs)
    delete graph;
  for (Graph *graph : executables)
    delete graph;
  streams.clear();
  events.clear();
  graphs.clear();
  executables.clear();
  modules.clear();
  memory().releaseAll();
  sticky = CUDA_SUCCESS;
}

//===----------------------------------------------------------------------===//
// Launches
//===----------------------------------------------------------------------===//

namespace {
/// A launch with copies of its parameters.
struct OwnedLaunch {
  Launch launch;
  std::vector<std::unique_ptr<char, void (*)(void *)>> values;
  std::vector<void *> pointers;
};
} // namespace

CUresult Device::runLaunch(const Launch &launch) {
  if (sticky != CUDA_SUCCESS)
    return sticky;
  Scheduler &scheduler = machine();
  // The tensor maps and whatever else is passed by reference.
  std::vector<const void *> added;
  for (size_t i = 0; i < launch.kernel->parameters.size(); ++i)
    if (launch.kernel->parameters[i].byReference) {
      memory().add({reinterpret_cast<uintptr_t>(launch.parameters[i]),
                    launch.kernel->parameters[i].bytes,
                    Memory::Use::Parameters,
                    /*writable=*/false,
                    {}});
      added.push_back(launch.parameters[i]);
    }
  std::vector<std::vector<unsigned char>> saved;
  if (options.schedules > 1)
    saved = memory().snapshot();
  bool good = true;
  for (uint64_t i = 0; good && i < options.schedules; ++i) {
    if (i > 0)
      memory().restore(saved);
    good = scheduler.run(launch, options, options.seed + i);
  }
  scheduler.launchIsOver(launch.programmatic);
  for (const void *address : added)
    memory().remove(address);
  if (good)
    return CUDA_SUCCESS;
  report = scheduler.report();
  return sticky = CUDA_ERROR_LAUNCH_FAILED;
}

CUresult Device::launch(const CUlaunchConfig &config, Kernel &kernel,
                        void **parameters) {
  auto owned = std::make_shared<OwnedLaunch>();
  Launch &launch = owned->launch;
  launch.kernel = &kernel;
  const uint32_t grid[3] = {config.gridDimX, config.gridDimY, config.gridDimZ};
  const uint32_t block[3] = {config.blockDimX, config.blockDimY,
                             config.blockDimZ};
  std::copy(grid, grid + 3, launch.grid);
  std::copy(block, block + 3, launch.block);
  launch.dynamicShared = config.sharedMemBytes;
  if (kernel.requiredCluster[0])
    std::copy(kernel.requiredCluster, kernel.requiredCluster + 3,
              launch.cluster);
  for (unsigned i = 0; i < config.numAttrs; ++i) {
    const CUlaunchAttribute &attribute = config.attrs[i];
    switch (attribute.id) {
    case CU_LAUNCH_ATTRIBUTE_IGNORE:
      break;
    case CU_LAUNCH_ATTRIBUTE_COOPERATIVE:
      launch.cooperative = attribute.value.cooperative;
      break;
    case CU_LAUNCH_ATTRIBUTE_CLUSTER_DIMENSION: {
      const uint32_t dims[3] = {attribute.value.clusterDim.x,
                                attribute.value.clusterDim.y,
                                attribute.value.clusterDim.z};
      if (kernel.requiredCluster[0] &&
          !std::equal(dims, dims + 3, kernel.requiredCluster))
        return CUDA_ERROR_INVALID_VALUE;
      std::copy(dims, dims + 3, launch.cluster);
      break;
    }
    case CU_LAUNCH_ATTRIBUTE_PROGRAMMATIC_STREAM_SERIALIZATION:
      launch.programmatic =
          attribute.value.programmaticStreamSerializationAllowed;
      break;
    default:
      return CUDA_ERROR_NOT_SUPPORTED;
    }
  }
  // The limits that the driver checks (CUDA Programming Guide).
  uint64_t threads = 1, clusterBlocks = 1, blocks = 1;
  for (int i = 0; i < 3; ++i) {
    if (grid[i] == 0 || block[i] == 0 || launch.cluster[i] == 0 ||
        block[i] > 1024 || launch.cluster[i] > 16 ||
        grid[i] % launch.cluster[i] != 0)
      return CUDA_ERROR_INVALID_VALUE;
    threads *= block[i];
    clusterBlocks *= launch.cluster[i];
    blocks *= grid[i];
    if (kernel.requiredBlock[0] && block[i] != kernel.requiredBlock[i])
      return CUDA_ERROR_INVALID_VALUE;
  }
  if (grid[0] > INT32_MAX || grid[1] > 65535 || grid[2] > 65535 ||
      threads > 1024 || block[2] > 64 || clusterBlocks > 8 ||
      blocks > UINT32_MAX)
    return CUDA_ERROR_INVALID_VALUE;
  if (kernel.maxThreads && threads > kernel.maxThreads)
    return CUDA_ERROR_INVALID_VALUE;
  if (clusterBlocks > 1 && options.cc < 90)
    return CUDA_ERROR_NOT_SUPPORTED;
  if (config.sharedMemBytes > kernel.maxDynamicShared ||
      uint64_t(config.sharedMemBytes) + kernel.staticShared >
          maxShared(options.cc))
    return CUDA_ERROR_INVALID_VALUE;
  if (launch.cooperative && blocks > options.sms)
    return CUDA_ERROR_LAUNCH_OUT_OF_RESOURCES;
  if (!parameters && !kernel.parameters.empty())
    return CUDA_ERROR_INVALID_VALUE;
  if (!kernel.module->compile(kernel, report))
    return sticky = CUDA_ERROR_LAUNCH_FAILED;

  for (size_t i = 0; i < kernel.parameters.size(); ++i) {
    const Parameter &parameter = kernel.parameters[i];
    size_t alignment = std::max<size_t>(parameter.alignment, 64);
    size_t bytes = llvm::alignTo(std::max(parameter.bytes, 1u), alignment);
    owned->values.emplace_back(
        static_cast<char *>(std::aligned_alloc(alignment, bytes)), std::free);
    std::memcpy(owned->values.back().get(), parameters[i], parameter.bytes);
    owned->pointers.push_back(owned->values.back().get());
  }
  launch.parameters = owned->pointers.data();
  return submit(config.hStream,
                [this, owned] { return runLaunch(owned->launch); });
}
